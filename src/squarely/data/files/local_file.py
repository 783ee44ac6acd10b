"""A file on this machine: detect its kind, and check that it stays the same from one scan to the next."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

import pyarrow as pa

from squarely.errors import DataError, first_line
from squarely.storage.disk import plain_path, printable_name

_MOST_NAMES = 1000
_READ_ERRORS = (OSError, EOFError, zlib.error, pa.ArrowException)
# The first bytes of kinds of file, whatever their names are; a CSV file may well have a first column called PAR1.
_MAGIC = {
    b"PAR1\x15": "Parquet",
    b"ARROW1\0\0": "Arrow",
    b"\xff\xff\xff\xff": "Arrow",  # the stream format: a continuation marker
    b"FEA1\0": "Feather version 1",
    b"PK\x03\x04": "Excel or zip",
    b"\xd0\xcf\x11\xe0": "Excel",
    b"SQLite format 3\0": "SQLite",
}

# The endings of names, without a .gz behind them.
SUFFIXES = {
    ".parquet": "Parquet", ".pq": "Parquet",
    ".arrow": "Arrow", ".arrows": "Arrow", ".feather": "Arrow", ".ipc": "Arrow",
    ".jsonl": "JSON lines", ".ndjson": "JSON lines", ".json": "JSON lines",
    ".csv": "CSV", ".tsv": "CSV",
}  # fmt: skip


def named_kind(name: str) -> str | None:
    """Return the kind of file that a name says, None if the name says nothing.

    >>> named_kind("Cars.CSV.gz"), named_kind("part-0.parquet"), named_kind("notes.txt")
    ('CSV', 'Parquet', None)
    """
    return SUFFIXES.get(Path(name.lower().removesuffix(".gz")).suffix)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A regular file that exists and is not empty.

    Attributes
    ----------
    given_path : the path that the user gave.
    path : the file's own path, links followed; a link to it if the engines do not accept its name.
    stamp : device, inode, size in bytes and time of the last change, as they were when the file was opened.
    label : the file's name in messages.
    """

    given_path: Path
    path: Path
    stamp: tuple[int, int, int, int]
    label: str

    @classmethod
    def open(cls, path: Path, label: str | None = None) -> LocalFile:
        """Record a file's stamp; raise a DataError if it does not exist, is not regular, is empty or cannot be read.

        The label is its name without folders, unless one is given.
        """
        try:
            if not path.is_file():
                what = "is a folder" if path.is_dir() else "is not a regular file" if path.exists() else "does not exist"
                raise DataError(f"The file {str(path)!r} {what}. {_suggest_name(path)}")
            file = cls(path, plain_path(path.resolve()), _read_stamp(path), printable_name(label or path.name))
            file.head(1)
        except OSError as error:
            raise DataError(
                f"The file {str(path)!r} cannot be read: {error.strerror or error}. Check its name and permissions."
            ) from error
        if file.stamp[2] == 0:
            raise DataError(f"The file {file.label!r} is empty (0 bytes). Give a file with column names and rows.")
        return file

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

    def detect_kind(self) -> str | None:
        """Return the kind of a binary file by its first bytes, None if they say nothing."""
        head = self.head(16)
        return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)

    def require_unchanged(self) -> None:
        """Raise a DataError if the file is not the one that was opened."""
        try:
            now = _read_stamp(self.path)
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
    near = get_close_matches(path.name, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else "Give the path of a CSV, Parquet, Arrow or JSON-lines file."


def _read_stamp(path: Path) -> tuple[int, int, int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
