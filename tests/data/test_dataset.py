"""Sets of arrays at hand, in any form."""

import numpy as np
import pytest
import torch

from vaelab.data import as_dataset
from vaelab.data.dataset import Dataset
from vaelab.data.images import to_bytes
from vaelab.errors import UsageError


def test_arrays_at_hand_become_a_set_with_the_options_of_all_sets():
    x, y = np.random.default_rng(0).integers(256, size=(20, 6, 5)) / 255, np.arange(20) % 3
    data = Dataset.of(x, y, valid_size=4, test_size=3, seed=2, pad=1)
    assert [len(s) for s in (data.train, data.valid, data.test)] == [13, 4, 3]
    assert (data.x_shape, data.class_count, data.name) == ((1, 8, 7), 3, "arrays")
    levels = {image.numpy().tobytes(): int(label) for image, label in zip(to_bytes(torch.as_tensor(x)), y, strict=True)}
    for image, label in zip(data.train.images[:, 0, 1:-1, 1:-1], data.train.labels, strict=True):
        assert levels[image.contiguous().numpy().tobytes()] == label
    official = Dataset.of(torch.full((9, 3, 4, 4), 7, dtype=torch.uint8), test=(torch.zeros(2, 3, 4, 4), None))
    assert (len(official.train), len(official.valid), len(official.test)) == (8, 1, 2)
    assert official.split_by == "its caller"


@pytest.mark.parametrize(
    ("x", "options", "said"),
    [
        (np.zeros((9, 4)), {}, r"train images is \[9, 4\], and a set is \[N, H, W\] or \[N, C, H, W\]"),
        (np.zeros((9, 40, 30, 4)), {}, r"is \[9, 40, 30, 4\], which looks like \[N, H, W, C\]; give axes: NHWC"),
        (np.zeros((9, 4, 4)), {"axes": "NCHW"}, r"is \[9, 4, 4\], which is not \[N, C, H, W\]"),
        (np.zeros((9, 4, 4)), {"axes": "NXY"}, "axes 'NXY' is no order of images; give NHW"),
        (np.full((9, 4, 4), 2.5), {}, "the images are 2.5 in nearly every pixel"),
        (
            np.where(np.arange(144).reshape(9, 4, 4) % 16 == 6, np.nan, 0.3),
            {},
            "have 9 values NaN or infinite, the first at image 0, channel 0, row 1, column 2; mend them",
        ),
        (
            np.full((9, 4, 4), 3),
            {},
            "the data holds the train images as int64, and values are uint8",
        ),
        (["a", "b"], {}, "the array of train images is no array"),
        (np.zeros((9, 4, 4)), {"labels": np.zeros(9)}, "labels as float64, and classes are counted in int64"),
        (np.zeros((9, 4, 4)), {"resise": 3}, "did you mean 'resize'"),
        (np.zeros((2, 4, 4)), {}, "the train split needs 1 images, 0 of 2 are left"),
    ],
)
def test_what_are_no_images_or_options_is_refused(x, options, said):
    with pytest.raises(UsageError, match=said):
        Dataset.of(x, **options)


def test_a_set_is_given_in_any_form():
    x, y = torch.rand(20, 1, 4, 4), torch.arange(20) % 2
    whole = as_dataset({"train": (x, y), "valid": (x[:3], y[:3]), "test": (x[3:5], y[3:5])})
    assert [len(s) for s in (whole.train, whole.valid, whole.test)] == [20, 3, 2] and whole.class_count == 2
    assert as_dataset(whole) is whole and not whole.binary
    assert as_dataset(x).digest == as_dataset({"train": x.numpy(), "valid": None}).digest == Dataset.of(x).digest
    assert as_dataset((x.round(), y)).binary
    assert as_dataset({"kind": "digits", "train_size": 9}).x_shape == as_dataset("digits").x_shape == (1, 8, 8)


IMAGES = torch.rand(9, 4, 4)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"train": IMAGES, "vaild": IMAGES}, "data has no split 'vaild'; name its images train, valid and test"),
        ({"valid": IMAGES}, "there are no images to train on; give data"),
        (None, "there are no images to train on; give data"),
        ((IMAGES, IMAGES, IMAGES), r"the train split is 3 things; give images, or \(images, labels\)"),
        ({"train": IMAGES, "test": IMAGES[:, 1:]}, "images of different shapes, train 1×4×4, test 1×3×4"),
        ("mnits", "did you mean 'mnist'"),
    ],
)
def test_what_is_no_set_is_refused(data, said):
    with pytest.raises(UsageError, match=said):
        as_dataset(data)


@pytest.mark.parametrize(
    ("highest", "scale", "said"),
    [
        (4095, "full", "seed; dark, since they reach 4,095 of 65,535: set data.scale to percentile, or to {low: 0, hi"),
        (0, "full", "seed; dark, since they reach 1 of 65,535"),
        (9000, "full", "split by seed"),
        (4095, {"low": 0, "high": 4095}, "split by seed"),
    ],
)
def test_images_of_few_of_16_bits_are_said_to_be_dark(highest, scale, said):
    x = np.zeros((300, 4, 4), np.uint16)
    x[:, 2, 1] = highest
    summary = Dataset.of(x, scale=scale).summary
    assert said in summary and ("dark" in summary) == ("dark" in said)
