"""Numbers, durations and names as people write them."""

import shlex
import unicodedata
from pathlib import Path
from typing import Any

HUGE = 1e9  # from which all digits would only fill a column
UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories of characters that a terminal obeys, or cannot write
SPANS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def number(value: Any) -> str:
    """A count as it is; else two decimals, or four digits of what is small or huge; a dash for nothing."""
    if not isinstance(value, float):
        return "–" if value is None else str(value)
    return f"{value:,.2f}" if 1 <= abs(value) < HUGE else f"{value:.4g}"


def typeset(value: Any) -> str:
    """A number with a true minus, for a page."""
    return number(value).replace("-", "−")


def span(seconds: float) -> str:
    """`14 s`, `3 min`, `1.5 h`, `12 d`."""
    for size, unit in SPANS:
        if seconds >= size:
            count = seconds / size
            return f"{count:.1f} {unit}".replace(".0 ", " ") if count < 10 else f"{count:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def counted(n: int, thing: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def printable(text: str) -> str:
    r"""Text that no terminal obeys: a file's name may hold a line's end or \x1b[2J, which are spelled out."""
    if text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in UNSEEN else c for c in text)


def typed(path: Path) -> str:
    """A path as it is typed in a shell."""
    return shlex.quote(str(path))
