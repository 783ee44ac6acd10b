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
_INTEGER = re.compile(r"\s*[-+]?\d+([eE][-+]?\d+)?\s*")
_SMALL_INTEGER = re.compile(r"\s*[-+]?(0|[1-9]\d{0,2})\s*")  # a whole number that no separator would part
_THOUSANDS = re.compile(r"\s*[-+]?[1-9]\d{0,2}(,\d{3})+\s*")
AMBIGUOUS_THOUSANDS = r"\s*[-+]?[1-9]\d{0,2}[.,]\d{3}\s*"  # a decimal sign that may as well part the thousands
_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class CommaValues:
    """What the commas and points in the values of a sample mean.

    Attributes
    ----------
    is_decimal : commas stand for the decimal point.
    ambiguous_values : place of a column -> one of its values, where the comma or point may as well part thousands.
    mixed_values : place of a column of numbers with decimal commas -> one of them, where another column has decimal points.
    small_columns : places of columns of whole numbers below 1,000 alone: a 1.234 further on would be in doubt.
    """

    is_decimal: bool = False
    ambiguous_values: Mapping[int, str] = field(default_factory=dict)
    mixed_values: Mapping[int, str] = field(default_factory=dict)
    small_columns: frozenset[int] = frozenset()


def detect_commas(sample: pa.Table) -> CommaValues:
    """Tell what commas and points mean from a sample of values, as text, in a file whose delimiter is another sign.

    Commas are decimal if some value such as 3,14 or 0,125 has one that cannot part thousands, and no value has a point that
    cannot. A column whose own values leave it open is doubtful, whatever the others hold. With points, that takes whole numbers
    below 1,000 beside values such as 1.234, or decimal commas in another column.

    >>> detect_commas(pa.table({"x": ["3,14", "1,500"]})).is_decimal, detect_commas(pa.table({"x": ["3,14", "2.5"]})).is_decimal
    (True, False)
    >>> detect_commas(pa.table({"x": ["1,234", "7"]})).ambiguous_values, detect_commas(pa.table({"x": ["1.234", "7"]})).ambiguous_values
    ({0: '1,234'}, {0: '1.234'})
    >>> detect_commas(pa.table({"x": ["1.234", "7.500"]})).ambiguous_values
    {}
    """
    columns = dict(enumerate(_classify_values(column.unique().drop_null()) for column in sample.columns))
    points = any(met.has_point for met in columns.values())
    decimal = not points and any(met.comma_value for met in columns.values())
    small = frozenset(place for place, met in columns.items() if met.is_small)
    parted = {
        i: met.ambiguous_value
        for i, met in columns.items()
        if met.ambiguous_value and (met.is_small or (decimal and not met.has_others))
    }
    if points:
        mixed = {i: met.comma_value for i, met in columns.items() if met.comma_value and not met.has_point and not met.has_others}
        return CommaValues(ambiguous_values=parted, mixed_values=mixed, small_columns=small)
    thousands = {i: met.thousands_value for i, met in columns.items() if met.thousands_value and not met.comma_value}
    return CommaValues(is_decimal=decimal, ambiguous_values={**thousands, **parted}, small_columns=small)


@dataclass(slots=True)
class _Signs:
    """What the values of a column are.

    Attributes
    ----------
    has_point : whether one has a decimal point for sure. `comma_value` the first that has a decimal comma for sure.
    ambiguous_value, thousands_value : the first with a point or with commas that may part thousands.
    is_small : whether there are others, and all of them are small whole numbers. `has_others` whether some are none of these.
    """

    has_point: bool = False
    comma_value: str = ""
    ambiguous_value: str = ""
    thousands_value: str = ""
    is_small: bool = False
    has_others: bool = False


def _classify_values(values: pa.Array) -> _Signs:
    if not pc.any(pc.match_substring(values, ",")).as_py():  # most columns: Arrow looks faster than Python
        parted = _match_pattern(values, AMBIGUOUS_THOUSANDS)
        if pc.any(pc.and_not(_match_pattern(values, _POINT.pattern), parted)).as_py():
            return _Signs(has_point=True)
        others = values.filter(pc.invert(parted))
        small = len(others) > 0 and pc.all(_match_pattern(others, _SMALL_INTEGER.pattern)).as_py()
        first = values.filter(parted).slice(0, 1).to_pylist()
        return _Signs(ambiguous_value=first[0] if first else "", is_small=small, has_others=len(others) > 0 and not small)
    met = _Signs()
    for value in values.to_pylist():
        if _THOUSANDS.fullmatch(value):
            met.thousands_value = met.thousands_value or value
        elif _COMMA.fullmatch(value):
            met.comma_value = met.comma_value or value
        elif _POINT.fullmatch(value) and not re.fullmatch(AMBIGUOUS_THOUSANDS, value):
            met.has_point = True
        elif not _INTEGER.fullmatch(value):
            met.has_others = True
    return met


def _match_pattern(values: pa.Array, pattern: str) -> pa.Array:
    return pc.match_substring_regex(values, f"^({pattern})$")


def find_signs(path: Path, signs: tuple[str, ...]) -> tuple[str, ...]:
    """Tell which signs stand anywhere below the first line of a file."""
    sought = [sign.encode() for sign in signs]  # one byte is found several times as fast as two
    found: set[bytes] = set()
    with path.open("rb") as file:
        before = b"".join(re.split(rb"[\r\n]", file.read(_PIECE), maxsplit=1)[1:])  # names of columns are full of underscores
        while before:
            found |= {sign for sign in sought if sign[:1] in before and sign in before}
            before = before[-1:] + piece if (piece := file.read(_PIECE)) and len(found) < len(sought) else b""
    return tuple(sign.decode() for sign in sought if sign in found)


class TemporaryCopy:
    """A temporary file that goes when nobody needs it any more."""

    def __init__(self) -> None:
        descriptor, name = tempfile.mkstemp(prefix="squarely-", suffix=".csv")
        os.close(descriptor)
        self.path = Path(name).resolve()
        weakref.finalize(self, self.path.unlink, missing_ok=True)


def copy_as_utf8(path: Path, *, is_gzip: bool) -> TemporaryCopy | None:
    """Write UTF-16 text, told by its byte order mark, anew as UTF-8; give None where there is no such mark."""
    try:
        with gzip.open(path) if is_gzip else path.open("rb") as file:
            mark = file.read(2)
            if mark not in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
                return None
            decoder = codecs.getincrementaldecoder("utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-16-be")()
            copy = TemporaryCopy()
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
