"""Labels in files, as classes counted from 0."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from vaelab.data.containers.member import Member
from vaelab.errors import UsageError

Classes = tuple[dict[str, Tensor], tuple[str, ...] | None]


def as_classes(members: Mapping[str, Member], where: str, named: bool) -> Classes:
    """The class of each image, int64 [N], by split, and the names of the classes where labels are text.

    Numbers stay as they are; of rows that mark one class each, it is that one. UsageError for text in a split that
    training lacks; for labels that are no classes if they were `named`, else there are none.
    """
    if not named and any(len(member.shape) not in (1, 2) for member in members.values()):
        return {}, None
    arrays = {split: _flat(member.read()) for split, member in members.items()}
    odd = next((split for split, y in arrays.items() if y is None), None)
    if odd is not None:
        if not named:
            return {}, None
        raise UsageError(f"{where}: {members[odd]} are no classes of images", "give data.labels a number for each")
    found = {split: y for split, y in arrays.items() if y is not None}
    if all(y.dtype.kind in "US" for y in found.values()):
        return _by_text({split: np.char.decode(y) if y.dtype.kind == "S" else y for split, y in found.items()}, where)
    return {split: torch.from_numpy(y.astype(np.int64)) for split, y in found.items()}, None


def _flat(y: np.ndarray) -> np.ndarray | None:
    """Labels [N] of one for each image, of a column of them, or of rows that mark a class; None of anything else."""
    y = y.astype(str) if y.dtype.kind in "OT" else y  # text of any length
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.dtype.kind in "buif" and ((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all():
        return y.argmax(1)
    whole = y.dtype.kind in "buiUS" or (y.dtype.kind == "f" and bool((y == np.floor(y)).all()))
    return y if y.ndim == 1 and whole else None


def _by_text(labels: Mapping[str, np.ndarray], where: str) -> Classes:
    classes = np.unique(labels["train"])
    for split, y in labels.items():
        if len(unknown := np.setdiff1d(y, classes)):
            raise UsageError(
                f"{where} has the label {str(unknown[0])!r} in {split}, which no training image has",
                "label them alike, or leave these images out",
            )
    return {k: torch.from_numpy(np.searchsorted(classes, y)) for k, y in labels.items()}, tuple(map(str, classes))
