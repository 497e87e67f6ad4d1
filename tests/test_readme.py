"""The pages are up to date: tables are those that the parts give; what is named, linked, typed or imported exists."""

import ast
import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import torch
import typer

import vaelab
from vaelab.cli import app
from vaelab.recipe.recipe import Recipe
from vaelab.recipe.text import shipped_names
from vaelab.registry import names, roles

ROOT = Path(__file__).parents[1]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in ROOT.rglob("*.md")}
PAGES = {name: text for name, text in PAGES.items() if name.split("/")[0] in ("README.md", "CONTRIBUTING.md", "docs")}
README = PAGES["README.md"]
SHELL = [
    (page, line.split(" #")[0].strip())
    for page, text in PAGES.items()
    for block in re.findall(r"```\n(.*?)```", text, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("vaelab ")
]
PYTHON = [(page, code) for page, text in PAGES.items() for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]


def test_tables_are_up_to_date():
    spec = importlib.util.spec_from_file_location("docs_tool", ROOT / "tools" / "docs.py")
    assert spec and spec.loader
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for page, table in tool.tables().items():
        assert tool.renewed(PAGES[page], table) == PAGES[page], "run make docs"


def test_every_part_and_recipe_is_in_a_table():
    parts = re.split(r"^### ", PAGES["docs/parts.md"], flags=re.MULTILINE)
    tables = {part.split("\n")[0]: part for part in parts}
    for role in roles():
        for name in names(role):
            assert f"\n| {name} |" in tables[role], (role, name)
    for name in shipped_names():
        assert f"\n| {name} |" in PAGES["docs/recipes.md"], name


def test_the_readme_counts_right_and_is_short():
    counts = re.findall(r"(\d+) (priors|posteriors|flows|likelihoods|backbones|data sets|recipes)", README)
    assert len(counts) == 7
    for count, what in counts:
        role = {"data sets": "data", "likelihoods": "likelihood"}.get(what, what.removesuffix("s"))
        assert int(count) == len(shipped_names() if what == "recipes" else names(role)), what
    assert len(README.splitlines()) <= 200


def test_the_file_tree_names_what_exists():
    tree = README.split("## Layout")[1].split("```")[1]
    named = re.findall(r"[\w/.]+\.py|\b\w+/", tree.replace("src/vaelab/\n", ""))
    assert len(named) > 20
    package = ROOT / "src" / "vaelab"
    for name in named:
        assert any((folder / name).exists() for folder in (ROOT, package, *package.iterdir())), name


def test_the_file_tree_names_every_folder_and_module_of_the_package():
    tree = README.split("## Layout")[1].split("```")[1]
    for path in (ROOT / "src" / "vaelab").iterdir():
        if path.suffix == ".py" and not path.name.startswith("__"):
            assert path.name in tree
        if (path / "__init__.py").exists():
            assert f"{path.name}/" in tree


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", PAGES[page])
    for path, anchor in [*links, *((source, "") for source in re.findall(r'src="([^"]+)"', PAGES[page]))]:
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page} links {path}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings], (
                f"{page}: #{anchor}"
            )


@pytest.mark.parametrize(("page", "line"), SHELL)
def test_commands_are_understood(page, line):
    name, *words = [word for word in shlex.split(line)[1:] if "|" not in word]
    inside, needed, optional = False, [], []
    for word in words:
        inside = inside or word.startswith("[")
        optional += [word.strip("[]")] if inside else [word]
        needed += [] if inside else [word]
        inside = inside and not word.endswith("]")
    command = typer.main.get_command(app).commands[name]
    for args in (needed, [word for word in optional if word != "…"]):
        given = command.make_context(name, args).params
    if name == "train" and given["recipe"] in shipped_names() and not given["plugin"]:
        Recipe.read(given["recipe"], given["overrides"])


@pytest.mark.parametrize(("page", "code"), PYTHON)
def test_python_imports_what_there_is(page, code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "vaelab":
            assert hasattr(vaelab, node.attr), ast.unparse(node)


def test_the_model_of_the_readme_is_one():
    code = next(code for page, code in PYTHON if page == "README.md" and "VAE(" in code)
    made: dict = {}
    exec(code, made)
    assert made["vae"].generate(2).shape == (2, 3, 32, 32)


def test_the_model_of_the_library_page_is_trained(tmp_path, monkeypatch):
    code = next(code for page, code in PYTHON if page == "docs/library.md" and "vaelab.fit" in code)
    monkeypatch.chdir(tmp_path)
    made: dict = {}
    exec(code.replace('"epochs": 3', '"epochs": 1'), made)
    assert made["vae"].generate(2).shape == (2, 1, 12, 12)
    assert (tmp_path / "runs" / "mine" / "metrics.json").is_file()


def test_the_recipe_of_the_library_page_learns_from_images_at_hand(tmp_path, monkeypatch):
    code = next(code for page, code in PYTHON if page == "docs/library.md" and "Dataset.of" in code)
    monkeypatch.chdir(tmp_path)
    exec(code, made := {})
    assert made["run"].is_dir() and (tmp_path / "runs" / "photos" / "metrics.json").is_file()


def test_the_arrays_of_the_readme_are_learned_from(tmp_path, monkeypatch):
    code = next(code for page, code in PYTHON if page == "README.md" and "Dataset.of" in code)
    monkeypatch.chdir(tmp_path)
    x, y = torch.randint(4096, (200, 12, 12), dtype=torch.uint16), torch.arange(200) % 3
    exec(code.replace('"train.epochs": 20', '"train.epochs": 1'), made := {"vaelab": vaelab, "x": x, "y": y})
    assert vaelab.sample(made["run"], 2).shape == (2, 1, 12, 12)
    code = next(code for page, code in PYTHON if page == "docs/own-images.md" and "Dataset.of" in code)
    exec(code, made := {})
    assert made["numbers"]["images"] == 30
