"""Turn the errors of an engine into a DataError; the engine's own error is its cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from squarely.errors import DataError, SquarelyError


@contextmanager
def translate_errors(
    to_error: Callable[[Exception], DataError], caught: tuple[type[Exception], ...] = (Exception,)
) -> Iterator[None]:
    """Raise what `to_error` makes of an error; by default of any, because a user's own query runs here and may raise anything."""
    try:
        yield
    except SquarelyError:
        raise
    except caught as error:
        raise to_error(error) from error
