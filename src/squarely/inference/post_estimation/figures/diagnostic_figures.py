"""R's four diagnostic figures: residuals, normal Q-Q, scale and location, leverage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from scipy.special import ndtri

from squarely.errors import pluralize
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.figures.line_figure import describe_fit
from squarely.inference.post_estimation.figures.planes import (
    Coordinates,
    PanelRows,
    RowsInPlanes,
    fitted_values,
    panel_rows,
    read_planes,
    roots_of,
)
from squarely.inference.post_estimation.influence.measures import RowInfluence
from squarely.inference.scan import WhitenedRows, whitening_matrix
from squarely.numerics import Array
from squarely.show import Cells, Curve, Labels, Level, Mark, Panel

DIAGNOSTICS = ("residuals", "qq", "scale", "leverage")
_MEAN_COLOR, _LARGEST_COLOR = 0, 1  # blue and vermilion
_COOKS = (0.5, 1.0)
_BINS = 65_536  # of the standardized residuals of a Q-Q plot
_STEP = 0.01  # between theoretical quantiles that are drawn of many rows
_ENDS = 100  # bins at both ends that are all drawn
_HEIGHT = 4.6
_SAYS = {
    "qq": "The line is that of normal errors.",
    "scale": "The line is level if the errors have one variance.",
}


def diagnostic_panels(fit: CoefficientStatistics, term: object = None, *, kinds: Sequence[str]) -> list[Panel]:
    """Draw some of the four figures from one scan of the rows.

    Raises
    ------
    DataError : the rows are not those of the fit, or it has none.
    """
    rows = read_planes(fit, _coordinates(fit, kinds), [_BINS if kind == "qq" else None for kind in kinds])
    return [
        _PANELS[kind](fit, each, "\n".join(_notes(fit, rows, kind, is_first=each.has_legend)))
        for kind, each in zip(kinds, panel_rows(fit, rows), strict=True)
    ]


def _coordinates(fit: CoefficientStatistics, kinds: Sequence[str]) -> Coordinates:
    """Return the function of x and y of each kind of figure."""
    solution, design = fit.solution, fit.design
    image = np.asarray(np.linalg.solve(whitening_matrix(solution), solution.scaled_params[0]), dtype=np.float64)
    scale, center = float(design.scales[-1]), float(design.centers[-1])

    def coordinates(rows: WhitenedRows, measured: RowInfluence) -> list[tuple[Array, Array]]:
        fitted = fitted_values(rows, image, scale, center) + (0.0 if rows.offset is None else rows.offset)
        standardized = measured.measure("standard_resid")
        values = {
            "residuals": (fitted, scale * rows.residuals / roots_of(rows)),
            "qq": (standardized, np.zeros_like(fitted)),
            "scale": (fitted, np.sqrt(np.abs(standardized))),
            "leverage": (measured.measure("hat_diag"), standardized),
        }
        return [values[kind] for kind in kinds]

    return coordinates


def row_marks(rows: PanelRows) -> Iterator[Mark]:
    """Yield the rows as points or cells, the mean of neighboring rows, and the rows with the largest Cook's distances."""
    histogram, points = rows.plane.histogram, rows.plane.points
    if histogram is not None:
        counts = np.where(histogram.counts.T > 0, histogram.counts.T, np.nan)
        yield Cells(x=histogram.edges(0), y=histogram.edges(1), counts=counts, most=np.nanmax(counts))
    else:
        yield Curve(x=points[0], y=points[1], color=None, dots=True)
    if len((curve := rows.plane.means())[0]) > 2:
        yield Curve(x=curve[0], y=curve[1], color=_MEAN_COLOR, label="mean of neighboring rows" if rows.has_legend else "")
    yield from _largest_marks(rows.largest, rows)


def _largest_marks(largest: Array, rows: PanelRows) -> Iterator[Mark]:
    """Yield the rows with the largest Cook's distances, and the labels of the first."""
    x, y = largest[:2]
    if len(x):
        name = f"{len(x)} largest Cook's distances" if rows.has_legend else ""
        yield Labels(x=x, y=y, texts=rows.labels, color=_LARGEST_COLOR, label=name)


