"""Single-image quality of sets of images: a CSV with every image's sharpness per set, and a summary of all sets."""

import csv
import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch

from vaelab.data.encoded.ahead import decode_all
from vaelab.data.encoded.decode import read_pixels, shape_in
from vaelab.data.encoded.files import SUFFIXES, image_names, in_folder
from vaelab.errors import UsageError
from vaelab.evaluation.images import file_name
from vaelab.io.files import expanded, parse_json, write_whole
from vaelab.io.hashing import data_hash
from vaelab.io.progress import Bar
from vaelab.metrics.sharpness import STATISTICS, sharpness_statistics
from vaelab.recipe.begin import versions
from vaelab.recipe.restore import restore, weights_hash
from vaelab.runs.folder import is_run
from vaelab.samplers.drawing import images

TOGETHER = 2**24  # bytes of images that are measured together, if they are of one size


class Measured(NamedTuple):
    """The names of a set's images, their statistics float32 [N, 3], and what was left out and why."""

    names: list[str]
    values: np.ndarray
    skipped: list[str]


def quality(
    paths: Sequence[str | Path], out: str | Path = "quality", *, n: int = 1000, seed: int = 0, device: str = "auto"
) -> list[dict[str, Any]]:
    """Measure folders of images, and `n` samples of each run among `paths`, into the folder `out`.

    The numbers of each image go to `TAG.csv`; count, mean, median and 90 % quantile of all sets to `summary.csv`, whose
    rows are returned. A tag is a folder's name, with parents where names are equal. A set is measured anew only if its
    files (of a run: weights, n, seed) changed. Images may differ in size; unreadable ones are left out with a warning.
    UsageError where a path is neither a folder with images nor a run.
    """
    if not paths:
        raise UsageError("nothing to measure; name folders of images, or runs")
    places = list(dict.fromkeys(_place(path) for path in paths))
    sources = [
        RunSamples(p, n, seed, device) if p.suffix == ".safetensors" or is_run(p) else ImageFolder(p) for p in places
    ]
    for source in sources:  # all, before the first is measured
        source.fingerprint()
    stems = [Path(out) / tag for tag in distinct(places, taken=["summary"])]
    rows = [summary(stem.name, measured(s, stem).values) for s, stem in zip(sources, stems, strict=True)]
    write_csv(Path(out) / "summary.csv", [list(rows[0]), *(list(row.values()) for row in rows)])
    return rows


def summary(tag: str, values: np.ndarray) -> dict[str, Any]:
    """A set's row: how many images, and mean, median and 90 % quantile of each statistic, of values [N, 3]."""
    row: dict[str, Any] = {"set": tag, "images": len(values)}
    for name, column in zip(STATISTICS, values.T.astype(np.float64), strict=True):
        row[f"{name}_mean"] = float(column.mean())
        row[f"{name}_median"], row[f"{name}_p90"] = np.quantile(column, [0.5, 0.9]).tolist()
    return row


def measured(source: "ImageFolder | RunSamples", stem: Path) -> Measured:
    """What `stem`.csv holds, if that was measured on the same images; else measured now, and written there."""
    table, note = Path(f"{stem}.csv"), Path(f"{stem}.json")
    fingerprint = source.fingerprint()
    found = _cached(table, note, fingerprint)
    if found is None:
        found = source.measure()
        write_csv(table, [("image", *STATISTICS), *zip(found.names, *found.values.T, strict=True)])
        text = json.dumps({"source": str(source.path), "fingerprint": fingerprint, "skipped": found.skipped}, indent=2)
        write_whole(note, lambda file: file.write_text(text + "\n"))  # last: where it is, the table is whole
    if found.skipped:
        shown = "\n  ".join([*found.skipped[:20], *["…"] * (len(found.skipped) > 20)])
        warnings.warn(f"{source.path}: left out {len(found.skipped)} unreadable images:\n  {shown}", stacklevel=3)
    return found


