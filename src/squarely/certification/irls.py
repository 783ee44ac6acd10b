"""The optimum of a loss other than the squared error, by iteratively reweighted least squares on the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from squarely.data import scan_purpose
from squarely.design import Block, fold_blocks
from squarely.numerics import Array

if TYPE_CHECKING:
    from squarely.descent import Training

_MAX_SCANS = 60
_SMOOTHING = 1e-3  # of the mean absolute residual: below it an absolute value counts as a square
_STEP_TOLERANCE = 1e-4  # of the size of the coefficients: a smaller step ends the search


@scan_purpose("optimum of the loss")
def estimate_optimum(run: Training, start: Array) -> Array:
    """Estimate the minimum (p,) of the L1, Huber or quantile loss of a run in standardized columns, to two or three digits.

    `start` (p,) is the least squares solution. Each scan solves the least squares problem that is nowhere below the loss and
    touches it at the current residuals.
    Source: Huber (1964), doi:10.1214/aoms/1177703732; Hunter and Lange (2000), doi:10.1080/10618600.2000.10474866.
    """
    problem, options, w, p = run.problem, run.options, start, len(start)
    tilt = options.quantile - 0.5 if options.loss == "quantile" else 0.0
    smooth = _SMOOTHING * np.sqrt(problem.loss(start))

    def step(block: Block) -> Array:
        table = problem.columns(block.values)
        X, y = table[:, :-1], table[:, -1]
        if problem.intercept:
            X = np.column_stack([np.ones(len(X)), X])
        size = np.abs(y - X @ w)
        weight = options.delta / np.maximum(size, options.delta) if options.loss == "huber" else 0.5 / (size + smooth)
        return np.column_stack([X.T @ (X * weight[:, None]), X.T @ (weight * y + tilt)])

    for _ in range(_MAX_SCANS):
        total = fold_blocks(run.moments.design, run.source, step, np.add, np.zeros((p, p + 1)))
        new = np.asarray(np.linalg.lstsq(total[:, :-1], total[:, -1], rcond=None)[0], dtype=np.float64)
        moved, w = float(np.abs(new - w).max()), new
        if moved <= _STEP_TOLERANCE * max(float(np.abs(w).max()), 1e-3):
            break
    return w
