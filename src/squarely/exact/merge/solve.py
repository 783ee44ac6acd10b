"""Solve least squares from solutions alone.

Each solution has its minimum: ||y - X b||^2 = ssr_s + ||X_s (b - b_s)||^2 on its rows, exactly. So no sum of squares is
computed as y'y - b'X'y, which would lose the digits that refinement gained: only differences of coefficients meet cross-products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import compress

import numpy as np
from scipy.linalg import solve_triangular

from squarely.errors import DataError, NumericalError, join_words
from squarely.exact.condition_number import translate_singular_errors
from squarely.exact.factorization import Factorization
from squarely.exact.implicit_constant import Span, span_of_levels
from squarely.exact.merge.factorization import NOT_IN_MERGE, factorize_merged
from squarely.exact.merge.sums import Part, make_parts, minimize
from squarely.exact.rank import require_rows
from squarely.exact.solution import MergeRecord, Refinement, Shard, Solution, is_same_shard, make_solution, require_digits
from squarely.exact.units import standard_error_scale, to_data_units
from squarely.moments import MergedMoments
from squarely.numerics import ROUNDOFF, Array


@translate_singular_errors()
def solve_merged(merged: MergedMoments, solutions: Sequence[Solution], signs: Sequence[int]) -> Solution:
    """Solve min sum_s sign_s (ssr_s + ||X_s (b - b_s)||^2) for the columns of `merged`, refined until a step cannot matter.

    `solutions` belong to the parts of `merged`, in their order; a sign of -1 removes one. A DataError says that too few rows are
    left or that what is removed cannot have been in, and a NumericalError that a removal leaves nothing but rounding.
    """
    require_rows(merged.moments, "all", [])
    merged, factor = factorize_merged(merged, solutions, signs)
    parts = make_parts(merged, factor, solutions, signs)
    minimum, error = minimize(merged, factor, parts, -1, factor.rhs)
    if minimum.squares < -minimum.squares_error:
        raise DataError(NOT_IN_MERGE.format("the sum of squared residuals that would be left is below zero"))
    return _solution(merged, factor, minimum, error, parts)


def _span(merged: MergedMoments, factor: Factorization, parts: Sequence[Part]) -> Span | None:
    if merged.moments.design.intercept:
        return None
    if (levels := span_of_levels(merged.moments, factor)) is not None:
        return levels
    rhs = solve_triangular(factor.R, merged.moments.gram[factor.columns, 0], trans="T")
    minimum, _ = minimize(merged, factor, parts, 0, rhs)
    error = minimum.fitted_error + float(np.sqrt(minimum.squares_error))
    return Span(b=minimum.b, remainder=float(np.sqrt(max(minimum.squares, 0.0))), remainder_error=error)


def _solution(merged: MergedMoments, factor: Factorization, minimum: Refinement, error: Array, parts: Sequence[Part]) -> Solution:
    moments, squares, squares_error = merged.moments, max(minimum.squares, 0.0), minimum.squares_error
    solutions, record = [part.solution for part in parts], _merge_record(parts)
    span = _span(merged, factor, parts)
    params, error = to_data_units(moments, factor, minimum.b, error)
    # All rows lie on one line exactly. After a removal, a zero may be what cancellation left.
    has_removal = any(part.sign < 0 for part in parts)
    perfect = squares <= squares_error and not has_removal and not any(s.ssr or s.ssr_error for s in solutions)
    if perfect:
        squares = squares_error = 0.0
        params = np.where(np.abs(params) <= error, 0.0, params)
    away = minimum.squares_error / (2 * np.sqrt(squares)) if squares > 0 else np.sqrt(minimum.squares_error)
    refined = replace(
        minimum,
        squares=squares,
        squares_error=squares_error,
        bse_error=np.nan if perfect else minimum.bse_error,
        fitted_error=minimum.fitted_error + away,
        converged=minimum.converged and all(s.converged for s in solutions),
        input_rounding=factor.error_factor * float(np.linalg.norm([s.input_rounding for s in solutions])),
        precision="extended" if all(s.precision == "extended" for s in solutions) else "double",
        scans=max(s.scans for s in solutions),
    )
    solution = make_solution(
        moments,
        factor,
        refined,
        params=params,
        error=error,
        scale=standard_error_scale(moments, factor),
        totals=_totals(parts),
        span=span,
        merge_record=record,
    )
    if not minimum.converged:
        require_digits(solution)
    if record.removed_rows:
        _require_remainder(solution, error, parts)
    return solution


def _require_remainder(solution: Solution, error: Array, parts: Sequence[Part]) -> None:
    """Raise a NumericalError if a coefficient, of error (q,), has no digit after a removal."""
    digits, unit_bse = solution.digits[solution.factor.selected], solution.unit_bse[solution.factor.selected]
    sigma2 = (solution.ssr if solution.ssr > solution.ssr_error else 0.0) / (solution.moments.nobs - len(error))
    lost = (digits == 0) & (error > unit_bse * np.sqrt(sigma2))
    added = [part.solution for part in parts if part.sign > 0]
    if len(added) == 1 and added[0].selected_names == solution.selected_names:
        # A standard error that is much smaller without the removed rows than with them is rounding.
        lost |= unit_bse < added[0].unit_bse[added[0].factor.selected] / 2
    if lost.any():
        names = list(compress(solution.selected_names, lost))[:3]
        raise NumericalError(
            f"The removal leaves nothing but rounding: {join_words(names)} would have no digit. Remove less, or fit the "
            "remaining rows."
        )


def _totals(parts: Sequence[Part]) -> tuple[float, float, tuple[float, float, float]]:
    """Return the sum of squares of all responses about their mean, its error at most, and the mean as `Solution` has it.

    The means are exact sums of doubles: their differences lose nothing, however far from zero they are.
    """
    each = [
        (p.sign, Fraction(p.solution.moments.weight), p.solution, Fraction(p.solution.mean[0]) + Fraction(p.solution.mean[1]))
        for p in parts
    ]
    n = sum((sign * m for sign, m, _, _ in each), Fraction(0))
    mean = sum((sign * m * one for sign, m, _, one in each), Fraction(0)) / n
    mean_error = sum(float(m / n) * s.mean[2] for _, m, s, _ in each)
    centered = error = 0.0
    for sign, weight, s, one in each:
        m, away, away_error = float(weight), float(one - mean), s.mean[2] + mean_error
        centered += sign * (s.centered_tss + m * away**2)
        error += s.tss_error + m * (2 * abs(away) + away_error) * away_error + 4 * ROUNDOFF * (s.centered_tss + m * away**2)
    high = float(mean)
    return max(centered, 0.0), error, (high, float(mean - Fraction(high)), mean_error)


def _merge_record(parts: Sequence[Part]) -> MergeRecord:
    """Return which fits were added and which removed, with those inside merged fits one by one."""
    rows: list[int] = []
    removed_rows: list[int] = []
    shards: list[Shard] = []
    log_weights = 0.0
    for part in parts:
        fits = part.solution.included_fits
        log_weights += part.sign * fits.log_weights
        if part.sign > 0:
            rows += fits.rows
            removed_rows += fits.removed_rows
            shards += fits.shards
        else:
            rows += fits.removed_rows
            removed_rows += fits.rows
            for removed in fits.shards:
                same = next((shard for shard in shards if is_same_shard(shard, removed)), None)
                if same:
                    shards.remove(same)  # one of them, if it was added twice
    return MergeRecord(rows=tuple(rows), removed_rows=tuple(removed_rows), shards=tuple(shards), log_weights=log_weights)
