"""Hashes that are those of the standard library, whatever the pieces and the order of keys."""

import hashlib

import pytest

from vaelab.io.hashing import bytes_hash, data_hash, file_hash, short_hash

CONTENT = b"some content"


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_of_a_file(tmp_path, kind):
    path = tmp_path / "a"
    path.write_bytes(CONTENT)
    assert file_hash(path, kind) == hashlib.new(kind, CONTENT).hexdigest()
    assert short_hash(path) == bytes_hash([CONTENT])[:12]


def test_of_pieces():
    assert bytes_hash([CONTENT[:3], memoryview(CONTENT)[3:]]) == hashlib.sha256(CONTENT).hexdigest()


def test_of_data_in_any_order():
    assert data_hash({"a": [1, 2.5], "b": None}) == data_hash({"b": None, "a": [1, 2.5]}) != data_hash({})
