"""The bytes and text of a CSV file: encodings, gzip, temporary copies, and signs that occur anywhere in it."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from squarely.data.files.csv.text.line_filter import (
    REMOVED,
    Quotes,
    first_record,
    iter_lines,
    remove_comments,
    remove_first_blank_lines,
    skip_lines,
)
from squarely.data.files.local_file import LocalFile
from squarely.data.files.read_options import ReadOptions
from squarely.data.files.staging.temporary_copy import TemporaryCopy
from squarely.errors import DataError

PATTERN_SIGNS = re.compile(r"[*?[]")
_LINE_END = re.compile(r"\r\n|\r|\n")
_UTF8 = ("utf-8", "utf-8-sig", "ascii")
_PIECE, _GZIP_PIECE = 2**20, 2**22  # bytes


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class CsvText:
    """The text at `path` that DuckDB reads: the user's `file`, or a copy of it.

    Attributes
    ----------
    is_gzip : whether the text is gzipped.
    quotes : the sign around texts.
    has_header : whether the first line has names.
    copy : the temporary copy at `path`, which is deleted when nothing refers to it.
    header : the first line as the user's file has it, if this text has other line ends inside its quotes, else "".
    number_lines : function that yields the text of the user's file with `REMOVED` for each line that this text lacks.
    """

    file: LocalFile
    path: Path
    is_gzip: bool
    quotes: Quotes
    has_header: bool
    copy: TemporaryCopy | None = None
    header: str = ""
    number_lines: Callable[[], Iterator[str]] | None = None

    def make_copy(self, pieces: Iterable[str], **changes: Any) -> CsvText:
        """Return a copy with another text, of the user's file in UTF-8."""
        copy = TemporaryCopy((piece.encode("utf-8", "surrogateescape") for piece in pieces), self.file.label)
        return replace(self, path=copy.path, is_gzip=False, copy=copy, **changes)

    @property
    def pattern(self) -> str:
        """The path for DuckDB: a pattern that matches this path alone."""
        return PATTERN_SIGNS.sub(r"[\g<0>]", str(self.path))

    def open(self, errors: str = "replace") -> IO[str]:
        """Open the text, to find what the engine does not report."""
        return _open_text(self.path, "utf-8-sig", is_gzip=self.is_gzip, errors=errors)

    def read_head(self, size: int) -> str:
        """Return the first characters."""
        with self.file.reading("CSV"), self.open() as text:
            return text.read(size)

    def iter_first_rows(self, delimiter: str, size: int) -> Iterator[list[str]]:
        """Yield the rows of the first characters, up to one that Python's csv cannot parse; the last one may be cut."""
        head = io.StringIO(self.read_head(size), newline="")
        with suppress(csv.Error):  # a field may be longer than Python reads
            yield from csv.reader(head, delimiter=delimiter, quotechar=self.quotes.sign)

    def rewrite(self, change: Callable[[Iterator[str]], Iterator[str]], **changes: Any) -> CsvText:
        """Return a copy of the text that a function of its pieces has changed."""
        with self.file.reading("CSV"), self.open("surrogateescape") as text:
            return self.make_copy(change(iter(partial(text.read, _PIECE), "")), **changes)

    def find_line(self, line: int) -> int:
        """Return the number in the user's file of a line of this text; both count from 1."""
        if self.number_lines is None:
            return line
        left = line
        for number, each in enumerate(iter_lines(self.number_lines()), start=1):
            left -= each != REMOVED
            if not left:
                return number
        return line

    def list_removed_lines(self, before: int) -> list[int]:
        """Return the numbers of the lines before one of the user's file that this text lacks."""
        lines = enumerate(iter_lines(self.number_lines()) if self.number_lines else (), start=1)
        return [number for number, each in itertools.islice(lines, before - 1) if each == REMOVED]


def _open_text(path: Path, encoding: str, *, is_gzip: bool, errors: str) -> IO[str]:
    opened = gzip.open if is_gzip else open
    return opened(path, "rt", encoding=encoding, errors=errors, newline="")


