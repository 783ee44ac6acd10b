"""The line of the user's code that is running."""

from __future__ import annotations

import linecache
import sys
import sysconfig
from functools import cache
from pathlib import Path

from squarely.checkup.findings import SourceLine

_OURS = str(Path(__file__).parents[2])
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


@cache
def is_user_file(file: str) -> bool:
    """Return whether a file belongs to the user: not to Python, an installed package, or this one."""
    if file.startswith("<ipython") or "ipykernel" in file:
        return "<ipython" in file or "/ipykernel_" in file  # a notebook's cell
    return not (file.startswith(("<", _OURS, *_LIBRARIES)) or "site-packages" in file or "dist-packages" in file)


def short_path(file: str) -> str:
    """Return the path of a file from the current folder, if it is in there."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else file


def user_line() -> SourceLine | None:
    """Return the innermost line of the user's code on the stack."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if is_user_file(file):
            text = linecache.getline(file, frame.f_lineno, frame.f_globals).strip()
            return SourceLine(file=file, line=frame.f_lineno, text=text)
        frame = frame.f_back  # type: ignore[assignment]
    return None
