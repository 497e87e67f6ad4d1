"""What the subfolders of a folder of images mean."""

from pathlib import Path

import pytest

from vaelab.data.annotations.layout import laid_out
from vaelab.errors import UsageError

ROOT = Path("photos")


@pytest.mark.parametrize(
    ("names", "splits", "labels", "classes"),
    [
        (["b.png", "a.png"], None, None, None),
        (["b/2.png", "a/1.png"], None, [1, 0], ("a", "b")),
        (["a/b/2.png", "a/1.png"], None, None, None),
        (["test/2.png", "train/1.png"], [2, 0], None, None),
        (["Validation/2.png", "Train/1.png", "testing/0.png"], [1, 0, 2], None, None),
        (["train/b/2.png", "train/a/1.png"], [0, 0], [1, 0], ("a", "b")),
        (["train/b/2.png", "train/a/1.png", "test/b/c/1.png"], [0, 0, 2], [1, 0, 1], ("a", "b")),  # a class may miss
        (["train/all/2.png", "test/all/1.png"], [0, 2], None, None),
        (["training.png", "tests/1.png", "tests/2.png"], None, None, None),
    ],
)
def test_splits_classes_and_classes_within_splits_are_told_apart(names, splits, labels, classes):
    found = laid_out(names, ROOT)
    assert (found.splits is None and splits is None) or found.splits.tolist() == splits
    assert (found.labels is None and labels is None) or found.labels.tolist() == labels
    assert found.classes == classes


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train/1.png", "cats/1.png"], "photos has train/ beside cats/; set data.folders=classes if"),
        (["train/1.png", "2.png"], "photos has train/ beside images outside of folders; set"),
        (
            ["test/1.png", "val/2.png"],
            "photos has test/, val/ and no train/; add that, name another folder",
        ),
        (
            ["train/1.png", "val/2.png", "valid/3.png"],
            "photos has train/, val/, valid/, two of which are the same split",
        ),
        (
            ["train/a/1.png", "train/b/2.png", "test/c/3.png"],
            "photos has the classes a/, b/ in its train folder, to which test/c/3.png does not fit; give every",
        ),
        (["train/a/1.png", "train/b/2.png", "test/3.png"], "to which test/3.png does not fit"),
        (
            ["train/1.png", "test/b/2.png", "test/c/3.png"],
            "photos has no classes in its train folder, to which test/b/2",
        ),
    ],
)
def test_what_may_mean_two_things_is_refused_with_the_fix(names, said):
    with pytest.raises(UsageError) as error:
        laid_out(names, ROOT)
    assert said in str(error.value)
    assert laid_out(names, ROOT, "classes").splits is None


def test_splits_that_are_asked_for_must_be_there():
    with pytest.raises(UsageError, match="photos has a/, b/ and no train/; add that"):
        laid_out(["a/1.png", "b/2.png"], ROOT, "splits")
    with pytest.raises(UsageError, match="photos has images and no train/; add that"):
        laid_out(["1.png"], ROOT, "splits")
