"""What several tests need: one comparison, the data that come with the tests, the packages that may be missing."""

import csv
import importlib
import json
import math
import operator
import os
import subprocess
from contextlib import contextmanager
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

CARS = str(files("squarely.datasets") / "cars.csv")
FORMS = ("dict", "pandas", "polars", "polars lazy", "arrow", "duckdb", "csv", "parquet", "feather", "jsonl")
NIST = Path(__file__).parents[1] / "data" / "nist"


def assert_close(actual: object, expected: object, *, rtol: float, atol: float = 0.0) -> None:
    """Compare numbers element by element: |actual - expected| <= atol + rtol |expected|."""
    np.testing.assert_allclose(np.asarray(actual, float), np.asarray(expected, float), rtol=rtol, atol=atol)


OTHERWISE = {"digits", "digits_bse", "precision", "scans", "method", "fold", "converged"}  # how the numbers were reached
AGAIN = {"table"}  # the coefficients again, with their digits


def assert_same_fit(there, here, *, ordered=True, rtol=1e-10):
    """Compare every statistic of two fits but how they were reached; without an order of rows there is no Durbin-Watson."""
    one, other = ({k: v for k, v in fit.as_dict().items() if k not in OTHERWISE | AGAIN} for fit in (here, there))
    if not ordered:
        assert np.isnan(other.pop("durbin_watson"))
        assert not np.isnan(one.pop("durbin_watson"))
    # Covariances and p-values of very different sizes: relative to what they are made of.
    errors = here.standard_errors
    size = np.outer(errors, errors)
    assert_close(there.cov_params() / size, here.cov_params() / size, rtol=rtol, atol=rtol)
    one.pop("cov_params"), other.pop("cov_params")
    if one["condition_number"] > 1e14:  # no double has such a number's digits
        assert other.pop("condition_number") > 1e14
        one.pop("condition_number")
    one, other = flat(one), flat(other)
    assert one.keys() == other.keys()
    unit = dict(zip(here.design.names, np.abs(errors), strict=True))
    for path, value in one.items():
        if isinstance(value, float):
            coefficient = path.split("\n")[2] if path.count("\n") > 1 else ""
            tolerance = rtol * unit[coefficient] if path.startswith(("\nparams", "\nconf_int")) else rtol
            assert_close(other[path], value, rtol=rtol, atol=0.0 if np.isnan(tolerance) else tolerance)
        else:
            assert other[path] == value, path


