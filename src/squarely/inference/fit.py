"""The Fit: what a least squares fit may claim, under statsmodels' names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import fdtrc, stdtr, stdtrit

from squarely.data import RowAccount, Source, complete_blocks, frame, open_source, series, square
from squarely.design import Design, linear_predictor
from squarely.errors import DataError, OptionError
from squarely.exact import Solution
from squarely.inference.normality import Normality, residual_tests
from squarely.inference.summary import summary_page
from squarely.numerics import Array

if TYPE_CHECKING:
    import pandas as pd

    from squarely.show import Page


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Fit:
    """A linear regression by least squares. Made by `squarely.ols`.

    Sums of squares are in the response's unit squared; n rows, p coefficients, rank r.

    Attributes
    ----------
    nobs, rank, df_model, df_resid : n; r; r without the constant; n - r.
    rsquared, rsquared_adj : about the mean if a constant is in the span of the columns, else about zero.
    fvalue, f_pvalue : the F test that every slope is zero.
    llf, aic, bic : Gaussian log-likelihood and the criteria -2 llf + 2 r and -2 llf + r log n.
    ssr, ess, centered_tss, uncentered_tss : residual, explained and total sums of squares.
    mse_resid, mse_model, mse_total : sums of squares over their degrees of freedom.
    durbin_watson : of the residuals in the order of the rows.
    condition_number : largest over smallest singular value of X in the units of the data, as statsmodels has it.
    k_constant : 1 if a constant is in the span of the columns.
    normality : skewness, kurtosis and the omnibus and Jarque-Bera tests of the residuals.
    solution : how the numbers were reached: road, refinement, rank, digits. `source` is where the rows are.
    """

    nobs: int
    rank: int
    df_model: int
    df_resid: int
    k_constant: int
    rsquared: float
    rsquared_adj: float
    fvalue: float
    f_pvalue: float
    llf: float
    aic: float
    bic: float
    ssr: float
    ess: float
    centered_tss: float
    uncentered_tss: float
    mse_resid: float
    mse_model: float
    mse_total: float
    durbin_watson: float
    condition_number: float
    normality: Normality
    covariance: Array
    solution: Solution
    source: Source

    @property
    def design(self) -> Design:
        """The frozen design."""
        return self.solution.moments.design

    @property
    def rows(self) -> RowAccount:
        """Rows read, used and dropped, by column and cause."""
        return self.solution.moments.account

    @property
    def params(self) -> pd.Series:
        """The coefficients, in the units of the data; NaN for a dropped column."""
        return self._series(self.solution.params)

    @property
    def bse(self) -> pd.Series:
        """The standard errors of the coefficients."""
        return self._series(np.sqrt(np.diag(self.covariance)))

    @property
    def tvalues(self) -> pd.Series:
        """Coefficients over their standard errors."""
        return self._series(_t(self))

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of the t statistics with df_resid degrees of freedom."""
        return self._series(2 * stdtr(self.df_resid, -np.abs(_t(self))))

    @property
    def digits(self) -> pd.Series:
        """Decimal digits of each coefficient that can be trusted, for the doubles that are stored."""
        return self._series(self.solution.digits)

    @property
    def digits_bse(self) -> pd.Series:
        """Decimal digits of each standard error that can be trusted."""
        return self._series(self.solution.digits_bse)

    @property
    def dropped_columns(self) -> tuple[str, ...]:
        """A sentence for each column that was dropped because earlier ones span it."""
        return self.solution.factor.dependencies

    @property
    def resid(self) -> pd.Series:
        """The residuals (n,) of the rows used, labelled like the data. Reads the rows again."""
        response, predicted, index = self._observed()
        return series(response - predicted, index)

    @property
    def fittedvalues(self) -> pd.Series:
        """The predictions (n,) for the rows used, labelled like the data. Reads the rows again."""
        _, predicted, index = self._observed()
        return series(predicted, index)

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Give confidence limits at level 1 - alpha: columns 0 and 1 are the lower and the upper limit."""
        if not 0.0 < alpha < 1.0:
            raise OptionError(f"alpha={alpha!r} is not between 0 and 1. For 95 % limits use alpha=0.05.")
        params, bse = self.solution.params, np.sqrt(np.diag(self.covariance))
        half = float(stdtrit(self.df_resid, 1 - alpha / 2)) * bse
        return frame({0: params - half, 1: params + half}, list(self.design.names))

    def cov_params(self) -> pd.DataFrame:
        """Give the covariance matrix (p, p) of the coefficients, NaN for dropped columns."""
        return square(self.covariance, self.design.names)

    def predict(self, new: object = None) -> pd.Series:
        """Predict the response for new rows, or for the fit's own rows: one value a row, NaN where a predictor is missing."""
        if new is None:
            return self.fittedvalues
        source = open_source(new)
        values, at = linear_predictor(self.design, self.solution.params, source)
        return series(values, source.index(at))

    def summary(self) -> Page:
        """Lay the results out as statsmodels does, with the row account and the digits as extra lines."""
        return summary_page(self, self.as_dict())

    def as_dict(self) -> Mapping[str, Any]:
        """Give every number as plain Python values, names as the attributes': what `--json` prints."""
        names = self.design.names
        scalars = {name: getattr(self, name) for name in _SCALARS}
        tests = {name: getattr(self.normality, name) for name in Normality.__slots__}
        bse, t = np.sqrt(np.diag(self.covariance)), _t(self)
        half = float(stdtrit(self.df_resid, 0.975)) * bse
        params = self.solution.params
        vectors = {
            "params": params,
            "bse": bse,
            "tvalues": t,
            "pvalues": 2 * stdtr(self.df_resid, -np.abs(t)),
            "digits": self.solution.digits,
            "digits_bse": self.solution.digits_bse,
        }
        return {
            "formula": self.design.formula.text,
            "response": self.design.formula.response,
            **{key: dict(zip(names, values.tolist(), strict=True)) for key, values in vectors.items()},
            "conf_int": {n: [low, high] for n, low, high in zip(names, params - half, params + half, strict=True)},
            **scalars,
            **tests,
            "cov_params": {n: dict(zip(names, row, strict=True)) for n, row in zip(names, self.covariance, strict=True)},
            "rows": self.rows.as_dict(),
            "rounded": dict(self.rows.rounded),
            "dropped_columns": list(self.dropped_columns),
            "road": self.solution.factor.road,
            "precision": self.solution.precision,
            "scans": self.solution.scans,
        }

    def __repr__(self) -> str:
        return f"<Fit {self.design.formula.text!r}: n={self.nobs}, R-squared {self.rsquared:.3f}; print(fit.summary())>"

    def _series(self, values: Array) -> pd.Series:
        return series(values, list(self.design.names))

    def _observed(self) -> tuple[Array, Array, Any]:
        """Read the rows again: the response, the prediction and the labels of the rows used."""
        params, formula = self.solution.params, self.design.formula
        kept = ~np.isnan(params)
        response, predicted, at = [], [], []
        for block in complete_blocks(self.source, self.design.variables):
            X = block.values[:, :-1]
            X = np.column_stack([np.ones(len(X)), X]) if formula.intercept else X
            response.append(block.values[:, -1])
            predicted.append(X[:, kept] @ params[kept])
            at.append(block.rows)
        if sum(map(len, at)) != self.nobs:
            raise DataError(f"{self.source.label} has changed since the fit: {self.nobs:,} rows were used then. Fit it again.")
        return np.concatenate(response), np.concatenate(predicted), self.source.index(np.concatenate(at))


