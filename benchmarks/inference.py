"""Measure standard errors against statsmodels, and fixed effects against pyfixest.

`make bench-inference`, or `python benchmarks/inference.py I1 I3`.

Each answer is checked before it is timed. Times are medians of five in seconds of processor time, of all threads, in turns in one
process: the fit and its standard errors, from arrays in memory unless a row says otherwise. Compare the ratios.
"""

import argparse
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm

import squarely as sq
from exact_data import SEED, columns
from measure import faster, head, in_turns, machine, within

PACKAGES = ["numpy", "scipy", "pandas", "pyarrow", "statsmodels"]
ROWS, WIDTH, ROWS_PER_CLUSTER = 1_000_000, 10, 50
EFFECT_ROWS = 10_000_000


class Work:
    """One table of rows, fitted here and by statsmodels."""

    def __init__(self, n, folder):
        self.data = columns(n, WIDTH)
        self.data["group"] = np.random.default_rng(SEED).integers(0, max(n // ROWS_PER_CLUSTER, 2), n)
        self.names = [f"x{j}" for j in range(1, WIDTH + 1)]
        self.X = np.column_stack([np.ones(n), *(self.data[name] for name in self.names)])
        self.file = Path(folder) / "rows.parquet"
        pd.DataFrame(self.data).to_parquet(self.file)
        self.rows = f"{n:,} x {WIDTH}"

    def ours(self, data=None, **options):
        return sq.ols(f"y ~ {' + '.join(self.names)}", self.data if data is None else data, **options)

    def theirs(self, **options):
        return sm.OLS(self.data["y"], self.X).fit(**options)

    def checked(self, options, peer):
        """Check that standard errors agree with those of statsmodels, and return both as works to time."""
        np.testing.assert_allclose(self.ours(**options).bse, self.theirs(**peer).bse, rtol=1e-8)
        return lambda: self.ours(**options).bse, lambda: self.theirs(**peer).bse


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


def clusters(name, work):
    """Standard errors by clusters of one column."""
    peer = {"cov_type": "cluster", "cov_kwds": {"groups": work.data["group"]}}
    ours, theirs = work.checked({"cluster": "group"}, peer)
    took = _in_turns({"ours": ours, "theirs": theirs, "CR2": lambda: work.ours(vcov="CR2", cluster="group").bse})
    text = f"{work.rows}, {len(np.unique(work.data['group'])):,} clusters"
    faster(name, f"{text}, CR1", took["ours"], ("statsmodels", took["theirs"]), least=2.5)
    within(name, f"{text}, CR2", took["CR2"], ("CR1", took["ours"]), most=6)


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


def _in_turns(works):
    return in_turns(works, 5, clock=time.process_time)


WORK = {"I1": hc3, "I2": clusters, "I3": serial_correlation, "I4": fixed_effects}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", metavar="I1 I2 I3 I4", help="which to run; the default is all")
    parser.add_argument("--quick", action="store_true", help="use a hundredth of the rows: shows that it runs")
    options = parser.parse_args()
    if unknown := set(options.which) - set(WORK):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(WORK)}")
    n = ROWS // 100 if options.quick else ROWS
    print(f"{machine(PACKAGES, SEED)}, squarely {sq.__version__}\n")
    head()
    with tempfile.TemporaryDirectory() as folder:
        work = Work(n, folder)
        for name in options.which or WORK:
            WORK[name](name, work)


if __name__ == "__main__":
    main()