def flat(value, path=""):
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in flat(inner, f"{path}\n{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for i, inner in enumerate(value) for k, v in flat(inner, f"{path}\n{i}").items()}
    return {path: value}


@contextmanager
def running(words, **options):
    """Run a process whose output goes into pipes. At the end it is killed, its pipes are closed and its end is waited for."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def random_cases(all_of_them: int) -> int:
    """Return how many random cases a test runs: a fifth, all in CI and `make test-all`, or SQUARELY_DIFFERENTIAL_CASES."""
    cases = os.environ.get("SQUARELY_DIFFERENTIAL_CASES")
    if cases is not None:
        return int(cases)
    return all_of_them if os.environ.get("HYPOTHESIS_PROFILE") == "ci" else all_of_them // 5


def without_thread_limits() -> dict[str, str]:
    """Return an environment in which a process has as many threads as it likes; tests/conftest.py sets one."""
    return {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}


def need(module: str) -> ModuleType:
    """Import a package that a user may lack: skip with the reason, or fail where everything is required."""
    try:
        return importlib.import_module(module)
    except ImportError:
        if os.environ.get("SQUARELY_REQUIRE_ALL") == "1":
            raise
        pytest.skip(f"needs {module}")


def hand_over(form: str, data: dict, folder: Path) -> object:
    """Hand columns over in one of FORMS: the same table as a file, a frame, a query or arrays."""
    table = pa.table({name: pa.array(values) if not isinstance(values, pa.Array) else values for name, values in data.items()})
    if form == "dict":
        return data
    if form in ("pandas", "arrow"):
        return table if form == "arrow" else table.to_pandas()
    if form.startswith("polars"):
        frame = need("polars").from_arrow(table)
        return frame.lazy() if form == "polars lazy" else frame
    if form == "duckdb":
        connection = duckdb.connect()
        connection.register("held", table)
        return connection.sql("SELECT * FROM held")
    return _file(form, table, folder / f"data.{form}")


def _file(suffix: str, table: pa.Table, path: Path) -> Path:
    if suffix == "parquet":
        pyarrow.parquet.write_table(table, path, row_group_size=300)
    elif suffix == "feather":
        pyarrow.feather.write_feather(table, str(path))
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps(row, default=float) + "\n" for row in table.to_pylist()))
    else:
        columns = [["" if v is None else str(v) for v in column.to_pylist()] for column in table.columns]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([table.column_names, *zip(*columns, strict=True)])
    return path


def nist(name: str) -> dict:
    """Load a NIST StRD set: data as published, certified values, exact rational solution."""
    return json.loads((NIST / f"{name}.json").read_text())


def nist_columns(problem: dict) -> tuple[str, dict[str, np.ndarray]]:
    """Give the formula and the columns of a NIST set, powers formed in double."""
    columns = {name: np.array(x, float) for name, x in zip(problem["predictor_names"], problem["predictors"], strict=True)}
    for k in range(2, (problem["polynomial_degree"] or 1) + 1):
        columns[f"x{k}"] = columns["x"] ** k
    formula = "y ~ " + " + ".join(columns) + ("" if problem["intercept"] else " - 1")
    return formula, {**columns, "y": np.array(problem["response"], float)}


def digits(actual: object, truth: object) -> np.ndarray:
    """Count correct digits, NIST's LRE: -log10 of the relative error, at most 15."""
    a, t = np.asarray(actual, float), np.asarray(truth, float)
    return np.minimum(15.0, -np.log10(np.maximum(np.abs(a - t) / np.abs(t), 1e-16)))


def exact_normal_equations(X, y):
    """Solve the normal equations for the stored doubles in rational arithmetic: (X'X)^-1 X'y, (X'X)^-1 and y'y - b'X'y."""
    return exact_normal_equations_of(np.asarray(X).tolist(), y)


def exact_normal_equations_of(X, y):
    """Solve them for rows X of fractions: in whole numbers, each column times the denominator that all its values share."""
    columns = [[Fraction(v) for v in column] for column in (*zip(*X, strict=True), np.asarray(y).tolist())]
    *units, unit = [math.lcm(*(v.denominator for v in column)) for column in columns]
    whole = [[int(v * u) for v in column] for column, u in zip(columns, (*units, unit), strict=True)]
    G = [[sum(map(operator.mul, a, b)) for b in whole] for a in whole]
    p = len(units)
    scaled, inverse, determinant = _eliminate(G, p)
    ssr = Fraction(determinant * G[p][p] - sum(map(operator.mul, scaled, G[p])), determinant * unit**2)
    b = [Fraction(x * u, determinant * unit) for x, u in zip(scaled, units, strict=True)]
    return (
        b,
        [
            [Fraction(x * u * v, determinant) for x, v in zip(row, units, strict=True)]
            for row, u in zip(inverse, units, strict=True)
        ],
        ssr,
    )


def _eliminate(G, p):
    """Eliminate without fractions (Bareiss 1968, doi:10.1090/S0025-5718-1968-0226829-0): |A| A^-1 c, |A| A^-1, |A| of [A c] = G."""
    rows, last = [[*G[i][: p + 1], *(int(i == j) for j in range(p))] for i in range(p)], 1
    for k, top in enumerate(rows):
        if top[k] == 0:
            raise ZeroDivisionError("the columns are dependent")
        for i, row in enumerate(rows):
            if i != k:
                rows[i] = [(top[k] * a - row[k] * b) // last for a, b in zip(row, top, strict=True)]
        last = top[k]
    return [row[p] for row in rows], [row[p + 1 :] for row in rows], last


def exact_solution(X, y):
    return np.array([float(x) for x in exact_normal_equations(X, y)[0]])


def exact_standard_errors(X, y):
    _, inverse, ssr = exact_normal_equations(X, y)
    n, p = X.shape
    return np.array([float(ssr * inverse[j][j] / (n - p)) ** 0.5 for j in range(p)])
