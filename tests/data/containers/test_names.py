"""Arrays told apart by their names."""

import numpy as np
import pytest

from vaelab.data.containers.member import Member
from vaelab.data.containers.names import Arrays


def found(names: str, options: dict | None = None, images: str | None = None):
    """The names of the images and of the labels in each split."""
    named = [Member(n, (9,) if n[-1] == "L" else (9, 4, 4), np.dtype("u1"), lambda: np.zeros(0)) for n in names.split()]
    named = [Member(m.name.removesuffix("L"), m.shape, m.dtype, m.read) for m in named]
    arrays = Arrays.of(named, "x.npz", options or {})
    images_of, labels = arrays.images(images, None), arrays.labels(None)
    return " ".join(m.name for m in images_of.values()), " ".join(m.name for m in labels.values())


@pytest.mark.parametrize(
    ("names", "images", "labels"),
    [
        ("x_train y_trainL x_test y_testL", "x_train x_test", "y_train y_test"),
        (
            "train_images train_labelsL val_images val_labelsL test_images test_labelsL",
            "train_images val_images test_images",
            "train_labels val_labels test_labels",
        ),
        ("train/images train/labelsL test/images test/labelsL", "train/images test/images", "train/labels test/labels"),
        ("trainX trainYL testX testYL", "trainX testX", "trainY testY"),
        ("train test train_labelsL test_labelsL", "train test", "train_labels test_labels"),
        ("X yL", "X", "y"),
        ("imgs coarse_labelsL fine_labelsL metadataL", "imgs", ""),
        ("anything digit_labelsL", "anything", "digit_labels"),
        ("data/train/x data/train/yL data/test/x", "data/train/x data/test/x", "data/train/y"),
        ("mean x_train x_test", "x_train x_test", ""),
        ("Train/Images Validation/Images", "Train/Images Validation/Images", ""),
    ],
)
def test_layouts_that_people_have_are_understood(names, images, labels):
    assert found(names) == (images, labels)


def test_options_say_how_splits_and_images_are_called():
    assert found("a/x a/yL b/x", {"train": "a", "test": "b"}) == ("a/x b/x", "a/y")
    assert found("one two", {"train": "two", "valid": "one"}) == ("two one", "")
    assert found("train_pre train_raw", images="raw")[0] == "train_raw"
    assert found("train_pre train_raw", images="train_pre")[0] == "train_pre"
