"""`Prediction`: means of new rows with their standard errors, and limits of the means and of new observations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from squarely.design import PredictedRows
from squarely.errors import pluralize
from squarely.inference.coefficients import require_alpha
from squarely.inference.statistics import confidence_limits
from squarely.numerics import Array
from squarely.show import KeyValueTable, Page, Table

FRAME_COLUMNS = ("mean", "mean_se", "mean_ci_lower", "mean_ci_upper", "obs_ci_lower", "obs_ci_upper")
_SHOWN_ROWS = 30  # at both ends of a long page


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ResidualVariance:
    """How a response varies about its mean.

    Attributes
    ----------
    variance : of a row of weight one.
    df : the degrees of freedom of the t distribution of limits, infinite for the normal one.
    weight : of rows that have none themselves.
    """

    variance: float
    df: float
    weight: float = 1.0

    def observation_errors(self, rows: PredictedRows) -> Array:
        """Return the standard errors (m,) of predictions of new observations."""
        weights = self.weight if rows.weights is None else rows.weights
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.asarray(np.sqrt(rows.errors**2 + self.variance / np.asarray(weights)))

    def limits(self, rows: PredictedRows, alpha: float) -> list[Array]:
        """Return the columns of `FRAME_COLUMNS`, (m,) each, at level 1 - alpha."""
        mean = rows.values
        low, high = confidence_limits(mean, rows.errors, self.df, alpha)
        return [mean, rows.errors, low, high, *confidence_limits(mean, self.observation_errors(rows), self.df, alpha)]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Prediction:
    """Predictions of n rows with their standard errors, under statsmodels' names. NaN where there is no prediction.

    Attributes
    ----------
    predicted_mean : (n,) the mean of the response that the fit predicts.
    se_mean : (n,) its standard errors, by the covariance of the fit.
    se_obs : (n,) the standard errors of a new observation: they add its variance, that of the residuals over its weight.
    df : the degrees of freedom of limits; infinite for the normal distribution.
    cov_type : the covariance of the coefficients.
    notes : sentences for the page.
    labels : (n,) the labels of the rows.
    make_frame : makes a frame of columns in the library of the rows.
    """

    predicted_mean: Array
    se_mean: Array
    se_obs: Array
    df: float
    cov_type: str
    notes: tuple[str, ...]
    labels: Any
    make_frame: Callable[[Mapping[str, Array]], Any]

    def conf_int(self, obs: bool = False, alpha: float = 0.05) -> Array:
        """Return limits (n, 2) at level 1 - alpha: of the mean, or with `obs` of a new observation.

        Raises
        ------
        OptionError : alpha is not above 0, or is above 0.5.
        """
        require_alpha(alpha)
        return np.column_stack(confidence_limits(self.predicted_mean, self.se_obs if obs else self.se_mean, self.df, alpha))

    def summary_frame(self, alpha: float = 0.05) -> Any:
        """Return a row for each prediction, with limits at level 1 - alpha, in the library and with the index of the rows.

        Its columns are mean, mean_se, mean_ci_lower, mean_ci_upper, obs_ci_lower and obs_ci_upper.
        """
        return self.make_frame(self._columns(alpha))

    def summary(self, alpha: float = 0.05) -> Page:
        """Return the predictions as a page, the first and the last of many."""
        columns, n = self._columns(alpha), len(self.predicted_mean)
        shown = range(n) if n <= 2 * _SHOWN_ROWS else [*range(_SHOWN_ROWS), *range(n - _SHOWN_ROWS, n)]
        rows = [(str(self.labels[i]), *(f"{values[i]:#.6g}" for values in columns.values())) for i in shown]
        if n > len(rows):
            rows.insert(_SHOWN_ROWS, (f"... {n - len(rows):,} more: see summary_frame()", *[""] * len(columns)))
        distribution = "normal" if np.isinf(self.df) else f"t, {self.df:,.6g} df"
        pairs = [("No. Predictions:", f"{n:,}"), ("Covariance Type:", self.cov_type)]
        more = [("Distribution:", distribution), ("Level of limits:", f"{100 * (1 - alpha):.6g} %")]
        return Page("Predictions", [KeyValueTable(pairs, more), Table(("", *columns), rows)], notes=self.notes)

    def as_dict(self, alpha: float = 0.05) -> dict[str, Any]:
        """Return the columns of `summary_frame` and what limits follow from as plain Python values."""
        columns = {name: values.tolist() for name, values in self._columns(alpha).items()}
        return {**columns, "df": self.df, "cov_type": self.cov_type, "notes": list(self.notes)}

    def _columns(self, alpha: float) -> dict[str, Array]:
        mean, obs = self.conf_int(alpha=alpha).T, self.conf_int(obs=True, alpha=alpha).T
        return dict(zip(FRAME_COLUMNS, [self.predicted_mean, self.se_mean, *mean, *obs], strict=True))

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        return f"<Prediction of {pluralize(len(self.predicted_mean), 'row')}; print(prediction.summary())>"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LazyPrediction:
    """Predictions of rows in other processes, which are computed there.

    Attributes
    ----------
    add_columns : returns the table of the rows with columns of these names, which a function makes of predictions.
    residual_variance : what limits follow from.
    cov_type, notes : as those of `Prediction`.
    """

    add_columns: Callable[[Sequence[str], Callable[[PredictedRows], Sequence[Array]]], Any]
    residual_variance: ResidualVariance
    cov_type: str
    notes: tuple[str, ...]

    def summary_frame(self, alpha: float = 0.05) -> Any:
        """Return the columns of `Prediction.summary_frame`, as lazy as the table; a Spark table has them next to its own."""
        require_alpha(alpha)
        residual_variance = self.residual_variance
        return self.add_columns(FRAME_COLUMNS, lambda rows: residual_variance.limits(rows, alpha))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"A prediction of rows in other processes has no {name!r}. Use summary_frame(), whose columns are as lazy as the rows."
        )

    def __repr__(self) -> str:
        return "<LazyPrediction of rows in other processes; see its summary_frame()>"
