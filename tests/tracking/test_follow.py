"""A tracker is told every row, picture and number of a folder once, in order; one that fails is dropped."""

import errno
import json
import math
import os
import threading
from hashlib import sha256

import pytest

from vaelab.errors import UsageError, VaelabError
from vaelab.recipe.trackers import name_of, parsed
from vaelab.registry.schema import Part
from vaelab.tracking.follow import Follower, reason, track
from vaelab.tracking.tracker import make


def follow(run, *specs, done=None, last=True):
    """One look at a folder by trackers; what was said."""
    said = []
    follower = Follower(run, make(specs or ["fake"]), said.append)
    follower.begin(done)
    follower.poll(last=last)
    follower.end("done")
    return said


def test_every_row_picture_and_number_arrives(run, fake, expected):
    counts = track(run, ["fake"], say=lambda text: None)
    told = fake.made[-1]
    assert told.numbers == expected(run)
    assert ("images/samples", 20) in told.calls  # at the step where its epoch ended
    assert told.calls[0][:2] == ("begin", "run")
    assert told.calls[0][2]["model"] == {"latent_dim": 2}
    assert counts == {"rows": 10, "pictures": 1, "numbers": 1}


def test_names_tell_steps_epochs_and_splits_apart(run, fake):
    follow(run)
    names = {name for name, _ in fake.made[-1].numbers}
    for name in ("loss", "reconstruction", "kl"):
        assert {f"train/{name}", f"epoch/{name}", f"valid/{name}"} <= names
    assert "evaluation/kl" in names
    assert fake.made[-1].numbers["evaluation/kl", 20] != fake.made[-1].numbers["valid/kl", 20]
    assert not any("grad_norm" in name or "best" in name for name in names)  # null, and no number


def test_only_what_is_new_is_sent_again(run, fake, more, expected):
    follow(run)
    assert sum(track(run, ["fake"], say=lambda text: None).values()) == 0
    more["rows"](run, 1, first=3)
    more["png"](run / "figures" / "epoch_0003_samples.png")
    assert track(run, ["fake"], say=lambda text: None) == {"rows": 5, "pictures": 1, "numbers": 0}
    assert {step for _, step in fake.made[-1].numbers} == {25, 30}
    told = fake.made[0].numbers | fake.made[-1].numbers
    assert {k: v for k, v in told.items() if k[0] != "test/elbo"} == expected(run, evaluated=False)


def test_what_services_print_is_kept_apart(run, fake, monkeypatch, capfd):
    def loud(self, run):
        os.write(1, b"hello\n")
        os.write(2, b"here I am\n")
        return False

    monkeypatch.setattr(fake, "begin", loud)
    track(run, ["fake"])
    out, errors = capfd.readouterr()
    assert "hello" not in out and "tracking: here" in out and not errors
    assert "hello" in (run / "tracking.log").read_text()


def test_other_options_are_another_tracked_run(run, fake):
    follow(run)
    follow(run, {"kind": "fake", "rewinds": True})
    assert fake.made[0].numbers == fake.made[1].numbers


def test_a_log_is_followed_while_it_is_written(run, fake, more, expected):
    rows = (run / "log.jsonl").read_bytes()
    (run / "log.jsonl").write_bytes(rows[:-40])
    follower = Follower(run, make(["fake"]), print)
    follower.begin()
    follower.poll()
    told = fake.made[-1]
    assert ("valid/loss", 20) not in told.numbers  # half a line waits for the other half
    with (run / "log.jsonl").open("ab") as file:
        file.write(rows[-40:])
    follower.poll()
    assert told.numbers == expected(run)
    more["rows"](run, 1, first=3)
    follower.poll()
    assert {k: v for k, v in told.numbers.items() if k[0] != "test/elbo"} == expected(run, evaluated=False)


def test_a_log_that_is_written_anew_is_told_once(run, fake, more, expected):
    follower = Follower(run, make(["fake"]), print)
    follower.begin()
    follower.poll()
    old = (run / "log.jsonl").read_text()
    (run / "new").write_text(old)  # as a resumed run does
    (run / "new").replace(run / "log.jsonl")
    more["rows"](run, 1, first=3)
    follower.poll()
    assert follower.counts["rows"] == 15


@pytest.mark.parametrize("rewinds", [True, False])
def test_a_resumed_run_learns_again_from_its_checkpoint(run, fake, more, rewinds):
    spec = {"kind": "fake", "rewinds": rewinds}
    follow(run, spec)
    kept = [
        line for line in (run / "log.jsonl").read_text().splitlines(keepends=True) if json.loads(line)["step"] <= 10
    ]
    (run / "log.jsonl").write_text("".join(kept))
    more["rows"](run, 2, first=2, scale=2.0)
    follow(run, spec, done=10)
    again = fake.made[-1]
    assert ("rewind", 10) in again.calls
    steps = {step for name, step in again.numbers if name.startswith("train/")}
    assert steps == ({15, 20, 25, 30} if rewinds else {25, 30})  # what cannot be forgotten is not told twice


@pytest.mark.parametrize("where", ["begin", "scalars"])
def test_one_that_fails_says_so_once_and_the_others_go_on(run, fake, more, expected, where):
    said = []
    follower = Follower(run, make([{"kind": "fake", "fails": where}, "fake"]), said.append)
    follower.begin()
    follower.poll()
    more["rows"](run, 1, first=3)
    follower.poll()
    follower.end("done")
    notes = [text for text in said if text.startswith("note:")]
    assert len(notes) == 1
    assert "ConnectionError: no route to host" in notes[0]
    assert "\n" not in notes[0]
    assert len(fake.made[1].numbers) > len(fake.made[0].numbers)
    assert fake.made[1].calls[-1] == "done"


