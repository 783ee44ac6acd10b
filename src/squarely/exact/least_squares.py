"""Road one: solve the least squares problem, refine it on the rows, and say how many digits can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import Source
from squarely.errors import DataError, OptionError, counted
from squarely.exact.factor import TEN_DIGITS, Factor, factorise
from squarely.exact.residuals import ResidualSums, scan_residuals
from squarely.exact.whitening import CHEAP_CELLS, Root, inverse_root, wants_whitening
from squarely.moments import Moments
from squarely.numerics import ROUNDOFF, Array, two_sum

_MOST_SCANS = 4


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Solution:
    """The least squares solution and how it was reached.

    Attributes
    ----------
    moments : the cross-products it rests on; `factor` the triangular factor and the columns kept.
    root : of (X'X)^-1, where R leaves too few digits for standard errors, else None.
    params : (p,) coefficients in the units of the data, NaN for a dropped column.
    residuals : sums over the residuals, from the last scan, in the scaled unit of the response.
    b : (q,) the coefficients of the scaled columns that are kept, as double-double.
    ssr, centered_tss : sums of squares of the residuals and of the response about its mean, in its unit squared.
    digits : (p,) decimal digits of each coefficient that can be trusted, with the exact solution for the stored
        doubles as the truth, NaN for what is zero up to rounding; `digits_bse` (p,) likewise for the standard errors.
    precision : "extended" or "double", of the residuals and X'r in the refinement.
    scans : how often all rows were read. `settled` whether another scan could not have mattered.
    """

    moments: Moments
    factor: Factor
    root: Root | None
    b: tuple[Array, Array]
    params: Array
    residuals: ResidualSums
    ssr: float
    centered_tss: float
    digits: Array
    digits_bse: Array
    precision: str
    scans: int
    settled: bool


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
            f"There {'is' if moments.n == 1 else 'are'} {counted(moments.n, 'complete row')} for {counted(p, 'coefficient')} in "
            f"{source.label}: nothing is left to measure the errors with. "
            f"{' '.join([*moments.account.lines()[1:], f'Give at least {p + 1} rows'])}, or a formula with fewer columns."
        )
    if moments.aggregated is not None:
        from squarely.exact.aggregates import solve_inside  # which makes a Solution in turn

        return solve_inside(moments, source, collinear=collinear)
    factor = factorise(moments, source)
    if factor.dependencies and collinear == "raise":
        raise DataError(f"Columns depend on each other: {'; '.join(factor.dependencies)}. Leave one of them out.")
    refined = _refine(moments, source, factor)
    root = inverse_root(moments, source, factor) if wants_whitening(moments, factor) else None
    return _solution(moments, factor, refined, root)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Refined:
    """The solution in scaled columns: b (q,) as double-double, its error (q,) at most, and the residuals that belong to it.

    `squares` is the sum of squared residuals after the last correction, `fuzz` what the norm of the residuals may be off.
    """

    b: tuple[Array, Array]
    error: Array
    residuals: ResidualSums
    squares: float
    fuzz: float
    extended: bool
    scans: int
    settled: bool


def _refine(moments: Moments, source: Source, factor: Factor) -> _Refined:
    R, columns = factor.R, factor.columns
    length = np.linalg.norm(R, axis=0)  # (q,) lengths of the scaled columns
    spread = np.linalg.norm(solve_triangular(R, np.eye(len(R))), axis=1)  # (q,) roots of the diagonal of (R'R)^-1
    hi, lo = solve_triangular(R, factor.rhs), np.zeros(len(R))
    size = float(np.abs(hi) @ length + np.sqrt(moments.gram[-1, -1]))  # the residuals are computed from terms of this size
    doubtful = 4 * ROUNDOFF * spread * size > TEN_DIGITS * np.abs(hi)
    extended = moments.n * len(R) <= CHEAP_CELLS or bool(doubtful.any())
    unit = moments.n * ROUNDOFF**2 if extended else 4 * ROUNDOFF  # relative error of one sum over the rows
    fuzz = 4 * (ROUNDOFF**2 if extended else ROUNDOFF) * size
    scans, settled = 0, False
    while not settled and scans < _MOST_SCANS:
        residuals = scan_residuals(moments, source, columns, (hi, lo), extended=extended)
        scans += 1
        gradient = residuals.gradient + residuals.gradient_low
        d = solve_triangular(R, solve_triangular(R, gradient, trans="T"))
        hi, e = two_sum(hi, d)
        lo = lo + e
        # What this step leaves: its own error, that of r, and that of X'r, which counts with the condition once more.
        noise = unit * spread * (size + factor.condition * np.sqrt(len(R) * residuals.squares))
        error = factor.unit_error * (length @ np.abs(d)) * spread + noise
        # The residual statistics come from this scan: what it moved the fit by must be small beside the residuals too.
        still = float(np.linalg.norm(R @ d)) <= TEN_DIGITS * np.sqrt(residuals.squares)
        exact = residuals.squares <= fuzz**2  # nothing but rounding: the data lie on the line exactly
        settled = exact or (still and bool((error <= ROUNDOFF * np.abs(hi) + 2 * noise).all()))
    if exact:
        residuals = replace(residuals, squares=0.0, powers=0 * residuals.powers, steps=0.0)
    return _Refined(
        b=(hi, lo),
        error=error,
        residuals=residuals,
        squares=max(residuals.squares - float(d @ gradient), 0.0),
        fuzz=fuzz,
        extended=extended,
        scans=scans,
        settled=settled,
    )


def _solution(moments: Moments, factor: Factor, refined: _Refined, root: Root | None) -> Solution:
    """Turn the refined solution into the units of the data, and count the digits."""
    params, error, natural = _to_units(moments, factor, refined.b, refined.error)
    if refined.squares == 0.0:  # no residual: what cannot be told from zero is zero, and not a crumb with a t of infinity
        params = np.where(np.abs(params) <= error, 0.0, params)
    squares, scale = refined.squares, float(moments.design.scales[-1])
    first, second = refined.residuals.spread
    # Standard errors inherit the error of R, or of the root, and that of the residuals, and each is rounded a few times.
    relative = (
        (factor.unit_error if root is None else root.error)
        + 16 * ROUNDOFF
        + (refined.fuzz / np.sqrt(squares) if squares > 0 else 0.0)
    )
    ones = np.ones(len(params))
    return Solution(
        moments=moments,
        factor=factor,
        b=refined.b,
        params=spread_out(params, factor.kept),
        residuals=refined.residuals,
        ssr=squares * scale**2,
        centered_tss=max(float(second - first**2 / moments.n), 0.0) * scale**2,
        root=root,
        digits=spread_out(digits_of(params, error, natural), factor.kept),
        digits_bse=spread_out(digits_of(ones, relative * ones, 0 * ones), factor.kept),
        precision="extended" if refined.extended else "double",
        scans=moments.design.scans + moments.passes + (factor.road == "triangle") + refined.scans + (root is not None),
        settled=refined.settled,
    )


def _to_units(moments: Moments, factor: Factor, b: tuple[Array, Array], error: Array) -> tuple[Array, Array, Array]:
    """Turn scaled coefficients (q,) into the units of the data, exactly, and round once; carry their errors along.

    The third array (q,) is what is natural for each: the size it would have if its column alone made up the response.
    """
    design, columns = moments.design, factor.columns
    ratio = design.column_scales[-1] / design.column_scales[columns]
    exact = [
        (Fraction(x) + Fraction(e)) * Fraction(s) for x, e, s in zip(b[0].tolist(), b[1].tolist(), ratio.tolist(), strict=True)
    ]
    error = error * ratio
    natural = ratio * np.sqrt(moments.gram[-1, -1] / np.diag(moments.gram)[columns])
    if design.intercept:
        near = design.centres[columns[1:] - 1]
        exact[0] += Fraction(float(design.centres[-1]))
        exact[0] -= sum((beta * Fraction(c) for beta, c in zip(exact[1:], near.tolist(), strict=True)), Fraction(0))
        error[0] += np.abs(near) @ error[1:]
        natural[0] += abs(float(design.centres[-1])) + np.abs(near) @ natural[1:]
    params = np.array([float(beta) for beta in exact])
    return params, error + ROUNDOFF * np.abs(params), natural


def digits_of(value: Array, error: Array, natural: Array) -> Array:
    """Count digits: -log10 of the relative error, between 0 and 15.

    NaN where a value cannot be told from zero although its error is tiny by what is natural: zero has no digits.
    """
    zero = (np.abs(value) <= error) & (error <= TEN_DIGITS * natural)
    relative = np.divide(error, np.abs(value), out=np.ones_like(error), where=value != 0)
    digits = np.clip(-np.log10(np.maximum(relative, 1e-16)), 0.0, 15.0) + 0.0  # no -0.0
    return np.where(zero, np.nan, digits)


def spread_out(values: Array, kept: np.ndarray) -> Array:
    """Put values (q,) in the places of the kept coefficients (p,), NaN in the others."""
    full = np.full(len(kept), np.nan)
    full[kept] = values
    return full
