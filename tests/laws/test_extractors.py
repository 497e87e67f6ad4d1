"""Laws of every extractor: float32 rows, the same twice and in any batch, under a name, a hash and a resize rule."""

import os
import re

import pytest
import torch

from vaelab.data.source import Dataset, Split
from vaelab.errors import VaelabError
from vaelab.registry.schema import build

SHAPES = [(1, 8, 8), (3, 17, 12)]


@pytest.fixture(params=SHAPES, ids=str)
def dataset(request) -> Dataset:
    """Images whose brightness tells their class."""
    return Dataset("law", *(_split(count, request.param) for count in (100, 40, 20)), classes=("dark", "light"))


def _split(count: int, shape: tuple[int, ...]) -> Split:
    labels = torch.arange(count) % 2
    return Split((torch.rand(count, *shape) * 127 + 128 * labels.view(-1, 1, 1, 1)).byte(), labels)


@pytest.fixture
def built(real, monkeypatch, dataset):
    """`built(extractor)`; of one that needs weights, with the real ones, where they are."""

    def build_it(extractor: dict):
        try:
            return build("extractor", extractor, data=dataset, device=torch.device("cpu"))
        except VaelabError as reason:
            assert re.search("weights|vaelab\\[fidelity", str(reason)), (
                "these sets have all that an extractor may ask for"
            )
            if "VAELAB_DATA" in os.environ:
                pytest.skip(str(reason))
        monkeypatch.setenv("VAELAB_DATA", str(real("weights")))
        return build_it(extractor)

    return build_it


def test_features_are_rows_that_do_not_depend_on_the_batch(extractor, built, dataset):
    network, images = built(extractor), dataset.test.images
    whole = network(images)
    assert whole.dtype == torch.float32
    assert whole.ndim == 2
    assert len(whole) == len(images)
    assert whole.isfinite().all()
    assert not whole.requires_grad
    assert torch.equal(network(images), whole)
    alone = torch.cat([network(image) for image in images.split(1)])
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-5 * whole.abs().max().item())  # of some hundred roundings
    assert whole.var(0).sum() > 0  # it tells images apart


def test_it_is_known_by_name_hash_and_resize_rule(extractor, built):
    first = built(extractor)
    torch.rand(1)
    second = built(extractor)
    assert (first.name, first.hash, first.resize) == (second.name, second.hash, second.resize)
    assert extractor["kind"] in (first.name, "auto")
    assert re.fullmatch("([0-9a-f]{12})?", first.hash)
    assert first.resize


def test_building_draws_none_of_the_users_random_numbers(extractor, built):
    before = torch.get_rng_state()
    built(extractor)
    assert torch.equal(torch.get_rng_state(), before)
