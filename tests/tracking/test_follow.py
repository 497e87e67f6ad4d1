"""A tracker is told every row, picture and number of a folder once, in order; one that fails is dropped."""

import errno
import json
import math
import socket
import threading
from contextlib import ExitStack
from hashlib import sha256

import pytest

from vaelab.errors import UsageError, VaelabError
from vaelab.recipe.trackers import parsed
from vaelab.registry.schema import Part
from vaelab.runs.claim import held
from vaelab.runs.folder import RunFolder
from vaelab.tracking import follow as following
from vaelab.tracking.follow import LOCK, track
from vaelab.tracking.follower import Follower, reason
from vaelab.tracking.tracker import make


@pytest.fixture
def follower(run, fake):
    """One tracker of the folder."""
    [(name, tracker)] = make(["fake"]).items()
    return Follower(RunFolder.read(run), name, tracker)


@pytest.fixture
def lines(capsys):
    """`lines()`: what was printed since."""
    return lambda: capsys.readouterr().out.splitlines()


def test_every_row_picture_and_number_arrives(run, fake, expected):
    counts = track(run, ["fake"])
    told = fake.made[-1]
    assert told.numbers == expected(run)
    assert ("images/samples", 20) in told.calls  # at the step where its epoch ended
    assert told.calls[0][:2] == ("begin", "run") and told.calls[-1] == "done"
    assert told.calls[0][2]["model"] == {"latent_dim": 2}
    assert counts == {"rows": 10, "pictures": 1, "numbers": 1}


def test_names_tell_steps_epochs_and_splits_apart(run, fake):
    track(run, ["fake"])
    names = {name for name, _ in fake.made[-1].numbers}
    for name in ("loss", "reconstruction", "kl"):
        assert {f"train/{name}", f"epoch/{name}", f"valid/{name}"} <= names
    assert "evaluation/kl" in names
    assert fake.made[-1].numbers["evaluation/kl", 20] != fake.made[-1].numbers["valid/kl", 20]
    assert not any("grad_norm" in name or "best" in name for name in names)  # null, and no number


def test_only_what_is_new_is_sent_again(run, fake, more, expected):
    track(run, ["fake"])
    assert sum(track(run, ["fake"]).values()) == 0
    assert len(fake.made[-1].calls) == 0, "nothing is opened for nothing"
    more["rows"](run, 1, first=3)
    more["png"](run / "figures" / "epoch_0003_samples.png")
    assert track(run, ["fake"]) == {"rows": 5, "pictures": 1, "numbers": 0}
    assert {step for _, step in fake.made[-1].numbers} == {25, 30}
    told = fake.made[0].numbers | fake.made[-1].numbers
    assert {k: v for k, v in told.items() if k[0] != "test/elbo"} == expected(run, evaluated=False)


def test_what_services_print_is_kept_apart(run, fake, monkeypatch, capsys):
    monkeypatch.setattr(fake, "begin", lambda *_: print("here I am"))
    track(run, ["fake"])
    out, errors = capsys.readouterr()
    assert "here I am" not in out and "tracking: here" in out and errors == "here I am\n"


def test_other_options_are_another_tracked_run(run, fake):
    track(run, ["fake"])
    track(run, [{"kind": "fake", "rewinds": True}])
    assert fake.made[0].numbers == fake.made[1].numbers


def test_a_log_is_followed_while_it_is_written(run, follower, more, expected):
    rows = (run / "log.jsonl").read_bytes()
    (run / "log.jsonl").write_bytes(rows[:-40])
    follower.send()
    told = follower.tracker
    assert ("valid/loss", 20) not in told.numbers  # half a line waits for the other half
    with (run / "log.jsonl").open("ab") as file:
        file.write(rows[-40:])
    follower.send()
    assert told.numbers == expected(run, evaluated=False)
    more["rows"](run, 1, first=3)
    follower.send()
    assert told.numbers == expected(run, evaluated=False)
    follower.send(RunFolder.read(run))
    assert told.numbers == expected(run), "the final numbers come at the end"


def test_a_log_that_is_written_anew_is_told_once(run, follower, more):
    follower.send()
    old = (run / "log.jsonl").read_text()
    (run / "log.jsonl").write_text("")  # as a resumed run does
    follower.send()
    (run / "log.jsonl").write_text(old)
    more["rows"](run, 1, first=3)
    follower.send()
    assert follower.counts["rows"] == 15


