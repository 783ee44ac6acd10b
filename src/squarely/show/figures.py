"""Draw points and curves on panels with matplotlib, without a window and without the user's pyplot state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squarely.errors import MissingExtraError
from squarely.show.text import escape_controls

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = ("#0b6e99", "#d1495b", "#2e8b57", "#8a5fbf", "#c98a1b", "#5f6b76")  # distinguishable by the color-blind, also in print


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line through x, y (m,) in order, or dots. `color` is a position in COLORS; a dashed curve is black and on top."""

    x: Any
    y: Any
    label: str = ""
    color: int = 1
    dashed: bool = False
    dots: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes and its marks. The y axis ends at `top`, if it is a number."""

    title: str
    x_label: str
    y_label: str
    marks: Sequence[Curve]
    log_y: bool = False
    log_x: bool = False
    top: float | None = None


def draw(panels: Sequence[Panel]) -> Figure:
    """Draw panels side by side and return the matplotlib Figure."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("Drawing a figure", "matplotlib", "plots") from None
    figure = Figure(figsize=(6.4 * len(panels), 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_panel(axes, panel)
    return figure


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and SVG to `folder`, which is created if it does not exist, and return the two paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    for path in paths:
        figure.savefig(path, dpi=150)
    return paths


def _draw_panel(axes: Any, panel: Panel) -> None:
    for mark in panel.marks:
        label = escape_controls(mark.label, "figure") or None
        if mark.dots:
            axes.scatter(mark.x, mark.y, s=18, color=COLORS[mark.color], alpha=0.55, linewidths=0, label=label, zorder=2)
        elif mark.dashed:
            axes.plot(mark.x, mark.y, color="black", linewidth=1.1, linestyle=(0, (5, 4)), label=label, zorder=4)
        else:
            style = "-" if mark.color < len(COLORS) else (0, (1, 1))  # colors repeat, dotted
            color = COLORS[mark.color % len(COLORS)]
            axes.plot(mark.x, mark.y, color=color, linestyle=style, linewidth=2.2, label=label, zorder=3)
    title, x_label, y_label = (escape_controls(text, "figure") for text in (panel.title, panel.x_label, panel.y_label))
    x_scale, y_scale = ("log" if is_log else "linear" for is_log in (panel.log_x, panel.log_y))
    axes.set(title=title, xlabel=x_label, ylabel=y_label, xscale=x_scale, yscale=y_scale)
    if panel.top is not None:
        lowest = min((float(y) for mark in panel.marks for y in mark.y if y <= panel.top), default=0.0)
        axes.set_ylim(lowest - 0.05 * (panel.top - lowest), panel.top)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if any(mark.label for mark in panel.marks):
        axes.legend(frameon=False)