def iter_pieces(path: Path, size: int = _PIECE) -> Iterator[bytes]:
    """Yield the bytes of a file in pieces."""
    with path.open("rb") as file:
        while piece := file.read(size):
            yield piece


def open_text(file: LocalFile, options: ReadOptions) -> tuple[CsvText, str]:
    """Return the text of a file, and the encoding of the file; a copy in UTF-8 if DuckDB cannot read the file itself.

    The copy lacks the lines that `options` skips, and comments.
    """
    quotes = Quotes(options.quote or '"', _delimiters_before_quotes(options.delimiter))
    text = CsvText(file, file.path, file.is_gzip, quotes, options.has_header)
    encoding = options.encoding or ("utf-16" if _has_utf16_mark(text) else "utf-8")
    is_utf8 = encoding in _UTF8
    if options.skip_rows or options.comment or not is_utf8:
        try:
            with file.reading("CSV"):
                text = text.make_copy(
                    _iter_filtered(text, encoding, options), number_lines=partial(_iter_filtered, text, encoding, options, REMOVED)
                )
        except UnicodeError as error:
            raise _encoding_error(file, encoding, options, error) from error
    elif padded := strip_padding(text):
        text = padded
    record, end = first_record(text.read_head(_PIECE), quotes)
    if set(_LINE_END.findall(record)) - {end}:  # DuckDB finds no line end there
        header = _LINE_END.sub(end, record)
        text = text.rewrite(lambda pieces: _replace_start(pieces, len(record), header), header=record)
    return text, encoding


def _delimiters_before_quotes(delimiter: str | None) -> str:
    return Quotes().delimiters if delimiter is None else " \t" if delimiter == "whitespace" else delimiter


def _has_utf16_mark(text: CsvText) -> bool:
    with text.file.reading("CSV"), text.file.open_content() as opened:
        return opened.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}


def _iter_filtered(text: CsvText, encoding: str, options: ReadOptions, removed: str = "") -> Iterator[str]:
    """Yield the text of a user's file in pieces, without skipped lines and comments; bytes that are not UTF-8 stay."""
    errors = "surrogateescape" if encoding in _UTF8 else "strict"
    name = "utf-8-sig" if encoding in _UTF8 else encoding
    with _open_text(text.path, name, is_gzip=text.is_gzip, errors=errors) as opened:
        pieces = skip_lines(opened, options.skip_rows or 0, removed)
        if options.comment:
            pieces = remove_comments(pieces, options.comment, text.quotes, removed)
        yield from remove_first_blank_lines(pieces, removed) if options.skip_rows or options.comment else pieces


def _encoding_error(file: LocalFile, encoding: str, options: ReadOptions, error: UnicodeError) -> DataError:
    if options.encoding:
        return DataError(
            f"The file {file.label!r} is not encoded in {encoding!r} ({error}). Give its own encoding, or save it as UTF-8."
        )
    return DataError(
        f"The file {file.label!r} begins as UTF-16 text but is not UTF-16 to its end ({error}). Save it as UTF-8 text."
    )


def _replace_start(pieces: Iterator[str], size: int, start: str) -> Iterator[str]:
    yield start
    for piece in pieces:
        yield piece[size:]
        size = max(size - len(piece), 0)


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


def strip_padding(text: CsvText) -> CsvText | None:
    """Copy a gzipped file without the zeros behind its last member, which DuckDB refuses; return None for any other file."""
    file = text.file
    if not text.is_gzip:
        return None
    with file.reading("CSV"), file.path.open("rb") as padded:
        size = padded.seek(0, 2)
        padded.seek(-1, 2)
        if padded.read(1) != b"\0":
            return None  # a member of less than 16 MiB itself ends in a zero, so its end must be found
        end = max(place for _, place in read_gzip(file.path))
        if end == size:
            return None
        padded.seek(0)
        copy = TemporaryCopy(iter(lambda: padded.read(min(_GZIP_PIECE, end - padded.tell())), b""), file.label)
    return replace(text, path=copy.path, copy=copy)
