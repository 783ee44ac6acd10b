"""The figure of a fit with one numeric predictor: rows, curve and bands."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from squarely.data import DetachedSource
from squarely.design import Expression, Function, Name, Polynomial, argument_of
from squarely.errors import DataError
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.figures.curve import FittedCurve, fitted_curve, mean_weight
from squarely.inference.post_estimation.figures.drawn_rows import DrawnRows, read_rows
from squarely.show import Band, Cells, Curve, Mark, Panel

ALPHA = 0.05
_COLOR = 1  # vermilion, as of least squares in the demo
_DEVIATIONS = 1.5  # on both sides of the mean, where the rows are not available
_LOGS = {"log": math.e, "log2": 2.0, "log10": 10.0}  # with their bases
_LOG_RATIO = 100.0  # of the largest to the smallest value, from which the axis of a logarithm is logarithmic
_POINTS = 200  # of the curve
_MARGIN = 0.04  # of the range of y
_MOST_EXTENSION = 0.35  # of the range of y for the curve and the bands: wider ones are cut off


def describe_fit(fit: CoefficientStatistics) -> str:
    """Return the number of observations and R-squared, which a constant response does not have."""
    return f"n = {fit.nobs:,}" + ("." if math.isnan(fit.rsquared) else f", R-squared {fit.rsquared:.3f}.")


def line_panel(fit: CoefficientStatistics, name: str) -> Panel:
    """Draw the rows over the predictor `name`, the fitted curve, and both bands.

    Raises
    ------
    DataError : the rows are not those of the fit, or the fit has no rows and does not know between which ends to draw.
    """
    is_log = _is_logarithmic(fit)
    rows = None if isinstance(fit.source, DetachedSource) else read_rows(fit.solution, fit.source, name, log_x=is_log)
    ends, how = (rows.x_limits, "") if rows is not None else ends_without_rows(fit, name)
    if not ends[0] < ends[1]:
        ends = ends[0] - 0.5, ends[1] + 0.5
    log_x = is_log and ends[1] > _LOG_RATIO * ends[0]
    curve = fitted_curve(fit, name, np.geomspace(*ends, _POINTS) if log_x else np.linspace(*ends, _POINTS), ALPHA)
    return Panel(
        title=fit.design.formula.text,
        x_label=name,
        y_label=fit.design.response,
        marks=[*_row_marks(rows, is_log=is_log), *_curve_marks(curve)],
        note="\n".join(_notes(fit, rows, curve, how)),
        log_x=log_x,
        y_limits=_y_limits(rows, curve),
        height=5.2,
    )


def _is_logarithmic(fit: CoefficientStatistics) -> bool:
    """Return whether the predictor is in the model as its logarithm alone."""
    arguments = [argument_of(factor) for factor in fit.design.factors.values()]
    logs = [a for a in arguments if isinstance(a, Function) and a.function in _LOGS and isinstance(a.argument, Name)]
    return len(logs) == len(arguments) and not fit.design.formula.offsets


def _row_marks(rows: DrawnRows | None, *, is_log: bool) -> Iterator[Mark]:
    if rows is not None and rows.points is not None:
        yield Curve(x=rows.points[0], y=rows.points[1], color=None, dots=True)
    elif rows is not None and rows.histogram is not None:
        x, y, counts = rows.histogram.edges(0), rows.histogram.edges(1), rows.histogram.counts.T
        counts = np.where(counts > 0, counts, np.nan)
        yield Cells(x=np.exp2(x) if is_log else x, y=y, counts=counts, most=np.nanmax(counts))


def _curve_marks(curve: FittedCurve) -> Iterator[Mark]:
    level = f"{100 * (1 - ALPHA):g} %"
    for (low, high), label, opacity in ((curve.prediction, "prediction", 0.1), (curve.confidence, "confidence", 0.35)):
        if np.isfinite(low).sum() > 1:
            yield Band(x=curve.x, low=low, high=high, label=f"{level} {label} band", color=_COLOR, opacity=opacity)
    yield Curve(x=curve.x, y=curve.mean, color=_COLOR, label="least squares")


def ends_without_rows(fit: CoefficientStatistics, name: str) -> tuple[tuple[float, float], str]:
    """Return the ends of the rows, if a spline or polynomial has them, or else those about the mean, and what they are."""
    design, moments = fit.design, fit.solution.moments
    for text, basis in design.learned.bases.items():
        if _column_in(argument_of(design.factors[text])) == name:
            return (basis.low, basis.high) if isinstance(basis, Polynomial) else basis.boundary, "over their range"
    for j, column in enumerate(design.columns):
        (text, _, i), *others = column.parts
        argument = argument_of(design.factors[text])
        log, inner = "", argument
        if isinstance(argument, Function) and argument.function in _LOGS:
            log, inner = argument.function, argument.argument
        if _column_in(inner) == name and i == 0 and not others:
            mean, reach = float(moments.means[j]), _DEVIATIONS * math.sqrt(moments.variances[j])
            low, high = (_LOGS[log] ** end if log else end for end in (mean - reach, mean + reach))
            return (low, high), f"within {_DEVIATIONS:g} standard deviations of the mean of {text if log else name}"
    raise DataError(
        f"The figure needs the rows of {fit.source.label}, because this fit does not have the range of {name!r}. Fit the data "
        "again, or draw kind='coefficients'."
    )


def _column_in(expression: Expression) -> str | None:
    """Return the column that an expression is, None for any other expression."""
    return expression.name if isinstance(expression, Name) else None


def _y_limits(rows: DrawnRows | None, curve: FittedCurve) -> tuple[float, float] | None:
    """Return ends of y with all rows, and with the curve and the bands as far as they are not much wider."""
    if rows is None:
        return None
    low, high = rows.y_limits
    extension, drawn = _MOST_EXTENSION * (high - low), np.stack([curve.mean, *curve.prediction])
    drawn = drawn[np.isfinite(drawn)]
    low, high = min(low, max(drawn.min(initial=low), low - extension)), max(high, min(drawn.max(initial=high), high + extension))
    margin = _MARGIN * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def _notes(fit: CoefficientStatistics, rows: DrawnRows | None, curve: FittedCurve, how: str) -> Iterator[str]:
    """Yield what the figure does not show by itself."""
    formula = fit.design.formula
    yield describe_fit(fit)
    if rows is None:
        yield f"The rows are not available. The line is drawn {how}."
    elif rows.histogram is not None:
        yield f"Darker cells have more rows, up to {rows.histogram.counts.max():,.0f}."
    elif formula.has_frequencies:
        yield "A dot stands for as many rows as its frequency."
    if np.isnan(curve.mean).any():
        yield "The curve is not drawn where the rows determine no value."
    if np.isnan(curve.confidence[0, np.isfinite(curve.mean)]).any():
        yield "The bands are not drawn where standard errors have no value."
    if fit.robust is not None:
        yield f"The confidence band follows the {fit.cov_type} covariance; the prediction band adds one variance for all rows."
    if (weight := mean_weight(fit)) is not None:
        yield f"The prediction band is for a row of the mean weight, {weight:.4g}."
