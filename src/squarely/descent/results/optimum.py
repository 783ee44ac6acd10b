"""Attach the optimum to a run once least squares has found it, and the prediction of theory that follows from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squarely.descent.results.training import Training
from squarely.descent.run_theory.predicted_curve import PredictedCurve, predict_curve
from squarely.numerics import Array


def with_optimum(run: Training, optimum: Array) -> Training:
    """Attach the optimum (p,) in standardized columns, if the run minimizes the mean squared error."""
    return replace(run, optimum=optimum) if run.options.loss == "mse" and np.isfinite(optimum).all() else run


def with_prediction(run: Training, optimum: Array) -> Training:
    """Attach the optimum (p,) in standardized columns, and the prediction of theory that follows from it."""
    run = with_optimum(run, optimum)
    if not run.is_plain:
        return run
    history, restored = run.result.history, run.result.stop_reason.restored_epoch
    taken = len(history.losses) - 1
    rates = history.column("lr")[:taken]
    momenta = history.column("momentum")[:taken] if "momentum" in history.columns else None

    def predict(epochs: int) -> PredictedCurve | None:
        options = replace(run.options, epochs=epochs)
        return predict_curve(run.problem, run.theory, options, run.result.start, optimum, rates=rates, momenta=momenta)

    prediction = predict(taken)
    best = None if prediction is None or restored is None else predict(restored)
    if prediction is not None and best is not None and restored is not None:
        prediction = replace(prediction, gap=best.gap, final_epoch=restored)
    return replace(run, prediction=prediction)
