"""Estimate what a fit of 10^12 rows costs on 1,000 executors, from measurements on one core of this machine.

Run `python benchmarks/cluster_estimate.py`. The sums are those of a real fit with 100 columns, pickled as a cluster sends them.
Assumptions: rows arrive as fast as they are summed, one core per executor, partitions of equal size, and no other load.
"""

import math
import pickle
import statistics
import time
from unittest.mock import patch

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd

import squarely as sq
from squarely.data.engines.dask import DaskSource
from squarely.data.tree_reduce import block_size, leaves, reduce_all

P, ROWS, EXECUTORS, TOTAL = 100, 200_000, 1_000, 10**12
FAN_IN = 32


def record_passes():
    """Fit in one thread, and return for each pass over all rows its seconds, results and merge function."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(ROWS, P)), columns=[f"x{j}" for j in range(P)])
    frame["y"] = frame.sum(axis=1) + rng.normal(size=ROWS)
    formula = "y ~ " + " + ".join(frame.columns[:-1])
    passes = []

    def reduce_partitions(source, numbers, labels, work, merge):
        begun = time.perf_counter()
        results = list(source.map_partitions(numbers, labels, work))
        passes.append((time.perf_counter() - begun, results, merge))
        return leaves(results)

    with patch.object(DaskSource, "reduce_partitions", reduce_partitions), dask.config.set(scheduler="synchronous"):
        fit = sq.ols(formula, dd.from_pandas(frame, npartitions=2))
    np.testing.assert_allclose(fit.params, sq.ols(formula, frame).params, rtol=1e-10)
    return passes


def merge_seconds(results, merge, parts):
    """Return the median seconds in which one process unpacks and merges this many results."""
    payload = pickle.dumps((results[0], None))

    def once():
        begun = time.perf_counter()
        reduce_all(leaves(pickle.loads(payload)[0] for _ in range(parts - 1)), merge, results[0])  # noqa: S301
        return time.perf_counter() - begun

    return statistics.median(once() for _ in range(5))


def rounding_errors(parts):
    """Return the worst error of merged sums, in roundoffs of the sum of their sizes: merged in order, and in a tree."""
    rng = np.random.default_rng(parts)
    errors = []
    for sums in (rng.chisquare(1_000, (parts, 20)), rng.normal(size=(parts, 20)) * 1e3):
        truth = np.array([math.fsum(column) for column in sums.T])
        size = np.abs(sums).sum(axis=0) * 2.0**-53
        flat = np.add.accumulate(sums)[-1]
        level = sums
        while len(level) > 1:
            level = np.array([np.add.accumulate(level[i : i + FAN_IN])[-1] for i in range(0, len(level), FAN_IN)])
        errors.append((np.abs(flat - truth) / size, np.abs(level[0] - truth) / size))
    return [max(float(kind[i].max()) for kind in errors) for i in (0, 1)]


def main():
    passes, cells = record_passes(), ROWS * (P + 1)
    per_row = sum(seconds for seconds, *_ in passes) / ROWS
    print("pass, ns per cell, bytes of a payload, microseconds to unpack and merge one, at the driver for 1,000: flat, tree of 32")
    total, one = 0, 0.0
    for number, (seconds, results, merge) in enumerate(passes, start=1):
        size, flat = len(pickle.dumps((results[0], None))), merge_seconds(results, merge, 1_000)
        top = merge_seconds(results, merge, math.ceil(1_000 / FAN_IN))
        print(f"{number}, {seconds / cells * 1e9:.2f}, {size:,}, {flat * 1e3:.0f}, {flat:.3f} s, {top:.4f} s")
        total, one = total + size, one + flat / 1_000
    print(f"executors: {per_row * TOTAL / EXECUTORS / 3600:.2f} hours in {len(passes)} passes of {TOTAL:.0e} rows x {P} columns")
    print("partitions, partitions per block, bytes and seconds at the driver, and both if it merged all of them")
    for parts in (1_000, 100_000, 1_000_000):
        size = block_size(parts)
        top = math.ceil(parts / size)
        print(f"{parts:,}, {size:,}, {total * top / 1e6:.1f} MB, {one * top:.3f}, {total * parts / 1e9:.2f} GB, {one * parts:.1f}")
    print("partitions, worst error in roundoffs of the sum of sizes: in order, in a tree of 32")
    for parts in (1_000, 100_000):
        print(f"{parts:,}, " + ", ".join(f"{error:.2f}" for error in rounding_errors(parts)))


if __name__ == "__main__":
    main()
