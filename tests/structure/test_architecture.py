"""The packages keep to their layers, sub-packages to their order, files to their size; and importing the package is cheap."""

import ast
import re
import subprocess
import sys
from collections import defaultdict

import pytest

import squarely
from tests.support.import_graph import (
    CONTRIBUTING,
    LAYERS,
    ORDER,
    ROOT,
    THIRD_PARTY,
    entry_of,
    file_edges,
    find_cycle,
    imports,
    is_ours,
    modules,
    package_of,
    with_diagram,
)

NO_INTERFACE = {
    "_version",
    "errors",
    "numerics",
    "reprs",
    "storage",
    "types",
}  # single files, and storage, whose files are imported directly


def test_every_package_has_a_layer():
    assert {package_of(module) for module in modules()} - {"squarely"} == set(LAYERS)


def test_packages_import_only_lower_layers():
    ours = [i for i in imports() if is_ours(i.imported) and package_of(i.importer) != package_of(i.imported)]
    assert len(ours) > 50  # the walk did find the imports
    for found in ours:
        a, b = package_of(found.importer), package_of(found.imported)
        if (a, found.imported) in {("cli", "squarely"), ("testing", "squarely"), ("__main__", "squarely.cli")}:
            continue
        assert b in LAYERS, f"{found}: the package root is for users"
        assert LAYERS[b] < LAYERS[a], f"{found}: layer {LAYERS[b]} from layer {LAYERS[a]}"


@pytest.mark.parametrize("package", ORDER)
def test_sub_packages_keep_their_order(package):
    place = {name: i for i, line in enumerate(ORDER[package]) for name in line.split()}
    entries = {path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert entries - {"__init__"} == set(place)
    between = defaultdict(set)
    for found in imports():
        if package_of(found.importer) == package and package_of(found.imported) == package and is_ours(found.imported):
            a, b = entry_of(found.importer), entry_of(found.imported)
            if a is None or a == b:
                continue
            assert b is not None, f"{found}: inside a package, import from the file that defines"
            assert place[b] <= place[a], f"{found}: {b} stands above {a}"
            between[a].add(b)
    assert find_cycle(between) == []


def test_no_import_cycle():
    assert find_cycle(file_edges()) == []


def test_other_packages_import_from_the_public_interface():
    for found in imports():
        a, b = package_of(found.importer), package_of(found.imported)
        if not is_ours(found.imported) or a == b or b in NO_INTERFACE or b == "squarely" or a == "__main__":
            continue
        assert found.imported == f"squarely.{b}", f"{found}: import it from squarely.{b}"
        if found.name is not None:
            assert found.name in interface(b), f"{found}: {b}/__init__.py does not have it"


def interface(package):
    """Return the names that the `__init__` of a package defines, or imports from squarely."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    found = [i for i in imports() if i.importer == f"squarely.{package}" and is_ours(i.imported)]
    starred = {i.imported for i in found if i.name == "*"}  # of the type checker; the names are loaded on first use
    return defined | {i.name for i in [*found, *(i for i in imports() if i.importer in starred)] if i.name not in ("*", None)}


@pytest.mark.parametrize("package", sorted(path.parent.name for path in ROOT.glob("*/__init__.py")))
def test_every_public_name_has_a_user(package):
    others = [path for path in ROOT.rglob("*.py") if package not in path.relative_to(ROOT).parts]
    others += [path for folder in ("tests", "benchmarks") for path in (CONTRIBUTING.parent / folder).rglob("*.py")]
    words = set(re.findall(r"\w+", " ".join(path.read_text(encoding="utf-8") for path in others)))
    assert interface(package) - words == set()


def test_private_names_stay_in_their_file():
    for found in imports():
        private = found.name is not None and found.name.startswith("_") and not found.name.startswith("__")
        assert not (private and is_ours(found.imported)), str(found)


def test_third_party_imports():
    for found in imports():
        library, package = found.imported.split(".")[0], package_of(found.importer)
        if library in {"squarely", "numpy", "__future__"} or library in sys.stdlib_module_names or found.typing_only:
            continue
        assert package in THIRD_PARTY.get(library, set()), f"{found}: {library} belongs to {THIRD_PARTY.get(library)}"
        assert library != "torch" or package in {"checkup", "descent"} or found.importer == "squarely.moments.gpu", str(found)


def test_a_sub_package_has_one_sentence_and_no_imports():
    for path in ROOT.glob("*/**/__init__.py"):
        if len(path.relative_to(ROOT).parts) > 2 or path.parent.name == "storage":
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert len(body) == 1, str(path)
            assert isinstance(body[0], ast.Expr), str(path)
            assert len(body[0].value.value.strip().splitlines()) == 1, str(path)


def test_a_method_of_a_source_without_a_docstring_overrides_one_that_has_it():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for module, path in modules().items() if package_of(module) == "data"]
    classes = {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}
    assert "Source" in classes

    def documented(name):
        methods = {node.name for node in classes[name].body if isinstance(node, ast.FunctionDef) and ast.get_docstring(node)}
        return methods.union(*(documented(base.id) for base in classes[name].bases if getattr(base, "id", None) in classes))

    for name, node in classes.items():
        public = {each.name for each in node.body if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")}
        assert public <= documented(name), name


def test_sizes():
    for module, path in modules().items():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 350, f"{module} is longer than 350 lines"
    for folder in {path.parent for path in modules().values()} - {ROOT}:
        entries = [p for p in folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
        assert len(entries) <= 14, f"{folder} has {len(entries)} entries"


def test_no_name_stands_for_two_classes():
    places = defaultdict(list)
    for module, path in modules().items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_function_has_the_name_of_its_file():
    for module, path in modules().items():
        names = [n.name for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, ast.FunctionDef)]
        assert path.stem not in names, module


def test_no_package_takes_the_place_of_a_public_function():
    packages = set(LAYERS) - {"errors", "datasets", "testing"}  # these are public as modules
    assert packages.isdisjoint(set(squarely.__all__) - {"checkup"})
    code = """
import squarely as sq, importlib
importlib.import_module("squarely.checkup.mistakes.catalog")
from squarely.checkup import Finding
from squarely import checkup
print(sq.checkup is checkup, sq.checkup.__name__, sq.checkup.__module__, sq.Finding is Finding)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True checkup squarely.api.training_loops True\n"


def test_the_diagram_is_current():
    text = CONTRIBUTING.read_text(encoding="utf-8")
    assert with_diagram(text) == text, "run: make architecture"


HEAVY = ["torch", "pandas", "matplotlib", "bokeh", "duckdb", "sklearn", "scipy", "formulaic", "pyarrow", "narwhals", "ibis"]


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import squarely", [*HEAVY, "numpy"]),
        ("import squarely.cli", [*HEAVY, "numpy", "squarely.api"]),
        ("import squarely; squarely.ols", ["torch", "matplotlib", "pandas", "squarely.descent", "squarely.certification"]),
        ("import squarely.descent", ["squarely.exact", "squarely.inference", "squarely.certification", "squarely.api"]),
        ("import squarely; squarely.checkup, squarely.testing", ["torch", "matplotlib", "pandas", "squarely.descent"]),
        ("import squarely.exact, squarely.inference", ["torch", "squarely.descent", "squarely.certification"]),
    ],
)
def test_light_import(statement, absent):
    code = f"{statement}; import sys; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
