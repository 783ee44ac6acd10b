"""Predict new rows with the coefficients of a run, and find rows that break a dependency of its training rows."""

from __future__ import annotations

import math

import numpy as np

from squarely.design import Check, LinearPredictor, require_rank_deficient
from squarely.moments import Moments, StandardizedProblem
from squarely.numerics import Array
from squarely.theory import Spectrum

_MIN_WEIGHT = 1e-6  # of a direction of length one: a smaller weight is rounding


def make_predictor(
    moments: Moments, problem: StandardizedProblem, spectrum: Spectrum, w: Array, rank_deficient: str
) -> LinearPredictor:
    """Return the predictor of the coefficients `w` (p,)."""
    require_rank_deficient(rank_deficient)
    return LinearPredictor(
        design=moments.design,
        selected=range(len(moments.design.columns)),
        level=problem.intercept_in_units(w),
        slopes=problem.slopes_in_units(w),
        center=problem.center[:-1],
        check=_check_dependencies(moments, problem, spectrum) if rank_deficient == "nan" else None,
    )


def _check_dependencies(moments: Moments, problem: StandardizedProblem, spectrum: Spectrum) -> Check | None:
    """Return the directions along which the loss does not change: training rows have almost no component there."""
    if not spectrum.flat_directions:
        return None
    V = spectrum.vectors[:, : spectrum.flat_directions]
    names = np.array(["Intercept", *(column.name for column in moments.design.columns)])
    rounding = math.sqrt(moments.weight * spectrum.flat_threshold / 2)  # a squared length along a direction is n lam / 2
    return Check(
        dropped_columns=np.zeros(0, dtype=int),
        weights=V if problem.intercept else np.vstack([np.zeros(spectrum.flat_directions), V]),
        errors=np.full(spectrum.flat_directions, rounding),
        standard_error_scale=np.zeros(len(names)),
        centers=np.concatenate([[0.0], problem.shift[:-1]]),
        scales=np.concatenate([[1.0], problem.scale[:-1]]),
        messages=tuple(" and ".join(names[np.abs(v) > _MIN_WEIGHT].tolist()) + " depend on each other" for v in V.T),
        reason="Columns depend on each other in the rows of the training, and these break it",
    )
