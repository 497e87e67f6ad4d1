"""What is said beside the results, on standard error: sentences, and a progress bar that only a terminal shows."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Self, TypeVar

from vaelab.io.formatting import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn

S = TypeVar("S")
T = TypeVar("T")
_OPEN: ContextVar["Stages | None"] = ContextVar("open", default=None)


def say(text: str) -> None:
    """Print a sentence, and below it the items of its list, if it has one; other ends of lines are a name's.

    Where standard error is closed or full, or nobody reads it, nobody is told and nothing stops.
    """
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print("\n  ".join(map(printable, text.split("\n  "))), file=sys.stderr, flush=True)


def note(text: object) -> None:
    """Print a remark."""
    say(f"note: {text}")


@cache
def terminal() -> "Console":
    """Standard error, one object for all that moves there, so that a bar within a status does not write over it."""
    from rich.console import Console

    return Console(stderr=True)


class _Live:
    """A context in which a terminal shows a bar for each of some tasks."""

    def __init__(self, *columns: "ProgressColumn") -> None:
        from rich.progress import Progress

        still = not terminal().is_terminal
        self._progress = Progress(*columns, console=terminal(), disable=still, transient=True)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()


class Bar(_Live):
    """A context with `update(n)`; `total`, `reset` and `close` are what pooch's downloader needs besides."""

    def __init__(self, description: str, total: float | None = None) -> None:
        from rich.markup import escape

        super().__init__()
        self._task = self._progress.add_task(escape(printable(description)), total=total)

    @property
    def total(self) -> float | None:
        """How much there is to do; None while that is not known."""
        return self._progress.tasks[0].total

    @total.setter
    def total(self, total: float | None) -> None:
        self._progress.update(self._task, total=total or None)

    def update(self, amount: float) -> None:
        """So much more is done."""
        self._progress.advance(self._task, amount)

    def reset(self) -> None:
        """Nothing is done."""
        self._progress.reset(self._task, total=self.total)

    def close(self) -> None:
        """The end of the context closes the bar."""


def in_threads(what: str, act: Callable[[S], T], items: Sequence[S], threads: int | None = None) -> list[T]:
    """What `act` makes of each item, in their order, below a bar; once one fails, no other is begun."""
    from concurrent.futures import ThreadPoolExecutor

    with Bar(what, len(items)) as bar, ThreadPoolExecutor(threads) as workers:
        try:
            found = []
            for made in workers.map(act, items):
                found.append(made)
                bar.update(1)
            return found
        except BaseException:
            workers.shutdown(cancel_futures=True)
            raise


class Stages(_Live):
    """A context with a bar for one long thing after another: what it is, its share that is done, the time left."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

        super().__init__(TextColumn("{task.description}"), BarColumn(20), TaskProgressColumn(), TimeRemainingColumn())
        self.looping = False

    def __enter__(self) -> Self:
        self._token = _OPEN.set(self)
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        _OPEN.reset(self._token)

    def begin(self, what: str) -> None:
        """The thing before is done; of this one no share is known until a loop of it tells."""
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._progress.add_task(what, total=None)

    def show(self, done: int, of: int) -> None:
        """So much of what began last is done."""
        for task in self._progress.task_ids:
            self._progress.update(task, completed=done, total=of)


def over(items: Sequence[T]) -> Iterator[T]:
    """The items of a long loop, which tells the `Stages` that are open how far it is; a loop within it does not."""
    stages = _OPEN.get()
    if stages is None or stages.looping:
        yield from items
        return
    stages.looping = True
    try:
        for done, item in enumerate(items):
            stages.show(done, len(items))
            yield item
    finally:
        stages.looping = False
