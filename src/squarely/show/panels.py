"""Draw points, curves and lines on panels with matplotlib, without a window and without the user's pyplot state."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squarely.errors import InputError, MissingExtraError, pluralize
from squarely.show.curve_marks import (
    GRAY,
    Contours,
    Curve,
    Level,
    Point,
    color_of,
    draw_contours,
    draw_curve,
    draw_level,
    draw_point,
)
from squarely.show.statistical_marks import (
    Band,
    Cells,
    Intervals,
    Labels,
    draw_band,
    draw_cells,
    draw_intervals,
    draw_labeled_points,
)
from squarely.show.text import cut_middle, escape_controls, legend_label, wrap_text
from squarely.storage.disk import writable_path

if TYPE_CHECKING:
    from squarely.show.figure import Figure

_LABEL_HEIGHT = 0.055  # of the height of a panel
_MAX_SHIFT = 2.5  # label heights from the end of a curve to its label, beyond which a legend is clearer
_MAX_INSIDE = 6  # labels of a legend within the panel; a longer one is beside it
_FEW_DECADES = 2.5  # a log axis that spans less has ticks within its decades
_SHORT_NAME = 16  # characters of the name of a row that leave the panel its width
_NOTE_WIDTH = 100  # characters of a line below the title
_NAME_WIDTHS = (80, 80, 50)  # characters of title, x label and y label
_SMALL = {"fontsize": "small", "color": GRAY}


Mark = Curve | Level | Point | Contours | Band | Cells | Intervals | Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes and its marks. The y axis begins at `bottom` and ends at `top`, if they are given; `whole_x` is for counts.

    With `label_ends` the labels of curves are at their right ends, if they do not overlap there, and else in a legend. `note` has
    lines below the title. `rows` are names instead of a scale of y, at 0, 1, ... from the top. `y_limits` are the ends of y.
    `height` is in inches.
    """

    title: str
    x_label: str
    y_label: str
    marks: Sequence[Mark]
    log_y: bool = False
    log_x: bool = False
    whole_x: bool = False
    top: float | None = None
    bottom: float | None = None
    label_ends: bool = False
    note: str = ""
    rows: Sequence[str] = ()
    y_limits: tuple[float, float] | None = None
    height: float = 4.4


def draw(panels: Sequence[Panel], ax: Any = None) -> Any:
    """Draw panels in rows of some columns, by default in one, and return the Figure.

    With the user's axes, one or several, draw into them and return them.
    """
    module = _import_figure()
    if ax is not None:
        return _draw_into(panels, ax)
    across = len(panels) if len(panels) < 4 else 2 if len(panels) == 4 else 3
    lines = [panels[i : i + across] for i in range(0, len(panels), across)]
    width = max(sum(map(_width, line)) for line in lines) if len(panels) > 1 else 1.25 * _width(panels[0])
    heights = [max(panel.height for panel in line) for line in lines]
    figure = module.Figure(width, sum(heights))
    every = figure.subplots(len(lines), across, squeeze=False, height_ratios=heights).flat
    for axes, panel in zip_longest(every, panels):
        if panel is None:
            axes.remove()
        else:
            _draw_panel(axes, panel)
    _draw_labels(list(zip(figure.axes, panels, strict=True)), figure)
    return figure


def _draw_labels(panels: Sequence[tuple[Any, Panel]], figure: Any = None) -> None:
    """Draw the texts of labels in axes that have their limits; first give the axes of a new figure their places."""
    from squarely.show.placement import draw_texts

    labeled = {axes: [mark for mark in panel.marks if isinstance(mark, Labels)] for axes, panel in panels}
    if figure is not None and any(labeled.values()):
        figure.draw_without_rendering()
    for axes, labels in labeled.items():
        draw_texts(axes, labels)


def require_figure_file(path: str | os.PathLike[str]) -> None:
    """Raise an error, before the work for a figure begins, if its file could not be written."""
    _import_figure().require_figure_path(path)
    writable_path(path)


def _import_figure() -> Any:
    try:
        from squarely.show import figure
    except ImportError:
        raise MissingExtraError("Drawing a figure", "matplotlib", "plots") from None
    return figure


