"""One pass over all bytes of a CSV file: what DuckDB does not check, and which signs occur at all."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from squarely.data.files.csv.text.byte_search import ByteSearch
from squarely.data.files.csv.text.csv_text import CsvText, iter_pieces, read_gzip
from squarely.data.files.csv.text.line_ends import LineEnds
from squarely.data.files.csv.text.text_pipe import open_pipe
from squarely.errors import DataError, pluralize

_HEAD = 2**17  # characters
_WORD = re.compile(r"(?![iInN])[^\W\d_]")  # not inf or nan
_PIECE = 2**18  # bytes: what fits into a cache is counted faster


def iter_bytes(text: CsvText) -> Iterator[bytes]:
    """Yield the bytes of a text in pieces, decompressed; the checksums of gzip are checked."""
    if not text.is_gzip:
        return iter_pieces(text.path, _PIECE)
    return (large[i : i + _PIECE] for large, _ in read_gzip(text.path) for i in range(0, len(large), _PIECE))


def find_text_columns(text: CsvText, delimiter: str, nulls: Sequence[str]) -> frozenset[int]:
    """Return the places of columns that have a word among the first rows: whatever follows, they are not numbers."""
    rows, words = [*text.iter_first_rows(delimiter, _HEAD)][int(text.has_header) : -1], set(nulls)
    return frozenset(i for row in rows for i, value in enumerate(row) if _WORD.match(value) and value not in words)


class TextCheck:
    """The line ends, checksums and signs of a text, which are checked once.

    Attributes
    ----------
    found : which of the texts that were sought occur; None before the check.
    longest_line : bytes of the longest line, if it is longer than a piece.
    """

    def __init__(self, text: CsvText, line_ends: LineEnds, sought: Sequence[str]) -> None:
        self._text, self._line_ends, self._sought = text, line_ends, sought
        self.found: tuple[str, ...] | None = None
        self.longest_line = 0

    def run(self) -> None:
        """Check the text, unless this was done; raise a DataError if lines end in different ways, or the file is damaged."""
        if self.found is not None:
            return
        search = self._new_search()
        with self._text.file.reading("CSV"):
            other = self._find_other_line(search.watch(iter_bytes(self._text)))
        if other is not None:
            raise self._uneven_line_error(*other)
        self.found, self.longest_line = search.found, search.longest_line

    @contextmanager
    def pipe(self, stops: Sequence[str] = ()) -> Iterator[str]:
        """Yield the path of a pipe with the decompressed text, up to the first piece in which one of `stops` was found.

        The text is checked meanwhile: `found` stays None unless all of it was written, and passes.
        """
        search = self._new_search()
        pieces = itertools.takewhile(lambda _: not set(stops) & set(search.found), search.watch(iter_bytes(self._text)))
        with open_pipe(pieces, self._find_other_line) as (path, others):
            yield path
        if others == [None] and not set(stops) & set(search.found):
            self.found, self.longest_line = search.found, search.longest_line

    def _new_search(self) -> ByteSearch:
        return ByteSearch(self._sought, has_header=self._text.has_header)

    def _find_other_line(self, pieces: Iterator[bytes]) -> tuple[int, int] | None:
        """Return the first line that ends in another way, its number and its fields; read all pieces."""
        other = self._line_ends.find_other_line(pieces)
        for _ in pieces:
            pass
        return other

    def _uneven_line_error(self, line: int, count: int) -> DataError:
        extra, fields = self._line_ends.has_extra_field, self._line_ends.fields
        before = f"the {'header' if self._text.has_header else 'first line'} has {fields:,}"
        others = f"the lines before it have {fields + 1:,}" if extra else before
        advice = ". Correct that line"
        if count > fields:
            advice = ": a value may contain the delimiter, as in 1,250. Put such a value in quotes, or let all lines end alike"
        return DataError(
            f"Line {self._text.find_line(line):,} of {self._text.file.label} has {pluralize(count, 'field')}, and {others}{advice}."
        )
