"""Intervals that are called 95 % cover the truth in 92 to 98 % of repetitions, whichever metric gives them."""

import math
from collections.abc import Callable

import pytest
import torch
from scipy.stats import binom
from torch import Tensor

from vaelab.data.source import Split
from vaelab.evaluation.table import Cell, pooled
from vaelab.metrics.ais import ais
from vaelab.metrics.elbo_surgery import elbo_surgery
from vaelab.metrics.frechet import extrapolated
from vaelab.metrics.intervals import ENOUGH, mean_interval, share_interval
from vaelab.metrics.kernel import interval_of, kernel_distance
from vaelab.metrics.likelihood import likelihood
from vaelab.metrics.measurement import Measurement
from vaelab.metrics.memorisation import memorised_share, train_share
from vaelab.metrics.precision_recall import intervals_of, overlap
from vaelab.metrics.reconstruction import reconstruction
from vaelab.metrics.sharpness import sharpness
from vaelab.registry import names

MEANS = {
    "likelihood",
    "ais",
    "elbo_surgery",
    "reconstruction",
    "sharpness",
    "lpips",
    "probe",
}  # of `Measurement.over_images`
OTHERS = {"frechet", "kernel", "precision_recall", "memorisation"}
WITHOUT = {"active_units", "aggregate", "disentanglement"}

Found = tuple[dict[str, float], dict[str, tuple[float, float]]]


def assert_covers(repeat: Callable[[], Found], times: int, **truth: float) -> None:
    """The truth of what is not given is the mean of the repetitions."""
    found = [repeat() for _ in range(times)]
    for name in found[0][1]:
        true = truth[name] if name in truth else math.fsum(values[name] for values, _ in found) / times
        share = sum(intervals[name][0] <= true <= intervals[name][1] for _, intervals in found) / times
        assert 0.92 <= share <= 0.98, f"{name}: {share:.3f}"


def test_every_metric_has_its_law_here():
    assert set(names("metric")) == MEANS | OTHERS | WITHOUT


@pytest.mark.parametrize("count", [ENOUGH, 16, 100])
@pytest.mark.parametrize(
    ("draw", "mean"), [(torch.randn, 0.0), (torch.rand, 0.5), (lambda *n: torch.rand(*n).log().neg(), 1.0)]
)
def test_means(draw, mean, count):
    assert_covers(lambda: ({}, {"mean": mean_interval(draw(count).double())}), 1000, mean=mean)


@pytest.mark.parametrize(("count", "share"), [(40, 0.5), (40, 0.8), (100, 0.95), (1000, 0.99)])
def test_shares(count, share):
    """Without chance: over all numbers of hits."""
    ends = [share_interval((torch.arange(count) < hits).double()) for hits in range(count + 1)]
    covers = [low <= share <= high for low, high in ends]
    assert 0.92 <= (binom.pmf(range(count + 1), count, share) * covers).sum() <= 0.98


@pytest.mark.parametrize("count", [1, ENOUGH - 1])
def test_too_few_images_have_no_interval(count):
    found = Measurement.over_images({"number": torch.rand(count), "hit": torch.rand(count) < 0.5})
    assert set(found.values) == {"number", "hit"}
    assert found.intervals == {}
    assert found.notes == [f"{count} images are too few for a 95 % interval, which takes {ENOUGH}"]


def test_metrics_that_are_means_over_images(linear_gaussian):
    model = linear_gaussian(off=0.2)

    def repeat() -> Found:
        split = Split((model.images(32).clamp(0, 1) * 255).round().byte())
        edges = Split((torch.rand(32, 1, 6, 6) * torch.rand(32, 1, 1, 1) * 255).byte())
        seed = int(torch.randint(2**31, ()))
        found = [likelihood(model, split, samples=4, seed=seed), elbo_surgery(model, split, seed=seed)]
        found += [ais(model, split, temperatures=1, chains=1, leapfrog=1, seed=seed)]
        found += [reconstruction(model, split), sharpness(edges, edges.images)]
        merged: Found = ({}, {})
        for measured in found:
            for table, more in zip(merged, (measured.values, measured.intervals), strict=True):
                table.update(more)
        return merged

    assert_covers(repeat, 500)


def shifted(count: int, dims: int, shift: float, scale: float) -> Tensor:
    return torch.randn(count, dims) * scale + shift


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.4, 0.8)], ids=["alike", "different"])
class TestDistancesOfSets:
    """Of sets that are alike, whose distances depend on pairs of images, and of others."""

    def test_precision_recall(self, shift, scale):
        def repeat() -> Found:
            real, fake = torch.randn(90, 8), shifted(90, 8, shift, scale)
            columns = overlap(real, fake, 4)._asdict()
            values = {name: column.double().mean().item() for name, column in columns.items()}
            return values, intervals_of(values, real, fake, 4)

        assert_covers(repeat, 200)

    def test_frechet(self, shift, scale):
        def repeat() -> Found:
            both = extrapolated(torch.randn(100, 6), shifted(80, 6, shift, scale))[:2]
            found = dict(zip(("frechet", "frechet_unbiased"), both, strict=True))
            return {n: e.value for n, e in found.items()}, {n: e.interval for n, e in found.items()}

        assert_covers(repeat, 400, frechet_unbiased=6 * (shift**2 + (1 - scale) ** 2))

    def test_kernel(self, shift, scale):
        def repeat() -> Found:
            distance = kernel_distance(torch.randn(100, 8), shifted(80, 8, shift, scale))
            return {"kernel": distance.value}, {"kernel": interval_of(distance)}

        assert_covers(repeat, 400, **({"kernel": 0.0} if scale == 1 else {}))


@pytest.mark.parametrize("copied", [0.0, 0.5, 0.9])
def test_memorisation(copied):
    """With so many of the samples close to training images, or to their distances."""

    def repeat() -> Found:
        train, held, fake = torch.randn(120, 6), torch.randn(100, 6), torch.randn(100, 6)
        copies = torch.rand(100) < copied
        fake[copies] = train[torch.randint(120, (int(copies.sum()),))] + 0.1 * torch.randn(int(copies.sum()), 6)
        near, share = (
            memorised_share(torch.rand(150) * (1 - 0.98 * copied), torch.rand(150), 0.05),
            train_share(fake, train, held),
        )
        return {"memorised": near[0], "train_share": share[0]}, {"memorised": near[1], "train_share": share[1]}

    assert_covers(repeat, 500, **({} if copied else {"memorised": 0.05, "train_share": 0.5}))


def test_seeds_side_by_side():
    def repeat() -> Found:
        cell = pooled([Cell(value, None) for value in torch.randn(3).tolist()])
        return {}, {"seeds": cell.interval or (0.0, 0.0)}

    assert_covers(repeat, 1000, seeds=0.0)