@pytest.mark.parametrize("rewinds", [True, False])
def test_a_resumed_run_learns_again_from_its_checkpoint(run, fake, more, rewinds):
    spec = {"kind": "fake", "rewinds": rewinds}
    track(run, [spec])
    kept = [
        line for line in (run / "log.jsonl").read_text().splitlines(keepends=True) if json.loads(line)["step"] <= 10
    ]
    (run / "log.jsonl").write_text("".join(kept))
    more["rows"](run, 2, first=2, scale=2.0)
    track(run, [spec], done=10)
    again = fake.made[-1]
    assert again.calls[0][-1] == 10
    steps = {step for name, step in again.numbers if name.startswith("train/")}
    assert steps == ({15, 20, 25, 30} if rewinds else {25, 30})  # what cannot be forgotten is not told twice


@pytest.mark.parametrize("where", ["begin", "scalars"])
def test_one_that_fails_says_so_once_and_the_others_go_on(run, fake, more, monkeypatch, lines, where):
    states = iter(["running", "running", "done"])
    monkeypatch.setattr(following, "PERIOD", 0.0)
    monkeypatch.setattr(following, "read_state", lambda *_: RunFolder.read(run).state._replace(word=next(states)))
    track(run, [{"kind": "fake", "fails": where}, "fake"], follow=True)
    [note] = [text for text in lines() if text.startswith("note:")]
    assert "is dropped: ConnectionError: no route to host; see that it can be reached" in note
    assert len(fake.made[1].numbers) > len(fake.made[0].numbers)
    assert fake.made[1].calls[-1] == "done"


@pytest.mark.parametrize("word", ["done", "stopped", "failed", "killed"])
def test_a_tracker_is_told_how_the_run_ended(run, fake, word):
    text = json.dumps(
        {"state": "running", "pid": 2**22 + 1, "host": socket.gethostname()} if word == "killed" else {"state": word}
    )
    (run / "state.json").write_text(text)
    track(run, ["fake"], follow=True)
    assert fake.made[-1].calls[-1] == word


def test_what_is_missing_is_said_and_the_rest_is_sent(run, fake, lines):
    (run / "metrics.json").unlink()
    (run / "figures" / "epoch_0002_samples.png").unlink()
    (run / "figures").rmdir()
    (run / "recipe.yaml").write_text("data: [")
    with (run / "log.jsonl").open("a") as file:
        file.write('{"kind": "step", "st\n')
    assert track(run, ["fake"])["rows"] == 10
    said = "\n".join(lines())
    assert "recipe.yaml, line 1 is not readable" in said and "note: a line of log.jsonl is no row" in said
    assert len(fake.made[-1].numbers) == 34


def test_numbers_of_earlier_weights_are_not_sent(run, fake, lines):
    (run / "model.safetensors").write_bytes(b"weights")
    told = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps(told | {"model": sha256(b"weights").hexdigest()[:12]}))
    track(run, ["fake"])
    assert ("test/elbo", 20) in fake.made[-1].numbers and not any("earlier" in line for line in lines())
    (run / "model.safetensors").write_bytes(b"later weights")
    (run / "tracking.json").unlink()
    track(run, ["fake"])
    assert not any(name.startswith("test/") for name, _ in fake.made[-1].numbers)


def test_a_folder_without_a_log_shows_its_pictures(run, fake, lines):
    (run / "log.jsonl").unlink()
    track(run, ["fake"])
    assert any("there is no log.jsonl" in line for line in lines())
    assert ("images/samples", 2) in fake.made[-1].calls
    assert fake.made[-1].numbers == {("test/elbo", 0): -80.5}


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_folder_that_is_no_run_is_refused(tmp_path, fake, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="run"):
        track(tmp_path / name, ["fake"])


def test_a_service_that_is_not_reached_is_an_error_in_one_sentence(run, fake):
    with pytest.raises(VaelabError, match=r"^fake fails=begin is dropped: ConnectionError: no route to host; "):
        track(run, [{"kind": "fake", "fails": "begin"}])


