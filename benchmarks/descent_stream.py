"""Measure an epoch streamed from Parquet against the same batches held in memory: `python benchmarks/descent_stream.py`.

Both take the same step of SGD with its gradient in closed form after each batch of 4,096. That every row comes once is checked
by sums before anything is timed. Times are medians of epochs in fresh processes that take turns; the peak of the resident memory is
that of the whole process which streams, the first scan and the imports included.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from exact_data import SEED, columns, written
from measure import head, in_turns, machine, memory, own_peak_megabytes, within
from squarely.data import open_source
from squarely.descent.streamed import Streamed
from squarely.design import learn, parse_formula
from squarely.moments import gather, standardise

WIDTH, BATCH, LR, TURNS, EPOCHS = 8, 4_096, 0.01, 3, 3


def stream_of(path):
    source = open_source(path)
    formula = parse_formula("y ~ " + " + ".join(f"x{j}" for j in range(1, WIDTH + 1)))
    moments = gather(learn(formula, source), source)
    return Streamed(design=moments.design, source=source, problem=standardise(moments), seed=SEED)


def trained(batches):
    """Take a step for each batch, the mean squared error's gradient in closed form; give the weights."""
    w, b = torch.zeros(WIDTH, 1), torch.zeros(1)
    with torch.no_grad():
        for X, y in batches:
            r = torch.addmm(b, X, w).sub_(y).mul_(2 / len(X))
            w.addmm_(X.T, r, alpha=-LR)
            b -= LR * r.sum()
    return w


def held(X, y, epoch):
    """Index batches: the usual way with tensors in memory."""
    order = torch.from_numpy(np.random.default_rng([SEED, epoch]).permutation(len(X)))
    for at in order.split(BATCH):
        yield X.index_select(0, at), y.index_select(0, at)


def check(stream, epoch):
    """Require of an epoch that every row comes once: its columns must sum to zero and their squares to the number of rows."""
    n, total, squares = 0, 0.0, 0.0
    for X, y in stream.batches(epoch, BATCH):
        table = torch.cat([X, y], dim=1).double()
        n, total, squares = n + len(X), total + table.sum(0), squares + (table**2).sum(0)
    assert n == stream.n
    np.testing.assert_allclose(total / n, 0, atol=1e-6)
    np.testing.assert_allclose(squares / n, 1, rtol=1e-6)


def measured(kind, path):
    """Time epochs in this process: seconds of each, weights after the last, and the peak of the resident memory."""
    stream = stream_of(path)
    if kind == "held":
        X, y = (torch.cat(tables) for tables in zip(*stream.chunks(), strict=True))
    weights = []
    took = [
        in_turns({"": lambda e=e: weights.append(trained(held(X, y, e) if kind == "held" else stream.batches(e, BATCH)))}, 1)[""]
        for e in range(EPOCHS)
    ]
    return {"seconds": took, "weights": weights[-1].ravel().tolist(), "peak": own_peak_megabytes()}


def in_fresh_process(kind, path):
    words = [sys.executable, __file__, "--measure", kind, os.fspath(path)]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def compared(folder, rows, group):
    name = f"stream-{rows}x{WIDTH}-{group}.parquet"
    path = written(folder / name, rows, lambda count, seed: columns(count, WIDTH, seed), group=group)
    check(stream_of(path), EPOCHS)
    runs = [(in_fresh_process("streamed", path), in_fresh_process("held", path)) for _ in range(TURNS)]
    ours, peer = (statistics.median(s for run in side for s in run["seconds"]) for side in zip(*runs, strict=True))
    np.testing.assert_allclose(runs[0][0]["weights"], runs[0][1]["weights"], atol=0.02)  # other orders, one answer
    work = f"one epoch of {rows:,} x {WIDTH}, B = {BATCH:,}, row groups of {group:,}"
    within("D5", work, ours, ("index batches in memory", peer), most=2)
    memory("D5", work, max(run["peak"] for run, _ in runs), most=800)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "squarely-bench")
    parser.add_argument("--measure", nargs=2, metavar=("KIND", "PATH"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measured(*given.measure)))
        return
    print(machine(["numpy", "pyarrow", "torch"], SEED))
    head()
    for group in (1_000_000, 122_880):
        compared(given.folder, given.rows, group)


if __name__ == "__main__":
    main()
