"""The figure of a fit with one numeric predictor: rows, curve and bands."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from squarely.design import Categorical, Name, Polynomial, argument_of, column_names
from squarely.errors import DataError
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.figures.curve import FittedCurve, fitted_curve
from squarely.inference.figures.drawn_rows import DrawnRows, has_rows, read_rows
from squarely.show import Band, Cells, Curve, Mark, Panel

ALPHA = 0.05
_COLOR = 1  # vermilion, as of least squares in the demo
_DEVIATIONS = 2.0  # on both sides of the mean, where the rows are not available
_MARGIN = 0.04  # of the range of y
_ROOM = 0.35  # of the range of rows and curve, beyond which a wide band leaves the panel


def predictors_of(fit: CoefficientStatistics) -> tuple[list[str], list[str]]:
    """Return the columns of the data on the right side of the formula: those of numbers, and those of categories."""
    factors = fit.design.factors.values()
    expressions = [argument_of(f) for f in factors if not isinstance(f, Categorical)]
    expressions += [numeric.expression for numeric in fit.design.formula.offsets]
    numbers = [part.name for part in column_names(*expressions)]
    labels = [f.name.name for f in factors if isinstance(f, Categorical)]
    return list(dict.fromkeys(numbers)), list(dict.fromkeys(labels))


def line_panel(fit: CoefficientStatistics, name: str) -> Panel:
    """Draw the rows over the predictor `name`, the fitted curve, and both bands.

    Raises
    ------
    DataError : the rows are not those of the fit, or the fit has no rows and does not know between which ends to draw.
    """
    rows = read_rows(fit.solution, fit.source, name) if has_rows(fit.source) else None
    ends = rows.x_limits if rows is not None else _ends_without_rows(fit, name)
    if not ends[0] < ends[1]:
        ends = ends[0] - 0.5, ends[1] + 0.5
    curve = fitted_curve(fit, name, ends, ALPHA)
    return Panel(
        title=fit.design.formula.text,
        x_label=name,
        y_label=fit.design.response,
        marks=[*_row_marks(rows), *_curve_marks(curve)],
        note=" ".join(_notes(fit, name, rows, curve)),
        y_limits=_y_limits(rows, curve),
        height=5.2,
    )


def _row_marks(rows: DrawnRows | None) -> Iterator[Mark]:
    if rows is not None and rows.points is not None:
        yield Curve(x=rows.points[0], y=rows.points[1], color=None, dots=True)
    elif rows is not None and rows.grid is not None:
        yield Cells(x=rows.grid.edges(0), y=rows.grid.edges(1), counts=rows.grid.counts.T)


def _curve_marks(curve: FittedCurve) -> Iterator[Mark]:
    level = f"{100 * (1 - ALPHA):g} %"
    for half, label, opacity in ((curve.prediction, "prediction", 0.1), (curve.confidence, "confidence", 0.35)):
        if np.isfinite(half).any():
            low, high = curve.mean - half, curve.mean + half
            yield Band(x=curve.x, low=low, high=high, label=f"{level} {label} band", color=_COLOR, opacity=opacity)
    yield Curve(x=curve.x, y=curve.mean, color=_COLOR, label="least squares")


def _ends_without_rows(fit: CoefficientStatistics, name: str) -> tuple[float, float]:
    """Return the ends of the rows, if a spline or polynomial has them, or else two deviations on both sides of the mean."""
    design, moments = fit.design, fit.solution.moments
    for text, basis in design.learned.bases.items():
        if isinstance(argument_of(design.factors[text]), Name):
            return (basis.low, basis.high) if isinstance(basis, Polynomial) else basis.boundary
    for j, column in enumerate(design.columns):
        (text, _, i), *others = column.parts
        if isinstance(argument_of(design.factors[text]), Name) and i == 0 and not others:
            mean, deviation = float(moments.means[j]), math.sqrt(moments.variances[j])
            return mean - _DEVIATIONS * deviation, mean + _DEVIATIONS * deviation
    raise DataError(
        f"The figure needs the rows of {fit.source.label}, because this fit does not have the range of {name!r}. Fit the data "
        "again, or draw kind='coefficients'."
    )


def _y_limits(rows: DrawnRows | None, curve: FittedCurve) -> tuple[float, float] | None:
    """Return ends of y with all rows and the curve, and with the bands as far as they are not much wider."""
    if rows is None or not np.isfinite(curve.mean).any():
        return None
    low, high = min(rows.y_limits[0], np.nanmin(curve.mean)), max(rows.y_limits[1], np.nanmax(curve.mean))
    half, room = np.nan_to_num(curve.prediction), _ROOM * (high - low)
    ends = max(np.nanmin(curve.mean - half), low - room), min(np.nanmax(curve.mean + half), high + room)
    low, high = min(low, ends[0]), max(high, ends[1])
    margin = _MARGIN * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def _notes(fit: CoefficientStatistics, name: str, rows: DrawnRows | None, curve: FittedCurve) -> Iterator[str]:
    """Yield what the figure does not show by itself."""
    formula = fit.design.formula
    yield f"n = {fit.nobs:,}, R-squared {fit.rsquared:.3f}."
    if rows is None:
        yield "The fit has no rows to draw; the line is over the range of the rows, or two deviations around their mean."
    elif rows.grid is not None:
        yield f"Darker cells have more rows, up to {rows.grid.counts.max():,.0f}."
    elif formula.has_frequencies:
        yield "A dot stands for as many rows as its frequency."
    if not np.isfinite(curve.confidence).any():
        why = "there are no residual degrees of freedom" if fit.df_resid == 0 else "some standard errors have no value"
        yield f"There are no bands, because {why}."
        return
    if fit.robust is not None:
        yield f"The confidence band follows the {fit.cov_type} covariance; the prediction band adds one variance for all rows."
    if formula.weights is not None and not formula.has_frequencies:
        yield "The prediction band is for a row of weight one."
