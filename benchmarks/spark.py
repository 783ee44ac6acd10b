"""Measure least squares inside Spark: `make bench-spark`, or `python benchmarks/spark.py --quick`.

Spark local[2] reads the rows from a Parquet file. Each answer is checked before it is timed. E7 compares with Spark's own
least squares, which gives coefficients, standard errors and R-squared. "width" compares the two folds; "growth" measures how the
time grows with partitions.
"""

import argparse
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

import squarely as sq
from exact_data import SEED, columns, numbers_file
from measure import faster, head, in_turns, machine, within

PACKAGES = ["numpy", "pyarrow", "pandas", "narwhals", "pyspark"]
ROWS, WIDTH = 20_000_000, 9


def started(cores):
    """Start a local session whose workers run this Python."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(f"local[{cores}]").config("spark.ui.enabled", "false")
    session = builder.config("spark.driver.memory", "6g").config("spark.ui.showConsoleProgress", "false").getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    return session


def formula(names):
    return "y ~ " + " + ".join(names)


def peer(frame, names):
    """Fit with Spark's normal equations; return intercept and slopes, their standard errors, and R-squared."""
    from pyspark.ml.feature import VectorAssembler
    from pyspark.ml.regression import LinearRegression

    rows = VectorAssembler(inputCols=names, outputCol="features").transform(frame)
    model = LinearRegression(solver="normal", labelCol="y", standardization=False).fit(rows)
    summary = model.summary
    return np.array([model.intercept, *model.coefficients]), np.roll(summary.coefficientStandardErrors, 1), summary.r2


def checked(frame, names, fold):
    """Check that a fit agrees with Spark's."""
    params, bse, rsquared = peer(frame, names)
    fit = sq.ols(formula(names), frame, fold=fold)
    np.testing.assert_allclose(fit.params, params, rtol=1e-7)
    np.testing.assert_allclose(fit.bse, bse, rtol=1e-6)
    np.testing.assert_allclose(fit.rsquared, rsquared, rtol=1e-8)


def against_spark(frame, rows, repeats):
    """Measure E7: both folds and "auto" against Spark's own least squares."""
    names = [f"x{j}" for j in range(1, WIDTH + 1)]
    for fold in ("batches", "aggregates"):
        checked(frame, names, fold)
    works = {
        fold: lambda fold=fold: str(sq.ols(formula(names), frame, fold=fold).summary())
        for fold in ("auto", "batches", "aggregates")
    }
    times = in_turns(works | {"peer": lambda: peer(frame, names)}, repeats)
    for fold in works:
        within("E7", f"{rows:,} x {WIDTH}, Parquet, fold={fold!r}", times[fold], ("pyspark.ml", times["peer"]))


def widths(frame, rows, repeats):
    """Measure for which numbers of columns aggregates are faster."""
    for p in (1, 2, 3, 4, 6, 9):
        names = [f"x{j}" for j in range(1, p + 1)]
        works = {
            fold: lambda fold=fold, names=names: sq.ols(formula(names), frame, fold=fold) for fold in ("batches", "aggregates")
        }
        times = in_turns(works, repeats)
        faster("width", f"{rows:,} x {p}: aggregates", times["aggregates"], ("batches", times["batches"]))


def counting(batches):
    """Count the rows of a partition: the minimum that a Python function costs there."""
    import pyarrow as pa

    yield pa.record_batch({"n": [sum(batch.num_rows for batch in batches)]})


def growth(session, rows, repeats):
    """Measure how the time grows with the number of partitions, and the minimum that their tasks cost; the rows are in memory."""
    names = [f"x{j}" for j in range(1, WIDTH + 1)]
    data = columns(rows, WIDTH)
    fit = sq.ols(formula(names), data)
    frames, works = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        path = str(numbers_file(Path(folder), rows, WIDTH))
        for parts in (2, 8, 64, 512):
            frames[parts] = session.read.parquet(path).repartition(parts).cache()
            there = sq.ols(formula(names), frames[parts])
            np.testing.assert_allclose(there.params, fit.params, rtol=1e-10)
            works[parts] = lambda parts=parts: sq.ols(formula(names), frames[parts])
            works[parts, "counted"] = lambda parts=parts: [frames[parts].mapInArrow(counting, "n long").collect() for _ in range(2)]
        times = in_turns(works, repeats)
    for parts in frames:
        counted = ("rows counted in Python, twice", times[parts, "counted"])
        within("growth", f"{rows:,} x {WIDTH} in {parts} partitions, two passes", times[parts], counted)
    for frame in frames.values():
        frame.unpersist()


def main():
    """Measure and print a table."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("only", nargs="*", help="E7, width or growth; the default is all")
    asked.add_argument("--quick", action="store_true", help="use a tenth of the rows and measure once")
    asked.add_argument("--data", type=Path, help="folder for the rows")
    asked.add_argument("--rows", type=int, default=None)
    options = asked.parse_args()
    rows, repeats = options.rows or (ROWS // 10 if options.quick else ROWS), 1 if options.quick else 3
    wanted = options.only or ["E7", "width", "growth"]
    with tempfile.TemporaryDirectory() as made:
        path = numbers_file(options.data or Path(made), rows, WIDTH)
        session = started(2)
        print(f"{machine(PACKAGES, SEED)}; Spark local[2]\n")
        head()
        frame = session.read.parquet(str(path))
        if "E7" in wanted:
            against_spark(frame, rows, repeats)
        if "width" in wanted:
            widths(frame, rows, repeats)
        if "growth" in wanted:
            growth(session, max(rows // 20, 1_000), repeats)
        session.stop()


if __name__ == "__main__":
    main()
