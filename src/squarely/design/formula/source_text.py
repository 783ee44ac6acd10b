"""A formula as text: quoted pieces are masked for the parser, and errors point at their place."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from squarely.errors import FormulaError

Span = tuple[int, int]  # first character and the one after the last
_QUOTED_TEXT = re.compile(r"""`[^`]*`|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_WORD_BEFORE = re.compile(r"\w+\Z")
_FIRST_STAND_IN = 0x20000  # letters that no formula has, and that are valid in a Python identifier
_MAX_WIDTH = 68


@dataclass(frozen=True, slots=True)
class SourceText:
    """A text to parse.

    `masked_text` has a word of rare letters, of the same length, instead of every quoted piece. `quotes` maps it to the piece.
    """

    text: str
    masked_text: str
    quotes: dict[str, str]

    def error(self, what: str, at: Span) -> FormulaError:
        """Return a FormulaError that points at its cause."""
        return FormulaError(what + caret_line(self.text, at))

    def restore_quotes(self, text: str) -> str:
        """Replace the words of rare letters by the quoted pieces."""
        for word, piece in self.quotes.items():
            text = text.replace(word, piece)
        return text

    def name(self, word: str) -> str:
        """Return the name that a word means: the text between backticks, or the word itself."""
        piece = self.quotes.get(word, "")
        return piece[1:-1] if piece.startswith("`") else word

    def quoted_text(self, word: str) -> str:
        """Return the text in quotes that a word means, or nothing if it means a name."""
        piece = self.quotes.get(word, "`")
        return "" if piece.startswith("`") else piece


def read_source(text: str) -> SourceText:
    """Mask the quoted pieces of a text.

    >>> read = read_source("y ~ `model year`")
    >>> len(read.masked_text) == len(read.text), read.name(read.masked_text[4:])
    (True, 'model year')
    """
    pieces = list(_QUOTED_TEXT.finditer(text))
    for piece in pieces:
        after = text[piece.end() : piece.end() + 1]
        if after and (after in "`'\"" or after.isalnum() or after == "_"):
            raise FormulaError(
                f"Nothing separates {piece[0]} from the text after it. Write an operator or a comma there. A name with a "
                f'backtick in it goes into Q("...").{caret_line(text, (piece.start(), piece.end() + 1))}'
            )
        if before := _WORD_BEFORE.search(text[max(0, piece.start() - _MAX_WIDTH) : piece.start()]):
            raise FormulaError(
                f"Nothing separates {before[0]} from {piece[0]}. Write a space, an operator or a comma there."
                f"{caret_line(text, (piece.start() - len(before[0]), piece.end()))}"
            )
    if any(ord(c) >= _FIRST_STAND_IN for c in text):  # then nothing is masked, and quoted names must be plain
        return SourceText(text, text, {})
    quotes = {chr(_FIRST_STAND_IN + i) * len(piece[0]): piece[0] for i, piece in enumerate(pieces)}
    words = iter(quotes)
    return SourceText(text, _QUOTED_TEXT.sub(lambda _: next(words), text), quotes)


def split_responses(text: object) -> list[str]:
    """Return the texts of one formula for each response of "y1 + y2 ~ x" or "cbind(y1, y2) ~ x"; [] if there is one response.

    >>> split_responses("y1 + log(y2) ~ x")
    ['y1 ~ x', 'log(y2) ~ x']
    >>> split_responses("I(y1 + y2) ~ x")
    []
    """
    parts, right = _split_left_side(text) if isinstance(text, str) else ([], "")
    return [f"{part} ~{right}" for part in parts] if len(parts) > 1 else []


def _split_left_side(text: str) -> tuple[list[str], str]:
    """Return the terms of a sum, or the arguments of cbind, left of the only tilde; and what is right of it."""
    source = read_source(text)
    masked, tilde = source.masked_text, source.masked_text.find("~")
    left = masked[: max(tilde, 0)]
    start, separator = 0, "+"
    if call := re.fullmatch(r"\s*cbind\s*\((.*)\)\s*", left, re.DOTALL):
        start, separator, left = call.start(1), ",", call[1]
    places, depth = [-1], 0
    for i, c in enumerate(left):
        depth += (c in "([{") - (c in ")]}")
        if c == separator and depth == 0:
            places.append(i)
    ends = [*places[1:], len(left)]
    pieces = [text[start + first + 1 : start + end].strip() for first, end in zip(places, ends, strict=True)]
    return (pieces, text[tilde + 1 :]) if all(pieces) else ([], "")


def caret_line(text: str, at: Span) -> str:
    """Return the line of text with a place in it, and carets under the place; long lines are cut on both sides.

    >>> print(caret_line("mpg ~ displacment", (6, 17)))
    <BLANKLINE>
        mpg ~ displacment
              ^^^^^^^^^^^
    """
    start, end = at
    begin = text.rfind("\n", 0, start) + 1
    line = text[begin:].split("\n", 1)[0]
    start, end = start - begin, max(min(end - begin, len(line)), start - begin + 1)
    first = max(0, min(start - _MAX_WIDTH // 3, len(line) - _MAX_WIDTH))
    shown = escape_invisible(line[first : first + _MAX_WIDTH])
    before, under = escape_invisible(line[first:start]), escape_invisible(line[start : min(end, first + _MAX_WIDTH)]) or " "
    return f"\n    {shown}\n    {' ' * _cells(before)}{'^' * _cells(under)}"


def escape_invisible(text: str) -> str:
    r"""Escape invisible characters and those that move the cursor, so that carets are under their place.

    >>> escape_invisible("a\tb\x1b[31m")
    'a\\tb\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
