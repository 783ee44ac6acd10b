"""The rooms stand on their floors, guests stay in their rooms, and importing the package costs nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import squarely

ROOT = Path(squarely.__file__).parent
FLOORS = {
    "_version": 0, "errors": 0, "numerics": 0, "data": 1, "show": 1, "design": 2, "theory": 2, "datasets": 2, "moments": 3,
    "exact": 4, "descent": 4, "inference": 5, "certification": 6, "api": 7, "cli": 8, "__main__": 9,
}  # fmt: skip
GUESTS = {
    "narwhals": {"data", "design", "moments"}, "pyarrow": {"data"}, "duckdb": {"data"}, "pandas": {"data"}, "formulaic": {"design"},
    "pyspark": {"data"}, "ibis": {"data"}, "rich": {"show"}, "matplotlib": {"show"}, "threadpoolctl": {"data"},
    "scipy": {"design", "moments", "exact", "inference"}, "torch": {"descent", "moments"}, "safetensors": {"descent"},
    "typer": {"cli"}, "dask": {"data"}, "distributed": {"data"}, "cloudpickle": {"data"},
}  # fmt: skip


def imports():
    """Yield (room, file, imported module, whether for type checking only) for every import in the package."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts == ("__init__",):
            continue  # the front door names everything lazily
        tree = ast.parse(path.read_text())
        typing_only = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: imports are absolute"
                names = [f"squarely.{a.name}" for a in node.names] if node.module == "squarely" else [node.module]
            else:
                continue
            for name in names:
                yield parts[0], path, name, id(node) in typing_only


def test_every_room_has_a_floor():
    rooms = {p.relative_to(ROOT).parts[0].removesuffix(".py") for p in ROOT.rglob("*.py")} - {"__init__"}
    assert rooms == set(FLOORS)


def test_rooms_import_only_lower_floors():
    seen = 0
    for room, path, name, typing_only in imports():
        other = name.split(".")[1] if name.startswith("squarely.") else None
        if other is None or other == room or (typing_only and FLOORS[other] < FLOORS[room]):
            continue
        if (room, name) in {("cli", "squarely"), ("__main__", "squarely.cli")}:
            continue
        seen += 1
        assert FLOORS[other] < FLOORS[room], f"{path} on floor {FLOORS[room]} imports {name} on floor {FLOORS[other]}"
    assert seen > 50  # the walk did find the imports


def test_guests_stay_in_their_rooms():
    for room, path, name, typing_only in imports():
        guest = name.split(".")[0]
        if guest in {"squarely", "numpy", "__future__"} or guest in sys.stdlib_module_names or typing_only:
            continue
        assert room in GUESTS.get(guest, set()), f"{path} imports {guest}, which belongs to {GUESTS.get(guest)}"
        assert guest != "torch" or room == "descent" or path.name == "device.py"  # the one page that folds on a GPU


def test_no_room_takes_the_place_of_a_public_function():
    rooms = set(FLOORS) - {"errors", "datasets"}  # these two are public as modules
    assert rooms.isdisjoint(squarely.__all__)


HEAVY = ["torch", "pandas", "matplotlib", "bokeh", "duckdb", "sklearn", "scipy", "formulaic", "pyarrow", "narwhals", "ibis"]


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import squarely", [*HEAVY, "numpy"]),
        ("import squarely.cli", [*HEAVY, "numpy", "squarely.api"]),
        ("import squarely; squarely.ols", ["torch", "matplotlib", "pandas", "squarely.descent"]),
        ("import squarely.descent", ["squarely.exact", "squarely.inference", "squarely.certification", "squarely.api"]),
        ("import squarely.exact, squarely.inference", ["torch", "squarely.descent", "squarely.certification"]),
    ],
)
def test_light_import(statement, absent):
    code = f"{statement}; import sys; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
