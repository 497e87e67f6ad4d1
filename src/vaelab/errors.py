"""Errors: what is wrong and how to mend it in one sentence, with fields for programs, which need not read it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

LONGEST_LINE = 1_000  # characters


class VaelabError(Exception):
    """A failure that is not the user's: a `problem`, and a `fix` in words of the library.

    The command line puts its own words in the place of the fix, and exits with `exit_code`. Of a line that is very
    long, for it repeats a value, the middle is left out.
    """

    exit_code = 1
    remedy = ""  # the fix, where it is that of the kind of error

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__()
        self.problem, self.fix = problem, fix or self.remedy

    def __str__(self) -> str:
        return self.mended_by(self.fix)

    def mended_by(self, fix: str) -> str:
        """The sentence, with another fix in the place of its own."""
        return brief(f"{self.problem}; {fix}" if fix else self.problem)

    @property
    def fields(self) -> dict[str, Any]:
        """What a program may want to know, beside the sentence."""
        return {key: value for key, value in vars(self).items() if key not in ("problem", "fix")}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).__new__, (type(self),), vars(self)  # the processes of a run send errors to each other


class UsageError(VaelabError):
    """A mistake that the user can mend."""

    exit_code = 2


class Problems(UsageError):
    """All problems of some options at once, below a `heading` where they are several."""

    def __init__(self, problems: Sequence[str], heading: str) -> None:
        text = problems[0] if len(problems) == 1 else "\n  ".join([f"{heading}:", *problems])
        own = any(isinstance(problem, UnknownPart) for problem in problems)
        super().__init__(text, "a part of your own needs vaelab.load_plugin" if own else "")
        self.problems = list(problems)

    def mended_by(self, fix: str) -> str:
        """With the fix in brackets: each problem has one already."""
        joint = " " if len(self.problems) == 1 else "\n  "
        return brief(f"{self.problem}{joint}({fix})" if fix else self.problem)


class UnknownPart(str):
    """A problem: the name of a part that is none, or is in a plugin that was not named."""


class NotApplicable(UsageError):
    """A metric or a figure that cannot be had of this model or these images; says why and what would help."""


class TooShort(UsageError):
    """A run that would end before its warm-ups or stages do."""


class Stopped(UsageError):
    """A training that Ctrl-C ended, within an epoch or at its end, with its checkpoint in `folder`."""

    def __init__(self, step: int, epoch: int, folder: Path, *, within: bool) -> None:
        problem = f"stopped at step {step}, {'in' if within else 'after'} epoch {epoch}"
        super().__init__(problem, f"resume {folder} to carry on")
        self.step, self.epoch, self.folder = step, epoch, folder


class Diverged(VaelabError):
    """A training of which `term`, a scalar of a step or of the validation, was no finite number at `step`."""

    def __init__(self, term: str, step: int, checkpoint: Path | None) -> None:
        kept = f"the last good checkpoint is {checkpoint}" if checkpoint else "no checkpoint was due yet"
        fix = f"try a smaller train.lr, train.clip_norm=1 or train.precision=float32 ({kept})"
        super().__init__(f"{term} is no longer a finite number at step {step}", fix)
        self.term, self.step = term, step


class ProcessLost(VaelabError):
    """Another process of a run, of that `rank`, that is gone, hangs or failed, or torchrun itself, which has none."""

    def __init__(self, problem: str, rank: int | None) -> None:
        super().__init__(problem, "start all processes again and resume the run")
        self.rank = rank


class FolderGone(VaelabError):
    """A run's folder that is not there any more."""

    def __init__(self, folder: Path) -> None:
        problem = f"{folder} was removed or moved while it was trained"
        super().__init__(problem, "move it back and resume it, or train again")
        self.folder = folder


class NoFolder(UsageError):
    """A file where the folder of a run should be."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is a file", "choose another folder for the run")
        self.path = path


class AlreadyARun(UsageError):
    """A folder for a new run that holds one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} holds a run already", "resume it, or choose another folder")
        self.folder = folder


class NothingToResume(UsageError):
    """A run that is not there, for the reason `why`."""

    def __init__(self, why: str) -> None:
        super().__init__(f"nothing to resume: {why}", "name a run's folder, or start a new run")
        self.why = why


