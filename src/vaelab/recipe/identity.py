"""Which sections and options of a recipe decide what a run reaches: by these, two recipes are the same experiment."""

from collections.abc import Collection, Mapping
from typing import Any

from vaelab.io.hashing import data_hash

SECTIONS = ("data", "model", "objective", "train", "evaluate", "best")
LENGTHS = ("steps", "epochs", "patience")
RECORDS = ("log_steps", "log_epochs", "save_every", "draw_every")
MEANS = ("seed", "compile", "precision")


def identity(sections: Mapping[str, Any], but: Collection[str] = ()) -> dict[str, Any]:
    """The sections that decide what a run reaches, without the options `but` of `train`."""
    kept = {name: sections[name] for name in SECTIONS if name in sections}
    train = kept.get("train")
    return kept | ({"train": {k: v for k, v in train.items() if k not in but}} if isinstance(train, Mapping) else {})


def fingerprint(sections: Mapping[str, Any]) -> str:
    """A hash of all that decides the weights after a step, so that a checkpoint meets its own recipe again."""
    return data_hash(identity(sections, but=LENGTHS + RECORDS))
