"""Errors in two languages: options of the command line for those who type, arguments for those who program."""

import ast
import pickle
import re
from pathlib import Path

import pytest
import typer

import vaelab
from vaelab import errors
from vaelab.cli import app
from vaelab.cli.advice import ADVICE, told

PACKAGE = Path(vaelab.__file__).parent
COMMANDS = typer.main.get_command(app).commands.values()
FLAGS = {flag for command in COMMANDS for option in command.params for flag in option.opts}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OF_OTHERS = {  # programs that a message tells to start
    *("--backend-store-uri", "--logdir"),  # mlflow, tensorboard
    *("--repo-type", "--local-dir"),  # hf download
    "--sparse",  # tar
}
RUN = Path("my run")
LOST = errors.Unwritable(RUN / "last.pt", "the disk is full", "free some space")
EXAMPLES = [
    errors.Problems([errors.UnknownPart("unknown prior 'b'; did you mean 'a'?"), "c: unknown option"], "problems"),
    errors.Stopped(7, 2, RUN, within=True),
    errors.ProcessLost("process 1 has gone or hangs", 1),
    errors.FolderGone(RUN),
    errors.NoFolder(RUN),
    errors.AlreadyARun(RUN),
    errors.NothingToResume("my run holds no run"),
    errors.OtherRecipe(RUN / "last.pt"),
    errors.ChangedRecipe(RUN, ["steps", "epochs"]),
    errors.NeedsPlugin("this run needs its plugin a.py", None),
    errors.ComposedByHand(RUN),
    LOST,
    errors.Unwritten({}, errors.Unwritable(RUN / "metrics.json", "the disk is full", "free some space")),
    errors.MissingData("a is not in b", "get it"),
    errors.WrongSize("a is 2×3, b is 4×5"),
    errors.NeedsLabels(),
    errors.NeedsSampler("a needs b", "gmm"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_the_command_line_names_its_options_and_the_library_names_none(error):
    typed = FLAG.findall(told(error))
    assert set(typed) <= FLAGS and (typed or "in Python" in told(error))
    assert not FLAG.search(str(error)) and error.problem in told(error) and error.problem in str(error)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_in_another_process(error):
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is type(error) and told(there) == told(error) and list(there.fields) == list(error.fields)


def test_every_advice_is_tried_here():
    assert {type(error) for error in EXAMPLES} == set(ADVICE)


@pytest.mark.parametrize("place", [p for p in PACKAGE.rglob("*.py") if PACKAGE / "cli" not in p.parents])
def test_no_text_of_the_library_names_an_option_of_the_command_line(place):
    texts = [node.value for node in ast.walk(ast.parse(place.read_text())) if isinstance(node, ast.Constant)]
    named = {flag for text in texts if isinstance(text, str) for flag in FLAG.findall(text) if text != flag}
    assert named <= OF_OTHERS, "but for words of a command that is started, each a text of its own"


def test_errors_without_advice_say_the_same_to_all():
    assert told(errors.UsageError("a is wrong", "mend it")) == "a is wrong; mend it"
    assert told(errors.Problems(["a: unknown option"], "problems")) == "a: unknown option"
    assert "\n  unknown prior" in told(EXAMPLES[0]) and told(EXAMPLES[0]).endswith(
        "(a part of your own needs --plugin FILE)"
    )


def test_a_folder_is_named_as_it_is_typed():
    assert told(EXAMPLES[1]) == "stopped at step 7, in epoch 2; carry on with --run 'my run' --resume"


def test_files_of_a_training_are_written_after_all_by_resuming():
    assert told(LOST).endswith("free some space and carry on with --resume, or choose another place")