_SCALARS = ("nobs", "rank", "df_model", "df_resid", "k_constant", "rsquared", "rsquared_adj", "fvalue", "f_pvalue", "llf", "aic",
            "bic", "ssr", "ess", "centered_tss", "uncentered_tss", "mse_resid", "mse_model", "mse_total", "durbin_watson",
            "condition_number")  # fmt: skip


def infer(solution: Solution, source: Source) -> Fit:
    """Work out what the solution may claim, under the classical assumptions: one variance, independent errors."""
    moments, factor = solution.moments, solution.factor
    n, rank = moments.n, len(factor.columns)
    scale = float(moments.design.scales[-1])
    k_constant = int(_spans_constant(solution))
    centered = float(moments.variances[-1]) * n
    uncentered = centered + n * float(moments.means[-1]) ** 2
    tss = centered if k_constant else uncentered
    ssr, df_model, df_resid = solution.ssr, rank - k_constant, n - rank
    ess = tss - ssr
    mse_resid, mse_model = ssr / df_resid, _ratio(ess, df_model)
    fvalue = _ratio(mse_model, mse_resid)
    llf = -n / 2 * (math.log(2 * math.pi) + math.log(ssr / n) + 1) if ssr > 0 else math.inf
    flat = bool(moments.constant[-1]) and k_constant == 1  # a constant response: there is nothing to explain
    rsquared = math.nan if flat else 1 - _ratio(ssr, tss)
    return Fit(
        nobs=n,
        rank=rank,
        df_model=df_model,
        df_resid=df_resid,
        k_constant=k_constant,
        rsquared=rsquared,
        rsquared_adj=1 - (n - k_constant) / df_resid * (1 - rsquared),
        fvalue=math.nan if flat else fvalue,
        f_pvalue=math.nan if flat else float(fdtrc(df_model, df_resid, fvalue)) if df_model else math.nan,
        llf=llf,
        aic=-2 * llf + 2 * rank,
        bic=-2 * llf + rank * math.log(n),
        ssr=ssr,
        ess=ess,
        centered_tss=centered,
        uncentered_tss=uncentered,
        mse_resid=mse_resid,
        mse_model=mse_model,
        mse_total=tss / (n - k_constant),
        durbin_watson=_ratio(solution.residuals.steps, solution.residuals.squares),
        condition_number=_condition_number(solution),
        normality=residual_tests(n, solution.residuals.powers),
        covariance=_covariance(solution, mse_resid / scale**2),
        solution=solution,
        source=source,
    )