def test_what_is_missing_is_said_and_the_rest_is_sent(run, fake):
    (run / "metrics.json").unlink()
    (run / "figures" / "epoch_0002_samples.png").unlink()
    (run / "figures").rmdir()
    (run / "recipe.yaml").write_text("data: [")
    with (run / "log.jsonl").open("a") as file:
        file.write('{"kind": "step", "st')
    said = []
    track(run, ["fake"], say=said.append)
    assert said[-1].startswith(
        "note: there is no readable recipe.yaml and no figures and no metrics.json and a line of"
    )
    assert len(fake.made[-1].numbers) == 34


def test_numbers_of_earlier_weights_are_not_sent(run, fake):
    (run / "model.safetensors").write_bytes(b"weights")
    told = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps(told | {"model": sha256(b"weights").hexdigest()[:12]}))
    said = []
    follower = Follower(run, make(["fake"]), said.append)
    follower.begin()
    follower.poll()
    assert ("test/elbo", 20) in fake.made[-1].numbers and not follower.reader.problems()
    (run / "model.safetensors").write_bytes(b"later weights")
    follower.end("done")
    (run / "tracking.json").unlink()
    track(run, ["fake"], say=said.append)
    assert not any(name.startswith("test/") for name, _ in fake.made[-1].numbers)
    again = f"metrics.json is of earlier weights (vaelab evaluate {run} measures again)"
    assert said[-1] == f"note: {again}; the rest was sent"
    (run / "model.safetensors").unlink()
    assert follower.reader.metrics() == {"test/elbo": -80.5}, "without weights there is nothing later"


def test_a_folder_without_a_log_shows_its_pictures(run, fake):
    (run / "log.jsonl").unlink()
    said = []
    track(run, ["fake"], say=said.append)
    assert "no readable log.jsonl" in said[-1]
    assert ("images/samples", 2) in fake.made[-1].calls
    assert fake.made[-1].numbers == {("test/elbo", 0): -80.5}


def test_a_picture_that_is_half_written_waits(run, fake, more):
    path = run / "figures" / "epoch_0001_samples.png"
    more["png"](path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    follower = Follower(run, make(["fake"]), print)
    follower.begin()
    follower.poll()
    assert ("images/samples", 10) not in fake.made[-1].calls
    path.write_bytes(whole)
    follower.poll()
    assert ("images/samples", 10) in fake.made[-1].calls


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_folder_that_is_no_run_is_refused(tmp_path, fake, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="run"):
        track(tmp_path / name, ["fake"])


def test_a_service_that_is_not_reached_is_an_error_in_one_sentence(run, fake):
    with pytest.raises(VaelabError, match=r"^not all was sent to fake fails=begin: ConnectionError: no route to host"):
        track(run, [{"kind": "fake", "fails": "begin"}])


@pytest.mark.parametrize("damage", ["", "[]", '{"fake": {"mark": 3}}', '{"fake": {"mark": [0, 1], "odd": 2}}'])
def test_a_damaged_memory_counts_as_none(run, fake, expected, damage):
    (run / "tracking.json").write_text(damage)
    follow(run)
    assert fake.made[-1].numbers == expected(run)


def test_a_run_that_is_followed_is_not_followed_twice(run, fake, expected):
    first = Follower(run, make(["fake"]), print)
    first.begin()
    first.poll()
    first._store()
    before = (run / "tracking.json").read_text()
    with pytest.raises(UsageError, match="run is being tracked already, by its training or another vaelab track; wait"):
        track(run, ["fake"])
    assert (run / "tracking.json").read_text() == before
    first.end("done")
    assert sum(track(run, ["fake"], say=lambda text: None).values()) == 0


def test_one_waits_for_another_that_is_about_to_end(run, fake):
    first = Follower(run, make(["fake"]), print)
    threading.Timer(0.5, lambda: first.end("killed")).start()
    assert Follower(run, make(["fake"]), print, patience=30).claim


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
def test_a_row_without_a_finite_place_is_no_row(run, fake, expected, row):
    numbers = expected(run)
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "epoch", "split": "train", "step": 30, "epoch": 3, "loss": 1.0} | row) + "\n")
    said = []
    track(run, ["fake"], say=said.append)
    assert fake.made[-1].numbers == numbers
    assert "a line of log.jsonl is no row" in said[-1]


@pytest.mark.parametrize("value", [math.nan, -math.inf, 10**400], ids=["nan", "inf", "whole"])
def test_numbers_that_are_not_finite_are_left_out(run, fake, value):
    row = {"kind": "step", "split": "train", "step": 30, "epoch": 3.0, "loss": value, "kl": 2.0}
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    follow(run)
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
    assert parsed(name_of(Part.of(spec))) == spec


def test_the_note_of_one_that_is_dropped_says_how_to_send_it_later(run, fake):
    [note] = [text for text in follow(run, {"kind": "fake", "fails": "begin"}) if text.startswith("note:")]
    assert note.endswith(f"; to send it later, track {run} to 'fake fails=begin'")


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
    def refuse(self, told):
        raise OSError(errno.EROFS, "Read-only file system", str(told.folder / "fake"))

    monkeypatch.setattr(fake, "begin", refuse)
    with pytest.raises(VaelabError, match=r"Read-only file system: .*; make that place writable, then send the rest$"):
        track(run, ["fake"])
    monkeypatch.setattr(fake, "elsewhere", "logdir", raising=False)
    with pytest.raises(VaelabError, match="make that place writable, or give another by logdir=…, then send the rest"):
        track(run, ["fake"])


def test_what_cannot_be_written_down_is_said(run, fake, expected):
    (run / "tracking.json").mkdir()
    for _ in range(2):
        said = []
        track(run, ["fake"], say=said.append)
        assert said[-1] == f"note: {run} cannot be written, so all of it will be sent again next time"
