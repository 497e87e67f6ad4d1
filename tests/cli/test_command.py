"""What commands have in common: help as it was written, and a data directory that is there."""

import re

import pytest
import typer
from typer.testing import CliRunner

from vaelab.cli import app

COMMANDS = typer.main.get_command(app).commands
WRITTEN = {name: [command.help, *(option.help for option in command.params)] for name, command in COMMANDS.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_every_word_and_bracket(name):
    said = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "1000"}).stdout
    shown = " ".join(re.sub("[│╭╮╰╯─]", " ", said).split())
    for text in WRITTEN[name]:
        assert " ".join(text.replace("\\[", "[").split()) in shown


def test_there_are_brackets():
    assert sum("[default: " in text for texts in WRITTEN.values() for text in texts) > 5


@pytest.mark.parametrize("words", [["train", "digits"], ["data", "digits"], ["evaluate", "nowhere"]])
def test_a_misspelt_data_directory_is_said_before_all_else(words):
    said = CliRunner().invoke(app, [*words, "--data-dir", "mispelt"])
    assert said.exit_code == 2
    assert said.stderr == "error: the data directory 'mispelt' is not a folder; create it or correct the path\n"
