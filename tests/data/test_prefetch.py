"""Reading ahead: the same batches in the same order, never many of them, and nothing that outlives its use."""

import threading
import time
from contextlib import closing

import pytest
import torch
from torch import Tensor

from vaelab.data import prefetch as module
from vaelab.data.prefetch import in_turn, prefetched
from vaelab.data.split import Split
from vaelab.data.stored import Images
from vaelab.errors import Damaged, UsageError

X = torch.arange(40 * 3 * 2 * 2, dtype=torch.int64).remainder(251).to(torch.uint8).view(40, 3, 2, 2)


class Stored(Images):
    """Images that take a while to read, some of which cannot be; notes which rows were asked for, and where."""

    def __init__(self, broken: int = -1, images: Tensor = X) -> None:
        super().__init__(len(images), images.shape[1:], images.dtype)
        self.images, self.broken, self.asked, self.threads = images, broken, [], set()

    def take(self, rows: Tensor) -> Tensor:
        self.asked += rows.tolist()
        self.threads.add((threading.current_thread(), torch.get_num_threads()))
        time.sleep(0.001 * (int(rows[0]) % 3) if len(rows) else 0)
        if self.broken in rows:
            raise Damaged("broken.png", "it is")
        return self.images[rows]


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("images")]


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert not readers()


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("size", [1, 7, 40])
def test_batches_are_those_that_are_asked_for_in_their_order(monkeypatch, cores, size):
    monkeypatch.setattr(module, "_cores", lambda: cores)
    batches = torch.randperm(40, generator=torch.Generator().manual_seed(0)).split(size)
    for images in (Stored(), X):
        found = list(prefetched(images, iter(batches)))
        assert all(torch.equal(rows, asked) for (rows, _), asked in zip(found, batches, strict=True))
        assert all(torch.equal(x, X[rows]) for rows, x in found)


@pytest.mark.parametrize(("held", "most"), [(2**28, module.AHEAD), (2 * 4 * 12, 2), (1, 1)])
def test_only_a_few_batches_are_read_before_their_time(monkeypatch, held, most):
    monkeypatch.setattr(module, "HELD", held)
    images = Stored()
    with closing(prefetched(images, torch.arange(40).split(4))) as found:
        for used in range(1, 6):
            next(found)
            time.sleep(0.02)
            assert used * 4 <= len(images.asked) <= (used + most) * 4


@pytest.mark.parametrize("broken", [0, 17, 39])
def test_what_cannot_be_read_is_said_when_it_is_due(broken):
    seen = []
    with pytest.raises(UsageError, match=r"broken\.png"):
        for rows, _ in prefetched(Stored(broken), torch.arange(40).split(4)):
            seen += rows.tolist()
    assert seen == list(range(broken // 4 * 4))


def test_threads_end_with_whoever_leaves_early_and_pending_batches_are_not_read():
    images = Stored()
    with pytest.raises(KeyboardInterrupt), closing(prefetched(images, torch.arange(40).split(1))) as found:
        next(found)
        raise KeyboardInterrupt
    assert not readers() and len(images.asked) <= 1 + module.AHEAD


def test_threads_compute_alone_and_the_caller_as_before():
    before, images = torch.get_num_threads(), Stored()
    list(prefetched(images, torch.arange(40).split(4)))
    assert {number for _, number in images.threads} == {1}
    assert threading.current_thread() not in {thread for thread, _ in images.threads}
    after = []
    threading.Thread(target=lambda: after.append(torch.get_num_threads())).start()
    while not after:
        time.sleep(0.001)
    assert after == [torch.get_num_threads()] == [before]


@pytest.mark.parametrize("images", [X, Stored()], ids=["memory", "stored"])
def test_a_split_comes_in_turn_with_all_that_is_known(images):
    split = Split(images, labels=torch.arange(40), factors=torch.rand(40, 2))
    for batches in ([slice(0, 30), slice(30, 60)], [torch.tensor([3, 1]), torch.tensor([], dtype=torch.int64)]):
        for part, some in zip(in_turn(split, batches), batches, strict=True):
            assert isinstance(part.images, Tensor) and torch.equal(part.images, X[some])
            assert torch.equal(part.labels, split.labels[some]) and torch.equal(part.factors, split.factors[some])