class OtherRecipe(UsageError):
    """A checkpoint, or a run, of another recipe than the one that is asked for."""

    def __init__(self, path: Path, held: str = "", asked: str = "") -> None:
        of, mend = f"holds a run of {held!r}, not of {asked!r}", "name that recipe"
        if not held:
            of, mend = "belongs to another recipe", "move it away"
        super().__init__(f"{path} {of}", f"{mend} or choose another folder")
        self.path, self.mend = path, mend


class ChangedRecipe(UsageError):
    """A run to resume with options that decide its weights; only those in `free` may change."""

    def __init__(self, folder: Path, free: Sequence[str]) -> None:
        problem = f"{folder} was trained with another recipe; a resumed run may change only train's {', '.join(free)}"
        super().__init__(problem, "start a new run")
        self.folder, self.free = folder, free


class NeedsPlugin(UsageError):
    """A run whose plugin this user has not run before; `copy` is where it can be read."""

    def __init__(self, what: str, copy: Path | None) -> None:
        self.read = f"read {copy} and name it" if copy else "name that file"
        super().__init__(what, f"{self.read} in vaelab.load_plugin")


class ComposedByHand(UsageError):
    """A run of a `model` or `data` that no recipe describes, so that its caller has to give them again."""

    def __init__(self, run: Path | str, what: str = "model") -> None:
        how, again = {
            "model": ("composed by hand", "build it again and give it"),
            "data": ("trained on images at hand", "give them again"),
        }[what]
        super().__init__(f"{run} was {how}, so its recipe does not say its {what}", f"{again} as {what}")
        self.run, self.what = run, what


class Unwritable(VaelabError):
    """A file that could not be written; `mend` is what makes its place take it."""

    def __init__(self, path: Path, reason: str, mend: str) -> None:
        kept = "the one before is intact" if path.exists() else "nothing was there before"
        super().__init__(f"could not write {path}: {reason}; {kept}", f"{mend}, or choose another place")
        self.path, self.mend = path, mend


class Unwritten(VaelabError):
    """Numbers that were measured, as `report`, and could not be written."""

    def __init__(self, report: dict[str, Any], error: VaelabError) -> None:
        super().__init__(f"{error.problem}; the numbers were measured", error.fix)
        self.report, self.error, self.exit_code = report, error, error.exit_code


class Damaged(UsageError):
    """A file that is there and is not what it should be, for a `reason`."""

    remedy = "delete it to have it made or downloaded again, or put the right one in its place"

    def __init__(self, path: Path, reason: str, fix: str = "") -> None:
        super().__init__(f"{path} is truncated, damaged or another file ({reason})", fix)
        self.path, self.reason = path, reason


class MissingData(UsageError):
    """A file of a set that is nowhere; `get` says how to get it by hand, and then a data directory has `what`."""

    def __init__(self, problem: str, get: str, what: str = "it") -> None:
        super().__init__(problem, f"{get}, or point data_dir or VAELAB_DATA to a folder that has {what}")
        self.get, self.what = get, what


class Unavailable(MissingData):
    """A file that could not be downloaded either, which is not the user's mistake."""

    exit_code = 1


class WrongSize(UsageError):
    """Images of another size than the one wanted, which could be made to fit."""

    remedy = "give fit=True to crop and resize them"


class MixedSizes(UsageError):
    """A folder with images of several sizes, where all must have one, such as `size`, by an `option`."""

    def __init__(self, problem: str, size: int, option: str = "data.size") -> None:
        super().__init__(problem, f"bring all images to one size with {option}, for example {size}")
        self.size = size


class NeedsLabels(UsageError):
    """A conditional model that is not given the classes of its images."""

    def __init__(self) -> None:
        super().__init__("this model is conditional", "give it the class y of each image, int64 [B]")


class NeedsSampler(UsageError):
    """A sampler that does not go with the model; `instead` does."""

    def __init__(self, problem: str, instead: str) -> None:
        super().__init__(problem, f"take the sampler {instead}")
        self.instead = instead


def shown(value: object) -> str:
    """A value as a sentence repeats it: its beginning, where it is long."""
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:200]}… ({len(text):,} characters)"


def brief(text: str) -> str:
    """Lines of which none is very long: what is wrong stands at the beginning of one, the fix at its end."""
    half = LONGEST_LINE // 2
    return "\n".join(
        line if len(line) <= 2 * half else f"{line[:half]} … ({len(line) - 2 * half:,} characters) … {line[-half:]}"
        for line in text.split("\n")
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is MemoryError, or what torch and oneDNN raise in its place, whose words alone tell it."""
    said = str(error)
    known = "memory" in said or "could not create a primitive" in said
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and known)
