"""`Fit`: the statistics of a least squares fit under statsmodels' names, and what can be done with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from squarely.data import Source, open_new_rows, scan_purpose, to_series
from squarely.design import iter_predictions, predict_batches, require_other_file, write_predictions
from squarely.errors import InputError, short_traceback
from squarely.exact import Solution, read_residuals
from squarely.inference.covariance.estimate import estimate_covariance
from squarely.inference.covariance.options import CLASSICAL, CovarianceOptions, read_covariance_options
from squarely.inference.covariance.robust import RobustCovariance
from squarely.inference.covariance.statsmodels_names import StatsmodelsCovariance
from squarely.inference.hypotheses.methods import HypothesisTests
from squarely.inference.merge import detach_source, merge_solutions
from squarely.inference.prediction import make_predictor
from squarely.inference.serialization.deserialize import solution_from_json
from squarely.inference.serialization.serialize import solution_to_json
from squarely.inference.statistics import (
    Statistics,
    statistics_of,
    with_robust_covariance,
)
from squarely.inference.summary.page import summary_page
from squarely.inference.summary.plain_numbers import to_plain_numbers
from squarely.numerics import Array
from squarely.reprs import NO_SIGNATURE, public_dir
from squarely.storage.disk import write_text
from squarely.types import Correction, Data, Duplicates, RankDeficient, Unseen, typed_predict

if TYPE_CHECKING:
    import pandas as pd

    from squarely.show import Page


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class Fit(HypothesisTests, StatsmodelsCovariance):
    """A linear regression by least squares, made by `squarely.ols`.

    The numbers are documented in `Statistics`, and what the coefficients have in `CoefficientStatistics`.
    """

    __signature__ = NO_SIGNATURE
    __dir__ = public_dir("constant_response", "design", "df_of_t", "predictions", "robust", "solution", "source")

    @property
    def resid(self) -> pd.Series:
        """The residuals (n,) of the rows used, labeled like the data. Reads the rows again."""
        _, residuals, index = self._read_residuals()
        return to_series(residuals, index)

    @property
    def fittedvalues(self) -> pd.Series:
        """The predictions (n,) for the rows used, labeled like the data. Reads the rows again."""
        response, residuals, index = self._read_residuals()
        return to_series(response - residuals, index)

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

    @typed_predict
    @short_traceback
    @scan_purpose("predictions")
    def predict(
        self,
        new: Data | None = None,
        *,
        read: Mapping[str, object] | None = None,
        unseen: Unseen = "error",
        rank_deficient: RankDeficient = "nan",
    ) -> Any:
        """Predict the response for new rows: one value a row, in the library that the rows are in.

        A Spark DataFrame gets a column "predicted"; a Dask DataFrame gives a lazy Series with the partitions and index of the
        frame. Both predict where the rows are, when they are computed. Without new rows, return the fitted values. A row with a
        missing predictor gives NaN. A condition `where=` applies to the fit only.

        If the fit has dropped a column, a dependency holds in every row of the fit, such as d = x + 2. The fit does not determine
        a prediction for a row that breaks it: such a row gives NaN, and a warning counts them. A dropped column may be absent from
        the new rows: its dependency is then assumed, with a warning.

        Parameters
        ----------
        new : rows, as `ols` takes them; they need not have the response.
        read : how to read files of new rows, as in `ols`.
        unseen : for a level that the fit does not have, "error" raises an error that names it, and "nan" predicts NaN.
        rank_deficient : for a row that breaks the dependency of a dropped column, "nan" predicts NaN, and "allow" predicts from the
            columns that were not dropped. The latter depends on the order of terms and on the reference levels.

        Raises
        ------
        DataError : a column is absent or cannot be used, or a level is new.
        """
        if new is None:
            return self.fittedvalues
        source = open_new_rows(new, self.design.formula.names, read)
        return predict_batches(make_predictor(self.solution, rank_deficient), source, unseen=unseen)

    def predictions(self, source: Source, *, unseen: Unseen = "error", rank_deficient: RankDeficient = "nan") -> Iterator[Array]:
        """Predict as `predict` does, yielding an array (m,) for each batch of rows of a source."""
        rows = open_new_rows(source, self.design.formula.names)
        return iter_predictions(make_predictor(self.solution, rank_deficient), rows, unseen=unseen)

    @short_traceback
    @scan_purpose("predictions")
    def write_predictions(
        self,
        new: Data,
        path: str | os.PathLike[str],
        *,
        keep: Sequence[str] | str = (),
        read: Mapping[str, object] | None = None,
        unseen: Unseen = "error",
        rank_deficient: RankDeficient = "nan",
    ) -> int:
        """Predict as `predict` does, write the predictions to a file batch by batch, and return the number of rows.

        Its columns are `row`, counted from 1, those of the data in `keep`, such as ["id"] or "all", and `predicted`, which is empty
        for NaN. The name ends in .csv, .parquet, .arrow, .feather or .jsonl. The file is complete or not written.

        Raises
        ------
        DataError : as `predict`; or the file cannot be written, or is the file of the data.
        """
        source = open_new_rows(new, self.design.formula.names, read)
        return write_predictions(make_predictor(self.solution, rank_deficient), source, path, keep=keep, unseen=unseen)

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
        write_text(path, solution_to_json(self.solution, self.source))

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

    def _to_plain_numbers(self) -> dict[str, Any]:
        return to_plain_numbers(self, self.solution, self.robust)

    def _repr_html_(self) -> str:
        return self.summary().shorten()._repr_html_()

    def __repr__(self) -> str:
        return f"<Fit {self.design.formula.text!r}: n={self.nobs}, R-squared {self.rsquared:.3f}; print(fit.summary())>"

    def _read_residuals(self) -> tuple[Array, Array, Any]:
        return read_residuals(self.solution.moments, self.source, self.solution.factor.columns, self.solution.scaled_params)


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
    return infer(merge_solutions(parts, without, sources, duplicates=duplicates), detach_source(sources))
