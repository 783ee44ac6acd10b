"""Lines of a CSV file that end in an extra delimiter, which DuckDB drops silently.

Under a header of three names, the line 1,250,53, may be 1,250 and 53, or 1, 250 and 53. If every line ends in a delimiter, the
program that wrote the file adds it, and it means nothing.

The delimiters are counted block by block, which costs a few percent of reading the file. Only if the counts do not fit are rows
parsed one by one.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import IO, Any

import numpy as np

from squarely.data.files.csv.text.byte_search import has_pair

_RETURN = ord("\r")
_WORD = 64  # bits


class LineEnds:
    """Whether each line of a file, except perhaps the header, has one extra empty field at its end."""

    def __init__(self, lines: Callable[[], IO[str]], delimiter: str, fields: int, header: int | None, quote: str = '"') -> None:
        """Parse the first row with a value; `fields` counts the columns, and `header` the fields in the header line, if any."""
        self._open_lines, self._delimiter, self.fields, self._header_fields = lines, delimiter, fields, header
        self._quote = quote
        first = None
        with suppress(csv.Error), lines() as file:  # a field may be longer than Python reads
            first = next((row for row in self._iter_rows(self._csv_reader(file)) if any(row)), None)
        self.has_extra_field = first is not None and self._is_extra(first)

    def _csv_reader(self, file: Iterable[str]) -> Any:
        return csv.reader(file, delimiter=self._delimiter, quotechar=self._quote, skipinitialspace=self._delimiter != " ")

    def _iter_rows(self, reader: Iterator[list[str]]) -> Iterator[list[str]]:
        return itertools.islice(reader, 0 if self._header_fields is None else 1, None)

    def _is_extra(self, row: list[str]) -> bool:
        return len(row) == self.fields + 1 and not row[-1]

    def find_other_line(self, pieces: Iterable[bytes]) -> tuple[int, int] | None:
        """Return the first line that does not end as the first row does: its number, and that of its fields; None without one."""
        if len(self._delimiter.encode()) != 1:
            return self._find_other_row()
        inside = False  # of quotes, at the beginning of a block
        for number, (block, line_end) in enumerate(_iter_blocks(pieces)):
            is_uniform, inside = self._check_counts(block, line_end, inside, first=number == 0)
            if not is_uniform:
                return self._find_other_row()
        return None

    def _check_counts(self, block: bytes, line_end: bytes, inside: bool, *, first: bool) -> tuple[bool, bool]:
        """Return whether the counts of a block are those of lines that end alike, and whether the block ends in quotes."""
        signs, width, quote = np.frombuffer(block, dtype=np.uint8), len(line_end), self._quote.encode()
        if not self.has_extra_field and not has_pair(block, self._delimiter.encode() + line_end[:1]):
            return True, inside ^ (quote in block and bool(np.count_nonzero(signs == quote[0]) % 2))
        is_mark, is_end = signs == ord(self._delimiter), signs == line_end[-1]
        if inside or quote in block:
            outside, inside = _mask_outside_quotes(signs == quote[0], inside)
            is_mark &= outside
            is_end &= outside
        ended = int(np.count_nonzero(is_mark[:-width] & is_end[width:]))
        blank = int(np.count_nonzero(is_end[:-width] & is_end[width:])) + block.startswith(line_end)
        lines = int(np.count_nonzero(is_end)) - blank
        each = self.fields if self.has_extra_field else self.fields - 1
        of_header = self._header_fields - 1 if first and self._header_fields is not None else each
        fits = int(np.count_nonzero(is_mark)) == each * lines + of_header - each
        return fits and (not self.has_extra_field or ended == lines - (of_header < each)), inside

    def _find_other_row(self) -> tuple[int, int] | None:
        """Parse all rows one by one."""
        with suppress(csv.Error), self._open_lines() as file:
            reader = self._csv_reader(file)
            others = (row for row in self._iter_rows(reader) if row and self._is_extra(row) != self.has_extra_field)
            return next(((reader.line_num, len(row)) for row in others), None)
        return None


def _mask_outside_quotes(is_quote: np.ndarray, inside: bool) -> tuple[np.ndarray, bool]:
    """Return which signs are outside quotes, and whether the last is inside: by the parity of the quotes so far, in words of bits.

    Source: Langdale and Lemire (2019), Parsing gigabytes of JSON per second, doi:10.1007/s00778-019-00578-5, section 3.1.1.
    """
    quotes = np.zeros(-(-len(is_quote) // _WORD) * _WORD // 8, dtype=np.uint8)
    packed = np.packbits(is_quote, bitorder="little")
    quotes[: len(packed)] = packed
    words = quotes.view("<u8")
    for shift in (1, 2, 4, 8, 16, 32):
        words ^= words << np.uint64(shift)
    before = np.bitwise_xor.accumulate(words >> np.uint64(_WORD - 1)) ^ np.uint64(inside)
    words ^= np.uint64(0) - np.concatenate([np.array([inside], dtype=np.uint64), before[:-1]])
    np.invert(words, out=words)
    return np.unpackbits(quotes, count=len(is_quote), bitorder="little").view(bool), bool(before[-1])


def _iter_blocks(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield whole lines, and their line end."""
    rest, line_end = b"", b""
    for piece in pieces:
        block = rest + piece
        line_end = line_end or _find_line_end(block)
        cut = block.rfind(line_end) + len(line_end) if line_end in block else 0
        rest = block[cut:]
        if cut:
            yield block[:cut], line_end
    if rest:
        line_end = line_end or b"\n"
        yield rest + line_end, line_end


def _find_line_end(block: bytes) -> bytes:
    if b"\n" not in block:
        return b"\r" if b"\r" in block else b"\n"
    return b"\r\n" if block[block.index(b"\n") - 1] == _RETURN else b"\n"
