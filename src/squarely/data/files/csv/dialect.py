"""What a CSV file does not say of itself: whether its commas and points are decimal, and whether it is UTF-16 text."""

from __future__ import annotations

import codecs
import gzip
import os
import re
import tempfile
import weakref
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from squarely.errors import DataError

_POINT = re.compile(r"\s*[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?\s*")
_COMMA = re.compile(r"\s*[-+]?(\d+,\d*|,\d+)([eE][-+]?\d+)?\s*")
_WHOLE = re.compile(r"\s*[-+]?\d+([eE][-+]?\d+)?\s*")
_SMALL = re.compile(r"\s*[-+]?(0|[1-9]\d{0,2})\s*")  # a whole number that no separator would part
_THOUSANDS = re.compile(r"\s*[-+]?[1-9]\d{0,2}(,\d{3})+\s*")
PARTED = r"\s*[-+]?[1-9]\d{0,2}[.,]\d{3}\s*"  # a decimal sign that may as well part the thousands
_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class CommaValues:
    """What the commas and points in the values of a sample mean.

    Attributes
    ----------
    decimal : commas stand for the decimal point.
    doubtful : place of a column -> one of its values, where the comma or point may as well part thousands.
    mixed : place of a column of numbers with decimal commas -> one of them, where another column has decimal points.
    small : places of columns of whole numbers below 1,000 alone: a 1.234 further on would be in doubt.
    """

    decimal: bool = False
    doubtful: Mapping[int, str] = field(default_factory=dict)
    mixed: Mapping[int, str] = field(default_factory=dict)
    small: frozenset[int] = frozenset()


def comma_values(sample: pa.Table) -> CommaValues:
    """Tell what commas and points mean from a sample of values, as text, in a file whose delimiter is another sign.

    Commas are decimal if some value such as 3,14 or 0,125 has one that cannot part thousands, and no value has a point that
    cannot. A column whose own values leave it open is doubtful, whatever the others hold. With points, that takes whole numbers
    below 1,000 beside values such as 1.234, or decimal commas in another column.

    >>> comma_values(pa.table({"x": ["3,14", "1,500"]})).decimal, comma_values(pa.table({"x": ["3,14", "2.5"]})).decimal
    (True, False)
    >>> comma_values(pa.table({"x": ["1,234", "7"]})).doubtful, comma_values(pa.table({"x": ["1.234", "7"]})).doubtful
    ({0: '1,234'}, {0: '1.234'})
    >>> comma_values(pa.table({"x": ["1.234", "7.500"]})).doubtful
    {}
    """
    columns = dict(enumerate(_signs(column.unique().drop_null()) for column in sample.columns))
    points = any(met.point for met in columns.values())
    decimal = not points and any(met.comma for met in columns.values())
    small = frozenset(place for place, met in columns.items() if met.small)
    parted = {i: met.parted for i, met in columns.items() if met.parted and (met.small or (decimal and not met.others))}
    if points:
        mixed = {i: met.comma for i, met in columns.items() if met.comma and not met.point and not met.others}
        return CommaValues(doubtful=parted, mixed=mixed, small=small)
    thousands = {i: met.thousands for i, met in columns.items() if met.thousands and not met.comma}
    return CommaValues(decimal=decimal, doubtful={**thousands, **parted}, small=small)


@dataclass(slots=True)
class _Signs:
    """What the values of a column are.

    Attributes
    ----------
    point : whether one has a decimal point for sure. `comma` the first that has a decimal comma for sure.
    parted, thousands : the first with a point or with commas that may part thousands.
    small : whether there are others, and all of them are small whole numbers. `others` whether some are none of these.
    """

    point: bool = False
    comma: str = ""
    parted: str = ""
    thousands: str = ""
    small: bool = False
    others: bool = False


def _signs(values: pa.Array) -> _Signs:
    if not pc.any(pc.match_substring(values, ",")).as_py():  # most columns: Arrow looks faster than Python
        parted = _matches(values, PARTED)
        if pc.any(pc.and_not(_matches(values, _POINT.pattern), parted)).as_py():
            return _Signs(point=True)
        others = values.filter(pc.invert(parted))
        small = len(others) > 0 and pc.all(_matches(others, _SMALL.pattern)).as_py()
        first = values.filter(parted).slice(0, 1).to_pylist()
        return _Signs(parted=first[0] if first else "", small=small, others=len(others) > 0 and not small)
    met = _Signs()
    for value in values.to_pylist():
        if _THOUSANDS.fullmatch(value):
            met.thousands = met.thousands or value
        elif _COMMA.fullmatch(value):
            met.comma = met.comma or value
        elif _POINT.fullmatch(value) and not re.fullmatch(PARTED, value):
            met.point = True
        elif not _WHOLE.fullmatch(value):
            met.others = True
    return met


def _matches(values: pa.Array, pattern: str) -> pa.Array:
    return pc.match_substring_regex(values, f"^({pattern})$")


def signs_in(path: Path, signs: tuple[str, ...]) -> tuple[str, ...]:
    """Tell which signs stand anywhere below the first line of a file."""
    sought = [sign.encode() for sign in signs]  # one byte is found several times as fast as two
    found: set[bytes] = set()
    with path.open("rb") as file:
        before = b"".join(re.split(rb"[\r\n]", file.read(_PIECE), maxsplit=1)[1:])  # names of columns are full of underscores
        while before:
            found |= {sign for sign in sought if sign[:1] in before and sign in before}
            before = before[-1:] + piece if (piece := file.read(_PIECE)) and len(found) < len(sought) else b""
    return tuple(sign.decode() for sign in sought if sign in found)


class Copy:
    """A temporary file that goes when nobody needs it any more."""

    def __init__(self) -> None:
        descriptor, name = tempfile.mkstemp(prefix="squarely-", suffix=".csv")
        os.close(descriptor)
        self.path = Path(name).resolve()
        weakref.finalize(self, self.path.unlink, missing_ok=True)


def utf8_copy(path: Path, *, packed: bool) -> Copy | None:
    """Write UTF-16 text, told by its byte order mark, anew as UTF-8; give None where there is no such mark."""
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            mark = file.read(2)
            if mark not in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
                return None
            decoder = codecs.getincrementaldecoder("utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-16-be")()
            copy = Copy()
            with copy.path.open("wb") as out:
                while piece := file.read(_PIECE):
                    out.write(decoder.decode(piece).encode())
                out.write(decoder.decode(b"", final=True).encode())
    except UnicodeError as error:
        raise DataError(
            f"The file {path.name!r} begins as UTF-16 text but is not UTF-16 to its end: it was cut short or is another kind of "
            f"file. Save it as UTF-8 text. Python says: {error}."
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"The file {path.name!r} cannot be read: {error}.") from error
    return copy
