"""The batches of a run: those of its order, on every process and from any step on, wherever the images lie."""

import threading
from contextlib import closing

import numpy as np
import pytest
import torch

from vaelab.data.split import Split
from vaelab.data.stored import FileArray, Images
from vaelab.training import loop as engine
from vaelab.training.batches import Batches
from vaelab.training.order import Order
from vaelab.training.process_group import ProcessGroup

X = torch.randint(256, (50, 1, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
STEPS = 23


@pytest.fixture
def stored(tmp_path) -> Images:
    (tmp_path / "x").write_bytes(X.numpy().tobytes())
    return FileArray(tmp_path / "x", *(50, (1, 3, 3)), np.dtype(np.uint8), 0)


def batches(images, rank: int = 0, size: int = 1, labelled: bool = True) -> Batches:
    split = Split(images, torch.arange(50))
    return Batches(split, Order(50, 8, 5), ProcessGroup(rank, size, torch.device("cpu")), labelled)


@pytest.mark.parametrize("rank", range(3))
def test_read_ahead_they_are_those_in_memory_on_any_process_from_any_step(stored, rank):
    known = [batches(X, rank, 3)[step] for step in range(STEPS)]
    for images in (X, stored):
        mine = batches(images, rank, 3)
        for first in (0, 1, 7, STEPS - 1, STEPS):
            found = list(mine.ahead(range(first, STEPS)))
            assert len(found) == STEPS - first
            for (x, y), (mine_x, mine_y) in zip(known[first:], found, strict=True):
                assert torch.equal(x, mine_x) and torch.equal(y, mine_y)
        assert all(torch.equal(mine[step][0], known[step][0]) for step in (4, 22, 0))


def test_others_may_be_taken_meanwhile(stored):
    mine = batches(stored, labelled=False)
    with closing(mine.ahead(range(STEPS))) as found:
        for step, (x, y) in enumerate(found):
            assert y is None and torch.equal(x, batches(X)[step][0])
            rows = torch.tensor([step, 3])
            assert torch.equal(mine.take(rows)[0], X[rows])


def test_a_run_has_the_same_weights_and_no_threads_afterwards(train, parts, largest_gap, monkeypatch, tmp_path):
    """Of images that lie in a file, resumed in mid-epoch; `whole` has them in memory."""
    whole, split = train("whole"), parts().data.train
    (tmp_path / "x").write_bytes(split.images.numpy().tobytes())
    make = Batches.__init__

    def lazy(self, found, *rest):
        images = FileArray(tmp_path / "x", len(found), found.images.shape[1:], np.dtype(np.uint8), 0)
        make(self, Split(images, found.labels), *rest)

    monkeypatch.setattr(engine.Batches, "__init__", lazy)
    before = threading.active_count()
    assert largest_gap(whole, train("file")) == 0
    train("again", "train.epochs=2")
    assert largest_gap(whole, train("again", "train.epochs=4", resume=True)) == 0
    assert threading.active_count() == before
