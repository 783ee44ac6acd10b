"""`InfluenceMeasures`: the methods of a fit that say what each row does to it."""

from __future__ import annotations

from typing import Any

from squarely.data import scan_purpose
from squarely.errors import short_traceback
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.influence.influence import Influence
from squarely.inference.post_estimation.influence.outliers import outlier_test


class InfluenceMeasures(CoefficientStatistics):
    """What each row does to a fit. All measures follow the classical covariance."""

    __slots__ = ()

    @short_traceback
    def get_influence(self) -> Influence:
        """Return the leverage, Cook's distance, DFFITS, DFBETAS and more of each row, under statsmodels' names.

        They have closed forms, so that no row is left out and fitted again. `top(20)` and `write("influence.parquet")` need the
        memory of a batch.

        Raises
        ------
        DataError : the fit has no rows, as a loaded or merged one.
        OptionError : the rows stay in a database and have no order.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ weight + horsepower", sq.datasets.cars())
        >>> fit.get_influence().top(2)[["cooks_d", "hat_diag", "student_resid"]].round(3)
             cooks_d  hat_diag  student_resid
        326    0.037     0.011          3.255
        116    0.034     0.047          1.458
        """
        return Influence(self)

    @short_traceback
    @scan_purpose("influence")
    def outlier_test(self, method: str = "bonf", *, k: int = 10) -> Any:
        """Test whether rows are outliers: return the k largest |student_resid|, from one scan in the memory of a batch.

        `unadj_p` is the p-value in t with `df_resid` - 1 degrees of freedom. The third column corrects it for as many tests as
        there are rows, by `method`: "bonf", "sidak", "holm" or "hs" (Holm-Sidak).

        Raises
        ------
        OptionError : the method is unknown, or k is not a whole number of at least 1.
        DataError : the fit has no rows, as a loaded or merged one.

        Examples
        --------
        >>> import squarely as sq
        >>> sq.ols("mpg ~ weight", sq.datasets.cars()).outlier_test(k=2).round(4)
             student_resid  unadj_p  bonf(p)
        322         3.8695   0.0001   0.0508
        326         3.5102   0.0005   0.1988
        """
        return outlier_test(self, method, k)
