"""Completion in a shell: what it offers, that it knows all parts without importing them, and how that is asked for."""

import subprocess
import sys
from dataclasses import fields
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

import vaelab.recipe.recipe  # noqa: F401  # registers all parts
from vaelab.cli import app, completion
from vaelab.registry import names, part, roles
from vaelab.training.options import TrainOptions

CODE = """
import sys
from vaelab.cli import app
try:
    app(prog_name="vaelab")
finally:
    print(*sys.modules, file=sys.stderr)
"""


def offered(words: str, folder) -> set[str]:
    """What a shell is offered for the last of the words, without the heavy imports."""
    environment = {"_VAELAB_COMPLETE": "complete_bash", "COMP_WORDS": f"vaelab {words}"}
    environment["COMP_CWORD"] = str(len(words.split()))
    environment["PYTHONPATH"] = ":".join(filter(None, sys.path))
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "yaml", "vaelab.registry"} & set(done.stderr.split())
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ("tra", {"train", "track"}),
        ("train digits-v", {"digits-vamp"}),
        ("train here", {"here.yaml", "here-run"}),
        ("sample ru", {"runs/one"}),
        ("train digits train.lr_", {f"train.lr_{name}=" for name in ("schedule", "decay_steps", "warmup_steps")}),
        ("train digits model.prior=va", {"model.prior=vamp"}),
        ("list post", {"posterior"}),
        ("list prior vam", {"vamp"}),
        ("evaluate one --metrics kernel,frech", {"kernel,frechet"}),
        ("sample one --sampler gm", {"gmm"}),
        ("data fashion", {"fashion_mnist"}),
    ],
)
def test_words_are_completed(tmp_path, words, known):
    (tmp_path / "here.yaml").touch()
    for run in ("here-run", "runs/one"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "recipe.yaml").touch()
    assert offered(words, tmp_path) == known


def test_all_parts_and_options_are_known_without_being_imported():
    for role in roles():
        ours = {name for name in names(role) if part(role, name).__module__.startswith("vaelab.")}  # not other tests'
        assert ours == set(completion.parts().get(role, []))
    assert completion.fields("training/options.py", "TrainOptions") == [field.name for field in fields(TrainOptions)]
    assert set(completion.PARTS.values()) <= set(roles())


def test_the_version():
    assert CliRunner().invoke(app, ["--version"]).stdout == f"vaelab {version('vaelab')}\n"
