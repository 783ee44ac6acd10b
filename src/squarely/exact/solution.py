"""The result of least squares: coefficients, residual sums and the digits that can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.exact.factorization import Factorization
from squarely.exact.implicit_constant import Span
from squarely.exact.residuals import ResidualSums
from squarely.exact.whitening import InverseRoot
from squarely.moments import Moments
from squarely.numerics import ROUNDOFF, Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Solution:
    """The least squares solution and how it was reached.

    Attributes
    ----------
    moments : the cross-products it rests on; `factor` the triangular factor and the columns kept.
    inverse_root : of (X'X)^-1, where R leaves too few digits for standard errors, else None.
    params : (p,) coefficients in the units of the data, NaN for a dropped column.
    residuals : sums over the residuals, from the last scan, in the scaled unit of the response; None for a fit without a scan of
        its own, put together from others.
    scaled_params : (q,) the coefficients of the scaled columns that are kept, as double-double.
    unit_bse : (p,) standard errors of the coefficients where that of the residuals is one, NaN for a dropped column.
    ssr, centered_tss : sums of squares of the residuals and of the response about its mean, in its unit squared.
    ssr_error, tss_error : their errors at most. A `ssr` within `ssr_error` is hidden by rounding; zero with an error of zero is a zero.
    mean : of the response, as the sum of two doubles, and its error at most.
    span : the combination of columns nearest to a constant; None with an intercept.
    digits : (p,) decimal digits of each coefficient that can be trusted, with the exact solution for the stored
        doubles as the truth, NaN for what is zero up to rounding; `digits_bse` (p,) likewise for the standard errors.
    precision : "extended" or "double", of the residuals and X'r in the refinement.
    scans : how often all rows were read. `converged` whether another scan could not have mattered.
    fitted_error : the norm (over the rows) by which fitted values and residuals may be off, in the scaled unit of the response.
    input_rounding : the relative error of `unit_bse` that computed columns, which are rounded before they are read, bring with them.
    merge_record : which fits it was put together from, if it was.
    """

    moments: Moments
    factor: Factorization
    inverse_root: InverseRoot | None
    scaled_params: tuple[Array, Array]
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

    @property
    def has_hidden_residuals(self) -> bool:
        """Whether rounding hides the residuals: their sum of squares has no digit."""
        return self.ssr <= self.ssr_error > 0

    @property
    def is_span_certain(self) -> bool:
        """Whether it is certain that a constant is spanned or not: what a removal leaves may not tell."""
        span, whole = self.span, self.merge_record is None or not self.merge_record.removed_rows
        return whole or span is None or span.is_certain(self.moments, self.factor)

    @property
    def included_fits(self) -> MergeRecord:
        """The fits that are in: of a fit of rows, itself."""
        if self.merge_record is not None:
            return self.merge_record
        n, mean = self.moments.n, self.mean[0] + self.mean[1]
        return MergeRecord(rows=(n,), shards=((n, mean, self.centered_tss, self.ssr),))

    @property
    def uncentered_tss(self) -> tuple[float, float]:
        """The sum of squares of the response, and its error at most."""
        n, (hi, lo, off) = self.moments.n, self.mean
        mean = hi + lo
        squares = self.centered_tss + n * mean**2
        return squares, self.tss_error + n * (2 * abs(mean) + off) * off + 4 * ROUNDOFF * squares


Shard = tuple[int, float, float, float]


def is_same_shard(a: Shard, b: Shard) -> bool:
    """Tell whether two fits were of the same rows, as far as these sums tell: whatever the order of the rows was."""
    (n, mean, total, left), (m, *others) = a, b
    sizes = (float(np.sqrt(total / n)) + abs(mean), total, total)
    return n == m and all(abs(x - y) <= 1e-9 * size for x, y, size in zip((mean, total, left), others, sizes, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRecord:
    """How many complete rows each fit had that was put in, and each that was taken out.

    `shards` are those that are in and not out again: rows, mean and total sum of squares of the response, and residual sum of
    squares. Files of earlier versions have none.
    """

    rows: tuple[int, ...]
    removed_rows: tuple[int, ...] = ()
    shards: tuple[Shard, ...] = ()

    @property
    def n(self) -> int:
        """The number of complete rows that are left."""
        return sum(self.rows) - sum(self.removed_rows)
