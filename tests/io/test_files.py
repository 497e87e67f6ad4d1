"""Files that are written whole or not at all, and what is said where they cannot be."""

import errno
import os
import subprocess
import sys
import threading
import time

import pytest

from vaelab.cli.advice import told
from vaelab.errors import UsageError, VaelabError
from vaelab.io import files


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("run/last.pt", "make the place writable and carry on with --resume, or choose another place"),
        ("run/report.html", "make the place writable, or choose another place with --out"),
        ("images.metrics.json", "make the place writable, or choose another place with --out"),
        ("run/metrics.json", "make the place writable, or choose another place with --out"),
    ],
)
def test_the_fix_for_a_read_only_place_is_one_that_the_command_has(tmp_path, name, fix):
    def refuse(file):
        raise OSError(errno.EROFS, "Read-only file system", str(file))

    with pytest.raises(VaelabError) as error:
        files.write_whole(tmp_path / name, refuse)
    assert told(error.value).endswith(f"; nothing was there before; {fix}")


def test_a_folder_in_the_place_of_a_file_is_called_so(tmp_path):
    for path, reason in {
        tmp_path: "it is a folder; name a file in it",
        tmp_path / "f" / "a": f"{tmp_path / 'f'} is",
    }.items():
        (tmp_path / "f").touch()
        with pytest.raises(UsageError) as error:
            files.write_whole(path, lambda file: file.write_text("x"))
        assert str(error.value).startswith(f"could not write {path}: {reason}")


WRITE = """
import os, signal, sys
from pathlib import Path
from vaelab.io.files import write_whole

def half(path):
    path.write_text("half")
    print(path.name, flush=True)
    sys.stdin.readline()

write_whole(Path(sys.argv[1]), half)
"""


def test_what_a_killed_writer_has_begun_goes_with_the_next_writing(tmp_path):
    command = [sys.executable, "-c", WRITE, str(tmp_path / "last.pt")]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        half = tmp_path / writer.stdout.readline().rstrip()
        files.write_whole(tmp_path / "a", lambda file: file.write_text("a"))
        assert half.read_text() == "half", "its writer is alive"
    finally:
        writer.kill()
        writer.communicate()
    files.write_whole(tmp_path / "b", lambda file: file.write_text("b"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("pid", "host", "age", "stays"),
    [
        ("mine", "here", 0, True),  # another thread's
        ("mine", "here", 100_000, False),  # of a process before, in a container that gives each the same number
        ("nobody's", "here", 0, False),
        ("nobody's", "elsewhere", 0, True),
        ("nobody's", "elsewhere", 4000, False),
        ("huge", "here", 0, False),
    ],
)
def test_what_a_living_writer_has_begun_stays(tmp_path, pid, host, age, stays):
    number = {"mine": os.getpid(), "nobody's": 2**22 + 1, "huge": 10**30}[pid]
    half = tmp_path / f".last.pt.{number}-1@{files._HOST if host == 'here' else host}.tmp"
    for path in (half, tmp_path / ".notes.tmp", tmp_path / f"last.pt.{number}.tmp"):
        path.touch()
        os.utime(path, (time.time() - age,) * 2)
    files.remove_remains(tmp_path)
    assert half.exists() == stays and len(list(tmp_path.iterdir())) == 2 + stays


def test_two_threads_may_write_the_same_file(tmp_path):
    meet = threading.Barrier(2, timeout=30)

    def write(text: str) -> None:
        files.write_whole(tmp_path / "a", lambda file: (file.write_text(text), meet.wait()))

    threads = [threading.Thread(target=write, args=(letter * 1000,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_text() in ("a" * 1000, "b" * 1000) and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"{", b"1" * 5000, b"[1]", b"", None])
def test_what_holds_no_object_is_an_empty_one(tmp_path, content):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    assert files.read_object(tmp_path / "a.json") == {}
