"""The house: every import points down, and a program pays only for what it uses."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vaelab

PACKAGE = Path(vaelab.__file__).parent
FLOORS = [
    [
        "errors",
        "registry",
        "distributions",
        "schedules",
        "terms",
        "process",
        "mixtures",
        "hierarchy",
        "heads",
        "wording",
    ],
    ["progress"],
    ["files"],
    ["perceptual"],
    ["flows", "likelihoods", "backbones", "data", "recipe_text", "labels", "state"],
    ["priors", "posteriors", "objectives", "extractors"],
    ["model"],
    ["start"],
    ["training", "metrics", "samplers", "figures"],
    ["tracking"],
    ["recipe", "gallery", "folder"],
    ["judge", "export", "stored", "stages"],
    ["run", "runs", "listing"],
    ["evaluation", "quality"],
    ["comparison"],
    ["report"],
    ["cli"],
    ["__main__"],
]
FLOOR = {name: number for number, floor in enumerate(FLOORS) for name in floor}
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def part_of(path: Path) -> str:
    """The folder or module of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """All modules that a file imports, also within functions; `from vaelab import run` is vaelab.run."""
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
    mine = part_of(path)
    assert mine in FLOOR, f"{mine} has no floor yet; give it one in this test"
    for name in imports(path):
        if name.split(".")[0] != "vaelab":
            continue
        other = name.split(".")[1]
        inside = other == mine or FLOOR[mine] == FLOOR[other] == 0  # the ground floor is one room
        assert inside or FLOOR[other] < FLOOR[mine], f"{path.name} (floor {FLOOR[mine]}) imports {name}"


def test_the_ground_floor_imports_no_one_in_a_circle():
    parts = {
        name: {i.split(".")[1] for i in imports(PACKAGE / f"{name}.py") if i.startswith("vaelab.")}
        for name in FLOORS[0]
    }
    while parts:
        free = [name for name, needs in parts.items() if not needs & set(parts)]
        assert free, f"{sorted(parts)} import each other in a circle"
        for name in free:
            del parts[name]


@pytest.mark.parametrize("name", FLOORS[0])
def test_the_ground_floor_needs_little(name):
    allowed = {"torch", "numpy", "pydantic", "vaelab"} | set(sys.stdlib_module_names)
    assert {i.split(".")[0] for i in imports(PACKAGE / f"{name}.py")} <= allowed


@pytest.mark.parametrize(
    "name",
    [n for floor in FLOORS[:11] for n in floor if n not in ("progress", "training", "figures", "data", "gallery")],
)
def test_mathematics_knows_neither_terminal_nor_pictures(name):
    doors = {"typer", "rich", "matplotlib", "PIL"}
    for path in FILES:
        if part_of(path) == name:
            assert not {i.split(".")[0] for i in imports(path)} & doors


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("vaelab", {"torch", "matplotlib", "pydantic", "numpy", "yaml"}),
        ("vaelab.cli", {"torch", "matplotlib", "pydantic", "numpy"}),
        ("vaelab.recipe", {"matplotlib", "sklearn", "scipy", "pooch", "typer", "zuko"}),
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
