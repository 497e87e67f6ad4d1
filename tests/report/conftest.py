"""Runs that were never trained: a folder with a recipe and a log of our own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from vaelab.recipe.recipe import Recipe, as_json
from vaelab.training.checkpoint import save_model

OPTIONS: dict[str, Any] = {
    "data": {"kind": "digits", "train_size": 96, "valid_size": 32, "test_size": 32},
    "model": {"latent_dim": 4, "backbone": {"kind": "mlp", "width": 8}},
    "objective": {"kind": "elbo", "beta": {"kind": "linear", "epochs": 2}},
    "train": {"epochs": 6, "batch_size": 16},
}
LOSSES = (90.0, 70.0, 65.0, 64.0, 63.9, 63.9)


def _epoch(number: int, split: str, loss: float, **more: Any) -> dict[str, Any]:
    values = {"loss": loss, "reconstruction": loss - 5, "kl": 5.0, "beta": 1.0}
    return {"kind": "epoch", "step": 360 * number, "epoch": number, "split": split} | values | more


def _step(number: int, loss: float, beta: float) -> dict[str, Any]:
    values = {"loss": loss, "reconstruction": loss - 5, "kl": 5.0, "beta": beta}
    return {"kind": "step", "step": 60 * number, "epoch": number / 6, "split": "train"} | values


def _log(losses: tuple[float, ...] = LOSSES) -> list[dict[str, Any]]:
    """A run that learned, and settled; six logged steps to an epoch, each the mean of sixty."""
    rows = []
    for i, loss in enumerate(losses, 1):
        rows += [_step(6 * i - 5 + k, loss + 1, min(1.0, i / 2)) for k in range(6)]
        rows += [_epoch(i, "train", loss - 1), _epoch(i, "valid", loss, best=loss == min(losses[:i]))]
    return rows


@pytest.fixture
def invent(tmp_path) -> Callable[..., Path]:
    """`invent("a", rows)`: a run folder with that log; `options` change the recipe; `model=False` leaves it without."""

    def make(name: str, rows: list[dict[str, Any]] | None = None, model: bool = True, **options: Any) -> Path:
        folder = tmp_path / name
        (folder / "figures").mkdir(parents=True)
        recipe = Recipe.of(OPTIONS | options, "tiny")
        made = {"made": {"name": "tiny", "command": "vaelab train tiny <b>", "versions": {"vaelab": "0"}}}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe.options | made))
        (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (_log() if rows is None else rows)))
        if model:
            torch.manual_seed(0)
            metadata = {"recipe": as_json(recipe.name, recipe.options), "x_shape": "[1, 16, 16]"}
            save_model(folder / "model.safetensors", recipe.build_model((1, 16, 16)), metadata)
        return folder

    return make


@pytest.fixture
def picture() -> Callable[[Path, str], None]:
    """`picture(run, "traversals")`: a small figure of that name."""

    def draw(run: Path, name: str) -> None:
        Image.new("RGB", (40, 30), "navy").save(run / "figures" / f"{name}.png")

    return draw
