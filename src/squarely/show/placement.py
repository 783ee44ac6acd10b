"""Find places for texts and legends in a panel, where they cover little."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from squarely.show.statistical_marks import Cells, Labels
from squarely.show.text import cut_middle, escape_controls

_LABEL_HEIGHT, _CHARACTER, _SPACE = 11.0, 5.5, 7.0  # points: of a text, of a character, and between a point and its text
_LINES = (0, 1, -1, 2, -2, 3, -3, 4, -4)  # that a text moves up, in the order of preference
_LEGEND = (0.5, 0.2)  # of the width and the height of a panel
_ON_WHITE = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.3}


def draw_texts(axes: Any, marks: Sequence[Labels]) -> None:
    """Draw the texts of a panel whose place and limits are set, each beside its point, or near it on a thin line."""
    texts = [(x, y, text) for mark in marks for x, y, text in zip(mark.x, mark.y, mark.texts, strict=False)]
    to_points = 72.0 / axes.figure.dpi
    places = [axes.transData.transform((x, y)) * to_points for x, y, _ in texts]
    points = [axes.transData.transform(np.column_stack([mark.x, mark.y])) * to_points for mark in marks]
    taken = [(x - _SPACE / 2, x + _SPACE / 2, y) for each in points for x, y in each.tolist()]
    ends = axes.transAxes.transform([(0, 0), (1, 1)])[:, 0] * to_points
    for (x, y, text), (across, up) in sorted(zip(texts, places, strict=True), key=lambda each: -each[1][1]):  # from top to bottom
        text = escape_controls(cut_middle(text, 24), "figure")
        width, sides = _CHARACTER * len(text), ("left", "right") if across <= ends.mean() else ("right", "left")
        for lines, side in product(_LINES, sides):
            left = across + (_SPACE if side == "left" else -_SPACE - width)
            box = left, left + width, up + lines * _LABEL_HEIGHT
            is_inside = ends[0] <= box[0] and box[1] <= ends[1]
            if is_inside and not any(box[0] < b and a < box[1] and abs(box[2] - height) < _LABEL_HEIGHT for a, b, height in taken):
                break
        taken.append(box)
        shift = (_SPACE if side == "left" else -_SPACE, lines * _LABEL_HEIGHT)
        style = {"fontsize": "small", "ha": side, "va": "center", "zorder": 4.5, "annotation_clip": False, "bbox": _ON_WHITE}
        arrow = {"arrowstyle": "-", "color": "#8a8a8a", "linewidth": 0.8} if lines else None
        axes.annotate(text, (x, y), xytext=shift, textcoords="offset points", arrowprops=arrow, **style)


def emptiest_corner(axes: Any, lines: Sequence[tuple[Any, Any]], points: Sequence[Any], corners: Sequence[str]) -> str:
    """Return the first of some corners, such as "upper left", in which a legend covers fewest of the places of lines and points."""
    places = np.concatenate([*(np.column_stack(line) for line in lines), *points])
    across, up = (axes.transData + axes.transAxes.inverted()).transform(places).T

    def covered(corner: str) -> int:
        high, side = corner.split()
        x, y = across if side == "left" else 1 - across, up if high == "lower" else 1 - up
        return int(((x < _LEGEND[0]) & (y < _LEGEND[1])).sum())

    return min(corners, key=covered)


def cell_centers(cells: Cells) -> Any:
    """Return the centers (n, 2) of the cells that have rows."""
    up, across = np.nonzero(cells.counts > 0)
    return np.column_stack([(edges[:-1] + edges[1:])[at] / 2 for edges, at in ((cells.x, across), (cells.y, up))])
