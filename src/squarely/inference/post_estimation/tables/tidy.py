"""`TidyFrames`: a fit as the three frames of R's broom, with the names of broom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from squarely.data import augment_rows, require_local, to_frame
from squarely.errors import DataError, short_traceback
from squarely.exact import read_residuals
from squarely.inference.coefficients import CoefficientStatistics, require_alpha
from squarely.inference.post_estimation.influence.measures import read_influence
from squarely.inference.statistics import confidence_limits, p_values, t_values

if TYPE_CHECKING:
    import pandas as pd

_MEASURES = ("hat_diag", "sigma", "cooks_d", "standard_resid")
_COLUMNS = (".fitted", ".resid", ".hat", ".sigma", ".cooksd", ".std.resid")


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
        rows, measured = read_influence(self.solution, source)
        columns = [response - residuals, residuals, *(measured.measure(name) for name in _MEASURES)]
        return augment_rows(source, names, rows, dict(zip(_COLUMNS, columns, strict=True)))
