"""What the campaigns share: cases known by a number, each judged in a forked child with limits, counted by kind."""

import json
import os
import resource
import select
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from typer.testing import CliRunner

from torture.fork import Fork
from vaelab.cli import app
from vaelab.io import memory

GIGABYTE = 2**30
LONG = 5000  # characters of an answer, which may list several problems
SAID = 1500  # characters of a failure that are kept; a line of a pipe is written at once up to 4096 bytes


class Judged(NamedTuple):
    """What became of a case: its kind, a word that is counted, and what is wrong, "" where nothing is."""

    kind: str
    outcome: str
    failure: str = ""


class Limits(NamedTuple):
    """Of one case: seconds, and the bytes by which its process may grow."""

    seconds: float
    memory: int | None = GIGABYTE


Judge = Callable[[int], Judged]


def judged(judge: Judge, cases: Iterable[int], limits: Limits, processes: int = 1) -> Iterator[tuple[int, Judged]]:
    """Every case, in no order; one that takes too long or kills its process is a failure, and the rest goes on."""
    cases = list(cases)
    running = [_Worker(judge, share, limits) for i in range(processes) if (share := cases[i::processes])]
    try:
        while running:
            ready, _, _ = select.select([worker.pipe for worker in running], [], [], 0.2)
            for worker in running:
                yield from worker.read() if worker.pipe in ready else worker.overdue()
            ended = [worker for worker in running if worker.ended]
            running = [worker for worker in running if not worker.ended]
            running += [_Worker(judge, worker.waiting, limits) for worker in ended if worker.waiting]
    finally:
        for worker in running:
            worker.fork.end()


def told(name: str, found: Iterable[tuple[int, Judged]], seed: int) -> bool:
    """Print a line for each kind, then each failure with how to repeat it; returns whether there was none."""
    began, results = time.perf_counter(), dict(found)
    kinds: dict[str, Counter[str]] = {}
    for result in results.values():
        kinds.setdefault(result.kind, Counter())[result.outcome] += 1
    for kind, counts in sorted(kinds.items()):
        words = ", ".join(f"{count:,} {word}" for word, count in counts.most_common())
        print(f"{name}: {kind}: {counts.total():,} cases: {words}")
    failed = {case: result for case, result in sorted(results.items()) if result.failure}
    for case, result in failed.items():
        print(f"FAILED {name}, {result.kind}: {result.failure}")
        print(f"  again: python -m torture --only {name} --seed {seed} --case {case}")
    took = time.perf_counter() - began
    print(f"{name}: {len(results):,} cases, {len(failed)} failed, seed {seed}, {took:.0f} s", flush=True)
    return not failed


class _Worker:
    """A child that judges its share of the cases, and tells through a pipe which it begins and what it found."""

    def __init__(self, judge: Judge, cases: list[int], limits: Limits) -> None:
        self.waiting, self.limits, self.ended = list(cases), limits, False
        self.case: int | None = None
        self.since, self.rest = time.monotonic(), b""
        self.pipe, theirs = os.pipe()
        self.fork = Fork(lambda: _work(judge, cases, limits, theirs))
        os.close(theirs)

    def read(self) -> Iterator[tuple[int, Judged]]:
        """What it has told since; an end of the pipe within a case is a death."""
        said = os.read(self.pipe, 2**16)
        *lines, self.rest = (self.rest + said).split(b"\n")
        for line in map(json.loads, lines):
            if isinstance(line, int):
                self.case, self.since = line, time.monotonic()
            else:
                yield self._close(Judged(*line))
        if not said:
            code = self.fork.wait(60)
            self.ended = True
            os.close(self.pipe)
            if self.case is not None:
                yield self._close(Judged("any", "died", f"its process ended with {code}"))
            elif code:
                raise RuntimeError(f"a worker ended with {code} between two cases")

    def overdue(self) -> Iterator[tuple[int, Judged]]:
        """A case that has taken too long, whose process is killed."""
        if self.case is not None and time.monotonic() - self.since > self.limits.seconds:
            self.fork.end()
            os.close(self.pipe)
            self.ended = True
            yield self._close(Judged("any", "hung", f"still busy after {self.limits.seconds} s"))

    def _close(self, result: Judged) -> tuple[int, Judged]:
        case = self.case
        assert case is not None
        self.waiting.remove(case)
        self.case = None
        return case, result


def _work(judge: Judge, cases: list[int], limits: Limits, pipe: int) -> None:
    """Judge one case after another; leaves for a fresh process once this one has grown."""
    if limits.memory:
        memory.available_memory = lambda: limits.memory  # what would not fit there is to be refused, not tried
        most = _status("VmSize") + limits.memory * 5 // 4  # so that a little more than is allowed can be seen
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    start = _status("VmRSS")
    for case in cases:
        os.write(pipe, f"{case}\n".encode())
        before = _forget_peak()
        result = judge(case)
        grown = _status("VmHWM") - before
        if limits.memory and grown > limits.memory and not result.failure:
            result = result._replace(outcome="gigabyte", failure=f"took {grown / GIGABYTE:.1f} GB")
        line = json.dumps([result.kind, result.outcome, result.failure[:SAID].encode("ascii", "replace").decode()])
        os.write(pipe, f"{line}\n".encode())
        if limits.memory and _status("VmRSS") - start > limits.memory // 3:
            return


def _forget_peak() -> int:
    """Let the peak of this process' memory begin anew; returns what it takes now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    """Bytes, from /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def typed(words: list[str]) -> str:
    """What became of a command line: done, refused or failed; raises what it let through, and answers without end."""
    result = CliRunner().invoke(app, words, env={"COLUMNS": "100"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code not in (0, 1, 2) or "Traceback" in result.output:
        raise AssertionError(f"exit code {result.exit_code}: {result.output[-300:]}")
    if result.exit_code and len(result.output) > LONG:
        raise AssertionError(f"an answer of {len(result.output):,} characters to {str(words)[:200]}")
    return ("done", "failed", "refused")[result.exit_code]


def where(error: BaseException) -> str:
    """An exception and the line of vaelab's that let it through."""
    lines, trace = [], error.__traceback__
    while trace:
        code = trace.tb_frame.f_code
        lines.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return f"{type(error).__name__}: {str(error)[:300]} at {' < '.join(reversed(lines[-8:]))}"
