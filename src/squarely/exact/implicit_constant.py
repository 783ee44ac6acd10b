"""Whether columns without an intercept span a constant: decided as rank is, by what they leave of a column of ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import Source
from squarely.exact.factorization import Factorization
from squarely.exact.rank import growth_of_rounding
from squarely.exact.residuals import ResidualScan, scan_all_residuals
from squarely.moments import Moments
from squarely.numerics import ROUNDING, ROUNDOFF, Array, Pair, two_sum

_CLEAR_FRACTION = 1e-6  # of its square: cross-products decide if more of a constant is left
_CERTAIN_ROUNDINGS = 1e3  # so many roundings of the values may be rounding of the sums
_STEPS = 3  # the first solves, the second corrects, the third measures what is left


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Span:
    """The combination b (q,) of the selected scaled columns, as double-double, that is nearest to one in every row.

    `remainder` is the length of what it leaves of the ones, with `remainder_error`.
    """

    b: Pair
    remainder: float
    remainder_error: float

    def is_spanned(self, moments: Moments, factor: Factorization) -> bool:
        """Return whether a constant is spanned, up to the rounding of the stored values."""
        return self.remainder <= _tolerance(moments, factor, self.b[0]) + self.remainder_error

    def is_certain(self, moments: Moments, factor: Factorization) -> bool:
        """Return whether `is_spanned` is certain: after a removal the error may be far above the rounding of the values."""
        tolerance = _tolerance(moments, factor, self.b[0])
        return self.remainder > tolerance + self.remainder_error or self.remainder_error <= _CERTAIN_ROUNDINGS * tolerance


def _tolerance(moments: Moments, factor: Factorization, b: Array) -> float:
    lengths = np.sqrt(np.diag(moments.gram))
    return float(ROUNDING * growth_of_rounding(len(b)) * ROUNDOFF * (lengths[0] + np.abs(b) @ lengths[factor.columns]))


def span_by_sums(moments: Moments, factor: Factorization) -> Span | None:
    """Return the span if cross-products decide it: every row has a level that is coded, or much of the ones is left."""
    if (levels := span_of_levels(moments, factor)) is not None:
        return levels
    n = moments.weight
    projection = solve_triangular(factor.R, moments.gram[factor.columns, 0], trans="T")
    square, error = n - float(projection @ projection), (32 * ROUNDOFF + 4 * factor.unit_error) * n
    if square <= _CLEAR_FRACTION * n + error:
        return None
    b = solve_triangular(factor.R, projection)
    return Span(b=(b, np.zeros(len(b))), remainder=float(np.sqrt(square)), remainder_error=float(error / np.sqrt(square)))


def span_of_levels(moments: Moments, factor: Factorization) -> Span | None:
    """Add up the indicators of all levels, or of all cells of levels, if they are selected and their sum is one in every row."""
    design, scales = moments.design, moments.design.column_scales
    groups: dict[frozenset[str], list[int]] = {}
    for i, j in enumerate(factor.columns.tolist()):
        parts = design.columns[j - 1].parts
        if all(full and text in design.categories and design.categories[text].kind == "treatment" for text, full, _ in parts):
            groups.setdefault(frozenset(text for text, _, _ in parts), []).append(i)
    for members in groups.values():
        at = factor.columns[members]
        if float(scales[at] @ moments.gram[0, at]) == moments.weight:  # sums of zeros and ones are exact
            b = np.zeros(len(factor.columns))
            b[members] = scales[at]
            return Span(b=(b, np.zeros(len(b))), remainder=0.0, remainder_error=0.0)
    return None


def span_of(moments: Moments, source: Source, factor: Factorization) -> tuple[Span, int]:
    """Return the span, and how many scans of the rows it took."""
    if (span := span_by_sums(moments, factor)) is not None:
        return span, 0
    columns = np.concatenate([[0], factor.columns])

    def scan(hi: Array, lo: Array) -> tuple[float, Array]:
        b = np.concatenate([[-1.0], hi]), np.concatenate([[0.0], lo])
        of_ones = ResidualScan(moments=moments, columns=columns, b=b, extended=True, response=0.0)
        sums = scan_all_residuals([of_ones], source)[0][0]
        return sums.squares, (sums.gradient + sums.gradient_low)[1:]

    return span_by_scans(moments, factor, scan)


def span_by_scans(moments: Moments, factor: Factorization, scan: Callable[[Array, Array], tuple[float, Array]]) -> tuple[Span, int]:
    """Refine the span: `scan` reads the rows for r = 1 - X b and returns the sum of r^2 and X'r (q,)."""
    R = factor.R
    hi = solve_triangular(R, solve_triangular(R, moments.gram[factor.columns, 0], trans="T"))
    lo = np.zeros(len(hi))
    scans, spanned = 0, False
    while scans < _STEPS and not spanned:
        squares, gradient = scan(hi, lo)
        scans += 1
        step = solve_triangular(R, solve_triangular(R, gradient, trans="T"))
        spanned = bool(np.sqrt(squares) <= _tolerance(moments, factor, hi))
        squares = max(squares - float(step @ gradient), 0.0)
        hi, e = two_sum(hi, step)
        lo = lo + e
    error = factor.unit_error * float(np.linalg.norm(R @ step)) + 4 * ROUNDOFF * float(np.sqrt(squares))
    return Span(b=(hi, lo), remainder=float(np.sqrt(squares)), remainder_error=error), scans
