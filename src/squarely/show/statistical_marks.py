"""Marks of the figures of a fit: bands, counts of rows in cells, estimates with limits, and labels of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from squarely.show.palette import COLORS
from squarely.show.text import cut_middle, escape_controls, legend_label

_GRAYS = (0.86, 0.15)  # of a cell with one row, and of the cell with the most rows
_LABEL_POINTS = 11.0  # between two labels, one above the other
_SYMBOLS = ("o", "s", "D", "^", "v", "P")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Band:
    """The area between `low` and `high` (m,) over x (m,), with thin edges. `color` is a position in COLORS."""

    x: Any
    low: Any
    high: Any
    label: str
    color: int
    opacity: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """Counts (k, m) of rows, NaN for none, in cells between the edges x (m + 1,) and y (k + 1,). `most` is the largest."""

    x: Any
    y: Any
    counts: Any
    most: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intervals:
    """Estimates (m,) with limits `low` and `high` (m,) at heights `at` (m,), which count from the top.

    `texts` (m,) are at the right end of the panel, beside the intervals. `color` is a position in COLORS and in the symbols.
    """

    at: Any
    values: Any
    low: Any
    high: Any
    label: str = ""
    texts: Sequence[str] = ()
    color: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """Texts beside points x, y (m,), which move up or down if they would cover each other."""

    x: Any
    y: Any
    texts: Sequence[str]


def draw_band(axes: Any, band: Band) -> None:
    """Draw a band below the curves."""
    color, label = COLORS[band.color % len(COLORS)], legend_label(band.label)
    axes.fill_between(band.x, band.low, band.high, color=color, alpha=band.opacity, linewidth=0, label=label, zorder=2.4)
    for edge in (band.low, band.high):
        axes.plot(band.x, edge, color=color, linewidth=0.7, alpha=0.8, zorder=2.5)


def draw_cells(axes: Any, cells: Cells) -> None:
    """Draw cells in gray, darker on a logarithmic scale where they have more rows; those without rows stay white."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    light, dark = _GRAYS
    grays = LinearSegmentedColormap.from_list("rows", [str(light), str(dark)])
    norm = LogNorm(1.0, max(cells.most, 2.0))
    axes.pcolormesh(cells.x, cells.y, cells.counts, cmap=grays, norm=norm, rasterized=True, zorder=1.5)


def draw_intervals(axes: Any, intervals: Intervals) -> None:
    """Draw each estimate as a symbol on a line from limit to limit, and without limits the symbol alone."""
    k, label = intervals.color, legend_label(intervals.label)
    color, symbol = COLORS[k % len(COLORS)], _SYMBOLS[(k + k // len(COLORS)) % len(_SYMBOLS)]
    axes.hlines(intervals.at, intervals.low, intervals.high, color=color, linewidth=2.0, zorder=3)
    axes.plot(intervals.values, intervals.at, symbol, color=color, markersize=6.5, markeredgecolor="white", label=label, zorder=4)
    for height, text in zip(intervals.at, intervals.texts, strict=False):
        place = {"xycoords": axes.get_yaxis_transform(), "xytext": (6, 0), "textcoords": "offset points"}
        text = escape_controls(text, "figure")
        axes.annotate(text, (1.0, height), va="center", fontsize="small", annotation_clip=False, **place)


def draw_labels(axes: Any, marks: Sequence[Labels]) -> None:
    """Draw all labels of a panel whose limits are set, each on the side of its point where there is more room."""
    to_points = 72.0 / axes.figure.dpi
    points = [(x, y, text) for mark in marks for x, y, text in zip(mark.x, mark.y, mark.texts, strict=True)]
    places = [(*axes.transData.transform((x, y)), x, y, text) for x, y, text in points]
    middle = axes.transAxes.transform((0.5, 0.5))[0]
    heights: dict[str, list[float]] = {"left": [], "right": []}
    for across, up, x, y, text in sorted(places, key=lambda place: -place[1]):
        side = "left" if across <= middle else "right"
        height = up * to_points
        for other in heights[side]:  # from top to bottom
            height = min(height, other - _LABEL_POINTS)
        heights[side].append(height)
        shift = (6 if side == "left" else -6, height - up * to_points)
        style = {"fontsize": "small", "va": "center", "zorder": 6, "annotation_clip": False}
        axes.annotate(
            escape_controls(cut_middle(text, 24), "figure"), (x, y), xytext=shift, textcoords="offset points", ha=side, **style
        )
