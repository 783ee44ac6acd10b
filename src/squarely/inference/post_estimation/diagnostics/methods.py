"""`DiagnosticTests`: the methods of a fit that test what least squares assumes of the errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from squarely.errors import short_traceback
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.diagnostics import autocorrelation, collinearity, heteroscedasticity, specification
from squarely.inference.post_estimation.diagnostics.all_tests import Diagnostics, diagnose
from squarely.inference.post_estimation.diagnostics.row_tests import run_row_test
from squarely.inference.post_estimation.diagnostics.test_result import Test
from squarely.types import Alternative, AuxiliaryColumns, GrowthOfSpread, ResetType

if TYPE_CHECKING:
    import pandas as pd


class DiagnosticTests(CoefficientStatistics):
    """Tests of what least squares assumes of the errors and of the form of the model, under statsmodels' names.

    Each reads the rows again and gives a `Test`: `statistic`, `pvalue`, `df`, `f` (the F form) and `says`, a sentence. With weights
    the tests are those of the weighted residuals (`wresid`). docs/diagnostics.md says which test answers which question.
    """

    __slots__ = ()

    @short_traceback
    def diagnostics(self, *, order_by: str | None = None, white: bool = True) -> Diagnostics:
        """Run all tests that apply, in one scan of the rows.

        Parameters
        ----------
        order_by : a column of numbers, such as the time. Tests of neighboring rows take the rows in its order, and the tests of
            Goldfeld-Quandt, rainbow and Harvey-Collier are added, which read the rows some times more.
        white : whether to include White's test, which takes most of the time with many columns.

        Returns
        -------
        Diagnostics : `summary()` is a page, `frame` a data frame (test, statistic, df, pvalue, says).

        Raises
        ------
        DataError : the fit has no rows, or they are not those of the fit.
        OptionError : the rows stay in a database without an order.

        Examples
        --------
        >>> import squarely as sq
        >>> diagnostics = sq.ols("mpg ~ weight", sq.datasets.cars()).diagnostics()
        >>> print(diagnostics["Breusch-Pagan"].says)
        The spread of the errors changes with the columns (p < 0.001): prefer vcov='HC3'.
        """
        return diagnose(self, order_by=order_by, white=white)

    @short_traceback
    def het_breuschpagan(self, *, robust: bool = True, against: AuxiliaryColumns = "columns") -> Test:
        """Test whether the spread of the errors changes with the columns (Breusch and Pagan).

        Parameters
        ----------
        robust : Koenker's studentized form, which does not need normal errors; False for the original one.
        against : "columns" of X or "fitted" values. With `robust=False`, the latter is `ncvTest` of R's car.

        Examples
        --------
        >>> import squarely as sq
        >>> lm, lm_pvalue, fvalue, f_pvalue = sq.ols("mpg ~ weight", sq.datasets.cars()).het_breuschpagan()
        >>> round(lm, 3), round(fvalue, 3)
        (23.679, 25.05)
        """
        return run_row_test(self, heteroscedasticity.breusch_pagan(self, robust=robust, against=against))

    @short_traceback
    def het_white(self, *, special: bool = False) -> Test:
        """Test whether the spread of the errors changes with the columns, their squares and products (White).

        `special=True` takes the fitted values and their squares instead: for many columns.

        Raises
        ------
        OptionError : the fit has more than 60 columns.

        Examples
        --------
        >>> import squarely as sq
        >>> round(sq.ols("mpg ~ weight", sq.datasets.cars()).het_white().statistic, 3)
        24.147
        """
        return run_row_test(self, heteroscedasticity.white(self, special=special))

    @short_traceback
    def het_arch(self, nlags: int | None = None, *, order_by: str | None = None) -> Test:
        """Test whether the spread of the errors depends on that of the rows before (Engle's ARCH test).

        `nlags` is min(10, n // 5) by default. `order_by` is the column of numbers that sorts the rows, in memory, such as the time.

        Raises
        ------
        OptionError : the rows have no order.

        Examples
        --------
        >>> import squarely as sq
        >>> sq.ols("mpg ~ weight", sq.datasets.cars()).het_arch(4).df
        4
        """
        return run_row_test(self, heteroscedasticity.arch(self, nlags, order_by=order_by))

    @short_traceback
    def het_goldfeldquandt(
        self,
        *,
        order_by: str | None = None,
        split: float = 0.5,
        drop: float = 0.0,
        alternative: GrowthOfSpread = "increasing",
    ) -> Test:
        """Compare the residual variances of separate fits to the first and the last rows (Goldfeld and Quandt).

        Parameters
        ----------
        order_by : the column of numbers that sorts the rows; by default they are in their own order.
        split : where the rows are divided: a fraction, or a number of rows.
        drop : the rows in the middle to leave out: a fraction, or a number of rows.
        alternative : of the variance from the first to the last rows: "increasing", "decreasing" or "two-sided".

        Raises
        ------
        OptionError : the rows have no order.
        DataError : a part has no more rows than coefficients, or `order_by` is missing in a row of the fit.

        Examples
        --------
        >>> import squarely as sq
        >>> F, pvalue, alternative = sq.ols("mpg ~ weight", sq.datasets.cars()).het_goldfeldquandt(order_by="weight", drop=0.2)
        >>> round(F, 3)
        0.275
        """
        return heteroscedasticity.goldfeld_quandt(self, order_by=order_by, split=split, drop=drop, alternative=alternative)

    @short_traceback
    def acorr_breusch_godfrey(self, nlags: int | None = None, *, order_by: str | None = None) -> Test:
        """Test whether errors are correlated with those of up to `nlags` rows before (Breusch and Godfrey).

        `nlags` is min(10, n // 5) by default. `order_by` is the column of numbers that sorts the rows, in memory, such as the time.

        Raises
        ------
        OptionError : the rows have no order.

        Examples
        --------
        >>> import squarely as sq
        >>> round(sq.ols("mpg ~ weight", sq.datasets.cars()).acorr_breusch_godfrey(1).statistic, 2)
        144.18
        """
        return run_row_test(self, autocorrelation.breusch_godfrey(self, nlags, order_by=order_by))

    @short_traceback
    def acorr_ljungbox(self, lags: int | None = None, *, order_by: str | None = None) -> Test:
        """Test whether residuals are autocorrelated up to a lag (Ljung and Box); `others["Box-Pierce"]` is the older form.

        `lags` is min(10, n // 5) by default. `order_by` is the column of numbers that sorts the rows, in memory, such as the time.

        Raises
        ------
        OptionError : the rows have no order.

        Examples
        --------
        >>> import squarely as sq
        >>> sq.ols("mpg ~ weight", sq.datasets.cars()).acorr_ljungbox(5).df
        5
        """
        return run_row_test(self, autocorrelation.ljung_box(self, lags, order_by=order_by))

    @short_traceback
    def durbin_watson_test(self, alternative: Alternative = "greater", *, order_by: str | None = None) -> Test:
        """Test whether neighboring errors are correlated, by the Durbin-Watson statistic.

        Below 100 rows the p-value is exact for normal errors, beyond it is a normal approximation, as in R's `dwtest`.

        Parameters
        ----------
        alternative : the correlation is "greater" than zero, "less", or different ("two-sided").
        order_by : the column of numbers that sorts the rows, in memory, such as the time.

        Raises
        ------
        OptionError : the rows have no order.

        Examples
        --------
        >>> import squarely as sq
        >>> round(sq.ols("mpg ~ weight", sq.datasets.cars()).durbin_watson_test().statistic, 3)
        0.797
        """
        return run_row_test(self, autocorrelation.durbin_watson(self, alternative, order_by=order_by))

    @short_traceback
    def linear_reset(self, power: int | Sequence[int] = 3, *, test_type: ResetType = "fitted") -> Test:
        """Test whether powers of the fitted values, or of the columns, explain more (Ramsey's RESET).

        The statistic is F, as in R, Stata and gretl; `others["chi2"]` is the default of statsmodels.

        Parameters
        ----------
        power : the largest power, or a list of powers.
        test_type : powers of the "fitted" values, or of the columns of numbers ("exog").

        Examples
        --------
        >>> import squarely as sq
        >>> test = sq.ols("mpg ~ weight", sq.datasets.cars()).linear_reset(2)
        >>> round(test.statistic, 3), test.df
        (31.847, (1, 395))
        """
        return run_row_test(self, specification.reset(self, power, test_type=test_type))

    @short_traceback
    def linear_harvey_collier(self, *, order_by: str | None = None) -> Test:
        """Test whether recursive residuals have a mean of zero (Harvey and Collier): a curve makes it differ.

        `order_by` is the column of numbers that sorts the rows, in memory; by default they are in their own order.

        Raises
        ------
        OptionError : the rows have no order, or are in other processes.

        Examples
        --------
        >>> import squarely as sq
        >>> sq.ols("mpg ~ weight", sq.datasets.cars()).linear_harvey_collier(order_by="weight").df
        395
        """
        return specification.harvey_collier(self, order_by=order_by)

    @short_traceback
    def linear_rainbow(self, frac: float = 0.5, *, order_by: str | None = None, use_distance: bool = False) -> Test:
        """Test whether the middle rows fit better alone than all rows (Utts' rainbow test): a curve makes them.

        Parameters
        ----------
        frac : the fraction of the rows in the middle.
        order_by : the column of numbers that sorts the rows; by default they are in their own order.
        use_distance : take the rows nearest to the mean of the predictors (Mahalanobis), as in R.

        Raises
        ------
        OptionError : the rows have no order.

        Examples
        --------
        >>> import squarely as sq
        >>> sq.ols("mpg ~ weight", sq.datasets.cars()).linear_rainbow(use_distance=True).df
        (199, 197)
        """
        return specification.rainbow(self, frac, order_by=order_by, use_distance=use_distance)

    @short_traceback
    def vif(self) -> pd.DataFrame:
        """Return how much each term inflates its variances by depending on the others; it reads no row.

        The columns are GVIF, Df and GVIF^(1/(2*Df)), as `vif` of R's car. GVIF of a term with one column is the variance inflation
        factor. A fit without an intercept has factors about zero, not about the means.

        Examples
        --------
        >>> import squarely as sq
        >>> sq.ols("mpg ~ weight + displacement", sq.datasets.cars()).vif().round(3)["GVIF"].to_dict()
        {'weight': 7.702, 'displacement': 7.702}
        """
        return collinearity.variance_inflation(self)

    @short_traceback
    def condition_indices(self) -> pd.DataFrame:
        """Return the condition indices of the scaled columns, with the proportions of each variance (Belsley, Kuh and Welsch).

        It reads no row. An index above 30 with two proportions above 0.5 means that these coefficients depend on each other.

        Examples
        --------
        >>> import squarely as sq
        >>> sq.ols("mpg ~ weight", sq.datasets.cars()).condition_indices().round(3)["index"].tolist()
        [1.0, 7.164]
        """
        return collinearity.condition_indices(self)
