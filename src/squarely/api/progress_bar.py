"""The progress bar: `data` reports how far a scan has come, and `show` draws it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from squarely.data import Scan, listen
from squarely.show import Stage, new_progress


@contextmanager
def progress() -> Iterator[None]:
    """Show how far each pass over the rows has come: its number and purpose, rows, rows per second, and the time left.

    Training shows its epochs, or the steps of its batches, with the last loss and validation loss. In a notebook the line is below
    the cell; elsewhere it is on stderr, and only if that is a terminal. It appears after a second, and is removed at the end.

    Examples
    --------
    >>> import squarely as sq
    >>> with progress():
    ...     fit = sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]})
    """
    line = new_progress()
    if line is None:
        yield
        return

    first_began = 0.0

    def listener(scan: Scan) -> None:
        nonlocal first_began
        if scan.is_over:
            line.end()
        elif scan.count:
            line.reach(scan.count)
        else:
            now = time.monotonic()
            first_began = now if scan.number == 1 else first_began
            stage = Stage(label=_label(scan), unit=scan.unit, count=0, total=scan.rows, seconds=0.0, values=scan.values)
            line.begin(stage, start_time=first_began if scan.number else now)

    try:
        with listen(listener):
            yield
    finally:
        line.end()


def _label(scan: Scan) -> str:
    if scan.number:
        return f"Pass {scan.number} of {scan.passes}: {scan.purpose}"
    return "Looking at rows" if scan.unit in ("rows", "partitions") else scan.purpose.capitalize()
