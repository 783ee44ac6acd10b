"""The meaning of commas and points in the numbers of a CSV file: decimal signs, or separators of thousands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from squarely.errors import DataError, option_hint

_POINT = re.compile(r"\s*[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?\s*")
_SMALL_INTEGER = re.compile(r"\s*[-+]?(0|[1-9]\d{0,2})\s*")  # too small for a separator of thousands
AMBIGUOUS_THOUSANDS = r"\s*[-+]?[1-9]\d{0,2}[.,]\d{3}\s*"  # the sign may be decimal or separate thousands
# In a column with commas, a value is of the first class that fits.
_CLASSES = [
    ("thousands", re.compile(r"\s*[-+]?[1-9]\d{0,2}(,\d{3})+\s*")),
    ("comma", re.compile(r"\s*[-+]?(\d+,\d*|,\d+)([eE][-+]?\d+)?\s*")),
    ("other", re.compile(AMBIGUOUS_THOUSANDS)),
    ("point", _POINT),
    ("integer", re.compile(r"\s*[-+]?\d+([eE][-+]?\d+)?\s*")),
]


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
    points = any("point" in found for found in columns.values())
    decimal = not points and any("comma" in found for found in columns.values())
    ambiguous, mixed = {}, {}
    for i, found in columns.items():
        if "ambiguous" in found and ("small" in found or (decimal and "other" not in found)):
            ambiguous[i] = found["ambiguous"]
        if not points and "thousands" in found and "comma" not in found:
            ambiguous[i] = found["thousands"]
        if points and "comma" in found and "point" not in found and "other" not in found:
            mixed[i] = found["comma"]
    small = frozenset(i for i, found in columns.items() if "small" in found)
    return CommaValues(is_decimal=decimal, ambiguous_values=ambiguous, mixed_values=mixed, small_columns=small)


def _classify_values(values: pa.Array) -> dict[str, str]:
    """Return the first value of each class: "point" and "comma" must be decimal, "ambiguous" and "thousands" need not be.

    If none has a comma, the class "small" says that all others are integers below 1,000, and "point" is returned alone.
    """
    if not pc.any(pc.match_substring(values, ",")).as_py():  # most columns: Arrow is faster than Python
        is_ambiguous = _match_pattern(values, AMBIGUOUS_THOUSANDS)
        groups = {"point": values.filter(pc.and_not(_match_pattern(values, _POINT.pattern), is_ambiguous))}
        if not len(groups["point"]):
            others = values.filter(pc.invert(is_ambiguous))
            is_small = pc.all(_match_pattern(others, _SMALL_INTEGER.pattern)).as_py()
            groups = {"ambiguous": values.filter(is_ambiguous), "small" if is_small else "other": others}
        return {name: group[0].as_py() for name, group in groups.items() if len(group)}
    found: dict[str, str] = {}
    for value in values.to_pylist():
        found.setdefault(next((name for name, pattern in _CLASSES if pattern.fullmatch(value)), "other"), value)
    return found


def _match_pattern(values: pa.Array, pattern: str) -> pa.Array:
    return pc.match_substring_regex(values, f"^({pattern})$")


def ambiguous_sign_error(name: str, label: str, value: str, values: str) -> DataError:
    """Return the error for a column with a value such as 1,234; `values` describes its values."""
    sign, word = (",", "comma") if "," in value else (".", "point")
    return DataError(
        f"Column {name!r} of {label} has {values}, in which the {word} may stand for a decimal point or separate thousands. Give "
        f"{option_hint('thousands', sign)} if it separates thousands, or {option_hint('decimal', sign)} if it is decimal."
    )
