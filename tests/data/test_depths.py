"""Arrays of any depth and number of channels, from the file to a trained model and back."""

import numpy as np
import pytest
import torch

import vaelab
from vaelab.data.scale import Scale

TYPES = {"uint8": 256, "uint16": 4096, "float32": 1}


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
@pytest.mark.parametrize("dtype", TYPES)
def test_a_run_of_any_depth_is_trained_measured_and_sampled(tmp_path, dtype, channels):
    x = np.random.default_rng(channels).random((60, channels, 8, 8)) * TYPES[dtype]
    x = (x * 3 - 1 if dtype == "float32" else x).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    limits = {"low": 0.0, "high": 4095.0} if dtype == "uint16" else "full"
    recipe = vaelab.Recipe.of(
        {
            "data": {"kind": "arrays", "path": str(tmp_path / "x.npy"), "scale": limits},
            "model": {
                "latent_dim": 2,
                "backbone": {"kind": "mlp", "width": 8},
                "likelihood": "normal" if dtype == "float32" else "logistic",
            },
            "objective": "elbo",
            "train": {"epochs": 1, "batch_size": 16, "draw_every": 0},
        }
    )
    run = vaelab.train(recipe, run=tmp_path / "run", device="cpu", quiet=True)
    scale = vaelab.load(run).scale
    expected = {"uint8": Scale(), "uint16": Scale(0, 4095, "uint16")}
    assert scale == expected.get(dtype, Scale(scale.low, scale.high, "float32"))
    if dtype == "float32":
        assert x.min() <= scale.low < -0.9 and 1.9 < scale.high <= x.max()
    found = vaelab.evaluate(run, metrics=["likelihood"], device="cpu", likelihood={"samples": 2})
    assert np.isfinite(found["metrics"]["likelihood"]["values"]["elbo"])
    made = vaelab.sample(run, 3, device="cpu", values="stored")
    assert made.shape == (3, channels, 8, 8) and made.dtype == getattr(torch, dtype)
    assert vaelab.sample(run, 3, device="cpu").shape == (3, channels, 8, 8)
