"""What the arrays in a file are, told from their names: images or labels, and of which split."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vaelab.data.annotations.layout import SPLITS
from vaelab.data.containers.member import Member
from vaelab.errors import UsageError

IMAGES = ("images", "image", "x", "imgs", "img", "data", "pixels", "inputs")  # from the surest
LABELS = ("labels", "label", "y", "targets", "target", "classes", "class")
NAMES = ("train", "valid", "test")
JOINTS = re.compile(r"[\W_]+|(?<=[a-z0-9])(?=[A-Z])")
Words = tuple[str, ...]
USUAL = {(word,): NAMES[number] for word, number in SPLITS.items()}


@dataclass(frozen=True)
class Arrays:
    """The arrays of a file as they are asked for: by split, and by what else their names say."""

    where: str
    found: Mapping[str, Mapping[Words, Member]]

    @classmethod
    def of(cls, members: Sequence[Member], where: str, splits: Mapping[str, str]) -> "Arrays":
        """Sorted by the names that `splits` have, else by those that are usual.

        Where none is that of training, all arrays that belong to no split are for it. UsageError for a name that no
        array has.
        """
        words = {_words(word): name for name, word in splits.items()} or USUAL
        found: dict[str, dict[Words, Member]] = {name: {} for name in ("", *NAMES)}
        for member in members:
            split, rest = _parted(_words(member.name), words)
            found[split][rest] = member
        if missing := [name for name in splits if not found[name]]:
            raise UsageError(
                f"{where} has nothing called {splits[missing[0]]!r} ({_listed(members)})", _fix(missing[0])
            )
        others = found.pop("")
        return cls(where, found if found["train"] else {**found, "train": others})

    @property
    def listed(self) -> str:
        """The arrays in words."""
        return _listed([member for few in self.found.values() for member in few.values()])

    def images(self, name: str | None, axes: str | None) -> dict[str, Member]:
        """The images of each split that has some, by the `name` that they share, or the only ones there are."""
        chosen = {split: self._images(few, name, axes) for split, few in self.found.items()}
        if chosen["train"] is None:
            wanted = "images" if name is None else f"array {name!r}"
            of = " for training" if any(chosen.values()) else ""
            raise UsageError(f"{self.where} holds no {wanted}{of} ({self.listed})", _fix("images"))
        return {split: member for split, member in chosen.items() if member}

    def labels(self, name: str | None) -> dict[str, Member]:
        """The labels of each split that has some, by the `name` that they share, or a usual one."""
        pairs = {k: _named(few, name) if name else _usual(few, LABELS) for k, few in self.found.items()}
        return {split: member for split, member in pairs.items() if member}

    def _images(self, few: Mapping[Words, Member], name: str | None, axes: str | None) -> Member | None:
        if name is not None:
            return _named(few, name)
        ranks = (len(axes),) if axes else (3, 4)
        fits = {words: member for words, member in few.items() if member.numeric and len(member.shape) in ranks}
        likely = {words: member for words, member in fits.items() if words[-1:] not in {(word,) for word in LABELS}}
        chosen = likely.get(()) or _usual(likely, IMAGES)
        if len(likely) > 1 and not chosen:
            raise UsageError(f"{self.where} holds {_listed([*likely.values()])}", _fix("images"))
        return chosen or next(iter(likely.values()), None)


def _named(few: Mapping[Words, Member], name: str) -> Member | None:
    exact = (member for member in few.values() if member.name == name)
    return next(exact, few.get(_words(name)))


def _usual(few: Mapping[Words, Member], usual: Sequence[str]) -> Member | None:
    """The one that is called by the surest word, or else the only one whose name ends with one."""
    exact = (few[(word,)] for word in usual if (word,) in few)
    ending = [member for words, member in few.items() if words and words[-1] in usual]
    return next(exact, ending[0] if len(ending) == 1 else None)


def _words(name: str) -> Words:
    """`("x", "train")` of `x_train`, `X/train` and `xTrain`."""
    return tuple(word.lower() for word in JOINTS.split(name) if word)


def _parted(words: Words, splits: Mapping[Words, str]) -> tuple[str, Words]:
    """The split that some words name, or "", and the other words."""
    for start in range(len(words)):
        for known, name in splits.items():
            if known == words[start : start + len(known)]:
                return name, words[:start] + words[start + len(known) :]
    return "", words


def _fix(option: str) -> str:
    return f"set data.{option} to the name of an array" if option == "images" else f"correct data.{option}"


def _listed(members: Sequence[Member]) -> str:
    shown = [str(member) for member in members[:6]]
    return ", ".join([*shown, *(["…"] if len(members) > 6 else [])]) or "no arrays"
