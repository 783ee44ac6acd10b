"""Where scans meet the terminal: `data` tells how far they have come, `show` draws it, and neither knows of the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from squarely.data import Scan, watching
from squarely.show.progress import on_terminal  # of its own: few need it, and rich takes a while to import


@contextmanager
def progress() -> Iterator[None]:
    """Show how far each pass over the rows has come: which pass it is and what for, rows, rows a second, and the time left of it.

    The line is on stderr; it appears when the passes of one fit have taken a second, goes when they are done, and is there at
    all only where stderr is a terminal: a pipe, a file and a notebook get nothing.

    Examples
    --------
    >>> import squarely as sq
    >>> with progress():
    ...     fit = sq.ols("y ~ x", {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]})
    """
    line = on_terminal()
    if line is None:
        yield
        return

    since = 0.0

    def listener(scan: Scan) -> None:
        nonlocal since
        if scan.over:
            line.end()
        elif scan.done:
            line.reach(scan.done)
        else:
            now = time.monotonic()
            since = now if scan.number == 1 else since
            line.begin(_label(scan), unit=scan.unit, total=scan.rows, since=since if scan.number else now)

    with line, watching(listener):
        yield


def _label(scan: Scan) -> str:
    if scan.number:
        return f"Pass {scan.number} of {scan.passes}: {scan.purpose}"
    return "Looking at rows" if scan.unit in ("rows", "partitions") else scan.purpose.capitalize()
