"""A matplotlib Figure that a notebook and a terminal can show, although pyplot does not manage it."""

from __future__ import annotations

import io
import os
import warnings
from typing import Any

import matplotlib as mpl
from matplotlib.backends import backend_registry
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as MatplotlibFigure

from squarely.errors import OptionError, short_traceback
from squarely.show.notebook import is_notebook, show_below_cell
from squarely.storage.disk import local_path, write_bytes


class Figure(MatplotlibFigure):
    """A matplotlib Figure outside pyplot: drawing one leaves the user's current figure and axes as they are.

    The last expression of a notebook cell appears as a picture. `save` writes a file, and `show` opens a window.
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        """Return the figure as PNG, which a notebook displays."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    @short_traceback
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the figure to a file whose name ends in .png, .svg, .pdf or another ending that matplotlib has.

        The file is complete or not written.

        Raises
        ------
        OptionError : the name has no such ending.
        DataError : the file cannot be written.
        """
        ending = require_figure_path(path)
        buffer = io.BytesIO()
        self.savefig(buffer, format=ending, dpi=150)
        write_bytes(path, buffer.getvalue())

    def show(self, warn: bool = True) -> None:
        """Display the figure in a notebook, or else open a window, as `matplotlib.pyplot.show` does.

        A script waits until the window is closed; in matplotlib's interactive mode it continues. Without a display there is no
        window: a warning says what to do, unless `warn` is False.
        """
        if is_notebook():
            show_below_cell(self)
            return
        name = mpl.get_backend()
        canvas = backend_registry.load_backend_module(name).FigureCanvas
        if canvas.required_interactive_framework is not None:
            _open_window(self, canvas)
        elif warn:
            warnings.warn(
                f"No window can open, because matplotlib's backend is {name!r}. Save the figure with .save('figure.png'), or "
                "use a notebook, where it appears below the cell.",
                stacklevel=2,
            )


def require_figure_path(path: str | os.PathLike[str]) -> str:
    """Return the ending of the name of a figure's file, or raise an OptionError if no figure can be written as that."""
    ending, endings = local_path(path).suffix.lower().removeprefix("."), FigureCanvasAgg.get_supported_filetypes()
    if ending not in endings:
        raise OptionError(
            f"A figure cannot be written to {os.fspath(path)!r}, because matplotlib has no format of that ending. Give a name that "
            "ends in .png, .svg or .pdf."
        )
    return ending


def _open_window(figure: Figure, canvas: Any) -> None:
    """Open a window for a figure, and, outside interactive mode, wait until it is closed.

    A backend waits until pyplot has no open figure. Meanwhile pyplot therefore has this figure alone, and then those of before.
    """
    from matplotlib._pylab_helpers import Gcf

    others = dict(Gcf.figs)
    manager = canvas.new_manager(figure, 1)
    manager.set_window_title("squarely")
    if mpl.is_interactive():
        manager.show()
        return
    Gcf.figs.clear()
    Gcf.set_active(manager)
    try:
        manager.show()
        manager.start_main_loop()
    finally:
        if manager in Gcf.figs.values():
            Gcf.destroy(manager)
        Gcf.figs.clear()
        Gcf.figs.update(others)
        FigureCanvasAgg(figure)
