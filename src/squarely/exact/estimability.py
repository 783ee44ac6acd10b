"""What every row of a fit satisfies where columns are dropped: the fit does not determine the prediction of other rows.

It follows from R and the cross-products, or from the triangle, so a saved fit has it too.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from squarely.design import Check
from squarely.exact.condition_number import column_norms, condition_of
from squarely.exact.factorization import columns_of
from squarely.exact.rank import growth_of_rounding
from squarely.exact.solution import Solution
from squarely.exact.units import standard_error_scale
from squarely.numerics import ROUNDING, ROUNDOFF, qr_r


def check_of(solution: Solution) -> Check | None:
    """Return the dependency of each dropped column on the selected ones, and how far rounding may move it; None if none is dropped.

    A dependency d solves R d = r. An error in r, as a norm over the rows, moves d by |R^-1| times that at most, and a new row
    multiplies it by its columns. The error includes the remainder that the fit itself took for rounding.
    """
    factor, moments = solution.factor, solution.moments
    if factor.selected.all():
        return None
    columns, out = factor.columns, columns_of(moments)[~factor.selected]
    q = len(columns)
    growth = ROUNDING * growth_of_rounding(q) * ROUNDOFF
    if factor.triangle is None:
        d = solve_triangular(factor.R, solve_triangular(factor.R, moments.gram[np.ix_(columns, out)], trans="T"))
        condition = factor.condition if moments.engine_record is None else condition_of(factor.R / column_norms(factor.R))
        growth *= condition * factor.error_factor
    else:
        R = qr_r(factor.triangle[:, [*columns, *out]])
        d = solve_triangular(R[:q, :q], R[:q, q:])
    design = moments.design
    centers, scales = design.column_centers, design.column_scales
    lengths = np.sqrt(np.diag(moments.gram)) + np.abs(centers / scales) * np.sqrt(moments.weight)
    complete = len(factor.dropped) == len(out)
    errors = (factor.remainders if complete else np.zeros(len(out))) + growth * (lengths[out] + np.abs(d).T @ lengths[columns])
    unit_errors = np.zeros(len(centers) - 1)
    unit_errors[columns] = standard_error_scale(moments, factor)
    weights = np.zeros((len(unit_errors), len(out)))
    weights[columns] = np.where(np.abs(d) > unit_errors[columns][:, None] * errors, -d, 0.0)
    weights[out, range(len(out))] = 1.0
    return Check(
        dropped_columns=out - 1,
        weights=weights,
        errors=errors,
        standard_error_scale=unit_errors,
        centers=centers[:-1],
        scales=scales[:-1],
        messages=factor.dependencies if complete else tuple(design.names[i] for i in np.flatnonzero(~factor.selected)),
        zeros=factor.zeros if complete else (False,) * len(out),
    )
