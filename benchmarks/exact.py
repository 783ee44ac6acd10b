"""Measure least squares against its targets: `make bench-exact`, or `python benchmarks/exact.py E1 E3`.

Each answer is checked before it is timed. Times are medians of five, or three if a run is long, in turns with the peers in
one process; peak memory is that of a fresh process. Machines differ and are noisy: compare the ratios.
"""

import argparse
import functools
import itertools
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import polars_ds
import statsmodels.api as sm
from scipy.linalg import cholesky
from statsmodels.formula.api import ols as peer_ols

import squarely as sq
from exact_data import SEED, columns, grouped_file, numbers_file, numbers_folder, text_files, weighted_file
from measure import faster, head, in_turns, machine, memory, peak_megabytes, refused, within

PACKAGES = ["numpy", "scipy", "pandas", "pyarrow", "duckdb", "polars", "statsmodels", "polars-ds"]
WIDTHS, MOST_FOR_AGGREGATES = (10, 30, 100, 300, 1000), 60


def formula(data):
    return "y ~ " + " + ".join(name for name in data if name != "y")


def summary(text, data, **options):
    return str(sq.ols(text, data, **options).summary())


def close(fit, params, bse, rtol=1e-8):
    np.testing.assert_allclose(fit.params, params, rtol=rtol)
    np.testing.assert_allclose(fit.bse, bse, rtol=rtol)


def by_normal_equations(G):
    """Return coefficients and standard errors from the cross-products of [1, X, y]: accurate enough for these columns."""
    b, inverse = np.linalg.solve(G[:-1, :-1], G[:-1, -1]), np.linalg.inv(G[:-1, :-1])
    return b, np.sqrt((G[-1, -1] - b @ G[:-1, -1]) / (G[0, 0] - len(b)) * np.diag(inverse))


def in_memory(name, rows, scale, _):
    """Measure two million rows of ten columns, as arrays and as a frame."""
    arrays = columns(max(int(rows * scale), 1_000), 10)
    frame, polars = pd.DataFrame(arrays), pl.DataFrame(arrays)
    text, names = formula(arrays), list(arrays)[:-1]
    X = sm.add_constant(frame[names])
    peer = peer_ols(text, frame).fit()
    report = polars_ds.lin_reg_report(*names, target="y", add_bias=True)
    theirs = polars.select(report).unnest("y")
    for data in (arrays, frame):
        close(sq.ols(text, data), peer.params, peer.bse)
    np.testing.assert_allclose(theirs["beta"].to_numpy(), np.roll(peer.params, -1), rtol=1e-8)
    took = in_turns(
        {
            "dict": lambda: summary(text, arrays),
            "pandas": lambda: summary(text, frame),
            "statsmodels, formula": lambda: str(peer_ols(text, frame).fit().summary()),
            "statsmodels, X ready": lambda: str(sm.OLS(frame["y"], X).fit().summary()),
            "polars_ds": lambda: polars.select(report).unnest("y"),
            "read": lambda: [values.sum() for values in arrays.values()],
        },
        5,
    )
    for kind in ("dict", "pandas"):
        work = f"{len(frame):,} x 10, {kind}, full summary"
        faster(name, work, took[kind], ("statsmodels by formula", took["statsmodels, formula"]), least=12)
        faster(name, work, took[kind], ("statsmodels, X and constant ready", took["statsmodels, X ready"]))
        faster(name, work, took[kind], ("polars_ds lin_reg_report", took["polars_ds"]), least=1.5)
        within(name, work, took[kind], ("two reads of the arrays", 2 * took["read"]), most=4)


def wide(name, rows, scale, _):
    """Measure fifty thousand rows of 500 columns. (statsmodels' formulas raise a RecursionError there, so it gets arrays.)"""
    arrays = columns(max(int(rows * scale), 2_000), 500)
    text, X, y = formula(arrays), np.column_stack(list(arrays.values())[:-1]), arrays["y"]
    ready = sm.add_constant(X)
    peer = sm.OLS(y, ready).fit()
    close(sq.ols(text, arrays), peer.params, peer.bse, rtol=1e-7)
    took = in_turns(
        {
            "ours": lambda: summary(text, arrays),
            "statsmodels": lambda: str(sm.OLS(y, ready).fit().summary()),
            "X'X": lambda: X.T @ X,
        },
        5,
    )
    work = f"{len(X):,} x 500, dict, full summary"
    faster(name, work, took["ours"], ("statsmodels, X and constant ready", took["statsmodels"]), least=8)
    within(name, work, took["ours"], ("one X'X", took["X'X"]), most=3)


