"""Options explained: of every section and every part, with type, default and sentence, nothing cut."""

import inspect

import pytest
from typer.testing import CliRunner

from vaelab.cli import app
from vaelab.cli.parts import BULLET, SECTIONS, described_part, described_section, type_in_words
from vaelab.errors import UsageError
from vaelab.registry import Count, Fraction, Size, names, roles
from vaelab.registry.schema import options
from vaelab.training.options import TrainOptions


def listed(*words: str, columns: int = 80) -> str:
    result = CliRunner().invoke(app, ["list", *words], env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("section", SECTIONS)
def test_every_option_of_a_section_has_a_sentence(section):
    assert dict(BULLET.findall(inspect.getdoc(SECTIONS[section]))).keys() == options(SECTIONS[section]).keys()
    told = listed(section)
    assert all(f"\n  {name} " in told for name in options(SECTIONS[section]))
    assert told == f"{described_section(section)}\n"


def test_options_are_told_with_type_and_default():
    told = listed("train")
    assert "  batch_size       whole number > 0; default 128\n                   images in a step" in told
    assert "steps            whole number > 0; must be given" in told
    assert "betas            list of 2, each number ≥ 0, ≤ 1; default [0.9, 0.999]" in told
    assert "clip_norm        number > 0 or null; default null" in told
    assert "compile          true or false; default false" in told
    assert "prior        a prior (vaelab list prior); default normal" in listed("model")


@pytest.mark.parametrize("role", ["backbone", "objective", "likelihood", "metric", "data", "schedule"])
def test_every_part_is_described_in_full(role):
    for kind in names(role):
        told = described_part(role, kind)
        assert told.startswith(f"{role} {kind}\n\n") and "…\n" not in told
    assert role in roles()


def test_choices_are_whole_however_narrow_the_terminal():
    assert "activation  relu | silu | gelu | tanh | leaky_relu | elu; default relu" in listed("backbone", "conv")
    narrow = listed("data", columns=40)
    assert "…" not in "".join(line for line in narrow.splitlines() if "binarise" in line)
    assert "threshold" in "".join(narrow.split())


@pytest.mark.parametrize(("words", "said"), [(("backbone", "covn"), "did you mean 'conv'?"), (("trian",), "no role")])
def test_what_there_is_not_is_guessed(words, said):
    result = CliRunner().invoke(app, ["list", *words])
    assert result.exit_code == 2 and said in result.stderr
    with pytest.raises(UsageError):
        described_part("prior", "nothing")


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Size, "whole number > 0"),
        (Count, "whole number ≥ 0"),
        (Fraction | None, "number ≥ 0, ≤ 1 or null"),
        (tuple[Size, ...], "list, each whole number > 0"),
        (str, "text"),
        (TrainOptions, "TrainOptions"),
    ],
)
def test_types_are_words(annotation, words):
    assert type_in_words(annotation) == words
