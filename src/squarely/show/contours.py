"""Draw the level lines of a function of two variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contours:
    """The lines on which values (k, m) over the grid of x (m,) and y (k,) have one of the ascending `levels`."""

    x: Any
    y: Any
    values: Any
    levels: Sequence[float]


def draw_contours(axes: Any, contours: Contours) -> None:
    """Draw the lines in gray, on shades that are darker where the values are larger, and make the units of x and y equally long."""
    grid, levels = (contours.x, contours.y, contours.values), contours.levels
    shades = [str(0.99 - 0.22 * i / len(levels)) for i in range(len(levels) + 1)]  # from white to light gray
    axes.contourf(*grid, levels=levels, colors=shades, extend="both", zorder=0)
    axes.contour(*grid, levels=levels, colors="#8a8a8a", linewidths=0.7, zorder=1)
    axes.set_aspect("equal")
