"""Solve the least squares problem, refine the solution on the rows, and count the digits that can be trusted."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import Source
from squarely.errors import OptionError, require_one_of
from squarely.exact.condition_number import column_norms, translate_singular_errors
from squarely.exact.engine.solve import solve_in_engine
from squarely.exact.factorization import TEN_DIGITS, Factorization, factorize
from squarely.exact.implicit_constant import Span, span_of
from squarely.exact.rank import require_independent, require_rows
from squarely.exact.residuals import ResidualScan, ResidualSums, scan_all_residuals, without_shape
from squarely.exact.solution import UNORDERED, Refinement, Solution, make_solution, require_digits
from squarely.exact.units import standard_error_scale, to_data_units, totals_of
from squarely.exact.whitening import InverseRoot, inverse_root
from squarely.moments import CHEAP_CELLS, Moments
from squarely.numerics import ROUNDOFF, SLICED_ROWS, Array, slice_bits, slicing_bound, two_sum
from squarely.types import Collinear, Precision

_MOST_SCANS = 4
_ROUNDINGS = 32  # of one entry of a triangle, which is merged from those of few rows


def require_precision(precision: str) -> None:
    """Raise an OptionError if there is no such precision."""
    require_one_of("precision", precision, get_args(Precision))


@translate_singular_errors()
def solve_least_squares(
    moments: Moments, source: Source, *, collinear: str = "drop", precision: str = "auto", absent: int = 0
) -> Solution:
    """Solve min ||y - X beta||_2 from cross-products or a triangle, then refine by corrected semi-normal equations.

    One step of refinement is one scan: r = y - X b, R'R d = X'r, b + d. The residual statistics need this scan anyway.
    Ill-conditioned problems get further steps until the next one could not matter. `precision` is that of r and X'r:
    "double", "extended" (double-double), or "auto". Auto is extended up to ten million cells, and where doubles would leave an
    error of a coefficient above 1e-10 of itself and of its standard error. So a coefficient that is tiny beside its standard
    error may have fewer than ten digits: `digits` always count against the coefficient itself.

    Source: Bjorck (1987), doi:10.1016/0024-3795(87)90101-7.

    Raises
    ------
    DataError : too few rows; a dependency among the columns and `collinear="raise"`; or no coefficient has a digit.
    """
    require_one_of("collinear", collinear, get_args(Collinear))
    require_precision(precision)
    require_rows(moments, source.label, moments.account.lines()[1:], absent=absent)
    if moments.engine_record is not None:
        if precision == "extended":
            raise OptionError(
                f"precision='extended' needs the rows, and aggregates leave them in {moments.engine_record.engine}. "
                f"{source.alternative}."
            )
        return solve_in_engine(moments, source, collinear=collinear)
    return _solve_on_rows([moments], source, collinear=collinear, precision=precision)[0]


@translate_singular_errors()
def solve_responses(
    every: Sequence[Moments], source: Source, *, collinear: str = "drop", precision: str = "auto"
) -> list[Solution]:
    """Solve for several responses, whose designs differ in these alone; each scan of the residuals serves all of them."""
    require_one_of("collinear", collinear, get_args(Collinear))
    require_precision(precision)
    require_rows(every[0], source.label, every[0].account.lines()[1:])
    return _solve_on_rows(every, source, collinear=collinear, precision=precision)


def _solve_on_rows(every: Sequence[Moments], source: Source, *, collinear: str, precision: str) -> list[Solution]:
    first = every[0]
    factors = [factorize(moments, source) for moments in every]
    if collinear == "raise":
        require_independent(factors[0].dropped)
    refinements = [_refine(moments, factor, precision) for moments, factor in zip(every, factors, strict=True)]
    refined = _scan_together(refinements, source)
    root = inverse_root(first, source, factors[0])
    has_constant = first.design.intercept or first.design.absorbed is not None
    span, scans = (None, 0) if has_constant else span_of(first, source, factors[0])
    scans += first.design.scans + first.passes + (factors[0].method == "triangle") + (root is not None)
    return [
        _make_solution(moments, source, factor, result, root=root, span=span, scans=scans)
        for moments, factor, result in zip(every, factors, refined, strict=True)
    ]


def _make_solution(
    moments: Moments,
    source: Source,
    factor: Factorization,
    result: _Refined,
    *,
    root: InverseRoot | None,
    span: Span | None,
    scans: int,
) -> Solution:
    design, n = moments.design, moments.n
    refined, residuals, error, scale = result
    params, error = to_data_units(moments, factor, refined.b, error)
    if refined.squares == 0.0 and refined.precision == "extended":  # a perfect fit: an estimate that is rounding has no t
        params = np.where(np.abs(params) <= error, 0.0, params)
    place, rounding = (design.centers[-1], float(design.scales[-1]), float(moments.gram[0, -1] / moments.weight)), _sum_rounding(n)
    if not source.ordered:
        moments = replace(moments, remarks=(*moments.remarks, UNORDERED.format(source.label)))
    solution = make_solution(
        moments,
        factor,
        replace(refined, scans=scans + refined.scans),
        params=params,
        error=error,
        scale=scale,
        totals=totals_of(moments.weight, place, residuals.response_sums, rounding),
        span=span,
        residuals=residuals,
        inverse_root=root,
        rounding=rounding,
    )
    return require_digits(solution)


_Refined = tuple[Refinement, ResidualSums, Array, Array]
_Refining = Generator[ResidualScan, tuple[ResidualSums, Array], _Refined]  # asks for scans


def _scan_together(refinements: Sequence[_Refining], source: Source) -> list[_Refined]:
    """Run refinements side by side: each scan of the rows answers all that ask for one."""
    results: dict[int, _Refined] = {}
    waiting = {i: next(refining) for i, refining in enumerate(refinements)}
    while waiting:
        answers = scan_all_residuals([*waiting.values()], source)
        asked, waiting = [*waiting], {}
        for i, answer in zip(asked, answers, strict=True):
            try:
                waiting[i] = refinements[i].send(answer)
            except StopIteration as end:
                results[i] = end.value
    return [results[i] for i in range(len(refinements))]


def _refine(moments: Moments, factor: Factorization, precision: str) -> _Refining:
    """Return also the residuals of the last scan, the error of b (q,) and the result of `standard_error_scale`."""
    R, columns = factor.R, factor.columns
    length = column_norms(R)  # (q,) of the scaled columns
    scale = standard_error_scale(moments, factor)
    hi, lo = solve_triangular(R, factor.rhs, check_finite=False), np.zeros(len(R))
    size = _size_of_terms(moments, columns, np.abs(hi) * length)
    extended = precision == "extended" or (precision == "auto" and _needs_extended(moments, factor, hi, scale, size))
    scans, converged = 0, False
    while not converged and scans < _MOST_SCANS:
        residuals, column_rounding = yield ResidualScan(moments=moments, columns=columns, b=(hi, lo), extended=extended)
        scans += 1
        gradient = residuals.gradient + residuals.gradient_low
        d = solve_triangular(R, solve_triangular(R, gradient, trans="T", check_finite=False), check_finite=False)
        hi, e = two_sum(hi, d)
        lo = lo + e
        r_error, gradient_error = _scan_rounding(moments.n, residuals, hi, size, extended=extended)
        # What this step leaves: its own error, that of r, and that of X'r, which the condition multiplies once more.
        noise = scale * (r_error + gradient_error * factor.condition * np.sqrt(len(R) * residuals.squares))
        # Columns X + E and a response y + e were rounded before the scan: b is off by (X'X)^-1 [X'(e - E b) + E'r].
        input_error = float(column_rounding[-1] + column_rounding[columns] @ np.abs(hi))
        input_rounding = float(column_rounding[columns] @ scale)
        noise = noise + scale * (input_error + input_rounding * np.sqrt(residuals.squares))
        step = float(np.linalg.norm(R @ d))
        step_error = _step_error(factor, step, float(length @ np.abs(d)))
        error = scale * step_error + noise
        # The residual statistics come from this scan: the step must be small beside the residuals too.
        small = step <= TEN_DIGITS * np.sqrt(residuals.squares)
        # Nothing but rounding: the data lie on the line exactly, unless huge coefficients hide all but rounding.
        exact = residuals.squares <= r_error**2 <= ROUNDOFF * moments.gram[-1, -1]
        converged = bool(exact or (small and (error <= ROUNDOFF * np.abs(hi) + 2 * noise).all()))
        if exact and not extended and precision == "auto":
            extended, converged = True, False  # double-double may see more than the rounding that doubles see
    if exact:
        residuals = replace(residuals, squares=0.0, powers=0 * residuals.powers, sum_squared_differences=0.0)
    squares, rounding, step_error = max(residuals.squares - float(d @ gradient), 0.0), r_error + input_error, step_error * step
    squares_error, bse_error = 0.0, np.nan  # zero has no digits
    if squares > 0:
        squares_error = _sum_rounding(moments.n) * squares + 2 * rounding * np.sqrt(squares) + step_error
        bse_error = rounding / np.sqrt(squares) + step_error / (2 * squares)
    elif not extended:  # doubles see nothing, and double-double might
        squares_error, bse_error = step_error + rounding**2, 1.0
    refined = Refinement(
        b=(hi, lo),
        squares=squares,
        squares_error=float(squares_error),
        bse_error=float(bse_error),
        fitted_error=factor.unit_error * step + float(np.linalg.norm(noise / scale)) + r_error + input_error,
        converged=converged,
        input_rounding=input_rounding,
        precision="extended" if extended else "double",
        scans=scans,
    )
    return refined, without_shape(residuals, r_error + step), error, scale


def _sum_rounding(n: int) -> float:
    """Bound the relative error of a sum over n rows, within blocks and over them."""
    return float(ROUNDOFF * (16 + np.sqrt(min(n, SLICED_ROWS) + n / SLICED_ROWS)))


def _needs_extended(moments: Moments, factor: Factorization, b: Array, scale: Array, size: float) -> bool:
    """Return whether double-double is cheap, or doubles leave fewer than ten digits."""
    squares = max(float(moments.gram[-1, -1] - factor.rhs @ factor.rhs), 0.0)
    errors = scale * np.sqrt(squares / max(moments.n - len(factor.R), 1))
    # An estimate that the data cannot tell from zero does not need ten digits: they count against the standard error.
    inexact = 4 * ROUNDOFF * scale * size > TEN_DIGITS * np.maximum(np.abs(b), errors)
    return moments.n * moments.design.layout.cells <= CHEAP_CELLS or bool(inexact.any())


def _size_of_terms(moments: Moments, columns: np.ndarray, sizes: Array) -> float:
    """Bound the size, as a norm over the rows, of the terms of the residuals: y and the x_j b_j of norms (q,).

    Norms add up. A row has at most one indicator of a block, so those of one block add up in squares. The roundings of many
    terms do not all have one sign: they stay within four times the root of the sum of squares, which is less beyond 16 terms.
    """
    layout = moments.design.layout
    norms = np.zeros(len(moments.design.labels) + 1)
    norms[columns] = sizes
    grouped = norms[layout.grouped + 1]
    blocks = [np.linalg.norm(grouped[np.unique(block.lookup[block.lookup >= 0])]) for block in layout.blocks]
    terms = np.array([norms[0], *norms[layout.dense + 1], *blocks, np.sqrt(moments.gram[-1, -1])])
    return float(min(terms.sum(), 4 * np.linalg.norm(terms)))


def _step_error(factor: Factorization, step: float, terms: float) -> float:
    """Bound the norm of R times the error of a step d, with `step` ||R d|| and `terms` the sum of |d_j| ||R_j||.

    With R'R for X'X + D, |D| <= p u ||R_i|| ||R_j|| from cross-products, the step is off by (R'R)^-1 D d, which has kappa once;
    the bound allows kappa squared. A triangle R + E is off by R^-1 R^-T E'R d and R^-1 E d, and ||E d|| <= p u times the terms.
    """
    if factor.method == "moments":
        return factor.unit_error * terms
    return factor.unit_error * step + _ROUNDINGS * len(factor.R) * ROUNDOFF * terms


def _scan_rounding(n: int, residuals: ResidualSums, b: Array, size: float, *, extended: bool) -> tuple[float, float]:
    """Bound the rounding of one scan: of the norm of r, by the size of its terms, and of X'r relative to the lengths of X and r."""
    if not extended:
        return 4 * ROUNDOFF * size, 4 * ROUNDOFF
    bits = slice_bits(max(min(n, SLICED_ROWS), len(b)))
    lost = float(slicing_bound(bits) * residuals.top * np.sqrt(n))  # the root mean square of scaled columns is near one
    return 8 * ROUNDOFF**2 * size + lost * float(np.abs(b).sum()), 8 * lost + n * ROUNDOFF**2
