"""A file on this machine: what can be told before it is read, and whether it is still the same one at the next scan."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from squarely.errors import DataError
from squarely.storage.disk import plain_path, printable_name

_MOST_NAMES = 1000
# The first bytes of kinds of file, whatever their names say; a CSV file may well have a first column called PAR1.
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
    """Tell the kind of a file from its name, None where that says nothing.

    >>> named_kind("Cars.CSV.gz"), named_kind("part-0.parquet"), named_kind("notes.txt")
    ('CSV', 'Parquet', None)
    """
    return SUFFIXES.get(Path(name.lower().removesuffix(".gz")).suffix)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that is there and has something in it.

    Attributes
    ----------
    given_path : the path as it was given.
    path : where it is, links followed; a link to it where the engines cannot be told its name.
    stamp : device, number, size in bytes and time of the last change, as they were when it was opened.
    label : what messages call it.
    """

    given_path: Path
    path: Path
    stamp: tuple[int, int, int, int]
    label: str

    @classmethod
    def open(cls, path: Path, label: str | None = None) -> LocalFile:
        """Look at a file; messages call it by the name that it has in its folder, unless there is a label.

        Raises
        ------
        DataError : it does not exist, is no regular file, is empty or may not be read.
        """
        try:
            if not path.is_file():
                what = "is a folder" if path.is_dir() else "is not a regular file" if path.exists() else "does not exist"
                raise DataError(f"The file {str(path)!r} {what}. {_suggest_name(path)}")
            file = cls(path, plain_path(path.resolve()), _read_stamp(path), printable_name(label or path.name))
            file.head(1)
        except OSError as error:
            raise DataError(
                f"The file {str(path)!r} cannot be read: {error.strerror or error}. Check its name and rights."
            ) from error
        if file.stamp[2] == 0:
            raise DataError(f"The file {file.label!r} is empty (0 bytes). It needs the names of columns and rows under them.")
        return file

    @property
    def real_path(self) -> Path:
        """The path of the file itself, links followed, whatever its name is."""
        return self.given_path.resolve()

    def head(self, size: int) -> bytes:
        """Give the first bytes."""
        with self.path.open("rb") as file:
            return file.read(size)

    def detect_kind(self) -> str | None:
        """Tell the kind of a binary file from its first bytes, None where they say nothing."""
        head = self.head(16)
        return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)

    def require_unchanged(self) -> None:
        """Raise a DataError if the file is gone or is not the one that was opened."""
        try:
            now = _read_stamp(self.path)
        except OSError as error:
            raise DataError(
                f"The file {self.label!r} is not there any more ({error.strerror}), and its rows are needed again. "
                "Put it back and open it again."
            ) from error
        if now != self.stamp:
            raise DataError(
                f"The file {self.label!r} has changed since it was opened, so two scans would not see the same rows. "
                "Wait until it is complete and open it again."
            )


def _suggest_name(path: Path) -> str:
    """Say which file beside it has a name like the one that is missed, or what to give."""
    names = []
    if path.parent.is_dir() and not path.exists():
        names = [entry.name for entry in islice(path.parent.iterdir(), _MOST_NAMES) if entry.is_file()]
    near = get_close_matches(path.name, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else "Give the path of a CSV, Parquet, Arrow or JSON-lines file."


def _read_stamp(path: Path) -> tuple[int, int, int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
