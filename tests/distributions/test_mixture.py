"""The mixture density by one product: equal to torch's broadcast in float64, in the memory of [B, K]."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from vaelab.distributions import mixture as mixtures
from vaelab.distributions.latent import condition
from vaelab.distributions.mixture import DiagonalMixture

B, K, D = 24, 30, 40
NATS, RELATIVE = 1e-3, 1e-3  # what may be off in a density, and in a gradient


@pytest.fixture(params=[(0.0, 1.0), (100.0, 1.0), (0.0, 100.0)], ids=["near-0", "near-100", "100-apart"])
def points(request) -> dict[str, Tensor]:
    """Components with log-variances from −14 to 6, and points near, between and far from them, in float32."""
    offset, spread = request.param
    means = offset + spread * torch.randn(K, D)
    log_variance = torch.empty(K, D).uniform_(-14, 6)
    log_variance[:3] = -14.0
    stds = (log_variance / 2).exp()
    z = means[torch.arange(B) % K] + stds[torch.arange(B) % K] * torch.randn(B, D)
    z[-4:] = offset + 2 * torch.randn(4, D)
    z[-1] += 50.0
    return {"z": z, "means": means, "stds": stds, "log_weights": torch.randn(K)}


def broadcast(z: Tensor, means: Tensor, stds: Tensor, log_weights: Tensor) -> MixtureSameFamily:
    """Torch's own, in the precision of what it is given."""
    return MixtureSameFamily(Categorical(logits=log_weights), Independent(Normal(means, stds), 1)).log_prob(z)


def ours(z: Tensor, means: Tensor, stds: Tensor, log_weights: Tensor) -> Tensor:
    return DiagonalMixture(means, stds, log_weights).log_prob(z)


def doubled(points: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.double() for name, t in points.items()}


def gradients(density, points: dict[str, Tensor]) -> dict[str, Tensor]:
    leaves = {name: t.clone().requires_grad_() for name, t in points.items()}
    return dict(zip(leaves, torch.autograd.grad(density(**leaves).sum(), list(leaves.values())), strict=True))


def rounding(exact: Tensor) -> Tensor:
    """Half of the last place of a float32: what no answer in float32 can better."""
    return exact.abs() * 2.0**-24


def test_agrees_with_torch_in_float64(points):
    """The answer to a float32 question is float32: where |log p| is 10⁷ nats its last place is a nat."""
    exact, found = broadcast(**doubled(points)), ours(**points)
    assert found.dtype == torch.float32
    assert ((found - exact).abs() <= NATS + rounding(exact)).all()
    torch.testing.assert_close(ours(**doubled(points)), exact, atol=NATS, rtol=1e-12)


@pytest.mark.parametrize("points", [(0.0, 1.0), (100.0, 1.0)], indirect=True, ids=["near-0", "near-100"])
def test_errs_no_more_than_the_broadcast_in_float32(points):
    """The centre is taken out first; components 100 apart at log-variances of −14 do cost ours a few digits."""
    exact = broadcast(**doubled(points))
    mine, theirs = ((density(**points) - exact).abs() for density in (ours, broadcast))
    assert mine.max() <= theirs.max() and mine.mean() <= theirs.mean()


@pytest.mark.parametrize("away", [10.0, 100.0, 1000.0])
def test_far_and_narrow_components_cost_no_more_than_is_said(away):
    means = away * torch.randn(K, 256).double().sign()
    stds = torch.full_like(means, -7.0).exp()
    z = means + stds * torch.randn_like(means)
    error = (ours(z, means, stds, torch.zeros(K)) - broadcast(z, means, stds, torch.zeros(K).double())).abs()
    said = 2.0**-49 * ((means - means.mean(0)) / stds).square().sum(-1).max()
    assert error.max() <= said < 6e-7 * away**2


def test_gradients_agree_with_torch_in_float64(points):
    exact = gradients(broadcast, doubled(points))
    for name, gradient in gradients(ours, points).items():
        gap = (gradient - exact[name]).norm() / exact[name].norm()
        assert gradient.dtype == torch.float32 and gap < RELATIVE, (name, gap)
        clear = exact[name].abs() > 1e-6 * exact[name].abs().max()  # others are sums that cancel
        assert ((gradient / exact[name] - 1).abs()[clear] < RELATIVE).all(), name


