"""Likelihoods refuse images that they are no probability of, before anything is written, and name one that is."""

import re
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

import vaelab
from vaelab.data.scale import EIGHT_BIT, Scale
from vaelab.errors import UsageError
from vaelab.recipe.recipe import Recipe
from vaelab.roles import Likelihood
from vaelab.training.values import refuse_other_values

SCALES = {
    "8 bits": EIGHT_BIT,
    "12 bits": Scale(high=4095.0, stored="uint16"),
    "16 bits": Scale(high=65_535.0, stored="uint16"),
    "real": Scale(-3.0, 5.0, "float32"),
    "unbounded": Scale(-3.0, 5.0, "float32", clip=False),
}
PIXEL = {"kind": "pixel", "layers": 1, "channels": 2}
PIXELS = [PIXEL, {**PIXEL, "base": "logistic"}, {**PIXEL, "base": "normal"}]
MASSES, LOSSES = ["bernoulli", "logistic"], ["pyramid"]
DENSITIES = ["continuous_bernoulli", "normal", "laplace"]
REFUSED = {
    "8 bits": [],
    "12 bits": ["bernoulli", PIXEL],
    "16 bits": ["bernoulli", PIXEL],
    "real": [*MASSES, *PIXELS[:2]],
    "unbounded": [*MASSES, *DENSITIES, *LOSSES, *PIXELS],
}
UNBOUNDED = [{"kind": kind, "bounded": False} for kind in ("normal", "laplace")]
EVERY = [*MASSES, *DENSITIES, *LOSSES, *UNBOUNDED, *PIXELS]


def dataset(scale: Scale, binary: bool = False) -> vaelab.Dataset:
    images = torch.rand(40, 1, 4, 4)
    return replace(vaelab.Dataset.of(images), scale=scale, binary=binary)


def likelihood_of(*overrides: str, scale: Scale, likelihood: object = "bernoulli") -> Likelihood:
    model = {"latent_dim": 2, "backbone": {"kind": "mlp", "width": 4}, "likelihood": likelihood}
    recipe = Recipe.of({"data": "shapes", "train": {"epochs": 1}, "model": model}).overridden(overrides)
    return recipe.build_model((1, 4, 4), scale=scale).likelihood


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("spec", EVERY, ids=str)
def test_a_likelihood_takes_the_images_that_it_is_one_of(name, spec):
    """And what the sentence names of those that it refuses takes them."""
    scale = SCALES[name]
    chosen, data = likelihood_of(scale=scale, likelihood=spec), dataset(scale)
    with pytest.raises(UsageError) if spec in REFUSED[name] else nullcontext() as refused:
        refuse_other_values(chosen, data)
    fixes = re.findall(r"model\.likelihood\S*=\w+", refused.value.fix if refused else "")
    for fix in [fixes] if name == "unbounded" else [[fix] for fix in fixes]:
        refuse_other_values(likelihood_of(*fix, scale=scale, likelihood=spec), data)


@pytest.mark.parametrize("kind", [*MASSES, *DENSITIES])
@pytest.mark.parametrize("name", ["8 bits", "16 bits", "real"])
def test_binary_images_are_any_likelihoods(kind, name):
    refuse_other_values(likelihood_of(scale=SCALES[name], likelihood=kind), dataset(SCALES[name], binary=True))


@pytest.mark.parametrize(
    ("kind", "name", "sentence"),
    [
        (
            "bernoulli",
            "16 bits",
            "bernoulli is a probability of black and white, and these images have 65,536 levels; ",
        ),
        ("logistic", "real", "logistic is a probability of levels, and these images have real values; set "),
        (
            "normal",
            "unbounded",
            r"normal is a likelihood of values in \[0, 1\], and those of these images may lie outs",
        ),
    ],
)
def test_says_what_is_wrong_in_a_sentence(kind, name, sentence):
    with pytest.raises(UsageError, match=f"^{sentence}"):
        refuse_other_values(likelihood_of(scale=SCALES[name], likelihood=kind), dataset(SCALES[name]))


@pytest.mark.parametrize("kind", ["bernoulli", "logistic"])
def test_a_training_by_hand_is_refused_as_one_of_a_recipe(kind, tmp_path):
    """Of 16 bits: a probability of two levels, and one of 256."""
    images = np.random.default_rng(0).integers(0, 65_536, (40, 1, 4, 4)).astype(np.uint16)
    spec = {"latent_dim": 2, "backbone": {"kind": "mlp", "width": 4}, "likelihood": kind}
    built = Recipe.of({"data": "shapes", "train": {"epochs": 1}, "model": spec}).build_model((1, 4, 4))
    with pytest.raises(
        UsageError,
        match="logistic counts 256 levels, and these images have 65,536; make it with grey_"
        if kind == "logistic"
        else "set model.likelihood=logistic",
    ):
        vaelab.fit(built, data=images, options={"epochs": 1}, run=tmp_path / "a", quiet=True)
    assert not (tmp_path / "a").exists() or not any((tmp_path / "a").iterdir())
