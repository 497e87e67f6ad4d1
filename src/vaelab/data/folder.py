"""Any folder of images, a zip of one, or a stack."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vaelab.data.annotations.known import Chosen, read_known, refuse_unseen
from vaelab.data.annotations.layout import SPLITS, laid_out
from vaelab.data.annotations.table import SUFFIXES as SUFFIXES_OF_TABLES
from vaelab.data.annotations.table import find_table
from vaelab.data.encoded.archive import open_images
from vaelab.data.encoded.files import STACKS, SUFFIXES, one_file
from vaelab.data.encoded.pages import Pages, in_pages
from vaelab.data.encoded.source import Collection, FilesSource
from vaelab.errors import UsageError
from vaelab.io import files, places
from vaelab.registry import register


@register("data", "folder")
@dataclass(frozen=True, kw_only=True)
class ImageFolder(FilesSource):
    """All images below `path`, split by its folders `train`, `valid`, `test` or by `seed`; other folders are classes.

    Folders `train/`, `valid/` (or `val`, `validation`) and `test/` are splits, and several folders in each are classes;
    what is missing of `valid/` and `test/` is taken from the training images, shuffled by `seed`. Several folders of
    other names are classes, of images shuffled and split 80 / 10 / 10. `folders` says which is meant where that is not
    clear.

    A CSV or Parquet at the top of the folder that has a column of file names, or the one that `table` names, says the
    same in words: `file`, `label` and `split` are the names of its columns, found by themselves where they are usual.
    Of several labels the first is the class, and all that are numbers are factors. `table: none` leaves it unread.

    `path` is a folder, a zip or a TIFF of several pages, absolute, or relative to the working directory or a data
    directory. With `size`, the central square of each image is resized to size × size, or the largest centre of that
    shape to (width, height), and `crop`, `resize`, `pad` follow; without it, all must come out equally large. Rotation
    marks are obeyed, transparency is dropped. Images keep their depth: 8 or 16 bits, or real numbers. `channels` are by
    default those of the files; of 8 bits, 1 where all pixels are grey, whatever the files say, else 3. The pages of a
    TIFF are images of their own, or channels of one where its axes say so; `pages` says which is meant. Decoded images
    are kept in the user's cache under `folder/` until a file or an option changes. Unreadable files are listed in one
    warning and left out. With `decode: live` no copy is kept: images are decoded a few batches before each use, by all
    cores. The heads of all files are read first and taken at their word: `channels` of `auto` are 1 only where no file
    has colours, and a file that breaks off later ends the run.
    """

    path: str
    folders: Literal["auto", "splits", "classes"] = "auto"
    pages: Pages = "auto"
    table: str = "auto"
    file: str | None = None
    label: str | tuple[str, ...] | None = None
    split: str | None = None

    def find(self, directory: places.Directory) -> Collection:
        """What the folder holds; UsageError without an image, or where its subfolders may mean two things."""
        root = self._root(directory)
        found = one_file(root) if root.suffix.lower() in STACKS else open_images(root)
        if not len(found):
            raise UsageError(f"{root} holds no images ({', '.join(SUFFIXES)}); correct the path")
        found = in_pages(found, self.pages)
        names = found.names if root.is_dir() else _unwrapped(found.names)
        table = self._table(root)
        if table is None:
            splits, labels, classes = laid_out(names, root, self.folders)
            return Collection(found, root, splits, labels, classes, split_by=None if splits is None else "folder")
        known = read_known(table, names, root, Chosen(self.file, self.label, self.split))
        found, names = found.at(known.kept), [names[i] for i in map(int, known.kept)]
        splits, labels, classes, split_by = known.splits, known.labels, known.classes, "table"
        if splits is None or labels is None:
            below = laid_out(names, root, self.folders)
            if splits is None:
                splits, split_by = below.splits, None if below.splits is None else "folder"
            if labels is None:
                labels, classes = below.labels, below.classes
        if splits is not None and labels is not None and classes is not None:
            refuse_unseen(table, splits, labels, classes, names)
        return Collection(found, root, splits, labels, classes, known.factors, known.factor_names, split_by)

    def _table(self, root: Path) -> Path | None:
        if self.table in ("auto", "none"):
            return find_table(root) if self.table == "auto" and root.is_dir() else None
        path = files.expanded(self.table)
        tried = [path, root / path if root.is_dir() else root.parent / path]
        for table in tried:
            if table.is_file() and table.suffix.lower() in SUFFIXES_OF_TABLES:
                return table
        looked = ", ".join(map(str, tried))
        raise UsageError(f"there is no CSV or Parquet {self.table!r} (looked for {looked}); correct data.table")

    def _root(self, directory: places.Directory) -> Path:
        path = files.expanded(self.path)
        tried = [path, *(place / path for place in places.places(directory))]
        for root in tried:
            if root.is_dir() or (root.is_file() and root.suffix.lower() in (".zip", *STACKS)):
                return root.resolve()
        if path.is_file():
            fix = "name the folder that its images are in, or set data.kind=arrays if it holds an array"
            raise UsageError(f"{path} is no folder, zip or TIFF", fix)
        looked = ", ".join(map(str, tried))
        raise UsageError(f"there is no folder, zip or TIFF {self.path!r} (looked for {looked}); correct the path")


def _unwrapped(names: Sequence[str]) -> list[str]:
    """Names without the folders that all of them are in, as archives are made, unless these are a split."""
    below = posixpath.commonpath([name.rpartition("/")[0] for name in names]).split("/")
    outer = next((i for i, folder in enumerate(below) if folder.lower() in SPLITS), len(below)) if below[0] else 0
    return ["/".join(name.split("/")[outer:]) for name in names]
