"""The passes over rows whose losses a loop may report: epochs of training, and evaluations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from squarely.checkup.recorder.trace import Forward, LoaderStart, TargetComparison
from squarely.checkup.rules.epochs import TrainingBatch
from squarely.checkup.rules.run import Run
from squarely.numerics import Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pass:
    """One pass over rows in batches.

    Attributes
    ----------
    losses : (m,) the mean loss of each batch.
    sizes : (m,) its rows.
    rows : of the pass together, as numbers.
    """

    losses: Array
    sizes: Array
    rows: frozenset[int]

    @property
    def is_even(self) -> bool:
        """Whether all batches have the same number of rows."""
        return len(set(self.sizes.tolist())) == 1

    @property
    def mean(self) -> float:
        """The mean over rows."""
        return float(self.losses @ self.sizes / self.sizes.sum())


def training_passes(run: Run) -> list[list[Pass]]:
    """Return the epochs of training: with mean squared errors, and with the losses of the backward passes if those are others."""
    epochs = [epoch for epoch in run.epochs if len(epoch) > 1 and all(batch.comparison is not None for batch in epoch)]
    if run.trace.truncated:
        epochs = epochs[:-1]
    squares = [_make_pass(epoch, [_mean_square(batch.comparison) for batch in epoch if batch.comparison]) for epoch in epochs]
    if len(run.changes) < 0.9 * len(run.batches):  # several backward passes make one update: their losses are parts of one
        return [squares]
    own = [_make_pass(epoch, [batch.backward.loss for batch in epoch]) for epoch in epochs]
    same = all(np.allclose(a.losses, b.losses, rtol=1e-5, atol=0) for a, b in zip(squares, own, strict=True))
    return [squares] if same else [squares, own]


def evaluation_passes(run: Run) -> list[list[Pass]]:
    """Return the passes without a backward pass, those over the same rows together."""
    pairs: dict[int, TargetComparison] = {}
    for event in run.comparisons:
        pairs.setdefault(event.forward, event)
    series: dict[frozenset[int], list[Pass]] = {}
    for group in _groups(run):
        if all(event.index in pairs for event in group):
            losses = [_mean_square(pairs[event.index]) for event in group]
            sizes = [len(event.inputs) for event in group]
            rows = frozenset(row for event in group for row in run.row_numbers.of_inputs(event.inputs).tolist())
            series.setdefault(rows, []).append(Pass(losses=np.array(losses), sizes=np.array(sizes), rows=rows))
    return list(series.values())


def _groups(run: Run) -> list[list[Forward]]:
    """Split the evaluations where a backward pass or a loader comes between, or a row comes again."""
    used = {index for backward in run.backwards for index in backward.forwards}
    groups: list[list[Forward]] = [[]]
    rows: set[int] = set()
    for event in run.trace.events:
        ends = isinstance(event, LoaderStart) or event.index in used
        new = set()
        if isinstance(event, Forward) and event.inputs.size and not ends:
            new = set(run.row_numbers.of_inputs(event.inputs).tolist())
        if ends or new & rows:
            groups.append([])
            rows = set()
        if new:
            groups[-1].append(event)  # type: ignore[arg-type]
            rows |= new
    return [group for group in groups if group]


def _make_pass(epoch: list[TrainingBatch], losses: Iterable[float]) -> Pass:
    rows = frozenset(int(row) for batch in epoch for row in batch.rows)
    return Pass(losses=np.array(list(losses)), sizes=np.array([len(batch.rows) for batch in epoch]), rows=rows)


def _mean_square(pair: TargetComparison) -> float:
    return float(np.mean((pair.predictions - pair.targets) ** 2))
