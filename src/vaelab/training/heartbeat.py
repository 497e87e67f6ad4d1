"""Heartbeats: each process of a run shows the others that it is there, and ends once one of them is gone.

A collective whose partner hangs, or whose partner's machine went down, cannot be interrupted from Python. So one thread
of each process tells and asks in the store where they met, and another looks at what it has heard, or that it hears
nothing. Silence is counted in looks and not in seconds: a process that was suspended itself does not blame the others.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn

import torch.distributed as dist

from vaelab.errors import ProcessLost, UsageError, VaelabError

BEAT = 1.0  # seconds between two beats, and two looks
SILENT = 40  # looks without a new beat after which a process counts as gone
DOUBTED = 3  # the same, once something that all do together has failed
VAIN = 5  # looks after which to wait for one that has ended is in vain
LAST_WORDS = 5.0  # seconds that a process has to end itself: its disk may hang, too
DONE = "done"  # the last word of who leaves in peace; other words are numbers of beats, and how a training failed

Act = Callable[[ProcessLost], object]


class Heart:
    """The heart of process `rank` among `size` that have met in a store, which `owner` keeps: a process, or torchrun.

    It beats until the process ends. While it is `watching`, it ends this process for one that is silent, and for one
    that failed and is waited for; one that leaves in peace may.
    """

    def __init__(self, store: Any, rank: int, size: int, owner: str = "") -> None:
        self.store, self.rank, self.size, self.owner = store, rank, size, owner
        self.hosts = [""] * size
        self.lost: ProcessLost | None = None
        self._line = store.clone()  # no collective's use of the store delays a beat
        self._greetings = self._session = 0
        self._beats, self._last = 0, None  # what this process says: how often its heart has beaten, or its last word
        self._words: list[Any] = [0] * size  # what each has said
        self._heard = 0  # how often these were asked for
        self._watching = self._waiting = self._asking = False
        self._turn, self._wake, self._said, self._known = (threading.Lock(), *(threading.Event() for _ in range(3)))
        self._parting: list[Act] = []
        self._hook = sys.excepthook  # before torch puts its own in front, which begins each line with the rank

    def greet(self, device: str, problem: str) -> None:
        """Tell the others the kind of this one's device, or why it has none; UsageError in all, if it is so of one."""
        self._greetings += 1
        mine = {"host": socket.gethostname(), "device": device, "problem": problem}
        hello, heard = ([f"{what}/{self._greetings}/{i}" for i in range(self.size)] for what in ("hello", "heard"))
        self.store.set(f"word/{self.rank}", json.dumps(self._beats))
        self.store.set(hello[self.rank], json.dumps(mine))
        told = [json.loads(text) for text in self.store.multi_get(hello)]
        self.store.set(heard[self.rank], "")
        self.hosts = [one["host"] for one in told]
        problems = [f"{self._name(rank)}: {one['problem']}" for rank, one in enumerate(told) if one["problem"]]
        kinds = {one["device"]: f"{one['device']} in {self._name(rank)}" for rank, one in enumerate(told)}
        if len(kinds) > 1:
            which = ", ".join(kinds[kind] for kind in sorted(kinds))
            problems.append(f"the processes have devices of different kinds, {which}; choose one kind for all")
        if problems:
            if self._keeps(self.rank):  # the store, in which others may have yet to read it
                with contextlib.suppress(RuntimeError):
                    self.store.wait(heard, timedelta(seconds=LAST_WORDS))
            raise UsageError(problem or problems[0])

    def start(self) -> None:
        """Beat, and look, in threads that end with the process."""
        for act in (self._beat, self._look):
            threading.Thread(target=act, name=f"vaelab {act.__name__[1:]}", daemon=True).start()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While entered, others that are gone end this process; what is raised in it is told to them."""
        self._session += 1
        self._last, self._watching = None, True
        try:
            yield
        except BaseException as error:
            self._say(self._failure(error))
            raise
        finally:
            self._watching = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While entered, all processes do something together; ProcessLost if that fails and one of them is gone."""
        before, self._waiting = self._waiting, True
        try:
            yield
        except RuntimeError as error:
            if lost := self._ask():
                raise lost from error
            raise
        finally:
            self._waiting = before

    @contextmanager
    def parting(self, act: Act) -> Iterator[None]:
        """While entered, `act` is done before this process ends because of another, where Python unwinds nothing."""
        self._parting.append(act)
        try:
            yield
        finally:
            self._parting.remove(act)

    def close(self) -> None:
        """Say that this process leaves, and leave the group; where one is gone that could take for ever."""
        if self.lost:
            _exit()
        self._say(self._last or DONE)
        end = time.monotonic() + DOUBTED * BEAT
        while self._keeps(self.rank) and time.monotonic() < end and any(isinstance(word, int) for word in self._words):
            time.sleep(BEAT / 10)  # the store ends with this process, and others have yet to read its last word
        dist.destroy_process_group()

    def _name(self, rank: int) -> str:
        return f"rank {rank} of {self.size} on {self.hosts[rank]}"

    def _keeps(self, rank: int) -> bool:
        """Whether a process keeps the store."""
        return rank == 0 and not self.owner

    def _failure(self, error: BaseException) -> dict[str, Any]:
        """The last word of a process in which something was raised, maybe because another is `lost`."""
        problem = error.problem if isinstance(error, VaelabError) else f"{type(error).__name__}: {error}"
        lost = error.rank if isinstance(error, ProcessLost) else None
        return {"session": self._session, "failed": problem, "lost": lost}

    def _say(self, word: Any) -> None:
        """Have the beating thread say a last word: whoever uses the store itself may wait for ever."""
        self._last = word
        self._said.clear()
        self._wake.set()
        self._said.wait(2 * BEAT)

    def _beat(self) -> None:
        """Say a word, ask for those of all, and again, until the store is gone, which the looking thread notices."""
        with contextlib.suppress(RuntimeError):
            while True:
                self._beats += 1
                word = self._last or self._beats
                self._line.set(f"word/{self.rank}", json.dumps(word))
                texts = self._line.multi_get([f"word/{rank}" for rank in range(self.size)])
                self._words = [json.loads(text) for text in texts]
                self._heard += 1
                if word is self._last:
                    self._said.set()
                self._wake.wait(BEAT)
                self._wake.clear()

    def _look(self) -> None:
        """Count the beats that each has missed, until one is gone; then end this process, or tell whoever asks."""
        heard, words, unheard, missed, vain = 0, self._words, 0, [0] * self.size, 0
        while self.lost is None:
            time.sleep(BEAT)
            now, fresh = self._words, self._heard != heard
            if not self._watching:
                unheard, missed, vain = 0, [0] * self.size, 0
            elif fresh:
                counts = zip(missed, words, now, strict=True)
                missed = [n + 1 if new == old and isinstance(new, int) else 0 for n, old, new in counts]
                heard, words, unheard = self._heard, now, 0
            else:
                unheard += 1  # and who was silent before stays so: the store may have ended with one that it ended
                missed = [n + (n >= DOUBTED) for n in missed]
            vain = vain + 1 if self._waiting and any(map(self._failed, now)) else 0
            if self._watching and (lost := self._verdict(unheard, missed, now, vain)):
                self._end(lost)

    def _failed(self, word: Any) -> bool:
        """Whether a word says that the training at hand has failed."""
        return isinstance(word, dict) and word["session"] == self._session

    def _verdict(self, unheard: int, missed: list[int], words: list[Any], vain: int) -> ProcessLost | None:
        """Who is gone, if anybody; who only ended because of another is not it."""
        failed = [(rank, word) for rank, word in enumerate(words) if rank != self.rank and self._failed(word)]
        if failed and (self._asking or vain >= VAIN):
            rank, word = failed[0]
            own = word["lost"] is None
            return self._gone(rank, f"has ended: {word['failed']}") if own else self._gone(word["lost"])
        limit, longest = DOUBTED if self._asking else SILENT, max(missed)
        if longest >= limit:
            return self._gone(missed.index(longest))
        if unheard >= limit and not (self._keeps(0) and words[0] == DONE):
            return ProcessLost(f"{self.owner} has gone or hangs", None) if self.owner else self._gone(0)
        return None

    def _gone(self, rank: int, what: str = "has gone or hangs") -> ProcessLost:
        return ProcessLost(f"{self._name(rank)} {what}", rank)

    def _ask(self) -> ProcessLost | None:
        """Who is gone, as soon as that is known; None if all are there."""
        with self._turn:
            self._asking = True
        self._known.wait(LAST_WORDS + DOUBTED * BEAT)  # within which this process may be ended
        self._asking = False
        return self.lost

    def _end(self, lost: ProcessLost) -> None:
        """Tell the thread that asks, which then fails; one that hangs cannot be told, so end the process."""
        with self._turn:
            self.lost, asked = lost, self._asking
        if asked:
            self._known.set()
            return
        threading.Thread(target=lambda: (time.sleep(LAST_WORDS), _exit()), daemon=True).start()
        for act in self._parting:
            with contextlib.suppress(Exception):  # the end itself counts more
                act(lost)
        self._hook(type(lost), lost, None)
        _exit()


def _exit() -> NoReturn:
    """End the process as an error would, with what it has printed, and without waiting for anybody."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(ProcessLost.exit_code)
