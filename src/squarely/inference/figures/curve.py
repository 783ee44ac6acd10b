"""The fitted curve over one predictor, with its confidence and its prediction band."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from squarely.data import open_source
from squarely.design import Name, Numeric, dense_table, iter_blocks, scaled_blocks
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.scan import whitening_matrix
from squarely.inference.statistics import t_quantile
from squarely.numerics import Array

_POINTS = 200


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FittedCurve:
    """The mean response over x (m,) with the half widths (m,) of both bands; NaN where the formula has no value.

    `confidence` and `prediction` are NaN if the standard errors are unknown.
    """

    x: Array
    mean: Array
    confidence: Array
    prediction: Array


def fitted_curve(fit: CoefficientStatistics, name: str, ends: tuple[float, float], alpha: float) -> FittedCurve:
    """Return the curve from one end of the predictor `name` to the other."""
    x = np.linspace(*ends, _POINTS)
    mean, se = np.full(_POINTS, np.nan), np.full(_POINTS, np.nan)
    solution, design = fit.solution, fit.design
    columns, (hi, lo) = solution.factor.columns, solution.scaled_params
    scale, W = float(design.scales[-1]), whitening_matrix(solution)
    variance = np.eye(len(W)) * (fit.mse_resid / scale**2) if fit.robust is None else fit.robust.meat
    if fit.robust is not None and fit.robust.undefined is not None and fit.robust.undefined.any():
        variance = np.full_like(variance, np.nan)
    # The predictor stands in for the response, which the curve does not need.
    response = Numeric(text=design.formula.response.text, expression=Name(name, (0, 0)))
    grid = replace(design, formula=replace(design.formula, response=response, weights=None, groups=()), where=None)
    for block in iter_blocks(grid, open_source({name: x})):
        start = 0
        for piece in scaled_blocks(grid, block, _POINTS):
            Z = dense_table(piece, design.layout)[0][columns]
            at = block.rows[start : start + Z.shape[1]]
            start += len(at)
            V = W.T @ Z
            mean[at] = float(design.centers[-1]) + scale * (hi @ Z + lo @ Z)
            se[at] = scale * np.sqrt(np.einsum("jm,jk,km->m", V, variance, V))
        if block.offset is not None:
            mean[block.rows] += block.offset
    weight = 1.0 if design.formula.has_frequencies else solution.moments.weight / solution.moments.n
    residual_variance = fit.mse_resid / weight  # of a row of the mean weight
    quantile = t_quantile(fit.df_resid_inference, alpha)
    return FittedCurve(x=x, mean=mean, confidence=quantile * se, prediction=quantile * np.sqrt(se**2 + residual_variance))
