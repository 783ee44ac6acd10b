"""Detect the delimiter of a text from its first lines: the sign that cuts them into equally many fields, most of them numbers."""

from __future__ import annotations

import csv
import io
import itertools
import re

_USUAL = ",;\t|"
_RARE = "^~:\x01"
WHITESPACE = "whitespace"
_SAMPLE_ROWS, _SAMPLE_CELLS = 50, 20_000
# With groups of digits and a decimal point or comma; a percent sign is no reason to doubt the delimiter.
_NUMBER = re.compile(r"\s*[-+]?(?=[.,]?\d)(\d{1,3}([ '.,\xa0\u202f]\d{3})+|\d*)([.,]\d*)?([eE][-+]?\d+)?\s?%?\s*")


def guess_delimiter(sample: str, header: str, quote: str) -> str:
    r"""Return the delimiter of a sample of whole lines; `header` is its first line without quoted parts.

    A usual sign that does not fit is better than none: an error then names the line with another number of fields. Whitespace
    is one if no usual sign cuts out a number.

    >>> guess_delimiter("id;Preis, EUR;qm, netto\n1;3,1;12,5\n2;1,0;3,25\n", "id;Preis, EUR;qm, netto", '"')
    ';'
    >>> guess_delimiter("y  x\n1  2\n3  4\n", "y  x", '"'), guess_delimiter("y\n1\n", "y", '"')
    ('whitespace', ',')
    """
    usual = [sign for sign in _USUAL if sign in header]
    best = max(((_rate(sample, sign, quote), sign) for sign in usual), key=lambda pair: pair[0], default=((0.0, 0), ","))
    if best[0][0] > 0:
        return best[1]
    spaced = max(_rate(text, sign, quote, may_have_row_names=True) for text, sign in ((_squeeze(sample), "\t"), (sample, " ")))
    if spaced[0] > 0:
        return WHITESPACE
    if best[0][1]:
        return best[1]
    rare = [sign for sign in _RARE if sign in header and _rate(sample, sign, quote)[1]]
    return max(usual, key=header.count) if usual else rare[0] if rare else ","


def _squeeze(sample: str) -> str:
    return re.sub(r"[ \t]+", "\t", re.sub(r"(?m)^[ \t]+|[ \t]+$", "", sample))


def _rate(sample: str, sign: str, quote: str, *, may_have_row_names: bool = False) -> tuple[float, int]:
    """Return the share of numbers in the fields below the first line, and the number of fields; zeros if it varies.

    With row names, as R writes them, each line has one more field than the first.
    """
    try:
        lines = csv.reader(io.StringIO(sample, newline=""), delimiter=sign, quotechar=quote, skipinitialspace=sign != " ")
        rows = [row for row in itertools.islice(lines, _SAMPLE_ROWS) if row]
    except csv.Error:
        return 0.0, 0
    width = len(rows[0]) if rows else 0
    fits = all(len(row) == width or (len(row) == width + 1 and not row[-1]) for row in rows)
    has_row_names = may_have_row_names and {len(row) for row in rows[1:]} == {width + 1}
    if width < 2 or not (fits or has_row_names):
        return 0.0, 0
    cells = [cell for row in rows[1 : 2 + _SAMPLE_CELLS // width] for cell in row if cell]
    return sum(map(is_number, cells)) / max(len(cells), 1), width


def is_number(text: str) -> bool:
    """Return whether a text is a number in one of many ways of writing one.

    >>> is_number("1.234,5"), is_number("12 %"), is_number("1a")
    (True, True, False)
    """
    return _NUMBER.fullmatch(text) is not None
