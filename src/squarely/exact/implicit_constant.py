"""Whether columns without an intercept span a constant: decided as rank is, by what they leave of a column of ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import Source
from squarely.exact.factorization import Factorization
from squarely.exact.residuals import scan_residuals
from squarely.moments import Moments
from squarely.numerics import ROUNDING, ROUNDOFF, Array, Pair, two_sum

_CLEAR_FRACTION = 1e-6  # the share of its square that is left of a constant, from which cross-products alone can tell
_FEW_COLUMNS = 8  # columns, as in `rank`
_CERTAIN_ROUNDINGS = 1e3  # so many roundings of the values may be rounding of the sums
_STEPS = 3  # the first solves, the second corrects, the third tells what is left


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Span:
    """The combination of the kept columns that is nearest to one in every row.

    Attributes
    ----------
    b : (q,) its coefficients for the scaled columns, as double-double.
    remainder : the length of what it leaves of the ones, and `remainder_error` by how much that may be off.
    """

    b: Pair
    remainder: float
    remainder_error: float

    def is_spanned(self, moments: Moments, factor: Factorization) -> bool:
        """Tell whether a constant is spanned, up to what the rounding of the stored values can explain."""
        return self.remainder <= _tolerance(moments, factor, self.b[0]) + self.remainder_error

    def is_certain(self, moments: Moments, factor: Factorization) -> bool:
        """Tell whether `holds` is certain: after a removal the error may be far beyond what rounding of values explains."""
        room = _tolerance(moments, factor, self.b[0])
        return self.remainder > room + self.remainder_error or self.remainder_error <= _CERTAIN_ROUNDINGS * room


def _tolerance(moments: Moments, factor: Factorization, b: Array) -> float:
    lengths = np.sqrt(np.diag(moments.gram))
    sizes = lengths[0] + np.abs(b) @ lengths[factor.columns]
    return float(ROUNDING * max(1.0, np.sqrt(len(b) / _FEW_COLUMNS)) * ROUNDOFF * sizes)


def span_by_sums(moments: Moments, factor: Factorization) -> Span | None:
    """Give the span where cross-products decide it: every row has a level that is coded, or much is left of the ones."""
    levels = span_of_levels(moments, factor)
    if levels is not None:
        return levels
    n = float(moments.n)
    inside = solve_triangular(factor.R, moments.gram[factor.columns, 0], trans="T")
    left, fuzz = n - float(inside @ inside), (32 * ROUNDOFF + 4 * factor.unit_error) * n
    if left <= _CLEAR_FRACTION * n + fuzz:
        return None
    b = solve_triangular(factor.R, inside)
    return Span(b=(b, np.zeros(len(b))), remainder=float(np.sqrt(left)), remainder_error=float(fuzz / np.sqrt(left)))


def span_of_levels(moments: Moments, factor: Factorization) -> Span | None:
    """Add the indicators of all levels, or of all cells of levels, up to one, if these are kept."""
    design, scales = moments.design, moments.design.column_scales
    groups: dict[frozenset[str], list[int]] = {}
    for i, j in enumerate(factor.columns.tolist()):
        parts = design.columns[j - 1].parts
        if all(full and text in design.categories and design.categories[text].kind == "treatment" for text, full, _ in parts):
            groups.setdefault(frozenset(text for text, _, _ in parts), []).append(i)
    for members in groups.values():
        at = factor.columns[members]
        if float(scales[at] @ moments.gram[0, at]) == moments.n:  # sums of zeros and ones are exact
            b = np.zeros(len(factor.columns))
            b[members] = scales[at]
            return Span(b=(b, np.zeros(len(b))), remainder=0.0, remainder_error=0.0)
    return None


def span_of(moments: Moments, source: Source, factor: Factorization) -> tuple[Span, int]:
    """Give the span, and how many scans of the rows it took."""
    told = span_by_sums(moments, factor)
    if told is not None:
        return told, 0
    columns = np.concatenate([[0], factor.columns])

    def seen(hi: Array, lo: Array) -> tuple[float, Array]:
        b = np.concatenate([[-1.0], hi]), np.concatenate([[0.0], lo])
        sums, _ = scan_residuals(moments, source, columns, b, extended=True, response=0.0)
        return sums.squares, (sums.gradient + sums.gradient_low)[1:]

    return span_by_scans(moments, factor, seen)


def span_by_scans(moments: Moments, factor: Factorization, seen: Callable[[Array, Array], tuple[float, Array]]) -> tuple[Span, int]:
    """Refine the span: `seen` scans the rows for r = 1 - X b and gives the sum of r^2 and X'r (q,)."""
    R = factor.R
    hi = solve_triangular(R, solve_triangular(R, moments.gram[factor.columns, 0], trans="T"))
    lo = np.zeros(len(hi))
    scans, near = 0, False
    while scans < _STEPS and not near:
        squares, gradient = seen(hi, lo)
        scans += 1
        step = solve_triangular(R, solve_triangular(R, gradient, trans="T"))
        near = bool(np.sqrt(squares) <= _tolerance(moments, factor, hi))
        squares = max(squares - float(step @ gradient), 0.0)
        hi, e = two_sum(hi, step)
        lo = lo + e
    blur = factor.unit_error * float(np.linalg.norm(R @ step)) + 4 * ROUNDOFF * float(np.sqrt(squares))
    return Span(b=(hi, lo), remainder=float(np.sqrt(squares)), remainder_error=blur), scans
