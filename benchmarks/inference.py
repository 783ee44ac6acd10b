"""Measure standard errors against statsmodels, and fixed effects against pyfixest.

`make bench-inference`, or `python benchmarks/inference.py I1 I3`.

Each answer is checked before it is timed. Times are medians of five in seconds of processor time, of all threads, in turns in one
process: the fit and its standard errors, from arrays in memory unless a row says otherwise. Compare the ratios. pyfixest takes part
if it is installed. I5 and I6 read Parquet files of 2,000,000 rows, or of as many as `--rows` says: the targets are for 20,000,000.
"""

import argparse
import importlib.util
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
from statsmodels.regression.rolling import RollingOLS
from statsmodels.stats import diagnostic

import squarely as sq
from exact_data import SEED, columns, written
from measure import added_megabytes, faster, head, in_turns, machine, memory, refused, within
from squarely.exact.residuals import ResidualScan, scan_all_residuals

PACKAGES = ["numpy", "scipy", "pandas", "pyarrow", "statsmodels"]
ROWS, WIDTH, ROWS_PER_CLUSTER = 1_000_000, 10, 50
EFFECT_ROWS = 10_000_000
FILE_ROWS, MOST_MEGABYTES = 2_000_000, 1_500
NAMES = [f"x{j}" for j in range(1, WIDTH + 1)]
FORMULA = f"y ~ {' + '.join(NAMES)}"