def _notes(fit: CoefficientStatistics, rows: RowsInPlanes, kind: str, *, is_first: bool) -> Iterator[str]:
    """Yield what a figure does not show by itself."""
    if is_first:
        yield f"{fit.design.formula.text}: {describe_fit(fit)}"
    if kind in _SAYS:
        yield _SAYS[kind]
    if is_first and (ones := int(rows.largest.one_count)):
        yield f"{pluralize(ones, 'row')} with a leverage of one {'has' if ones == 1 else 'have'} no standardized residual."
    if is_first and not fit.ssr > 0:
        yield "The residuals are zero, or rounding hides them: they are not standardized."


def _residual_panel(fit: CoefficientStatistics, rows: PanelRows, note: str) -> Panel:
    return Panel(
        title="Residuals against fitted values",
        x_label=f"fitted {fit.design.response}",
        y_label="residual",
        marks=[Level(0.0, ""), *row_marks(rows)],
        note=note,
        y_limits=rows.y_limits,
        height=_HEIGHT,
    )


def _scale_panel(fit: CoefficientStatistics, rows: PanelRows, note: str) -> Panel:
    return Panel(
        title="Scale and location",
        x_label=f"fitted {fit.design.response}",
        y_label="root of |standardized residual|",
        marks=list(row_marks(rows)),
        note=note,
        y_limits=rows.y_limits,
        height=_HEIGHT,
    )


def _qq_panel(fit: CoefficientStatistics, rows: PanelRows, note: str) -> Panel:
    residuals, before = rows.plane.distribution()
    quantiles = ndtri(before)
    at = np.interp(rows.largest[0], residuals, quantiles) if len(residuals) else rows.largest[0]
    drawn = _thin(quantiles) if rows.plane.histogram is not None else slice(None)
    end = float(np.abs(quantiles).max(initial=1.0))
    return Panel(
        title="Normal Q-Q",
        x_label="quantile of the normal distribution",
        y_label="standardized residual",
        marks=[
            Curve(x=quantiles[drawn], y=residuals[drawn], color=None, dots=True),
            Curve(x=np.array([-end, end]), y=np.array([-end, end]), dashed=True),
            *_largest_marks(np.stack([at, rows.largest[0]]), rows),
        ],
        note=note,
        height=_HEIGHT,
    )


def _thin(quantiles: Array) -> np.ndarray:
    """Return the places of the quantiles that are drawn: all at both ends, and between them one a step."""
    steps = np.floor(quantiles / _STEP)
    chosen = np.diff(steps, prepend=-np.inf) != 0
    chosen[:_ENDS] = chosen[-_ENDS:] = True
    return np.flatnonzero(chosen)


def _leverage_panel(fit: CoefficientStatistics, rows: PanelRows, note: str) -> Panel:
    limits = rows.y_limits
    right = float(np.nanmax(np.append(rows.plane.ends[1, 0], rows.largest[0]), initial=0.0))
    contours = list(_cook_contours(fit.rank, right, limits))
    says = "Dashed: Cook's distances of 0.5 and 1." if contours else "No row is near a Cook's distance of 0.5."
    return Panel(
        title="Residuals against leverage",
        x_label="leverage",
        y_label="standardized residual",
        marks=[Level(0.0, ""), *row_marks(rows), *contours],
        note="\n".join(filter(None, [note, says])),
        y_limits=limits,
        height=_HEIGHT,
    )


def _cook_contours(rank: int, right: float, limits: tuple[float, float] | None) -> Iterator[Mark]:
    """Yield the lines on which Cook's distance is 0.5 and 1, as far as they are in the panel."""
    if limits is None or not right > 0:
        return
    h = np.linspace(0, min(1.06 * right, 1.0), 402)[1:-1]
    for distance in _COOKS:
        r = np.sqrt(distance * rank * (1 - h) / h)
        for side in (-r, r):
            inside = (limits[0] <= side) & (side <= limits[1])
            if inside.any():
                x, y = h[inside], side[inside]
                yield Curve(x=x, y=y, dashed=True)
                yield Labels(x=x[-1:], y=y[-1:], texts=[f"{distance:g}"])


_PANELS: Mapping[str, Callable[[CoefficientStatistics, PanelRows, str], Panel]] = {
    "residuals": _residual_panel,
    "qq": _qq_panel,
    "scale": _scale_panel,
    "leverage": _leverage_panel,
}
