"""The numbers of a run, each with its protocol, beside what its recipe expects."""

import json
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vaelab.data.source import Dataset, Split
from vaelab.errors import UsageError, listed
from vaelab.files import write_whole
from vaelab.metrics.likelihood import is_mass
from vaelab.model import VAE
from vaelab.recipe import Recipe
from vaelab.registry import build, check_part, defaults, hint, part
from vaelab.run import folder_of, open_run, versions
from vaelab.training.log import read_rows

METRICS = ("likelihood", "active_units", "reconstruction")
SPLITS = ("train", "valid", "test")


def evaluate(
    run: str | Path,
    *,
    metrics: Iterable[str] = METRICS,
    split: str = "test",
    data_dir: str | Path | None = None,
    device: str = "auto",
    **options: dict[str, Any],
) -> dict[str, Any]:
    """Measure a trained model and write the numbers, each with its protocol, to the folder's `metrics.json`.

    Metrics have options, given by name: `likelihood={"samples": 1000}`.
    """
    chosen = {name: {"kind": name, **options.get(name, {})} for name in metrics}
    problems = [p for name, value in chosen.items() for p in check_part("metric", value, name)]
    if split not in SPLITS:
        problems.append(f"unknown split {split!r}; {hint(split, list(SPLITS))}")
    if problems:
        raise UsageError(listed(problems, "this evaluation has these problems"))
    model, recipe, data = open_run(run, data_dir, device)
    images: Split = getattr(data, split)
    results = {}
    for name, value in chosen.items():
        began = time.perf_counter()
        values = build("metric", value, model=model, split=images)
        seconds = round(time.perf_counter() - began, 2)
        results[name] = {
            "values": values,
            "protocol": defaults(part("metric", name)) | value,
            "seconds": seconds,
        }
    report = {
        "run": folder_of(run).resolve().name,
        "split": split,
        "images": len(images),
        "metrics": results,
        "expected": verdicts(recipe, folder_of(run), results if split == "test" else {}),
        "notes": notes(model, data),
        "versions": versions(),
    }
    text = json.dumps(finite(report), indent=2)
    write_whole(folder_of(run) / "metrics.json", lambda file: file.write_text(text + "\n") and None)
    return report


def notes(model: VAE, data: Dataset) -> list[str]:
    """What a reader of the numbers must know."""
    if getattr(model.likelihood, "binary", False) and not data.binary:
        return [
            "Bernoulli on grey images: log_px is a cross-entropy; elbo, iwae and bits_per_dim are no log-likelihoods; "
            "set data.binarise or model.likelihood=continuous_bernoulli for ones"
        ]
    if not is_mass(model):
        return ["log_px is a density of images in [0, 1]; bits_per_dim counts it times a step of 1/256 per pixel"]
    return []


def verdicts(recipe: Recipe, folder: Path, results: dict[str, Any]) -> list[dict[str, Any]]:
    """What the recipe expects, beside what was reached: of the metrics and of the last epoch, as `train_loss`."""
    reached = {k: v for result in results.values() for k, v in result["values"].items()}
    for row in read_rows(folder / "log.jsonl"):
        if row["kind"] == "epoch":
            reached |= {f"{row['split']}_{k}": row[k] for k in ("loss", "reconstruction", "kl")}
    wanted = recipe.options.get("expect", {})
    return [
        {"name": name, **bar, "reached": reached[name], "met": _met(reached[name], bar)}
        for name, bar in wanted.items()
        if reached.get(name) is not None
    ]


def finite(value: Any) -> Any:
    """The same data with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _met(reached: float, bar: Mapping[str, Any]) -> bool:
    near = "value" not in bar or abs(reached - bar["value"]) <= bar.get("tolerance", 0.0)
    return bar.get("at_least", -math.inf) <= reached <= bar.get("at_most", math.inf) and near
