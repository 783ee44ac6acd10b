"""Where the optimum of another loss than the squared one lies, by reweighted least squares on the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from squarely.data import Source, scan_purpose
from squarely.design import Block, Design, fold_blocks
from squarely.moments import StandardizedProblem
from squarely.numerics import Array

if TYPE_CHECKING:
    from squarely.descent import TrainingOptions

_SCANS = 60
_SMOOTHING = 1e-3  # of the mean absolute residual: below it an absolute value counts as a square
_STEP_TOLERANCE = 1e-4  # of the size of the coefficients: a step that ends the search


@scan_purpose("optimum of the loss")
def estimate_optimum(design: Design, source: Source, problem: StandardizedProblem, recipe: TrainingOptions, start: Array) -> Array:
    """Find about where the L1, Huber or quantile loss of a recipe is least (p,), in standardised columns, from the least squares.

    Each scan solves the least squares problem that lies on the loss from above and touches it at the present residuals. Two or
    three digits are what it is good for.
    Source: Huber (1964), doi:10.1214/aoms/1177703732; Hunter and Lange (2000), doi:10.1080/10618600.2000.10474866.
    """
    w, p = start, len(start)
    lean = 0.0 if recipe.loss != "quantile" else recipe.quantile - 0.5
    smooth = _SMOOTHING * np.sqrt(problem.loss(start))

    def weights(r: Array) -> Array:
        size = np.abs(r)
        if recipe.loss == "huber":
            inside: Array = np.minimum(1.0, recipe.delta / np.maximum(size, recipe.delta))
            return inside
        steep: Array = 0.5 / (size + smooth)
        return steep

    def step(block: Block) -> Array:
        table = problem.columns(block.values)
        X, y = table[:, :-1], table[:, -1]
        if problem.intercept:
            X = np.column_stack([np.ones(len(X)), X])
        weight = weights(y - X @ w)
        return np.column_stack([X.T @ (X * weight[:, None]), X.T @ (weight * y + lean)])

    for _ in range(_SCANS):
        total = fold_blocks(design, source, step, np.add, np.zeros((p, p + 1)))
        new = np.asarray(np.linalg.lstsq(total[:, :-1], total[:, -1], rcond=None)[0], dtype=np.float64)
        moved, w = float(np.abs(new - w).max()), new
        if moved <= _STEP_TOLERANCE * max(float(np.abs(w).max()), 1e-3):
            break
    return w
