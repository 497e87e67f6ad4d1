"""The state of a run: what its training wrote, and what is seen where it could write nothing more."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from vaelab.errors import Diverged, UsageError, VaelabError
from vaelab.runs.log import parse_row
from vaelab.runs.state import read_state, recorded


def word(folder, reached_end=False):
    return read_state(folder, reached_end).word


def pretend(folder, **known):
    (folder / "state.json").write_text(json.dumps({"state": "running", "began": time.time(), "seconds": 0.0} | known))


@pytest.fixture
def me(tmp_path):
    """This process, as a run that it trains writes it down."""
    folder = tmp_path / "mine"
    folder.mkdir()
    with recorded(folder):
        known = json.loads((folder / "state.json").read_text())
    return {k: known[k] for k in ("pid", "host", "born")}


def test_running_then_done(tmp_path):
    with recorded(tmp_path):
        assert word(tmp_path) == "running"
    state = read_state(tmp_path, False)
    assert state.word == "done" and state.reason == "" and 0 <= state.seconds < 60


@pytest.mark.parametrize(
    ("error", "expected", "reason"),
    [
        (UsageError("stopped at step 3"), "stopped", "stopped at step 3"),
        (KeyboardInterrupt(), "stopped", "KeyboardInterrupt"),
        (VaelabError("kl is no longer a finite number"), "failed", "kl is no longer a finite number"),
        (MemoryError(), "failed", "MemoryError"),
    ],
)
def test_an_error_is_written_down_and_goes_on(tmp_path, error, expected, reason):
    with pytest.raises(type(error)), recorded(tmp_path):
        raise error
    assert read_state(tmp_path, False)[:2] == (expected, reason)


def test_a_divergence_is_written_down_as_fields(tmp_path):
    with pytest.raises(Diverged), recorded(tmp_path):
        raise Diverged("kl", 7, "in whatever words")
    assert read_state(tmp_path, False).diverged == ("kl", 7)


@pytest.mark.parametrize("odd", [None, 3, {}, {"step": "7"}, {"term": ["kl"], "step": None}])
def test_odd_fields_of_a_divergence_are_none(tmp_path, odd):
    (tmp_path / "state.json").write_text(json.dumps({"state": "failed", "diverged": odd}))
    assert read_state(tmp_path, False).diverged is None


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"null", b"3", b"[]", b'{"a": 1}', b"\xff", b'{"kind": "st', b"[" * 10**5),
        *(
            b'{"kind": "step", "split": "train", "step": %b, "epoch": 1}' % x
            for x in (b"null", b'"1"', b"-1", b"1e999", b"1e19")
        ),
        b'{"kind": "step", "split": "train", "step": 1}',
        b'{"kind": "step", "split": "train", "step": 1, "epoch": 1e90}',
        b'{"kind": "step", "split": null, "step": 1, "epoch": 1}',
        b'{"kind": ["step"], "split": "train", "step": 1, "epoch": 1}',
    ],
)
def test_what_is_no_row(line):
    assert parse_row(line) is None
    whole = b'{"kind": "epoch", "split": "valid", "step": 6, "epoch": 1, "loss": null}'
    assert parse_row(whole) == json.loads(whole)


def test_a_disk_that_is_full_does_not_hide_the_error(tmp_path):
    with pytest.raises(VaelabError, match="the loss"), recorded(tmp_path):
        (tmp_path / "state.json").unlink()
        (tmp_path / "state.json").mkdir()  # which no file replaces
        raise VaelabError("the loss")


def test_a_killed_process_is_seen_to_be_gone(tmp_path):
    code = (
        "import sys, time, pathlib\nfrom vaelab.runs.state import recorded\n"
        "with recorded(pathlib.Path(sys.argv[1])):\n    print('go', flush=True)\n    time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stdout.readline() == "go\n"
        assert word(tmp_path) == "running"
    finally:
        child.kill()
        child.communicate()
    state = read_state(tmp_path, True)
    assert state.word == "killed" and "its process is gone" in state.reason and "it can be resumed" in state.reason


def test_another_process_of_the_same_number_is_not_the_run(tmp_path, me):
    pretend(tmp_path, **me)
    assert word(tmp_path) == "running"
    pretend(tmp_path, **me | {"born": "1"})
    assert word(tmp_path) == "killed"


def test_on_another_machine_fresh_rows_are_the_sign_of_life(tmp_path):
    pretend(tmp_path, pid=1, host="elsewhere", born="")
    assert word(tmp_path) == "running"
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 4000,) * 2)
    assert word(tmp_path) == "killed"


@pytest.mark.parametrize(
    ("reached_end", "silent", "expected"), [(True, 0, "done"), (False, 0, "running"), (False, 4000, "stopped")]
)
def test_a_run_without_a_word_is_judged_by_its_log(tmp_path, reached_end, silent, expected):
    (tmp_path / "log.jsonl").write_text("")
    os.utime(tmp_path / "log.jsonl", (time.time() - silent,) * 2)
    assert word(tmp_path, reached_end) == expected


def test_a_folder_without_a_log_is_not_running(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert word(tmp_path) == "unknown"
    (tmp_path / "state.json").write_text("{}")
    assert word(tmp_path) == "unknown"


@pytest.mark.parametrize(
    "known",
    [
        {"pid": 1, "began": None, "host": "other"},
        {"seconds": "abc"},
        {"seconds": float("nan")},
        {"seconds": 10**400, "began": "x"},
        {"pid": 10**30, "host": socket.gethostname()},
        {"pid": "x", "host": socket.gethostname()},
    ],
)
def test_odd_values_are_none(tmp_path, known):
    (tmp_path / "log.jsonl").write_text("")
    pretend(tmp_path, **known)
    state = read_state(tmp_path, False)
    assert state.word in ("running", "killed") and state.seconds is not None and 0 <= state.seconds < 60


@pytest.mark.parametrize("text", ["", "{", "[]", '{"state": 3}'])
def test_a_damaged_word_is_none(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    assert word(tmp_path, True) == "done"


def test_time_adds_up_over_a_resumed_run(tmp_path):
    pretend(tmp_path, state="stopped", seconds=100.0)
    with recorded(tmp_path):
        assert read_state(tmp_path, False).seconds == pytest.approx(100, abs=5)
    assert read_state(tmp_path, False).seconds == pytest.approx(100, abs=5)


def test_the_seconds_of_a_process_that_was_killed_count_when_the_run_goes_on(tmp_path, me):
    pretend(tmp_path, **me | {"pid": 2**22 + 1}, began=time.time() - 100, seconds=30.0)
    (tmp_path / "log.jsonl").write_text("{}\n")
    with recorded(tmp_path):
        assert json.loads((tmp_path / "state.json").read_text())["seconds"] == pytest.approx(130, abs=5)
        (tmp_path / "log.jsonl").write_text("{}\n{}\n")
    assert read_state(tmp_path, False).seconds == pytest.approx(130, abs=5)


def test_a_process_that_ended_and_is_not_waited_for_is_killed(tmp_path):
    code = "import sys; from pathlib import Path; from vaelab.runs.state import recorded; import os\n"
    code += f"with recorded(Path({str(tmp_path)!r})): os.kill(os.getpid(), 9)"
    child = subprocess.Popen([sys.executable, "-c", code])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it stays in the table of processes
    assert word(tmp_path) == "killed"
    child.wait()
