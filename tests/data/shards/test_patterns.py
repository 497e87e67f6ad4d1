"""Patterns of file names: braces as shells write them out, globs, folders, lists, and what is not there."""

import pytest

from vaelab.data.shards.patterns import braced, find_all
from vaelab.errors import UsageError


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a{0..2}.tar", ["a0.tar", "a1.tar", "a2.tar"]),
        ("{008..010}", ["008", "009", "010"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{train,val}-{0..1}", ["train-0", "train-1", "val-0", "val-1"]),
        ("x{a,b{1..2}}y", ["xay", "xb1y", "xb2y"]),
        ("{a,}b", ["ab", "b"]),
        ("{a}", ["{a}"]),
        ("{a", ["{a"]),
        ("a}{b,c}", ["a}b", "a}c"]),
        ("plain", ["plain"]),
    ],
)
def test_braces_are_written_out_as_in_a_shell(pattern, names):
    assert braced(pattern) == names


@pytest.fixture
def names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("s/0.tar", "s/1.tar", "s/more/2.tar", "s/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def find(pattern, directory=None):
        found = find_all(pattern, ".tar", "data.path", directory)
        return [path.relative_to(tmp_path / "s").as_posix() for path in found]

    return find


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("s/{0..1}.tar", ["0.tar", "1.tar"]),
        ("s/1.tar::s/0.tar", ["1.tar", "0.tar"]),
        (["s/1.tar", "s/more"], ["1.tar", "more/2.tar"]),
        ("s", ["0.tar", "1.tar", "more/2.tar"]),
        ("s/*.tar", ["0.tar", "1.tar"]),
        ("s/**/*.tar", ["0.tar", "1.tar", "more/2.tar"]),
    ],
)
def test_what_patterns_name_is_found_in_order(names, pattern, found):
    assert names(pattern) == found


def test_patterns_may_be_relative_to_a_data_directory(names, tmp_path):
    assert names("more/{2..2}.tar", tmp_path / "s") == ["more/2.tar"]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("s/{0..9}.tar", "8 of the 10 files of data.path 's/{0..9}.tar' are not there (s/2.tar, s/3.tar, s/4.tar, …)"),
        ("t/*.tar", "there is no file 't/*.tar' (looked for t/*.tar, "),
        (["s/0.tar", "s"], "names %s/s/0.tar twice"),
        ("https://host/{0..9}.tar", "'https://host/{0..9}.tar' is no file; download it"),
        ("{0..99999999}", "{0..99999999}, 100,000,000 files; name at most 1,000,000"),
        ("{0..9999}{0..9999}", "names too many files; name at most 1,000,000"),
    ],
)
def test_what_is_not_there_is_said(names, tmp_path, pattern, said):
    with pytest.raises(UsageError) as error:
        names(pattern)
    assert said.replace("%s", str(tmp_path)) in str(error.value)
