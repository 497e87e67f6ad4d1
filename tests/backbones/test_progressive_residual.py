"""A pyramid of pictures is one hierarchical model; the original's sum of losses stays what it was, and no bound."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vaelab.data.source import Split
from vaelab.distributions.hierarchy import kl_of
from vaelab.distributions.latent import constant, detached, rsample_and_log_prob
from vaelab.distributions.normal import diagonal_normal
from vaelab.errors import NotApplicable
from vaelab.likelihoods.pyramid import PyramidLoss
from vaelab.metrics.likelihood import likelihood
from vaelab.model import VAE
from vaelab.nn.growth import averaged, enlarged
from vaelab.recipe.recipe import Recipe

LEVELS = [2, 1, 3]
BORDERS = (10, 20)  # steps in which stages 1 and 2 begin; they fade in within four


def model_of(
    likelihood: str | dict = "bernoulli",
    shape: tuple[int, int, int] = (1, 16, 16),
    prior: str | dict = "normal",
    **backbone,
) -> VAE:
    """Three stages of 4, 8 and 16 pixels, ten steps each."""
    net = {"kind": "progressive_residual", "start_res": 4, "base_channels": 8, "min_channels": 4}
    net |= {"epochs_per_stage": 1, "fadein_ratio": 0.4} | backbone
    options = {"latent_dim": LEVELS, "backbone": net, "posterior": "residual", "likelihood": likelihood, "prior": prior}
    return Recipe.of({"data": "shapes", "train": {"epochs": 1}, "model": options}).build_model(
        shape, steps_per_epoch=10
    )


@pytest.fixture
def model() -> VAE:
    return model_of()


@pytest.fixture
def x() -> Tensor:
    return torch.rand(5, 1, 16, 16)


def outs(decoder, parts: list[Tensor]) -> list[Tensor]:
    """What each stage adds, by its own formula."""
    found = []
    for stage, z in enumerate(parts):
        h = decoder.bases[stage](z)
        for s in range(stage):
            h = F.leaky_relu(decoder.blocks[s][1](h.repeat_interleave(2, -1).repeat_interleave(2, -2)), 0.2)
        found.append(decoder.to_picture[stage](h))
    return found


@torch.no_grad()
def test_pictures_add_up(model):
    decoder, z = model.decoder, torch.randn(5, sum(LEVELS))
    parts = list(z.split(LEVELS, -1))
    added = outs(decoder, parts)
    assert [out.shape[-1] for out in added] == [4, 8, 16]
    for count in (1, 2, 3):
        side = added[count - 1].shape[-1]
        total = sum(enlarged(out, side // out.shape[-1]) for out in added[:count])
        torch.testing.assert_close(decoder.picture(decoder.outs(parts[:count])), total)
    torch.testing.assert_close(decoder(z), total)
    bernoulli = model.likelihood(total)
    torch.testing.assert_close(model.p_x(z).mean, bernoulli.mean)


@pytest.mark.parametrize("likelihood", ["bernoulli", "pyramid"])
@pytest.mark.parametrize("border", BORDERS)
@torch.no_grad()
def test_a_new_stage_changes_nothing_in_the_picture_when_it_begins(border, likelihood, x):
    model, z = model_of(likelihood), torch.randn(5, sum(LEVELS))

    def shown(step: int) -> Tensor:
        model.decoder.growth.at(step)
        return model.p_x(z).mean

    def picture(step: int) -> Tensor:
        model.decoder.growth.at(step)
        return model.decoder.picture(model.decoder.outs(z.split(LEVELS, -1)[: step // 10 + 1]))

    old, new = shown(border - 1), shown(border + 4)
    assert torch.equal(picture(border), enlarged(picture(border - 1)))
    # An ulp: the last pixels of a tensor, which are fewer than a vector's lanes, may have another sigmoid.
    torch.testing.assert_close(shown(border), old, rtol=0, atol=2**-23)
    assert not torch.equal(new, old)
    logits = [picture(step) for step in (border, border + 1, border + 2, border + 4)]
    for alpha, blended in zip((0.25, 0.5), logits[1:3], strict=True):
        torch.testing.assert_close(blended, torch.lerp(logits[0], logits[3], alpha))
    model.decoder.growth.at(border)
    model.decoder.growth.alpha.fill_(1)
    torch.testing.assert_close(model.p_x(z).mean, new)


@pytest.mark.parametrize(("step", "stage"), [(0, 0), (9, 0), (10, 1), (15, 1), (20, 2), (40, 2)])
@torch.no_grad()
def test_stages_that_are_to_come_are_standard_normal_and_cost_nothing(model, x, step, stage):
    model.decoder.growth.at(step)
    q, p = model.q_z(x), model.p_z()
    z, log_q = rsample_and_log_prob(q, 4)
    kl, levels = kl_of(q, p, z)
    assert not levels[stage + 1 :].any() and (levels[: stage + 1] > 0).all()
    assert not kl[:, sum(LEVELS[: stage + 1]) :].any()
    for level, size in list(zip(q.at(z), LEVELS, strict=True))[stage + 1 :]:
        torch.testing.assert_close(level.log_prob, diagonal_normal(*torch.zeros(2, size)).log_prob(level.z))
    other = torch.cat([z[..., : sum(LEVELS[: stage + 1])], torch.randn(4, 5, sum(LEVELS[stage + 1 :]))], -1)
    assert torch.equal(model.p_x(other).mean, model.p_x(z).mean)  # and the picture does not see them
    torch.testing.assert_close(log_q, q.log_prob(z.clone()))


def test_a_prior_of_levels_learns_that_stages_to_come_are_standard_normal(x):
    """Their KL is a fit to a constant, which ends at nothing, and leaves no prior to unlearn when the stage begins."""
    top = {"kind": "vamp", "components": 4}
    model = model_of(prior={"kind": "two_level", "width": 8, "top": top})
    model.decoder.growth.at(0)
    learned = torch.optim.Adam(model.prior.lower.parameters(), lr=0.02)

    def to_come() -> Tensor:
        q = model.q_z(x)
        return kl_of(q, model.p_z(), rsample_and_log_prob(q, 4)[0])[1][1:]

    at_first = to_come().mean().item()
    for _ in range(200):
        learned.zero_grad()
        to_come().mean().backward()
        learned.step()
    assert to_come().mean() < 0.02 * at_first


@pytest.mark.parametrize("border", BORDERS)
@torch.no_grad()
def test_the_posterior_of_earlier_stages_does_not_notice_a_new_one(model, x, border):
    growth, z = model.decoder.growth, torch.randn(5, sum(LEVELS))

    def scores(step: int) -> list[Tensor]:
        growth.at(step)
        return [level.log_prob for level in model.q_z(x).at(z)]

    before, after = scores(border - 1), scores(border)
    torch.testing.assert_close(after[: border // 10], before[: border // 10])
    assert not torch.allclose(after[border // 10], before[border // 10])


@pytest.mark.parametrize("border", BORDERS)
@torch.no_grad()
def test_the_posterior_is_continuous_in_alpha(model, x, border):
    """Between steps of an eighth the size it changes by about an eighth as much."""
    growth, z = model.decoder.growth, torch.randn(5, sum(LEVELS), dtype=torch.float64)
    model.double()
    growth.at(border)

    def largest_jump(steps: int) -> Tensor:
        found = []
        for alpha in torch.linspace(0, 1, steps + 1):
            growth.alpha.fill_(alpha)
            found.append(model.q_z(x.double()).log_prob(z.clone()))
        return torch.stack(found).diff(dim=0).abs().max()

    assert 0 < largest_jump(128) < 0.2 * largest_jump(16)


@pytest.mark.parametrize("prior", ["normal", {"kind": "two_level", "top": {"kind": "vamp", "components": 4}}], ids=str)
@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic", "pyramid"])
def test_every_parameter_learns_when_the_model_is_complete(x, likelihood, prior):
    model = model_of(likelihood, prior=prior)
    terms = model(x, samples=2)
    (terms.rate - terms.log_px.mean(0)).mean().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent
    assert len({id(p) for p in model.parameters()}) == len(list(model.named_parameters(remove_duplicate=False)))


def test_detached_is_the_same_posterior_as_a_constant(model, x):
    q = model.q_z(x)
    z = rsample_and_log_prob(q, 3)[0].detach().requires_grad_()
    with constant(model):
        fixed = detached(q).log_prob(z)
    torch.testing.assert_close(fixed, q.log_prob(z))
    found = torch.autograd.grad(fixed.sum(), [z, *model.parameters()], allow_unused=True)
    torch.testing.assert_close(found[0], torch.autograd.grad(q.log_prob(z).sum(), z)[0])
    assert not any(g is not None for g in found[1:])


def test_the_later_stages_see_what_the_picture_before_left(model, x):
    """q(z_s | x, z_<s) with the same remainder is the same; with another picture it is another."""
    encoder, parts = model.posterior.encoder, [torch.randn(5, 2)]
    left = averaged(x, 8) - enlarged(model.decoder.picture(model.decoder.outs(parts)).sigmoid())
    h = F.conv2d(left, encoder.from_image[1].weight, encoder.from_image[1].bias)
    h = F.avg_pool2d(F.leaky_relu(encoder.blocks[0][0](h), 0.2), 2)
    torch.testing.assert_close(encoder(x, parts), F.leaky_relu(encoder.base[0](h), 0.2).flatten(1))


@torch.no_grad()
def test_the_bound_is_one_and_is_measured(model, x):
    split = Split((torch.rand(32, 1, 16, 16) < 0.3).byte() * 255)
    values = likelihood(model.eval(), split, samples=50).values
    assert values["elbo"] + 3 * values["elbo_error"] / 32**0.5 < values["iwae"]
    assert sum(values[f"kl_{n}"] for n in (1, 2, 3)) == pytest.approx(values["kl"], rel=1e-5)


@torch.no_grad()
def test_the_sum_of_losses_gets_no_likelihood(x):
    split = Split((x * 255).byte())
    with pytest.raises(NotApplicable, match="PyramidLoss is no density of images, which withholds NLL and bits"):
        likelihood(model_of("pyramid").eval(), split, samples=5)


def naive(added: list[Tensor], x: Tensor) -> Tensor:
    """BCE(out₀, x₀) + Σ_s |D_s − out_s|², with D_s = x_s − up(r_{s−1}) fixed, and r_s = up(r_{s−1}) + out_s."""
    side, picture = x.shape[-1], added[0]
    first = F.avg_pool2d(x, side // added[0].shape[-1])
    loss = -(first * added[0].log() + (1 - first) * (1 - added[0]).log()).sum((1, 2, 3))
    for out in added[1:]:
        large = F.interpolate(picture, scale_factor=2)
        target = F.avg_pool2d(x, side // out.shape[-1]) - large.detach()
        loss = loss + F.mse_loss(out, target, reduction="none").sum((1, 2, 3))
        picture = large + out
    return loss


def some_outs(count: int, channels: int) -> list[Tensor]:
    """Random grey values of the first stage, and what the others add."""
    first = torch.rand(5, channels, 4, 4).clamp(0.01, 0.99).requires_grad_()
    later = [0.3 * torch.randn(5, channels, 4 << s, 4 << s) for s in range(1, count)]
    return [first, *(out.requires_grad_() for out in later)]


def side_by_side(added: list[Tensor], stages: int) -> Tensor:
    """What the decoder gives: all that is added and the last picture, enlarged to its size."""
    picture = added[0]
    for out in added[1:]:
        picture = enlarged(picture) + out
    shown = [enlarged(out, picture.shape[-1] // out.shape[-1]) for out in added]
    return torch.cat([*shown, *[torch.zeros_like(picture)] * (stages - len(shown)), picture], 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_sum_of_losses_is_the_originals_with_its_gradient(count, channels):
    """Nothing learns through what is left for a later stage: out_s has the gradient of its own term alone."""
    added, full = some_outs(count, channels), torch.rand(5, channels, 16, 16)
    x = averaged(full, 4 << (count - 1))
    loss = -PyramidLoss((channels, 16, 16))(side_by_side(added, 3)).log_prob(x)
    expected = naive(added, x)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-4)
    for mine, theirs in zip(*(torch.autograd.grad(t.sum(), added) for t in (loss, expected)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_a_stage_is_taught_by_its_own_term_alone(x):
    """The decoder's own latents and last layers of the first stage learn what they would without the later ones."""
    model, z = model_of("pyramid"), torch.randn(5, sum(LEVELS))
    decoder = model.decoder
    own = [*decoder.bases[0].parameters(), *decoder.to_picture[0].parameters()]
    whole = torch.autograd.grad(-model.p_x(z).log_prob(x).sum(), own)
    decoder.growth.at(0)
    alone = torch.autograd.grad(-model.p_x(z).log_prob(x).sum(), own)
    for mine, theirs in zip(whole, alone, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("step", [40, 21, 20])  # complete, in the middle of the fade, where out_s counts in full
@torch.no_grad()
def test_the_models_sum_of_losses_is_the_one_of_its_stages(x, step):
    model, z = model_of("pyramid"), torch.randn(5, sum(LEVELS))
    model.decoder.growth.at(step)
    first, *later = outs(model.decoder, list(z.split(LEVELS, -1)))
    torch.testing.assert_close(-model.p_x(z).log_prob(x), naive([first.sigmoid(), *later], x), rtol=1e-5, atol=1e-4)


@torch.no_grad()
def test_its_pictures_can_be_shown_and_it_draws_nothing_else(x):
    model = model_of("pyramid")
    p = model.p_x(torch.randn(4, 5, sum(LEVELS)))
    assert p.log_prob(x).shape == (4, 5)
    assert p.mean.shape == (4, 5, 1, 16, 16)
    assert p.mean.min() >= 0 and p.mean.max() <= 1
    assert torch.equal(p.sample((2,)), p.mean.expand(2, -1, -1, -1, -1, -1))


@pytest.mark.parametrize("likelihood", ["bernoulli", "pyramid"])
@pytest.mark.parametrize("step", [5, 12, 40])
def test_bf16_networks_give_float32_numbers(likelihood, step, x):
    model = model_of(likelihood)
    model.decoder.growth.at(step)
    with torch.autocast("cpu", torch.bfloat16):
        terms = model(x)
    assert {t.dtype for t in (terms.log_px, terms.log_pz, terms.log_qz, terms.kl, terms.levels)} == {torch.float32}
    (terms.rate - terms.log_px).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
