"""The linear predictor of a solution."""

from __future__ import annotations

import numpy as np

from squarely.design import LinearPredictor, require_rank_deficient
from squarely.exact import Solution, check_of
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
        check=check_of(solution) if rank_deficient == "nan" else None,
    )
