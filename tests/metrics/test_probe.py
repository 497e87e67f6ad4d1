"""Probes of means that are known."""

import math

import pytest
import torch
from torch import Tensor, nn

from vaelab.data.source import Dataset, Split
from vaelab.distributions.normal import diagonal_normal
from vaelab.errors import NotApplicable
from vaelab.metrics.probe import hits, posterior_means, probe


class Pixels(nn.Module):
    """The posterior's means are the pixels."""

    classes = 0

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def q_z(self, x: Tensor, y: Tensor | None = None):
        return diagonal_normal(x.flatten(1), torch.zeros(x[0].numel()))


def split(labels: Tensor, told: bool = True) -> Split:
    """Two pixels: the first is 60 times the label or noise, the second is noise."""
    noise = torch.randint(0, 40, (len(labels), 2))
    noise[:, 0] += 60 * labels * told
    return Split(noise.byte()[:, None, None], labels)


def dataset(train: Split, test: Split) -> Dataset:
    return Dataset("toy", train, test, test)


def test_separate_classes_are_told():
    data = dataset(split(torch.arange(300) % 4), split(torch.arange(100) % 4))
    measured = probe(Pixels(), data.test, data)
    assert measured.values == {"probe_linear": 1, "probe_knn": 1}
    assert measured.intervals["probe_linear"] == pytest.approx((100 / (100 + 1.96**2), 1), abs=1e-4)  # Wilson's
    assert measured.protocol["fitted_on"] == 300
    assert measured.protocol["judged_on"] == 100
    assert measured.protocol["chance"] == 0.25
    assert not measured.notes


def test_means_that_know_nothing_give_chance(agrees):
    data = dataset(split(torch.arange(1000) % 2, told=False), split(torch.arange(2000) % 2, told=False))
    means = [posterior_means(Pixels(), part) for part in (data.train, data.test)]
    for column in hits(means[0], data.train.labels, means[1], data.test.labels).values():
        agrees(column, 0.5)


def test_rings_are_told_by_neighbours_only(agrees):
    """No line tells a disc from the ring around it; it can do no better than to call all the commoner one."""
    angle, labels = torch.rand(4000) * math.tau, (torch.rand(4000) < 0.5).long()
    means = (1.0 + labels)[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    columns = hits(means[:2000], labels[:2000], means[2000:], labels[2000:])
    assert columns["probe_knn"].all()
    agrees(columns["probe_linear"], 0.5)


def test_units_of_the_latents_do_not_matter_to_the_linear_probe():
    labels = torch.arange(400) % 3
    means = torch.randn(400, 3).double() + 2 * torch.eye(3)[labels]
    first, second = (
        hits(z[:200], labels[:200], z[200:], labels[200:]) for z in (means, means * torch.tensor([1e3, -1, 1e-3]))
    )
    assert torch.equal(first["probe_linear"], second["probe_linear"])


def test_classes_that_training_never_saw_count_as_errors():
    data = dataset(split(torch.arange(100) % 2), split(torch.arange(90) % 3))
    measured = probe(Pixels(), data.test, data)
    assert measured.values["probe_knn"] == pytest.approx(2 / 3)
    assert measured.notes == ["30 images are of classes that no training image has; they count as errors"]


def test_training_images_are_judged_with_a_warning_and_fitted_up_to_a_number():
    data = dataset(split(torch.arange(100) % 2), split(torch.arange(10) % 2))
    measured = probe(Pixels(), data.train, data, training_images=60)
    assert measured.protocol["fitted_on"] == 60
    assert "fitted on" in measured.notes[0]


@pytest.mark.parametrize(
    ("labels", "options", "says"),
    [
        (None, {}, "labels"),
        (torch.zeros(20).long(), {}, "two classes"),
        (torch.arange(20) % 2, {"neighbours": 30}, "lower probe.neighbours"),
    ],
)
def test_what_cannot_be_probed_says_why(labels, options, says):
    part = Split(torch.zeros(20, 1, 1, 2).byte(), labels)
    with pytest.raises(NotApplicable, match=says):
        probe(Pixels(), part, dataset(part, part), **options)
