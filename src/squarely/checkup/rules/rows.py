"""Which rows of the problem a forward pass used: found by their values, also after the loop has standardized them."""

from __future__ import annotations

import numpy as np

from squarely.checkup.problem import Problem
from squarely.checkup.recorder.trace import Forward, TargetComparison
from squarely.numerics import Array

Rows = np.ndarray[tuple[int], np.dtype[np.intp]]
_UNKNOWN = 1_000_000  # rows of the problem have smaller numbers
_TOLERANCE = 1e-5  # of float32 values after a change of units


class RowNumbers:
    """Numbers the rows of inputs and targets: 0 to n - 1 are training rows, n and above validation rows.

    Rows of a script, and rows whose values are not those of the problem, are numbered as they first appear.
    """

    def __init__(self, problem: Problem | None, forwards: list[Forward], comparisons: list[TargetComparison]) -> None:
        inputs = [event.inputs for event in forwards if event.inputs.size]
        self.by_problem = False
        self._inputs: dict[bytes, int] = {}
        self._first = 0 if problem is None else _UNKNOWN
        self._column: tuple[int, Array, Rows] | None = None  # the column of the inputs, its sorted values, their rows
        self._known = None if problem is None else np.concatenate([problem.X, problem.X_validation])
        if problem is not None and self._known is not None:
            self._column = _find_column(inputs, self._known, len(problem.X))
            self.by_problem = self._column is not None
        self._targets: tuple[Array, Rows] | None = None
        if problem is not None:
            y = np.concatenate([problem.y, problem.y_validation])
            self._targets = _match([event.targets for event in comparisons], y, len(problem.y))

    def of_inputs(self, inputs: Array) -> Rows:
        """Return the (B,) row numbers of a batch of inputs."""
        if self._column is not None:
            column, values, rows = self._column
            return rows[_nearest(values, inputs[:, column])]
        if self._known is not None and inputs.shape[1] == self._known.shape[1]:
            order = np.argsort(self._known[:, 0])
            if _is_among(inputs[:, 0], self._known[order, 0]):  # rows of an evaluation, where those of training have noise
                return order[_nearest(self._known[order, 0], inputs[:, 0])]
        keys = [row.tobytes() for row in inputs]
        return np.array([self._inputs.setdefault(key, self._first + len(self._inputs)) for key in keys], dtype=np.intp)

    def of_targets(self, targets: Array) -> Rows | None:
        """Return the (B,) row numbers of targets; None if their values are not those of the problem."""
        if self._targets is None or not np.isfinite(targets).all():
            return None
        values, rows = self._targets
        return rows[_nearest(values, targets)] if _is_among(targets, values) else None


def _find_column(inputs: list[Array], X: Array, n: int) -> tuple[int, Array, Rows] | None:
    widths = {batch.shape[1] for batch in inputs}
    finite = [all(np.isfinite(batch[:, column]).all() for batch in inputs) for column in range(min(widths, default=0))]
    for column in sorted(range(len(finite)), key=lambda column: not finite[column]):  # missing values identify no row
        seen = [batch[:, column] for batch in inputs if batch.shape[1] > column]
        for known in X.T:
            found = _match(seen, known, n)
            if found is not None:
                return (column, *found)
    return None


def _match(batches: list[Array], known: Array, n: int) -> tuple[Array, Rows] | None:
    """Return sorted values and their rows, in the units in which the batches hold them."""
    if not batches:
        return None
    values = np.unique(np.concatenate(batches))
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return None
    order = np.argsort(known)
    for rows in (order, order[order < n], order[order >= n]):
        target = known[rows]
        units = _units(values, target)
        if units is not None:
            return units[0] * target + units[1], rows
    return None


def _units(values: Array, known: Array) -> tuple[float, float] | None:
    """Return (scale, shift) with which `values` are some of scale * known + shift; None if there are none."""
    if _is_among(values, known):
        return 1.0, 0.0
    if len(values) != len(known):
        return None
    scale, shift = np.polyfit(known, values, 1)
    return (float(scale), float(shift)) if scale > 0 and _is_among(values, scale * known + shift) else None


def _is_among(values: Array, known: Array) -> bool:
    """Return whether all values but a few are among the known ones, which are sorted."""
    gaps = np.abs(known[_nearest(known, values)] - values)
    return bool((gaps <= _TOLERANCE * (np.ptp(known) + np.abs(known).max())).mean() > 0.95)


def _nearest(sorted_values: Array, values: Array) -> Rows:
    right = np.clip(np.searchsorted(sorted_values, values), 1, len(sorted_values) - 1)
    left = right - 1
    return np.where(values - sorted_values[left] <= sorted_values[right] - values, left, right)
