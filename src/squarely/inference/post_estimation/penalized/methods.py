"""`PenalizedFits`: the methods of a fit that penalize its slopes."""

from __future__ import annotations

from collections.abc import Sequence

from squarely.errors import short_traceback
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.penalized.choose import PenaltyOptions, fit_elastic_net, fit_ridge
from squarely.inference.post_estimation.penalized.penalized import Penalized


class PenalizedFits(CoefficientStatistics):
    """Ridge, lasso and elastic net from the cross-products of a fit."""

    __slots__ = ()

    @short_traceback
    def ridge(
        self,
        alpha: float | str | Sequence[float] = "gcv",
        *,
        alphas: Sequence[float] | None = None,
        standardize: bool = True,
        folds: int | str = 10,
    ) -> Penalized:
        """Penalize the squares of the slopes: minimize ssr + alpha sum(b_j^2). It reads no row unless alpha="cv".

        The scale of alpha is that of scikit-learn's `Ridge` on standardized columns, and of `MASS::lm.ridge`.

        Parameters
        ----------
        alpha : the penalty; a list, of which generalized cross-validation chooses; "gcv" for the default path, refined; or "cv" for
            cross-validation.
        alphas : the path for "gcv" and "cv".
        standardize : whether each column is divided by its population standard deviation. The intercept has no penalty.
        folds : the number of folds for "cv", by position modulo that number, or the name of a column with the fold of each row.

        Raises
        ------
        OptionError : an option has a wrong value.
        DataError : the fit has no slope; or for "cv", it has no rows.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ weight + displacement", sq.datasets.cars())
        >>> fit.ridge(10).params.round(5).to_dict()
        {'Intercept': 42.95214, 'weight': -0.00523, 'displacement': -0.02013}
        """
        return fit_ridge(self, PenaltyOptions(alpha=alpha, alphas=alphas, standardize=standardize, folds=folds))

    @short_traceback
    def lasso(
        self,
        alpha: float | str | Sequence[float] = "cv",
        *,
        alphas: Sequence[float] | None = None,
        standardize: bool = True,
        folds: int | str = 10,
    ) -> Penalized:
        """Penalize the absolute values of the slopes: minimize ssr / (2n) + alpha sum(|b_j|), as scikit-learn's `Lasso`.

        Some slopes become zero. The parameters are those of `ridge`; alpha="cv" reads the rows once, a number reads none.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ weight + displacement", sq.datasets.cars())
        >>> fit.lasso(1.0).params.round(5).to_dict()
        {'Intercept': 41.12243, 'weight': -0.00519, 'displacement': -0.01139}
        """
        return fit_elastic_net(self, 1.0, PenaltyOptions(alpha=alpha, alphas=alphas, standardize=standardize, folds=folds))

    @short_traceback
    def elastic_net(
        self,
        alpha: float | str | Sequence[float] = "cv",
        l1_ratio: float = 0.5,
        *,
        alphas: Sequence[float] | None = None,
        standardize: bool = True,
        folds: int | str = 10,
    ) -> Penalized:
        """Penalize absolute values and squares of the slopes, as scikit-learn's `ElasticNet`.

        It minimizes ssr / (2n) + alpha (l1_ratio sum(|b_j|) + (1 - l1_ratio) sum(b_j^2) / 2). The other parameters are those of
        `ridge`.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ weight + displacement", sq.datasets.cars())
        >>> fit.elastic_net(1.0, 0.5).params.round(5).to_dict()
        {'Intercept': 36.81733, 'weight': -0.00308, 'displacement': -0.02141}
        """
        return fit_elastic_net(self, l1_ratio, PenaltyOptions(alpha=alpha, alphas=alphas, standardize=standardize, folds=folds))
