"""The README's tables are those that the parts give, and what it names exists."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tool():
    spec = importlib.util.spec_from_file_location("readme_tool", ROOT / "tools" / "readme.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_up_to_date():
    assert tool().renewed(README) == README, "run make readme"


def test_every_part_is_in_the_tables():
    from vaelab.registry import names

    for role in (
        "prior",
        "posterior",
        "flow",
        "likelihood",
        "backbone",
        "objective",
        "schedule",
        "data",
        "metric",
        "figure",
    ):
        for name in names(role):
            assert re.search(rf"^\| {name} \|", README, re.MULTILINE), (role, name)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml")))
def test_every_recipe_is_in_the_table(name):
    assert f"| {name} |" in README


def test_the_file_tree_names_what_exists():
    tree = README.split("## What lies where")[1].split("```")[1]
    named = re.findall(r"[\w/.]+\.py|\b\w+/", tree.replace("src/vaelab/\n", ""))
    assert len(named) > 20
    for name in named:
        assert (ROOT / name).exists() or (ROOT / "src" / "vaelab" / name).exists(), name


def test_pictures_exist():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path
