"""Splits, shapes, binarising and flipping, on a small set whose every image carries its own number."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from vaelab.data import images, load
from vaelab.data.images import to_floats
from vaelab.data.source import Pool, Source, Split
from vaelab.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Toy(Source):
    """100 images of 7 × 5, no official split; label and first pixel are the image's number."""

    name: ClassVar = "toy"

    def read(self, directory):
        return Pool(numbered(0, 100))


@dataclass(frozen=True, kw_only=True)
class Official(Source):
    """80 training and 20 test images."""

    name: ClassVar = "official"

    def read(self, directory):
        return Pool(numbered(0, 80), test=numbered(80, 100))


def numbered(start: int, stop: int) -> Split:
    labels = torch.arange(start, stop)
    images = torch.arange(35).reshape(1, 1, 7, 5).repeat(len(labels), 1, 1, 1) * 7
    images[:, 0, 0, 0] = labels
    return Split(images.to(torch.uint8), labels, labels[:, None].float())


def numbers(data) -> list[list[int]]:
    return [split.labels.tolist() for split in (data.train, data.valid, data.test)]


def test_without_an_official_split_images_are_shuffled_and_cut_in_tenths():
    train, valid, test = numbers(Toy().load())
    assert (len(train), len(valid), len(test)) == (80, 10, 10)
    assert sorted(train + valid + test) == list(range(100))
    assert train != sorted(train)


def test_images_labels_and_factors_stay_together():
    for split in (Toy().load().train, Toy().load().test):
        assert split.images[:, 0, 0, 0].tolist() == split.labels.tolist() == split.factors[:, 0].tolist()


def test_the_seed_alone_decides_the_order():
    assert numbers(Toy(seed=3).load()) == numbers(Toy(seed=3).load())
    assert numbers(Toy(seed=3).load()) != numbers(Toy(seed=4).load())


def test_the_order_is_the_same_on_every_machine():
    assert numbers(Toy().load())[2] == [60, 26, 30, 85, 79, 46, 19, 76, 2, 82]


def test_fewer_training_images_leave_the_other_splits_alone():
    (train, *rest), (fewer, *same) = numbers(Toy().load()), numbers(Toy(train_size=7).load())
    assert fewer == train[:7]
    assert same == rest


def test_an_official_test_split_is_kept_and_valid_is_the_end_of_train():
    train, valid, test = numbers(Official(valid_size=5, test_size=12, seed=9).load())
    assert (train, valid, test) == (list(range(75)), list(range(75, 80)), list(range(80, 92)))


