"""The bytes and text of a CSV file: UTF-16, temporary copies, and signs that occur anywhere in it."""

from __future__ import annotations

import codecs
import gzip
import os
import re
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from squarely.data.files.local_file import LocalFile
from squarely.errors import DataError

PATTERN_SIGNS = re.compile(r"[*?[]")
_PIECE = 2**20  # bytes


class TemporaryCopy:
    """A temporary file that is deleted when the object is."""

    def __init__(self) -> None:
        descriptor, name = tempfile.mkstemp(prefix="squarely-", suffix=".csv")
        os.close(descriptor)
        self.path = Path(name).resolve()
        weakref.finalize(self, self.path.unlink, missing_ok=True)


@dataclass(frozen=True, slots=True)
class CsvText:
    """The text that DuckDB reads: the user's file, or a copy of it.

    Attributes
    ----------
    file : the user's file.
    path : the path of the text.
    is_gzip : whether the text is gzipped.
    """

    file: LocalFile
    path: Path
    is_gzip: bool

    @property
    def pattern(self) -> str:
        """The path for DuckDB: a pattern that matches this path alone."""
        return PATTERN_SIGNS.sub(r"[\g<0>]", str(self.path))

    def open(self, errors: str = "replace") -> IO[str]:
        """Open the text, to find what the engine does not report."""
        if self.is_gzip:
            return gzip.open(self.path, "rt", encoding="utf-8-sig", errors=errors, newline="")
        return self.path.open(encoding="utf-8-sig", errors=errors, newline="")


def iter_pieces(path: Path, size: int = _PIECE) -> Iterator[bytes]:
    """Yield the bytes of a file in pieces."""
    with path.open("rb") as file:
        while piece := file.read(size):
            yield piece


def copy_as_utf8(file: LocalFile) -> TemporaryCopy | None:
    """Copy UTF-16 text as UTF-8; return None if the file does not begin with a byte order mark of UTF-16."""
    try:
        with file.reading("CSV"), gzip.open(file.path) if file.is_gzip else file.path.open("rb") as opened:
            mark = opened.read(2)
            if mark not in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
                return None
            decoder = codecs.getincrementaldecoder("utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-16-be")()
            copy = TemporaryCopy()
            with copy.path.open("wb") as out:
                while piece := opened.read(_PIECE):
                    out.write(decoder.decode(piece).encode())
                out.write(decoder.decode(b"", final=True).encode())
    except UnicodeError as error:
        raise DataError(
            f"The file {file.label!r} begins as UTF-16 text but is not UTF-16 to its end ({error}). Save it as UTF-8 text."
        ) from error
    return copy


def find_signs(path: Path, signs: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of some signs that occur anywhere below the first line of a file."""
    sought = [sign.encode() for sign in signs]  # one byte is found several times as fast as two
    found: set[bytes] = set()
    pieces = iter_pieces(path)
    before = b"".join(re.split(rb"[\r\n]", next(pieces, b""), maxsplit=1)[1:])  # column names are full of underscores
    while before:
        found |= {sign for sign in sought if sign[:1] in before and sign in before}
        before = before[-1:] + piece if len(found) < len(sought) and (piece := next(pieces, b"")) else b""
    return tuple(sign.decode() for sign in sought if sign in found)
