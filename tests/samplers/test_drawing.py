"""Images of latents."""

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from vaelab.errors import UsageError, VaelabError
from vaelab.io import memory
from vaelab.recipe.recipe import Recipe
from vaelab.samplers import drawing


@pytest.fixture
def model():
    recipe = {
        "data": "shapes",
        "train": {"epochs": 1},
        "model": {"latent_dim": 2, "backbone": {"kind": "mlp", "width": 8}},
    }
    return Recipe.of(recipe).build_model((1, 4, 5)).eval()


@pytest.mark.parametrize("pixels", ["mean", "sample"])
@pytest.mark.parametrize("n", [1, 6, 7, 8, 21, 50])
def test_any_number_of_images_by_seed(model, monkeypatch, n, pixels):
    monkeypatch.setattr(drawing, "ROWS", 7)
    first, again, other = (drawing.images(model, model.p_z(), n, seed, pixels) for seed in (0, 0, 1))
    assert (first.shape, first.dtype) == ((n, 1, 4, 5), torch.float32)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert 0 <= first.min() <= first.max() <= 1
    assert first.flatten(1).unique(dim=0).shape[0] == n


def test_means_and_draws_are_of_the_latents_given(model, agrees):
    """All latents in one place: the mean image, and pixels that are 0 or 1 with that mean."""
    place = Independent(Normal(torch.tensor([2.0, -1.0]), 1e-9), 1)
    with torch.no_grad():
        mean = model.p_x(torch.tensor([[2.0, -1.0]])).mean[0]
    torch.testing.assert_close(drawing.images(model, place, 3, 0), mean.expand(3, -1, -1, -1))
    drawn = drawing.images(model, place, 3000, 0, "sample")
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    agrees(drawn, mean)


def test_draws_beyond_the_range_are_clamped(linear_gaussian):
    model = linear_gaussian()
    far = MixtureSameFamily(
        Categorical(torch.ones(2)), Independent(Normal(torch.tensor([[20.0, 0.0], [-20.0, 0.0]]).double(), 1.0), 1)
    )
    for pixels in ("mean", "sample"):
        drawn = drawing.images(model, far, 20, 0, pixels)
        assert (drawn.min(), drawn.max(), drawn.dtype) == (0, 1, torch.float32)


def test_batches_are_the_images_in_parts(model, monkeypatch):
    monkeypatch.setattr(drawing, "ROWS", 7)
    parts = []
    drawing.draw_batches(model, model.p_z(), 20, 3, parts.append)
    assert [len(part) for part in parts] == [7, 7, 6]
    assert torch.equal(torch.cat(parts), drawing.images(model, model.p_z(), 20, 3))


@pytest.mark.parametrize("n", [10**9, 10**15])
def test_more_images_than_fit_into_memory_are_refused_at_once(model, monkeypatch, n):
    monkeypatch.setattr(memory, "available_memory", lambda: 2**33)
    with pytest.raises(UsageError, match=rf"{n:,} images of 1×4×5 would take .* are free; draw fewer at once"):
        drawing.images(model, model.p_z(), n, 0)


def test_images_that_are_no_numbers_are_refused(model):
    with torch.no_grad():
        list(model.decoder.parameters())[-1][0] = torch.nan
    with pytest.raises(VaelabError, match="draws pixels that are not finite; train it again with a smaller"):
        drawing.images(model, model.p_z(), 3, 0)
