"""A temporary copy on disk, which is deleted whatever happens."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from squarely.errors import DataError

_OPEN_FILES = "/proc/self/fd"  # Linux alone has it: a file without a name stays readable there until it is closed
_MAX_DESCRIPTOR = 256  # a process may usually open 1,024 files; a folder can have more
_FREE = 2**26  # bytes of the disk that are left to other programs
_PIECE = 2**20  # bytes
_CHECKED = 2**24  # bytes between two looks at the free space


class TemporaryCopy:
    """A file in the temporary folder with some bytes; `path` opens it.

    It is deleted with the object. Under Linux it has no name from the start, so that it is gone even if the process is killed.
    """

    __slots__ = ("__weakref__", "path")

    def __init__(self, pieces: Iterable[bytes], label: str) -> None:
        """Write the pieces; `label` names their source in the error for a full disk. Errors of the iterator pass through."""
        try:
            descriptor, name = tempfile.mkstemp(prefix="squarely-")
        except OSError as error:
            raise _disk_error(label, 0, error.strerror or str(error)) from error
        is_anonymous = descriptor < _MAX_DESCRIPTOR and os.path.exists(f"{_OPEN_FILES}/{descriptor}")
        if is_anonymous:
            os.unlink(name)
            self.path = Path(_OPEN_FILES, str(descriptor))
            weakref.finalize(self, os.close, descriptor)
        else:
            self.path = Path(name).resolve()
            weakref.finalize(self, _remove, self.path, os.getpid())
        try:
            _write(descriptor, pieces, label)
        finally:
            if not is_anonymous:
                os.close(descriptor)


def read_pieces(opened: Any) -> Iterator[bytes]:
    """Yield the content of an open file, or of an object with its method `read`, in pieces; text in UTF-8."""
    while piece := opened.read(_PIECE):
        yield piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else piece


def require_disk_space(size: int, label: str) -> None:
    """Raise a DataError if a temporary copy of so many bytes does not fit on the disk."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if size > free - _FREE:
        raise _disk_error(label, 0, f"it takes {size:,} bytes, and {free:,} are free")


def _write(descriptor: int, pieces: Iterable[bytes], label: str) -> None:
    written = checked = 0
    for piece in pieces:
        if written >= checked:
            if shutil.disk_usage(tempfile.gettempdir()).free < _FREE:
                raise _disk_error(label, written, "the disk is almost full")
            checked = written + _CHECKED
        try:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError as error:
            raise _disk_error(label, written, error.strerror or str(error)) from error
        written += len(piece)


def _disk_error(label: str, written: int, why: str) -> DataError:
    after = f" after {written:,} bytes" if written else ""
    return DataError(
        f"The temporary copy of {label!r} cannot be written to {tempfile.gettempdir()!r}{after}: {why}. Set the environment "
        "variable TMPDIR to a folder with enough space."
    )


def _remove(path: Path, process: int) -> None:
    if os.getpid() == process:  # a forked process has the object too
        path.unlink(missing_ok=True)
