"""Marks of the figures of a fit: bands, counts of rows in cells, estimates with limits, and labels of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from squarely.show.palette import COLORS
from squarely.show.text import escape_controls, legend_label

_GRAYS = (0.86, 0.15)  # of a cell with one row, and of the cell with the most rows
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
    """Texts beside the first of some points x, y (m,), which move up or down if they would cover each other.

    With a `color`, a position in COLORS, the points are drawn on top of all else, and `label` names them in the legend.
    """

    x: Any
    y: Any
    texts: Sequence[str]
    label: str = ""
    color: int | None = None


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
    mesh = axes.pcolormesh(cells.x, cells.y, cells.counts, cmap=grays, norm=norm, rasterized=True, zorder=1.5)
    mesh.sticky_edges.x.clear()  # a point at the edge is whole


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


def draw_labeled_points(axes: Any, labels: Labels) -> None:
    """Draw the points that have a color."""
    if labels.color is not None:
        color, style = COLORS[labels.color % len(COLORS)], {"s": 26, "linewidths": 0.6, "edgecolors": "white", "zorder": 5}
        axes.scatter(labels.x, labels.y, color=color, label=legend_label(labels.label) or None, **style)
