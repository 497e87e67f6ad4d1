"""Sets as the Hugging Face hub has them: tables in splits, found in a folder or downloaded by name."""

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from vaelab.data.annotations.layout import SPLITS, splits_by_name
from vaelab.data.hub.arrow import PARQUET
from vaelab.data.hub.download import chosen_config, downloaded
from vaelab.errors import UsageError
from vaelab.io import files, places
from vaelab.io.formatting import counted

NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")  # of a set on the hub
KNOWN = {**SPLITS, "dev": 1, "eval": 2}


class Tables(NamedTuple):
    """The tables of a set, the number of the split of each, and where they are."""

    where: Path
    paths: list[Path]
    splits: np.ndarray | None
    split_by: str | None = None


def find_tables(path: str, config: str | None, directory: places.Directory) -> Tables:
    """Those of a table, a folder of Parquet, what `save_to_disk` wrote, or a name on the hub.

    UsageError for what is nowhere, a hub that cannot be reached, and a `config` that the set does not have.
    """
    local = files.expanded(path)
    tried = [local, *(place / local for place in places.places(directory))]
    root = next((found.resolve() for found in tried if found.exists()), None)
    if root is None and NAME.fullmatch(path):
        splits = downloaded(path, config)
        return _in_splits(Path(os.path.commonpath([p.parent for few in splits.values() for p in few])), splits)
    if root is None:
        raise UsageError(f"there is no {path!r} (looked for {', '.join(map(str, tried))}); correct data.path")
    if root.is_file():
        if root.suffix not in (PARQUET, ".arrow"):
            raise UsageError(f"{root} is no Parquet; name one, or a folder of them")
        return Tables(root.parent, [root], None)
    if (root / "dataset_dict.json").is_file():
        names = files.read_object(root / "dataset_dict.json").get("splits", [])
        return _in_splits(root, {str(name): _saved(root / str(name)) for name in names})
    if (root / "state.json").is_file():
        return Tables(root, _saved(root), None)
    return _of_parquet(root, config)


def _saved(folder: Path) -> list[Path]:
    """The Arrow files of a split that `save_to_disk` wrote."""
    state = folder / "state.json"
    with files.parsing(state):
        entries = files.parse_json(state.read_text())["_data_files"]
        found = [folder / str(entry["filename"]) for entry in entries]
    if missing := [path for path in found if not path.is_file()]:
        raise UsageError(f"{missing[0]} is not there, of {counted(len(found), 'table')}", "save the set again")
    return found


def _of_parquet(root: Path, config: str | None) -> Tables:
    declared = _declared(root)
    if declared:
        chosen = chosen_config(str(root), config, list(declared))
        return _in_splits(root, declared[chosen])
    found = sorted(path for path in root.rglob(f"*{PARQUET}") if not path.relative_to(root).as_posix().startswith("."))
    if not found:
        kinds = "images; set data.kind=folder" if any(root.rglob("*.png")) or any(root.rglob("*.jpg")) else "no Parquet"
        raise UsageError(f"{root} holds {kinds}; correct data.path")
    tops = {path: path.relative_to(root).parts[0] for path in found if path.parent != root}
    configs = sorted({top for top in tops.values() if top.lower() not in KNOWN and top != "data"})
    if config is not None or len(configs) > 1:
        chosen = chosen_config(str(root), config, configs)
        found = [path for path, top in tops.items() if top == chosen]
    return _by_name(root, found)


def _by_name(root: Path, paths: list[Path]) -> Tables:
    splits = splits_by_name(paths, "name each table after its split, or give one table alone")
    return Tables(root, paths, splits, None if splits is None else "its publisher")


def _declared(root: Path) -> dict[str, dict[str, list[Path]]]:
    """The tables of each split of each set that the folder's README says it has, as it has on the hub."""
    readme = root / "README.md"
    head = re.match(r"---\n(.*?)\n---", readme.read_text(errors="replace"), re.DOTALL) if readme.is_file() else None
    with files.parsing(readme):
        told = yaml.safe_load(head[1]) if head else None
        entries = told.get("configs", []) if isinstance(told, dict) else []
        found = {str(entry["config_name"]): entry["data_files"] for entry in entries if "data_files" in entry}
        return {name: splits for name, given in found.items() if (splits := _globbed(root, given))}


def _globbed(root: Path, given: Any) -> dict[str, list[Path]]:
    listed = given if isinstance(given, list) and isinstance(given[0], dict) else [{"split": "train", "path": given}]
    found: dict[str, list[Path]] = {}
    for entry in listed:
        patterns = entry["path"] if isinstance(entry["path"], list) else [entry["path"]]
        paths = [path for pattern in patterns for path in sorted(root.glob(pattern)) if path.suffix == PARQUET]
        if paths:
            found[str(entry["split"])] = paths
    return found


def _in_splits(where: Path, splits: Mapping[str, list[Path]]) -> Tables:
    """Tables of splits that have names; that of a single one says nothing, and unusual ones are left out."""
    if len(splits) == 1:
        return Tables(where, next(iter(splits.values())), None)
    known = {name: paths for name, paths in splits.items() if name.lower() in KNOWN}
    numbers = [KNOWN[name.lower()] for name in known]
    listed = ", ".join(splits) or "none"
    if 0 not in numbers or len({*numbers}) < len(numbers):
        raise UsageError(f"{where} has the splits {listed}, of which not one is for training", "name one of its tables")
    if others := [name for name in splits if name not in known]:
        warnings.warn(f"left out {', '.join(others)} of the splits {listed} of {where}", stacklevel=6)
    counts = [len(paths) for paths in known.values()]
    paths = [path for few in known.values() for path in few]
    return Tables(where, paths, np.repeat(numbers, counts), "its publisher")
