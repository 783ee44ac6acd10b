"""A run on paper: its page and its figure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely.data import SplitSource
from squarely.descent.options.options import LOSS_NAMES, TrainingOptions
from squarely.errors import pluralize
from squarely.numerics import Array, round_apart, round_down
from squarely.show import Curve, KeyValueTable, Page, Panel, Table, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from squarely.descent.results.training import Training


def training_summary(run: Training) -> Page:
    """Lay out a run: recipe, theory, losses, metrics and coefficients."""
    cells = zip(run.problem.names, run.coefficients, run.result.end, run.result.start, strict=True)
    coefficients = Table(
        ("", "coef", "standardised", "at the start"),
        [(name, f"{a:.8g}", f"{b:.8g}", f"{c:.8g}") for name, a, b, c in cells],
    )
    measured = [_metrics_table(run)] if run.options.metrics else []
    return Page(
        "Training Results",
        [KeyValueTable(_list_options(run), _list_outcome(run)), *measured, coefficients],
        footer=[describe_rows(run), *_describe_prediction(run)],
        notes=run.warnings,
    )


def describe_rows(run: Training) -> str:
    """Say the account of the rows: of those to train on, and of those to validate on if there are some."""
    notes = [f"Read with {note}." for note in run.source.notes]
    kept = run.validation_rows
    if kept is None or run.validation is None:
        return " ".join(["Rows:", *run.rows.lines(), *notes])
    read, said = run.rows.read, ""
    if isinstance(run.validation, SplitSource):
        said = f"{pluralize(read + kept.read, 'row')} read: {read:,} to train, {kept.read:,} to validate. "
        others = "To validate"
    else:
        others = f"To validate, from {run.validation.label}"
    return " ".join([f"Rows: {said}To train:", *run.rows.lines(), f"{others}:", *kept.lines(), *notes])


def _describe_prediction(run: Training) -> list[str]:
    """Say what a predicted curve is, where it is not exact."""
    form = "" if run.prediction is None else run.prediction.form
    return [f"Predicted: {form}."] if form else []


def training_figure(run: Training) -> Figure:
    """Draw the measured loss with the predicted curve on it, and, where the optimum is known, the excess over it."""
    losses, recipe = run.result.losses, run.options
    epochs, unit = np.arange(len(losses)), f"{LOSS_NAMES[recipe.loss]} (standardised)"
    title, label = f"Loss by epoch, lr = {recipe.rate:g}", f"measured, {recipe.dtype}"
    others = [Curve(x=epochs[: len(v)], y=v, label="validation", color=2) for v in [_history_column(run, "val_loss")] if len(v)]
    if run.prediction is None:
        marks = [Curve(x=epochs, y=losses, label=label if others else ""), *others]
        return draw([Panel(title=title, x_label="epoch", y_label=unit, marks=marks, log_y=bool((losses > 0).all()))])
    floor, predicted = run.prediction.floor, run.prediction.excess[: len(losses)]
    measured = np.where(losses > floor, losses - floor, np.nan)  # below the optimum is rounding: it has no logarithm
    loss = [Curve(x=epochs, y=losses, label=label), _predicted_curve(epochs, floor + predicted), *others]
    excess = [Curve(x=epochs, y=measured, label=label), _predicted_curve(epochs, predicted)]
    return draw(
        [
            Panel(title=title, x_label="epoch", y_label=unit, marks=loss, log_y=run.result.has_diverged),
            Panel(title="Excess over the optimum", x_label="epoch", y_label="excess MSE", marks=excess, log_y=True),
        ]
    )


def run_label(thing: Any) -> str:
    """Name an optimiser or a scheduler: by torch's name, or as the function that makes it."""
    return thing if isinstance(thing, str) else getattr(thing, "__name__", type(thing).__name__)


def _list_options(run: Training) -> list[tuple[str, str]]:
    recipe, taken = run.options, len(run.result.losses) - 1
    momentum = _format_by_group(group.momentum or 0.0 for group in recipe.parameter_groups) or f"{recipe.momentum:g}"
    decay = _format_by_group(group.weight_decay or 0.0 for group in recipe.parameter_groups) or f"{recipe.weight_decay or 0.0:g}"
    extras = [
        ("Weight decay:", "" if decay == "0" else decay),
        ("Gradients clipped at:", f"{recipe.clip_grad_norm:g}" if recipe.clip_grad_norm is not None else ""),
        ("Averaged from epoch:", f"{recipe.average:,}" if recipe.average is not None else ""),
    ]
    return [
        ("Dep. Variable:", run.design.response),
        ("Model:", f"nn.Linear, {LOSS_NAMES[recipe.loss]}"),
        ("Optimizer:", run_label(recipe.optimizer)),
        ("Learning rate:", _describe_rate(run)),
        ("Momentum:", f"{momentum}{' (Nesterov)' if recipe.nesterov else ''}"),
        *[(name, said) for name, said in extras if said],
        ("Epochs:", f"{recipe.epochs:,}" if taken == recipe.epochs else f"{taken:,} of {recipe.epochs:,}"),
        ("Batches:", _describe_batches(recipe)),
        ("Engine:", _describe_engine(recipe)),
        ("Start:", "the model's own" if run.owned else f"random, seed {recipe.seed}" if recipe.start is None else "given"),
        ("Device, dtype:", f"{recipe.device}, {recipe.dtype}"),
        ("No. Observations:", str(run.moments.n)),
    ]


