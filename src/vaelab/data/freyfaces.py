"""Frey faces: 1,965 frames of one face, 28 × 20 pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vaelab.data.containers.formats import opened_mat, read_npz
from vaelab.data.source import Pool, Source, Split
from vaelab.errors import Damaged
from vaelab.io.places import Directory, File, fetch, locate
from vaelab.registry import Size, register

ORIGINAL = File("freyfaces/frey_rawface.mat", "https://cs.nyu.edu/~roweis/data/frey_rawface.mat")


@register("data", "freyfaces")
@dataclass(frozen=True, kw_only=True)
class FreyFaces(Source):
    """Frey faces (Roweis, Saul & Hinton 2002), shuffled into 1,565 / 200 / 200 (Tomczak & Welling 2018).

    Read from `freyfaces.npz`, else from the original `frey_rawface.mat`; no hash of that was published, so
    its shape and its range of values are what is checked. Frames of a video resemble each other across the
    splits.
    """

    valid_size: Size | None = 200
    test_size: Size | None = 200

    def read(self, directory: Directory) -> Pool:
        """From `freyfaces/`, in either format."""
        if path := locate("freyfaces/freyfaces.npz", directory):
            (faces,) = read_npz(path, {"x": (1965, 28, 20)})
        else:
            faces = _read_mat(fetch(ORIGINAL, directory, _read_mat))
        return Pool(Split(torch.from_numpy(faces)[:, None]))


def _read_mat(path: Path) -> np.ndarray:
    """Key `ff`, one face per column -> uint8 [1965, 28, 20]."""
    with opened_mat(path) as content:
        pixels = content["ff"]
    if pixels.shape != (560, 1965) or pixels.min() < 0 or pixels.max() > 255 or pixels.max() <= 1:
        raise Damaged(path, f"ff is {pixels.shape} and should be 560 × 1965 grey levels from 0 to 255")
    return np.ascontiguousarray(pixels.T.astype(np.uint8)).reshape(-1, 28, 20)
