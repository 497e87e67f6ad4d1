"""Images reached by number, however they are reached: the same as those in memory."""

import numpy as np
import pytest
import torch

from vaelab.data.permutation import Permutation
from vaelab.data.split import Split
from vaelab.data.stored import FileArray, Images, uniform
from vaelab.errors import Damaged

VALUES = np.random.default_rng(0).integers(2**16, size=(23, 2, 3, 5)).astype("<u2")


@pytest.fixture
def stored(tmp_path) -> FileArray:
    path = tmp_path / "x.raw"
    path.write_bytes(b"head" + VALUES.tobytes())
    return FileArray(path, 23, (2, 3, 5), np.dtype("<u2"), 4)


VIEWS = {
    "all": lambda x: x,
    "a slice": lambda x: x.at(slice(3, 20, 2)),
    "the end": lambda x: x.at(slice(-5, None)),
    "a slice of a choice": lambda x: x.at(torch.tensor([4, 22, 0, 4])).at(slice(1, 3)),
    "a computed order": lambda x: x.at(Permutation(23, 1)),
    "changed": lambda x: x.map(lambda batch, rows: batch.float() + rows[:, None, None, None], dtype=torch.float32),
}


def in_memory(name: str) -> torch.Tensor:
    x = torch.from_numpy(VALUES.astype(np.int64))
    order = Permutation(23, 1)[torch.arange(23)]
    picked = {"a slice": slice(3, 20, 2), "the end": slice(-5, None), "a slice of a choice": [22, 0]}
    if name == "changed":
        return x.float() + torch.arange(23)[:, None, None, None]
    return x[order] if name == "a computed order" else x[picked.get(name, slice(None))]


@pytest.mark.parametrize("name", VIEWS)
def test_what_is_taken_is_what_indexing_gives(stored, name):
    found, expected = VIEWS[name](stored), in_memory(name)
    assert found.shape == expected.shape and len(found) == len(expected)
    for index in (slice(None), slice(1, None, 2), [0, 1, 0], torch.tensor([1, 0]), [-1]):
        assert torch.equal(found[index].to(expected.dtype), expected[index])
    assert torch.equal(found[-1].to(expected.dtype), expected[-1])
    assert torch.equal(torch.cat([part.to(expected.dtype) for part in found.split(4)]), expected)
    assert found[:2].dtype == found.dtype and found.nbytes == found[:].nbytes


def test_a_split_has_some_of_its_images_without_reading_any(tmp_path):
    class Unread(Images):
        def take(self, rows):
            raise AssertionError("read")

    labels = torch.arange(9)
    split = Split(Unread(9, (1, 2, 2), torch.uint8), labels)
    for few in (split[2:5], split[torch.tensor([2, 3, 4])], split.shuffled(Permutation(9, 0))[:3]):
        assert len(few) == len(few.images) == len(few.labels) == 3


def test_big_endian_values_are_those_of_the_machine(tmp_path):
    path = tmp_path / "x.raw"
    path.write_bytes(VALUES.astype(">u2").tobytes())
    assert torch.equal(FileArray(path, 23, (2, 3, 5), np.dtype(">u2"), 0)[:], torch.from_numpy(VALUES))


def test_a_file_that_ends_too_early_is_damaged(tmp_path):
    path = tmp_path / "x.raw"
    path.write_bytes(VALUES.tobytes()[:-1])
    images = FileArray(path, 23, (2, 3, 5), np.dtype("<u2"), 0)
    assert len(images[:22]) == 22
    with pytest.raises(Damaged, match="shorter than its header says"):
        images[22]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, 1000, 4097])
def test_a_computed_order_has_each_number_once(count):
    order = Permutation(count, seed=5)
    assert sorted(order[torch.arange(count)].tolist()) == list(range(count))
    positions = torch.randint(count, (7,))
    assert torch.equal(order[positions], order[torch.arange(count)][positions])


def test_computed_orders_differ_by_seed_and_leave_no_trace_of_the_place():
    n = 20_000
    a, b = (Permutation(n, seed)[torch.arange(n)].double() for seed in (0, 1))
    for x, y in ((a, b), (a, torch.arange(n).double()), (a[1:], a[:-1])):
        assert abs(torch.corrcoef(torch.stack([x, y]))[0, 1]) < 5 / n**0.5


def test_uniform_numbers_of_rows_are_uniform_and_independent():
    u = uniform(torch.arange(500), 200, key=3)
    assert torch.equal(uniform(torch.tensor([7, 3]), 200, 3), u[[7, 3]])
    assert u.min() >= 0 and u.max() < 1
    counts = torch.histc(u, 50, 0, 1)
    assert ((counts - 2000) ** 2 / 2000).sum() < 49 + 5 * (2 * 49) ** 0.5  # chi square of 49 degrees of freedom
    assert abs(torch.corrcoef(torch.stack([u[:, :-1].flatten(), u[:, 1:].flatten()]))[0, 1]) < 5 / u.numel() ** 0.5