def scan(path, expressions):
    """Return aggregates that DuckDB computes over all rows of a file, or of a folder of files, with all threads."""
    with duckdb.connect() as connection:
        rows = connection.read_parquet(f"{path}/*.parquet" if path.is_dir() else str(path))
        return rows.aggregate(", ".join(expressions)).fetchall()[0]


def products(p):
    """Return the aggregates of the cross-products of [1, X, y], upper triangle."""
    names = ["1.0", *(f"x{j}" for j in range(1, p + 1)), "y"]
    return [f"sum({a} * {b})" for i, a in enumerate(names) for b in names[i:]]


def cross_products(path, p):
    G = np.zeros((p + 2, p + 2))
    G[np.triu_indices(p + 2)] = scan(path, products(p))
    return np.triu(G) + np.triu(G, 1).T


def sums(p):
    return [f"sum({name})" for name in (*(f"x{j}" for j in range(1, p + 1)), "y")]


def on_disk(name, path, n, repeats, kind="Parquet"):
    """Measure rows of nine doubles in Parquet files."""
    text = formula([*(f"x{j}" for j in range(1, 9)), "y"])
    close(sq.ols(text, path), *by_normal_equations(cross_products(path, 8)))
    took = in_turns(
        {
            "ours": lambda: summary(text, path),
            "sums": lambda: scan(path, sums(8)),
            "products": lambda: scan(path, products(8)),
        },
        repeats,
    )
    work = f"{n:,} x 9 doubles, {'folder of 5 Parquet files' if path.is_dir() else kind}, full summary"
    within(name, work, took["ours"], ("two DuckDB scans that sum", 2 * took["sums"]), most=2.5)
    within(name, work, took["ours"], ("one DuckDB aggregate of the cross-products", took["products"]))
    memory(name, work, peak_megabytes(text, path), most=600)


def one_file(name, rows, scale, folder):
    """Measure twenty million rows in one file; then a response without a constant, whose intercept is only noise."""
    n = int(rows * scale)
    on_disk(name, numbers_file(folder, n, 8), n, 5)
    on_disk(name, weighted_file(folder, n, 8), n, 5, "Parquet, row groups of 250,000, no constant in y")


def many_files(name, rows, scale, folder):
    """Measure a hundred million rows in a folder of files."""
    n = int(rows * scale)
    on_disk(name, numbers_folder(folder, n, 8), n, 3)


