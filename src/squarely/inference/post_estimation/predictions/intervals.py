"""Predict rows with standard errors and limits: new ones, those of the fit, to a frame, a file or the table of a cluster."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from typing import Any, get_args

import numpy as np

from squarely.data import open_new_rows, to_frame
from squarely.design import (
    LinearPredictor,
    Numeric,
    PredictedRows,
    iter_fitted_rows,
    iter_predictions,
    parse_weights,
    predict_batches,
    predict_columns,
    standardizations_in,
    warn,
    write_predictions,
)
from squarely.errors import OptionError, changed_error, require_one_of, show_value
from squarely.inference.coefficients import CoefficientStatistics, require_level
from squarely.inference.post_estimation.predictions.prediction import FRAME_COLUMNS, LazyPrediction, Prediction, ResidualVariance
from squarely.inference.post_estimation.predictions.predictor import make_predictor, standard_errors_of
from squarely.numerics import ROUNDOFF, Array
from squarely.types import Interval

INTERVAL_COLUMNS = ("predicted", "lower", "upper")
_NO_WEIGHTS = (
    "The fit has weights and the new rows have none, so prediction limits are for a row of weight one. Give weights='w', a column "
    "of the new rows, or weights=1."
)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class PredictionOptions:
    """The options of predictions; the docstring of `Fit.get_prediction` describes them."""

    weights: object = None
    read: Mapping[str, object] | None = None
    unseen: str = "error"
    rank_deficient: str = "nan"


def get_prediction(fit: CoefficientStatistics, new: Any, options: PredictionOptions) -> Prediction | LazyPrediction:
    """Predict with standard errors; the public method documents it."""
    if new is None:
        return _fitted_rows(fit, options)
    predictor, residual_variance, notes = _predictor_of(fit, options)
    source = open_new_rows(new, fit.design.formula.names, options.read)
    if source.partitioned:
        add_columns = partial(predict_columns, predictor, source, unseen=options.unseen)
        return LazyPrediction(add_columns=add_columns, residual_variance=residual_variance, cov_type=fit.cov_type, notes=notes)
    batches = list(iter_predictions(predictor, source, unseen=options.unseen))
    labels = source.index(np.arange(sum(len(rows.values) for rows in batches)))
    return _join_batches(fit, residual_variance, batches, labels, make_frame=source.frame, notes=notes)


def predict_rows(fit: CoefficientStatistics, new: Any, interval: object, level: object, options: PredictionOptions) -> Any:
    """Predict rows, with limits if there is an interval; the public method `predict` documents it."""
    if interval is not None:
        return _predict_interval(fit, new, interval, level, options)
    advice = "Give interval='prediction' with it"
    _require_no_weights(options.weights, advice)
    if level != 0.95:
        raise OptionError(f"level={show_value(level)} is for limits. {advice}, or leave it out.")
    source = open_new_rows(new, fit.design.formula.names, options.read)
    return predict_batches(make_predictor(fit.solution, options.rank_deficient), source, unseen=options.unseen)


def _predict_interval(fit: CoefficientStatistics, new: Any, interval: object, level: object, options: PredictionOptions) -> Any:
    """Return the columns predicted, lower and upper."""
    if isinstance(interval, Real) and not isinstance(interval, bool):
        raise OptionError(f"interval={show_value(interval)} is a level. Write interval='prediction' and level=0.95.")
    require_one_of("interval", interval, get_args(Interval))
    require_level(level)
    of_mean, alpha = interval == "confidence", 1.0 - float(level)  # type: ignore[arg-type]
    if of_mean and options.weights is not None:
        raise OptionError("weights= is for interval='prediction': limits of the mean do not depend on it. Leave it out.")
    if new is None:
        fitted = _fitted_rows(fit, options)
        low, high = fitted.conf_int(obs=not of_mean, alpha=alpha).T
        return fitted.make_frame(dict(zip(INTERVAL_COLUMNS, [fitted.predicted_mean, low, high], strict=True)))
    predictor, residual_variance, _ = _predictor_of(fit, options, of_mean=of_mean)

    def make_columns(rows: PredictedRows) -> Sequence[Array]:
        mean, _, *limits = residual_variance.limits(rows, alpha)
        return [mean, *(limits[:2] if of_mean else limits[2:])]

    source = open_new_rows(new, fit.design.formula.names, options.read)
    return predict_columns(predictor, source, INTERVAL_COLUMNS, make_columns, unseen=options.unseen)


def write_intervals(
    fit: CoefficientStatistics,
    new: Any,
    path: str | os.PathLike[str],
    *,
    keep: object,
    level: object,
    options: PredictionOptions,
) -> int:
    """Write predictions to a file, with limits if there is a level; the public method `write_predictions` documents it."""
    source = open_new_rows(new, fit.design.formula.names, options.read)
    if level is None:
        _require_no_weights(options.weights, "Give level=0.95 with it")
        return write_predictions(
            make_predictor(fit.solution, options.rank_deficient), source, path, keep=keep, unseen=options.unseen
        )
    require_level(level)
    predictor, residual_variance, _ = _predictor_of(fit, options)
    alpha = 1.0 - float(level)  # type: ignore[arg-type]
    return write_predictions(
        predictor,
        source,
        path,
        keep=keep,
        unseen=options.unseen,
        names=FRAME_COLUMNS[1:],
        make_columns=lambda rows: residual_variance.limits(rows, alpha)[1:],
    )


def _require_no_weights(weights: object, advice: str) -> None:
    """Raise an OptionError if there are weights where no limits are computed."""
    if weights is not None:
        raise OptionError(f"weights={show_value(weights)} is for limits of new observations. {advice}, or leave it out.")


def _predictor_of(
    fit: CoefficientStatistics, options: PredictionOptions, *, of_mean: bool = False
) -> tuple[LinearPredictor, ResidualVariance, tuple[str, ...]]:
    """Return the predictor with standard errors, how new rows vary, and notes; a warning says that rows lack weights."""
    weights, weight, notes = (None, 1.0, ()) if of_mean else _read_weights(fit, options.weights)
    predictor = make_predictor(fit.solution, options.rank_deficient)
    residual_variance = ResidualVariance(variance=fit.mse_resid, df=fit.df_resid_inference, weight=weight)
    for note in notes:
        warn(note)
    return replace(predictor, errors=standard_errors_of(fit), weights=weights), residual_variance, (*notes, *_describe_df(fit))


def _describe_df(fit: CoefficientStatistics) -> tuple[str, ...]:
    if fit.robust is None or fit.robust.df_t is None:
        return ()
    return (
        f"With {fit.cov_type} each coefficient has its degrees of freedom. Limits of predictions have {fit.df_resid_inference:g}.",
    )


def _read_weights(fit: CoefficientStatistics, weights: Any) -> tuple[Numeric | None, float, tuple[str, ...]]:
    """Return the weights of new rows as an expression, or one for all of them, and notes."""
    formula = fit.design.formula
    if weights is None:
        return None, 1.0, (_NO_WEIGHTS,) if formula.weights is not None and not formula.has_frequencies else ()
    is_number = isinstance(weights, Real) and not isinstance(weights, bool)
    if is_number and 0 < weights < math.inf:
        return None, float(weights), ()
    if not isinstance(weights, str) or not weights.strip():
        raise OptionError(
            f"weights={show_value(weights)} is neither a column of the new rows nor a positive number. Give a name, an expression "
            "in a call such as weights='I(1 / variance)', or one number for all rows."
        )
    numeric = parse_weights(weights)
    if standardizations_in([numeric.expression]):
        raise OptionError(
            f"weights={weights!r} standardizes a column, which needs the mean of all rows. Give weights without scale and center."
        )
    return numeric, 1.0, ()


def _join_batches(
    fit: CoefficientStatistics, residual_variance: ResidualVariance, batches: Sequence[PredictedRows], labels: Any, **further: Any
) -> Prediction:
    """Return the predictions of all batches; `further` are other fields."""
    table = [np.stack([rows.values, rows.errors, residual_variance.observation_errors(rows)]) for rows in batches]
    mean, se_mean, se_obs = np.concatenate([np.empty((3, 0)), *table], axis=1)
    arrays = {"predicted_mean": mean, "se_mean": se_mean, "se_obs": se_obs}
    return Prediction(**arrays, df=residual_variance.df, cov_type=fit.cov_type, labels=labels, **further)


def _fitted_rows(fit: CoefficientStatistics, options: PredictionOptions) -> Prediction:
    """Predict the rows that the fit has used, with their weights."""
    if options.weights is not None:
        raise OptionError("weights= is for new rows, and without them the rows and weights are those of the fit. Leave it out.")
    predictor = replace(make_predictor(fit.solution, "allow"), errors=standard_errors_of(fit))
    positions, batches, total = [np.empty(0, dtype=int)], [], 0.0
    for at, rows, part in iter_fitted_rows(predictor, fit.source):
        positions.append(at)
        batches.append(rows)
        total += part
    _require_same_rows(fit, sum(map(len, positions)), total)
    labels = fit.source.index(np.concatenate(positions))
    residual_variance = ResidualVariance(variance=fit.mse_resid, df=fit.df_resid_inference)
    return _join_batches(
        fit, residual_variance, batches, labels, make_frame=lambda columns: to_frame(dict(columns), labels), notes=_describe_df(fit)
    )


def _require_same_rows(fit: CoefficientStatistics, n: int, total: float) -> None:
    """Raise a DataError unless the predictions of n rows have the weighted sum that the cross-products of the fit give."""
    solution, moments = fit.solution, fit.solution.moments
    design, columns, b = moments.design, solution.factor.columns, solution.scaled_params[0]
    expected = float(moments.gram[0, columns] @ b) * design.scales[-1]
    lengths = np.sqrt(moments.weight * np.diag(moments.gram))  # bounds of the sums of the columns
    rounding = 64 * ROUNDOFF * (np.abs(b) @ lengths[columns] * design.scales[-1] + moments.weight * abs(design.centers[-1]))
    tolerance = 1e-10 * lengths[-1] * design.scales[-1] + rounding
    if n != moments.n or not abs(total - expected) <= tolerance:
        raise changed_error(
            fit.source.label, f"{moments.n:,} complete rows", f"{n:,}" + (" with other values" if n == moments.n else "")
        )
