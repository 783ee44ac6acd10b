"""HC0 to HC4: covariances that are robust to heteroscedasticity (MacKinnon and White 1985; Cribari-Neto 2004)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.data import Source
from squarely.exact import Solution
from squarely.inference.covariance.options import CovarianceOptions
from squarely.inference.covariance.robust import RobustCovariance
from squarely.inference.covariance.root import covariance_root
from squarely.inference.engine_rows import is_in_engine, require_rows_of_fit, whiten_rows_in_engine
from squarely.inference.scan import WhitenedRows, fold_whitened_rows, is_leverage_one
from squarely.moments import sum_adjusted_scores
from squarely.numerics import ROUNDOFF, Array

_FORMULAS = {
    "HC0": "squared residuals, no factor",
    "HC1": "squared residuals, times n/(n-k)",
    "HC2": "squared residuals over 1-h, no further factor",
    "HC3": "squared residuals over (1-h)^2, no further factor",
    "HC4": "squared residuals over (1-h)^min(4, n h/k), no further factor",
}
_ELSEWHERE = {
    "HC1": "vce(robust) in Stata, feols(vcov='hetero') in R and pyfixest",
    "HC2": "vce(hc2) in Stata, vcovHC(type='HC2') in R",
    "HC3": "vce(hc3) in Stata, vcovHC(type='HC3') in R",
}
_NEAR_ONE = 1e-10  # of a leverage with fixed effects, which is a difference of larger numbers
_ALIGNMENT_TOLERANCE = 1e-8  # of a row of A: its part along a row with a leverage of one


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Sums:
    """The meat (q, q) of some rows, their smallest 1 - h, and the whitened rows (q, r) with h = 1, with their positions (r,).

    From an engine they come as a basis of their span, without positions.
    """

    meat: Array
    margin: float
    singular: Array
    positions: np.ndarray

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(
            meat=self.meat + other.meat,
            margin=min(self.margin, other.margin),
            singular=np.concatenate([self.singular, other.singular], axis=1),
            positions=np.concatenate([self.positions, other.positions]),
        )


def hc_covariance(solution: Solution, source: Source, options: CovarianceOptions) -> RobustCovariance:
    """Return the covariance of a kind, "HC0" to "HC4", from one scan.

    A row with a leverage of one is fitted whatever it holds, so nothing shows its error: with HC2 to HC4 the coefficients that it
    determines have no standard error.
    """
    n, q, df, kind = solution.moments.nobs, len(solution.factor.columns), solution.df_resid, options.kind
    sums = _sum_in_engine(solution, source, kind) if is_in_engine(solution, source) else _sum_rows(solution, source, kind)
    meat = sums.meat * (n / df if kind == "HC1" else 1.0)
    undefined, notes = None, [_note(options, df)]
    if sums.singular.shape[1]:
        A = covariance_root(solution)
        undefined = (np.abs(A @ sums.singular) > _ALIGNMENT_TOLERANCE * np.linalg.norm(A, axis=1)[:, None]).any(axis=1)
        numbers = ", ".join(f"{source.row_number(int(i)):,}" for i in sums.positions[:3].tolist())
        # In partitions, positions count from their own beginning, and an engine gives none.
        which = f"Row {numbers}" if numbers and not source.partitioned else "A row"
        notes.append(
            f"{which} alone determines a coefficient, so nothing shows its error: the standard errors that need it are NaN. "
            "Use HC1, or leave the row out."
        )
    return RobustCovariance(cov_type=kind, meat=meat, df=df, undefined=undefined, margin=sums.margin, rank=q, notes=tuple(notes))


def _sum_in_engine(solution: Solution, source: Source, kind: str) -> _Sums:
    rows = whiten_rows_in_engine(solution, source)
    power = {"HC0": 0.0, "HC1": 0.0, "HC2": 0.5, "HC3": 1.0}.get(kind)
    sums, margin, basis = sum_adjusted_scores(rows, source, power=power, nobs=solution.moments.nobs)
    require_rows_of_fit(solution, source, rows, sums.n, sums.gradient)
    return _Sums(meat=sums.meat, margin=margin, singular=basis, positions=np.empty(0, dtype=np.int64))


def _sum_rows(solution: Solution, source: Source, kind: str) -> _Sums:
    n, q, df = solution.moments.nobs, len(solution.factor.columns), solution.df_resid

    def step(rows: WhitenedRows) -> _Sums:
        squares = rows.residuals * rows.residuals
        singular, margin = np.zeros(len(squares), dtype=bool), 1.0
        if kind not in ("HC0", "HC1"):
            h = rows.leverage
            singular = is_leverage_one(h, q) if rows.effects_leverage is None else 1 - h <= _NEAR_ONE
            rest = np.where(singular, 1.0, 1 - h)
            margin = float(rest.min(initial=1.0))
            power = {"HC2": 1.0, "HC3": 2.0}.get(kind, np.minimum(4.0, n * h / (n - df)))
            squares = np.where(singular, 0.0, squares / rest**power)
        if rows.frequencies is not None:
            squares = squares * rows.frequencies
        meat = np.dot(rows.V * squares, rows.V.T)
        singular &= np.einsum("jm,jm->m", rows.V, rows.V) > 64 * q * ROUNDOFF  # a level of one row decides its effect alone
        return _Sums(meat=meat, margin=margin, singular=rows.V[:, singular], positions=rows.positions[singular])

    return fold_whitened_rows(solution, source, step, _Sums.__add__)


def _note(options: CovarianceOptions, df: int) -> str:
    kind = options.kind
    elsewhere = f" The same numbers: {_ELSEWHERE[kind]}." if kind in _ELSEWHERE else ""
    how = f"{kind}: {_FORMULAS[kind]}"
    tests = options.describe_df(f"t and F have {df:,} degrees of freedom")
    return f"Standard errors are robust to heteroscedasticity ({how}); {tests}.{elsewhere}"
