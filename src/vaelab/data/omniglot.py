"""Omniglot: handwritten characters of fifty alphabets, 28 × 28 pixels."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import torch

from vaelab.data.containers.formats import from_columns, opened_mat
from vaelab.data.encoded.archive import open_images
from vaelab.data.encoded.decode import as_array, read_image
from vaelab.data.encoded.decoded import decode_once
from vaelab.data.encoded.files import ImageFiles
from vaelab.data.source import Pool, Source, Split
from vaelab.errors import Damaged
from vaelab.io.places import Directory, File, fetch, locate
from vaelab.registry import Size, register

CHARDATA = File(
    "omniglot/chardata.mat", "https://raw.githubusercontent.com/yburda/iwae/master/datasets/OMNIGLOT/chardata.mat"
)
COUNTS = {"data": 24_345, "testdata": 8_070}


def _archive(name: str, md5: str) -> File:
    url = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
    return File(f"omniglot/{name}.zip", f"{url}{name}.zip", md5)


LARGE = [
    _archive("images_background", "68d2efa1b9178cc56df9314c21c6e718"),
    _archive("images_evaluation", "6b91aef0f799c5bb55b94e3f2daec811"),
]
SMALL = [
    _archive("images_background_small1", "e704a628b5459e08445c13499850abc4"),
    _archive("images_background_small2", "b75a71a51d3b13f821f212756fe481fd"),
]
SIDE = 28


@register("data", "omniglot")
@dataclass(frozen=True, kw_only=True)
class Omniglot(Source):
    """Omniglot (Lake et al. 2015), 28 × 28, white ink on black, labelled by alphabet.

    `chardata` are the grey images of Burda et al. (2016), 24,345 + 8,070, on which published test log-likelihoods
    are measured with `binarise: dynamic`. The 1,345 validation images are the last after shuffling by `seed`; which
    ones the papers took is not known.

    `archives` are the original drawings, each pixel the mean over its area: `images_background.zip` trains and
    `images_evaluation.zip`, of other alphabets, tests. Where these are not at hand but both
    `images_background_small1.zip` and `…2.zip` are, their 4,840 images are shuffled and cut by `seed`.

    `auto` is `chardata` if that is there or nothing is, else `archives`.
    """

    valid_size: Size | None = 1345
    source: Literal["auto", "chardata", "archives"] = "auto"

    def read(self, directory: Directory) -> Pool:
        """From `omniglot/`, in either form."""
        large, small = (all(locate(file.path, directory) for file in pair) for pair in (LARGE, SMALL))
        chardata = locate(CHARDATA.path, directory) or not (large or small)
        if self.source == "chardata" or (self.source == "auto" and chardata):
            pool = _read_chardata(fetch(CHARDATA, directory, _read_chardata))
        else:
            pool = _read_archives(SMALL if small and not large else LARGE, directory)
        if pool.test is None:
            return pool
        # In the files an alphabet follows the other; the last images of all would be a single one.
        return pool._replace(train=self.shuffled(pool.train))


def _read_chardata(path: Path) -> Pool:
    """Keys `data` and `testdata`, an image per column, itself stored column by column, and one-hot labels."""
    with opened_mat(path) as content:
        train, test = _columns(path, content, "data", "target"), _columns(path, content, "testdata", "testtarget")
    classes = None if train.labels is None else tuple(f"alphabet {number}" for number in range(1, 51))
    return Pool(train, test=test, classes=classes)


def _columns(path: Path, content: dict[str, Any], x: str, y: str) -> Split:
    levels = content[x]
    if levels.shape != (SIDE**2, COUNTS[x]) or levels.min() < 0 or levels.max() > 1:
        raise Damaged(path, f"{x} is {levels.shape} and should be 784 × {COUNTS[x]} grey levels from 0 to 1")
    labels = torch.from_numpy(content[y].argmax(0)) if y in content else None
    return Split(from_columns((levels.T * 255).round().astype(np.uint8)), labels)


def _read_archives(pair: list[File], directory: Directory) -> Pool:
    """Train and test; or one pool of the small archives, which have a thousand drawings in common."""
    paths, md5s = [fetch(file, directory) for file in pair], [file.md5 for file in pair]
    archives = [open_images(path) for path in paths]
    # alphabet/character/drawing.png, without the folder around it, which has the name of the archive
    found = {name.partition("/")[2]: (a, i) for a in archives for i, name in enumerate(a.names)}
    drawings = list(found.values())
    names = list(found)
    alphabets = [name.partition("/")[0].replace("_", " ") for name in names]
    classes = tuple(sorted(set(alphabets)))
    labels = torch.tensor([classes.index(alphabet) for alphabet in alphabets])
    files = ImageFiles(names, lambda i: drawings[i][0].open(drawings[i][1]), lambda: md5s)
    whole, _ = decode_once("omniglot", paths[0].parent, files, None, _shrunk, "get others", labels=labels)
    if pair is SMALL:
        return Pool(whole, classes=classes)
    large = len(archives[0])
    return Pool(whole[:large], test=whole[large:], classes=classes)


def _shrunk(file: Path | IO[bytes]) -> np.ndarray:
    """The ink as uint8 [1, 28, 28], each pixel the mean over its area of 3.75 × 3.75."""
    paper = as_array(read_image(file, 1))
    weights = area_weights(paper.shape[-1], SIDE)
    return (weights @ (255.0 - paper) @ weights.T).round().astype(np.uint8)


@cache
def area_weights(pixels: int, fewer: int) -> np.ndarray:
    """W [fewer, pixels]: how much of each of the `fewer` equal intervals lies in each pixel; rows add up to 1."""
    edges, left = np.linspace(0, pixels, fewer + 1)[:, None], np.arange(pixels)
    return (np.minimum(edges[1:], left + 1) - np.maximum(edges[:-1], left)).clip(min=0) * (fewer / pixels)