def test_gradients_agree_with_differences():
    points = {
        "z": torch.randn(3, 2),
        "means": 5 + torch.randn(4, 2),
        "stds": 0.5 + torch.rand(4, 2),
        "log_weights": torch.randn(4),
    }
    leaves = [t.double().requires_grad_() for t in points.values()]
    assert torch.autograd.gradcheck(ours, leaves)
    assert torch.autograd.gradgradcheck(ours, leaves)


def test_curvature_of_a_mixture_is_that_of_its_density():
    """In the middle of two components −1 + distance² / 4, where that of either alone is −1."""
    p = DiagonalMixture(torch.tensor([[-2.0], [2.0]]).double(), torch.ones(2, 1).double())
    (curvature,) = torch.autograd.functional.hessian(p.log_prob, torch.zeros(1).double())
    torch.testing.assert_close(curvature, torch.tensor([3.0]).double())


def test_pieces_without_gradient_give_what_the_whole_gives(points, monkeypatch):
    p = DiagonalMixture(*(points[name] for name in ("means", "stds", "log_weights")))
    whole = p.log_prob(points["z"])
    for pairs in (1, 7 * K, mixtures.PAIRS):
        monkeypatch.setattr(mixtures, "PAIRS", pairs)
        with torch.no_grad():
            torch.testing.assert_close(p.log_prob(points["z"]), whole, rtol=1e-6, atol=0)
            assert p.log_prob(points["z"].view(2, 3, 4, D)).shape == (2, 3, 4)


