"""What can go wrong, said in one sentence that carries the fix."""

LONGEST = 1_000  # characters of a line


class VaelabError(Exception):
    """A failure that is not the user's; the command line shows its text alone and exits with `exit_code`.

    Of a line that is very long, for it repeats a value, the middle is left out.
    """

    exit_code = 1

    def __init__(self, text: str) -> None:
        super().__init__(brief(text))


class UsageError(VaelabError):
    """A mistake that the user can mend."""

    exit_code = 2


class NotApplicable(UsageError):
    """A metric or a figure that cannot be had of this model or these images; says why and what would help."""


class Diverged(VaelabError):
    """A training of which `term`, a scalar of a step or of the validation, was no finite number at `step`."""

    def __init__(self, term: str, step: int, advice: str) -> None:
        super().__init__(f"{term} is no longer a finite number at step {step}; {advice}")
        self.term, self.step = term, step


class TooShort(UsageError):
    """A run that would end before its warm-ups or stages do."""


def shown(value: object) -> str:
    """A value as a sentence repeats it: its beginning, where it is long."""
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:200]}… ({len(text):,} characters)"


def brief(text: str) -> str:
    """Lines of which none is very long: what is wrong stands at the beginning of one, the fix at its end."""
    half = LONGEST // 2
    return "\n".join(
        line if len(line) <= LONGEST else f"{line[:half]} … ({len(line) - 2 * half:,} characters) … {line[-half:]}"
        for line in text.split("\n")
    )


def listed(problems: list[str], heading: str) -> str:
    """One problem as a sentence, several as a list below `heading`."""
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{heading}:", *(f"  {problem}" for problem in problems)])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is MemoryError, or what torch and oneDNN raise in its place, whose words alone tell it."""
    said = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("memory" in said or "could not create a primitive" in said)
    )
