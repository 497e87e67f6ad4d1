"""What a `read` may return, and what is said to who wrote one that returns something else."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from vaelab import registry
from vaelab.data import load
from vaelab.data.checks import checked
from vaelab.data.source import Pool, Source, Split
from vaelab.errors import UsageError

IMAGES = torch.arange(10 * 3 * 4 * 5).reshape(10, 3, 4, 5).to(torch.uint8)
LABELS = torch.arange(10) % 2
NAMES = ("even", "odd")


def labelled(labels) -> Pool:
    return Pool(Split(IMAGES, labels), classes=NAMES)


WRONG = {
    "nothing": (None, "returns a NoneType; return a Pool, such as Pool(Split(images, labels))"),
    "a split": (Split(IMAGES), "returns a vaelab.data.split.Split; return a Pool"),
    "a tensor as split": (Pool(IMAGES), "returns a torch.Tensor as train; make it a Split"),
    "an array": (Pool(Split(IMAGES.numpy())), "the train images as a numpy.ndarray; make them a tensor"),
    "integers": (
        Pool(Split(IMAGES.int())),
        "the train images as int32, and values are uint8, uint16 or float32; give images.float()",
    ),
    "floats of levels": (
        Pool(Split(IMAGES.double())),
        "as float64, and values are uint8, uint16 or float32; give images.float()",
    ),
    "bits": (
        Pool(Split(IMAGES > 9)),
        "as bool, and values are uint8, uint16 or float32; give images.to(torch.uint8) * 255",
    ),
    "levels 0 and 1": (Pool(Split((IMAGES > 9).byte())), "levels 0 and 1 only, and white is 255; give images * 255"),
    "no channels": (Pool(Split(IMAGES[:, 0])), "as [10, 4, 5], and a set is [N, C, H, W]; give images[:, None]"),
    "too many channels": (
        Pool(Split(IMAGES.repeat(1, 6, 6, 6))),
        "the train images as [10, 18, 24, 30], and 16 channels are the most",
    ),
    "other types": (
        Pool(Split(IMAGES), test=Split(IMAGES.float())),
        "of different types, train uint8, test",
    ),
    "channels last": (
        Pool(Split(IMAGES.movedim(1, -1))),
        "channels last, and a set is [N, C, H, W]; give images.movedim",
    ),
    "no images": (Pool(Split(IMAGES), Split(IMAGES[:0])), "no valid images: their shape is [0, 3, 4, 5]"),
    "other sizes": (
        Pool(Split(IMAGES), test=Split(IMAGES[..., :4])),
        "images of different shapes, train 3×4×5, test 3×4×4; bring all to one",
    ),
    "labels in a list": (labelled([0, 1]), "the train labels as a list; give torch.as_tensor(labels)"),
    "short labels": (
        labelled(LABELS.int()),
        "the train labels as int32, and classes are counted in int64; give labels",
    ),
    "too few labels": (labelled(LABELS[:9]), "the train labels as [9] beside 10 images; give one number for each"),
    "labels from 1": (labelled(LABELS + 1), "train labels from 1 to 2 of 2 classes; count them from 0"),
    "negative labels": (Pool(Split(IMAGES, LABELS - 1)), "train labels from -1 to 0; count them from 0"),
    "labels of train only": (
        Pool(Split(IMAGES, LABELS), test=Split(IMAGES)),
        "train labels, test none; give labels to every split or to none",
    ),
    "classes that are numbers": (
        Pool(Split(IMAGES, LABELS), classes=(0, 1)),
        "classes as (0, 1); give a tuple of their",
    ),
    "factors of another length": (
        Pool(Split(IMAGES, None, torch.zeros(9, 2))),
        "the train factors as float32 [9, 2]; give float32 [10, F]",
    ),
    "unnamed factors": (
        Pool(Split(IMAGES, None, torch.zeros(10, 2)), factor_names=("x",)),
        "2 train factors and 1 names of them; give a name for each",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_pool_of_uint8_images_is_refused_with_the_fix(what):
    found, said = WRONG[what]

    class Toy(Source):
        def read(self, directory):
            return found

    with pytest.raises(UsageError) as error:
        Toy().load()
    assert str(error.value).startswith("Toy.read returns ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_right_comes_back_as_it_is():
    pool = Pool(Split(IMAGES, LABELS, torch.zeros(10, 2)), test=Split(IMAGES[:2], LABELS[:2]), classes=NAMES)
    assert checked(pool, "it") is pool
    dark = Pool(Split(torch.zeros_like(IMAGES)))
    assert checked(dark, "it") is dark


def test_a_read_that_fails_is_named_with_its_line():
    class Broken(Source):
        def read(self, directory):
            return {}["images"]

    with pytest.raises(UsageError, match=r"^Broken\.read fails at .*test_checks\.py:\d+: KeyError: 'images'; mend it$"):
        Broken().load()


def test_a_set_without_read_or_name_and_what_is_no_set_are_said(monkeypatch):
    @dataclass(frozen=True, kw_only=True)
    class Nameless(Source):
        pass

    monkeypatch.setitem(registry._TABLE["data"], "nameless", Nameless)
    monkeypatch.setitem(registry._TABLE["data"], "array", lambda: np.zeros(3))
    with pytest.raises(UsageError, match=r"Nameless has no read\(directory\); write one that returns a Pool"):
        load("nameless")
    with pytest.raises(UsageError, match=r"data 'array' gives ndarray; return a Source of vaelab\.data\.source"):
        load("array")

    class Named(Nameless):
        def read(self, directory):
            return Pool(Split(IMAGES))

    assert Named().load().name == "Named"
