"""A run folder as it lies there, whole or half written: recipe, log, pictures and state, without the model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vaelab.errors import UsageError
from vaelab.io.files import expanded, parse_json
from vaelab.io.strict_yaml import read_yaml
from vaelab.runs.log import Row, read_log
from vaelab.runs.state import State, finite, read_state

MARKS = ("recipe.yaml", "log.jsonl", "model.safetensors", "state.json")  # of which a run has one at least
DEFAULTS = {"posterior": "gaussian", "prior": "normal", "likelihood": "bernoulli"}
SECTIONS = ("train", "model", "paper", "expect", "altered")  # of a recipe, that are maps
NO_LIKELIHOODS = ("perceptual", "pyramid")  # kinds of a model's likelihood that are a loss, and no log p(x | z)


@dataclass(frozen=True)
class Folder:
    """What a run folder holds; `problems` are sentences on what is missing or damaged."""

    path: Path
    options: Mapping[str, Any]  # the recipe's sections; empty where it cannot be read
    made: Mapping[str, Any]
    rows: list[Row]
    problems: list[str]

    @classmethod
    def read(cls, run: str | Path) -> "Folder":
        """The folder of a run, or of its model file; UsageError where there is no run at all."""
        path = expanded(run)
        path = path.parent if path.suffix == ".safetensors" else path
        if not path.is_dir():
            raise UsageError(f"{path} is no run folder: it does not exist; vaelab runs lists those that do")
        if not is_run(path):
            raise UsageError(f"{path} holds no run: none of {', '.join(MARKS)} is in it; vaelab runs lists runs")
        options, problems = _recipe(path)
        rows, more = _rows(path)
        made = options.pop("made", {})
        found = cls(path, options, made if isinstance(made, dict) else {}, rows, problems + more)
        found.problems.extend(found._missing())
        return found

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name

    @property
    def recipe(self) -> str:
        """The name of its recipe, "" where that is not known."""
        return str(self.made.get("name", ""))

    @property
    def data(self) -> str:
        """The name of its set of images, or of their folder; "" where that is not known."""
        data = self.options.get("data", "")
        path = data.get("path") if isinstance(data, Mapping) else None
        return Path(str(path)).name if kind_of(data) == "folder" and path else kind_of(data)

    def part(self, role: str) -> tuple[str, Mapping[str, Any]]:
        """The kind of a part of the model, and its options; ("", {}) where the recipe does not say."""
        model = self.options.get("model", {})
        spec = model.get(role, DEFAULTS.get(role, "")) if isinstance(model, Mapping) else ""
        return kind_of(spec), spec if isinstance(spec, Mapping) else {}

    @cached_property
    def steps(self) -> list[Row]:
        """The logged steps."""
        return [row for row in self.rows if row["kind"] == "step"]

    @cached_property
    def train(self) -> list[Row]:
        """The epochs' means over training steps, at the β that was applied."""
        return [row for row in self.rows if row["kind"] == "epoch" and row.get("split") == "train"]

    @cached_property
    def valid(self) -> list[Row]:
        """The epochs' numbers of the validation images, at β = 1."""
        return [row for row in self.rows if row["kind"] == "epoch" and row.get("split") == "valid"]

    @property
    def best(self) -> Row | None:
        """The epoch whose weights were kept."""
        return next((row for row in reversed(self.valid) if row.get("best")), None)

    @property
    def epoch(self) -> int:
        """Epochs that were finished."""
        return int(self.valid[-1]["epoch"]) if self.valid else 0

    @property
    def epochs(self) -> int | None:
        """Epochs that the recipe asks for, where it says, or the more that were finished before it was changed."""
        train = self.options.get("train", {})
        asked, steps = finite(train, "epochs"), finite(train, "steps")
        row = next((row for row in reversed(self.rows) if row["step"] and row["epoch"]), None)
        if asked is None and steps and row:
            asked = steps / row["step"] * row["epoch"] - 1e-6
        return None if asked is None or not math.isfinite(asked) else max(math.ceil(asked), self.epoch)

    @property
    def levels(self) -> list[int]:
        """Latent dimensions of each level, the top first; empty where there is one level alone, or none is known."""
        sizes = self.options.get("model", {}).get("latent_dim")
        return sizes if isinstance(sizes, list) and all(isinstance(size, int) for size in sizes) else []

    @property
    def grows(self) -> bool:
        """Whether it was trained in stages, each at its own resolution."""
        return any("resolution" in row for row in self.rows)

    @cached_property
    def state(self) -> State:
        """Whether it is running, and how it ended."""
        patience = finite(self.options.get("train", {}), "patience") or math.inf
        stale = self.epoch - int(self.best["epoch"]) if self.best else 0
        return read_state(self.path, bool(self.epochs) and (self.epoch >= (self.epochs or 0) or stale >= patience))

    @property
    def bound(self) -> str:
        """What its validation loss is called."""
        if self.part("likelihood")[0] in NO_LIKELIHOODS:
            return "loss at β = 1"
        objective = kind_of(self.options.get("objective", ""))
        return {"elbo": "−ELBO", "iwae": "−IWAE bound", "": "−bound"}.get(objective, f"−bound of {objective}")

    @cached_property
    def is_damaged(self) -> bool:
        """Whether there is a file of weights that does not hold them all."""
        return (self.path / "model.safetensors").exists() and not _whole(self.path / "model.safetensors")

    def _missing(self) -> list[str]:
        """Why there is no model, where there is none or it is damaged."""
        none = "there is no model.safetensors"
        if (self.path / "model.safetensors").exists():
            damaged = "model.safetensors is damaged: it does not hold the weights that its beginning lists"
            return [f"{damaged}; copy it again, or train anew"] if self.is_damaged else []
        if not self.valid:
            return [f"{none}: no epoch was finished"]
        if not self.grows:
            return [f"{none}, so nothing can be measured or sampled"]
        on = "" if self.state.word == "running" else "; resume it"
        return [f"{none}: a growing model keeps its weights once all stages are there{on}"]


