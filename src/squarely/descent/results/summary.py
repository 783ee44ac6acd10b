"""The parts of the summary page of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from squarely.data import RowAccount, Source, SplitSource
from squarely.descent.loop.result import LoopResult
from squarely.descent.options.options import LOSS_NAMES, TrainingOptions
from squarely.descent.run_theory.limits import RunTheory
from squarely.descent.run_theory.predicted_curve import PredictedCurve
from squarely.errors import pluralize
from squarely.numerics import Array, round_apart, round_down
from squarely.show import Table


def describe_rows(source: Source, rows: RowAccount, validation: Source | None, validation_rows: RowAccount | None) -> str:
    """Describe the account of the rows to train on, and of those to validate on if there are any."""
    notes = [f"Read with {note}." for note in source.notes]
    if validation is None or validation_rows is None:
        return " ".join(["Rows:", *rows.lines(), *notes])
    total, others = "", f"To validate, from {validation.label}"
    if isinstance(validation, SplitSource):
        read, held_out = rows.read, validation_rows.read
        total = f"{pluralize(read + held_out, 'row')} read: {read:,} to train, {held_out:,} to validate. "
        others = "To validate"
    return " ".join([f"Rows: {total}To train:", *rows.lines(), f"{others}:", *validation_rows.lines(), *notes])


def torch_name(thing: Any) -> str:
    """Name an optimizer or a scheduler: torch's name, or that of the function that makes it."""
    return thing if isinstance(thing, str) else getattr(thing, "__name__", type(thing).__name__)


def list_options(
    options: TrainingOptions, result: LoopResult, weights: Mapping[str, str], *, has_user_model: bool
) -> list[tuple[str, str]]:
    """List the options of a run, by the labels of its summary; `weights` as `Formula.weights_option`."""
    taken, groups = len(result.losses) - 1, options.parameter_groups
    momentum = _format_by_group(group.momentum or 0.0 for group in groups) or f"{options.momentum:g}"
    decay = _format_by_group(group.weight_decay or 0.0 for group in groups) or f"{options.weight_decay or 0.0:g}"
    order = "replacement" if options.replacement else "reshuffled" if options.shuffle else "in order"
    engine = f"rows{', streamed' if options.stream else ''}, {options.gradient}"
    start = f"random, seed {options.seed}" if options.start is None else "given"
    rows = [
        ("Model:", f"nn.Linear, {LOSS_NAMES[options.loss]}"),
        *((f"{name.capitalize()}:", text) for name, text in weights.items()),
        ("Optimizer:", torch_name(options.optimizer)),
        ("Learning rate:", _describe_rate(options, result.history.column("lr"))),
        ("Momentum:", f"{momentum}{' (Nesterov)' if options.nesterov else ''}"),
        ("Weight decay:", "" if decay == "0" else decay),
        ("Gradients clipped at:", "" if options.clip_grad_norm is None else f"{options.clip_grad_norm:g}"),
        ("Averaged from epoch:", "" if options.average is None else f"{options.average:,}"),
        ("Epochs:", f"{options.epochs:,}" if taken == options.epochs else f"{taken:,} of {options.epochs:,}"),
        ("Batches:", "all rows" if options.batch_size is None else f"{options.batch_size:,}, {order}"),
        ("Engine:", engine if options.engine == "rows" else options.engine.replace("_", " ")),
        ("Start:", "the model's own" if has_user_model else start),
        ("Device, dtype:", f"{options.device}, {options.dtype}"),
    ]
    return [(name, text) for name, text in rows if text]


def _format_by_group(values: Iterable[float]) -> str:
    """Write the number of each parameter group, once if all are equal; empty without groups."""
    return ", ".join(dict.fromkeys("unknown" if math.isnan(value) else f"{value:g}" for value in values))


def _describe_rate(options: TrainingOptions, logged: Array) -> str:
    """Describe the learning rate at the start, of each group; some schedulers set another one."""
    rates = [group.lr for group in options.parameter_groups] or [options.rate]
    if options.scheduler is None:
        return _format_by_group(rates)
    first = f"from {logged[0]:g}" if len(logged) and logged[0] != rates[0] else _format_by_group(rates)
    return f"{first}, {torch_name(options.scheduler)}"


def list_outcome(
    result: LoopResult,
    theory: RunTheory,
    prediction: PredictedCurve | None,
    *,
    status: str,
    least: float | None,
    distance: float | None,
    dtype: str,
) -> list[tuple[str, str]]:
    """List how a run ended, with losses, limits and rates. `least` is the loss at the optimum, if known."""
    final, is_average = result.final_values, result.average_metrics is not None
    is_last = result.final_epoch == len(result.losses) - 1 and not is_average
    where = "of the average" if is_average else f"at epoch {result.final_epoch:,}"
    validation = "Last validation loss:" if is_last else "Its validation loss:"
    return [
        ("Status:", status),
        *([] if distance is None else [("From least squares:", f"{distance:.2g} std err")]),
        ("First loss:", f"{result.losses[0]:.6g}"),
        ("Last loss:" if is_last else f"Loss {where}:", f"{final['loss']:.6g}"),
        *([(validation, f"{final['val_loss']:.6g}")] if "val_loss" in final else []),
        ("Loss at the optimum:", "unknown" if least is None else f"{least:.6g}"),
        ("Predicted excess left:", "unknown" if prediction is None else f"{prediction.visible_fraction(dtype):.3g}"),
        *([("Mini-batch noise floor:", f"{theory.floor_se:.2g} std err")] if theory.floor_se is not None else []),
        *_list_rates(theory),
        ("Condition (kappa):", f"{theory.kappa:.6g}"),
    ]


def _list_rates(theory: RunTheory) -> list[tuple[str, str]]:
    """Write the limit and the best rate, rounded down, with enough digits that the best is below the limit."""
    if theory.lr_limit is None or theory.lr_best is None:
        return [("Learning rate limit:", "unknown"), ("Best learning rate:", "unknown")]
    if theory.batches is not None:
        return [("Limit for batches:", round_down(theory.lr_limit, 6)), ("Best for all rows:", round_down(theory.lr_best, 6))]
    best, limit = round_apart(theory.lr_best, theory.lr_limit, 6)
    return [("Learning rate limit:", limit), ("Best learning rate:", best)]


def metrics_table(options: TrainingOptions, result: LoopResult) -> Table:
    """List each metric at the final parameters, on the training rows and on the validation rows."""
    sets = [("training", ""), ("validation", "val_")][: 1 + bool(len(result.history.column("val_loss")))]
    rows = [(name, *(f"{result.final_values[prefix + name]:.8g}" for _, prefix in sets)) for name in options.metrics]
    return Table(("metric", *(name for name, _ in sets)), rows)
