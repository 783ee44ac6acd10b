"""`HypothesisTests`: the methods of a fit that test hypotheses on its coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squarely.errors import short_traceback
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.hypotheses.contrasts import Contrasts, t_test
from squarely.inference.post_estimation.hypotheses.nested import compare_f_test, compare_lr_test
from squarely.inference.post_estimation.hypotheses.pairwise import t_test_pairwise
from squarely.inference.post_estimation.hypotheses.wald import Wald, wald_test, wald_test_terms
from squarely.types import Hypothesis

if TYPE_CHECKING:
    import pandas as pd


class HypothesisTests(CoefficientStatistics):
    """Tests of linear hypotheses. All follow the covariance of the fit: with `vcov("HC3")` before them they are robust.

    A hypothesis is text such as "x = 0, z = 1" or "a = b = 0", a mapping {"x": 0, "z": 1}, a matrix with a column for each
    coefficient, or a pair (matrix, values). docs/hypotheses.md has the grammar.
    """

    __slots__ = ()

    @short_traceback
    def t_test(self, hypothesis: Hypothesis) -> Contrasts:
        """Estimate linear combinations of the coefficients, and test each by its t statistic.

        Raises
        ------
        FormulaError : the text cannot be read, is not linear, or names no coefficient. A caret points at the place.
        DataError : it uses a column that was dropped.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ weight + C(origin)", sq.datasets.cars())
        >>> test = fit.t_test("origin[2] - origin[3] = 0")
        >>> test.effect.round(3).tolist(), test.pvalue.round(4).tolist()
        ([-1.14], [0.1075])
        """
        return t_test(self, hypothesis)

    @short_traceback
    def f_test(self, hypothesis: Hypothesis) -> Wald:
        """Test all constraints of a hypothesis at once by their F statistic.

        Constraints that follow from others do not count. With vcov="CR2" the degrees of freedom are those of the covariance.

        Raises
        ------
        FormulaError : as in `t_test`.
        DataError : constraints contradict each other, use a column that was dropped, or are more than the covariance has rank.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ weight + C(origin)", sq.datasets.cars())
        >>> test = fit.f_test("origin[2] = origin[3] = 0")
        >>> round(test.fvalue, 3), test.df_num, test.df_denom
        (6.409, 2, 394)
        """
        return wald_test(self, hypothesis)

    @short_traceback
    def wald_test(self, hypothesis: Hypothesis, *, use_f: bool = True) -> Wald:
        """Test all constraints at once as `f_test` does; with `use_f=False` by the chi-squared distribution."""
        return wald_test(self, hypothesis, use_f=use_f)

    @short_traceback
    def wald_test_terms(self) -> pd.DataFrame:
        """Test for each term that all its coefficients are zero: a frame of statistic (F), pvalue, df_constraint and df_denom."""
        return wald_test_terms(self)

    @short_traceback
    def t_test_pairwise(self, term: str, *, method: str = "hs", alpha: float = 0.05) -> pd.DataFrame:
        """Compare all pairs of levels of a category, with the other columns held at one value.

        Parameters
        ----------
        term : the category, as in the formula or by its column.
        method : the correction of p-values: "hs" (Holm-Sidak), "holm", "bonferroni", "sidak", "fdr_bh", "tukey" or "none".
        alpha : limits are at level 1 - alpha.

        Returns
        -------
        DataFrame : coef, std err, t, P>|t|, limits, pvalue-hs and reject-hs for each pair, such as "usa-japan".

        Raises
        ------
        DataError : the term is not a category of the fit.
        OptionError : the method is unknown, or alpha is not between 0 and 1.
        """
        return t_test_pairwise(self, term, method=method, alpha=alpha)

    @short_traceback
    def compare_f_test(self, restricted: CoefficientStatistics) -> tuple[float, float, int]:
        """Test a smaller model against this one: F, its p-value, and the number of columns left out.

        Under a robust covariance it is the Wald test of these columns.

        Raises
        ------
        DataError : the fits have different rows or responses, or are not nested.
        """
        return compare_f_test(self, restricted)

    @short_traceback
    def compare_lr_test(self, restricted: CoefficientStatistics) -> tuple[float, float, int]:
        """Test a smaller model against this one: the likelihood ratio, its p-value, and the number of columns left out.

        Raises
        ------
        DataError : the fits have different rows or responses, or are not nested.
        OptionError : a fit has a robust covariance, for which there is no likelihood.
        """
        return compare_lr_test(self, restricted)
