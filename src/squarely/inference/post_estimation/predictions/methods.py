"""`RowStatistics`: the methods of a fit that predict rows, new ones or those of the fit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from squarely.data import Source, open_new_rows, scan_purpose, to_series
from squarely.design import iter_predictions
from squarely.errors import short_traceback
from squarely.exact import read_residuals
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.predictions.intervals import (
    PredictionOptions,
    get_prediction,
    predict_rows,
    write_intervals,
)
from squarely.inference.post_estimation.predictions.prediction import Prediction
from squarely.inference.post_estimation.predictions.predictor import make_predictor
from squarely.numerics import Array
from squarely.types import Data, Interval, RankDeficient, Unseen, typed_predict

if TYPE_CHECKING:
    import pandas as pd


class RowStatistics(CoefficientStatistics):
    """What a fit says of rows: residuals, fitted values and predictions."""

    __slots__ = ()

    @property
    def resid(self) -> pd.Series:
        """The residuals (n,) of the rows used, labeled like the data. Reads the rows again."""
        _, residuals, _, index = self._read_residuals()
        return to_series(residuals, index)

    @property
    def wresid(self) -> pd.Series:
        """The residuals times the roots of the weights (n,), which may not be frequencies. Reads the rows again."""
        _, residuals, weights, index = self._read_residuals()
        if weights is not None and not self.design.formula.has_frequencies:
            residuals = residuals * np.sqrt(weights)
        return to_series(residuals, index)

    @property
    def fittedvalues(self) -> pd.Series:
        """The predictions (n,) for the rows used, labeled like the data. Reads the rows again."""
        response, residuals, _, index = self._read_residuals()
        return to_series(response - residuals, index)

    @typed_predict
    @short_traceback
    @scan_purpose("predictions")
    def predict(
        self,
        new: Data | None = None,
        *,
        interval: Interval | None = None,
        level: float = 0.95,
        weights: str | float | None = None,
        read: Mapping[str, object] | None = None,
        unseen: Unseen = "error",
        rank_deficient: RankDeficient = "nan",
    ) -> Any:
        """Predict the response for new rows: one value a row, in the library that the rows are in.

        A Spark DataFrame gets a column "predicted"; a Dask DataFrame gives a lazy Series with the partitions and index of the
        frame. Both predict where the rows are, when they are computed. Without new rows, return the fitted values. A row with a
        missing predictor gives NaN. A condition `where=` applies to the fit only.

        With `interval=` return a frame with the columns predicted, lower and upper. They are columns of a Spark DataFrame, and a
        lazy Dask DataFrame. docs/predictions.md has examples.

        If the fit has dropped a column, a dependency holds in every row of the fit, such as d = x + 2. The fit does not determine
        a prediction for a row that breaks it: such a row gives NaN, and a warning counts them. A dropped column may be absent from
        the new rows: its dependency is then assumed, with a warning.

        Parameters
        ----------
        new : rows, as `ols` takes them; they need not have the response.
        interval : limits at `level`: "confidence" of the mean, "prediction" of a new observation, as in R.
        weights : of new rows, for the latter, as in `get_prediction`.
        read : how to read files of new rows, as in `ols`.
        unseen : for a level that the fit does not have, "error" raises an error that names it, and "nan" predicts NaN.
        rank_deficient : for a row that breaks the dependency of a dropped column, "nan" predicts NaN, and "allow" predicts from the
            columns that were not dropped. The latter depends on the order of terms and on the reference levels.

        Raises
        ------
        DataError : a column is absent or cannot be used, or a level is new.
        OptionError : an option has a wrong value, or is for limits and there is no interval.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ weight", sq.datasets.cars())
        >>> fit.predict({"weight": [2000.0, 3000.0]}, interval="prediction").round(2).to_dict("list")
        {'predicted': [30.96, 23.29], 'lower': [22.4, 14.74], 'upper': [39.53, 31.84]}
        """
        options = PredictionOptions(weights=weights, read=read, unseen=unseen, rank_deficient=rank_deficient)
        return predict_rows(self, new, interval, level, options) if new is not None or interval is not None else self.fittedvalues

    @short_traceback
    @scan_purpose("predictions")
    def get_prediction(
        self,
        new: Data | None = None,
        *,
        weights: str | float | None = None,
        read: Mapping[str, object] | None = None,
        unseen: Unseen = "error",
        rank_deficient: RankDeficient = "nan",
    ) -> Prediction:
        """Predict the response with standard errors, and limits of the mean and of a new observation, under statsmodels' names.

        All follow the covariance and the degrees of freedom of the fit: with `vcov("HC3")` before it they are robust. The variance
        of a new observation is that of the mean plus `mse_resid` over its weight. Without new rows, these are the rows used, with
        their weights. For a Spark or Dask DataFrame, `summary_frame` is as lazy as the frame.

        Parameters
        ----------
        new, read, unseen, rank_deficient : as in `predict`.
        weights : of new rows: a column of theirs, an expression such as "I(1 / variance)", or one number for all; one by default.

        Raises
        ------
        DataError : as `predict`; or a weight is negative or infinite.

        Examples
        --------
        >>> import squarely as sq
        >>> fit = sq.ols("mpg ~ weight", sq.datasets.cars())
        >>> prediction = fit.get_prediction({"weight": [2000.0, 3000.0]})
        >>> prediction.predicted_mean.round(3), prediction.se_mean.round(3)
        (array([30.964, 23.288]), array([0.331, 0.218]))
        """
        options = PredictionOptions(weights=weights, read=read, unseen=unseen, rank_deficient=rank_deficient)
        return cast(Prediction, get_prediction(self, new, options))  # a `LazyPrediction` for lazy rows

    def predictions(self, source: Source, *, unseen: Unseen = "error", rank_deficient: RankDeficient = "nan") -> Iterator[Array]:
        """Predict as `predict` does, yielding an array (m,) for each batch of rows of a source."""
        rows = open_new_rows(source, self.design.formula.names)
        predictor = make_predictor(self.solution, rank_deficient)
        return (batch.values for batch in iter_predictions(predictor, rows, unseen=unseen))

    @short_traceback
    @scan_purpose("predictions")
    def write_predictions(
        self,
        new: Data,
        path: str | os.PathLike[str],
        *,
        keep: Sequence[str] | str = (),
        level: float | None = None,
        weights: str | float | None = None,
        read: Mapping[str, object] | None = None,
        unseen: Unseen = "error",
        rank_deficient: RankDeficient = "nan",
    ) -> int:
        """Predict as `predict` does, write the predictions to a file batch by batch, and return the number of rows.

        Its columns are `row`, counted from 1, those of the data in `keep`, such as ["id"] or "all", and `predicted`, which is empty
        for NaN. With a level, such as 0.95, `mean_se`, `mean_ci_lower`, `mean_ci_upper`, `obs_ci_lower` and `obs_ci_upper` follow,
        as in `get_prediction`. The name ends in .csv, .parquet, .arrow, .feather or .jsonl. The file is complete or not written.

        Raises
        ------
        DataError : as `predict`; or the file cannot be written, or is the file of the data.
        """
        options = PredictionOptions(weights=weights, read=read, unseen=unseen, rank_deficient=rank_deficient)
        return write_intervals(self, new, path, keep=keep, level=level, options=options)

    def _read_residuals(self) -> tuple[Array, Array, Array | None, Any]:
        return read_residuals(self.solution.moments, self.source, self.solution.factor.columns, self.solution.scaled_params)
