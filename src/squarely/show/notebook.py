"""Display results below the cell of a notebook."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def is_notebook() -> bool:
    """Return whether this code runs in the kernel of a notebook, which displays more than text."""
    return Console().is_jupyter


def show_below_cell(item: Any) -> None:
    """Display an object below the cell that runs."""
    from IPython.display import display

    display(item)


class Output:
    """A place below the cell, whose text and HTML can change."""

    def __init__(self) -> None:
        self._handle: Any = None

    def update(self, text: str, html: str) -> None:
        """Show this in place of what was there."""
        from IPython.display import display

        forms = {"text/plain": text, "text/html": html}
        if self._handle is None:
            self._handle = display(forms, raw=True, display_id=True)
        else:
            self._handle.update(forms, raw=True)
