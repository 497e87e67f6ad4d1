"""Hostile files: whatever lies in a run, a folder of images or a data set, a command answers; it executes nothing."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import vaelab
from torture import campaign
from torture.campaign import Judged, where
from torture.mutations import TEXT
from torture.odd import Evil, damaged, mutate, odd_header, odd_json, pickles
from torture.pictures import picture
from torture.sets import SETS, trust_every_hash
from vaelab.errors import VaelabError
from vaelab.io import places as library
from vaelab.training.checkpoint import _seal as seal

RECIPE = """
data: {kind: digits, train_size: 96, valid_size: 32, test_size: 32}
model: {latent_dim: 2, backbone: {kind: mlp, width: 8}}
objective: elbo
train: {epochs: 2, batch_size: 16, draw_every: 0, log_steps: 2}
"""


class Files:
    """The campaign: a run that was trained and measured, of which every case damages a copy."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        (folder / "tiny.yaml").write_text(RECIPE)
        self.run = vaelab.train(str(folder / "tiny.yaml"), run=folder / "whole", device="cpu", quiet=True)
        typed("evaluate", self.run, "--metrics", "reconstruction,active_units", "--device", "cpu")

    def judge(self, case: int) -> Judged:
        """A copy with something hostile in it, and one command."""
        random, kind = Random(f"file {self.seed} {case}"), list(KINDS)[case % len(KINDS)]
        place = self.folder / f"case-{case}"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.run, place / "run")
        self.place, self.canary = place, place / "canary"
        os.chdir(place)
        library.cache = lambda: place / "cache"
        try:
            words = KINDS[kind](self, random)
            outcome, failure = typed(*words), ""
        except VaelabError:
            outcome, failure = "refused", ""
        except BaseException as error:
            outcome, failure = "crashed", where(error)
        if self.canary.exists():
            outcome, failure = "executed", "what the file holds was executed"
        os.chdir(self.folder)
        if not failure:
            shutil.rmtree(place, ignore_errors=True)
        return Judged(kind, outcome, failure)

    def checkpoint(self, random: Random) -> list[Any]:
        """A last.pt with bytes changed, with other types inside, or that executes."""
        path = Path("run/last.pt")
        how = random.choice(("bytes", "types", "types", "pickle"))
        if how == "bytes":
            path.write_bytes(damaged(path.read_bytes(), random))
        elif how == "types":
            state = torch.load(path, weights_only=True)
            mutate(state, random)
            with path.open("w+b") as archive:
                torch.save(state, archive)
                if random.random() < 0.8:
                    seal(archive)
        else:
            pickles(path, Evil(self.canary), random)
        return ["train", "run", "train.epochs=3", "--resume", "--device", "cpu"]

    def model(self, random: Random) -> list[Any]:
        """A model.safetensors with bytes, header, metadata or weights changed, or that is a pickle."""
        path = Path("run/model.safetensors")
        with safe_open(path, "pt") as file:
            tensors, metadata = {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118
        how = random.choice(("bytes", "header", "metadata", "recipe", "weights", "pickle"))
        if how == "bytes":
            path.write_bytes(damaged(path.read_bytes(), random))
        elif how == "header":
            path.write_bytes(odd_header(path.read_bytes(), random))
        elif how == "pickle":
            pickles(path, Evil(self.canary), random)
        else:
            if how == "metadata":
                metadata[random.choice(list(metadata))] = random.choice(
                    [*map(str, range(3)), "", "{", "null", "[1]", "x"]
                )
            elif how == "recipe":
                recipe = json.loads(metadata["recipe"])
                mutate(recipe, random)
                metadata["recipe"] = json.dumps(recipe)
            else:
                name = random.choice(list(tensors))
                tensor = tensors.pop(name)
                others = [
                    tensor * float("nan"),
                    tensor * 1e30,
                    tensor[:0],
                    tensor.double(),
                    tensor.repeat(2, 1),
                    tensor.byte(),
                ]
                tensors[random.choice([name, name, "other"])] = random.choice(others).contiguous()
            if random.random() < 0.8:
                metadata.pop("sha256")  # as in files of before
            save_file(tensors, path, metadata)
        return random.choice([*OPENING, ["load"], ["load"]])

    def recipe(self, random: Random) -> list[Any]:
        """A recipe.yaml with its text or its values changed."""
        path = Path("run/recipe.yaml")
        options = yaml.safe_load(path.read_text())
        if random.random() < 0.5:
            mutate(options, random)
            text = yaml.safe_dump(options)
        else:
            text = random.choice(TEXT)(path.read_text(), random)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return random.choice(ANY)

    def rows(self, random: Random) -> list[Any]:
        """A log.jsonl with odd bytes, lines or values."""
        path = Path("run/log.jsonl")
        lines = path.read_bytes().splitlines()
        at = random.randrange(len(lines))
        row = json.loads(lines[at])
        mutate(row, random)
        odd = [
            b"\xff\xfe",
            b"null",
            b"[]",
            b'{"a": 1}',
            b"[" * 50_000,
            b"{" * 500,
            b'"\\ud800"',
            b"1" * 5000,
            b"\0",
            b"",
        ]
        lines[at] = random.choice([json.dumps(row).encode(), json.dumps(row).encode(), random.choice(odd)])
        content = b"\n".join(lines) + b"\n"
        path.write_bytes(random.choice([content, content, damaged(content, random)]))
        return random.choice(ANY)

    def metrics(self, random: Random) -> list[Any]:
        """A metrics.json with odd values or bytes."""
        odd_json(Path("run/metrics.json"), random)
        return random.choice([*ANY, ["compare", "run", self.run, "--no-figures"]])

    def state(self, random: Random) -> list[Any]:
        """A state.json with odd values or bytes."""
        odd_json(Path("run/state.json"), random)
        return random.choice([["runs", "."], ["report", "run"], ["train", "run", "train.epochs=3", "--resume"]])

    def images(self, random: Random) -> list[Any]:
        """A folder of images, of which one is none or an attack."""
        folder = Path("images")
        folder.mkdir()
        for i in range(12):
            Image.fromarray(np.full((20, 16, 3), 20 * i, np.uint8)).save(folder / f"{i:02d}.png")
        name = random.choice(
            ["05.png", "05.jpg", "x.webp", "x.gif", "x.tiff", "x.bmp", "x.ppm", "\udcff.png", "a\nb.png"]
        )
        picture(folder / name, random)
        reconstruct = ["reconstruct", "run", folder / name, "--fit"]
        against = ["evaluate", "--images", folder, "--real", "digits", "--metrics", "frechet", "--extractor", "pixels"]
        return random.choice(
            [["data", "folder", f"path={folder}", "size=16"], ["quality", folder], reconstruct, [*against, "--fit"]]
        )

    def data(self, random: Random) -> list[Any]:
        """A data set's file that is damaged, huge, or that executes; also where its hash is not known."""
        if random.random() < 0.7:
            trust_every_hash()
        name = random.choice(list(SETS))
        root = Path("sets")
        SETS[name](root, random, Evil(self.canary))
        return ["data", name, "--data-dir", root]


KINDS: dict[str, Callable[[Files, Random], list[Any]]] = {
    "checkpoint": Files.checkpoint,
    "model": Files.model,
    "recipe": Files.recipe,
    "rows": Files.rows,
    "metrics": Files.metrics,
    "state": Files.state,
    "images": Files.images,
    "data": Files.data,
}
OPENING: list[list[Any]] = [
    ["evaluate", "run", "--metrics", "reconstruction", "--device", "cpu"],
    ["sample", "run", "-n", "2", "--device", "cpu"],
    ["reconstruct", "run", "--device", "cpu"],
    ["quality", "run", "-n", "4", "--device", "cpu"],
    ["figures", "run", "reconstructions"],
    ["report", "run"],
    ["runs", "."],
]
ANY = [
    *OPENING,
    ["figures", "run", "training_losses"],
    ["train", "run", "train.epochs=3", "--resume", "--device", "cpu"],
    ["report", "run", "run", "--out", "both.html"],
    ["compare", "run", "run", "--no-figures"],
]


def typed(*words: Any) -> str:
    """What became of a command, or of `vaelab.load`."""
    if words == ("load",):
        vaelab.load("run")
        return "done"
    return campaign.typed([str(word) for word in words])
