"""The figure of a sweep: the losses of a few runs by epoch, or where many runs ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from squarely.descent.results.training import Training
from squarely.descent.sweep.outcome import describe_options, final_loss, has_validation, is_finite, option_value
from squarely.errors import pluralize
from squarely.numerics import Array
from squarely.show import Curve, Level, Panel, Point

MAX_CURVES = 12  # that can be distinguished
_DIGITS = 4  # of a rate in a label
_LOG_RATIO = 10.0  # of the largest to the smallest loss, above which the axis is logarithmic

Marks = list[Curve | Level | Point]


def losses_panel(runs: Sequence[Training], varied: tuple[str, ...], best: Training) -> Panel:
    """Draw the loss of each run by epoch, with the curve that theory predicts if one option varies.

    The color is darker for a smaller value of the first option that varies. Runs that differ in their seed alone look the same. A
    run that diverges leaves the panel at the top, so that the others are not flat.
    """
    others = [name for name in varied if name != "seed"] or list(varied)
    groups = list(dict.fromkeys(tuple(option_value(run, name) for name in others) for run in runs))
    values = sorted({group[0] for group in groups})
    sound = [run for run in runs if is_finite(run)]
    top = None if len(sound) in (0, len(runs)) else 1.1 * max(float(run.result.losses[0]) for run in runs)
    marks: Marks = []
    for group in groups:
        members = [run for run in runs if tuple(option_value(run, name) for name in others) == group]
        shade = values.index(group[0]) / max(len(values) - 1, 1)
        dash = [each for each in groups if each[0] == group[0]].index(group)
        for i, run in enumerate(members):
            label = "" if i else describe_options(run, others, _DIGITS) + _describe_rank(members, best)
            losses = run.result.losses
            marks.append(Curve(x=np.arange(len(losses)), y=losses, label=label, shade=shade, dash=dash))
            if top is not None and not is_finite(run):
                marks.append(_mark_exit(losses, top))
    marks += [*(_draw_predictions(sound) if len(others) == 1 else []), *_draw_optimum(runs)]
    seeds = len({option_value(run, "seed") for run in runs}) if others != list(varied) else 1
    return Panel(
        title="Loss by epoch and learning rate" if varied == ("lr",) else "Loss by epoch",
        x_label="epoch",
        y_label="loss (standardized)",
        marks=marks,
        log_y=not sound,
        whole_x=True,
        top=top,
        label_ends=True,
        note=f"Curves of one color and dash differ in their seed ({seeds} seeds)." if seeds > 1 else "",
    )


def _describe_rank(members: Sequence[Training], best: Training) -> str:
    if not any(map(is_finite, members)):
        return f" ({members[0].status})"
    return " (best)" if any(run is best for run in members) else ""


def _mark_exit(losses: Array, top: float) -> Point:
    """Mark where a diverging loss leaves the panel at the top."""
    with np.errstate(invalid="ignore"):
        after = int(np.flatnonzero(~(losses <= top))[0]) if (~(losses <= top)).any() else len(losses) - 1
    before = max(after - 1, 0)
    rise = losses[after] - losses[before]
    part = float((top - losses[before]) / rise) if np.isfinite(rise) and rise > 0 else 0.0
    return Point(before + part, top, symbol="^")


def _draw_predictions(sound: Sequence[Training]) -> Iterator[Curve]:
    for i, run in enumerate(run for run in sound if run.prediction is not None):
        assert run.prediction is not None  # noqa: S101
        predicted = run.prediction.losses[: len(run.result.losses)]
        yield Curve(x=np.arange(len(predicted)), y=predicted, label="" if i else "predicted by theory", dashed=True)


def _draw_optimum(runs: Sequence[Training]) -> Iterator[Level]:
    """Draw the loss at the optimum, if it is one: each split of the rows has another."""
    optima = {run.optimal_loss for run in runs}
    value = optima.pop()
    if not optima and value is not None:
        yield Level(value, f"optimum {value:.4g}")


def ends_panel(runs: Sequence[Training], varied: tuple[str, ...], best: Training) -> Panel:
    """Draw the final losses by learning rate, or by the option with the most values. Those above all first losses are at the top.

    A line is the median over the seeds for one combination of the other options, a dot is a run. The first of the other options has
    the colors, the next ones the dashes.
    """
    numbers = [name for name in varied if name != "seed"] or list(varied)
    across = max(numbers, key=lambda name: (name == "lr", len({option_value(run, name) for run in runs})))
    others = [name for name in numbers if name != across]
    start = max(float(run.result.losses[0]) for run in runs)
    sound = [run for run in runs if is_finite(run) and final_loss(run) <= start]
    groups = list(dict.fromkeys(tuple(option_value(run, name) for name in others) for run in runs))
    colors, dashes = list(dict.fromkeys(g[:1] for g in groups)), list(dict.fromkeys(g[1:] for g in groups))
    marks: Marks = []
    for group in groups:
        members = [run for run in sound if tuple(option_value(run, name) for name in others) == group]
        label = (
            ", ".join(f"{name} = {value:g}" for name, value in zip(others, group, strict=True)) if len(groups) <= MAX_CURVES else ""
        )
        marks += _draw_group(members, across, label, color=colors.index(group[:1]), dash=dashes.index(group[1:]))
    marks += [*([] if has_validation(best) else _draw_optimum(runs)), *_mark_ends(runs, sound, across, best, numbers)]
    ends = [final_loss(run) for run in sound]
    seeds = len({option_value(run, "seed") for run in runs}) if across != "seed" else 1
    notes = [f"Best: {describe_options(best, numbers, _DIGITS)}."] if sound else ["Every run diverged."]
    notes += [f"A dot is a run, a line the median of {pluralize(seeds, 'seed')}."] if seeds > 1 else []
    loss = "validation loss" if has_validation(best) else "last loss"
    return Panel(
        title=f"Where {len(runs):,} runs ended",
        x_label=across,
        y_label=f"{loss} (standardized)",
        marks=marks,
        log_x=across in ("lr", "batch_size"),
        log_y=bool(ends) and min(ends) > 0 and max(ends) > _LOG_RATIO * min(ends),
        note=" ".join(notes),
    )


def _draw_group(members: Sequence[Training], across: str, label: str, *, color: int, dash: int) -> Iterator[Curve]:
    if not members:
        return
    x, y = np.array([(option_value(run, across), final_loss(run)) for run in members]).T
    values = np.unique(x)
    yield Curve(x=x, y=y, color=color, dots=True)
    if across != "seed":
        yield Curve(x=values, y=np.array([np.median(y[x == value]) for value in values]), label=label, color=color, dash=dash)


def _mark_ends(
    runs: Sequence[Training], sound: Sequence[Training], across: str, best: Training, names: Sequence[str]
) -> Iterator[Level | Point]:
    """Mark the best run, the values where runs diverged or rose, at the top, and the limit of the learning rate in theory."""
    ended = {id(run) for run in sound}
    top = max(map(final_loss, sound)) if sound else max(float(run.result.losses[0]) for run in runs)
    lost = sorted({option_value(run, across) for run in runs if id(run) not in ended})
    for i, value in enumerate(lost):
        yield Point(value, top, "" if i else "diverged", symbol="x")
    limit, batches = best.theory.lr_limit, best.theory.batches
    if across == "lr" and limit is not None:
        of = "in theory" if len(names) == 1 else "of the best run in theory"
        drawn = "" if batches is None else ", rows drawn with replacement"
        yield Level(limit, f"limit {of}: {limit:.3g}{drawn}", across="x")
    if sound:
        yield Point(option_value(best, across), final_loss(best), "best", symbol="*")
