import math

import pytest
import torch

from vaelab.data.source import Split
from vaelab.errors import NotApplicable
from vaelab.metrics.frechet import extrapolated, frechet, frechet_distance
from vaelab.registry.schema import build

CPU = torch.device("cpu")


def frechet_of_moments(mean1, cov1, mean2, cov2):
    """Of N(mean1 [F], cov1 [F, F]) and N(mean2, cov2) (Dowson & Landau 1982), in float64."""
    roots = [torch.linalg.eigh(cov.double()) for cov in (cov1, cov2)]
    a, b = (vectors * values.clamp(min=0).sqrt() for values, vectors in roots)
    trace = cov1.double().trace() + cov2.double().trace() - 2 * torch.linalg.svdvals(a.T @ b).sum()
    return ((mean1.double() - mean2.double()).square().sum() + trace).item()


def covariance(dims: int) -> torch.Tensor:
    root = torch.randn(dims, dims).double() / dims**0.5
    return root @ root.T


@pytest.fixture
def judge():
    """frechet(real images, fake images) on their pixels."""
    pixels = build("extractor", "pixels", device=CPU)
    return lambda real, fake, **options: frechet(Split(real), fake, CPU, extractor=pixels, **options)


def images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8)


def test_gaussians_that_commute_have_the_distance_of_their_means_and_deviations():
    first, second = torch.rand(20).double(), torch.rand(20).double()
    turn = torch.linalg.qr(torch.randn(20, 20).double()).Q
    mean1, mean2 = torch.randn(2, 20).double()
    expected = (mean1 - mean2).square().sum() + (first - second).square().sum()
    covs = [turn @ torch.diag(d**2) @ turn.T for d in (first, second)]
    assert frechet_of_moments(mean1, covs[0], mean2, covs[1]) == pytest.approx(expected.item(), rel=1e-6)


def test_general_gaussians_follow_the_formula():
    mean1, mean2 = torch.randn(2, 12).double()
    cov1, cov2 = covariance(12), covariance(12)
    root = torch.linalg.eigvals(cov1 @ cov2).sqrt().real.sum()
    expected = (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * root
    assert frechet_of_moments(mean1, cov1, mean2, cov2) == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(("n", "m", "dims"), [(300, 200, 30), (40, 300, 100), (30, 20, 100)])
def test_features_have_the_distance_of_their_moments(n, m, dims):
    real, fake = torch.randn(n, dims), torch.rand(m, dims) + 0.2
    moments = [part for x in (real, fake) for part in (x.double().mean(0), x.double().T.cov())]
    assert frechet_distance(real, fake).value == pytest.approx(frechet_of_moments(*moments), rel=1e-6)


def test_affine_laws():
    real, fake, shift = torch.randn(200, 10), torch.rand(150, 10), torch.randn(10)
    plain = frechet_distance(real, fake).value
    assert frechet_distance(3 * real + shift, 3 * fake + shift).value == pytest.approx(9 * plain, rel=1e-6)
    assert frechet_distance(fake, real).value == pytest.approx(plain, rel=1e-9)
    assert frechet_distance(real, real).value == pytest.approx(0, abs=1e-9)
    moved = frechet_distance(real.double(), real.double() + shift.double()).value
    assert moved == pytest.approx(shift.double().square().sum().item(), rel=1e-9)


@pytest.mark.parametrize(("n", "m", "dims"), [(60, 50, 8), (12, 15, 30)])
def test_influence_is_the_slope_of_the_distance_in_the_weight_of_an_image(n, m, dims):
    real, fake = torch.randn(n, dims).double(), torch.rand(m, dims).double()
    found = frechet_distance(real, fake).real

    def weighted(more: float) -> float:
        """The distance when the first image has `more` of all weight, and the others so much less."""
        weights = torch.full((n,), (1 - more) / n, dtype=torch.double)
        weights[0] += more
        mean = weights @ real
        cov = (weights * (real - mean).T) @ (real - mean) * n / (n - 1)
        return frechet_of_moments(mean, cov, fake.mean(0), fake.T.cov())

    slope = (weighted(1e-4) - weighted(-1e-4)) / 2e-4
    rounding = dims * torch.finfo(torch.double).eps ** 0.5 / 2e-4  # of the roots of a singular covariance
    assert found[0].item() == pytest.approx(slope, rel=1e-5, abs=rounding)
    assert found.mean().item() == pytest.approx(0, abs=1e-9)


@pytest.fixture(scope="module")
def repeated():
    """The estimates on 60 pairs of sets of two known Gaussians in 32 dimensions, and the true distance."""
    generator, dims, count = torch.Generator().manual_seed(3), 32, 300
    scales = torch.arange(1, dims + 1).double() ** -0.5
    truth = dims * 0.1**2 + (0.3 * scales).square().sum().item()
    draws = []
    for _ in range(60):
        real, fake = torch.randn(2, count, dims, generator=generator, dtype=torch.double) * scales
        draws.append(extrapolated(real, 1.3 * fake + 0.1))
    return draws, truth


def test_plain_falls_with_the_number_of_images_and_the_extrapolated_is_unbiased(repeated, agrees):
    draws, truth = repeated
    curve = torch.tensor([[distance for _, distance in curve] for _, _, curve in draws]).mean(0)
    assert [n for n, _ in draws[0][2]] == [75, 150, 300]
    assert curve[0] > curve[1] > curve[2] > 1.05 * truth
    agrees(torch.tensor([unbiased.value for _, unbiased, _ in draws]), truth)


@pytest.mark.parametrize("which", [0, 1])
def test_intervals_are_as_wide_as_the_estimates_scatter(repeated, which):
    estimates = [draw[which] for draw in repeated[0]]
    scatter = torch.tensor([e.value for e in estimates]).std().item()
    claimed = sum((e.interval[1] - e.interval[0]) / 2 / 1.96 for e in estimates) / len(estimates)
    assert claimed == pytest.approx(scatter, rel=3.5 / math.sqrt(2 * len(estimates)))  # of a standard deviation


def test_the_seed_decides_how_the_sets_are_cut(judge):
    real, fake = images(80), images(80)
    first, again, other = (judge(real, fake, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.values["frechet"] == pytest.approx(other.values["frechet"])
    assert first.values["frechet_unbiased"] != other.values["frechet_unbiased"]


def test_notes_say_what_the_number_is_worth(judge):
    few, some, many = (judge(images(n), images(n)).notes for n in (16, 40, 80))
    assert "is not FID" in few[0]
    assert "covariance is singular" in few[1]
    assert "quarters of 40 images" in some[1]
    assert len(many) == 1


def test_principal_components_are_counted_as_features(judge):
    found = judge(images(40), images(30), pca_dim=5)
    assert found.protocol["features"] == 5
    assert len(found.notes) == 1


def test_only_inception_makes_it_fid():
    class Inception:
        name, hash, resize = "inception", "abc", "none"

        def __call__(self, images):
            return images.flatten(1).float()

    notes = [frechet(Split(images(80)), images(80), CPU, extractor=Inception(), pca_dim=p).notes[0] for p in (None, 5)]
    assert "frechet is FID" in notes[0]
    assert "frechet is not FID" in notes[1]


def test_too_few_images_are_refused(judge):
    with pytest.raises(NotApplicable, match="8 images in each set, got 7 and 20"):
        judge(images(7), images(20))


def test_sets_of_different_shapes_are_refused(judge):
    with pytest.raises(NotApplicable, match="1×4×4 and 1×5×5"):
        judge(images(20), torch.zeros(20, 1, 5, 5, dtype=torch.uint8))
