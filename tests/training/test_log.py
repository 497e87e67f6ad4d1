"""Progress is told where it can be, and never stops a training."""

import errno
import io
import os
import sys

import pytest

import vaelab
from vaelab.io.progress import terminal


class Broken(io.StringIO):
    """Standard error whose other end is gone, or whose disk is full."""

    def __init__(self, number: int, terminal: bool) -> None:
        super().__init__()
        self.number, self.terminal = number, terminal

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))

    def isatty(self) -> bool:
        return self.terminal


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    "stream",
    [
        Broken(errno.EPIPE, False),
        Broken(errno.ENOSPC, False),
        Broken(errno.EIO, True),
        io.TextIOWrapper(io.BytesIO(), "ascii"),
        closed(),
        None,
    ],
    ids=["pipe", "full", "terminal", "ascii", "closed", "none"],
)
def test_a_training_goes_on_without_progress(recipe, rows, tmp_path, monkeypatch, capsys, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    run = vaelab.train(recipe, run=tmp_path / "a", device="cpu")
    assert len(rows(run, kind="epoch")) == 8 and capsys.readouterr().out == ""
    assert sys.stderr is stream
    terminal.cache_clear()  # which knew the colours of this one
