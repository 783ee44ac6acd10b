"""Marks of every figure: curves and dots, thin lines across a panel, single points, and the level lines of a function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from squarely.show.palette import COLORS, DASHES, pick_shade
from squarely.show.text import escape_controls, legend_label

GRAY = "#555555"
_MANY_DOTS = 1_000  # beyond which they are smaller and paler
_ON_WHITE = {"bbox": {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """A line through x, y (m,) in order, or dots.

    `color` is a position in COLORS, or `shade` one from 0 to 1 on a scale for values with an order; `dash` is a position in DASHES.
    A curve whose color is None is gray. A dashed curve is thin, black and on top of the others.
    """

    x: Any
    y: Any
    label: str = ""
    color: int | None = 1
    shade: float | None = None
    dash: int = 0
    dashed: bool = False
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Level:
    """A thin line across the panel at a value of y, or of x, which the legend names."""

    value: float
    label: str
    across: str = "y"


@dataclass(frozen=True, slots=True)
class Point:
    """One point with a label beside it, such as the best epoch. `symbol` is a marker of matplotlib."""

    x: float
    y: float
    label: str = ""
    symbol: str = "o"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contours:
    """The lines on which values (k, m) over the grid of x (m,) and y (k,) have one of the ascending `levels`."""

    x: Any
    y: Any
    values: Any
    levels: Sequence[float]


def draw_curve(axes: Any, curve: Curve) -> None:
    """Draw a line, dots, or a dashed line on top."""
    label = legend_label(curve.label) or None
    color = color_of(curve)
    if curve.dots:
        size = min(1.0, math.sqrt(_MANY_DOTS / max(len(curve.x), 1)))
        style = {"s": 18 * size, "alpha": max(0.55 * size, 0.3), "linewidths": 0}
        axes.scatter(curve.x, curve.y, color=color, label=label, zorder=2, **style)
    elif curve.dashed:
        axes.plot(curve.x, curve.y, color="black", linewidth=1.0, linestyle=(0, (4, 5)), label=label, zorder=4)
    else:
        dash, marker = DASHES[curve.dash % len(DASHES)], "o" if len(curve.y) == 1 else None
        axes.plot(curve.x, curve.y, color=color, linestyle=dash, linewidth=2.4, marker=marker, label=label, zorder=3)


def draw_level(axes: Any, level: Level) -> None:
    """Draw a thin line across a panel whose limits are set."""
    label, style = legend_label(level.label), {"color": GRAY, "linewidth": 1.0, "zorder": 1}
    if level.across == "x":
        axes.axvline(level.value, label=label, linestyle=(0, (6, 2, 1, 2)), **style)
        return
    low, high = axes.get_ylim()
    if axes.get_yscale() == "linear" or low <= level.value <= high:  # beyond, it would stretch a log axis
        axes.axhline(level.value, label=label, linestyle=(0, (1, 2)), **style)


def draw_point(axes: Any, point: Point) -> None:
    """Draw a point with its label in a panel whose limits are set."""
    axes.plot(
        [point.x], [point.y], marker=point.symbol, color="black", markerfacecolor="white", markersize=7, clip_on=False, zorder=6
    )
    if point.label:
        across, up = (axes.transData + axes.transAxes.inverted()).transform((point.x, point.y))
        side, right = ("right", -8) if across > 0.5 else ("left", 8)
        label, shift = escape_controls(point.label, "figure"), (right, -14 if up > 0.9 else 9)
        axes.annotate(
            label, (point.x, point.y), xytext=shift, textcoords="offset points", ha=side, zorder=6, fontsize="small", **_ON_WHITE
        )


def color_of(curve: Curve) -> str:
    """Return the color of a curve."""
    if curve.color is None:
        return GRAY
    return COLORS[curve.color % len(COLORS)] if curve.shade is None else pick_shade(curve.shade)


def draw_contours(axes: Any, contours: Contours) -> None:
    """Draw the lines in gray, on shades that are darker where the values are larger, and make the units of x and y equally long."""
    grid, levels = (contours.x, contours.y, contours.values), contours.levels
    shades = [str(0.99 - 0.22 * i / len(levels)) for i in range(len(levels) + 1)]  # from white to light gray
    axes.contourf(*grid, levels=levels, colors=shades, extend="both", zorder=0)
    axes.contour(*grid, levels=levels, colors="#8a8a8a", linewidths=0.7, zorder=1)
    axes.set_aspect("equal")
