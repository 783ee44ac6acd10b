"""`Updates`: the methods of a fit that change its terms or its rows without reading the rows that it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from squarely.data import Source
from squarely.errors import short_traceback
from squarely.exact import Solution
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.fixed_effects.refusal import require_no_effects
from squarely.inference.post_estimation.updates.more_rows import add_rows
from squarely.inference.post_estimation.updates.without import leave_out
from squarely.types import Data, Duplicates


class Updates(CoefficientStatistics):
    """A fit with other terms or more rows."""

    __slots__ = ()

    def _fit_of(self, solution: Solution, source: Source) -> Self:
        """Return the fit of another solution, with the classical covariance."""
        raise NotImplementedError

    @short_traceback
    def without(self, *terms: str) -> Self:
        """Return the fit without some terms, on the same rows. It reads no row.

        Coefficients, standard errors and R-squared are those of a fit of the shorter formula to the rows of this fit. Normality
        tests and Durbin-Watson are NaN, because they need the rows, and so does a robust covariance: the classical one is in its
        place, and `vcov` computes another. A term that others contain may be left out, with a note. Categories in it are coded
        again, as a fit of the shorter formula would code them.

        Parameters
        ----------
        terms : as in the formula, such as "x", "C(origin)" or "x:z".

        Raises
        ------
        OptionError : there is no such term.
        FormulaError : no term is left.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ weight + horsepower + displacement", sq.datasets.cars())
        >>> shorter = fit.without("horsepower", "displacement")
        >>> shorter.params.round(4).to_dict(), shorter.nobs
        ({'Intercept': 46.2165, 'weight': -0.0076}, 392)
        """
        require_no_effects(self, "without()")
        return self._fit_of(leave_out(self.solution, terms, is_robust=self.robust is not None), self.source)

    @short_traceback
    def update(self, rows: Data, *, read: Mapping[str, object] | None = None, duplicates: Duplicates = "raise") -> Self:
        """Return the fit of the rows of this fit and of new ones, of which there may be one. It reads only the new rows.

        It equals a fit of all rows, as in `merge`: Normality tests, Durbin-Watson and a robust covariance need all rows at once.
        The new rows may have new levels. Knots, polynomials and means of the formula stay those of the first rows.

        Parameters
        ----------
        rows : data as in `ols`, with the columns of the formula, weights and condition included.
        read : how to read a file.
        duplicates : "keep" takes new rows whose cross-products are those of this fit; "raise" refuses them.

        Raises
        ------
        DataError : the rows cannot be used, or they seem to be those of this fit.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.5]})
        >>> more = fit.update({"x": [3.0], "y": [7.0]})
        >>> more.nobs, more.params.round(3).to_dict()
        (4, {'Intercept': 1.05, 'x': 2.05})
        """
        solution, source = add_rows(self.solution, self.source, rows, read, duplicates, is_robust=self.robust is not None)
        return self._fit_of(solution, source)
