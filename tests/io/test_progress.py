"""A bar for one long thing after another: its share, told by the loops within."""

import io

import pytest
import torch
from rich.console import Console

from vaelab.data.source import Split
from vaelab.evaluation.measure import Target, measure, specs
from vaelab.io import progress
from vaelab.io.progress import Stages, over
from vaelab.metrics.ais import ais
from vaelab.metrics.batches import batches
from vaelab.metrics.likelihood import likelihood


@pytest.fixture
def shares(monkeypatch):
    """What is told of how far a loop is."""
    told = []
    monkeypatch.setattr(Stages, "show", lambda self, done, of: told.append((done, of)))
    return told


def test_loops_outside_a_bar_tell_nobody(shares):
    assert list(over([1, 2])) == [1, 2] and not shares


def test_only_the_outermost_loop_tells(shares):
    with Stages():
        assert [list(over("ab")) for _ in over([1, 2])] == [["a", "b"]] * 2
        next(over([1, 2, 3]))  # one that is left at once hinders no later one
        list(over("xy"))
    list(over("after"))
    assert shares == [(0, 2), (1, 2), (0, 3), (0, 2), (1, 2)]


def test_the_long_metrics_tell_their_share(linear_gaussian, shares):
    model = linear_gaussian()
    split = Split((model.images(40).clamp(0, 1) * 255).byte())
    with Stages():
        list(batches(model, split, 10))
        assert shares == [(i, 4) for i in range(4)]
        likelihood(model, split, samples=2)
        shares.clear()
        ais(model, split, images=3, temperatures=20, chains=2)
        assert [done for done, of in shares if of == 20] == list(range(20))


def test_the_bar_names_what_is_measured_and_its_share(monkeypatch):
    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(progress, "terminal", lambda: screen)
    with Stages() as stages:
        stages.begin("measuring likelihood, 1 of 12")
        for _ in over(range(4)):
            stages._progress.refresh()
        stages.begin("measuring frechet, 2 of 12")
        stages._progress.refresh()
    told = screen.file.getvalue()
    assert "measuring likelihood, 1 of 12" in told and " 75%" in told and "measuring frechet, 2 of 12" in told


def test_metrics_are_counted(monkeypatch):

    said = []
    data = torch.nn.Module()  # nobody looks at it
    target = Target(data=data, split="test", device=torch.device("cpu"), made=torch.zeros(1, 1, 2, 2))  # pyright: ignore
    monkeypatch.setattr(Target, "supply", lambda self, name: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        measure(specs(["likelihood", "ais"], {})[0], target, said.append)
    assert said == ["likelihood, 1 of 2"]
