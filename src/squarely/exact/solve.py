"""Road one: solve the least squares problem, refine it on the rows, and say how many digits can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import Source
from squarely.errors import DataError, OptionError, counted
from squarely.exact.factor import Factor, factorise
from squarely.exact.residuals import ResidualSums, scan_residuals
from squarely.moments import Moments
from squarely.numerics import ROUNDOFF, Array, two_sum

_CHEAP_CELLS = 10_000_000  # double-double costs about 30 ns a cell: a third of a second here
_TEN_DIGITS = 1e-10
_MOST_SCANS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """The least squares solution and how it was reached.

    Attributes
    ----------
    moments : the cross-products it rests on; `factor` the triangular factor and the columns kept.
    params : (p,) coefficients in the units of the data, NaN for a dropped column.
    residuals : sums over the residuals, from the last scan, in the scaled unit of the response.
    ssr : sum of squared residuals, in the response's unit squared.
    digits : (p,) decimal digits of each coefficient that can be trusted, with the exact solution for the stored
        doubles as the truth; `digits_bse` (p,) likewise for the standard errors.
    precision : "extended" or "double", of the residuals and X'r in the refinement.
    scans : how often the rows were read.
    """

    moments: Moments
    factor: Factor
    params: Array
    residuals: ResidualSums
    ssr: float
    digits: Array
    digits_bse: Array
    precision: str
    scans: int


def solve(moments: Moments, source: Source, *, collinear: str = "drop") -> Solution:
    """Solve min ||y - X beta||_2 from cross-products or a triangle, then refine by corrected semi-normal equations.

    One step of refinement is one scan: r = y - X b, R'R d = X'r, b + d. It is the scan that the residual statistics need
    anyway. Ill-conditioned problems get further steps until the next one could not matter.

    Source: Bjorck (1987), doi:10.1016/0024-3795(87)90101-7.

    Raises
    ------
    DataError : too few rows; or a dependency among the columns and `collinear="raise"`.
    """
    if collinear not in {"drop", "raise"}:
        raise OptionError(f"collinear={collinear!r} is not understood. Use 'drop' or 'raise'.")
    p = len(moments.design.names)
    if moments.n <= p:
        raise DataError(
            f"{source.label} has {counted(moments.n, 'complete row')} for {counted(p, 'coefficient')}: nothing is left to "
            f"measure the errors with. Give at least {p + 1} rows, or a formula with fewer columns."
        )
    factor = factorise(moments, source)
    if factor.dependencies and collinear == "raise":
        raise DataError(f"Columns depend on each other: {'; '.join(factor.dependencies)}. Leave one of them out.")
    return _refine(moments, source, factor)


def _refine(moments: Moments, source: Source, factor: Factor) -> Solution:
    R = factor.R
    hi, lo = solve_triangular(R, factor.rhs), np.zeros(len(R))
    spread = np.linalg.norm(solve_triangular(R, np.eye(len(R))), axis=1)  # (q,) roots of the diagonal of (R'R)^-1
    size = float(np.abs(hi) @ np.linalg.norm(R, axis=0) + np.sqrt(moments.gram[-1, -1]))
    doubtful = 2 * ROUNDOFF * spread * size > _TEN_DIGITS * np.abs(hi)
    extended = moments.n * len(R) <= _CHEAP_CELLS or bool(doubtful.any())
    noise = (moments.n * ROUNDOFF**2 if extended else 2 * ROUNDOFF) * spread * size
    scans = moments.passes + (factor.road == "triangle")
    for _ in range(_MOST_SCANS):
        residuals = scan_residuals(moments, source, factor.columns, (hi, lo), extended=extended)
        scans += 1
        d = solve_triangular(R, solve_triangular(R, residuals.gradient, trans="T"))
        hi, e = two_sum(hi, d)
        lo = lo + e
        left = factor.unit_error * np.linalg.norm(R, axis=0) @ np.abs(d) * spread + noise
        if (factor.unit_error * np.abs(d) <= ROUNDOFF * np.abs(hi) + noise).all():
            break
    params, error = _to_units(moments, factor, hi, lo, left)
    scale = moments.design.scales[-1]
    ssr = max(residuals.squares - float(d @ residuals.gradient), 0.0) * float(scale) ** 2
    kept = factor.kept
    digits, digits_bse = np.full(len(kept), np.nan), np.full(len(kept), np.nan)
    digits[kept] = _digits(error, params)
    digits_bse[kept] = _digits(np.full(len(params), factor.unit_error + 4 * ROUNDOFF), np.ones(len(params)))
    full = np.full(len(kept), np.nan)
    full[kept] = params
    return Solution(
        moments=moments,
        factor=factor,
        params=full,
        residuals=residuals,
        ssr=ssr,
        digits=digits,
        digits_bse=digits_bse,
        precision="extended" if extended else "double",
        scans=scans,
    )


def _to_units(moments: Moments, factor: Factor, hi: Array, lo: Array, left: Array) -> tuple[Array, Array]:
    """Turn scaled coefficients (q,) into the units of the data, exactly, and round once; carry their errors along."""
    design = moments.design
    centres, scales = np.concatenate([[0.0], design.centres]), np.concatenate([[1.0], design.scales])
    ratio = scales[-1] / scales[factor.columns]
    exact = [(Fraction(a) + Fraction(e)) * Fraction(s) for a, e, s in zip(hi.tolist(), lo.tolist(), ratio.tolist(), strict=True)]
    error = left * ratio
    if design.formula.intercept:
        near = centres[factor.columns]
        exact[0] += Fraction(float(centres[-1])) - sum(
            (beta * Fraction(c) for beta, c in zip(exact[1:], near[1:].tolist(), strict=True)), Fraction(0)
        )
        error[0] += np.abs(near[1:]) @ error[1:]
    params = np.array([float(beta) for beta in exact])
    return params, error + ROUNDOFF * np.abs(params)


def _digits(error: Array, value: Array) -> Array:
    """Count digits: -log10 of the relative error, between 0 and 15; a value that is exactly right has 15."""
    relative = np.divide(error, np.abs(value), out=np.where(error > 0, 1.0, 0.0), where=value != 0)
    return np.clip(-np.log10(np.maximum(relative, 1e-16)), 0.0, 15.0)
