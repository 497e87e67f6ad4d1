"""A finding of the diagnosis, and what its rules ask of a run: whether it can be judged by now, and how to go on."""

from typing import NamedTuple

from vaelab.report.trends import FEW, last_gain
from vaelab.runs.folder import RunFolder
from vaelab.runs.log import Log, finite, numbers

LEVELS = {"good": "All well", "note": "Note", "warning": "Warning", "bad": "Problem"}  # from least to gravest
CUT = ("stopped", "killed")  # states of a run that can be resumed
MIN_STEPS = 200  # in which Adam moves a weight by 0.2 at most at a learning rate of 0.001


class Finding(NamedTuple):
    """One thing that a reader should know; `metric` has measured it and says the same in a note of its own."""

    kind: str
    level: str  # one of LEVELS
    sentence: str
    evidence: str
    remedy: str = ""
    metric: str = ""

    @property
    def text(self) -> str:
        """All of it in one line, for a terminal."""
        advice = f" Try {self.remedy}." if self.remedy else ""
        return f"{LEVELS[self.level]}: {self.sentence} {self.evidence}{advice}"


def steps_taken(log: Log) -> int:
    """Steps of the last stage."""
    ends = [max(numbers(rows, "step"), default=0.0) for rows in (log.earlier, [*log.steps, *log.train])]
    return int(max(0.0, ends[1] - ends[0]))


def is_early(run: RunFolder) -> bool:
    """Whether steps or epochs are too few for a trend, or few of which the last still gained.

    Without a row none can tell.
    """
    log = run.log
    unknown = not (log.valid or log.train or log.steps) and run.state.word not in ("running", *CUT)
    return not unknown and (len(log.valid) < FEW or last_gain(log.valid) > 0 or steps_taken(log) < MIN_STEPS)


def longer(run: RunFolder) -> str:
    """The remedy of training on; none for a run that does."""
    if run.state.word == "running":
        return ""
    return "resuming it, which carries on to the recipe's end" if run.state.word in CUT else "more train.epochs"


def last(run: RunFolder, key: str) -> float | None:
    """A number of the last epoch's validation images."""
    return finite(run.log.valid[-1], key) if run.log.valid else None


def beta(run: RunFolder) -> float | None:
    """The weight of the KL that was applied last."""
    rows = run.log.train or run.log.steps
    return finite(rows[-1], "beta") if rows else None
