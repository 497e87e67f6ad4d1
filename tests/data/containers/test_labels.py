"""Labels of many forms, as classes."""

import numpy as np
import pytest

from vaelab.data.containers.labels import as_classes
from vaelab.data.containers.member import Member
from vaelab.errors import UsageError


def member(y) -> Member:
    y = np.asarray(y)
    return Member("y", y.shape, y.dtype, lambda: y)


@pytest.mark.parametrize(
    "y",
    [
        np.array([2, 0, 1], np.uint8),
        np.array([2, 0, 1], ">i4"),
        [2.0, 0.0, 1.0],
        [[2], [0], [1]],
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        ["c", "a", "b"],
        [b"c", b"a", b"b"],
    ],
)
def test_labels_of_any_form_are_numbers_from_zero(y):
    found, classes = as_classes({"train": member(y)}, "x.npz", named=False)
    assert found["train"].tolist() == [2, 0, 1]
    assert classes == (("a", "b", "c") if np.asarray(y).dtype.kind in "US" else None)


@pytest.mark.parametrize("y", [[0.5, 1, 2], [[0, 1, 1], [1, 0, 0]], [[[1]], [[2]]], [np.nan, 0, 1]])
def test_what_are_no_classes_is_left_out_unless_it_was_named(y):
    assert as_classes({"train": member(y)}, "x.npz", named=False) == ({}, None)
    with pytest.raises(UsageError, match=r"x\.npz: y .* are no classes of images; give data.labels a number for each"):
        as_classes({"train": member(y)}, "x.npz", named=True)


def test_a_class_that_training_lacks_is_refused():
    with pytest.raises(UsageError, match=r"x\.npz has the label 'c' in test, which no training image has"):
        as_classes({"train": member(["a", "b"]), "test": member(["c"])}, "x.npz", named=False)
