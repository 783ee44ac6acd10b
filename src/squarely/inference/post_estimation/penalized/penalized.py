"""`Penalized`: the slopes of a penalized fit, the path of penalties that it is from, and what chose the penalty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely.data import open_new_rows, scan_purpose, to_frame, to_series
from squarely.design import LinearPredictor, predict_batches
from squarely.errors import OptionError, short_traceback
from squarely.inference.coefficients import CoefficientStatistics
from squarely.numerics import Array
from squarely.reprs import NO_SIGNATURE, public_dir
from squarely.show import KeyValueTable, Page, Table
from squarely.types import Data, Unseen

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class Penalized:
    """A ridge, lasso or elastic net fit, made by `Fit.ridge`, `Fit.lasso` and `Fit.elastic_net`.

    Ridge minimizes ssr + alpha sum(b_j^2), as scikit-learn's `Ridge`. Lasso and elastic net minimize ssr / (2n) + alpha (l1_ratio
    sum(|b_j|) + (1 - l1_ratio) sum(b_j^2) / 2), as its `ElasticNet`. Here b_j is the slope of the standardized column j. The
    intercept has no penalty.

    Attributes
    ----------
    fit : the least squares fit that it was computed from.
    method : "ridge", "lasso" or "elastic net".
    alpha : the penalty. `l1_ratio` : the share of the absolute values in it, 0 for ridge.
    standardize : whether the penalty is on slopes of standardized columns.
    alphas : (a,) the path of penalties, decreasing. `slopes` (a, k), the slopes along it, in the units of the data.
    scores : "df" and "ssr" (a,) along the path, and "gcv" or "cv_mse" and "cv_se" where they were computed.
    chosen_by : how `alpha` was chosen: "given", "gcv" or "cv".
    notes : what to know about the fit.
    """

    __signature__ = NO_SIGNATURE
    __dir__ = public_dir("slopes", "position")

    fit: CoefficientStatistics
    method: str
    alpha: float
    l1_ratio: float
    standardize: bool
    alphas: Array
    slopes: Array
    scores: Mapping[str, Array]
    chosen_by: str
    notes: tuple[str, ...] = ()

    @property
    def position(self) -> int:
        """The position of `alpha` in the path."""
        return int(np.flatnonzero(self.alphas == self.alpha)[0])

    @property
    def coefficients(self) -> Array:
        """The coefficients (p,) in the units of the data, as a plain array."""
        return np.asarray(self._with_intercept(self.slopes[self.position : self.position + 1])[0])

    @property
    def params(self) -> pd.Series:
        """The coefficients, in the units of the data."""
        return to_series(self.coefficients, list(self.fit.design.names))

    @property
    def df(self) -> float:
        """The effective number of slopes."""
        return float(self.scores["df"][self.position])

    @property
    def ssr(self) -> float:
        """The sum of squared residuals, with weights if the fit has them."""
        return float(self.scores["ssr"][self.position])

    @property
    def rsquared(self) -> float:
        """One minus the ratio of `ssr` to the total sum of squares, as the fit has it."""
        return 1.0 - (1.0 - self.fit.rsquared) * (self.ssr / self.fit.ssr) if self.fit.ssr else self.fit.rsquared

    @property
    def path(self) -> pd.DataFrame:
        """The coefficients along the path: a row for each penalty."""
        return to_frame(self._with_intercept(self.slopes), self.alphas, list(self.fit.design.names)).rename_axis("alpha")

    @property
    def criteria(self) -> pd.DataFrame:
        """Effective df, ssr, and the score that chooses the penalty: a row for each penalty."""
        return to_frame(dict(self.scores), self.alphas).rename_axis("alpha")

    @property
    def alpha_1se(self) -> float:
        """The largest penalty whose cross-validation error is within one standard error of the least."""
        if "cv_mse" not in self.scores:
            raise OptionError("alpha_1se comes from cross-validation. Choose the penalty with alpha='cv'.")
        errors, best = self.scores["cv_mse"], int(np.argmin(self.scores["cv_mse"]))
        return float(self.alphas[errors <= errors[best] + self.scores["cv_se"][best]].max())

    @short_traceback
    def at(self, alpha: float) -> Penalized:
        """Return the fit with another penalty of the path, the one nearest to `alpha` in relative terms."""
        if not isinstance(alpha, int | float | np.number) or not alpha >= 0:
            raise OptionError(f"alpha={alpha!r} is not a number of at least 0. Take one from `path.index`.")
        floor = np.finfo(float).tiny
        nearest = np.abs(np.log(np.maximum(self.alphas, floor)) - np.log(max(float(alpha), floor))).argmin()
        return replace(self, alpha=float(self.alphas[nearest]), chosen_by="given")

    @short_traceback
    @scan_purpose("predictions")
    def predict(self, new: Data, *, read: Mapping[str, object] | None = None, unseen: Unseen = "error") -> Any:
        """Predict the response for new rows, in the library that they are in; the parameters are those of `Fit.predict`."""
        design = self.fit.design
        moments, slopes = self.fit.solution.moments, self.slopes[self.position]
        level = float(design.centers[-1])
        if design.intercept:
            means = moments.gram[0, 1:] / moments.weight * design.scales  # from the centers
            level += float(means[-1] - means[:-1] @ slopes)
        predictor = LinearPredictor(
            design=design, selected=list(range(len(slopes))), level=level, slopes=slopes, center=design.centers[:-1]
        )
        return predict_batches(predictor, open_new_rows(new, design.formula.names, read), unseen=unseen)

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain Python values."""
        names = ("method", "alpha", "l1_ratio", "standardize", "chosen_by", "df", "ssr", "rsquared")
        return {**{name: getattr(self, name) for name in names}, "params": self.params.to_dict(), "notes": list(self.notes)}

    def summary(self) -> Page:
        """Return the coefficients beside those of least squares, as a page."""
        least, now = self.fit.solution.params, self.coefficients
        rows = [(name, f"{b:.6g}", f"{a:.6g}") for name, a, b in zip(self.fit.design.names, least, now, strict=True)]
        left = [
            ("Dep. Variable:", self.fit.design.response),
            ("Method:", self.method),
            ("Penalty alpha:", f"{self.alpha:.6g}"),
            ("Chosen by:", self.chosen_by),
        ]
        right = [
            ("No. Observations:", f"{self.fit.nobs:,}"),
            ("R-squared:", f"{self.rsquared:.3f}"),
            ("Effective Df:", f"{self.df:.4g}"),
            ("Standardized:", "yes" if self.standardize else "no"),
        ]
        tables: list[KeyValueTable | Table] = [KeyValueTable(left, right), Table(("", "coef", "least squares"), rows)]
        note = "A penalized estimate is biased towards zero, so it has no standard errors here."
        return Page(f"{self.method.capitalize()} Regression Results", tables, notes=(note, *self.notes))

    def _with_intercept(self, slopes: Array) -> Array:
        """Return the coefficients (a, p) for slopes (a, k) in the units of the data."""
        moments = self.fit.solution.moments
        if not moments.design.intercept:
            return slopes
        means = moments.means
        return np.column_stack([means[-1] - slopes @ means[:-1], slopes])

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        return f"<Penalized {self.method}, alpha={self.alpha:.6g}: {self.fit.design.formula.text!r}; print(it.summary())>"
