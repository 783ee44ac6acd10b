"""The figure of a run: its loss by epoch, what theory predicts, and the excess over the optimum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from squarely.descent.loop.result import LoopResult
from squarely.descent.options.options import LOSS_NAMES, TrainingOptions
from squarely.descent.run_theory.limits import RunTheory
from squarely.descent.run_theory.predicted_curve import PredictedCurve
from squarely.numerics import Array
from squarely.show import Curve, Level, Panel, Point, draw

_LOG_RATIO = 1e3  # of the largest to the smallest loss, above which the axis is logarithmic
_SETTLED_EARLY = 0.2  # of the epochs: a run that is at the optimum after these is drawn to three times as many
_FEWEST_DRAWN = 10
_BELOW_ROUNDING = 1e-2  # times the rounding of the loss: where the axis of the excess ends


def draw_run(
    options: TrainingOptions,
    result: LoopResult,
    run_theory: RunTheory,
    prediction: PredictedCurve | None,
    *,
    optimal_loss: float | None,
    ax: Any = None,
) -> Any:
    """Draw the loss, and, where theory predicts it, the excess over the optimum on a logarithmic axis beside it."""
    validation, is_finite = result.history.column("val_loss"), np.isfinite(result.losses)
    end = _last_drawn(options, result, prediction)
    is_finite = is_finite[: end + 1]
    drawn = result.losses[: end + 1][is_finite]
    marks: list[Curve | Level | Point] = [Curve(x=_epochs(is_finite)[is_finite], y=drawn, label=_measured(options), color=0)]
    if len(validation):
        marks.append(Curve(x=_epochs(validation), y=validation, label="validation", dash=1))
    if prediction is not None:
        predicted = prediction.losses[: end + 1]
        marks.append(Curve(x=_epochs(predicted), y=predicted, label="predicted by theory", dashed=True))
    if optimal_loss is not None:
        marks.append(Level(optimal_loss, f"optimum {optimal_loss:.4g}"))
    marks += _mark_end(options, result, validation)
    loss = Panel(
        title=f"Loss by epoch, lr = {options.rate:g}",
        x_label=_label_epochs(end, result),
        y_label=f"{LOSS_NAMES[options.loss]} (standardized)",
        marks=marks,
        log_y=bool(drawn.min() > 0 and (drawn.max() > _LOG_RATIO * drawn.min() or result.has_diverged)),
        whole_x=True,
        note=_describe_divergence(options, result, run_theory),
    )
    if prediction is None or result.has_diverged:
        return draw([loss], ax)
    return draw([loss, _excess_panel(options, result, run_theory, prediction)], ax)


def _excess_panel(options: TrainingOptions, result: LoopResult, run_theory: RunTheory, prediction: PredictedCurve) -> Panel:
    """Draw the excess down to the rounding of the loss. A measured loss at the optimum or below it is drawn at the rounding."""
    rounding, end = _rounding(options, prediction), _last_drawn(options, result, prediction)
    bottom = _BELOW_ROUNDING * rounding
    measured = np.maximum(result.losses[: end + 1] - prediction.floor, rounding)
    predicted = np.maximum(prediction.excess[: len(measured)], 0.1 * bottom)  # zero has no logarithm
    marks: list[Curve | Level | Point] = [
        Curve(x=_epochs(measured), y=measured, label=_measured(options), color=0),
        Curve(x=_epochs(predicted), y=predicted, label="predicted by theory", dashed=True),
    ]
    lowest = min(measured.min(), predicted.min())
    if lowest <= rounding:
        marks.append(Level(rounding, f"rounding of {options.dtype}, {rounding:.1g}"))
    if run_theory.floor:
        marks.append(Level(run_theory.floor, f"noise of the batches, {run_theory.floor:.1g}"))
    marks += _mark_end(options, result, np.zeros(0), measured)
    return Panel(
        title="Excess over the optimum",
        x_label=_label_epochs(end, result),
        y_label="excess MSE",
        marks=marks,
        log_y=True,
        whole_x=True,
        bottom=bottom if lowest <= rounding else None,
    )


def _rounding(options: TrainingOptions, prediction: PredictedCurve) -> float:
    epsilon = float(np.finfo(options.dtype).eps)
    return epsilon * prediction.floor + epsilon**2


def _last_drawn(options: TrainingOptions, result: LoopResult, prediction: PredictedCurve | None) -> int:
    """Return the last epoch to draw: the whole of a run that is soon at the optimum looks like the letter L."""
    last = len(result.losses) - 1
    if prediction is None or result.has_diverged or last < options.epochs or len(result.history.column("val_loss")):
        return last
    falling = np.flatnonzero(~(result.losses - prediction.floor <= 4.0 * _rounding(options, prediction)))
    settled = int(falling[-1]) + 1 if len(falling) else 0
    return max(3 * settled, _FEWEST_DRAWN) if settled < _SETTLED_EARLY * last and last > _FEWEST_DRAWN else last


def _label_epochs(end: int, result: LoopResult) -> str:
    last = len(result.losses) - 1
    return "epoch" if end == last else f"epoch ({end:,} of {last:,}; the others are at the optimum)"


def _mark_end(
    options: TrainingOptions, result: LoopResult, validation: Array, measured: Array | None = None
) -> Iterator[Level | Point]:
    """Mark the epoch whose parameters came back, on the curve that was watched, and the epoch at which the run stopped early."""
    best, last = result.stop_reason.restored_epoch, len(result.losses) - 1
    watched = result.losses if measured is None else measured
    if measured is None and options.stop == "validation":
        watched = validation
    if best is not None and best < len(watched):
        yield Point(best, float(watched[best]), f"best, epoch {best:,}")
    if last < options.epochs and not result.has_diverged:
        yield Level(last, f"stopped, epoch {last:,}", across="x")


def _describe_divergence(options: TrainingOptions, result: LoopResult, run_theory: RunTheory) -> str:
    if not result.has_diverged:
        return ""
    note = f"The run diverged at epoch {len(result.losses) - 1:,}"
    limit = run_theory.rate_and_limit
    return f"{note}: lr = {options.rate:g}, and the limit is {limit[1]}." if limit is not None else f"{note}."


def _epochs(values: Array) -> Array:
    return np.arange(float(len(values)))


def _measured(options: TrainingOptions) -> str:
    return f"measured, {options.dtype}"
