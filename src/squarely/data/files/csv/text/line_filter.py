"""Remove from a text the lines and signs that are not data: skipped lines, comments, blanks between values.

Texts come and go in pieces, so that memory does not grow with the file. A quoted text may hold line ends, delimiters and comment
signs; quotes count at the beginning of a field only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

REMOVED = "\0\n"  # stands for a removed line while line numbers are counted
_PIECE = 2**20  # characters
_LONGEST_RECORD = 2**25
_BLANK_LINES = re.compile(r"(?:[ \t\0]*(?:\r\n|\r|\n))*")


@dataclass(frozen=True, slots=True)
class Quotes:
    """The sign around texts, and the signs that may be the delimiter before it."""

    sign: str = '"'
    delimiters: str = ",;\t| "

    @property
    def field(self) -> str:
        """A pattern of a quoted field, or of the beginning of one that a text does not hold to its end."""
        sign, before = re.escape(self.sign), re.escape(self.delimiters)
        blanks = "" if " " in self.delimiters else "[ ]*"
        return rf"(?P<field>(?:(?<=[\r\n{before}])|\A){blanks}{sign}[^{sign}]*(?:{sign}{sign}[^{sign}]*)*(?:{sign}|\Z))"


def skip_lines(text: IO[str], skip: int | tuple[int, ...], removed: str = "") -> Iterator[str]:
    """Yield a text in pieces without some of its lines: the first ones, or those with some numbers, counted from 1."""
    numbers = range(1, skip + 1) if isinstance(skip, int) else skip
    for number in range(1, max(numbers, default=0) + 1):
        line = text.readline()
        if number not in numbers:
            yield line
        elif line:
            yield removed
    while piece := text.read(_PIECE):
        yield piece


def remove_comments(pieces: Iterable[str], comment: str, quotes: Quotes, removed: str = "") -> Iterator[str]:
    r"""Yield a text without comments, and without the lines that have nothing else.

    >>> "".join(remove_comments(["# a\nx,y\n1,'#'\n2,3 # b\n"], "#", Quotes("'")))
    "x,y\n1,'#'\n2,3\n"
    """
    sign = re.escape(comment)
    line = rf"(?P<line>(?:(?<=[\r\n])|\A)[ \t]*{sign}[^\r\n]*(?:\r\n|\r|\n|\Z))"
    pattern = re.compile(rf"{quotes.field}|{line}|[ ]*{sign}[^\r\n]*")

    def replace(match: re.Match[str]) -> str:
        return match[0] if match.lastgroup == "field" else removed if match.lastgroup == "line" else ""

    for block in _cut_between_records(pieces, quotes):
        yield pattern.sub(replace, block) if comment in block else block


def remove_first_blank_lines(pieces: Iterable[str], removed: str = "") -> Iterator[str]:
    """Yield a text without a byte order mark and the blank lines before its first line."""
    is_first = True
    for piece in pieces:
        if is_first:
            text = piece.removeprefix("\ufeff")
            blank = _BLANK_LINES.match(text)[0]  # type: ignore[index]  # it matches the empty text
            yield removed * len(re.findall(r"\r\n|\r|\n", blank))
            piece = text[len(blank) :]
            is_first = not piece.strip(" \t")
        yield piece


def squeeze_blanks(pieces: Iterable[str], quotes: Quotes) -> Iterator[str]:
    r"""Yield a text with a tab for each run of blanks and tabs between values, and none around lines.

    >>> "".join(squeeze_blanks([" x   y\n 1 \t'a b' \n"], Quotes("'", " \t")))
    "x\ty\n1\t'a b'\n"
    """
    pattern = re.compile(quotes.field)
    for block in _cut_between_records(pieces, quotes):
        parts = pattern.split(block.strip(" \t")) if quotes.sign in block else [block.strip(" \t")]
        yield "".join(_squeeze(part) if i % 2 == 0 else part for i, part in enumerate(parts))


def _squeeze(text: str) -> str:
    """Do as `squeeze_blanks` for a text without quotes; `replace` is some ten times as fast as a pattern."""
    text = text.replace("\t", " ")
    while "  " in text:
        text = text.replace("  ", " ")
    for end in "\r\n":
        text = text.replace(f" {end}", end).replace(f"{end} ", end)
    return text.replace(" ", "\t")


def first_record(text: str, quotes: Quotes) -> tuple[str, str]:
    r"""Return the first record of a text with its line end, and the line end; both are empty if the text does not hold one.

    >>> first_record("'a\nb',c\r\n1,2\r\n", Quotes("'"))
    ("'a\nb',c\r\n", '\r\n')
    """
    for match in re.finditer(rf"{quotes.field}|\r\n|\r|\n", text):
        if match.lastgroup != "field":
            return text[: match.end()], match[0]
    return "", ""


def whole_records(text: str, quotes: Quotes) -> str:
    """Return the records of a text that it holds to their end."""
    return text[: _find_last_end(text, quotes)]


def iter_lines(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a text in pieces, each with its line end; the lines of a quoted text count, too."""
    rest = ""
    for piece in pieces:
        *lines, rest = re.split(r"(?<=\n)|(?<=\r)(?!\n|\Z)", rest + piece)
        yield from lines
    if rest:
        yield rest


def _cut_between_records(pieces: Iterable[str], quotes: Quotes) -> Iterator[str]:
    """Yield the text in blocks of whole records."""
    rest = ""
    for piece in pieces:
        block = rest + piece
        cut = len(block) if len(block) > _LONGEST_RECORD else _find_last_end(block, quotes)
        rest = block[cut:]
        if cut:
            yield block[:cut]
    if rest:
        yield rest


def _find_last_end(block: str, quotes: Quotes) -> int:
    """Return where the last whole record ends."""
    if quotes.sign not in block:
        return block.rfind("\n") + 1 or block.rfind("\r", 0, -1) + 1  # a feed may follow a last return
    ends = [match.end() for match in re.finditer(rf"{quotes.field}|\r\n|\r|\n", block) if match.lastgroup != "field"]
    is_split = bool(ends) and ends[-1] == len(block) and block[-1] == "\r"
    return (ends[-2] if len(ends) > 1 else 0) if is_split else ends[-1] if ends else 0