def is_run(path: Path) -> bool:
    """Whether a folder holds a run, or the beginning of one."""
    return any((path / name).is_file() for name in MARKS)


def kind_of(spec: Any) -> str:
    """The kind of a part, given in short or with options."""
    return str(spec.get("kind", "")) if isinstance(spec, Mapping) else str(spec)


def _whole(model: Path) -> bool:
    """Whether a file of weights is as long as its header says, which can be told without reading the weights."""
    try:
        with model.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = parse_json(file.read(min(length, model.stat().st_size)))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        return 8 + length + max(ends, default=0) == model.stat().st_size
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return False


def _recipe(path: Path) -> tuple[dict[str, Any], list[str]]:
    if not (path / "recipe.yaml").is_file():
        return {}, ["there is no recipe.yaml, so what was trained is not known"]
    try:
        options = read_yaml(path / "recipe.yaml")
    except UsageError as error:
        return {}, [str(error)]
    odd = [key for key in SECTIONS if not isinstance(options.get(key, {}), dict)]
    odd += [key for key in ("data", "objective") if not isinstance(options.get(key, {}), dict | str)]  # a kind alone
    return {k: v for k, v in options.items() if k not in odd}, [f"recipe.yaml: {key} is no section" for key in odd]


def _rows(path: Path) -> tuple[list[Row], list[str]]:
    if not (path / "log.jsonl").is_file():
        return [], ["there is no log.jsonl, so there are no curves"]
    try:
        rows, broken = read_log(path / "log.jsonl")
    except OSError as error:
        return [], [f"log.jsonl cannot be read ({error})"]
    lines = "a line of log.jsonl is no row" if broken == 1 else f"{broken} lines of log.jsonl are no rows"
    problems = [f"{lines} of a run"] if broken else []
    return rows, problems if rows else [*problems, "log.jsonl has no rows yet, so there are no curves"]
