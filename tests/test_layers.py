"""The house: every import points down, and a program pays only for what it uses."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vaelab

PACKAGE = Path(vaelab.__file__).parent
ROOMS = (  # from the ground up: each imports only itself and rooms that stand before it
    *("errors", "io", "registry", "performance", "data", "roles", "distributions", "schedules", "nn"),
    *("runs", "features", "flows", "likelihoods", "backbones", "posteriors", "priors", "objectives", "model"),
    *("training", "metrics", "samplers", "figures"),
    *("recipe", "tracking", "evaluation", "workbench", "report", "cli", "__main__"),
)
MATHEMATICS = ROOMS[ROOMS.index("registry") : ROOMS.index("figures")]
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    """The folder or module of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """All modules that a file imports, also within functions; `from vaelab import run` is vaelab.workbench."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively, which this test does not follow"
            inside = {f"vaelab.{alias.name}" for alias in node.names}
            found |= inside if node.module == "vaelab" else {str(node.module)}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    mine = room_of(path)
    assert mine in ROOMS, f"{mine} has no place yet; give it one in this test"
    for name in imports(path):
        if name.startswith("vaelab."):
            other = name.split(".")[1]
            assert ROOMS.index(other) <= ROOMS.index(mine), f"{path.name} in {mine} imports {name}, which stands above"


def test_no_files_import_each_other_in_a_circle():
    modules = {"vaelab." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in FILES}
    needs = {name: imports(path) & set(modules) for name, path in modules.items()}
    while needs:
        free = {name for name, needed in needs.items() if not needed & set(needs)}
        assert free, f"{sorted(needs)} import each other in a circle"
        needs = {name: needed for name, needed in needs.items() if name not in free}


@pytest.mark.parametrize("room", [room for room in MATHEMATICS if room not in ("data", "runs", "training")])
def test_mathematics_knows_neither_terminal_nor_pictures(room):
    doors = {"typer", "rich", "matplotlib", "PIL"}
    for path in FILES:
        if room_of(path) == room:
            assert not {i.split(".")[0] for i in imports(path)} & doors


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("vaelab", {"torch", "matplotlib", "pydantic", "numpy", "yaml"}),
        ("vaelab.cli", {"torch", "matplotlib", "pydantic", "numpy"}),
        ("vaelab.recipe.recipe", {"matplotlib", "sklearn", "scipy", "pooch", "typer", "zuko"}),
    ],
)
def test_importing_costs_only_what_is_used(module, absent):
    code = f"import sys, {module}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "vaelab" in done.stdout.split()
    assert not absent & set(done.stdout.split())


def test_the_package_lists_what_it_offers():
    assert set(vaelab.__all__) <= set(dir(vaelab))
    assert all(getattr(vaelab, name) for name in vaelab.__all__)
