"""Interleaved rounds: each contender once per round, so that a ratio within a round meets the same neighbours."""

import math
import multiprocessing
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

WIDEST = 3.0  # a ratio whose rounds span more than this factor says something about the machine only


@dataclass(frozen=True)
class Lap:
    """What one contender took in one round."""

    wall: float  # seconds
    cpu: float  # seconds of this process, all threads

    def each(self, count: int) -> "Lap":
        """The share of one thing in a lap of so many."""
        return Lap(self.wall / count, self.cpu / count)


@dataclass(frozen=True)
class Ratio:
    """How many times faster one contender is than another: the median and the range over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, slow: list[float], fast: list[float]) -> "Ratio":
        """From the seconds of two contenders, round by round."""
        ratios = [s / f for s, f in zip(slow, fast, strict=True)]
        return cls(statistics.median(ratios), min(ratios), max(ratios))

    @property
    def judgeable(self) -> bool:
        """Whether the rounds agree enough for a verdict."""
        return self.high <= WIDEST * self.low

    def __str__(self) -> str:
        return f"{self.median:.2f}× ({self.low:.2f}..{self.high:.2f})"


class Runner:
    """A contender in a process of its own, which works only while it is asked for a lap.

    Apart, because threads and the CPU's floating-point mode belong to a process: one contender must not inherit them
    from another.
    """

    def __init__(self, serve: Callable[..., None], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, *arguments))
        self.process.start()
        theirs.close()  # so that a contender that dies is noticed

    def lap(self) -> tuple[Lap, float]:
        """Run one epoch: what it took, and its loss."""
        self.pipe.send("lap")
        seconds, cpu, loss = self.pipe.recv()
        return Lap(seconds, cpu), loss

    @property
    def peak(self) -> float:
        """The most memory that its process has held so far, in MiB; nan where the system does not say.

        Not getrusage's, which a new process inherits from the one that started it.
        """
        status = Path(f"/proc/{self.process.pid}/status")
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0]) / 1024 if status.exists() else math.nan

    def stop(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join()


def serve_laps(pipe: Any, epochs: Iterator[float]) -> None:
    """In the contender's process: one epoch, timed, for each message."""
    while asked(pipe):
        wall, cpu = time.perf_counter(), time.process_time()
        loss = next(epochs)
        pipe.send((time.perf_counter() - wall, time.process_time() - cpu, loss))


def asked(pipe: Any) -> bool:
    """Wait for the next message; none comes when the benchmark is over."""
    try:
        return pipe.recv() == "lap"
    except EOFError:
        return False


def interleaved(runners: Mapping[str, Runner], rounds: int) -> Iterator[dict[str, Lap]]:
    """A B C … A B C …: yields the laps of each round."""
    for _ in range(rounds):
        yield {name: runner.lap()[0] for name, runner in runners.items()}


def verdict(bar: float, ratio: Ratio) -> str:
    """`bar 1.2× : 1.63× met`, or why there is none."""
    if not ratio.judgeable:
        return f"bar {bar:g}× : {ratio.median:.2f}× not judged, the rounds span {ratio.low:.2f}..{ratio.high:.2f}"
    return f"bar {bar:g}× : {ratio.median:.2f}× {'met' if ratio.median >= bar else 'MISSED'}"


def judged(title: str, bar: float, slow: list[Lap], fast: list[Lap]) -> str:
    """A verdict by wall time, and one by CPU time: the one to go by where others want the cores."""
    ratios = {k: Ratio.of(*([getattr(lap, k) for lap in laps] for laps in (slow, fast))) for k in ("wall", "cpu")}
    lines = [f"    {k:5}{verdict(bar, ratio)}   {ratio}" for k, ratio in ratios.items()]
    return "\n".join([f"  {title}", *lines])


def load_average() -> str:
    """Processes that wanted a core in the last 1, 5 and 15 minutes, beside the cores there are."""
    return f"{' '.join(f'{x:.1f}' for x in os.getloadavg())} on {os.cpu_count()} cores"


def plain(thing: Any) -> Any:
    """Laps and ratios as what JSON knows."""
    return asdict(thing) if isinstance(thing, Lap | Ratio) else str(thing)
