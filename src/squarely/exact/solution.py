"""The result of least squares: coefficients, residual sums and the digits that can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from squarely.errors import pluralize
from squarely.exact.condition_number import no_digits_error
from squarely.exact.factorization import TEN_DIGITS, Factorization
from squarely.exact.implicit_constant import Span
from squarely.exact.residuals import ResidualSums
from squarely.exact.units import natural_sizes, standard_error_scale, to_data_units, unit_errors
from squarely.exact.whitening import InverseRoot
from squarely.moments import Moments
from squarely.numerics import ROUNDOFF, Array, Pair

_TOLERANCE = 1e-6  # the relative difference between a value and the same value computed from others
UNORDERED = "Durbin-Watson needs an order of rows, which {} does not have. Give order_by=."


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Solution:
    """The least squares solution and how it was reached.

    Attributes
    ----------
    moments, factor : the cross-products, and the triangular factor with the selected columns.
    inverse_root : of (X'X)^-1 if R leaves too few digits for standard errors, else None.
    params : (p,) coefficients in the units of the data, NaN for a dropped column.
    residuals : sums over the residuals, from the last scan, in the scaled unit of the response; None for a merged fit.
    scaled_params : (q,) the coefficients of the scaled columns that are selected, as double-double.
    unit_bse : (p,) standard errors of the coefficients if that of the residuals is one, NaN for a dropped column.
    ssr, centered_tss : sums of squares of the residuals and of the response about its mean, in its unit squared; of the response
        without its fixed effects, if there are any.
    ssr_error, tss_error : their errors at most. Rounding hides an `ssr` within `ssr_error`; with an error of zero it is a zero.
    mean : of the response, as the sum of two doubles, and its error at most.
    span : the combination of columns nearest to a constant; None with an intercept or with fixed effects.
    digits : (p,) decimal digits of each coefficient that can be trusted, with the exact solution for the stored
        doubles as the truth, NaN for what is zero up to rounding.
    digits_bse : (p,) likewise for the standard errors.
    precision : "extended" or "double", of the residuals and X'r in the refinement.
    scans, converged : how often all rows were read, and whether another scan could not have changed the result.
    fitted_error : the norm (over the rows) of the error of fitted values and residuals, in the scaled unit of the response.
    input_rounding : the relative error of `unit_bse` because computed columns are rounded before they are read.
    merge_record : the fits that were merged, if any.
    """

    moments: Moments
    factor: Factorization
    inverse_root: InverseRoot | None
    scaled_params: Pair
    params: Array
    residuals: ResidualSums | None
    unit_bse: Array
    ssr: float
    ssr_error: float
    centered_tss: float
    tss_error: float
    mean: tuple[float, float, float]
    span: Span | None
    digits: Array
    digits_bse: Array
    precision: str
    scans: int
    converged: bool
    fitted_error: float
    input_rounding: float = 0.0
    merge_record: MergeRecord | None = None

    def __repr__(self) -> str:
        used, every = len(self.factor.columns), pluralize(len(self.params), "coefficient")
        return f"<Solution: {used} of {every}, from {self.factor.method}, {pluralize(self.scans, 'scan')} of the rows>"

    @property
    def has_hidden_residuals(self) -> bool:
        """Whether rounding hides the residuals: their sum of squares has no digit."""
        return self.ssr <= self.ssr_error > 0

    @property
    def absorbed_rank(self) -> int:
        """How many parameters the fixed effects have, 0 without."""
        return 0 if self.moments.design.absorbed is None else self.moments.design.absorbed.rank

    @property
    def effects(self) -> tuple[Array, ...]:
        """What each level of each fixed effect adds to a prediction, (L,) each; nothing without fixed effects."""
        absorbed = self.moments.design.absorbed
        if absorbed is None:
            return ()
        return absorbed.estimates((self.factor.columns - 1).tolist(), self.params[self.factor.selected])

    @property
    def df_resid(self) -> int:
        """The observations less the parameters: the selected columns and the fixed effects."""
        return self.moments.nobs - len(self.factor.columns) - self.absorbed_rank

    @property
    def selected_names(self) -> list[str]:
        """The names of the selected coefficients (q,)."""
        return list(compress(self.moments.design.names, self.factor.selected))

    @property
    def is_span_certain(self) -> bool:
        """Whether it is certain that a constant is spanned or not, which a removal may leave open."""
        has_removal = self.merge_record is not None and self.merge_record.removed_rows
        return not has_removal or self.span is None or self.span.is_certain(self.moments, self.factor)

    @property
    def included_fits(self) -> MergeRecord:
        """The fits that are in it: itself, unless it was merged."""
        if self.merge_record is not None:
            return self.merge_record
        n, mean = self.moments.n, self.mean[0] + self.mean[1]
        log_weights = 0.0 if self.residuals is None else self.residuals.log_weights
        return MergeRecord(rows=(n,), shards=((n, mean, self.centered_tss, self.ssr),), log_weights=log_weights)

    @property
    def uncentered_tss(self) -> tuple[float, float]:
        """The sum of squares of the response, and its error at most."""
        n, (hi, lo, error) = self.moments.weight, self.mean
        mean = hi + lo
        squares = self.centered_tss + n * mean**2
        return squares, self.tss_error + n * (2 * abs(mean) + error) * error + 4 * ROUNDOFF * squares


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Refinement:
    """Where refinement of the scaled coefficients ended.

    Attributes
    ----------
    b : (q,) the coefficients, as double-double.
    squares, squares_error : the sum of squares at b in the scaled unit of the response, and its error at most.
    bse_error : the relative error that standard errors have because the sum of squares has one.
    fitted_error, input_rounding, precision, scans, converged : as in `Solution`.
    """

    b: Pair
    squares: float
    squares_error: float
    bse_error: float
    fitted_error: float
    converged: bool
    input_rounding: float = 0.0
    precision: str = "double"
    scans: int = 0


def make_solution(
    moments: Moments,
    factor: Factorization,
    refined: Refinement,
    *,
    params: Array,
    error: Array,
    scale: Array,
    totals: tuple[float, float, tuple[float, float, float]],
    span: Span | None,
    residuals: ResidualSums | None = None,
    inverse_root: InverseRoot | None = None,
    rounding: float = 16 * ROUNDOFF,
    merge_record: MergeRecord | None = None,
) -> Solution:
    """Return the solution with its digits counted and its dropped columns filled in.

    `params` and their `error` (q,) are of the selected columns, `scale` as in `unit_errors`, `totals` is the result of `totals_of`,
    and `rounding` the relative error of a standard error because of sums and its own arithmetic.
    """
    centered_tss, tss_error, mean = totals
    selected, unit = factor.selected, float(moments.design.scales[-1])
    # Standard errors inherit the error of R, or of the root, and that of the residuals, and each is rounded a few times.
    bse_error = (factor.unit_error if inverse_root is None else inverse_root.error) + refined.input_rounding + rounding
    ones = np.ones(len(params))
    return Solution(
        moments=moments,
        factor=factor,
        inverse_root=inverse_root,
        scaled_params=refined.b,
        params=_expand_dropped(params, selected),
        residuals=residuals,
        unit_bse=_expand_dropped(unit_errors(moments, factor, scale, inverse_root), selected),
        ssr=refined.squares * unit**2,
        ssr_error=refined.squares_error * unit**2,
        centered_tss=centered_tss,
        tss_error=tss_error,
        mean=mean,
        span=span,
        digits=_expand_dropped(_trusted_digits(params, error, natural_sizes(moments, factor.columns)), selected),
        digits_bse=_expand_dropped(_trusted_digits(ones, (bse_error + refined.bse_error) * ones, 0 * ones), selected),
        merge_record=merge_record,
        **{name: getattr(refined, name) for name in ("precision", "scans", "converged", "fitted_error", "input_rounding")},
    )


def _trusted_digits(values: Array, error: Array, natural: Array) -> Array:
    """Count digits: -log10 of the relative error, between 0 and 15.

    NaN for a value that is zero up to an error that is tiny beside its natural size: zero has no digits.
    """
    zero = (np.abs(values) <= error) & (error <= TEN_DIGITS * natural)
    relative = np.divide(error, np.abs(values), out=np.ones_like(error), where=values != 0)
    digits = np.clip(-np.log10(np.maximum(relative, 1e-16)), 0.0, 15.0) + 0.0  # no -0.0
    return np.where(zero, np.nan, digits)


def _expand_dropped(values: Array, selected: np.ndarray) -> Array:
    """Put values (q,) in the places of the selected coefficients (p,), NaN in the others."""
    full = np.full(len(selected), np.nan)
    full[selected] = values
    return full


def require_digits(solution: Solution) -> Solution:
    """Return the solution, or raise a DataError if refinement did not converge and no coefficient has a digit."""
    if not solution.converged and (solution.digits[solution.factor.selected] == 0).all():
        raise no_digits_error()
    return solution


def require_consistent(solution: Solution) -> Solution:
    """Return the solution, or raise a ValueError if its coefficients, sums or standard errors do not follow from its other parts.

    Files of earlier versions may lack a part of the root; R replaces it if it has the digits.
    """
    moments, factor = solution.moments, solution.factor
    params, _ = to_data_units(moments, factor, solution.scaled_params, np.zeros(len(factor.R)))
    natural = natural_sizes(moments, factor.columns)
    saved = solution.params[factor.selected]
    if not ((saved == 0) | (np.abs(saved - params) <= _TOLERANCE * (np.abs(params) + TEN_DIGITS * natural))).all():
        raise ValueError("its coefficients are not those of its solution.")
    scale, residuals = float(moments.design.scales[-1]), solution.residuals
    if residuals and solution.converged and not abs(solution.ssr / scale**2 - residuals.squares) <= _TOLERANCE * residuals.squares:
        raise ValueError("its sum of squares is not that of its residuals.")
    bse = solution.unit_bse[factor.selected]
    for root in dict.fromkeys((solution.inverse_root, None)):
        errors = unit_errors(moments, factor, standard_error_scale(moments, factor), root)
        if (np.abs(errors - bse) <= _TOLERANCE * bse).all():
            return replace(solution, inverse_root=root)
    raise ValueError("its standard errors are not those of its columns, and its covariances would be wrong.")


Shard = tuple[int, float, float, float]  # rows, mean and total sum of squares of the response, and residual sum of squares


def is_same_shard(a: Shard, b: Shard) -> bool:
    """Return whether two fits were of the same rows, in any order, as far as their sums show."""
    (n, mean, total, ssr), (m, *others) = a, b
    sizes = (float(np.sqrt(total / n)) + abs(mean), total, total)
    return n == m and all(abs(x - y) <= 1e-9 * size for x, y, size in zip((mean, total, ssr), others, sizes, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRecord:
    """How many complete rows each fit had that was added, and each that was removed.

    `shards` are those that were added and not removed. Files of earlier versions have none. `log_weights` is the sum of the
    logarithms of all weights.
    """

    rows: tuple[int, ...]
    removed_rows: tuple[int, ...] = ()
    shards: tuple[Shard, ...] = ()
    log_weights: float = 0.0

    @property
    def n(self) -> int:
        """The number of complete rows in the merged fit."""
        return sum(self.rows) - sum(self.removed_rows)
