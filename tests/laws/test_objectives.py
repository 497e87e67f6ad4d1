"""Laws of every objective, on a model whose evidence is known: its bound is one, and its loss teaches."""

import pytest
import torch

from vaelab.registry.schema import build


@pytest.fixture
def goal(objective):
    """The objective for images of four pixels, with few draws."""
    few = {"samples": 7} if objective["kind"] == "iwae" else {}
    return build("objective", {**objective, **few}, pixels=4, steps_per_epoch=10)


def terms_of(model, goal, x, copies: int = 1):
    """Terms as the engine asks for them; images repeated for more draws."""
    return model(x.repeat(copies, 1, 1, 1), samples=goal.samples, path=goal.path)


@torch.no_grad()
def test_bound_stays_below_the_evidence(goal, linear_gaussian):
    model = linear_gaussian(off=0.4)
    x, copies = model.images(20), 500
    bounds = goal.bound(terms_of(model, goal, x, copies)).unflatten(0, (copies, 20))
    gaps = bounds - model.log_evidence(x)
    assert (gaps.mean(0) <= 4.5 * gaps.std(0) / copies**0.5).all()
    over_images = gaps.mean(1)  # strictly below, since this posterior is off
    assert over_images.mean() < -4.5 * over_images.std() / copies**0.5


@torch.no_grad()
def test_bound_is_the_evidence_at_the_exact_posterior(goal, linear_gaussian, agrees):
    model = linear_gaussian()
    x, copies = model.images(20), 500
    bounds = goal.bound(terms_of(model, goal, x, copies)).unflatten(0, (copies, 20))
    agrees(bounds, model.log_evidence(x))


def test_loss_at_its_defaults_is_the_negative_bound(objective, goal, linear_gaussian):
    model = linear_gaussian(off=0.2)
    terms = terms_of(model, goal, model.images(20))
    loss, scalars = goal(terms, 3)
    pixels = 4 if objective.get("reduction") == "mean" else 1
    torch.testing.assert_close(loss * pixels, -goal.bound(terms).mean())
    assert goal.bound(terms).shape == (20,)
    assert loss.shape == ()
    torch.testing.assert_close(scalars["loss"], loss)


def test_scalars_are_in_nats_per_image(goal, linear_gaussian):
    model = linear_gaussian(off=0.2)
    terms = terms_of(model, goal, model.images(20))
    _, scalars = goal(terms, 3)
    torch.testing.assert_close(scalars["reconstruction"], -terms.log_px.mean())
    by_draws, closed = (terms.log_qz - terms.log_pz).mean(), terms.kl.sum(-1).mean()
    assert any(torch.isclose(scalars["kl"], kl) for kl in (by_draws, closed))
    assert scalars["beta"] == 1


def test_steps_may_be_numbers_or_tensors(goal, linear_gaussian):
    model = linear_gaussian(off=0.2)
    terms = terms_of(model, goal, model.images(20))
    with torch.no_grad():
        torch.testing.assert_close(goal(terms, 3)[0], goal(terms, torch.tensor(3.0))[0])


def test_every_parameter_learns(goal, linear_gaussian):
    model = linear_gaussian(off=0.2)
    goal(terms_of(model, goal, model.images(20)), 0)[0].backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in model.parameters())


def test_learning_raises_the_evidence(goal, linear_gaussian):
    """Data of one model, learned by another: the exact log p(x) goes up, nearly to that of the truth."""
    truth, model = linear_gaussian(), linear_gaussian(off=0.3)
    x = truth.images(500)
    with torch.no_grad():
        model.decoder.bias += 0.3
        model.decoder.weight *= 0.5
    before = model.log_evidence(x).mean()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for step in range(300):
        optimiser.zero_grad()
        goal(terms_of(model, goal, x), step)[0].backward()
        optimiser.step()
    gain, possible = model.log_evidence(x).mean() - before, truth.log_evidence(x).mean() - before
    assert gain > 0.9 * possible
