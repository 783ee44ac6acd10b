"""Rows that can be read only once, from standard input, a pipe or an open file: copied, because a fit reads them several times."""

from __future__ import annotations

import os
import stat
import sys
from functools import cache
from pathlib import Path
from typing import Any

from squarely.data.files.local_file import LocalFile
from squarely.data.files.staging.temporary_copy import TemporaryCopy, read_pieces
from squarely.errors import DataError

STANDARD_INPUT = "-"


def copy_standard_input() -> LocalFile:
    """Copy standard input to a temporary file; a second call gives the same copy, as `certify` reads its data twice.

    Raises
    ------
    DataError : it is a terminal, closed or empty.
    """
    return _copy_stdin(sys.stdin)


@cache
def _copy_stdin(stream: Any) -> LocalFile:
    opened = getattr(stream, "buffer", None)
    if opened is None or stream.closed or stream.isatty():
        raise DataError(
            "'-' stands for standard input, and nothing is piped into it. Write < file after the command, or give a path."
        )
    return LocalFile.of_copy(TemporaryCopy(read_pieces(opened), "standard input"), "standard input", "")


def is_pipe(path: Path) -> bool:
    """Return whether a path is a pipe, as of <(command) in a shell, or a character device such as /dev/stdin on a terminal."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def copy_pipe(path: Path) -> LocalFile:
    """Copy what comes out of a pipe to a temporary file. A pipe without a name is empty then, and gives the same copy again."""
    target = os.path.realpath(path)
    if "/fd/pipe:[" in target:
        return _copy_nameless(target.rpartition("/")[2], path)
    return _copy_named(path)


@cache
def _copy_nameless(_: str, path: Path) -> LocalFile:
    return _copy_named(path)


def _copy_named(path: Path) -> LocalFile:
    try:
        with path.open("rb") as opened:
            if opened.isatty():
                raise DataError(f"{str(path)!r} is a terminal. Give the path of a file.")
            return LocalFile.of_copy(TemporaryCopy(read_pieces(opened), str(path)), str(path), path.name)
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read: {error.strerror or error}. Give the path of a file.") from error


def copy_open_file(opened: Any) -> LocalFile:
    """Copy an open file, or an object such as io.BytesIO, from its position on.

    Raises
    ------
    DataError : it is closed, not open for reading, or at its end.
    """
    name = getattr(opened, "name", "")
    label = f"the open file {os.path.basename(name)!r}" if isinstance(name, str) and name else "the open file"
    try:
        copy = TemporaryCopy(read_pieces(opened), label)
    except DataError:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{label} cannot be read: {error}. Open it with open(path, 'rb'), or give its path.") from error
    if copy.path.stat().st_size == 0:
        raise DataError(f"{label} has nothing behind its position. Go back with seek(0) if it was read before, or give its path.")
    return LocalFile.of_copy(copy, label, os.path.basename(name) if isinstance(name, str) else "")
