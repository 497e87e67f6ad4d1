"""Where files are looked for, how they are checked and downloaded, and what is said when they are missing."""

import functools
import hashlib
import http.server
import threading
from pathlib import Path

import pooch
import pytest
from pooch import retrieve

from vaelab.data import load, static_mnist
from vaelab.errors import UsageError, VaelabError
from vaelab.io.places import File, fetch, locate
from vaelab.io.places import cache as platform_cache

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
