"""Solve least squares from solutions alone.

Each solution has its minimum: ||y - X b||^2 = ssr_s + ||X_s (b - b_s)||^2 on its rows, exactly. So no sum of squares is
computed as y'y - b'X'y, which would lose the digits that refinement gained: only differences of coefficients meet cross-products.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from scipy.linalg import solve_triangular

from squarely.errors import DataError, NumericalError, join_words, pluralize
from squarely.exact.condition_number import no_digits_error, translate_singular_errors
from squarely.exact.factorization import Factorization
from squarely.exact.implicit_constant import Span, span_of_levels
from squarely.exact.merge.factorization import NOT_IN_MERGE, factorize_merged
from squarely.exact.merge.sums import Minimum, Part, constant_part, minimize, response_parts
from squarely.exact.solution import MergeRecord, Shard, Solution, is_same_shard, make_solution
from squarely.exact.units import natural_sizes, standard_error_scale, to_data_units, trusted_digits, unit_errors
from squarely.moments import MergedMoments
from squarely.numerics import ROUNDOFF, Array


@translate_singular_errors
def solve_merged(merged: MergedMoments, solutions: Sequence[Solution], signs: Sequence[int]) -> Solution:
    """Solve min sum_s sign_s (ssr_s + ||X_s (b - b_s)||^2) for the columns of `merged`, refined until a step cannot matter.

    `solutions` belong to the parts of `merged`, in their order; a sign of -1 removes one.

    Raises
    ------
    DataError : too few rows are left, or what is removed cannot have been in.
    NumericalError : a removal leaves nothing but rounding.
    """
    n, p = merged.moments.n, len(merged.moments.design.names)
    if n <= p:
        raise DataError(
            f"There {'is' if n == 1 else 'are'} {pluralize(n, 'complete row')} for {pluralize(p, 'coefficient')} in "
            f"all: nothing is left to measure the errors with. Give at least {p + 1} rows, or a formula with fewer columns."
        )
    merged, factor = factorize_merged(merged, solutions, signs)
    parts = response_parts(merged, factor, solutions, signs)
    minimum = minimize(merged, factor, parts, factor.rhs)
    if minimum.squares < -minimum.squares_error:
        raise DataError(NOT_IN_MERGE.format("the sum of squared residuals that would be left is below zero"))
    return _solution(merged, factor, minimum, parts, _span(merged, factor, parts))


def _span(merged: MergedMoments, factor: Factorization, parts: Sequence[Part]) -> Span | None:
    if merged.moments.design.intercept:
        return None
    levels = span_of_levels(merged.moments, factor)
    if levels is not None:
        return levels
    rhs = solve_triangular(factor.R, merged.moments.gram[factor.columns, 0], trans="T")
    minimum = minimize(merged, factor, [constant_part(part) for part in parts], rhs)
    return Span(
        b=minimum.b,
        remainder=float(np.sqrt(max(minimum.squares, 0.0))),
        remainder_error=minimum.fitted_error + float(np.sqrt(minimum.squares_error)),
    )


def _solution(merged: MergedMoments, factor: Factorization, minimum: Minimum, parts: Sequence[Part], span: Span | None) -> Solution:
    moments, squares, squares_error = merged.moments, max(minimum.squares, 0.0), minimum.squares_error
    solutions, has_removal = [part.solution for part in parts], any(part.sign < 0 for part in parts)
    params, error = to_data_units(moments, factor, minimum.b, minimum.error)
    # All rows lie on one line exactly. After a removal, a zero may be what cancellation left.
    perfect = squares <= squares_error and not has_removal and not any(s.ssr or s.ssr_error for s in solutions)
    if perfect:
        squares = squares_error = 0.0
        params = np.where(np.abs(params) <= error, 0.0, params)
    input_rounding = factor.error_factor * float(np.linalg.norm([s.input_rounding for s in solutions]))
    bse_error = factor.unit_error + input_rounding + 16 * ROUNDOFF
    bse_error += min(squares_error / (2 * squares) if squares > 0 else 1.0, 1.0)
    unit_bse = unit_errors(moments, factor, standard_error_scale(moments, factor), None)
    digits = trusted_digits(params, error, natural_sizes(moments, factor.columns))
    if not minimum.converged and not digits.any():
        raise no_digits_error()
    record = _merge_record(parts)
    if record.removed_rows:
        sigma2 = (squares if squares > squares_error else 0.0) / (moments.n - len(params))
        bse = unit_bse * float(moments.design.scales[-1]) * np.sqrt(sigma2)
        lost = (digits == 0) & (error > bse) | _suspicious_coefficients(factor, unit_bse, parts)
        if lost.any():
            names = np.array(factor.names)[factor.selected][lost][:3].tolist()
            raise NumericalError(
                f"The removal leaves nothing but rounding: {join_words(names)} would have no digit. Remove less, or fit the "
                "remaining rows."
            )
    norm = np.sqrt(squares)
    return make_solution(
        moments,
        factor,
        scaled_params=minimum.b,
        params=params,
        error=error,
        unit_bse=unit_bse,
        bse_error=np.nan if perfect else bse_error,
        squares=squares,
        squares_error=squares_error,
        totals=_totals(moments.n, parts),
        residuals=None,
        inverse_root=None,
        span=span,
        precision="extended" if all(s.precision == "extended" for s in solutions) else "double",
        scans=max(s.scans for s in solutions),
        converged=minimum.converged and all(s.converged for s in solutions),
        fitted_error=minimum.fitted_error + (minimum.squares_error / (2 * norm) if squares > 0 else np.sqrt(minimum.squares_error)),
        input_rounding=input_rounding,
        merge_record=record,
    )


def _suspicious_coefficients(factor: Factorization, unit_bse: Array, parts: Sequence[Part]) -> np.ndarray:
    """Return which coefficients (q,) have a much smaller standard error without the removed rows than with them: rounding."""
    added = [part.solution for part in parts if part.sign > 0]
    names = np.array(factor.names)[factor.selected].tolist()
    if len(added) == 1 and np.array(added[0].factor.names)[added[0].factor.selected].tolist() == names:
        return np.asarray(unit_bse < added[0].unit_bse[added[0].factor.selected] / 2)
    return np.zeros(len(unit_bse), dtype=bool)


def _totals(n: int, parts: Sequence[Part]) -> tuple[float, float, tuple[float, float, float]]:
    """Return the sum of squares of all responses about their mean, its error at most, and the mean as `Solution` has it.

    The means are exact sums of doubles: their differences lose nothing, however far from zero they are.
    """
    each = [(part.sign, part.solution.moments.n, part.solution) for part in parts]
    means = [Fraction(s.mean[0]) + Fraction(s.mean[1]) for _, _, s in each]
    mean = sum((sign * m * one for (sign, m, _), one in zip(each, means, strict=True)), Fraction(0)) / n
    mean_error = sum(m * s.mean[2] for _, m, s in each) / n
    centered = error = 0.0
    for (sign, m, s), one in zip(each, means, strict=True):
        away, away_error = float(one - mean), s.mean[2] + mean_error
        centered += sign * (s.centered_tss + m * away**2)
        error += s.tss_error + m * (2 * abs(away) + away_error) * away_error + 4 * ROUNDOFF * (s.centered_tss + m * away**2)
    high = float(mean)
    return max(centered, 0.0), error, (high, float(mean - Fraction(high)), mean_error)


def _merge_record(parts: Sequence[Part]) -> MergeRecord:
    """Return which fits were added and which removed, with those inside merged fits one by one."""
    rows: list[int] = []
    removed_rows: list[int] = []
    shards: list[Shard] = []
    for part in parts:
        fits = part.solution.included_fits
        if part.sign > 0:
            rows += fits.rows
            removed_rows += fits.removed_rows
            shards += fits.shards
        else:
            rows += fits.removed_rows
            removed_rows += fits.rows
            for removed in fits.shards:
                same = [shard for shard in shards if is_same_shard(shard, removed)]
                shards = [shard for shard in shards if shard is not same[0]] if same else shards
    return MergeRecord(rows=tuple(rows), removed_rows=tuple(removed_rows), shards=tuple(shards))
