"""Mutated recipes and overrides: each is taken, or refused in one sentence, at once and with little memory."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
import yaml

from torture.campaign import LONG, Judged, typed, where
from torture.mutations import SMALL, TEXT, WORDS, change, odd_part, override
from vaelab.data.source import Dataset, Split
from vaelab.errors import VaelabError, is_out_of_memory
from vaelab.evaluation import epochs
from vaelab.recipe.recipe import Recipe
from vaelab.recipe.text import SHIPPED, find, read_recipe, shipped_names
from vaelab.registry import roles
from vaelab.training.rehearsal import rehearse

DIGITS = {"kind": "digits", "train_size": 96, "valid_size": 32, "test_size": 32, "pad": 12}
TINY = {
    "data": {"kind": "digits", "train_size": 96, "valid_size": 32, "test_size": 32},
    "model": {"latent_dim": 3, "backbone": {"kind": "mlp", "width": 16}},
    "objective": {"kind": "elbo", "beta": {"kind": "linear", "epochs": 2}},
    "train": {"epochs": 4, "batch_size": 16},
}


class Recipes:
    """The campaign, with its files in a folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.shipped = {name: (SHIPPED / f"{name}.yaml").read_text() for name in shipped_names()}
        self.small = {name: _small(read_recipe(find(name))[1]) for name in self.shipped}

    def judge(self, case: int) -> Judged:
        """One mutation, read, built and rehearsed; or typed at the command line."""
        random = Random(f"recipe {self.seed} {case}")
        kind = list(KINDS)[case % len(KINDS)]
        try:
            outcome = KINDS[kind](self, random)
        except VaelabError as error:
            long = len(str(error)) > LONG
            return Judged(kind, "refused", f"a sentence of {len(str(error)):,} characters" if long else "")
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                return Judged(kind, "crashed", where(error))
            return Judged(kind, "out of memory")  # at one allocation; of growth, the limits tell
        except BaseException as error:
            return Judged(kind, "crashed", where(error))
        return Judged(kind, outcome)

    def text(self, random: Random) -> str:
        """A recipe with a few characters or lines changed."""
        text = random.choice([random.choice(list(self.shipped.values())), self._small_text(random)])
        for _ in range(random.choice((1, 1, 2, 5))):
            text = random.choice(TEXT)(text, random)
        return self._build(text, ())

    def values(self, random: Random) -> str:
        """A small recipe with keys and values changed, which mostly remains a recipe."""
        options = self._small_options(random)
        for _ in range(random.choice((1, 1, 2, 3))):
            change(options, random)
        return self._build(yaml.safe_dump(options, allow_unicode=True), ())

    def overrides(self, random: Random) -> str:
        """A small recipe with overrides."""
        options = self._small_options(random)
        words = [override(options, random) for _ in range(random.choice((1, 1, 2, 4)))]
        return self._build(yaml.safe_dump(options), words)

    def parts(self, random: Random) -> str:
        """A small recipe with any registered part in any role, and any value for its options."""
        options = self._small_options(random)
        for role in random.sample(["backbone", "posterior", "prior", "likelihood", "objective", "data"], 2):
            (options if role in ("objective", "data") else options["model"])[role] = odd_part(role, random)
        return self._build(yaml.safe_dump(options, allow_unicode=True), ())

    def shell(self, random: Random) -> str:
        """A command line: `train` with overrides, but for the training itself, `list` or `data`."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            path = Path(place) / "recipe.yaml"
            options = self._small_options(random)
            path.write_text(yaml.safe_dump(options))
            overrides = [override(options, random) for _ in range(random.choice((1, 2)))]
            data = [word.partition("=")[0].split(".")[-1] + "=" + word.partition("=")[2] for word in overrides]
            words = random.choice(
                [
                    ["train", str(path), *overrides, "--run", f"{place}/run", "--device", "cpu"],
                    [
                        "train",
                        random.choice([str(path), *self.shipped, "digit", "", "x" * 300]),
                        "--run",
                        f"{place}/run",
                    ],
                    ["list", random.choice([*roles(), *WORDS])],
                    ["data", random.choice(["digits", "shapes", "folder", *WORDS]), *data],
                ]
            )
            return untrained([word.replace("\0", "") for word in words if "\ud800" not in word])

    def _build(self, text: str, overrides: Any) -> str:
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            path = Path(place) / "mutant.yaml"
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
            recipe = Recipe.read(str(path), overrides)
            data = recipe.load_data() if _is_made(recipe.options["data"]) else _stand_in(recipe)
            model = recipe.new_model(data)
            objective, _ = recipe.build_training(data, 1, model)
            rehearse(model, objective, data)
        return "taken"

    def _small_options(self, random: Random) -> dict[str, Any]:
        chosen = random.choice([TINY, random.choice(list(self.small.values()))])
        return yaml.safe_load(yaml.safe_dump(chosen))

    def _small_text(self, random: Random) -> str:
        return yaml.safe_dump(
            self._small_options(random), sort_keys=False, default_flow_style=random.choice((None, True))
        )


KINDS: dict[str, Callable[[Recipes, Random], str]] = {
    "text": Recipes.text,
    "values": Recipes.values,
    "overrides": Recipes.overrides,
    "parts": Recipes.parts,
    "command line": Recipes.shell,
}


def untrained(words: list[str]) -> str:
    """What became of a command line, of which nothing is trained."""
    learn, epochs._learn = epochs._learn, lambda *_: None
    try:
        return typed(words)
    finally:
        epochs._learn = learn


def _is_made(data: Any) -> bool:
    """Whether a set needs no files."""
    return (data if isinstance(data, str) else data["kind"]) in ("digits", "shapes", "folder")


def _stand_in(recipe: Recipe) -> Dataset:
    """Random images in place of a set's."""
    shape = {"cifar10": (3, 32, 32), "celeba": (3, 64, 64), "freyfaces": (1, 28, 20)}
    kind = recipe.options["data"]
    split = Split(
        torch.randint(0, 256, (200, *shape.get(kind if isinstance(kind, str) else kind["kind"], (1, 28, 28)))).byte(),
        torch.arange(200) % 10,
    )
    return Dataset("stand-in", split, split[:50], split[:50])


def _small(options: dict[str, Any]) -> dict[str, Any]:
    """A shipped recipe with small networks and digits, so that thousands can be built."""
    return _shrunk(options) | {"data": dict(DIGITS)}


def _shrunk(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: SMALL.get(k, _shrunk(v)) for k, v in value.items()}
    return [_shrunk(v) for v in value] if isinstance(value, list) else value
