"""`Effects`: the methods of a fit that say what its predictors do to the response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from squarely.data import scan_purpose
from squarely.errors import short_traceback
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.effects import results, standardization
from squarely.types import At, Slope

if TYPE_CHECKING:
    import pandas as pd


class Effects(CoefficientStatistics):
    """Effects of the predictors. All follow the covariance of the fit: with `vcov("HC3")` before them they are robust."""

    __slots__ = ()

    @short_traceback
    @scan_purpose("effects")
    def effects(
        self,
        variable: str | Sequence[str] | None = None,
        *,
        at: At | None = None,
        by: str | Sequence[str] | None = None,
        slope: Slope = "dydx",
        alpha: float = 0.05,
    ) -> pd.DataFrame:
        """Estimate the average effect of a column of the data: the slope of a number, the contrasts of a category.

        The slope dy/dx is exact, through every logarithm, power, polynomial, spline and interaction that has the column. A contrast
        is the prediction with a level set in every row, less that with the reference. Both are averages over the rows used, by
        their weights. It reads the rows once at most, and not at all if the means of the fit suffice.

        Parameters
        ----------
        variable : a column, or several; all predictors by default.
        at : values to which columns are set in every row, such as {"weight": [2000, 3000], "origin": "usa"}; each combination is
            a row of the result. "mean" is a number's mean, and equal weights of a category's levels; at="mean" sets all of them.
        by : a column, or several, in whose groups the rows are averaged.
        slope : of a number: "dydx", or an elasticity, "eyex" (d log y / d log x), "eydx" or "dyex", by the delta method.
        alpha : limits are at level 1 - alpha.

        Returns
        -------
        DataFrame : variable, contrast, the columns of `at` and `by`, then estimate, se, t, pvalue, low and high. Its `summary()` is
            a page. An estimate that the rows do not determine is NaN, and a warning names it.

        Raises
        ------
        DataError : the formula does not have the column or the level, a function in it has no derivative in a row, or the rows are
            not available and are needed.
        OptionError : `at`, `by` or `alpha` has a wrong value.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ log(weight) * C(origin)", sq.datasets.cars())
        >>> fit.effects("weight", by="origin")[["origin", "estimate", "se"]].round(5).to_dict("list")
        {'origin': [1, 2, 3], 'estimate': [-0.00711, -0.00789, -0.01112], 'se': [0.00034, 0.00112, 0.00153]}
        """
        return results.effects(self, variable, at, by, alpha=alpha, slope=slope)

    @short_traceback
    @scan_purpose("effects")
    def margins(self, *, at: At | None = None, by: str | Sequence[str] | None = None, alpha: float = 0.05) -> pd.DataFrame:
        """Estimate average predictions: over all rows, with columns set to values, or in groups of rows.

        at="mean" gives estimated marginal means: numbers at their means, and categories weighted equally. The parameters and the
        frame are as in `effects`.

        Raises
        ------
        DataError : as in `effects`.
        OptionError : as in `effects`.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ weight + C(origin)", sq.datasets.cars())
        >>> fit.margins(at={"weight": [2000, 3000]})[["weight", "estimate"]].round(2).to_dict("list")
        {'weight': [2000, 3000], 'estimate': [30.33, 23.31]}
        >>> fit.margins(at="mean", by="origin").estimate.round(2).to_list()
        [22.83, 24.05, 25.19]
        """
        return results.margins(self, at, by, alpha=alpha)

    @short_traceback
    def standardized(self) -> pd.Series:
        """Return the coefficients b sd(x) / sd(y), for columns and a response of standard deviation one; without the intercept.

        With an offset, y is the response less the offset. With absorbed fixed effects, deviations are those within the effects.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ weight + horsepower", sq.datasets.cars())
        >>> fit.standardized().round(3).to_dict()
        {'weight': -0.631, 'horsepower': -0.233}
        """
        return standardization.standardized(self)

    @short_traceback
    def partial_r2(self) -> pd.Series:
        """Return the partial R-squared of each term: what it explains of what the terms that do not contain it leave.

        It is SS / (SS + ssr) with the sum of squares of type 2, so it does not depend on the order of the terms.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ weight + horsepower", sq.datasets.cars())
        >>> fit.partial_r2().round(3).to_dict()
        {'weight': 0.255, 'horsepower': 0.045}
        """
        return standardization.partial_r2(self)
