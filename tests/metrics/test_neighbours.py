import pytest
import torch

from vaelab.metrics import neighbours
from vaelab.metrics.neighbours import distances, nearest, radii


@pytest.fixture(autouse=True)
def many_blocks(monkeypatch):
    """So small that a few points already need several blocks of rows and of columns."""
    monkeypatch.setattr(neighbours, "BLOCK", 70)
    monkeypatch.setattr(neighbours, "COLUMNS", 6)


def test_blocks_together_are_all_distances():
    a, b = torch.randn(23, 5), torch.randn(17, 5)
    blocks = list(distances(a, b))
    assert len(blocks) > 1
    expected = (a[:, None].double() - b.double()).norm(dim=-1).float()
    torch.testing.assert_close(torch.cat(blocks), expected, rtol=1e-6, atol=1e-7)


def test_a_large_offset_costs_no_digits():
    a, b = torch.randn(20, 8) + 100, torch.randn(20, 8) + 100
    expected = (a[:, None].double() - b.double()).norm(dim=-1).float()
    torch.testing.assert_close(torch.cat(list(distances(a, b))), expected, rtol=1e-6, atol=1e-6)


def test_radii_leave_out_the_point_itself_but_not_its_copy():
    points = torch.tensor([[0.0], [1.0], [3.0], [3.0], [7.0]]).repeat(1, 2) / 2**0.5
    assert radii(points, 1).tolist() == pytest.approx([1, 1, 0, 0, 4])
    assert radii(points, 2).tolist() == pytest.approx([3, 2, 2, 2, 4])


def test_nearest_names_the_point():
    a, b = torch.randn(30, 4), torch.randn(25, 4)
    expected = (a[:, None] - b).norm(dim=-1).min(1)
    found = nearest(a, b)
    assert torch.equal(found.indices, expected.indices)
    torch.testing.assert_close(found.values, expected.values)
