"""The numbers of a run, or of images made elsewhere, each with its protocol, beside what was expected."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from vaelab.data import load_set
from vaelab.data.scale import scale_of, scaled_images
from vaelab.data.source import Dataset
from vaelab.errors import MixedSizes, Unwritten, UsageError, VaelabError, WrongSize
from vaelab.evaluation.images import by_scale
from vaelab.evaluation.measure import SPLITS, Entry, Target, measure, specs, values_of
from vaelab.io.files import check_writable, write_whole
from vaelab.io.formatting import counted, printable
from vaelab.model import VAE
from vaelab.recipe.begin import versions
from vaelab.recipe.restore import changes, open_run, weights_hash
from vaelab.recipe.sections import Evaluate
from vaelab.registry import hint, names
from vaelab.registry.schema import Part, build
from vaelab.runs.folder import folder_of
from vaelab.runs.log import Log, finite
from vaelab.runs.recipe import StoredRecipe
from vaelab.runs.results import FILES, Results
from vaelab.samplers.drawing import refuse_many
from vaelab.training.process_group import pick_device


def evaluate(
    run: str | Path,
    *,
    metrics: str | Iterable[str] | None = None,
    split: str = "test",
    data_dir: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    announce: Callable[[str], None] = lambda name: None,
    model: VAE | None = None,
    data: Any = None,
    **options: Any,
) -> dict[str, Any]:
    """Measure a trained model and put the numbers, each with its protocol, into the folder's `metrics.json`, or `out`.

    Options by metric, `likelihood={"samples": 5000}`, or for all metrics that have them, `extractor="squeezenet"`,
    `seed=1`; and of the samples drawn: `n` of them, by a `sampler`, as `pixels="mean"` or `"sample"`. Metrics that
    cannot be computed of this run are reported as such, the others are computed. Numbers of the same weights that are
    already in the file stay there unless computed anew; splits other than test have files of their own. A place that
    takes no file is refused before anything is measured; Unwritten, with the numbers, where it takes none afterwards.
    `model` is that of a run composed by hand, `data` that of one on images at hand (see `vaelab.fit`, `train`).
    """
    folder = folder_of(run)
    path = Path(out) if out else folder / FILES.get(split, "")
    chosen, asked = specs(metrics, options, split)
    model, recipe, data = open_run(run, data_dir, device, model, data)
    refuse_many(asked.n or 0, data.x_shape)
    target = Target(data=data, split=split, device=pick_device(device), data_dir=data_dir, model=model, asked=asked)
    check_writable(path)
    entries, unavailable = measure(chosen, target, announce)
    weights, before = weights_hash(run), Results.read(path)
    if before and before.model == weights and before.digest in (None, data.digest):  # numbers of these stay, unless new
        stored = before.model_dump(mode="json")["metrics"]
        entries = {k: v for k, v in stored.items() if k not in unavailable} | entries
        unavailable = {k: v for k, v in before.unavailable.items() if k not in entries} | unavailable
    whole = {k: v for k, v in entries.items() if v["protocol"].get("images") == len(target.images)}
    expected = verdicts(recipe, folder, whole if split == "test" else {})
    remarks = [*notes(model, data), *filter(None, [changes(run, data)])]
    of = {"run": printable(folder.resolve().name), "recipe": recipe.name, "model": weights, "digest": data.digest}
    return _written(path, of, target, entries, unavailable, expected, remarks)


def evaluate_images(
    fake: str | Path,
    real: str | dict[str, Any],
    *,
    metrics: str | Iterable[str] | None = None,
    split: str = "test",
    fit: bool = False,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    announce: Callable[[str], None] = lambda name: None,
    **options: Any,
) -> dict[str, Any]:
    """Judge a folder of images by any generator against a folder of real ones, or against a split of a set.

    The set may come with options, {"kind": "mnist", "resize": 32}.
    `fit` crops and resizes images of other sizes to the real ones'. The numbers go to `<fake>.metrics.json`.
    """
    chosen, asked = specs(metrics, options, split)
    if (asked.sampler, asked.pixels) != (Evaluate.sampler, Evaluate.pixels):
        raise UsageError("a sampler and its pixels are about a RUN, these images are drawn already; leave them out")
    data = _real(real, data_dir)
    made = _folder(fake, data, fit)[: asked.n]
    target = Target(data=data, split=split, device=pick_device(device), data_dir=data_dir, made=made)
    path = Path(out or f"{Path(fake).resolve()}.metrics.json")
    check_writable(path)
    chosen = chosen if metrics else {k: v for k, v in chosen.items() if "model" not in target.asks(k)}
    return _written(
        path, {"images_folder": printable(Path(fake).resolve().name)}, target, *measure(chosen, target, announce)
    )


def notes(model: VAE, data: Dataset) -> list[str]:
    """What a reader of the numbers must know."""
    if model.scores == "loss":
        return []
    if model.binary and not data.binary:
        return [
            "Bernoulli on grey images: log_px is a cross-entropy; elbo, iwae and bits_per_dim are no log-likelihoods; "
            "set data.binarise or model.likelihood=continuous_bernoulli for ones"
        ]
    scale = model.scale
    if model.scores == "density" and scale.levels:
        bits = f"bits_per_dim is of dequantised ones, in steps of 1/{scale.levels:,}"
        return [f"log_px is a density of images in [0, 1]; {bits}"]
    if model.scores == "density":
        return [f"log_px is a density of x = (value − low) / (high − low), with low … high = {scale}"]
    return []


def verdicts(recipe: StoredRecipe, folder: Path, entries: Mapping[str, Entry]) -> list[dict[str, Any]]:
    """What the recipe expects, beside what was reached: of the metrics and of the last epoch, as `train_loss`.

    Of a recipe that was altered both are told, with what was altered, and `met` is None.
    """
    reached, epoch = values_of(entries), 0
    log = Log.read(folder / "log.jsonl")
    for row in (row for row in log.rows if row["kind"] == "epoch"):
        last = {f"{row['split']}_{k}": finite(row, k) for k in ("loss", "reconstruction", "kl")}
        reached, epoch = reached | {k: v for k, v in last.items() if v is not None}, int(row["epoch"])
    altered = recipe.sections.get("altered")
    return [
        {"name": name, **bar, "reached": reached[name]}
        | ({"met": None, "altered": altered, "epoch": epoch} if altered else {"met": _met(reached[name], bar)})
        for name, bar in recipe.sections.get("expect", {}).items()
        if name in reached
    ]


def _met(reached: float, bar: Mapping[str, Any]) -> bool:
    near = "value" not in bar or abs(reached - bar["value"]) <= bar.get("tolerance", 0.0)
    return bar.get("at_least", -math.inf) <= reached <= bar.get("at_most", math.inf) and near


def _written(
    path: Path,
    of: dict[str, Any],
    target: Target,
    entries: Mapping[str, Entry],
    unavailable: Mapping[str, str],
    expected: Sequence[Any] = (),
    remarks: Sequence[str] = (),
) -> dict[str, Any]:
    report = of | {
        "data": target.data.name,
        "split": target.split,
        "images": len(target.images),
        "metrics": entries,
        "unavailable": unavailable,
        "expected": list(expected),
        "notes": list(remarks),
        "versions": versions(),
    }
    text = json.dumps(report, indent=2)
    try:
        write_whole(path, lambda file: file.write_text(text + "\n") and None)
    except VaelabError as error:
        raise Unwritten(report, error) from error
    return report


def _real(real: str | dict[str, Any], data_dir: str | Path | None) -> Dataset:
    """A set by name, or a folder of images, all of which count as each split that it has no folder for."""
    spec = Part.of(real) or Part(str(real))
    kind = spec.kind
    if kind in names("data"):
        return load_set(spec, data_dir, "real")
    if not Path(kind).is_dir():
        raise UsageError(f"real {kind!r} is neither a folder nor a set", hint(kind, names("data")))
    folder = Part("folder", {**spec.options, "path": str(Path(kind).resolve())})
    try:
        source = build("data", folder, "real")
        pool = source.pool(data_dir)
    except MixedSizes as error:
        raise MixedSizes(error.problem, error.size, "real.size") from error
    scale = scale_of(source.scale, pool.train.images)
    found = {name: replace(split, images=scaled_images(split.images, scale)) for name, split in pool.splits.items()}
    splits = [found.get(name, found["train"]) for name in SPLITS]
    return Dataset(Path(kind).resolve().name, *splits, classes=pool.classes, scale=scale, colours=source.colours)


def _folder(path: str | Path, data: Dataset, fit: bool) -> Tensor:
    """All images of a folder, in the shape and by the scale of real ones."""
    channels, height, width = shape = data.x_shape
    size = {"size": (width, height)} if fit else {}
    wanted = channels if channels in (1, 3) else "auto"  # grey becomes colours, and colours grey
    spec = {"kind": "folder", "path": str(Path(path).resolve()), "channels": wanted, "folders": "classes", **size}
    try:
        images = build("data", spec).pool().train.images
    except MixedSizes as error:
        raise WrongSize(error.problem) from error
    if images.shape[1] != channels:
        has = counted(images.shape[1], "channel")
        raise UsageError(
            f"the folder {path} has images of {has}, the real ones have {channels}", "give images like those"
        )
    if images.shape[1:] != shape:
        sizes = [f"{s[-1]}×{s[-2]}" for s in (images.shape, shape)]
        raise WrongSize(f"the images in {path} are {sizes[0]}, the real ones {sizes[1]}")
    return by_scale(images[:], data.scale, f"the folder {path}", "the real images")
