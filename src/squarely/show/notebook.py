"""Display results in a notebook."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def is_notebook() -> bool:
    """Return whether this code runs in the kernel of a notebook, which displays more than text."""
    return Console().is_jupyter


def display(item: Any) -> None:
    """Display an object below the cell that runs."""
    from IPython.display import display as show

    show(item)