def _format_by_group(values: Iterable[float]) -> str:
    """Say a number that each group of parameters has, once where all have the same; empty without groups."""
    return ", ".join(dict.fromkeys("unknown" if math.isnan(value) else f"{value:g}" for value in values))


def _describe_rate(run: Training) -> str:
    """Say the learning rate that the run began with, of each group; some schedulers set one of their own."""
    recipe, logged = run.options, _history_column(run, "lr")
    rates = [group.lr for group in recipe.parameter_groups] or [recipe.rate]
    if recipe.scheduler is None:
        return _format_by_group(rates)
    begun = f"from {logged[0]:g}" if len(logged) and logged[0] != rates[0] else _format_by_group(rates)
    return f"{begun}, {run_label(recipe.scheduler)}"


def _describe_engine(recipe: TrainingOptions) -> str:
    if recipe.engine != "rows":
        return recipe.engine.replace("_", " ")
    return f"rows{', streamed' if recipe.stream else ''}, {recipe.gradient}"


def _describe_batches(recipe: TrainingOptions) -> str:
    if recipe.batch_size is None:
        return "all rows"
    order = "replacement" if recipe.replacement else "reshuffled" if recipe.shuffle else "in order"
    return f"{recipe.batch_size:,}, {order}"


def _list_outcome(run: Training) -> list[tuple[str, str]]:
    known, prediction, final = run.theory, run.prediction, run.result.final_values
    kept, taken = run.result.final_epoch, len(run.result.losses) - 1
    of = "of the average" if run.result.average_metrics is not None else f"at epoch {kept:,}"
    last = kept == taken and run.result.average_metrics is None
    return [
        ("Status:", run.status),
        ("First loss:", f"{run.result.losses[0]:.6g}"),
        ("Last loss:" if last else f"Loss {of}:", f"{final['loss']:.6g}"),
        *(
            [("Last validation loss:" if last else "Its validation loss:", f"{final['val_loss']:.6g}")]
            if "val_loss" in final
            else []
        ),
        ("Loss at the optimum:", "unknown" if prediction is None else f"{prediction.floor:.6g}"),
        ("Excess left, predicted:", "unknown" if prediction is None else f"{prediction.remaining_fraction:.3g}"),
        *([("Noise keeps it off by:", f"{known.floor_se:.2g} std err")] if known.floor_se is not None else []),
        *_list_rates(run),
        ("Condition (kappa):", f"{known.kappa:.6g}"),
    ]


def _list_rates(run: Training) -> list[tuple[str, str]]:
    """Give the limit and the best rate, rounded down, and in so many digits that the best is below the limit."""
    known = run.theory
    if known.lr_limit is None or known.lr_best is None:
        return [("Learning rate limit:", "unknown"), ("Best learning rate:", "unknown")]
    if known.batches is not None:
        return [
            ("Limit, replacement:", round_down(known.lr_limit, 6)),
            ("Best for all rows:", round_down(known.lr_best, 6)),
        ]
    best, limit = round_apart(known.lr_best, known.lr_limit, 6)
    return [("Learning rate limit:", limit), ("Best learning rate:", best)]


def _metrics_table(run: Training) -> Table:
    """Give each metric at the parameters that the run ended with, on the rows and on those for validation."""
    sets = [("training", ""), ("validation", "val_")] if len(_history_column(run, "val_loss")) else [("training", "")]
    rows = [(name, *(f"{run.result.final_values[prefix + name]:.8g}" for _, prefix in sets)) for name in run.options.metrics]
    return Table(("metric", *(name for name, _ in sets)), rows)


def _history_column(run: Training, name: str) -> Array:
    return np.asarray(run.result.history.columns.get(name, ()), dtype=np.float64)


def _predicted_curve(epochs: np.ndarray, losses: Array) -> Curve:
    return Curve(x=epochs, y=losses, label="predicted by theory", dashed=True)
