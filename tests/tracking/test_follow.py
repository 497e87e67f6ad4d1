"""A tracker is told every row, picture and number of a folder once, in order; one that fails is dropped."""

import json

import pytest

from vaelab.errors import UsageError, VaelabError
from vaelab.tracking.chosen import make
from vaelab.tracking.follow import Follower, track


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
