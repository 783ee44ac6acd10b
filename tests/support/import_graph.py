"""The imports of the package, read from its syntax trees, and the diagram of them in CONTRIBUTING.md.

`python -m tests.support.import_graph` (`make architecture`) writes the diagram.
"""

import ast
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2] / "src" / "squarely"
CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
BEGIN, END = "<!-- architecture -->", "<!-- /architecture -->"

LAYERS = {
    "_version": 0, "errors": 0, "numerics": 0, "reprs": 0, "types": 0, "storage": 1, "data": 2, "show": 2, "theory": 2,
    "design": 3, "datasets": 3,
    "moments": 4, "exact": 5, "descent": 5, "checkup": 5, "inference": 6, "certification": 7, "api": 9, "cli": 10, "testing": 10,
    "__main__": 11,
}  # fmt: skip

# Inside a package, an entry imports only from lines before its own, or from its own line without a cycle.
ORDER = {
    "data": [
        "tree_reduce query dtypes pandas_io header_hints", "source", "scan frames files",
        "engines views", "open first_rows",
    ],
    "design": [
        "formula", "encoding", "rounding weights", "design", "matrix engine", "learning merging serialize serialize_effects",
    ],
    "moments": ["cross_products change_of_basis engine", "moments qr gpu", "gather merge standardized serialize", "gradient_noise"],
    "exact": [
        "rank condition_number", "factorization", "residuals whitening", "implicit_constant", "solution units", "estimability",
        "engine", "solve", "merge fixed_effects",
    ],
    "descent": [
        "options process_group", "run_theory", "batches", "model", "loop", "sharding codegen", "checkpoint results",
        "trainer", "sweep", "with_torch",
    ],
    "inference": [
        "normality scan", "engine_rows", "covariance", "statistics preview", "summary serialization", "coefficients",
        "post_estimation", "fit", "multiple_fits",
    ],
}  # fmt: skip

THIRD_PARTY = {
    "narwhals": {"data", "design", "moments"}, "pyarrow": {"data"}, "duckdb": {"data"}, "pandas": {"data"}, "formulaic": {"design"},
    "pyspark": {"data"}, "ibis": {"data"}, "rich": {"show"}, "matplotlib": {"show"}, "threadpoolctl": {"data"},
    "scipy": {"checkup", "design", "moments", "exact", "inference"}, "torch": {"checkup", "descent", "moments"},
    "safetensors": {"descent"},
    "typer": {"cli"}, "python_calamine": {"data"}, "pyreadstat": {"data"}, "deltalake": {"data"}, "pyiceberg": {"data"},
    "IPython": {"show"},
    "dask": {"data"}, "distributed": {"data"}, "cloudpickle": {"data"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name.

    importer, imported : dotted module names; `imported` is a module of the package or a third-party name.
    name : what is imported from it; None for the module itself.
    typing_only : it stands under TYPE_CHECKING.
    """

    importer: str
    imported: str
    name: str | None
    line: int
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}: imports {self.imported}" + (f".{self.name}" if self.name else "")


@cache
def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name."""
    names = {path: ".".join(("squarely", *path.relative_to(ROOT).with_suffix("").parts)) for path in sorted(ROOT.rglob("*.py"))}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


@cache
def imports() -> tuple[Import, ...]:
    """Return every import, also those in functions and under TYPE_CHECKING, of all modules but the package root."""
    return tuple(found for module, path in modules().items() if module != "squarely" for found in _imports_of(module, path))


def _imports_of(module: str, path: Path) -> list[Import]:
    tree, known = ast.parse(path.read_text(encoding="utf-8")), modules()
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"]
    typing_only = {id(inner) for node in typing for inner in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            pairs: list[tuple[str, str | None]] = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: imports are absolute"
            base = str(node.module)
            whole = [f"{base}.{alias.name}" for alias in node.names]
            pairs = [(full, None) if full in known else (base, full.rpartition(".")[2]) for full in whole]
        else:
            continue
        found += [Import(module, target, name, node.lineno, id(node) in typing_only) for target, name in pairs]
    return found


def package_of(module: str) -> str:
    """Return the package directly below `squarely`, or the module there: "data" for "squarely.data.scan.fold"."""
    return module.split(".")[1] if "." in module else module


def entry_of(module: str) -> str | None:
    """Return the file or sub-package directly inside the package: "scan" for "squarely.data.scan.fold"."""
    parts = module.split(".")
    return parts[2] if len(parts) > 2 else None


def is_ours(module: str) -> bool:
    """Return whether a module belongs to the package."""
    return module.split(".")[0] == "squarely"


def find_cycle(edges: dict[str, set[str]]) -> list[str]:
    """Return the nodes of a cycle, in order, or an empty list."""
    state: dict[str, int] = {}
    stack: list[str] = []

    def visit(node: str) -> list[str]:
        state[node] = 1
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if state.get(other) == 1:
                return [*stack[stack.index(other) :], other]
            if other not in state and (cycle := visit(other)):
                return cycle
        stack.pop()
        state[node] = 2
        return []

    return next((cycle for node in sorted(edges) if node not in state and (cycle := visit(node))), [])


def file_edges() -> dict[str, set[str]]:
    """Return which modules each module imports."""
    edges: dict[str, set[str]] = defaultdict(set)
    for found in imports():
        if found.imported in modules() and found.imported not in {found.importer, "squarely"}:
            edges[found.importer].add(found.imported)
    return edges


def package_edges() -> dict[str, set[str]]:
    """Return which packages each package imports."""
    edges: dict[str, set[str]] = defaultdict(set)
    for found in imports():
        a, b = package_of(found.importer), package_of(found.imported)
        if is_ours(found.imported) and found.imported != "squarely" and a != b:
            edges[a].add(b)
    return edges


def diagram() -> str:
    """Return the packages as a Mermaid flowchart; an arrow that follows from others is left out."""
    edges = {a: set(b) for a, b in package_edges().items() if a != "__main__"}

    def reach(node: str) -> set[str]:
        return edges.get(node, set()).union(*(reach(other) for other in edges.get(node, set())))

    lines = ["```mermaid", "flowchart TD"]
    for layer in sorted(set(LAYERS.values()), reverse=True):
        names = sorted(name for name, at in LAYERS.items() if at == layer and name != "__main__")
        if names:
            lines += [f"  subgraph layer{layer}[layer {layer}]", *(f"    {name}" for name in names), "  end"]
    for a in sorted(edges):
        direct = {b for b in edges[a] if not any(b in reach(other) for other in edges[a])}
        lines += [f"  {a} --> {b}" for b in sorted(direct)]
    return "\n".join([*lines, "```"])


def with_diagram(text: str) -> str:
    """Return CONTRIBUTING.md with the diagram between its marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{diagram()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    CONTRIBUTING.write_text(with_diagram(CONTRIBUTING.read_text(encoding="utf-8")), encoding="utf-8")