@pytest.mark.parametrize("damage", ["", "[]", '{"fake": {"mark": 3}}', '{"fake": {"mark": [0, 1], "odd": 2}}'])
def test_a_damaged_memory_counts_as_none(run, fake, expected, damage):
    (run / "tracking.json").write_text(damage)
    track(run, ["fake"])
    assert fake.made[-1].numbers == expected(run)


def test_a_run_that_is_followed_is_not_followed_twice(run, fake):
    with (
        held(run / LOCK, "tracked"),
        pytest.raises(UsageError, match="run is being tracked by process"),
    ):
        track(run, ["fake"])
    assert not (run / "tracking.json").exists()
    track(run, ["fake"])
    assert not (run / LOCK).exists()


def test_one_waits_for_another_that_is_about_to_end(run, fake):
    with ExitStack() as stack:
        stack.enter_context(held(run / LOCK, "tracked"))
        threading.Timer(0.5, stack.close).start()
        with held(run / LOCK, "tracked", 30.0):
            pass


@pytest.mark.parametrize(
    "row",
    [
        {"step": math.nan},
        {"step": math.inf},  # what JSON's 1e400 is read as
        {"step": 10**400},
        {"step": 1e300},
        {"step": "12.5"},
        {"step": True},
        {"step": -1},
        {"epoch": math.nan},
        {"epoch": None},
    ],
)
def test_a_row_without_a_finite_place_is_no_row(run, fake, expected, lines, row):
    numbers = expected(run)
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "epoch", "split": "train", "step": 30, "epoch": 3, "loss": 1.0} | row) + "\n")
    track(run, ["fake"])
    assert fake.made[-1].numbers == numbers
    assert any("a line of log.jsonl is no row" in line for line in lines())


@pytest.mark.parametrize("value", [math.nan, -math.inf, 10**400], ids=["nan", "inf", "whole"])
def test_numbers_that_are_not_finite_are_left_out(run, fake, value):
    row = {"kind": "step", "split": "train", "step": 30, "epoch": 3.0, "loss": value, "kl": 2.0}
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    track(run, ["fake"])
    assert fake.made[-1].numbers["train/kl", 30] == 2.0
    assert ("train/loss", 30) not in fake.made[-1].numbers


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "fake"},
        {"kind": "fake", "fails": "scalars", "rewinds": True},
        {"kind": "tensorboard", "logdir": "/my runs/it's"},
    ],
)
def test_a_name_is_what_one_types(spec):
    assert parsed(str(Part.of(spec))) == spec


def test_one_that_is_dropped_says_how_to_send_the_rest(run, fake):
    with pytest.raises(VaelabError, match=f"then track {run} to 'fake fails=begin', which sends the rest$"):
        track(run, [{"kind": "fake", "fails": "begin"}])


def test_what_cannot_be_reached_is_said_in_few_words():
    urllib3 = (
        "API request to http://10.0.0.1:9/api failed with exception HTTPConnectionPool(host='10.0.0.1', port=9): "
        "Max retries exceeded with url: /api (Caused by NewConnectionError('<urllib3.connection object at 0x7f>: "
        "Failed to establish a new connection: [Errno 111] Connection refused'))"
    )
    assert reason(RuntimeError(urllib3)) == "10.0.0.1:9 cannot be reached (NewConnectionError)"
    assert reason(ConnectionError("no route")) == "ConnectionError: no route"
    assert len(reason(ValueError("x" * 1000))) < 200


def test_a_place_that_cannot_be_written_is_not_called_unreachable(run, fake, monkeypatch):
    def refuse(self, told, memory, done):
        raise OSError(errno.EROFS, "Read-only file system", str(told.path / "fake"))

    monkeypatch.setattr(fake, "begin", refuse)
    with pytest.raises(VaelabError, match=r"Read-only file system: .*; make that place writable, then track"):
        track(run, ["fake"])
    monkeypatch.setattr(fake, "elsewhere", "logdir", raising=False)
    with pytest.raises(VaelabError, match="make that place writable, or give another by logdir=…, then track"):
        track(run, ["fake"])


def test_what_cannot_be_written_down_is_said(run, fake, lines):
    (run / "tracking.json").mkdir()
    for _ in range(2):
        track(run, ["fake"])
        assert lines()[1] == f"note: {run} cannot be written, so all of it will be sent again next time"
