"""Lines of a CSV file that end in one delimiter too many, which DuckDB takes off in silence.

A line such as 1,250,53, under a header of three names may be 1,250 and 53 as well as 1, 250 and 53. Where every line ends so, the
program that wrote the file adds a delimiter to each, which means nothing.

Bytes are counted, block by block, which costs a few percent of reading the file; only where the counts do not fit are rows looked
at one by one.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import numpy as np

_QUOTE, _RETURN, _FEED = b'"\r\n'
_WORD = 64  # bits


class LineEnds:
    """How the lines of a file end: whether each, but perhaps the header's, has one empty field more than there are columns."""

    def __init__(self, lines: Callable[[], IO[str]], delimiter: str, fields: int, header: int) -> None:
        """Look at the first row; `fields` are the columns, and the line of the header has so many in itself."""
        self._open_lines, self._delimiter, self.fields, self._header_fields = lines, delimiter, fields, header
        self.has_extra_field = False  # until the first row tells
        try:
            with lines() as file:
                first = next((row for row in itertools.islice(self._csv_reader(file), 1, None) if row), None)
        except csv.Error:  # a field is longer than Python reads
            first = None
        self.has_extra_field = first is not None and self._is_extra(first)

    def _csv_reader(self, file: Iterable[str]) -> Any:
        return csv.reader(file, delimiter=self._delimiter, skipinitialspace=self._delimiter != " ")

    def _is_extra(self, row: list[str]) -> bool:
        return len(row) == self.fields + 1 and not row[-1]

    def find_other_line(self, pieces: Iterable[bytes]) -> tuple[int, int] | None:
        """Give the number of the first line that does not end as the first row does, and of its fields; None without one."""
        if len(self._delimiter.encode()) != 1:
            return self._find_other_row()
        inside = False  # of quotes, at the beginning of a block
        for number, (block, line_end) in enumerate(_iter_blocks(pieces)):
            alike, inside = self._check_counts(block, line_end, inside, first=number == 0)
            if not alike:
                return self._find_other_row()
        return None

    def _check_counts(self, block: bytes, line_end: bytes, inside: bool, *, first: bool) -> tuple[bool, bool]:
        """Tell whether the delimiters and line ends of a block are those of lines that end alike, and whether it ends in quotes."""
        signs, width = np.frombuffer(block, dtype=np.uint8), len(line_end)
        if not self.has_extra_field and not _has_pair(block, self._delimiter.encode() + line_end[:1]):
            return True, inside ^ (b'"' in block and bool(np.count_nonzero(signs == _QUOTE) % 2))
        is_mark, is_end = signs == ord(self._delimiter), signs == line_end[-1]
        ended = int(np.count_nonzero(is_mark[:-width] & is_end[width:]))
        if inside or b'"' in block:
            outside, inside = _mask_outside_quotes(signs, inside)
            is_mark &= outside
            is_end &= outside
            ended = int(np.count_nonzero(is_mark[:-width] & is_end[width:]))
        blank = int(np.count_nonzero(is_end[:-width] & is_end[width:])) + block.startswith(line_end)
        lines = int(np.count_nonzero(is_end)) - blank
        each = self.fields if self.has_extra_field else self.fields - 1
        of_header = self._header_fields - 1 if first else each
        fits = int(np.count_nonzero(is_mark)) == each * lines + of_header - each
        return fits and (not self.has_extra_field or ended == lines - (of_header < each)), inside

    def _find_other_row(self) -> tuple[int, int] | None:
        """Go through all rows one by one."""
        try:
            with self._open_lines() as file:
                reader = self._csv_reader(file)
                next(reader, None)
                for row in reader:
                    if row and self._is_extra(row) != self.has_extra_field:
                        return reader.line_num, len(row)
        except csv.Error:
            return None
        return None


def _has_pair(block: bytes, pair: bytes) -> bool:
    """Tell whether two bytes follow each other somewhere, by words of two bytes: `in` is slow for bytes that are frequent."""
    word = int.from_bytes(pair, "little")
    if len(block) < 3:
        return pair in block
    return any((np.frombuffer(block, "<u2", (len(block) - first) // 2, first) == word).any() for first in (0, 1))


def _mask_outside_quotes(signs: np.ndarray, inside: bool) -> tuple[np.ndarray, bool]:
    """Tell which signs are in no quotes, and whether the last one is in some: by the parity of the quotes so far, in words of bits.

    Source: Langdale and Lemire (2019), Parsing gigabytes of JSON per second, doi:10.1007/s00778-019-00578-5, section 3.1.1.
    """
    quotes = np.zeros(-(-len(signs) // _WORD) * _WORD // 8, dtype=np.uint8)
    packed = np.packbits(signs == _QUOTE, bitorder="little")
    quotes[: len(packed)] = packed
    words = quotes.view("<u8")
    for shift in (1, 2, 4, 8, 16, 32):
        words ^= words << np.uint64(shift)
    before = np.bitwise_xor.accumulate(words >> np.uint64(_WORD - 1)) ^ np.uint64(inside)
    words ^= np.uint64(0) - np.concatenate([np.array([inside], dtype=np.uint64), before[:-1]])
    np.invert(words, out=words)
    return np.unpackbits(quotes, count=len(signs), bitorder="little").view(bool), bool(before[-1])


def _iter_blocks(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield whole lines, and what they end in."""
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
