from dataclasses import replace

import pytest
import torch
from scipy.stats import mannwhitneyu

from vaelab.data import load
from vaelab.data.source import Dataset
from vaelab.errors import NotApplicable
from vaelab.metrics.memorisation import copying_z, memorisation, memorised_share, train_share
from vaelab.registry.schema import build

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """Digits: 600 to train on, 400 held out, and as `valid` 400 fresh ones that stand for samples."""
    return load("digits", train_size=600, valid_size=400, test_size=400)


def judge(digits: Dataset, fake: torch.Tensor):
    return memorisation(
        digits.test, digits, fake, CPU, quantile=0.02, extractor=build("extractor", "pixels", device=CPU)
    )


def assert_innocent(found) -> None:
    """Within 4.5 standard errors of what images give that the training images have nothing to do with."""
    low, high = found.intervals["train_share"]
    assert abs(found.values["train_share"] - 0.5) < 4.5 * (high - low) / 2 / 1.96
    assert abs(found.values["copying_z"]) < 4.5
    assert found.values["nearest_ratio"] == pytest.approx(1, abs=0.1)  # medians of 400 that vary by a quarter
    assert found.notes == []


def test_fresh_real_images_are_innocent(digits):
    found = judge(digits, digits.valid.images)
    assert_innocent(found)
    assert found.protocol["training_images"] == 600


def test_copies_of_training_images_are_found(digits):
    found = judge(digits, digits.train.images[:300])
    assert found.values["memorised"] == 1
    assert found.values["nearest_ratio"] == pytest.approx(0, abs=1e-3)
    assert found.values["copying_z"] < -10
    assert found.intervals["train_share"][0] > 0.5
    assert found.notes[0].endswith("copying")


def test_a_few_copies_among_fresh_images_are_found(digits):
    found = judge(digits, torch.cat([digits.valid.images[:350], digits.train.images[:50]]))
    assert found.values["memorised"] >= 50 / 400
    assert found.notes


def test_smooth_images_are_near_but_no_copies(digits):
    """Halfway to the mean of their class, as a VAE's samples are, they are near to all images, held out or not."""
    x, labels = digits.valid.images.float(), digits.valid.labels
    means = torch.stack([x[labels == label].mean(0) for label in range(10)])
    found = judge(digits, ((x + means[labels]) / 2).round().byte())
    assert found.values["copying_z"] < -5
    assert "smooth or typical" in found.notes[0]


def test_a_foreign_set_without_held_out_images_is_refused(digits):
    with pytest.raises(NotApplicable, match="not trained on"):
        judge(replace(digits, test=digits.train), digits.valid.images)
    with pytest.raises(NotApplicable, match="not trained on"):
        judge(replace(digits, test=digits.train[:100]), digits.valid.images)


def test_where_training_images_are_drawn_anew_they_are_binary_as_the_others():
    data = load("digits", binarise="dynamic", train_size=600, valid_size=400, test_size=400)
    assert_innocent(judge(data, data.valid.images))


def test_any_number_of_images_has_a_quantile():
    """Also where that is the nearest or the farthest of all, and rounding would go beyond."""
    for count in range(2, 300):
        distances = torch.linspace(0, 1, count)
        for share in (0.01, 0.5, 0.99):
            assert abs(memorised_share(distances, distances, share)[0] - share) <= 1.5 / count + 1e-9


def test_copying_z_is_mann_whitneys():
    first, second = torch.randn(60).double(), torch.randn(80).double() + 0.4
    u = mannwhitneyu(first, second).statistic  # pairs in which the first is larger
    expected = (u - 60 * 80 / 2) / (60 * 80 * 141 / 12) ** 0.5
    assert copying_z(first, second) == pytest.approx(expected)
    assert copying_z(first, second) < 0 < copying_z(second, first)
    assert copying_z(first, first) == pytest.approx(0)


@pytest.mark.parametrize("in_training", [True, False])
def test_one_image_that_attracts_all_samples_is_no_evidence(in_training):
    """Two samples of one law, and beside them images far off, as a poor model draws them: chance says to which."""
    train, held = torch.randn(200, 8), torch.randn(200, 8)
    (train if in_training else held)[0] = 20
    share, (low, high) = train_share(30 + torch.randn(300, 8), train, held)
    assert share == float(in_training) and low < 0.5 < high


def test_train_share_covers_one_half_as_often_as_it_claims():
    """Points of one distribution, of unequal numbers, which must not matter."""
    found = [train_share(torch.randn(150, 8), torch.randn(200, 8), torch.randn(100, 8)) for _ in range(200)]
    covered = torch.tensor([low <= 0.5 <= high for _, (low, high) in found]).float().mean().item()
    assert covered >= 0.95 - 4 * (0.95 * 0.05 / 200) ** 0.5


def test_ties_count_half():
    points = torch.randn(20, 3)
    assert train_share(points, points, points)[0] == 0.5
