"""The order of images from every kind of source: each once in an epoch, and the same whenever a run is killed."""

import itertools
from functools import partial
from random import Random

import pytest
import torch

import vaelab
from torture.kills import BROKEN, differences
from torture.numbered import COUNT, RECIPE, SOURCES, Watched, is_lazy, numbers
from vaelab.data import arrays, as_dataset
from vaelab.training.batches import Batches
from vaelab.training.order import Order
from vaelab.training.process_group import ProcessGroup

BATCH, EPOCHS, STEPS = 7, 8, 36  # of 31 images
KILLS = 20
IN_MEMORY = ("tensor", "floats", "folder", "shards", "table")  # or mapped; all others are read as they are needed
SKIPPED = BROKEN["a step is left out"]


@pytest.fixture(autouse=True)
def read_as_needed(monkeypatch):
    """Arrays are read as they are needed, however small."""
    monkeypatch.setattr(arrays, "IN_MEMORY", 0)


def epochs_of(stream: list[int], length: int) -> list[list[int]]:
    return [stream[start : start + length] for start in range(0, len(stream) - length + 1, length)]


@pytest.mark.parametrize("kind", SOURCES)
def test_each_image_is_once_in_an_epoch_on_any_number_of_processes(kind, tmp_path):
    data = as_dataset(SOURCES[kind](tmp_path / "set"))
    assert is_lazy(data) == (kind not in IN_MEMORY)
    own = [sorted(numbers(split.images[:])) for split in (data.train, data.valid, data.test)]
    assert sorted(itertools.chain(*own)) == list(range(COUNT)) and len(own[0]) == len(data.train)
    order, streams = Order(len(data.train), BATCH, 0), []
    for size in (1, 2, 3):
        groups = [ProcessGroup(rank, size, torch.device("cpu")) for rank in range(size)]
        parts = [Batches(data.train, order, group, False) for group in groups]
        ahead = [[numbers(x) for x, _ in part.ahead(range(STEPS))] for part in parts]
        assert ahead == [[numbers(part[step][0]) for step in range(STEPS)] for part in parts]
        stream = torch.empty(STEPS, BATCH, dtype=torch.int64)
        for rank, some in enumerate(ahead):
            stream[:, rank::size] = torch.tensor(some)
        streams.append(stream.flatten().tolist())
        for later in (5, 17):  # where a run may be resumed
            assert [[numbers(x) for x, _ in part.ahead(range(later, STEPS))] for part in parts] == [
                some[later:] for some in ahead
            ]
    assert streams[0] == streams[1] == streams[2]
    epochs = epochs_of(streams[0], len(data.train))
    assert len(epochs) == EPOCHS and [sorted(epoch) for epoch in epochs] == [own[0]] * EPOCHS
    assert len({tuple(epoch) for epoch in epochs}) == EPOCHS


@pytest.mark.parametrize("kind", SOURCES)
def test_a_training_sees_each_image_once_in_an_epoch(kind, tmp_path, batches_of):
    (tmp_path / "numbered.yaml").write_text(RECIPE)
    data, recipe = SOURCES[kind](tmp_path / "set"), str(tmp_path / "numbered.yaml")
    train = partial(vaelab.train, recipe, data=data, run=tmp_path / "run", device="cpu", quiet=True)
    seen = batches_of(lambda: train("train.epochs=2"))  # of which the last batch has images of the third
    seen += batches_of(lambda: train("train.epochs=5", resume=True))
    found = as_dataset(data).train
    epochs = epochs_of(numbers(torch.cat(seen)), len(found))
    assert [sorted(epoch) for epoch in epochs] == [sorted(numbers(found.images[:]))] * 5


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "processes"), [*((kind, 1) for kind in SOURCES), ("file", 2)])
def test_twenty_kills_change_neither_the_stream_of_images_nor_the_weights(kind, processes, tmp_path):
    data = SOURCES[kind](tmp_path / "set")
    watched = Watched(tmp_path, data, processes)
    assert watched.stream("whole") == []
    whole = watched.seen
    assert whole.keys() == {(step, rank) for step in range(STEPS) for rank in range(processes)}
    kills = Random(f"{kind} {processes}").choices(range(STEPS), k=KILLS)
    assert watched.stream("killed", kills) == []
    assert watched.seen == whole and differences(tmp_path / "whole", tmp_path / "killed") == []


def test_a_resumption_that_leaves_out_a_step_is_noticed(tmp_path):
    watched = Watched(tmp_path, SOURCES["file"](tmp_path / "set"))
    assert watched.stream("whole") == [] and is_lazy(watched.data)
    assert watched.stream("killed", [11], SKIPPED) == [f"rank 0 took the steps {[*range(10, STEPS)]} from 9 on"]
    assert "weights differ" in differences(tmp_path / "whole", tmp_path / "killed")
