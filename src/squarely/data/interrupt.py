"""Ctrl-C while DuckDB works: its Python package turns the interrupt into an error of its own, and here it is turned back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise a KeyboardInterrupt where DuckDB says that its query was interrupted."""
    try:
        yield
    except RuntimeError as error:
        if "interrupted" in str(error).lower():
            raise KeyboardInterrupt from error
        raise
