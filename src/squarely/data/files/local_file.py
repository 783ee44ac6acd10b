"""A file on this machine, or a temporary copy of one: check that it stays the same from one scan to the next."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO

import pyarrow as pa

from squarely.data.files.file_kinds import HEAD, detect_kind
from squarely.data.files.staging.temporary_copy import TemporaryCopy
from squarely.errors import DataError, first_line, suggest_name
from squarely.storage.disk import plain_path, printable_name

_MOST_NAMES = 1000
_READ_ERRORS = (OSError, EOFError, zlib.error, pa.ArrowException)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A regular file that exists and is not empty.

    Attributes
    ----------
    given_path : the path that the user gave.
    path : the file's own path, links followed; a link to it if the engines do not accept its name.
    stamp : device, inode, size in bytes and time of the last change, as they were when the file was opened.
    label : the file's name in messages.
    name : the name that may tell the kind, such as that of a file in a zip file; empty for standard input.
    original : the file that `path` is a temporary copy of, None if there is no copy, or it is not of a file on this machine.
    copy : the temporary copy at `path`, which is deleted when nothing refers to it.
    compression : how the original is compressed, if `path` is a decompressed copy.
    notes : what the copy leaves out, for the summary.
    """

    given_path: Path
    path: Path
    stamp: tuple[int, int, int, int]
    label: str
    name: str = ""
    original: Path | None = None
    copy: TemporaryCopy | None = None
    compression: str | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, path: Path, label: str | None = None) -> LocalFile:
        """Record a file's stamp; raise a DataError if it does not exist, is not regular, is empty or cannot be read.

        The label is its name without folders, unless one is given.
        """
        try:
            if not path.is_file():
                what = "is a folder" if path.is_dir() else "is not a regular file" if path.exists() else "does not exist"
                raise DataError(f"The file {str(path)!r} {what}. {_suggest_name(path)}")
            file = cls(path, plain_path(path.resolve()), _read_stamp(path), printable_name(label or path.name), path.name)
            file.head(1)
        except OSError as error:
            raise DataError(
                f"The file {str(path)!r} cannot be read: {error.strerror or error}. Check its name and permissions."
            ) from error
        if file.stamp[2] == 0:
            raise DataError(f"The file {file.label!r} is empty (0 bytes). Give a file with column names and rows.")
        return file

    @classmethod
    def of_copy(cls, copy: TemporaryCopy, label: str, name: str) -> LocalFile:
        """Return the copy of rows that are not in a file on this machine; raise a DataError if it is empty."""
        file = cls(copy.path, copy.path, _read_stamp(copy.path), printable_name(label), name, copy=copy)
        if file.stamp[2] == 0:
            raise DataError(f"There are no bytes in {file.label}. Give a table with column names and rows.")
        return file

    def with_copy(self, copy: TemporaryCopy, compression: str, name: str, notes: tuple[str, ...] = ()) -> LocalFile:
        """Return the same file with its decompressed content as `path`; a change of the original is still noticed."""
        original = self.original or (self.path if self.copy is None else None)
        stamp = self.stamp if original else _read_stamp(copy.path)
        if copy.path.stat().st_size == 0:
            raise DataError(f"The file {self.label!r} is empty after decompression. Give a file with column names and rows.")
        changes = {"path": copy.path, "stamp": stamp, "original": original, "copy": copy, "compression": compression}
        return replace(self, **changes, name=name, notes=notes)  # type: ignore[arg-type]

    @property
    def real_path(self) -> Path:
        """The file's own path, links followed, whatever its name is."""
        return self.given_path.resolve()

    @property
    def is_gzip(self) -> bool:
        """Whether the content is gzipped, whatever the name says."""
        return self.head(2) == b"\x1f\x8b"

    def head(self, size: int) -> bytes:
        """Return the first bytes."""
        with self.path.open("rb") as file:
            return file.read(size)

    def open_content(self) -> IO[bytes]:
        """Open the content, decompressed if it is gzipped."""
        return gzip.open(self.path) if self.is_gzip else self.path.open("rb")  # type: ignore[return-value]

    def detect_kind(self) -> str | None:
        """Return the kind of a file by its first bytes, None if they say nothing."""
        return detect_kind(self.head(HEAD))

    def require_unchanged(self) -> None:
        """Raise a DataError if the file is not the one that was opened."""
        try:
            now = _read_stamp(self.original or self.path)
        except OSError as error:
            raise DataError(
                f"The file {self.label!r} no longer exists ({error.strerror}), and its rows are needed again. "
                "Restore it and open it again."
            ) from error
        if now != self.stamp:
            raise DataError(
                f"The file {self.label!r} has changed since it was opened, so two scans would read different rows. "
                "Wait until it is complete and open it again."
            )

    @contextmanager
    def reading(self, kind: str) -> Iterator[None]:
        """Check before and after a scan that the file is unchanged, and raise a DataError for a failure in between."""
        self.require_unchanged()
        try:
            yield
        except _READ_ERRORS as error:
            self.require_unchanged()
            raise DataError(
                f"The file {self.label!r} cannot be read as {kind}, because it is damaged or was cut short: {first_line(error)}. "
                "Write or copy it again."
            ) from error
        self.require_unchanged()


def _suggest_name(path: Path) -> str:
    """Suggest the file in the same folder whose name is nearest, or say what to give."""
    names = []
    if path.parent.is_dir() and not path.exists():
        names = [entry.name for entry in islice(path.parent.iterdir(), _MOST_NAMES) if entry.is_file()]
    return suggest_name(path.name, names, "Give the path of a CSV, Parquet, Arrow, JSON or Excel file.")


def _read_stamp(path: Path) -> tuple[int, int, int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
