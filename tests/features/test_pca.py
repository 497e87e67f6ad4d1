"""Principal components by their definition."""

import pytest
import torch

from vaelab.data.source import Dataset, Split
from vaelab.errors import UsageError
from vaelab.features import pca as module
from vaelab.features.pca import PCA
from vaelab.features.pixels import Pixels

CPU = torch.device("cpu")


@pytest.fixture
def data() -> Dataset:
    split = Split(torch.randint(0, 256, (90, 1, 8, 8), dtype=torch.uint8))
    return Dataset("noise", split, split[:10], split[:10])


def test_coordinates_are_centred_uncorrelated_and_of_largest_variance(data):
    found = PCA(data, CPU, dims=5)(data.train.images).double()
    covariance = found.T.cov()
    largest = torch.linalg.eigvalsh(Pixels(CPU)(data.train.images).double().T.cov()).flip(0)[:5]
    torch.testing.assert_close(covariance, largest.diag(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.mean(0), torch.zeros(5).double(), atol=1e-6, rtol=0)


def test_all_components_keep_distances(data):
    a, b = PCA(data, CPU, dims=64), Pixels(CPU)
    images = data.test.images
    torch.testing.assert_close(torch.pdist(a(images)), torch.pdist(b(images)), rtol=1e-4, atol=1e-5)


def test_it_is_fitted_to_images_over_the_whole_set(data, monkeypatch):
    monkeypatch.setattr(module, "IMAGES", 10)
    chosen = Split(data.train.images[torch.linspace(0, 89, 10).long()])
    assert PCA(data, CPU, dims=3).hash == PCA(Dataset("few", chosen, chosen, chosen), CPU, dims=3).hash


def test_more_dimensions_than_pixels_are_refused(data):
    with pytest.raises(UsageError, match="90 images of 64 values have no 65 components; lower dims"):
        PCA(data, CPU, dims=65)
