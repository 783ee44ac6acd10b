"""The meaning of commas and points in the numbers of a CSV file: decimal signs, or separators of thousands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

_POINT = re.compile(r"\s*[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?\s*")
_COMMA = re.compile(r"\s*[-+]?(\d+,\d*|,\d+)([eE][-+]?\d+)?\s*")
_INTEGER = re.compile(r"\s*[-+]?\d+([eE][-+]?\d+)?\s*")
_SMALL_INTEGER = re.compile(r"\s*[-+]?(0|[1-9]\d{0,2})\s*")  # too small for a separator of thousands
_THOUSANDS = re.compile(r"\s*[-+]?[1-9]\d{0,2}(,\d{3})+\s*")
AMBIGUOUS_THOUSANDS = r"\s*[-+]?[1-9]\d{0,2}[.,]\d{3}\s*"  # the sign may be decimal or separate thousands


@dataclass(frozen=True, slots=True)
class CommaValues:
    """The meaning of the commas and points in a sample of values.

    Attributes
    ----------
    is_decimal : whether commas are decimal.
    ambiguous_values : place of a column -> one of its values, in which the comma or point may separate thousands.
    mixed_values : place of a column with decimal commas -> one of its values, if another column has decimal points.
    small_columns : places of columns that hold integers below 1,000 alone: a later 1.234 is ambiguous.
    """

    is_decimal: bool = False
    ambiguous_values: Mapping[int, str] = field(default_factory=dict)
    mixed_values: Mapping[int, str] = field(default_factory=dict)
    small_columns: frozenset[int] = frozenset()


def detect_commas(sample: pa.Table) -> CommaValues:
    """Return the meaning of commas and points in a sample of text values from a file that is not delimited by commas.

    Commas are decimal if a value such as 3,14 or 0,125 has one that cannot separate thousands, and no value has a point that
    cannot. A column whose own values do not decide is ambiguous, whatever the other columns hold. A column with points is
    ambiguous only beside integers below 1,000, or if another column has decimal commas.

    >>> detect_commas(pa.table({"x": ["3,14", "1,500"]})).is_decimal, detect_commas(pa.table({"x": ["3,14", "2.5"]})).is_decimal
    (True, False)
    >>> detect_commas(pa.table({"x": ["1,234", "7"]})).ambiguous_values
    {0: '1,234'}
    >>> detect_commas(pa.table({"x": ["1.234", "7.500"]})).ambiguous_values
    {}
    """
    columns = dict(enumerate(_classify_values(column.unique().drop_null()) for column in sample.columns))
    points = any(signs.has_point for signs in columns.values())
    decimal = not points and any(signs.comma_value for signs in columns.values())
    small = frozenset(place for place, signs in columns.items() if signs.is_small)
    ambiguous = {
        i: signs.ambiguous_value
        for i, signs in columns.items()
        if signs.ambiguous_value and (signs.is_small or (decimal and not signs.has_others))
    }
    if points:
        mixed = {
            i: signs.comma_value
            for i, signs in columns.items()
            if signs.comma_value and not signs.has_point and not signs.has_others
        }
        return CommaValues(ambiguous_values=ambiguous, mixed_values=mixed, small_columns=small)
    thousands = {i: signs.thousands_value for i, signs in columns.items() if signs.thousands_value and not signs.comma_value}
    return CommaValues(is_decimal=decimal, ambiguous_values={**thousands, **ambiguous}, small_columns=small)


@dataclass(slots=True)
class _Signs:
    """The signs in the values of a column.

    Attributes
    ----------
    has_point : whether a value has a point that must be decimal.
    comma_value : the first value with a comma that must be decimal.
    ambiguous_value, thousands_value : the first value with one sign, or with commas, that may separate thousands.
    is_small : whether there are other values, all of them integers below 1,000.
    has_others : whether a value is none of these.
    """

    has_point: bool = False
    comma_value: str = ""
    ambiguous_value: str = ""
    thousands_value: str = ""
    is_small: bool = False
    has_others: bool = False


def _classify_values(values: pa.Array) -> _Signs:
    if not pc.any(pc.match_substring(values, ",")).as_py():  # most columns: Arrow is faster than Python
        ambiguous = _match_pattern(values, AMBIGUOUS_THOUSANDS)
        if pc.any(pc.and_not(_match_pattern(values, _POINT.pattern), ambiguous)).as_py():
            return _Signs(has_point=True)
        others = values.filter(pc.invert(ambiguous))
        small = len(others) > 0 and pc.all(_match_pattern(others, _SMALL_INTEGER.pattern)).as_py()
        first = values.filter(ambiguous).slice(0, 1).to_pylist()
        return _Signs(ambiguous_value=first[0] if first else "", is_small=small, has_others=len(others) > 0 and not small)
    signs = _Signs()
    for value in values.to_pylist():
        if _THOUSANDS.fullmatch(value):
            signs.thousands_value = signs.thousands_value or value
        elif _COMMA.fullmatch(value):
            signs.comma_value = signs.comma_value or value
        elif _POINT.fullmatch(value) and not re.fullmatch(AMBIGUOUS_THOUSANDS, value):
            signs.has_point = True
        elif not _INTEGER.fullmatch(value):
            signs.has_others = True
    return signs


def _match_pattern(values: pa.Array, pattern: str) -> pa.Array:
    return pc.match_substring_regex(values, f"^({pattern})$")
