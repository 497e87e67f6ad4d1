"""The discretised logistic likelihood on as many levels as images have."""

import math

import pytest
import torch

import vaelab
from vaelab.likelihoods.logistic import LogisticLikelihood


@pytest.mark.parametrize("levels", [2, 16, 256, 4096, 65_536])
def test_a_scale_begins_alike_and_narrows_to_a_quarter_of_a_step(levels):
    """However many levels there are; with few of them, no less far than with 256."""
    log_scale = torch.tensor([-40.0, 0.0, 40.0]).view(3, 1, 1, 1)
    pixels = LogisticLikelihood(levels)(torch.cat([torch.zeros_like(log_scale), log_scale], 1))
    narrowest, beginning, widest = pixels.base_dist.log_scale.flatten().tolist()
    assert narrowest == pytest.approx(-7 - math.log(max(levels - 1, 255) / 255))
    assert (beginning, widest) == (pytest.approx(-3.5), pytest.approx(0))


def test_a_run_counts_the_levels_of_its_images_and_does_so_when_it_is_loaded(tmp_path):
    made = vaelab.Recipe.of(
        {
            "data": {"kind": "digits", "scale": {"low": 10, "high": 210}, "train_size": 64},
            "model": {"latent_dim": 2, "backbone": {"kind": "mlp", "width": 8}, "likelihood": "logistic"},
            "train": {"epochs": 1, "batch_size": 32, "draw_every": 0},
        }
    )
    run = vaelab.train(made, run=tmp_path / "run", quiet=True, device="cpu")
    model = vaelab.load(run)
    assert (model.likelihood.grey_levels, model.scale.levels) == (201, 201)
    found = vaelab.evaluate(run, metrics=["likelihood"], device="cpu")["metrics"]["likelihood"]
    assert found["protocol"]["scale"] == {"low": 10.0, "high": 210.0, "levels": 201}
    drawn = vaelab.sample(run, 4, pixels="sample", device="cpu") * 200
    torch.testing.assert_close(drawn, drawn.round(), atol=1e-4, rtol=0)
