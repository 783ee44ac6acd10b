"""The bytes and text of a CSV file: UTF-16, gzip, temporary copies, and signs that occur anywhere in it."""

from __future__ import annotations

import codecs
import gzip
import os
import re
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from squarely.data.files.local_file import LocalFile
from squarely.errors import DataError

PATTERN_SIGNS = re.compile(r"[*?[]")
_PIECE, _GZIP_PIECE = 2**20, 2**22  # bytes


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class CsvText:
    """The text at `path` that DuckDB reads: the user's `file`, or a copy of it; `is_gzip` is about the text."""

    file: LocalFile
    path: Path
    is_gzip: bool

    @classmethod
    def make_copy(cls, file: LocalFile, *, is_gzip: bool) -> CsvText:
        """Make an empty file for a copy of a file's text; it is deleted when the object is."""
        descriptor, name = tempfile.mkstemp(prefix="squarely-", suffix=".csv")
        os.close(descriptor)
        copy = cls(file, Path(name).resolve(), is_gzip)
        weakref.finalize(copy, copy.path.unlink, missing_ok=True)
        return copy

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


def copy_as_utf8(file: LocalFile) -> CsvText | None:
    """Copy UTF-16 text as UTF-8; return None if the file does not begin with a byte order mark of UTF-16."""
    try:
        with file.reading("CSV"), gzip.open(file.path) if file.is_gzip else file.path.open("rb") as opened:
            mark = opened.read(2)
            if mark not in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
                return None
            decoder = codecs.getincrementaldecoder("utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-16-be")()
            copy = CsvText.make_copy(file, is_gzip=False)
            with copy.path.open("wb") as out:
                while piece := opened.read(_PIECE):
                    out.write(decoder.decode(piece).encode())
                out.write(decoder.decode(b"", final=True).encode())
    except UnicodeError as error:
        raise DataError(
            f"The file {file.label!r} begins as UTF-16 text but is not UTF-16 to its end ({error}). Save it as UTF-8 text."
        ) from error
    return copy


def read_gzip(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield the decompressed bytes in pieces, each with the place in the file where the last complete member ends.

    Checksums and lengths are checked, which DuckDB does not. Zeros behind a member are ignored, as gzip does. Other bytes
    there, and a damaged or shortened file, are an EOFError or zlib.error.
    """
    end = 0
    with path.open("rb") as file:
        stream, rest, inside = zlib.decompressobj(wbits=31), b"", False
        while piece := rest or file.read(_GZIP_PIECE):
            if not inside:
                piece = piece.lstrip(b"\0") if end else piece
                rest = b""
                if not piece:
                    continue
                stream, inside = zlib.decompressobj(wbits=31), True
            text = stream.decompress(piece, _GZIP_PIECE)
            rest = stream.unconsumed_tail
            if stream.eof:
                rest, inside = stream.unused_data, False
                end = file.tell() - len(rest)
            yield text, end
        if inside:
            raise EOFError("it ends before the end of its gzip stream")


def strip_padding(file: LocalFile) -> CsvText | None:
    """Copy a gzipped file without the zeros behind its last member, which DuckDB refuses; return None for any other file."""
    if not file.is_gzip:
        return None
    with file.reading("CSV"), file.path.open("rb") as padded:
        size = padded.seek(0, 2)
        padded.seek(-1, 2)
        if padded.read(1) != b"\0":
            return None  # a member of less than 16 MiB itself ends in a zero, so its end must be found
        end = max(place for _, place in read_gzip(file.path))
        if end == size:
            return None
        copy = CsvText.make_copy(file, is_gzip=True)
        padded.seek(0)
        with copy.path.open("wb") as out:
            while piece := padded.read(min(_GZIP_PIECE, end - padded.tell())):
                out.write(piece)
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
