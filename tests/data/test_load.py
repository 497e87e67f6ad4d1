"""The door to all sets: names, options, and what importing costs."""

import subprocess
import sys

import pytest
from PIL import Image

from vaelab import registry
from vaelab.data import load
from vaelab.errors import UsageError
from vaelab.io import memory
from vaelab.registry.schema import options


def test_every_set_of_the_first_issue_is_registered():
    named = {"digits", "shapes", "mnist", "fashion_mnist", "static_mnist", "freyfaces", "folder"}
    assert named <= set(registry.names("data"))


@pytest.mark.parametrize("name", registry.names("data"))
def test_every_set_takes_the_common_options_and_knows_its_name(name):
    source = registry.part("data", name)
    common = {"crop", "resize", "pad", "binarise", "flip", "train_size", "valid_size", "test_size", "seed"}
    assert common <= set(options(source))
    assert source(**({"path": "."} if "path" in options(source) else {})).name == name


@pytest.mark.parametrize(
    "name, options, said",
    [
        ("mnits", {}, "did you mean 'mnist'"),
        ("digits", {"resise": 16}, "did you mean 'resize'"),
        ("digits", {"resize": -1}, "data.resize: expected greater than 0"),
        ("digits", {"pad": 1.5}, "data.pad"),
        (
            "digits",
            {"binarise": "sometimes"},
            "data.binarise: expected 'none', 'dynamic', 'fixed' or 'threshold'",
        ),
        ("digits", {"seed": -1}, "data.seed"),
        ("digits", {"flip": "yes"}, "data.flip"),
        ("shapes", {"channels": 2}, "data.channels: expected 1 or 3"),
        ("folder", {}, "data.path is missing"),
    ],
)
def test_a_wrong_option_is_refused_with_the_fix(name, options, said):
    with pytest.raises(UsageError, match=said):
        load(name, **options)


def test_importing_is_cheap():
    heavy = {"sklearn", "scipy", "pooch", "PIL", "rich", "matplotlib"}
    code = f"import sys, vaelab.data; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("digits", {"pad": 10**9}),
        ("digits", {"pad": 2**31 - 1}),
        ("digits", {"resize": 2**31 - 1}),
        ("shapes", {"size": 10**9}),
        ("shapes", {"count": 10**8}),
        ("shapes", {"count": 2**31 - 1, "size": 1}),
        ("celeba", {"size": 10**6}),
        ("folder", {"path": ".", "size": 10**6}),
    ],
)
def test_images_that_memory_cannot_hold_are_refused_before_it_is_filled(name, options, tmp_path, monkeypatch):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "available_memory", lambda: 2.0**34)
    said = r"^[\d,]+ images? of \d+×\d+ pixels would take [\d,.]+ GiB of memory, [\d,.]+ are free; lower data\.\w+"
    with pytest.raises(UsageError, match=said):
        load(name, **options)