def growth(name, rows, scale, folder):
    """Measure ten times the rows, then the same number of cells with more and more columns."""
    counts = [int(rows * scale) // part for part in (100, 10, 1)]
    paths = [numbers_file(folder, n, 9) for n in counts]
    text = formula([*(f"x{j}" for j in range(1, 10)), "y"])
    for path in paths:
        close(sq.ols(text, path), *by_normal_equations(cross_products(path, 9)))
    took = in_turns({n: functools.partial(summary, text, path) for n, path in zip(counts, paths, strict=True)}, 3)
    for few, many in itertools.pairwise(counts):
        within(name, f"{many:,} x 9, Parquet", took[many], (f"{few:,} rows", took[few]), least=8, most=12)
    for p in WIDTHS:
        of_width(name, p, max(int(3 * rows * scale) // p, 2 * p))


def of_width(name, p, n):
    """Measure p columns in memory; then, for engines with both folds, the fold that `ols` chooses."""
    arrays = columns(n, p)
    text, X = formula(arrays), np.column_stack(list(arrays.values())[:-1])
    Z = np.column_stack([np.ones(n), X, arrays["y"]])
    expected = by_normal_equations(Z.T @ Z)
    close(sq.ols(text, arrays), *expected, rtol=1e-7)
    took = in_turns({"ours": lambda: summary(text, arrays), "X'X": lambda: X.T @ X}, 3)
    within(name, f"{n:,} x {p}, dict", took["ours"], ("one X'X", took["X'X"]))
    if p > MOST_FOR_AGGREGATES:
        return
    frame = pl.DataFrame(arrays)
    with duckdb.connect() as connection:
        connection.register("frame", frame.to_arrow())
        connection.execute("CREATE TABLE rows AS SELECT * FROM frame")
        for engine, data in {"Polars LazyFrame": frame.lazy(), "DuckDB relation": connection.table("rows")}.items():
            folds(name, f"{n:,} x {p}, {engine}", text, data, expected)


def folds(name, work, text, data, expected):
    """Measure the chosen fold against the better of the two."""
    try:
        for fold in ("auto", "batches", "aggregates"):
            close(sq.ols(text, data, fold=fold), *expected, rtol=1e-7)
    except (TypeError, sq.errors.SquarelyError) as error:
        refused(name, work, f"fold= is not available: {error}")
        return
    took = in_turns({fold: functools.partial(summary, text, data, fold=fold) for fold in ("auto", "batches", "aggregates")}, 3)
    better = min(("batches", "aggregates"), key=took.get)
    within(name, work, took["auto"], (f"the better fold, {better}", took[better]), most=1.3)
    within(name, work, took["aggregates"], ("batches", took["batches"]))


def many_levels(name, rows, scale, folder):
    """Measure one column of ten thousand levels."""
    n, levels = int(rows * scale), max(int(10_000 * scale), 20)
    path, text = grouped_file(folder, n, levels), "y ~ g + x"
    work = f"{n:,} rows, {levels:,} levels, Parquet, full summary"
    slope, error = within_levels(path, levels)
    fit = sq.ols(text, path)
    assert len(fit.params) == levels + 1
    np.testing.assert_allclose([fit.params["x"], fit.bse["x"]], [slope, error], rtol=1e-8)
    rng = np.random.default_rng(SEED)
    A = rng.normal(size=(levels, levels))
    A = A + A.T + 10 * levels * np.eye(levels)
    took = in_turns(
        {
            "ours": lambda: summary(text, path),
            "scan": lambda: scan(path, ["sum(length(g))", "sum(x)", "sum(y)"]),
            "cholesky": lambda: cholesky(A, lower=False, check_finite=False),
        },
        3,
    )
    allowed = 3 * took["cholesky"] + 2 * took["scan"]
    within(name, work, took["ours"], (f"three dense Cholesky of {levels:,} and two DuckDB scans", allowed), most=1)
    memory(name, work, peak_megabytes(text, path), most=2_500)


def within_levels(path, levels):
    """Return the slope and its standard error, from sums within each level."""
    each = "count(*) n, avg(x) mx, avg(y) my, var_pop(x) vx, var_pop(y) vy, covar_pop(x, y) c"
    with duckdb.connect() as connection:
        groups = connection.read_parquet(str(path)).aggregate(f"g, {each}", "g").df()
    assert len(groups) == levels
    sxx, sxy, syy = ((groups["n"] * groups[name]).sum() for name in ("vx", "c", "vy"))
    return sxy / sxx, np.sqrt((syy - sxy**2 / sxx) / (groups["n"].sum() - levels - 1) / sxx)


def parse_once(name, rows, scale, folder):
    """Measure files of text against one DuckDB scan, which sums each column of numbers and counts the values of each text."""
    n = int(rows * scale)
    for path, kind in text_files(folder, n).items():
        reader = "read_json" if path.suffix == ".jsonl" else "read_csv"
        query = f"SELECT {', '.join([*sums(8), 'count(DISTINCT g)'])} FROM {reader}('{path}')"  # noqa: S608  # a path of this script
        text = f"y ~ {' + '.join(f'x{j}' for j in range(1, 9))} + g"
        with duckdb.connect() as connection:
            works = {
                "ours": functools.partial(summary, text, path),
                "scan": functools.partial(lambda connection, query: connection.sql(query).fetchall(), connection, query),
            }
            took = in_turns(works, 5)
        work = f"{n:,} rows of nine numbers and a text in {kind}, full summary"
        within(name, work, took["ours"], ("one DuckDB scan", took["scan"]), most=1.6)
        memory(name, work, peak_megabytes(text, path), most=2_000)


WORK = {
    "E1": (in_memory, 2_000_000),
    "E2": (wide, 50_000),
    "E3": (one_file, 20_000_000),
    "E4": (many_files, 100_000_000),
    "E5": (growth, 20_000_000),
    "E6": (many_levels, 5_000_000),
    "E10": (parse_once, 5_000_000),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", metavar="E1 ... E10", help="which to run; the default is all")
    parser.add_argument("--quick", action="store_true", help="use a hundredth of the rows: shows that it runs")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the rows by this")
    parser.add_argument("--data", type=Path, help="folder in which the data files are written once, about 12 GB in total")
    options = parser.parse_args()
    if unknown := set(options.which) - set(WORK):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(WORK)}")
    scale = 0.01 if options.quick else options.scale
    print(f"{machine(PACKAGES, SEED)}, squarely {sq.__version__}; rows x {scale:g}\n")
    head()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.data or Path(temporary)
        for name in options.which or WORK:
            work, rows = WORK[name]
            try:
                work(name, rows, scale, folder)
            except sq.errors.SquarelyError as refusal:
                refused(name, work.__doc__.split(".")[0], refusal)


if __name__ == "__main__":
    main()
