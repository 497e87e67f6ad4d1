"""Names of many files in one: braces, globs, folders and lists of these."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from glob import glob
from itertools import islice
from pathlib import Path

from vaelab.errors import UsageError
from vaelab.io import files, places

RANGE = re.compile(r"(\d+)\.\.(\d+)")
MOST = 10**6  # files that a pattern may name
ADDRESS = re.compile(r"[a-z0-9]+://|pipe:")


def find_all(patterns: str | Sequence[str], suffix: str, option: str, directory: places.Directory = None) -> list[Path]:
    """The files that patterns name, in their order, each once, and below each folder that they name those of a suffix.

    A pattern is relative to the working directory or the first data directory that has what it names. It may hold
    `{000..127}` and `{train,val}`, `*`, `?`, `**`, and `::` between several. UsageError for files that are not there.
    """
    texts = [patterns] if isinstance(patterns, str) else patterns
    found: list[Path] = []
    for pattern in (part for text in texts for part in text.split("::")):
        if ADDRESS.match(pattern):
            raise UsageError(f"{option} {pattern!r} is no file", f"download it, and set {option} to where it is then")
        found += _found(pattern, suffix, option, directory)
    if doubled := [str(path) for path, times in Counter(found).items() if times > 1]:
        raise UsageError(f"{option} names {doubled[0]} twice", "name each file once")
    return found


def _found(pattern: str, suffix: str, option: str, directory: places.Directory) -> list[Path]:
    names = [files.expanded(name) for name in braced(pattern, option)]
    bases = [Path(), *places.places(directory)]
    tried = [[_matches(base / name, suffix) for name in names] for base in bases]
    best = max(tried, key=lambda lists: sum(map(bool, lists)))
    missing = [str(name) for name, matched in zip(names, best, strict=True) if not matched]
    if len(missing) == len(names):
        looked = ", ".join(str(base / names[0]) for base in bases)
        raise UsageError(f"there is no file {pattern!r} (looked for {looked})", f"correct {option}")
    if missing:
        listed = ", ".join([*missing[:3], *["…"] * (len(missing) > 3)])
        of = f"{len(missing):,} of the {len(names):,} files of {option} {pattern!r}"
        raise UsageError(f"{of} are not there ({listed})", f"get them, or correct {option}")
    return [path.resolve() for matched in best for path in matched]


def _matches(path: Path, suffix: str) -> list[Path]:
    """The file itself, those that a glob matches, or those below a folder."""
    if path.is_file():
        return [path]
    if path.is_dir():
        return sorted(found for found in path.rglob(f"*{suffix}") if found.is_file())
    return sorted(found for name in glob(str(path), recursive=True) if (found := Path(name)).is_file())  # noqa: PTH207


def braced(pattern: str, option: str = "path") -> list[str]:
    """What a pattern means with its braces written out, `a{0..2}` and `a{x,y{1,2}}`; others are left as they are."""
    found = list(islice(_written_out(pattern, option), MOST + 1))
    if len(found) > MOST:
        raise UsageError(f"{option} {pattern!r} names too many files", f"name at most {MOST:,}")
    return found


def _written_out(pattern: str, option: str) -> Iterator[str]:
    start = pattern.find("{")
    end = _closing(pattern, start) if start >= 0 else -1
    if end < 0:
        yield pattern
        return
    for inside in _alternatives(pattern[start + 1 : end], option):
        for rest in _written_out(pattern[end + 1 :], option):
            yield f"{pattern[:start]}{inside}{rest}"


def _closing(pattern: str, start: int) -> int:
    """The place of the brace that closes the one at `start`, -1 where none does."""
    depth = 0
    for place in range(start, len(pattern)):
        depth += {"{": 1, "}": -1}.get(pattern[place], 0)
        if depth == 0:
            return place
    return -1


def _alternatives(inside: str, option: str) -> list[str]:
    """Numbers of a range, with the zeros before them, or what commas outside of braces part."""
    if found := RANGE.fullmatch(inside):
        first, last = map(int, found.groups())
        if abs(last - first) >= MOST:
            raise UsageError(f"{option} has {{{inside}}}, {abs(last - first) + 1:,} files", f"name at most {MOST:,}")
        width = max(map(len, found.groups())) if any(end.startswith("0") for end in found.groups()) else 0
        numbers = range(first, last + 1) if first <= last else range(first, last - 1, -1)
        return [f"{number:0{width}}" for number in numbers]
    parts, depth = [""], 0
    for letter in inside:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    if len(parts) == 1:
        return [f"{{{inside}}}"]
    return [written for part in parts for written in braced(part, option)]
