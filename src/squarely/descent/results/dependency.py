"""The dependencies between columns that a prediction must not break."""

from __future__ import annotations

import math

import numpy as np

from squarely.design import Check, Design
from squarely.moments import StandardizedProblem
from squarely.theory import Spectrum

_MIN_WEIGHT = 1e-6  # of a direction of length one: a smaller weight is rounding


def dependency_check(problem: StandardizedProblem, lam: Spectrum, design: Design, n: int) -> Check | None:
    """Return the directions along which the loss does not change: the n training rows have almost no component there."""
    if not lam.flat_directions:
        return None
    V = lam.vectors[:, : lam.flat_directions]
    names = np.array(["Intercept", *(column.name for column in design.columns)])
    rounding = math.sqrt(n * lam.flat_threshold / 2)  # a squared length along a direction is n lam / 2
    return Check(
        dropped_columns=np.zeros(0, dtype=int),
        weights=V if problem.intercept else np.vstack([np.zeros(lam.flat_directions), V]),
        errors=np.full(lam.flat_directions, rounding),
        standard_error_scale=np.zeros(len(names)),
        centers=np.concatenate([[0.0], problem.shift[:-1]]),
        scales=np.concatenate([[1.0], problem.scale[:-1]]),
        messages=tuple(" and ".join(names[np.abs(v) > _MIN_WEIGHT].tolist()) + " depend on each other" for v in V.T),
        reason="Columns depend on each other in the rows of the training, and these break it",
    )
