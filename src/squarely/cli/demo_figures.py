"""The figures of the demo. Gray dots are data, vermilion is least squares, blue is training, and a dashed line is theory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from squarely.numerics import Array
from squarely.show import Contours, Curve, Level, Panel, Point

if TYPE_CHECKING:
    import pandas as pd

    from squarely.certification import Certificate
    from squarely.descent import Sweep, Training
    from squarely.inference import Fit

_Marks = list[Curve | Level | Point | Contours]

EXACT, TRAINED = 1, 0  # the colors of the two methods
_ENGINE = "displacement (cubic inches)"
_BINS = 8  # of equally many rows, whose means show a bend
_RINGS = 12  # level lines of the bowl
_GRID = 161  # points in each direction
_ASPECT = 1.42  # of a panel: its width by its height
_FIRST = 12  # epochs in which a diverging run leaves the others


def scatter_panel(cars: pd.DataFrame, fit: Fit | None = None, *, title: str) -> Panel:
    """Draw the data, and the line of a fit."""
    x, y = cars["displacement"].to_numpy(), cars["mpg"].to_numpy()
    marks = [Curve(x=x, y=y, color=None, dots=True)]
    if fit is not None:
        ends = _ends(cars)
        marks.append(Curve(x=ends, y=_line(fit.params, ends), color=EXACT, label="least squares"))
    return Panel(title=title, x_label=_ENGINE, y_label="miles per gallon", marks=marks)


def residual_panel(cars: pd.DataFrame, fit: Fit) -> Panel:
    """Draw the residuals with their means over bins of equally many rows: the means of a right model are near zero."""
    x, residuals = cars["displacement"].to_numpy(), fit.resid.to_numpy()
    bins = np.array_split(np.argsort(x, kind="stable"), _BINS)
    means = np.array([[x[rows].mean(), residuals[rows].mean()] for rows in bins])
    marks: _Marks = [
        Curve(x=x, y=residuals, color=None, dots=True),
        Curve(x=means[:, 0], y=means[:, 1], color=EXACT, label=f"mean of about {10 * round(len(x) / _BINS / 10)} cars"),
        Level(0.0, ""),
    ]
    return Panel(
        title="Its residuals bend: a line is not the whole truth", x_label=_ENGINE, y_label="measured minus fitted", marks=marks
    )


def bowl_panel(run: Training, path: Array, exact: Array) -> Panel:
    """Draw the loss over two slopes, at the best intercept, with the path (k, 2) of a run and the optimum `exact` (2,)."""
    reach = 1.1 * np.abs(path - exact).max()
    x, y = (np.linspace(c - reach * part, c + reach * part, _GRID) for c, part in zip(exact, (_ASPECT, 1.0), strict=True))
    apart = np.stack(np.meshgrid(x - exact[0], y - exact[1]), axis=-1)
    excess = 0.5 * np.einsum("...i,ij,...j", apart, run.problem.H[1:, 1:], apart)
    levels = excess.max() * (np.arange(1, _RINGS + 1) / _RINGS) ** 3
    marks: _Marks = [
        Contours(x=x, y=y, values=excess, levels=levels.tolist()),
        Curve(x=path[:, 0], y=path[:, 1], color=TRAINED, label="gradient descent"),
        Curve(x=path[:, 0], y=path[:, 1], color=TRAINED, dots=True),
        Point(exact[0], exact[1], "least squares", symbol="*"),
    ]
    return Panel(
        title=f"{len(path) - 1} steps at lr = {run.options.rate:g}",
        x_label="slope of displacement (standardized)",
        y_label="slope of weight (standardized)",
        marks=marks,
    )


def rates_panels(rates: Sweep) -> list[Panel]:
    """Draw the losses of the rates below the limit by epoch, and the first losses of the best one and of those above the limit."""
    below = [run for run in rates.runs if run.status != "diverged"]
    first = [run for run in rates.runs if run is rates.best or run not in below]
    shades = {run.options.rate: i / (len(rates.runs) - 1) for i, run in enumerate(reversed(rates.runs))}
    panel = Panel(
        title="Below the limit: a smaller rate is slower",
        x_label="epoch",
        y_label="MSE (standardized)",
        marks=_loss_curves(below, shades),
        label_ends=True,
    )
    above = _loss_curves(first, shades, _FIRST)
    return [panel, replace(panel, title="Above the limit: every step overshoots", marks=above, log_y=True)]


def _loss_curves(runs: Sequence[Training], shades: Mapping[float, float], epochs: int | None = None) -> list[Curve]:
    """Draw measured losses, up to an epoch, with the curves of theory on them."""
    measured: list[Curve] = []
    predicted: list[Curve] = []
    for run in runs:
        assert run.prediction is not None  # noqa: S101  # SGD on all rows has a curve
        rate, losses = run.options.rate, run.result.losses[: None if epochs is None else epochs + 1]
        x = np.arange(len(losses))
        measured.append(Curve(x=x, y=losses, label=f"lr = {rate:g}", shade=shades[rate]))
        label = "" if predicted else "predicted by theory"
        predicted.append(Curve(x=x, y=run.prediction.losses[: len(x)], dashed=True, label=label))
    return measured + predicted


def lines_panel(cars: pd.DataFrame, fit: Fit, run: Training) -> Panel:
    """Draw both lines over the data; where they agree, the dashes of one cover the other."""
    panel = scatter_panel(cars, fit, title="Two methods, one line")
    ends = _ends(cars)
    trained = Curve(x=ends, y=_line(run.params, ends), color=TRAINED, dash=1, label="gradient descent")
    return replace(panel, marks=[*panel.marks, trained])


def gap_panel(gaps: Mapping[str, Array], certificate: Certificate) -> Panel:
    """Draw how far the trained coefficients are from the exact ones, by epoch, in standard errors."""
    marks: _Marks = [
        Curve(x=np.arange(len(gap)), y=gap, color=TRAINED, dash=i, label=name) for i, (name, gap) in enumerate(gaps.items())
    ]
    marks += [
        Level(certificate.tau, f"they agree below {certificate.tau:g}"),
        Level(certificate.rounding_gap, f"{certificate.dtype} rounds below {certificate.rounding_gap:.2g}"),
    ]
    return Panel(title="Trained minus exact", x_label="epoch", y_label="distance in standard errors", marks=marks, log_y=True)


def _ends(cars: pd.DataFrame) -> Array:
    return np.array([cars["displacement"].min(), cars["displacement"].max()])


def _line(params: pd.Series, x: Array) -> Array:
    values: Array = params["Intercept"] + params["displacement"] * x
    return values
