"""`Fit`: the statistics of a least squares fit under statsmodels' names, and what can be done with it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self, cast

from squarely.data import Source
from squarely.design import require_other_file
from squarely.errors import InputError, short_traceback
from squarely.exact import Solution
from squarely.inference.covariance.estimate import estimate_covariance
from squarely.inference.covariance.options import CLASSICAL, CovarianceOptions, read_covariance_options
from squarely.inference.covariance.robust import RobustCovariance
from squarely.inference.covariance.statsmodels_names import StatsmodelsCovariance
from squarely.inference.post_estimation.bootstrap.methods import BootstrapMethods
from squarely.inference.post_estimation.diagnostics.methods import DiagnosticTests
from squarely.inference.post_estimation.effects.methods import Effects
from squarely.inference.post_estimation.figures.plot import Figures
from squarely.inference.post_estimation.fixed_effects.methods import FixedEffects
from squarely.inference.post_estimation.hypotheses.methods import HypothesisTests
from squarely.inference.post_estimation.influence.methods import InfluenceMeasures
from squarely.inference.post_estimation.penalized.methods import PenalizedFits
from squarely.inference.post_estimation.predictions.methods import RowStatistics
from squarely.inference.post_estimation.tables.tidy import TidyFrames
from squarely.inference.post_estimation.updates.methods import Updates
from squarely.inference.serialization.deserialize import solution_from_json
from squarely.inference.serialization.merge import detach_source, merge_solutions
from squarely.inference.serialization.serialize import solution_to_json
from squarely.inference.statistics import (
    Statistics,
    statistics_of,
    with_robust_covariance,
)
from squarely.inference.summary.page import summary_page
from squarely.inference.summary.plain_numbers import to_plain_numbers
from squarely.reprs import NO_SIGNATURE, public_dir
from squarely.storage.disk import write_text
from squarely.types import Correction, Duplicates

if TYPE_CHECKING:
    from squarely.show import Page


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class Fit(
    BootstrapMethods,
    DiagnosticTests,
    Effects,
    Figures,
    FixedEffects,
    HypothesisTests,
    InfluenceMeasures,
    PenalizedFits,
    RowStatistics,
    StatsmodelsCovariance,
    TidyFrames,
    Updates,
):
    """A linear regression by least squares, made by `squarely.ols`.

    The numbers are documented in `Statistics`, what the coefficients have in `CoefficientStatistics`,
    and what the rows have in `RowStatistics`.
    """

    __signature__ = NO_SIGNATURE
    __dir__ = public_dir("constant_response", "design", "df_of_t", "predictions", "robust", "solution", "source")

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of the page."""
        return tuple(self.summary().notes)

    @short_traceback
    def vcov(
        self,
        vcov: str | Mapping[str, str] | None = None,
        *,
        cluster: str | Sequence[str] | None = None,
        time: str | None = None,
        lags: int | None = None,
        correction: Correction = "usual",
        use_t: bool = True,
        df: float | None = None,
    ) -> Fit:
        """Return the fit with another covariance of the coefficients; it reads the rows once. The coefficients stay the same.

        Standard errors, t, p-values, limits and F follow the covariance. R-squared, the likelihood and sums of squares do not.

        Parameters
        ----------
        vcov, cluster, time, lags, correction : as in `squarely.ols`; nothing gives the classical covariance.
        use_t : whether tests and limits use the t distribution, otherwise the normal one.
        df : degrees of freedom of t and F instead of the usual ones.

        Raises
        ------
        OptionError : the options do not go together.
        DataError : the fit has no rows, or a row of the fit has no value in a column of clusters.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]})
        >>> fit.bse.round(4).to_dict(), fit.vcov("HC3").bse.round(4).to_dict()
        ({'Intercept': 0.324, 'x': 0.1732}, {'Intercept': 0.5141, 'x': 0.3653})
        """
        options = read_covariance_options(vcov, cluster=cluster, time=time, lags=lags, correction=correction, use_t=use_t, df=df)
        return infer(self.solution, self.source, options)

    @short_traceback
    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the fit as JSON, without its rows; `squarely.load` reads it back.

        The file has some kilobytes and grows with p squared. It contains the names of columns and of levels. It is complete
        or not written.

        Raises
        ------
        DataError : the file cannot be written, or is the file of the data.
        """
        require_other_file(self.source, path)
        write_text(path, solution_to_json(self.solution, self.source, self.robust))

    @short_traceback
    def merge(self, *others: Fit, duplicates: Duplicates = "raise") -> Fit:
        """Return the fit of the rows of all these fits, as if it had been fitted to them at once. It reads no row.

        The fits have one formula and condition, are live or loaded, and may have different levels. Coefficients, covariance, sums
        of squares and what follows from them equal those of a fit of all rows up to rounding; `digits` says what can be trusted.
        Normality tests and Durbin-Watson are NaN, because they need the rows. Two fits with the same cross-products have the same
        rows and are refused; `duplicates="keep"` counts both.

        Raises
        ------
        DataError : the fits have different models, or two of them have the same rows. The message names the difference.

        Examples
        --------
        >>> import squarely as sq
        >>> a = sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0], "y": [1.0, 3.0, 5.5]})
        >>> b = sq.ols("y ~ x", {"x": [3.0, 4.0, 5.0], "y": [7.0, 9.0, 10.5]})
        >>> both = a.merge(b)
        >>> both.nobs, both.params.round(3).to_dict()
        (6, {'Intercept': 1.214, 'x': 1.914})
        >>> both.remove(b).params.round(3).to_dict() == a.params.round(3).to_dict()
        True
        """
        return merge_fits([self, *others], duplicates=duplicates)

    @short_traceback
    def remove(self, *shards: Fit) -> Fit:
        """Return the fit without the rows of other fits that were merged into it. It reads no row; see `merge` for an example.

        The remainder is a difference of cross-products, so its relative error grows by the ratio of before to after, column by
        column: removing nine tenths costs about a digit, and `digits` allows for it. A column whose remainder is below 1e-7 of its
        scale counts as constant. Levels without rows are removed.

        A fit that was never merged is detected where counts, sums of squares or cross-products would become negative. Rows that
        resemble the merged ones cannot be detected.

        Raises
        ------
        DataError : the fits have different models, or what is to be removed cannot have been merged.
        NumericalError : so much is removed that a coefficient has no digit left.
        """
        return merge_fits([self], shards)

    def summary(self) -> Page:
        """Return the results as a page laid out as in statsmodels, with the row account and the digits as extra lines."""
        return summary_page(self, self.solution, self.robust, self.source.notes, self._to_plain_numbers())

    def as_dict(self) -> Mapping[str, Any]:
        """Return every number as plain Python values under the names of the attributes, as `--json` prints them."""
        names = self.design.names
        rows = [dict(zip(names, row, strict=True)) for row in self.covariance.tolist()]
        return {**self._to_plain_numbers(), "cov_params": dict(zip(names, rows, strict=True))}

    def _fit_of(self, solution: Solution, source: Source) -> Self:
        return cast("Self", infer(solution, source))

    def _to_plain_numbers(self) -> dict[str, Any]:
        return to_plain_numbers(self, self.solution, self.robust)

    def _repr_html_(self) -> str:
        return self.summary().shorten()._repr_html_()

    def __repr__(self) -> str:
        return f"<Fit {self.design.formula.text!r}: n={self.nobs}, R-squared {self.rsquared:.3f}; print(fit.summary())>"


_NOT_ROBUST = "Standard errors are classical, because robust ones need the rows. Fit all rows at once for those."


def infer(solution: Solution, source: Source, options: CovarianceOptions = CLASSICAL) -> Fit:
    """Return the fit of a solution with a covariance: the classical one, or one that takes a scan of the rows."""
    return _make_fit(statistics_of(solution), solution, source, estimate_covariance(solution, source, options))


def fit_from_json(text: str, label: str) -> Fit:
    """Return a saved fit, which has no rows, or raise a DataError that calls the file `label`."""
    return _make_fit(*solution_from_json(text, label))


def _make_fit(statistics: Statistics, solution: Solution, source: Source, robust: RobustCovariance | None = None) -> Fit:
    if robust is not None:
        statistics = with_robust_covariance(statistics, solution, robust)
    numbers = {field.name: getattr(statistics, field.name) for field in fields(Statistics)}
    return Fit(**numbers, solution=solution, source=source, robust=robust)


def merge_fits(fits: Sequence[Fit], removed: Sequence[Fit] = (), *, duplicates: Duplicates = "raise") -> Fit:
    """Return the fit of all rows of `fits` without those of `removed`; see `Fit.merge` and `Fit.remove`."""
    if not fits:
        raise InputError("There is no fit to merge. Give at least one, such as sq.merge([sq.load('a.json'), sq.load('b.json')]).")
    for fit in [*fits, *removed]:
        if not isinstance(fit, Fit):
            raise InputError(
                f"{fit!r} of type {type(fit).__name__} is not a fit, so it cannot be merged. Give results of sq.ols or sq.load."
            )
    sources = [fit.source for fit in fits]
    parts, without = ([fit.solution for fit in group] for group in (fits, removed))
    merged = merge_solutions(parts, without, sources, duplicates=duplicates)
    if any(fit.robust for fit in (*fits, *removed)):
        moments = replace(merged.moments, remarks=(*merged.moments.remarks, _NOT_ROBUST))
        merged = replace(merged, moments=moments)
    return infer(merged, detach_source(sources))