class Work:
    """One table of rows, fitted here and by statsmodels."""

    def __init__(self, n, folder, file_rows):
        self.data = columns(n, WIDTH)
        self.data["group"] = np.random.default_rng(SEED).integers(0, max(n // ROWS_PER_CLUSTER, 2), n)
        self.data["other"] = np.random.default_rng([SEED, 1]).integers(0, 1_000, n)
        self.X = np.column_stack([np.ones(n), *(self.data[name] for name in NAMES)])
        self.folder, self.file, self.file_rows = Path(folder), Path(folder) / "rows.parquet", file_rows
        pd.DataFrame(self.data).to_parquet(self.file)
        self.rows, self.group_rows = f"{n:,} x {WIDTH}", 10 * n

    def ours(self, data=None, **options):
        return sq.ols(FORMULA, self.data if data is None else data, **options)

    def theirs(self, **options):
        return sm.OLS(self.data["y"], self.X).fit(**options)

    def checked(self, options, peer):
        """Check that standard errors agree with those of statsmodels, and return both as works to time."""
        np.testing.assert_allclose(self.ours(**options).bse, self.theirs(**peer).bse, rtol=1e-8)
        return lambda: self.ours(**options).bse, lambda: self.theirs(**peer).bse

    def pyfixest(self, name, ours, vcov, **options):
        """Print a row: how many times as fast as pyfixest `ours` is."""
        if importlib.util.find_spec("pyfixest") is None:
            refused(name, f"pyfixest, {vcov}", "pyfixest is not installed")
            return
        import pyfixest

        frame = pd.DataFrame(self.data).assign(time=np.arange(len(self.data["y"])))
        took = _in_turns({"ours": ours, "theirs": lambda: pyfixest.feols(FORMULA, frame, vcov=vcov, **options).se()})
        faster(
            name,
            f"{self.rows}, {vcov}",
            took["ours"],
            (f"pyfixest {pyfixest.__version__}", took["theirs"]),
            least=3 if vcov == "HC3" else 2.5,
        )

    def large_file(self, n):
        """Write a file of n rows and return its path; `customer` has 0.43 n labels, and `name` the same as text."""

        def make(rows, seed):
            data = columns(rows, WIDTH, seed)
            data["customer"] = np.random.default_rng([SEED, seed]).integers(0, n // 2, rows)
            data["name"] = np.char.add("customer ", data["customer"].astype(str))
            return data

        return written(self.folder / f"{n}.parquet", n, make)


def hc3(name, work):
    """HC3."""
    ours, theirs = work.checked({"vcov": "HC3"}, {"cov_type": "HC3"})
    took = _in_turns(
        {
            "ols": work.ours,
            "ours": ours,
            "theirs": theirs,
            "file, ols": lambda: work.ours(work.file),
            "file": lambda: work.ours(work.file, vcov="HC3"),
        }
    )
    within(name, f"{work.rows}, HC3", took["ours"], ("ols()", took["ols"]), most=3.5)
    within(name, f"{work.rows}, HC3, Parquet", took["file"], ("ols()", took["file, ols"]), most=2.2)
    faster(name, f"{work.rows}, HC3", took["ours"], ("statsmodels HC3", took["theirs"]), least=3)
    work.pyfixest(name, ours, "HC3")


def clusters(name, work):
    """Standard errors by clusters of one column."""
    peer = {"cov_type": "cluster", "cov_kwds": {"groups": work.data["group"]}}
    ours, theirs = work.checked({"cluster": "group"}, peer)
    took = _in_turns({"ours": ours, "theirs": theirs, "CR2": lambda: work.ours(vcov="CR2", cluster="group").bse})
    text = f"{work.rows}, {len(np.unique(work.data['group'])):,} clusters"
    faster(name, f"{text}, CR1", took["ours"], ("statsmodels", took["theirs"]), least=2.5)
    within(name, f"{text}, CR2", took["CR2"], ("CR1", took["ours"]), most=6)
    work.pyfixest(name, ours, {"CRV1": "group"})
    two_way = {"cluster": ["group", "other"], "correction": "min"}
    work.pyfixest(name, lambda: work.ours(**two_way).bse, {"CRV1": "group + other"})


def serial_correlation(name, work):
    """HAC, and Driscoll-Kraay."""
    ours, theirs = work.checked(
        {"vcov": "HAC", "lags": 20}, {"cov_type": "HAC", "cov_kwds": {"maxlags": 20, "use_correction": True}}
    )
    took = _in_turns(
        {
            "20": ours,
            "theirs": theirs,
            "200": lambda: work.ours(vcov="HAC", lags=200).bse,
            "automatic": lambda: work.ours(vcov="HAC").bse,
            "DK": lambda: work.ours(vcov="DK", time="group", lags=20).bse,
        }
    )
    faster(name, f"{work.rows}, HAC, 20 lags", took["20"], ("statsmodels HAC, 20 lags", took["theirs"]), least=4)
    within(name, f"{work.rows}, HAC, 200 lags", took["200"], ("HAC, 20 lags", took["20"]), most=1.2)
    within(name, f"{work.rows}, HAC, automatic lag", took["automatic"], ("HAC, 20 lags", took["20"]))
    within(name, f"{work.rows}, Driscoll-Kraay, 20 lags", took["DK"], ("HAC, 20 lags", took["20"]))


def diagnostics(name, work):
    """All diagnostics, against the five calls of statsmodels."""
    fit, peer = work.ours(precision="double"), work.theirs()

    def theirs():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # statsmodels announces named results
            tests = [function(peer.resid, work.X) for function in (diagnostic.het_breuschpagan, diagnostic.het_white)]
            tests += [diagnostic.acorr_breusch_godfrey(peer), diagnostic.linear_reset(peer, use_f=True)]
            return [*(test[0] for test in tests[:3]), tests[3].fvalue, diagnostic.acorr_ljungbox(peer.resid).iloc[-1, 0]]

    names = ["Breusch-Pagan", "White", "Breusch-Godfrey", "RESET", "Ljung-Box"]
    np.testing.assert_allclose([fit.diagnostics()[each].statistic for each in names], theirs(), rtol=1e-6)
    took = _in_turns(
        {
            "ols": lambda: work.ours(precision="double"),
            "ours": fit.diagnostics,
            "without": lambda: fit.diagnostics(white=False),
            "theirs": theirs,
            "order": lambda: fit.het_goldfeldquandt(order_by="x1"),
        }
    )
    base = ("ols() in double", took["ols"])
    within(name, f"{work.rows}, diagnostics", took["ours"], base, most=20)
    within(name, f"{work.rows}, diagnostics without White", took["without"], base, most=6)
    within(name, f"{work.rows}, Goldfeld-Quandt by a column", took["order"], base)
    faster(name, f"{work.rows}, diagnostics", took["ours"], ("five tests of statsmodels", took["theirs"]), least=8)


def fixed_effects(name, work):
    """Two fixed effects of many levels, against pyfixest where it is installed."""
    n = EFFECT_ROWS * len(work.data["y"]) // ROWS
    levels, rng = max(n // 100, 10), np.random.default_rng(SEED)
    firm, year = rng.integers(0, levels, (2, n))
    x, z = rng.normal(size=n) + firm / levels, rng.normal(size=n) + year / levels
    y = x - 2 * z + np.sin(firm) + np.cos(year) + rng.normal(size=n)
    data = pd.DataFrame({"y": y, "x": x, "z": z, "firm": firm, "year": year})
    formula, text = "y ~ x + z | firm + year", f"{n:,} x 2, two effects of {levels:,} levels"
    works = {"ours": lambda: sq.ols(formula, data)}
    if find_spec("pyfixest"):
        import pyfixest

        works["theirs"] = lambda: pyfixest.feols(formula, data, vcov="iid", fixef_rm="none")
        fit, peer = works["ours"](), works["theirs"]()
        np.testing.assert_allclose([fit.params, fit.bse], [peer.coef(), peer.se()], rtol=1e-8)
    took = in_turns(works, 3, clock=time.process_time)
    if "theirs" in took:
        faster(name, text, took["ours"], ("pyfixest", took["theirs"]), least=1)
    else:
        print(f"{name}: {text}: {took['ours']:.2f} s; pyfixest is not installed")


def small(name, work):
    """Small fits, where the fixed cost of a fit rules."""
    for n in (size for size in (1_000, 10_000, 100_000) if size <= len(work.X)):
        data = {key: values[:n] for key, values in work.data.items()}
        frame, X = pd.DataFrame(data), work.X[:n]
        np.testing.assert_allclose(sq.ols(FORMULA, data, vcov="HC3").bse, sm.OLS(data["y"], X).fit(cov_type="HC3").bse, rtol=1e-8)
        works = {
            "arrays": lambda data=data: sq.ols(FORMULA, data, vcov="HC3").bse,
            "frame": lambda frame=frame: sq.ols(FORMULA, frame, vcov="HC3").bse,
            "theirs": lambda data=data, X=X: sm.OLS(data["y"], X).fit(cov_type="HC3").bse,
            "their formula": lambda frame=frame: smf.ols(FORMULA, frame).fit(cov_type="HC3").bse,
        }
        took = _in_turns(works)
        faster(name, f"{n:,} x {WIDTH}, HC3, arrays", took["arrays"], ("statsmodels, arrays", took["theirs"]))
        faster(name, f"{n:,} x {WIDTH}, HC3, formula and frame", took["frame"], ("statsmodels, formula", took["their formula"]))


def many_clusters(name, work):
    """Clusters of two rows on average, from a file: memory, and the numbers of one query of DuckDB."""
    n = work.file_rows
    file = work.large_file(n)
    for group, kind in (("customer", "integers"), ("name", "text")):
        fit = sq.ols(FORMULA, file, cluster=group)
        np.testing.assert_allclose(fit.bse, bse_of_duckdb(file, group, fit.params.to_numpy()), rtol=1e-8)
        text = f"{n:,} x {WIDTH}, Parquet, {fit.cov_kwds['groups'][group]:,} clusters, {kind}"
        memory(name, f"{text}, over the process before", added_megabytes(FORMULA, file, cluster=group), most=MOST_MEGABYTES)
        took = in_turns(
            {"ols": lambda: sq.ols(FORMULA, file), "ours": lambda group=group: sq.ols(FORMULA, file, cluster=group)},
            1,
            clock=time.process_time,
        )
        within(name, text, took["ours"], ("ols()", took["ols"]))


def bse_of_duckdb(file, group, b):
    """Return the standard errors CR1 of coefficients b: cross-products and sums by cluster in SQL."""
    q, columns_of_x = len(b), ["1.0", *NAMES]
    residual = "y - (" + " + ".join(f"{value!r} * {x}" for value, x in zip(b.tolist(), columns_of_x, strict=True)) + ")"
    pairs = [(i, j) for i in range(q) for j in range(i + 1)]
    products = ", ".join(f"sum({columns_of_x[i]} * {columns_of_x[j]})" for i, j in pairs)
    scores = ", ".join(f"sum({x} * ({residual})) AS s{i}" for i, x in enumerate(columns_of_x))
    squares = ", ".join(f"sum(s{i} * s{j})" for i, j in pairs)
    with duckdb.connect() as connection:
        XX = connection.execute(f"SELECT {products}, count(*) FROM '{file}'").fetchone()  # noqa: S608
        of_clusters = f"(SELECT {scores} FROM '{file}' GROUP BY {group})"  # noqa: S608
        meat = connection.execute(f"SELECT {squares}, count(*) FROM {of_clusters}").fetchone()  # noqa: S608
    (*XX, n), (*meat, G) = XX, meat
    A, M = np.zeros((q, q)), np.zeros((q, q))
    for (i, j), a, m in zip(pairs, XX, meat, strict=True):
        A[i, j] = A[j, i] = a
        M[i, j] = M[j, i] = m
    bread = np.linalg.inv(A)
    return np.sqrt(np.diag(bread @ M @ bread) * G / (G - 1) * (n - 1) / (n - q))


def hc3_of_a_file(name, work):
    """HC3 from a file: one scan more, in the memory of a batch."""
    n = work.file_rows
    files = {rows: work.large_file(rows) for rows in (n // 4, n)}
    fit, robust = sq.ols(FORMULA, files[n]), sq.ols(FORMULA, files[n], vcov="HC3")
    assert robust.solution.scans == fit.solution.scans
    solution = fit.solution
    scan = ResidualScan(moments=solution.moments, columns=solution.factor.columns, b=solution.scaled_params, extended=False)
    took = in_turns(
        {
            "ols": lambda: sq.ols(FORMULA, files[n]),
            "HC3": lambda: sq.ols(FORMULA, files[n], vcov="HC3"),
            "scan": lambda: fit.vcov("HC3"),
            "residuals": lambda: scan_all_residuals([scan], fit.source),
        },
        3,
        clock=time.process_time,
    )
    text = f"{n:,} x {WIDTH}, Parquet"
    within(name, f"{text}, HC3", took["HC3"], ("ols()", took["ols"]), most=2.2)
    within(name, f"{text}, the scan of HC3", took["scan"], ("the scan of the residuals", took["residuals"]), most=1.8)
    few, many = (added_megabytes(FORMULA, file, vcov="HC3") for file in files.values())
    memory(name, f"{text}, HC3, over the process before, against {few:,.0f} MB for {n // 4:,} rows", many, most=1.2 * few)


def groups(name, work):
    """A fit of each of 100,000 groups of 100 rows, against statsmodels on a sample of the groups."""
    n = work.group_rows
    sample, rng = min(500, n // 100), np.random.default_rng(SEED)
    data = pd.DataFrame({"g": np.repeat(np.arange(n // 100), 100), **{f"x{j}": rng.normal(size=n) for j in range(1, 4)}})
    data["y"] = data["x1"] * (data["g"] % 7) - data["x2"] + rng.normal(size=n)
    few = data[data["g"] < sample]

    def loop():
        arrays = ((part["y"].to_numpy(), part[["x1", "x2", "x3"]].to_numpy()) for _, part in few.groupby("g"))
        fits = [sm.OLS(y, sm.add_constant(X)).fit() for y, X in arrays]
        return np.array([[fit.params, fit.bse, fit.tvalues, fit.pvalues] for fit in fits])

    def ours(vcov="nonrobust"):
        return sq.ols("y ~ x1 + x2 + x3", data, by="g", vcov=vcov).frame()

    estimates = ours()[["estimate", "std_err"]].to_numpy()[: 4 * sample].reshape(sample, 4, 2)
    np.testing.assert_allclose(estimates, loop()[:, :2].transpose(0, 2, 1), rtol=1e-8)
    took = _in_turns({"ours": ours, "HC3": lambda: ours("HC3"), "theirs": loop})
    text = f"{n // 100:,} groups of 100 rows x 3"
    faster(name, text, took["ours"], (f"statsmodels, from {sample}", took["theirs"] * n / 100 / sample), least=50)
    within(name, f"{text}, HC3", took["HC3"], ("classical", took["ours"]))


def windows(name, work):
    """Rolling windows of 250 rows, against statsmodels."""
    n, window = work.group_rows // 100, 250
    rng = np.random.default_rng(SEED)
    data = pd.DataFrame({f"x{j}": rng.normal(size=n) for j in range(1, 4)})
    data["y"] = data["x1"] - data["x2"] + rng.normal(size=n)
    X = sm.add_constant(data[["x1", "x2", "x3"]])

    def ours():
        return sq.rolling("y ~ x1 + x2 + x3", data, window=window).params

    def theirs():
        return RollingOLS(data["y"], X, window=window).fit().params.iloc[window - 1 :]

    np.testing.assert_allclose(ours(), theirs(), rtol=1e-8, atol=1e-8)
    took = _in_turns({"ours": ours, "theirs": theirs})
    faster(name, f"{n:,} x 3, windows of {window}", took["ours"], ("statsmodels RollingOLS", took["theirs"]))


def _in_turns(works):
    return in_turns(works, 5, clock=time.process_time)


WORK = {
    "I1": hc3, "I2": clusters, "I3": serial_correlation, "I4": small, "I5": many_clusters, "I6": hc3_of_a_file, "I7": diagnostics,
    "I8": fixed_effects, "I9": groups, "I10": windows,
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", metavar="I1 I2 ... I10", help="which to run; the default is all")
    parser.add_argument(
        "--rows", type=int, default=FILE_ROWS, help="the rows of the files of I5 and I6; 20,000,000 take 3 GB of disk"
    )
    parser.add_argument("--quick", action="store_true", help="use a hundredth of the rows: shows that it runs")
    options = parser.parse_args()
    if unknown := set(options.which) - set(WORK):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(WORK)}")
    n, file_rows = (ROWS // 100, FILE_ROWS // 100) if options.quick else (ROWS, options.rows)
    print(f"{machine(PACKAGES, SEED)}, squarely {sq.__version__}\n")
    head()
    with tempfile.TemporaryDirectory() as folder:
        work = Work(n, folder, file_rows)
        for name in options.which or WORK:
            WORK[name](name, work)


if __name__ == "__main__":
    main()
