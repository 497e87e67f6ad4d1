"""Images in tar shards, as the webdataset library writes them."""

import os
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from vaelab.data.annotations.classes import classes_of
from vaelab.data.annotations.known import refuse_unseen
from vaelab.data.annotations.layout import splits_by_name
from vaelab.data.containers.names import NAMES
from vaelab.data.encoded.extents import Extents, Names
from vaelab.data.encoded.files import SUFFIXES, stamp
from vaelab.data.encoded.source import Collection, FilesSource
from vaelab.data.shards.index import AUTO, JSON, NO_IMAGE, NO_LABEL, NONE, SEVERAL, TWICE, WHOLE, index_all
from vaelab.data.shards.patterns import find_all
from vaelab.errors import UsageError
from vaelab.io import places
from vaelab.io.formatting import counted
from vaelab.registry import register

NAMED = 3


@register("data", "webdataset")
@dataclass(frozen=True, kw_only=True)
class WebDataset(FilesSource):
    """Images in tar shards, `path: 'shards/{000..127}.tar'`, split by shards or by `seed`.

    Files of a shard whose names are alike up to the first dot are a sample: its image, `image` being its extension (or
    several, `jpg;png`), and its class, in a file with the extension `label`, by default `cls`, or in a field of its
    JSON, `json.species`. Whole numbers or other texts name classes; `label: none` leaves them out.

    `path`, or in its place `train` and, if there are, `valid` and `test`, is a pattern, a folder or a list of these:
    `{000..127}`, `{cats,dogs}`, `*`, and `::` between several, relative to the working directory or a data directory.
    Shards whose names or folders all say train, val or test are split so. Where each image lies is found once and kept
    in the user's cache under `webdataset/` until a shard changes; no shuffle buffer is needed. Tars must not be
    compressed. `size`, `channels` and what follows are as of `folder`.
    """

    path: str | list[str] | None = None
    train: str | list[str] | None = None
    valid: str | list[str] | None = None
    test: str | list[str] | None = None
    image: str = AUTO
    label: str = AUTO

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.path and not self.train:
            raise ValueError("path is missing; give it a value, such as 'shards/{000..127}.tar'")
        if self.path and (self.train or self.valid or self.test):
            raise ValueError("path is beside train, valid or test; give path alone, or train in its place")

    def find(self, directory: places.Directory) -> Collection:
        """The samples of all shards; UsageError for shards that are missing, damaged or compressed, and for gaps."""
        shards, of_shard = self._shards(directory)
        stamps = [stamp(path) for path in shards]
        tables = index_all(shards, self.image, self.label)
        table, numbers = np.concatenate(tables), np.repeat(np.arange(len(shards)), [len(t) for t in tables])
        found = _Samples(shards, table, numbers, Path(os.path.commonpath([path.parent for path in shards])))
        labelled = self.label not in (AUTO, NONE) or bool((self.label == AUTO) & (table["label"] != b"").any())
        found = self._whole(found, labelled)
        extents = Extents(shards, stamps, np.stack([found.shard, found.table["offset"], found.table["size"]], 1))
        splits = None if of_shard is None else of_shard[found.shard]
        if of_shard is not None and (lost := {*of_shard.tolist()} - {*np.unique(of_shard[found.shard]).tolist()}):
            raise UsageError(f"the {NAMES[lost.pop()]} shards in {found.where} have no image", "name others")
        labels, classes = found.classes(splits) if labelled else (None, None)
        by = None if splits is None else "shards"
        return Collection(extents.files(found.name), found.where, splits, labels, classes, split_by=by)

    def _shards(self, directory: places.Directory) -> tuple[list[Path], np.ndarray | None]:
        """All shards, and of each the number of its split."""
        given = {"train": self.train, "valid": self.valid, "test": self.test}
        if self.path:
            paths = find_all(self.path, ".tar", "data.path", directory)
            return paths, splits_by_name(paths, "set data.train, data.valid and data.test in the place of data.path")
        found = {name: find_all(p, ".tar", f"data.{name}", directory) if p else [] for name, p in given.items()}
        paths = [path for part in found.values() for path in part]
        if doubled := [path for path, times in Counter(paths).items() if times > 1]:
            raise UsageError(f"{doubled[0]} is in two splits", "give each shard to one of data.train, valid and test")
        alone = not (self.valid or self.test)
        return paths, None if alone else np.repeat(range(3), list(map(len, found.values())))

    def _whole(self, found: "_Samples", labelled: bool) -> "_Samples":
        """Those that have an image; UsageError where none does, and for samples that are not clear or lack a label."""
        wrong = found.table["wrong"]
        if (wrong == NO_IMAGE).all():
            wanted = ", ".join(SUFFIXES) if self.image == AUTO else f".{self.image.replace(';', ', .')}"
            some = f" in {found.name(0)} and others" if len(found) else ""
            fix = "set data.image to the extension of its images" if len(found) else "name other shards"
            raise UsageError(f"{found.where} has {counted(len(found), 'sample')}{some} and no image ({wanted})", fix)
        gaps = (wrong == NO_LABEL) | (labelled & (wrong == WHOLE) & (found.table["label"] == b""))
        what = ".cls" if self.label == AUTO else self.label if self.label.startswith(JSON) else f".{self.label}"
        found.refuse(wrong == TWICE, "have a file twice", "make their shards again with each name once")
        found.refuse(wrong == SEVERAL, "have several images", "set data.image to the extension of those that are meant")
        found.refuse(gaps, f"have no {what}", "correct data.label, or set it to none to leave classes out")
        if (wrong == NO_IMAGE).any():
            warnings.warn(f"left out {found.listed(wrong == NO_IMAGE)}, which have no image", stacklevel=4)
        return found.at(wrong != NO_IMAGE)


@dataclass(frozen=True)
class _Samples:
    """Rows of `shards.indexed` for the samples of all shards, and of each the number of its shard."""

    shards: list[Path]
    table: np.ndarray
    shard: np.ndarray
    where: Path

    def __len__(self) -> int:
        return len(self.table)

    def at(self, chosen: np.ndarray) -> "_Samples":
        """Some of them."""
        return replace(self, table=self.table[chosen], shard=self.shard[chosen])

    def name(self, number: int) -> str:
        """`000.tar/00017.jpg`."""
        inside = bytes(self.table["name"][number]).decode("utf-8", "surrogateescape")
        return f"{self.shards[self.shard[number]].relative_to(self.where).as_posix()}/{inside}"

    def listed(self, some: np.ndarray) -> str:
        """How many they are, and the names of three."""
        numbers = some.nonzero()[0]
        names = [*map(self.name, numbers[:NAMED]), *["…"] * (len(numbers) > NAMED)]
        return f"{len(numbers):,} of the {counted(len(self), 'sample')} in {self.where} ({', '.join(names)})"

    def refuse(self, some: np.ndarray, what: str, fix: str) -> None:
        """UsageError for samples that are wrong."""
        if some.any():
            raise UsageError(f"{self.listed(some)} {what}", fix)

    def classes(self, splits: np.ndarray | None) -> tuple[Tensor, tuple[str, ...]]:
        """The label of each, and the names of the classes."""
        values = np.char.decode(self.table["label"], "utf-8", "replace")
        labels, classes = classes_of(values)
        if splits is not None:
            refuse_unseen(self.where, splits, labels, classes, Names(len(self), self.name))
        return labels, classes
