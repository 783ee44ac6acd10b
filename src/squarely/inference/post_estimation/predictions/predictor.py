"""The linear predictor of a solution, and what the standard errors of its predictions follow from."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import solve_triangular

from squarely.design import LinearPredictor, StandardErrors, require_rank_deficient
from squarely.errors import OptionError
from squarely.exact import Solution, check_of
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.scan import whitening_matrix
from squarely.numerics import two_sum

_CANCELLATION_RATIO = 1e3  # terms of a prediction this much larger than the scale of the response lose digits in doubles


def make_predictor(solution: Solution, rank_deficient: str) -> LinearPredictor:
    """Return the linear predictor of a solution in the units of the data, with low parts where its terms cancel."""
    require_rank_deficient(rank_deficient)
    design = solution.moments.design
    first = int(design.intercept)
    at = solution.factor.columns[first:]  # in the columns [1, x_1 ... x_p, y]
    scale, (hi, lo) = design.scales[-1], solution.scaled_params
    level, rest = two_sum(design.centers[-1:], scale * hi[:1] if first else np.zeros(1))
    slopes = solution.params[solution.factor.selected][first:]
    lows = None
    if np.abs(hi[first:]).sum() > _CANCELLATION_RATIO:
        ratio = scale / design.column_scales[at]
        low_level = float(rest[0] + (scale * lo[0] if first else 0.0))
        lows = low_level, np.where(slopes, hi[first:] * ratio - slopes + lo[first:] * ratio, 0.0)
    return LinearPredictor(
        design=design,
        selected=[j - 1 for j in at],
        level=float(level[0]),
        slopes=slopes,
        low_parts=lows,
        center=design.column_centers[at],
        check=check_of(solution) if rank_deficient == "nan" and design.absorbed is None else None,
        effects=solution.effects,
    )


def standard_errors_of(fit: CoefficientStatistics) -> StandardErrors:
    """Return F with |F'z| the standard error of the prediction for scaled columns z: F F' is the covariance of their coefficients.

    With W W' = (X'X)^-1 of the scaled columns it is s W, and a robust fit with the meat M has W times a root of M. Where R leaves
    too few digits, W is P U^-1, and the product with P is exact.
    """
    solution, robust = fit.solution, fit.robust
    if solution.moments.design.absorbed is not None:
        raise OptionError(
            "Predictions with absorbed fixed effects have no standard errors and limits: those of the effects are not computed. "
            "Use predict without them, or write few levels as C(...) before the '|'."
        )
    q, undefined = len(solution.factor.columns), None
    if robust is None:
        M = math.sqrt(fit.mse_resid) * np.eye(q)
    else:
        values, vectors = np.linalg.eigh(robust.meat)
        M = solution.moments.design.scales[-1] * (vectors * np.sqrt(np.maximum(values, 0.0)))
        undefined = robust.undefined
    if solution.inverse_root is None:
        root, factor = whitening_matrix(solution) @ M, None
    else:
        root, factor = solution.inverse_root.P, solve_triangular(solution.inverse_root.U, M)
    if not solution.moments.design.intercept:
        root = np.vstack([np.zeros((1, q)), root])
        undefined = None if undefined is None else np.append(False, undefined)
    return StandardErrors(root=root, factor=factor, undefined=undefined)
