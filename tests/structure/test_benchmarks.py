"""Benchmarks are run by hand: a test sees that what they import from squarely exists."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.checks import need

FOLDER = Path(__file__).parents[2] / "benchmarks"


def squarely_imports(path):
    """Return the (module, name) pairs of a script; `import squarely as sq` and each `sq.name` count as well."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "squarely":
            yield from ((node.module, name.name) for name in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sq":
            yield "squarely", node.attr


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_what_a_benchmark_imports_exists(path):
    need("torch")
    missing = []
    for module, name in squarely_imports(path):
        try:
            if not hasattr(import_module(module), name):
                import_module(f"{module}.{name}")
        except ModuleNotFoundError:
            missing.append(f"{module}.{name}")
    assert not missing