def _width(panel: Panel) -> float:
    """Return the width of a panel in inches, with space for a long legend beside it."""
    named = sum(bool(mark.label) for mark in panel.marks if isinstance(mark, Curve | Level))
    beside = sum(bool(mark.label) for mark in panel.marks if isinstance(mark, Intervals))
    is_wide = beside or max(map(len, panel.rows), default=0) > _SHORT_NAME or (named > _MAX_INSIDE and not panel.label_ends)
    return 8.4 if is_wide else 6.4


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Write a figure as PNG to `folder`, which is created if it does not exist, and return the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figure.save(path)
    return path


def _draw_into(panels: Sequence[Panel], ax: Any) -> Any:
    every = [ax] if hasattr(ax, "plot") or not isinstance(ax, Iterable) else list(getattr(ax, "flat", ax))
    are_axes = bool(every) and all(hasattr(axes, "plot") for axes in every)
    if not are_axes or len(every) > len(panels):
        of = "one pair of matplotlib axes" if len(panels) == 1 else f"up to {len(panels)} pairs of matplotlib axes"
        found = pluralize(len(every), "pair") if are_axes else repr(type(ax).__name__)
        raise InputError(f"ax is {found}, and this picture takes {of}. Create them with matplotlib.pyplot.subplots.")
    for axes, panel in zip(every, panels, strict=False):
        _draw_panel(axes, panel)
    _draw_labels(list(zip(every, panels, strict=False)))
    return ax


def _draw_panel(axes: Any, panel: Panel) -> None:
    texts = ((panel.title, _NAME_WIDTHS[0]), (panel.x_label, _NAME_WIDTHS[1]), (panel.y_label, _NAME_WIDTHS[2]))
    title, x_label, y_label = (escape_controls(cut_middle(text, width), "figure") for text, width in texts)
    x_scale, y_scale = ("log" if is_log else "linear" for is_log in (panel.log_x, panel.log_y))
    axes.set(xlabel=x_label, ylabel=y_label, xscale=x_scale, yscale=y_scale)
    sentences = (wrap_text(escape_controls(line, "figure"), _NOTE_WIDTH) for line in panel.note.splitlines())
    note = list(chain.from_iterable(sentences))
    axes.set_title(title, pad=8 + 12 * len(note) if note else None)
    if note:
        place = {"xycoords": "axes fraction", "xytext": (0, 5), "textcoords": "offset points"}
        axes.annotate("\n".join(note), (0.5, 1.0), ha="center", **place, **_SMALL)
    axes.margins(y=0.07)
    for mark in panel.marks:
        _draw_data(axes, mark)
    _limit_heights(axes, panel)
    for mark in panel.marks:
        if isinstance(mark, Level):
            draw_level(axes, mark)
        elif isinstance(mark, Point):
            draw_point(axes, mark)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if panel.whole_x and not panel.log_x:
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axis, is_log in ((axes.xaxis, panel.log_x), (axes.yaxis, panel.log_y)):
        if is_log:
            _set_plain_ticks(axis)
    _label_curves(axes, panel)


def _draw_data(axes: Any, mark: object) -> None:
    """Draw a mark that determines the limits of the axes."""
    if isinstance(mark, Curve):
        draw_curve(axes, mark)
    elif isinstance(mark, Contours):
        draw_contours(axes, mark)
    elif isinstance(mark, Band):
        draw_band(axes, mark)
    elif isinstance(mark, Cells):
        draw_cells(axes, mark)
    elif isinstance(mark, Intervals):
        draw_intervals(axes, mark)
    elif isinstance(mark, Labels):
        draw_labeled_points(axes, mark)