@pytest.mark.parametrize(
    "options, said",
    [
        ({"train_size": 81}, "train split needs 81 images, 80 of 100 are left"),
        ({"valid_size": 100}, "valid split needs 100 images, 90 of 100"),
        ({"test_size": 101}, "test split needs 101 images, 100 of 100"),
        ({"valid_size": 90}, "train split needs 1 images, 0 of 100"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_the_number_there_is(options, said):
    with pytest.raises(UsageError, match=said):
        Toy(**options).load()


def test_an_official_test_split_cannot_grow():
    with pytest.raises(UsageError, match="test split needs 21 images, 20 of 20"):
        Official(test_size=21).load()


def test_crop_takes_the_central_square():
    original, cropped = Toy().load().test.images, Toy(crop=3).load().test.images
    assert torch.equal(cropped, original[:, :, 2:5, 1:4])
    assert cropped.is_contiguous()


def test_resize_sets_the_shorter_side_and_keeps_proportions():
    assert Toy(resize=10).load().x_shape == (1, 14, 10)
    assert Toy(resize=5).load().x_shape == (1, 7, 5)
    assert Toy(crop=5, resize=8).load().x_shape == (1, 8, 8)


def test_resize_keeps_constant_images_and_the_mean_of_others():
    flat = torch.full((2, 3, 9, 6), 200, dtype=torch.uint8)
    assert Toy(resize=4).shape(flat).unique().tolist() == [200]
    images = Toy().load().train.images
    assert Toy(resize=10).shape(images).float().mean() == pytest.approx(images.float().mean().item(), rel=0.02)


@pytest.mark.parametrize("options", [{"resize": 10}, {"binarise": "fixed"}])
def test_working_in_pieces_changes_nothing(options, monkeypatch):
    """A piece is a number of pixels, so that a few large images take no more memory than many small ones."""
    whole, pieces = Toy(**options).load().train.images, []
    monkeypatch.setattr(images, "CHUNK", 1000)
    split = torch.Tensor.split
    monkeypatch.setattr(torch.Tensor, "split", lambda x, n: pieces.append(n * x[0].numel()) or split(x, n))
    assert torch.equal(Toy(**options).load().train.images, whole)
    assert pieces and max(pieces) <= 1000


def test_pad_surrounds_with_zeros_after_resizing():
    data = Toy(resize=10, pad=2).load()
    assert data.x_shape == (1, 18, 14)
    inner = data.test.images[:, :, 2:-2, 2:-2]
    assert torch.equal(inner, Toy(resize=10).load().test.images)
    assert data.test.images.sum() == inner.sum()


def test_too_large_a_crop_is_refused_with_the_largest_there_is():
    with pytest.raises(UsageError, match="crop 6 is larger than images of 7×5; crop at most 5"):
        Toy(crop=6).load()


def test_without_binarising_pixels_are_divided_by_255():
    data = Toy().load()
    x = data.augment(data.train.images)
    assert (x.dtype, data.binary) == (torch.float32, False)
    assert torch.equal(x * 255, data.train.images.float())
    assert to_floats(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [0, 1]


def test_threshold_splits_at_one_half():
    before, after = Toy().load().test.images, Toy(binarise="threshold").load().test.images
    assert torch.equal(after == 255, before / 255 > 0.5)
    assert after.unique().tolist() == [0, 255]


def test_fixed_binarising_draws_each_pixel_once_by_seed():
    one, same, other = (Toy(binarise="fixed", seed=s).load() for s in (1, 1, 2))
    assert one.binary
    assert one.train.images.unique().tolist() == [0, 255]
    assert torch.equal(one.train.images, same.train.images)
    assert not torch.equal(one.train.images[:, :, -1], other.train.images[:, :, -1])
    assert torch.equal(one.augment(one.train.images[:4]), one.augment(one.train.images[:4]))


def grey(level: int, count: int) -> Split:
    return Split(torch.full((count, 1, 10, 10), level, dtype=torch.uint8))


@pytest.mark.parametrize("mode", ["fixed", "dynamic"])
def test_pixels_are_drawn_with_their_own_probability(mode):
    class Grey(Source):
        name = "grey"

        def read(self, directory):
            return Pool(grey(51, 5000), grey(51, 5000), grey(102, 5000))

    data = Grey(binarise=mode).load()
    train = data.augment(data.train.images).mean()
    valid, test = (to_floats(s.images).mean() for s in (data.valid, data.test))
    error = 5 * (0.25 / 500_000) ** 0.5  # five standard errors
    assert train == pytest.approx(0.2, abs=error)
    assert valid == pytest.approx(0.2, abs=error)
    assert test == pytest.approx(0.4, abs=error)
    assert to_floats(data.valid.images).std() > 0.39


def test_dynamic_binarising_draws_training_batches_anew_and_the_others_once():
    data, again = Toy(binarise="dynamic").load(), Toy(binarise="dynamic").load()
    assert torch.equal(data.train.images, Toy().load().train.images)
    x, y = data.augment(data.train.images), data.augment(data.train.images)
    assert x.unique().tolist() == [0, 1]
    assert not torch.equal(x, y)
    assert data.test.images.unique().tolist() == [0, 255]
    assert torch.equal(data.test.images, again.test.images)


def test_augmentation_is_a_function_of_the_global_seed():
    data = Toy(binarise="dynamic", flip=True).load()
    torch.manual_seed(5)
    x = data.augment(data.train.images)
    torch.manual_seed(5)
    assert torch.equal(x, data.augment(data.train.images))


def test_flip_mirrors_about_half_of_the_training_images():
    data = Toy(flip=True).load()
    torch.manual_seed(0)
    batch = data.train.images.repeat(25, 1, 1, 1)
    x, plain = data.augment(batch), to_floats(batch)
    mirrored = (x == plain.flip(-1)).all((1, 2, 3))
    assert ((x == plain).all((1, 2, 3)) | mirrored).all()
    assert mirrored.float().mean() == pytest.approx(0.5, abs=5 * (0.25 / 2000) ** 0.5)


def test_augmentation_compiles_as_one_graph():
    data = Toy(binarise="dynamic", flip=True).load()
    compiled = torch.compile(data.augment, backend="eager", fullgraph=True)
    torch.manual_seed(1)
    x = compiled(data.train.images)
    torch.manual_seed(1)
    assert torch.equal(x, data.augment(data.train.images))


def test_a_split_can_be_sliced_and_indexed():
    split = Toy().load().train
    assert len(split[:7]) == 7
    assert split[torch.tensor([5, 2])].labels.tolist() == [split.labels[5], split.labels[2]]
    assert split[:7].images.data_ptr() == split.images.data_ptr()


def test_digits_are_1797_grey_images_of_ten_classes():
    data = load("digits")
    assert [len(s) for s in (data.train, data.valid, data.test)] == [1297, 250, 250]
    assert (data.name, data.x_shape, data.classes) == ("digits", (1, 8, 8), tuple("0123456789"))
    assert data.train.images.dtype == torch.uint8
    assert data.train.images.max() == 255
    assert np.bincount(data.train.labels).min() > 100


def test_digits_resized():
    assert load("digits", resize=16, pad=1).x_shape == (1, 18, 18)
