"""`BootstrapMethods`: the methods of a fit that draw rows or clusters at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squarely.data import scan_purpose
from squarely.errors import short_traceback
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.bootstrap.results import Bootstrap, bootstrap
from squarely.inference.post_estimation.bootstrap.wild import WildTest, wild_test
from squarely.types import Hypothesis


class BootstrapMethods(CoefficientStatistics):
    """Inference from random weights of rows or clusters, for data of any size."""

    __slots__ = ()

    @short_traceback
    @scan_purpose("bootstrap")
    def bootstrap(
        self, function: Callable[[Any], Any] | None = None, *, draws: int = 1000, cluster: str | None = None, seed: int = 0
    ) -> Bootstrap:
        """Bootstrap the coefficients, or a function of them, from one scan of the rows.

        Each row has a Poisson weight with a mean of 1 in each draw. The weight depends on the seed, the draw and the number of the
        row alone, so the same seed gives the same numbers for each batch size, file format and number of threads.

        Parameters
        ----------
        function : of the coefficients as a Series; it returns a number or an array.
        draws : the number of draws.
        cluster : a column; all rows of a cluster have one weight, which depends on its label.
        seed : a whole number.

        Raises
        ------
        OptionError : an option is not usable, the rows have no numbers, or the fit absorbs fixed effects.
        DataError : the fit has no rows, or the column of clusters is missing.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ weight + horsepower", sq.datasets.cars())
        >>> fit.bootstrap(draws=200).bse.round(5).to_dict()
        {'Intercept': 0.81067, 'weight': 0.00049, 'horsepower': 0.01134}
        >>> ratio = fit.bootstrap(lambda b: b["weight"] / b["horsepower"], draws=200)
        >>> ratio.conf_int(method="basic").round(3).to_numpy().tolist()
        [[-0.005, 0.174]]
        """
        return bootstrap(self, function, draws, cluster, seed)

    @short_traceback
    @scan_purpose("bootstrap")
    def wild_test(
        self, hypothesis: Hypothesis, *, draws: int = 9999, weights: str = "rademacher", seed: int = 0, impose_null: bool = True
    ) -> WildTest:
        """Test one constraint by the wild cluster bootstrap, for a fit with one column of clusters; it reads the rows once.

        The p-value is the share of draws with a larger |t|, each with the CR1 standard error. With few clusters it holds its level
        better than t. At most 12 clusters with Rademacher weights give all sign vectors, so nothing is random. Draws come from
        sums of each cluster, as in Roodman, Nielsen, MacKinnon and Webb (2019, doi:10.1177/1536867X19830877).

        Parameters
        ----------
        hypothesis : one constraint, as in `t_test`.
        draws : the number of draws, if they are random.
        weights : "rademacher" (-1 or 1) or "webb" (six values), which is better for fewer than about 10 clusters.
        seed : a whole number.
        impose_null : whether the residuals are those under the constraint.

        Raises
        ------
        FormulaError : the hypothesis cannot be read.
        OptionError : the fit does not have one column of clusters, there are several constraints, or an option is unknown.
        DataError : the fit has no rows.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ weight + horsepower", sq.datasets.cars(), cluster="cylinders")
        >>> test = fit.wild_test("horsepower = -0.03")
        >>> round(test.statistic, 3), round(test.pvalue, 3)
        (-0.578, 0.5)
        """
        return wild_test(self, hypothesis, draws=draws, weights=weights, seed=seed, impose_null=impose_null)
