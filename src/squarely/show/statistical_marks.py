"""Marks of the figures of a fit: bands, counts of rows in cells, estimates with limits, and labels of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from squarely.show.palette import COLORS
from squarely.show.text import cut_middle, escape_controls, legend_label

_GRAYS = (0.86, 0.15)  # of a cell with one row, and of the cell with the most rows
_LABEL_HEIGHT, _CHARACTER, _SPACE = 11.0, 5.5, 7.0  # points: of a text, of a character, and between a point and its text
_MOST_LINES = 8  # that a text moves down
_LEGEND = (0.5, 0.2)  # of the width and the height of a panel
_ON_WHITE = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.3}
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

    @property
    def centers(self) -> Any:
        """The centers (n, 2) of the cells that have rows."""
        up, across = np.nonzero(self.counts > 0)
        return np.column_stack([(edges[:-1] + edges[1:])[at] / 2 for edges, at in ((self.x, across), (self.y, up))])


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


def draw_texts(axes: Any, marks: Sequence[Labels]) -> None:
    """Draw the texts of a panel whose place and limits are set, each beside its point, or below if another is there."""
    texts = [(x, y, text) for mark in marks for x, y, text in zip(mark.x, mark.y, mark.texts, strict=False)]
    to_points = 72.0 / axes.figure.dpi
    places = [axes.transData.transform((x, y)) * to_points for x, y, _ in texts]
    points = [axes.transData.transform(np.column_stack([mark.x, mark.y])) * to_points for mark in marks]
    taken = [(x - _SPACE / 2, x + _SPACE / 2, y) for each in points for x, y in each.tolist()]
    middle = axes.transAxes.transform((0.5, 0.5))[0] * to_points
    for (x, y, text), (across, up) in sorted(zip(texts, places, strict=True), key=lambda each: -each[1][1]):  # from top to bottom
        text = escape_controls(cut_middle(text, 24), "figure")
        width, sides = _CHARACTER * len(text), ("left", "right") if across <= middle else ("right", "left")
        for down, side in product(range(_MOST_LINES), sides):
            left = across + (_SPACE if side == "left" else -_SPACE - width)
            box = left, left + width, up - down * _LABEL_HEIGHT
            if not any(box[0] < b and a < box[1] and abs(box[2] - height) < _LABEL_HEIGHT for a, b, height in taken):
                break
        taken.append(box)
        shift = (_SPACE if side == "left" else -_SPACE, -down * _LABEL_HEIGHT)
        style = {"fontsize": "small", "ha": side, "va": "center", "zorder": 4.5, "annotation_clip": False, "bbox": _ON_WHITE}
        axes.annotate(text, (x, y), xytext=shift, textcoords="offset points", **style)


def emptiest_corner(axes: Any, points: Any, corners: Sequence[str]) -> str:
    """Return the first of some corners, such as "upper left", in which a legend covers fewest of the points (m, 2)."""
    across, up = (axes.transData + axes.transAxes.inverted()).transform(points).T

    def covered(corner: str) -> int:
        high, side = corner.split()
        x, y = across if side == "left" else 1 - across, up if high == "lower" else 1 - up
        return int(((x < _LEGEND[0]) & (y < _LEGEND[1])).sum())

    return min(corners, key=covered)