def _limit_heights(axes: Any, panel: Panel) -> None:
    if panel.top is not None:
        curves = [mark for mark in panel.marks if isinstance(mark, Curve)]
        lowest = min((float(y) for mark in curves for y in mark.y if y <= panel.top), default=0.0)
        axes.set_ylim(lowest - 0.05 * (panel.top - lowest), panel.top)
    if panel.bottom is not None:
        axes.set_ylim(bottom=panel.bottom)
    if panel.y_limits is not None:
        axes.set_ylim(*panel.y_limits)
    if panel.rows:
        axes.set_yticks(range(len(panel.rows)), [escape_controls(cut_middle(name), "figure") for name in panel.rows])
        axes.set_ylim(len(panel.rows) - 0.5, -0.5)


def _set_plain_ticks(axis: Any) -> None:
    """Label a log axis with plain numbers, at 1, 2 and 5 of each decade if it has few, or else with powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    if low <= 0 or not math.isfinite(high):
        return
    decades = math.log10(high / low)
    axis.set_minor_formatter(NullFormatter())
    if decades < _FEW_DECADES:
        subs = (1.0, 2.0, 5.0) if decades > 0.9 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
        axis.set_major_locator(LogLocator(subs=subs))
    if low >= 1e-5 and high <= 1e7:
        axis.set_major_formatter(FuncFormatter(_format_tick))


def _format_tick(value: float, _: int) -> str:
    return f"{value:g}" if value < 1000 else f"{value:,.0f}"


def _label_curves(axes: Any, panel: Panel) -> None:
    """Label the curves at their ends, if the panel asks for it and there is space, and the others in a legend."""
    curves = [mark for mark in panel.marks if isinstance(mark, Curve) and mark.label]
    heights = _place_labels(axes, curves) if panel.label_ends else {}
    for i, height in heights.items():
        label, color = escape_controls(curves[i].label, "figure"), color_of(curves[i])
        axes.annotate(label, (1.0, height), xycoords="axes fraction", va="center", color=color, annotation_clip=False)
    drawn = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    labels = [mark.label for mark in panel.marks if isinstance(mark, Level | Band | Intervals | Labels)]
    labels = [curve.label for i, curve in enumerate(curves) if i not in heights] + labels
    named = [label for label in map(legend_label, labels) if label in drawn]
    if named:
        axes.legend([drawn[name] for name in named], named, **_place_legend(axes, panel, len(named)))


def _place_legend(axes: Any, panel: Panel, labels: int) -> dict[str, Any]:
    """Return where the legend is: beside a panel if it is long, and else where there is space.

    matplotlib's search for space tries each cell, which takes seconds: over cells the legend is in the emptiest corner.
    """
    if labels > _MAX_INSIDE or panel.rows:
        return {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False}
    if not any(isinstance(mark, Cells) for mark in panel.marks):
        return {"frameon": False}
    from squarely.show.placement import cell_centers, emptiest_corner  # it loads NumPy, which --help does without

    lines = [mark for mark in panel.marks if isinstance(mark, Curve | Labels)]
    centers = [cell_centers(mark) for mark in panel.marks if isinstance(mark, Cells)]
    is_rising = any(mark.y[0] < mark.y[-1] for mark in lines if isinstance(mark, Curve) and not mark.dashed)
    corners = ("upper left", "upper right") if is_rising else ("upper right", "upper left")
    corner = emptiest_corner(axes, [(mark.x, mark.y) for mark in lines], centers, [*corners, "lower right", "lower left"])
    return {"loc": corner, "framealpha": 0.75, "edgecolor": "none"}


def _place_labels(axes: Any, curves: Sequence[Curve]) -> dict[int, float]:
    """Return the heights of labels, as parts of the panel, by the position of curves that end in it; none if they need a legend."""
    to_panel = axes.transData + axes.transAxes.inverted()
    ends = {i: to_panel.transform((c.x[-1], c.y[-1])) for i, c in enumerate(curves) if not (c.dashed or c.dots)}
    inside = sorted((end[1], i) for i, end in ends.items() if all(0.0 <= part <= 1.0 for part in end))
    heights: dict[int, float] = {}
    lowest = 0.0
    for end, i in inside:
        heights[i] = max(end, lowest)
        lowest = heights[i] + _LABEL_HEIGHT
    fits = all(heights[i] - end <= _MAX_SHIFT * _LABEL_HEIGHT for end, i in inside)
    return heights if fits else {}
