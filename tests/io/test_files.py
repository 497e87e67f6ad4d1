"""Where files are looked for, how they are checked and downloaded, and what is said when they are missing."""

import errno
import functools
import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pooch
import pytest
from pooch import retrieve

from vaelab.cli.advice import told
from vaelab.data import load, static_mnist
from vaelab.errors import UsageError, VaelabError
from vaelab.io import files
from vaelab.io.files import File, fetch, locate
from vaelab.io.files import cache as platform_cache

CONTENT = b"a published file"
FILE = File("toy/file.bin", "http://example.org/file.bin", hashlib.md5(CONTENT).hexdigest())


def place(folder: Path, content: bytes = CONTENT) -> Path:
    path = folder / FILE.path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_the_explicit_directory_comes_first_then_the_environment_then_the_cache(tmp_path, cache, monkeypatch):
    explicit, named = tmp_path / "explicit", tmp_path / "named"
    monkeypatch.setenv("VAELAB_DATA", str(named))
    in_cache, in_named = place(cache), place(named)
    explicit.mkdir()
    assert fetch(FILE, explicit) == in_named
    in_explicit = place(explicit)
    assert fetch(FILE, explicit) == in_explicit
    assert fetch(FILE) == in_named
    in_named.unlink()
    assert fetch(FILE) == in_cache


def test_nothing_is_located_where_nothing_is(tmp_path):
    assert locate("toy/file.bin", tmp_path) is None


def test_a_misspelt_directory_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"data directory .*nowhere' is not a folder"):
        load("mnist", tmp_path / "nowhere")
    monkeypatch.setenv("VAELAB_DATA", str(tmp_path / "lost"))
    with pytest.raises(UsageError, match=r"VAELAB_DATA .*lost' is not a folder"):
        load("mnist")


def test_offline_the_error_names_file_places_address_and_remedy(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("VAELAB_DATA", str(tmp_path))
    (tmp_path / "mine").mkdir()
    with pytest.raises(VaelabError) as error:
        load("mnist", tmp_path / "mine")
    assert error.value.exit_code == 1  # no mistake of the user's
    said, name = str(error.value), "mnist/train-images-idx3-ubyte.gz"
    assert f"{name} is not in {tmp_path / 'mine'} or {tmp_path} or {cache}, and" in said
    assert "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz failed (ConnectionError)" in said
    assert f"save it as {tmp_path / 'mine' / name}" in said


@pytest.mark.parametrize("name", ["fashion_mnist", "static_mnist", "freyfaces"])
def test_every_downloaded_set_says_so_offline(name):
    with pytest.raises(VaelabError, match=f"{name}/.* failed .ConnectionError.; get it there and save it as"):
        load(name)


@pytest.mark.parametrize("content", [CONTENT[:-1], b"A published file", b""])
def test_a_truncated_or_changed_file_is_named_with_the_fix(tmp_path, content):
    path = place(tmp_path, content)
    with pytest.raises(UsageError) as error:
        fetch(FILE, tmp_path)
    assert str(path) in str(error.value)
    assert f"its {len(content)} bytes have the md5" in str(error.value)
    assert "delete it to have it made or downloaded again" in str(error.value)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server for one folder, and the real downloader."""
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "web").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield tmp_path / "web", f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


def test_a_download_goes_into_the_cache_and_happens_once(server, cache):
    folder, address = server
    (folder / "file.bin").write_bytes(CONTENT)
    file = File(FILE.path, f"{address}/file.bin", FILE.md5)
    assert fetch(file) == cache / FILE.path
    (folder / "file.bin").unlink()
    assert fetch(file).read_bytes() == CONTENT


def test_a_download_with_another_hash_is_refused_and_not_kept(server, cache):
    folder, address = server
    (folder / "file.bin").write_bytes(b"an error page")
    with pytest.raises(VaelabError, match=r"failed .it sent something else: its 13 bytes have the md5 \w+ .*; get it"):
        fetch(File(FILE.path, f"{address}/file.bin", FILE.md5))
    assert not list(cache.rglob("*.bin"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"\n<!DOCTYPE html><html>moved</html>", "it is a web page"),
        (b"0 1 1", "ValueError: cannot reshape array of size 3"),
        (b"0 1 2", "it has characters other than 0, 1 and blanks"),
    ],
)
def test_a_download_of_no_known_hash_is_kept_only_if_it_can_be_read(server, cache, monkeypatch, content, said):
    folder, address = server
    name = "binarized_mnist_train.amat"
    (folder / name).write_bytes(content)
    monkeypatch.setattr(static_mnist, "URL", f"{address}/")
    with pytest.raises(VaelabError, match=f"failed .it sent something else: {said}") as error:
        load("static_mnist")
    assert error.value.exit_code == 1
    assert not [path for path in cache.rglob("*") if path.is_file()]
    monkeypatch.setattr(static_mnist, "COUNTS", {"train": 1})
    (folder / name).write_bytes(b"0 " * 784)
    assert static_mnist._read_amat("train", None).shape == (1, 28, 28)
    assert (cache / "static_mnist" / name).is_file()


@pytest.mark.usefixtures("server")
def test_an_address_that_leads_to_no_web_address_is_said():
    with pytest.raises(VaelabError, match=r"failed .InvalidSchema.; get it there"):
        fetch(File(FILE.path, "file:///etc/hostname", FILE.md5))


def test_a_file_that_the_server_lacks_is_an_error_of_ours(server):
    with pytest.raises(VaelabError, match=r"failed .HTTPError."):
        fetch(File(FILE.path, f"{server[1]}/file.bin", FILE.md5))


def test_the_cache_is_the_platforms(monkeypatch, tmp_path):
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    assert platform_cache() == tmp_path / "vaelab"


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
