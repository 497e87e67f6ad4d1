"""Images found in folders: links, and what has the name of an image and is none."""

import os
import socket

import numpy as np
import pytest
from PIL import Image

from vaelab.data import load
from vaelab.data.encoded.files import image_names, in_folder
from vaelab.errors import UsageError


def test_hidden_files_and_other_files_are_passed_over(tmp_path):
    for name in ("b/2.PNG", "a.jpg", ".hidden/1.png", "._a.jpg", "__MACOSX/1.png", "note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert image_names(tmp_path) == ["a.jpg", "b/2.PNG"]


def test_links_are_followed_and_one_that_leads_nowhere_is_left_out(tmp_path):
    for number in range(20):
        (tmp_path / "there").mkdir(exist_ok=True)
        Image.new("L", (4, 4), number).save(tmp_path / "there" / f"{number:02}.png")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "folder").symlink_to(tmp_path / "there")
    (tmp_path / "here" / "file.png").symlink_to(tmp_path / "there" / "00.png")
    (tmp_path / "here" / "lost.png").symlink_to(tmp_path / "lost.png")
    (tmp_path / "here" / "self.png").symlink_to("self.png")
    names = image_names(tmp_path / "here")
    assert len(names) == 23 and names[:3] == ["file.png", "folder/00.png", "folder/01.png"]
    with pytest.warns(UserWarning, match="left out 2 of the 23 images") as said:
        assert len(load("folder", path=tmp_path / "here").train) == 17
    assert "lost.png: [Errno 2]" in str(said[0].message)


def test_a_link_in_a_circle_is_refused(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    with pytest.raises(UsageError, match="b/up is a link to a folder that it lies in; remove the link"):
        load("folder", path=tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="needs pipes in folders")
@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
@pytest.mark.parametrize("linked", [False, True])
def test_what_would_never_end_is_refused(tmp_path, kind, linked):
    (tmp_path / "set").mkdir()
    place = tmp_path / ("elsewhere" if linked else "set/a.png")
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            os.chdir(tmp_path)  # a socket's path may not be long
            bound.bind(str(place.relative_to(tmp_path)))
    else:
        linked, place = True, "/dev/zero"
    if linked:
        (tmp_path / "set" / "a.png").symlink_to(place)
    with pytest.raises(UsageError, match=f"a.png is a {kind} and no image file; remove it"):
        load("folder", path=tmp_path / "set")


def test_files_are_reached_by_number_in_any_order(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.png").write_text(name)
    files = in_folder(tmp_path).at(np.array([2, 0])).at(np.array([1, 0, 0]))
    assert files.names == ["a.png", "c.png", "c.png"]
    assert [files.open(i).read_text() for i in range(3)] == ["a", "c", "c"]
