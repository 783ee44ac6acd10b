"""`TidyFrames`: a fit as the three frames of R's broom, with the names of broom."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely.data import augment_rows, require_local, to_frame
from squarely.errors import DataError, short_traceback
from squarely.exact import read_residuals
from squarely.inference.coefficients import CoefficientStatistics, require_alpha
from squarely.inference.scan import WhitenedRows, fold_whitened_rows, is_leverage_one
from squarely.inference.statistics import confidence_limits, p_values, t_values
from squarely.numerics import Array

if TYPE_CHECKING:
    import pandas as pd


class TidyFrames(CoefficientStatistics):
    """A fit as frames: `tidy` has a row for each coefficient, `glance` one row, and `augment` a row for each row used."""

    __slots__ = ()

    @short_traceback
    def tidy(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return a row for each coefficient with the names of broom, and confidence limits at level 1 - alpha.

        `table` has the same numbers under names that are attributes in Python.

        Raises
        ------
        OptionError : alpha is not between 0 and 1.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]})
        >>> print(fit.tidy().round(3).to_string(index=False))
             term  estimate  std.error  statistic  p.value  conf.low  conf.high
        Intercept       0.8      0.324      2.469    0.132    -0.594      2.194
                x       2.3      0.173     13.279    0.006     1.555      3.045
        """
        require_alpha(alpha)
        params, errors, df = self.solution.params, self.standard_errors, self.df_of_t
        low, high = confidence_limits(params, errors, df, alpha)
        names = np.array(self.design.names, dtype=object)
        tests = {"statistic": t_values(params, errors), "p.value": p_values(params, errors, df)}
        return to_frame({"term": names, "estimate": params, "std.error": errors, **tests, "conf.low": low, "conf.high": high})

    def glance(self) -> pd.DataFrame:
        """Return one row of statistics of the whole fit with the names of broom.

        `statistic`, `p.value` and `df` are those of F. AIC and BIC are `aic` and `bic`, which count the coefficients, as in
        statsmodels and Stata; R counts the variance, too, so its AIC is larger by 2 and its BIC by log(nobs).

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]})
        >>> fit.glance()[["r.squared", "sigma", "df.residual", "nobs"]].round(3).to_dict("records")
        [{'r.squared': 0.989, 'sigma': 0.387, 'df.residual': 2, 'nobs': 4}]
        """
        numbers = {
            "r.squared": self.rsquared,
            "adj.r.squared": self.rsquared_adj,
            "sigma": float(np.sqrt(self.mse_resid)),
            "statistic": self.fvalue,
            "p.value": self.f_pvalue,
            "df": self.df_model,
            "logLik": self.llf,
            "AIC": self.aic,
            "BIC": self.bic,
            "deviance": self.ssr,
            "df.residual": self.df_resid,
            "nobs": self.nobs,
        }
        return to_frame(numbers, [0])

    @short_traceback
    def augment(self) -> Any:
        """Return the rows used, with what the fit says of each, as a frame of the library that the rows are in.

        It has the columns that the fit read, and with the names of broom: .fitted, .resid, .hat (the leverage), .sigma (of the
        residuals without the row), .cooksd and .std.resid. They follow from the classical covariance. A row with a leverage of
        one is fitted whatever it has: its .cooksd and .std.resid are NaN. `augment` reads the rows three times.

        Raises
        ------
        DataError : the fit has no rows, as a loaded one; they are in other processes or a database, or have columns of these names.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]})
        >>> fit.augment()[["x", "y", ".fitted", ".hat", ".cooksd"]].round(3).iloc[0].to_dict()
        {'x': 0.0, 'y': 1.0, '.fitted': 0.8, '.hat': 0.7, '.cooksd': 1.037}
        """
        source, read = self.source, set().union(*self.design.columns_read)
        names = [name for name in source.columns if name in read]
        if taken := [name for name in names if name in _COLUMNS]:
            raise DataError(f"The data have a column {taken[0]!r}, which is a name of augment. Rename the column and fit again.")
        require_local(source, "augment them", "Fit a sample")
        response, residuals, _, _ = read_residuals(
            self.solution.moments, source, self.solution.factor.columns, self.solution.scaled_params
        )
        rows, leverage, scaled = self._read_leverage()
        columns = [response - residuals, residuals, *_influence(leverage, scaled, self.mse_resid, self.df_resid, self.rank)]
        return augment_rows(source, names, rows, dict(zip(_COLUMNS, columns, strict=True)))

    def _read_leverage(self) -> tuple[np.ndarray, Array, Array]:
        """Return the positions (n,) of the rows, their leverage (n,) and their residuals (n,) times the roots of the weights."""

        def step(rows: WhitenedRows) -> list[tuple[np.ndarray, Array, Array]]:
            return [(rows.positions, rows.leverage, rows.residuals)]

        positions, leverage, residuals = zip(*fold_whitened_rows(self.solution, self.source, step, operator.add), strict=True)
        scale = self.design.scales[-1]
        return np.concatenate(positions), np.concatenate(leverage), np.concatenate(residuals) * scale


_COLUMNS = (".fitted", ".resid", ".hat", ".sigma", ".cooksd", ".std.resid")


def _influence(h: Array, u: Array, mse: float, df: int, rank: int) -> list[Array]:
    """Return .hat, .sigma, .cooksd and .std.resid (n,) of rows with leverage h and residuals u, as R has them."""
    is_one = is_leverage_one(h, rank)
    rest = np.where(is_one, np.nan, 1 - h)
    with np.errstate(divide="ignore", invalid="ignore"):
        standardized = u / np.sqrt(mse * rest)
        without = (mse * df - np.where(is_one, 0.0, u**2 / rest)) / (df - 1 or math.nan)
        return [np.where(is_one, 1.0, h), np.sqrt(np.maximum(without, 0.0)), standardized**2 * h / rest / rank, standardized]
