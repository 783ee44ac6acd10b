"""The figure of the effects of all predictors: predictions along each number, and contrasts of each category."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely.data import DetachedSource, is_aggregate_only
from squarely.errors import OptionError
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.effects.results import effects, margins
from squarely.inference.post_estimation.effects.settings import MEAN, find_variables
from squarely.inference.post_estimation.figures.column_ranges import read_ranges
from squarely.inference.post_estimation.figures.line_figure import ALPHA, describe_fit, ends_without_rows
from squarely.inference.post_estimation.fixed_effects.refusal import require_no_effects
from squarely.inference.post_estimation.predictors import predictors_of
from squarely.show import Band, Curve, Intervals, Level, Mark, Panel

if TYPE_CHECKING:
    import pandas as pd

_POINTS = 100  # of a curve
_MOST_PANELS = 12
_HEIGHT, _ROW, _AROUND = 4.0, 0.3, 2.0  # inches: of a panel, of a contrast, and of title and axis
_COLOR = 1
_MARGIN = 0.04  # of the range of y
_LEVEL = f"{100 * (1 - ALPHA):g} %"


def effects_panels(fit: CoefficientStatistics) -> list[Panel]:
    """Draw a panel for each predictor, with all others at their means.

    Raises
    ------
    DataError : there is no predictor, or the fit has no rows and does not have the mean or the ends of a column.
    OptionError : there are too many predictors.
    """
    require_no_effects(fit, "kind='effects'")
    variables, (numbers, labels) = find_variables(fit, None), predictors_of(fit)
    if len(variables) > _MOST_PANELS:
        raise OptionError(
            f"kind='effects' draws up to {_MOST_PANELS} predictors, and this fit has {len(variables)}. Use kind='coefficients', or "
            "fit.margins(at=...) for single predictors."
        )
    at, ends, how = _settings(fit, numbers)
    at |= dict.fromkeys(labels, MEAN)
    curves = {name: _without_warnings(margins, fit, {**at, name: np.linspace(*ends[name], _POINTS)}) for name in numbers}
    limits = _common_limits(list(curves.values()))
    panels = []
    for i, name in enumerate(variables):
        label = f"{_LEVEL} confidence band" if i == 0 else ""
        panels.append(_curve_panel(fit, name, curves[name], limits, label) if name in curves else _contrast_panel(fit, name, at))
    means = ["at their means"] * bool(numbers) + ["levels with equal weights"] * bool(labels)
    note = describe_fit(fit) + (f" Others {', '.join(means)}{how}." if len(variables) > 1 else "")
    return [replace(panels[0], note=note), *panels[1:]]


def _settings(fit: CoefficientStatistics, numbers: Sequence[str]) -> tuple[dict[str, Any], Mapping[str, tuple[float, float]], str]:
    """Return the means of columns of numbers, their ends, and how these are chosen if there are no rows."""
    if not numbers:
        return {}, {}, ""
    if isinstance(fit.source, DetachedSource) or is_aggregate_only(fit.source):
        found = {name: ends_without_rows(fit, name) for name in numbers}
        return dict.fromkeys(numbers, MEAN), {name: ends for name, (ends, _) in found.items()}, ", drawn without the rows"
    ranges = read_ranges(fit.solution, fit.source, tuple(numbers))
    table = np.stack([ranges.sums / np.float64(ranges.weight), ranges.low, ranges.high])
    columns = dict(zip(numbers, table.T.tolist(), strict=True))
    ends = {name: (low, high) if low < high else (low - 0.5, high + 0.5) for name, (_, low, high) in columns.items()}
    return {name: mean for name, (mean, _, _) in columns.items()}, ends, ""


def _without_warnings(compute: Callable[..., pd.DataFrame], fit: CoefficientStatistics, *arguments: Any) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of what the rows do not determine: it is not drawn
        return compute(fit, *arguments, None, alpha=ALPHA)


def _common_limits(curves: Sequence[pd.DataFrame]) -> tuple[float, float] | None:
    """Return ends of y for all curves, so that their slopes compare."""
    values = np.concatenate([np.empty(0), *(curve[["estimate", "low", "high"]].to_numpy().ravel() for curve in curves)])
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    margin = _MARGIN * float(np.ptp(values)) or 0.5
    return float(values.min()) - margin, float(values.max()) + margin


def _curve_panel(
    fit: CoefficientStatistics, name: str, curve: pd.DataFrame, limits: tuple[float, float] | None, label: str
) -> Panel:
    x, y, low, high = (curve[column].to_numpy() for column in (name, "estimate", "low", "high"))
    marks: list[Mark] = [Curve(x=x, y=y, color=_COLOR)]
    if np.isfinite(low).sum() > 1:
        marks.insert(0, Band(x=x, low=low, high=high, label=label, color=_COLOR, opacity=0.35))
    return Panel(title=name, x_label=name, y_label=fit.design.response, marks=marks, y_limits=limits, height=_HEIGHT)


def _contrast_panel(fit: CoefficientStatistics, name: str, at: Mapping[str, Any]) -> Panel:
    frame = _without_warnings(effects, fit, name, {column: value for column, value in at.items() if column != name})
    values, low, high = (frame[column].to_numpy() for column in ("estimate", "low", "high"))
    texts = [f"{value:.4g} [{a:.4g}, {b:.4g}]".replace("-", "−") for value, a, b in zip(values, low, high, strict=True)]
    intervals = Intervals(at=list(range(len(frame))), values=values, low=low, high=high, texts=texts, color=_COLOR)
    return Panel(
        title=name,
        x_label=f"difference in {fit.design.response}, with limits at {_LEVEL}",
        y_label="",
        marks=[Level(0.0, "", across="x"), intervals],
        rows=list(frame["contrast"]),
        height=max(_HEIGHT, _AROUND + _ROW * len(frame)),
    )
