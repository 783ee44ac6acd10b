"""The linear problem of a run: its rows, the eigenvalues of H, and the least mean squared error."""

from __future__ import annotations

import numpy as np

from squarely.checkup.rules.epochs import TrainingBatch
from squarely.checkup.rules.run import Run
from squarely.numerics import Array


def find_inputs(run: Run) -> Array | None:
    """Return the (n, p) inputs of all rows that backward passes used; None if their widths differ or one is not finite."""
    if len({batch.forward.inputs.shape[1] for batch in run.batches}) != 1:
        return None
    rows: dict[int, Array] = {}
    for batch in run.batches:
        for row, values in zip(batch.rows.tolist(), batch.forward.inputs, strict=True):
            rows.setdefault(row, values)
    X = np.array(list(rows.values()))
    return X if len(X) > 1 and np.isfinite(X).all() else None


def number_of_values(run: Run) -> int:
    """Return how many numbers are trained."""
    return sum(int(np.prod(run.trace.parameters[number].shape)) for number in run.trained)


def add_intercept(run: Run, X: Array) -> Array:
    """Return X with a column of ones, if the model has an intercept and X has no such column."""
    has_intercept = number_of_values(run) > X.shape[1]
    return np.column_stack([X, np.ones(len(X))]) if has_intercept and not (np.ptp(X, axis=0) == 0).any() else X


def is_linear(run: Run, X: Array) -> bool:
    """Return whether the trained numbers are as many as slopes, or slopes and an intercept."""
    return number_of_values(run) in {X.shape[1], X.shape[1] + 1}


def find_spectrum(run: Run, X: Array) -> Array:
    """Return the eigenvalues of H = (2/n) X'X, the largest first."""
    return np.asarray(np.linalg.svd(add_intercept(run, X), compute_uv=False) ** 2 * (2 / len(X)), dtype=float)


def is_raw(X: Array) -> bool:
    """Return whether a column is far from mean 0 and standard deviation 1."""
    spread, mean = X.std(axis=0), np.abs(X.mean(axis=0))
    varied = spread > 0
    return bool(((spread > 10) | (mean > 10 * np.maximum(spread, 1e-300)))[varied].any() or (spread[varied] < 0.01).any())


def distance_kept(run: Run, X: Array) -> tuple[float, float] | None:
    """Return the part of the first distance from least squares that the last epoch keeps, and the last distance.

    The distance is the root of the excess of the mean squared error over its least value: for any layout of the parameters.
    The last distance is in units of the root of the least value. None where they cannot be read.
    """
    if len(run.epochs) < 2:
        return None
    first, last = (_errors(batches) for batches in (run.epochs[0], _last_epoch(run)))
    targets = {
        int(row): value
        for batch in run.batches
        if batch.comparison is not None and len(batch.comparison.targets) == len(batch.rows)
        for row, value in zip(batch.rows, batch.comparison.targets, strict=True)
    }
    rows = list(dict.fromkeys(int(row) for batch in run.batches for row in batch.rows))
    if first is None or last is None or set(rows) != set(targets):
        return None
    A, y = add_intercept(run, X), np.array([targets[row] for row in rows])
    if not np.isfinite(y).all() or len(A) <= A.shape[1]:
        return None
    least = float(np.mean((y - A @ np.linalg.lstsq(A, y, rcond=None)[0]) ** 2))
    start = _errors(run.epochs[0][:1]) or 0.0  # a fast loop is near its end within the first epoch
    before, after = max(first, start) - least, last - least
    if before <= 0.01 * least or before <= 0 or not np.isfinite(after):
        return None
    left = max(after, 0.0)
    return float(np.sqrt(left / before)), float(np.sqrt(left / max(least, 1e-300)))


def epoch_errors(run: Run) -> list[float]:
    """Return the mean squared error of the predictions of each epoch; those that cannot be read are left out."""
    return [error for batches in run.epochs if (error := _errors(batches)) is not None and np.isfinite(error)]


def _last_epoch(run: Run) -> list[TrainingBatch]:
    full = [batches for batches in run.epochs if len(batches) == len(run.epochs[0])]
    return full[-1]


def _errors(batches: list[TrainingBatch]) -> float | None:
    """Return the mean squared error of the predictions of some batches."""
    pairs = [batch.comparison for batch in batches if batch.comparison is not None]
    if len(pairs) < len(batches) or any(pair.predictions.shape != pair.targets.shape for pair in pairs):
        return None
    return float(np.mean(np.concatenate([(pair.predictions - pair.targets) ** 2 for pair in pairs])))