@dataclass(frozen=True)
class ImageFolder:
    """All images below a folder, of any format and size."""

    path: Path

    def fingerprint(self) -> str:
        """A hash of the files' names, sizes and times of change; UsageError where there are none."""
        if not self.path.is_dir():
            raise UsageError(f"{self.path} is neither a folder of images nor a run; correct the path")
        stats = [(name, (self.path / name).stat()) for name in image_names(self.path)]
        if not stats:
            raise UsageError(f"{self.path} holds no images ({', '.join(SUFFIXES)}); correct the path")
        return _hash([str(self.path), [(name, s.st_size, s.st_mtime_ns) for name, s in stats]])

    def measure(self) -> Measured:
        """In the order of the names; UsageError if no image can be read."""
        files, values, skipped, group = in_folder(self.path), {}, [], {}
        with Bar(f"measuring {self.path.name}", len(files)) as bar:
            for name, image in zip(files.names, decode_all(files, _read), strict=True):
                bar.update(1)
                if isinstance(image, str):
                    skipped.append(f"{name}: {image}")
                    continue
                group[name] = image
                if sum(image.nbytes for image in group.values()) > TOGETHER:
                    values |= _by_size(group)
                    group = {}
            values |= _by_size(group)
        if not values:
            raise UsageError(f"no image in {self.path} can be read, for example {skipped[0]}; correct the path")
        kept = [name for name in files.names if name in values]
        return Measured(kept, np.stack([values[name] for name in kept]), skipped)


@dataclass(frozen=True)
class RunSamples:
    """n images of a run, z from the prior: means of p(x | z), or draws from it where the images are binarised."""

    path: Path
    n: int
    seed: int
    device: str

    def fingerprint(self) -> str:
        """A hash of the weights and of what decides the draws."""
        return _hash([weights_hash(self.path), self.n, self.seed])

    def measure(self) -> Measured:
        """In the order of the draws, named as `sample_files` names them."""
        model, recipe, _ = restore(self.path, self.device)
        drawn = images(model, model.p_z(), self.n, self.seed, "sample" if recipe.binary else "mean")
        stored = torch.from_numpy(_whole(model.scale.to_values(drawn).numpy()))
        values = torch.stack(list(sharpness_statistics(stored).values()), 1)
        return Measured([file_name(i, stored.shape[1], model.scale) for i in range(self.n)], values.numpy(), [])


def distinct(paths: Sequence[Path], taken: Sequence[str] = ()) -> list[str]:
    """Names of different paths: their last parts, as many of them as tell one from the others and from `taken`."""
    names = [path.name for path in paths]
    for depth in range(2, max(len(path.parts) for path in paths)):
        unclear = {name for name in names if [*names, *taken].count(name) > 1}
        names = ["-".join(p.parts[-depth:]) if n in unclear else n for p, n in zip(paths, names, strict=True)]
    if len({*names, *taken}) < len(names) + len(taken):
        raise UsageError(f"no names tell {', '.join(map(str, paths))} apart; rename one of them")
    return names


def _place(path: str | Path) -> Path:
    """The folder, also where the model file in it is named."""
    place = expanded(path).resolve()
    return place.parent if place.name == "model.safetensors" else place


def _read(file: Path | IO[bytes]) -> np.ndarray:
    found = shape_in(file)
    grey_or_colour = found.depth == "uint8" and found.channels in (1, 3)
    pixels = _whole(read_pixels(file, 3 if grey_or_colour else "auto"))
    if min(pixels.shape[1:]) < 2:
        raise ValueError("less than 2×2 pixels")
    if not np.isfinite(pixels).all():
        raise ValueError("values that are not finite")
    return pixels


def _whole(values: np.ndarray) -> np.ndarray:
    """Values as they are, but those of 16 bits in [0, 1]: what files hold, and not how a model is shown them."""
    return values.astype(np.float32) / 65535 if values.dtype == np.uint16 else values


def _by_size(decoded: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The statistics [3] of each image, of those of one size together."""
    sizes: dict[tuple[Any, ...], list[str]] = {}
    for name, image in decoded.items():
        sizes.setdefault((image.shape, image.dtype), []).append(name)
    values = {}
    for alike in sizes.values():
        found = sharpness_statistics(torch.from_numpy(np.stack([decoded[name] for name in alike])))
        values |= dict(zip(alike, torch.stack(list(found.values()), 1).numpy(), strict=True))
    return values


def _cached(table: Path, note: Path, fingerprint: str) -> Measured | None:
    """What an earlier call wrote, unless that was of other images, or is damaged."""
    try:
        known = parse_json(note.read_bytes())
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
        if known["fingerprint"] == fingerprint:
            values = np.array([row[1:] for row in rows], np.float32).reshape(-1, len(STATISTICS))
            return Measured([row[0] for row in rows], values, known["skipped"])
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return None


def _hash(state: list[Any]) -> str:
    """Of a state, and of the program, whose definitions may change."""
    return data_hash([*state, versions()["vaelab"]])[:16]


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """A table, written whole or not at all."""

    def write(file: Path) -> None:
        # Names of files may be bytes that are no text; they are spelled out.
        with file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
            csv.writer(stream, lineterminator="\n").writerows(rows)

    write_whole(path, write)
