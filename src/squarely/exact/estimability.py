"""What every row of a fit keeps where columns are dropped: a new row that breaks it has no prediction that these rows determine.

It follows from R and the cross-products, or from the triangle, so a saved fit has it too.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from squarely.design import Check
from squarely.exact.condition_number import column_norms, condition_of
from squarely.exact.factorization import columns_of
from squarely.exact.solution import Solution
from squarely.exact.units import standard_error_scale
from squarely.numerics import ROUNDING, ROUNDOFF, qr_r

_FEW_COLUMNS = 8  # columns: beyond, rounding grows as the root of their number


def check_of(solution: Solution) -> Check | None:
    """Give the dependency of each dropped column on the kept ones, and how far rounding may move it; None if none is dropped.

    A dependency d solves R d = r. With an error of `doubt` in r, as a norm over the rows, d is off by |R^-1| `doubt` at most, and
    the columns of a new row carry that. `left` is what the fit itself has taken for rounding.
    """
    factor, moments = solution.factor, solution.moments
    if factor.selected.all():
        return None
    kept, out = factor.columns, columns_of(moments)[~factor.selected]
    q = len(kept)
    growth = ROUNDING * max(1.0, np.sqrt(q / _FEW_COLUMNS)) * ROUNDOFF
    if factor.triangle is None:
        d = solve_triangular(factor.R, solve_triangular(factor.R, moments.gram[np.ix_(kept, out)], trans="T"))
        condition = factor.condition if moments.engine_record is None else condition_of(factor.R / column_norms(factor.R))
        growth *= condition * factor.error_factor
    else:
        R = qr_r(factor.triangle[:, [*kept, *out]])
        d = solve_triangular(R[:q, :q], R[:q, q:])
    design = moments.design
    centres, scales = design.column_centers, design.column_scales
    lengths = np.sqrt(np.diag(moments.gram)) + np.abs(centres / scales) * np.sqrt(moments.n)
    left = np.array(factor.remainders) if len(factor.remainders) == len(out) else np.zeros(len(out))
    doubt = left + growth * (lengths[out] + np.abs(d).T @ lengths[kept])
    spread = np.zeros(len(centres) - 1)
    spread[kept] = standard_error_scale(moments, factor)
    weights = np.zeros((len(spread), len(out)))
    weights[kept] = np.where(np.abs(d) > spread[kept][:, None] * doubt, -d, 0.0)
    weights[out, range(len(out))] = 1.0
    named = len(factor.dependencies) == len(out)
    return Check(
        dropped_columns=out - 1,
        weights=weights,
        errors=doubt,
        standard_error_scale=spread,
        centers=centres[:-1],
        scales=scales[:-1],
        messages=factor.dependencies if named else tuple(design.names[i] for i in np.flatnonzero(~factor.selected)),
    )
