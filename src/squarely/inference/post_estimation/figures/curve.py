"""The fitted curve over one predictor, with its confidence and its prediction band."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.predictions.intervals import PredictionOptions, get_prediction
from squarely.inference.post_estimation.predictions.prediction import Prediction
from squarely.numerics import Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FittedCurve:
    """The mean response over x (m,) and the ends (2, m) of both bands.

    The mean is NaN where the formula has no value or the rows do not determine one, and the ends where they have no standard error.
    """

    x: Array
    mean: Array
    confidence: Array
    prediction: Array


def mean_weight(fit: CoefficientStatistics) -> float | None:
    """Return the mean weight of the rows; None for a fit without weights, and for frequencies."""
    formula, moments = fit.design.formula, fit.solution.moments
    return None if formula.weights is None or formula.has_frequencies else moments.weight / moments.n


def fitted_curve(fit: CoefficientStatistics, name: str, x: Array, alpha: float) -> FittedCurve:
    """Return the curve at values x (m,) of the predictor `name`; its prediction band is for a row of the mean weight."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rows without a prediction: the caption says it
        rows = get_prediction(fit, {name: x}, PredictionOptions(weights=mean_weight(fit)))
    assert isinstance(rows, Prediction)  # noqa: S101  # of a dict of arrays it is not lazy
    confidence, prediction = rows.conf_int(alpha=alpha).T, rows.conf_int(obs=True, alpha=alpha).T
    return FittedCurve(x=x, mean=rows.predicted_mean, confidence=confidence, prediction=prediction)
