"""Measure formulas and tables against statsmodels: part of `make bench`. Each answer is checked before it is timed.

Times are medians of three in one process. Machines differ and are noisy: compare the ratios to the peer in the same run.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.formula.api import ols as peer_ols

import squarely as sq
from measure import median_seconds

SEED, REPEATS, ROWS = 0, 3, 500_000
FORMULAS = [
    "y ~ x0 + x1 + x2 + x3 + x4 + x5",
    "y ~ C(k) * x0 + g",
    "y ~ x0 + I(x0**2) + x1:x2",
    "y ~ bs(x0, df=5) + x1",
    "y ~ np.log(w) + g:x1",
    "y ~ C(many)",
]


def table():
    rng = np.random.default_rng(SEED)
    frame = pd.DataFrame({f"x{i}": rng.normal(size=ROWS) for i in range(6)})
    frame["w"] = rng.uniform(1, 9, ROWS)
    frame["g"], frame["k"] = rng.choice(list("abcde"), ROWS), rng.integers(0, 4, ROWS)
    frame["many"] = rng.integers(0, 50, ROWS)
    frame["y"] = frame.x0 + (frame.g == "c") + rng.normal(size=ROWS)
    return frame


def main():
    frame = table()
    print(f"\n{ROWS:,} rows, summary included, seed {SEED}\n")
    print("| formula | squarely | statsmodels | statsmodels / squarely |\n|---|---|---|---|")
    for formula in FORMULAS:
        fit, peer = sq.ols(formula, frame), peer_ols(formula, frame).fit()
        assert list(fit.params.index) == list(peer.params.index)
        np.testing.assert_allclose(fit.params, peer.params, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(fit.bse, peer.bse, rtol=1e-8)
        ours = median_seconds(lambda formula=formula: str(sq.ols(formula, frame).summary()), REPEATS)
        theirs = median_seconds(lambda formula=formula: str(peer_ols(formula, frame).fit().summary()), REPEATS)
        print(f"| `{formula}` | {ours * 1e3:,.0f} ms | {theirs * 1e3:,.0f} ms | {theirs / ours:.2f} x |", flush=True)
    measure_tables(frame)


def measure_tables(frame):
    """Measure one formula on files and frames, and compare with the pandas frame."""
    import duckdb
    import polars as pl

    formula = FORMULAS[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame.to_csv(folder / "t.csv", index=False)
        frame.to_parquet(folder / "t.parquet")
        frame.to_json(folder / "t.jsonl", orient="records", lines=True, double_precision=15)
        tables = {
            "pandas": frame,
            "Polars": pl.from_pandas(frame),
            "Polars, lazy, Parquet": pl.scan_parquet(folder / "t.parquet"),
            "DuckDB relation, Parquet": duckdb.read_parquet(str(folder / "t.parquet")),
            "Parquet": folder / "t.parquet",
            "CSV": folder / "t.csv",
            "JSON lines": folder / "t.jsonl",
        }
        expected = sq.ols(formula, frame).params
        print(f"\n| `{formula}` from | seconds | against pandas |\n|---|---|---|")
        first = None
        for label, data in tables.items():
            np.testing.assert_allclose(sq.ols(formula, data).params, expected, rtol=1e-9)
            seconds = median_seconds(lambda data=data: str(sq.ols(formula, data).summary()), REPEATS)
            first = first or seconds
            print(f"| {label} | {seconds:.2f} s | {seconds / first:.1f} x |", flush=True)


if __name__ == "__main__":
    main()
