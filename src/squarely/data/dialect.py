"""What a CSV file does not say of itself: whether its commas are decimal, and whether it is UTF-16 text."""

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
_THOUSANDS = re.compile(r"\s*[-+]?[1-9]\d{0,2}(,\d{3})+\s*")
_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class CommaValues:
    """What the commas in the values of a sample mean.

    Attributes
    ----------
    decimal : they stand for the decimal point.
    doubtful : place of a column -> one of its values, where they may as well part thousands.
    mixed : place of a column of numbers with decimal commas -> one of them, where another column has decimal points.
    """

    decimal: bool = False
    doubtful: Mapping[int, str] = field(default_factory=dict)
    mixed: Mapping[int, str] = field(default_factory=dict)


def comma_values(sample: pa.Table) -> CommaValues:
    """Tell what commas mean from a sample of values, as text, in a file whose delimiter is another sign.

    They are decimal if some value such as 3,14 or 0,125 has one that cannot part thousands, and no value has a decimal point.

    >>> comma_values(pa.table({"x": ["3,14", "1,500"]})).decimal, comma_values(pa.table({"x": ["3,14", "2.5"]})).decimal
    (True, False)
    >>> comma_values(pa.table({"x": ["1,234", "7"]})).doubtful
    {0: '1,234'}
    """
    points: set[int] = set()
    words: set[int] = set()
    commas: dict[int, str] = {}
    doubtful: dict[int, str] = {}
    for place, column in enumerate(sample.columns):
        values = column.unique().drop_null()
        if not pc.any(pc.match_substring(values, ",")).as_py():  # most columns: Arrow looks faster than Python
            points |= {place} if pc.any(pc.match_substring_regex(values, f"^({_POINT.pattern})$")).as_py() else set()
            continue
        for value in values.to_pylist():
            if _POINT.fullmatch(value):
                points.add(place)
            elif _THOUSANDS.fullmatch(value):
                doubtful.setdefault(place, value)
            elif _COMMA.fullmatch(value):
                commas.setdefault(place, value)
            elif not _WHOLE.fullmatch(value):
                words.add(place)
    if points:
        return CommaValues(mixed={place: value for place, value in commas.items() if place not in points | words})
    return CommaValues(decimal=True) if commas else CommaValues(doubtful=doubtful)


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