def _t(fit: Fit) -> Array:
    bse = np.sqrt(np.diag(fit.covariance))
    with np.errstate(divide="ignore", invalid="ignore"):  # a perfect fit has standard errors of zero
        t: Array = fit.solution.params / bse
    return t


def _ratio(a: float, b: float) -> float:
    if b != 0:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a)


def _covariance(solution: Solution, variance: float) -> Array:
    """Return the covariance (p, p) in the units of the data: sigma^2 A A' with A = T R^-1, T the way back to those units."""
    moments, factor = solution.moments, solution.factor
    design = moments.design
    centres, scales = np.concatenate([[0.0], design.centres]), np.concatenate([[1.0], design.scales])
    T = np.diag(scales[-1] / scales[factor.columns])
    if design.formula.intercept:
        T[0, 1:] = -(centres / scales)[factor.columns[1:]] * scales[-1]
    A = solve_triangular(factor.R, T.T, trans="T").T
    full = np.full((len(factor.kept), len(factor.kept)), np.nan)
    full[np.ix_(factor.kept, factor.kept)] = variance * (A @ A.T)
    return full


def _condition_number(solution: Solution) -> float:
    """Return the ratio of the singular values of X as the user has it: X = Z B, so those of R B."""
    design, factor = solution.moments.design, solution.factor
    centres, scales = np.concatenate([[0.0], design.centres]), np.concatenate([[1.0], design.scales])
    B = np.diag(scales[factor.columns])
    if design.formula.intercept:
        B[0] += centres[factor.columns]
    values = np.linalg.svd(factor.R @ B, compute_uv=False)
    return float(values[0] / values[-1]) if len(values) and values[-1] > 0 else math.inf


def _spans_constant(solution: Solution) -> bool:
    """Tell whether some combination of the columns is 1 in every row, as statsmodels does for its centred R-squared."""
    moments, factor = solution.moments, solution.factor
    if moments.design.formula.intercept:
        return True
    inside = solve_triangular(factor.R, moments.gram[factor.columns, 0], trans="T")
    return bool(moments.n - inside @ inside <= max(1e-12, 4 * factor.unit_error) * moments.n)
