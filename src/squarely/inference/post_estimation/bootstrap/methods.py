"""`BootstrapMethods`: the methods of a fit that draw rows or clusters at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squarely.data import scan_purpose
from squarely.errors import short_traceback
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.bootstrap.results import Bootstrap, bootstrap


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
