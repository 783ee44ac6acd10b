"""In which order epochs use the rows, and whether random numbers repeat."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from squarely.checkup.findings import Finding
from squarely.checkup.rules.epochs import TrainingBatch
from squarely.checkup.rules.rows import Rows
from squarely.checkup.rules.run import Run
from squarely.numerics import Array

_SEEDS = ("manual_seed", "np.random.seed", "random.seed", "generator=", "set_epoch", "default_rng(", "RandomState(")


def rows_of(epoch: list[TrainingBatch]) -> Rows:
    """Return the rows of an epoch in their order."""
    return np.concatenate([batch.rows for batch in epoch])


def check_order(run: Run, epochs: list[list[TrainingBatch]]) -> Iterator[Finding]:
    """Find an order that is the same in every epoch, and noise that is."""
    if len(epochs) < 2 or len(epochs[0]) < 2 or not run.moves_in_epochs:
        return
    orders = [rows_of(epoch) for epoch in epochs]
    same = [len(a) == len(b) and bool((a == b).all()) for a, b in pairwise(orders)]
    if np.mean(same) < 0.9:
        yield from _same_noise(run, epochs)
        return
    line = epochs[0][0].forward.line
    text = f"All {len(epochs)} epochs use the rows in the same order"
    numbers = {"epochs": len(epochs), "expected_orders": len(epochs), "found_orders": 1}
    if (np.diff(orders[-1]) > 0).all() and not _has_own_numbers(run):
        source = run.line_with("DataLoader(", "shuffle") or line
        yield Finding(
            key="not-shuffled", confidence="likely", evidence=f"{text}, that of the data.", numbers=numbers, source=source
        )
        return
    seeded = run.line_with(*_SEEDS)
    keys = ["not-shuffled", "random-state-fixed-per-epoch"]
    if _draws_each_epoch(run, len(epochs), has_seed=seeded is not None):
        keys.reverse()
    evidence = f"{text}, which is not that of the data."
    yield Finding(key=keys[0], confidence="likely", evidence=evidence, numbers=numbers, source=seeded or line)
    yield Finding(key=keys[1], confidence="possible", evidence=f"{text}.", numbers=numbers, source=line)


def _has_own_numbers(run: Run) -> bool:
    """Whether rows are numbered as they first appear, while a sampler permutes them: the numbers are not those of the data."""
    return not run.row_numbers.by_problem and any("Random" in event.sampler for event in run.loader_starts)


def _draws_each_epoch(run: Run, epochs: int, *, has_seed: bool) -> bool:
    """Whether a random order is drawn in each epoch, from the same random state."""
    states = [event.rng_state for event in run.loader_starts]
    reset = len(states) > 1 and len(set(states)) < 0.6 * len(states)
    return reset or run.trace.permutations >= 0.8 * epochs or (has_seed and not run.trace.permutations)


def _same_noise(run: Run, epochs: list[list[TrainingBatch]]) -> Iterator[Finding]:
    """Find noise that is added to the inputs, or multiplies them, and is the same in every epoch: by place, or by row."""
    if run.problem is None or run.row_numbers.by_problem or not run.knows_rows:
        return
    X = np.concatenate([run.problem.X, run.problem.X_validation])
    noise = [_noise(epoch, X) for epoch in epochs]
    for kind, word in enumerate(("plus", "times")):
        for by_row in (False, True):
            orders = [np.argsort(rows_of(epoch)) if by_row else slice(None) for epoch in epochs]
            values = [each[kind][order] for each, order in zip(noise, orders, strict=True)]
            if np.mean([a.shape == b.shape and np.allclose(a, b, rtol=0, atol=1e-5) for a, b in pairwise(values)]) >= 0.8:
                yield Finding(
                    key="random-state-fixed-per-epoch",
                    confidence="possible" if by_row else "likely",  # noise by row may be part of the data
                    evidence=f"The inputs are the rows {word} noise. The noise {'of each row ' if by_row else ''}is the same in "
                    f"all {len(epochs)} epochs.",
                    numbers={"epochs": len(epochs), "expected_different": len(epochs)},
                    source=run.line_with(*_SEEDS) or epochs[0][0].forward.line,
                )
                return


def _noise(epoch: list[TrainingBatch], X: Array) -> tuple[Array, Array]:
    """Return the differences and ratios of the inputs to the rows of the problem."""
    inputs, known = np.concatenate([batch.forward.inputs.reshape(len(batch.rows), -1) for batch in epoch]), X[rows_of(epoch)]
    if inputs.shape != known.shape:
        return np.full((len(inputs), 1), np.nan), np.full((len(inputs), 1), np.nan)
    return inputs - known, inputs / np.where(known == 0, np.nan, known)
