"""`Bootstrap`: the estimates of all draws, with their standard errors and limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from squarely.data import to_frame, to_series
from squarely.errors import DataError, OptionError, pluralize, show_value, suggest_name
from squarely.inference.coefficients import CoefficientStatistics, require_alpha
from squarely.inference.covariance.root import expand_selected
from squarely.inference.post_estimation.bootstrap.poisson import draw_coefficients
from squarely.inference.post_estimation.bootstrap.random_weights import read_count
from squarely.numerics import Array
from squarely.reprs import short_repr
from squarely.show import Page, Table

if TYPE_CHECKING:
    import pandas as pd

_METHODS = ("percentile", "basic", "normal")


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Bootstrap:
    """A bootstrap of the coefficients, or of a function of them.

    Attributes
    ----------
    estimates : (draws, p), or (draws, ...) for a function; NaN for draws that do not determine the coefficients.
    estimate : (p,) or (...) that of the fit.
    names : of the coefficients, or of the values of the function.
    draws, seed, cluster : as they were given.
    notes : sentences for the page.
    """

    __repr__ = short_repr

    estimates: Array
    estimate: Array
    names: tuple[str, ...]
    draws: int
    seed: int
    cluster: str | None
    notes: tuple[str, ...]

    @property
    def bse(self) -> pd.Series:
        """The standard deviation of the draws, with draws - 1 in the denominator."""
        values = self._values()
        if len(values) < 2:
            return to_series(np.full(len(self.names), np.nan), list(self.names))
        return to_series(np.std(values, axis=0, ddof=1), list(self.names))

    def conf_int(self, alpha: float = 0.05, method: str = "percentile") -> pd.DataFrame:
        """Return confidence limits at level 1 - alpha: column 0 is the lower limit, column 1 the upper.

        "percentile" takes quantiles of the draws, "basic" reflects them at the estimate, and "normal" is the estimate plus and
        minus a quantile of the normal distribution times `bse`.

        Raises
        ------
        OptionError : alpha is not above 0 or is above 0.5, or the method is unknown.
        """
        require_alpha(alpha)
        if method not in _METHODS:
            raise OptionError(f"method={show_value(method)} is not known. {suggest_name(method, _METHODS)}")
        center = self.estimate.ravel()
        if method == "normal":
            half = -ndtri(alpha / 2) * self.bse.to_numpy()
            low, high = center - half, center + half
        else:
            values = self._values()
            ends = [alpha / 2, 1 - alpha / 2]
            low, high = np.quantile(values, ends, axis=0) if len(values) else np.full((2, len(center)), np.nan)
            if method == "basic":
                low, high = 2 * center - high, 2 * center - low
        return to_frame({0: low, 1: high}, list(self.names))

    def summary(self) -> Page:
        """Return estimates, standard errors, bias and 95 % percentile limits as a page."""
        rows = [(name, *(f"{value:#.4g}" for value in values)) for name, *values in self._rows()]
        table = Table(("", "coef", "std err", "bias", "[0.025", "0.975]"), rows)
        return Page("Bootstrap", [table], notes=self.notes)

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain Python values."""
        keys = ("name", "estimate", "bse", "bias", "ci_lower", "ci_upper")
        rows = [dict(zip(keys, row, strict=True)) for row in self._rows()]
        return {"draws": self.draws, "seed": self.seed, "cluster": self.cluster, "estimates": rows, "notes": list(self.notes)}

    def _rows(self) -> list[tuple[Any, ...]]:
        values, center = self._values(), self.estimate.ravel()
        bias = values.mean(axis=0) - center if len(values) else np.full(len(center), np.nan)
        low, high = self.conf_int().to_numpy().T
        columns = (center, self.bse.to_numpy(), bias, low, high)
        return list(zip(self.names, *(column.tolist() for column in columns), strict=True))

    def _values(self) -> Array:
        """Return the draws that determine the coefficients, as a matrix; columns of dropped coefficients stay NaN."""
        values = self.estimates.reshape(len(self.estimates), -1)
        return values[~np.isnan(values).all(axis=1)]

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


def bootstrap(
    fit: CoefficientStatistics, function: Callable[[Any], Any] | None, draws: object, cluster: object, seed: object
) -> Bootstrap:
    """Draw the coefficients and apply the function; the public method documents it."""
    draws = read_count("draws", draws, least=1, usual=1000)
    seed = read_count("seed", seed, least=0, usual=0)
    if function is not None and not callable(function):
        raise OptionError(f"function={show_value(function)} cannot be called. Give a function such as lambda b: b['x'] / b['z'].")
    names, selected = fit.design.names, fit.solution.factor.selected
    drawn = draw_coefficients(fit, draws, cluster, seed)
    singular = int(np.isnan(drawn).any(axis=1).sum()) if drawn.shape[1] else 0
    estimates = np.full((draws, len(names)), np.nan)
    estimates[:, selected] = drawn
    estimate = expand_selected(fit.solution.params[selected], selected)
    notes = _describe(fit, draws, cluster, singular)
    if function is not None:
        estimate, labels = _apply(function, estimate, names)
        values = np.full((draws, *estimate.shape), np.nan)
        for k in np.flatnonzero(~np.isnan(drawn).any(axis=1)).tolist():
            value, _ = _apply(function, estimates[k], names)
            if value.shape != estimate.shape:
                raise DataError(
                    f"The function returns values of shape {value.shape} for a draw and {estimate.shape} for the fit. "
                    "Return the same shape always."
                )
            values[k] = value
        names, estimates = tuple(labels), values
    return Bootstrap(
        estimates=estimates,
        estimate=estimate,
        names=names,
        draws=draws,
        seed=seed,
        cluster=None if cluster is None else str(cluster),
        notes=notes,
    )


def _apply(function: Callable[[Any], Any], params: Array, names: Sequence[str]) -> tuple[Array, Sequence[str]]:
    """Return the value of the function of labeled coefficients, and the names of its parts."""
    labeled = to_series(params.copy(), list(names))
    result = function(labeled)
    try:
        value = np.asarray(result, dtype=float)
    except (TypeError, ValueError) as error:
        raise OptionError(f"The function returns {show_value(result)}. Return a number or an array of numbers.") from error
    if not value.size:
        raise OptionError(f"The function returns {show_value(result)}. Return a number or an array of numbers.")
    if isinstance(result, type(labeled)):
        return value, [str(name) for name in result.index]
    return value, ["function" if not value.ndim else f"[{', '.join(map(str, at))}]" for at in np.ndindex(value.shape)]


def _describe(fit: CoefficientStatistics, draws: int, cluster: object, singular: int) -> tuple[str, ...]:
    what = "row" if cluster is None else f"cluster of {cluster}"
    notes = [f"Each {what} has a Poisson weight with a mean of 1 in each of {pluralize(draws, 'draw')}."]
    known = {} if fit.robust is None else fit.robust.cov_kwds
    if cluster is None and "cluster" in known:
        name = known["cluster"][0]
        notes.append(f"Rows are drawn one by one, although the fit has clusters: cluster={name!r} draws clusters of {name}.")
    if fit.solution.has_hidden_residuals:
        notes.append("The residuals are zero, or rounding hides them, so the draws are NaN.")
    elif singular:
        notes.append(f"{pluralize(singular, 'draw')} of {draws:,} do not determine all coefficients, and are left out as NaN.")
    return tuple(notes)