class Largest(TorchDispatchMode):
    """The most numbers that any operation returned, forward or backward."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.numbers = max([self.numbers, *(t.numel() for t in tree_flatten(out)[0] if isinstance(t, Tensor))])
        return out


@pytest.mark.parametrize("labelled", [False, True])
def test_memory_is_that_of_pairs_forward_and_backward(labelled):
    b, k, d = 50, 300, 40
    z, means, stds = torch.randn(b, d), torch.randn(k, d), torch.rand(k, d) + 0.1
    leaves = [t.requires_grad_() for t in (z, means, stds)]
    p = DiagonalMixture(means, stds, labels=torch.arange(k) % 10)
    with Largest() as largest:
        (condition(p, torch.arange(b) % 10) if labelled else p).log_prob(z).sum().backward()
    assert b * k <= largest.numbers <= 2 * max(b * k, k * d, b * d) + k + b
    assert all(leaf.grad is not None for leaf in leaves)


def test_memory_without_gradient_is_that_of_one_piece():
    p = DiagonalMixture(torch.randn(64, 4), torch.ones(64, 4))
    z = torch.randn(10_000, 4)
    with torch.no_grad(), Largest() as largest:
        p.log_prob(z)
    assert z.shape[0] * 64 > mixtures.PAIRS  # there was something to save
    assert largest.numbers <= mixtures.PAIRS


def test_draws_come_from_components_as_often_as_they_weigh(agrees):
    weights = torch.tensor([0.5, 0.3, 0.15, 0.05])
    means = torch.tensor([[-30.0, 0.0], [-10.0, 3.0], [10.0, 1.0], [30.0, -5.0]])
    stds = torch.tensor([[1.0, 0.1], [0.5, 2.0], [0.2, 1.0], [1.0, 1.0]])
    z = DiagonalMixture(means, stds, weights.log()).sample((40_000,))
    came_from = torch.cdist(z[:, :1], means[:, :1]).argmin(1)
    agrees(torch.nn.functional.one_hot(came_from, 4), weights.double())
    agrees(z, (weights @ means).double(), precision=1e-6)
    for k in range(4):
        agrees(((z[came_from == k] - means[k]) / stds[k]).square(), 1.0)


def test_responsibilities_are_bayes():
    weights, stds = torch.tensor([0.2, 0.8]), torch.tensor([[1.0], [2.0]])
    p = DiagonalMixture(torch.tensor([[0.0], [3.0]]), stds, weights.log() + 7.0)
    z = torch.tensor([[0.0], [1.5], [100.0]])
    joint = weights * Normal(torch.tensor([0.0, 3.0]), stds.flatten()).log_prob(z).double().exp()
    torch.testing.assert_close(p.responsibilities(z)[:2], (joint / joint.sum(-1, keepdim=True)).float()[:2])
    torch.testing.assert_close(p.responsibilities(z).sum(-1), torch.ones(3))
    torch.testing.assert_close(p.responsibilities(z)[2], torch.tensor([0.0, 1.0]))


def test_without_weights_all_weigh_the_same_and_their_scale_is_free():
    means, stds, z = torch.randn(5, 3), torch.rand(5, 3) + 0.5, torch.randn(7, 3)
    plain = DiagonalMixture(means, stds).log_prob(z)
    torch.testing.assert_close(plain, broadcast(z, means, stds, torch.zeros(5)))
    torch.testing.assert_close(DiagonalMixture(means, stds, torch.full((5,), -9.0)).log_prob(z), plain)


@pytest.fixture
def labelled() -> DiagonalMixture:
    """Five components of two classes."""
    labels = torch.tensor([0, 1, 0, 1, 1])
    means = 20.0 * labels[:, None] + torch.randn(5, 3)
    return DiagonalMixture(means, torch.rand(5, 3) + 0.5, torch.randn(5), labels)


def test_given_a_class_its_components_remain_with_their_proportions(labelled, agrees):
    y = torch.tensor([1, 0, 1])
    p = labelled.condition(y)
    assert (tuple(p.batch_shape), tuple(p.event_shape)) == ((3,), (3,))
    z = torch.randn(4, 3, 3)
    for i, label in enumerate(y):
        of = labelled.labels == label
        alone = DiagonalMixture(labelled.means[of], labelled.stds[of], labelled.log_weights[of])
        torch.testing.assert_close(p.log_prob(z)[:, i], alone.log_prob(z[:, i]), rtol=1e-5, atol=1e-5)
    drawn = p.sample((2000,))
    assert drawn.shape == (2000, 3, 3)
    assert ((drawn[..., 0] > 10).long() == y).all()
    agrees(drawn[:, 1], labelled.condition(torch.tensor(0)).sample((50_000,)).mean(0).double(), errors=5)
    assert p.responsibilities(z)[:, 0, labelled.labels == 0].sum() == 0


def test_a_mixture_without_classes_is_the_same_given_any():
    p = DiagonalMixture(torch.randn(4, 2), torch.ones(4, 2))
    assert condition(p, torch.tensor([3, 1])) is p


def test_weights_may_differ_between_the_members_of_a_batch(labelled):
    log_weights, z = torch.randn(6, 5).requires_grad_(), torch.randn(2, 6, 3)
    p = DiagonalMixture(labelled.means, labelled.stds, log_weights)
    each = [broadcast(z[:, i], labelled.means, labelled.stds, log_weights[i]) for i in range(6)]
    torch.testing.assert_close(p.log_prob(z), torch.stack(each, 1), rtol=1e-5, atol=1e-4)
    found, expected = (torch.autograd.grad(v.sum(), log_weights)[0] for v in (p.log_prob(z), torch.stack(each)))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert p.sample((7,)).shape == (7, 6, 3)


def test_classes_that_are_masked_pass_no_gradient_and_no_nan(labelled):
    means, log_weights = labelled.means.clone().requires_grad_(), labelled.log_weights.clone().requires_grad_()
    p = DiagonalMixture(means, labelled.stds, log_weights, labelled.labels)
    p.condition(torch.tensor([1, 1])).log_prob(torch.randn(2, 3)).sum().backward()
    assert means.grad.isfinite().all() and log_weights.grad.isfinite().all()
    assert (means.grad[labelled.labels == 0] == 0).all() and (means.grad[labelled.labels == 1] != 0).any()
