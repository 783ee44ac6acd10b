"""Road one: solve the least squares problem, refine it on the rows, and say how many digits can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import Source
from squarely.errors import DataError, OptionError, pluralize, require_one_of
from squarely.exact.condition_number import column_norms, no_digits_error, translate_singular_errors
from squarely.exact.factorization import TEN_DIGITS, Factorization, factorize
from squarely.exact.implicit_constant import Span, span_of
from squarely.exact.residuals import ResidualSums, scan_residuals, without_shape
from squarely.exact.solution import Solution
from squarely.exact.units import expand_dropped, standard_error_scale, to_data_units, totals_of, trusted_digits, unit_errors
from squarely.exact.whitening import CHEAP_CELLS, InverseRoot, inverse_root, needs_whitening
from squarely.moments import Moments
from squarely.numerics import ROUNDOFF, SLICED_ROWS, Array, slice_bits, slicing_bound, two_sum

_MOST_SCANS = 4
_ROUNDINGS = 32  # of one entry of a triangle, which is merged from those of few rows


def require_precision(precision: str) -> None:
    """Raise an OptionError if there is no such precision."""
    require_one_of("precision", precision, ("auto", "double", "extended"))


@translate_singular_errors
def solve_least_squares(moments: Moments, source: Source, *, collinear: str = "drop", precision: str = "auto") -> Solution:
    """Solve min ||y - X beta||_2 from cross-products or a triangle, then refine by corrected semi-normal equations.

    One step of refinement is one scan: r = y - X b, R'R d = X'r, b + d. It is the scan that the residual statistics need
    anyway. Ill-conditioned problems get further steps until the next one could not matter. `precision` is that of r and X'r:
    "double", "extended" (double-double), or "auto": extended up to ten million cells, and where doubles would leave an error of a
    coefficient above 1e-10 of itself and of its standard error. So a coefficient that is tiny beside its standard error may claim
    fewer than ten digits: `digits` always count against the coefficient itself.

    Source: Bjorck (1987), doi:10.1016/0024-3795(87)90101-7.

    Raises
    ------
    DataError : too few rows; a dependency among the columns and `collinear="raise"`; or no coefficient has a digit.
    """
    require_one_of("collinear", collinear, ("drop", "raise"))
    require_precision(precision)
    p = len(moments.design.names)
    if moments.n <= p:
        raise DataError(
            f"There {'is' if moments.n == 1 else 'are'} {pluralize(moments.n, 'complete row')} for {pluralize(p, 'coefficient')} in "
            f"{source.label}: nothing is left to measure the errors with. "
            f"{' '.join([*moments.account.lines()[1:], f'Give at least {p + 1} rows'])}, or a formula with fewer columns."
        )
    if moments.engine_record is not None:
        from squarely.exact.engine.solve import solve_in_engine  # which makes a Solution in turn

        if precision == "extended":
            raise OptionError(
                f"precision='extended' needs the rows, and aggregates leave them in {moments.engine_record.engine}. {source.alternative}."
            )
        return solve_in_engine(moments, source, collinear=collinear)
    factor = factorize(moments, source)
    if factor.dependencies and collinear == "raise":
        raise DataError(f"Columns depend on each other: {'; '.join(factor.dependencies)}. Leave one of them out.")
    refined = _refine(moments, source, factor, precision)
    root = inverse_root(moments, source, factor) if needs_whitening(moments, factor) else None
    span, scans = (None, 0) if moments.design.intercept else span_of(moments, source, factor)
    if not source.ordered:
        unordered = f"Durbin-Watson needs an order of rows, which {source.label} has not. Give order_by=."
        moments = replace(moments, remarks=(*moments.remarks, unordered))
    solution = _solution(moments, factor, replace(refined, scans=refined.scans + scans), root, span)
    if not solution.converged and (solution.digits[factor.selected] == 0).all():
        raise no_digits_error()
    return solution


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Refinement:
    """The solution in scaled columns: b (q,) as double-double, its error (q,) at most, and the residuals that belong to it.

    `squares` is the sum of squared residuals after the last correction, `rounding` what the norm of the residuals may be off for given
    coefficients, `step_error` by how much `squares` may be off because the last correction is, and `fitted_error` what the norm may be off for
    these coefficients. `input_rounding` is the error of the roots of the diagonal of (X'X)^-1, relative to them, that computed columns bring
    with them.
    """

    b: tuple[Array, Array]
    error: Array
    standard_error_scale: Array
    residuals: ResidualSums
    squares: float
    rounding: float
    step_error: float
    fitted_error: float
    input_rounding: float
    is_extended: bool
    scans: int
    converged: bool


def _refine(moments: Moments, source: Source, factor: Factorization, precision: str) -> _Refinement:
    R, columns = factor.R, factor.columns
    length = column_norms(R)  # (q,) of the scaled columns
    spread = standard_error_scale(moments, factor)
    hi, lo = solve_triangular(R, factor.rhs, check_finite=False), np.zeros(len(R))
    size = _size_of_terms(moments, columns, np.abs(hi) * length)
    # Digits count against a coefficient or, where that is smaller, its standard error: nobody needs ten digits of what is zero as
    # far as the data can tell.
    left = max(float(moments.gram[-1, -1] - factor.rhs @ factor.rhs), 0.0)
    errors = spread * np.sqrt(left / (moments.n - len(R)))
    doubtful = 4 * ROUNDOFF * spread * size > TEN_DIGITS * np.maximum(np.abs(hi), errors)
    wanted = moments.n * moments.design.layout.cells <= CHEAP_CELLS or bool(doubtful.any())
    extended = precision == "extended" or (precision == "auto" and wanted)
    scans, settled = 0, False
    while not settled and scans < _MOST_SCANS:
        residuals, rounded = scan_residuals(moments, source, columns, (hi, lo), extended=extended)
        scans += 1
        gradient = residuals.gradient + residuals.gradient_low
        d = solve_triangular(R, solve_triangular(R, gradient, trans="T", check_finite=False), check_finite=False)
        hi, e = two_sum(hi, d)
        lo = lo + e
        off, relative = _rounding(moments.n, residuals, hi, size, extended=extended)
        # What this step leaves: its own error, that of r, and that of X'r, which counts with the condition once more.
        noise = spread * (off + relative * factor.condition * np.sqrt(len(R) * residuals.squares))
        # Columns X + E and a response y + e that were rounded before: b is off by (X'X)^-1 [X'(e - E b) + E'r].
        rows, rough = float(rounded[-1] + rounded[columns] @ np.abs(hi)), float(rounded[columns] @ spread)
        noise = noise + spread * (rows + rough * np.sqrt(residuals.squares))
        moved = float(np.linalg.norm(R @ d))
        missed = _step_error(factor, moved, float(length @ np.abs(d)))
        error = spread * missed + noise
        # The residual statistics come from this scan: what it moved the fit by must be small beside the residuals too.
        still = moved <= TEN_DIGITS * np.sqrt(residuals.squares)
        # Nothing but rounding: the data lie on the line exactly, unless rounding is all that can be seen of huge coefficients.
        exact = residuals.squares <= off**2 <= ROUNDOFF * moments.gram[-1, -1]
        settled = bool(exact or (still and (error <= ROUNDOFF * np.abs(hi) + 2 * noise).all()))
        if exact and not extended and precision == "auto":
            extended, settled = True, False  # where doubles see nothing but rounding, double-double may see more
    blur = factor.unit_error * moved + float(np.linalg.norm(noise / spread)) + off + rows
    if exact:
        residuals = replace(residuals, squares=0.0, powers=0 * residuals.powers, sum_squared_differences=0.0)
    residuals = without_shape(residuals, off + moved)
    return _Refinement(
        b=(hi, lo),
        error=error,
        standard_error_scale=spread,
        residuals=residuals,
        squares=max(residuals.squares - float(d @ gradient), 0.0),
        rounding=off + rows,
        step_error=missed * moved,
        fitted_error=blur,
        input_rounding=rough,
        is_extended=extended,
        scans=scans,
        converged=settled,
    )


def _size_of_terms(moments: Moments, columns: np.ndarray, sizes: Array) -> float:
    """Bound the size, as a norm over the rows, of what the residuals are summed up from: y and the terms x_j b_j of norms (q,).

    Norms add up, but those of one block of indicators, of which a row has one at most, do so in squares. The roundings of many
    terms do not all go one way: they stay within four times the root of the sum of squares, which is less beyond sixteen terms.
    """
    layout = moments.design.layout
    norms = np.zeros(len(moments.design.labels) + 1)
    norms[columns] = sizes
    grouped = norms[layout.grouped + 1]
    blocks = [np.linalg.norm(grouped[np.unique(block.lookup[block.lookup >= 0])]) for block in layout.blocks]
    terms = np.array([norms[0], *norms[layout.dense + 1], *blocks, np.sqrt(moments.gram[-1, -1])])
    return float(min(terms.sum(), 4 * np.linalg.norm(terms)))


def _step_error(factor: Factorization, moved: float, terms: float) -> float:
    """Bound the norm of R times the error of a step d, with `moved` ||R d|| and `terms` the sum of |d_j| ||R_j||.

    With R'R for X'X + D, |D| <= p u ||R_i|| ||R_j|| from cross-products, the step is off by (R'R)^-1 D d, which has kappa once;
    the bound allows kappa squared. A triangle R + E is off by R^-1 R^-T E'R d and R^-1 E d, and ||E d|| <= p u times the terms.
    """
    if factor.method == "moments":
        return factor.unit_error * terms
    return factor.unit_error * moved + _ROUNDINGS * len(factor.R) * ROUNDOFF * terms


def _rounding(n: int, residuals: ResidualSums, b: Array, size: float, *, extended: bool) -> tuple[float, float]:
    """Bound the rounding of one scan: of the norm of r, and of X'r relative to the lengths of X and r.

    `size` is that of the terms from which the residuals are computed, as a norm over the rows.
    """
    if not extended:
        return 4 * ROUNDOFF * size, 4 * ROUNDOFF
    bits = slice_bits(max(min(n, SLICED_ROWS), len(b)))
    lost = float(slicing_bound(bits) * residuals.top * np.sqrt(n))  # the columns are scaled: their root mean square is near one
    return 8 * ROUNDOFF**2 * size + lost * float(np.abs(b).sum()), 8 * lost + n * ROUNDOFF**2


def _solution(
    moments: Moments, factor: Factorization, refined: _Refinement, root: InverseRoot | None, span: Span | None
) -> Solution:
    """Turn the refined solution into the units of the data, and count the digits."""
    n = moments.n
    params, error, natural = to_data_units(moments, factor, refined.b, refined.error)
    squares, scale = refined.squares, float(moments.design.scales[-1])
    hidden = squares == 0.0 and not refined.is_extended  # doubles see nothing, and double-double might
    if squares == 0.0 and not hidden:  # no residual: what cannot be told from zero is zero, and not a crumb with a t of infinity
        params = np.where(np.abs(params) <= error, 0.0, params)
    # Standard errors inherit the error of R, or of the root, and that of the residuals, and each is rounded a few times.
    sums = ROUNDOFF * (16 + np.sqrt(min(n, SLICED_ROWS) + n / SLICED_ROWS))  # within blocks and over them
    off = sums * squares + 2 * refined.rounding * np.sqrt(squares) + refined.step_error + (refined.rounding**2 if hidden else 0.0)
    relative = (factor.unit_error if root is None else root.error) + refined.input_rounding + sums
    if squares > 0:
        relative += refined.rounding / np.sqrt(squares) + refined.step_error / (2 * squares)
    else:
        relative = 1.0 if hidden else np.nan  # zero has no digits
    design, middle = moments.design, float(moments.gram[0, -1] / n)
    centered, tss_off, mean = totals_of(n, (design.centers[-1], scale, middle), refined.residuals.response_sums, float(sums))
    ones = np.ones(len(params))
    return Solution(
        moments=moments,
        factor=factor,
        scaled_params=refined.b,
        params=expand_dropped(params, factor.selected),
        residuals=refined.residuals,
        unit_bse=expand_dropped(unit_errors(moments, factor, refined.standard_error_scale, root), factor.selected),
        ssr=squares * scale**2,
        ssr_error=float(off) * scale**2 if squares > 0 or hidden else 0.0,
        centered_tss=centered,
        tss_error=tss_off,
        mean=mean,
        span=span,
        inverse_root=root,
        digits=expand_dropped(trusted_digits(params, error, natural), factor.selected),
        digits_bse=expand_dropped(trusted_digits(ones, relative * ones, 0 * ones), factor.selected),
        precision="extended" if refined.is_extended else "double",
        scans=moments.design.scans + moments.passes + (factor.method == "triangle") + refined.scans + (root is not None),
        converged=refined.converged,
        fitted_error=refined.fitted_error,
        input_rounding=refined.input_rounding,
    )
