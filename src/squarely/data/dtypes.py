"""What a value is: kinds of columns, levels and their declared order, numbers in text, decimals as doubles."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from squarely.errors import DataError, show_value
from squarely.numerics import EXACT_INTEGERS, Array


def is_ordered(schema: pa.Schema, name: str) -> bool:
    """Return whether the values of a dictionary column have an order.

    They do if Arrow marks the dictionary as ordered, or if it was a Categorical of pandas.

    >>> is_ordered(pa.schema([("g", pa.dictionary(pa.int8(), pa.string(), ordered=True))]), "g")
    True
    """
    kind = schema.field(schema.get_field_index(name)).type
    if not pa.types.is_dictionary(kind):
        return False
    notes = [note for note in _pandas_notes(schema, "columns") if isinstance(note, dict)]
    return kind.ordered or any(note.get("field_name") == name and note.get("pandas_type") == "categorical" for note in notes)


def declared_levels(chunks: Iterable[pa.Array]) -> tuple[Level, ...] | None:
    """Return the values of the dictionaries of all chunks of a column, in order of appearance.

    >>> declared_levels([pa.array(["low", "high"]).dictionary_encode(), pa.array(["high", "top"]).dictionary_encode()])
    ('low', 'high', 'top')
    """
    levels: dict[Level, None] = {}
    for chunk in chunks:
        levels |= dict.fromkeys(chunk.dictionary.to_pylist())
    return tuple(level for level in levels if level is not None) or None


def merge_level_orders(name: str, orders: Mapping[str, Sequence[Level]]) -> tuple[Level, ...]:
    """Merge the level orders of a column that several files declare, such that each file's order is preserved.

    `orders` has the files' names as keys. Two files with opposite orders of two levels are a DataError.

    >>> merge_level_orders("g", {"a": ["low", "high"], "b": ["low", "mid", "high", "top"]})
    ('low', 'mid', 'high', 'top')
    """
    levels: list[Level] = []
    for file, order in orders.items():
        if list(order) == levels:
            continue
        at = 0 if set(order) & set(levels) else len(levels)
        for level in order:
            place = levels.index(level) if level in levels else at
            if place < at:
                raise DataError(
                    f"The file {file!r} puts the level {show_value(level)} of column {name!r} after "
                    f"{show_value(levels[at - 1])}, and an earlier file puts it before. "
                    "Declare one order in all files, or convert the column to text."
                )
            if level not in levels:
                levels.insert(at, level)
            at = place + 1
    return tuple(levels)


def _pandas_notes(schema: pa.Schema, key: str) -> list[Any]:
    """Return a list from the metadata of pandas in a schema; an empty one for metadata of another program."""
    try:
        found = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get(key, [])
    except (ValueError, AttributeError):
        return []
    return found if isinstance(found, list) else []


_LARGEST_POWER = 22  # powers of ten up to here are exact in double
_DIGITS_IN_WORD = 18  # as many digits always fit into the lower 64 bits of a decimal128


def nearest_doubles(column: pa.Array) -> Array:
    """Cast decimals to doubles, correctly rounded; NULL becomes NaN.

    If the digits and the power of ten are exact in double, one division rounds once. Other columns are converted via text.

    >>> from decimal import Decimal
    >>> nearest_doubles(pa.array([Decimal("0.07"), None, Decimal("-12.30")])).tolist()
    [0.07, nan, -12.3]
    """
    kind = column.type
    if pa.types.is_decimal128(kind) and kind.precision <= _DIGITS_IN_WORD and 0 <= kind.scale <= _LARGEST_POWER:
        words = np.frombuffer(column.buffers()[1], dtype="<i8")[::2][column.offset : column.offset + len(column)]
        gaps = column.is_null().to_numpy(zero_copy_only=False)
        digits = np.where(gaps, 0, words)
        if not len(digits) or np.abs(digits).max() <= EXACT_INTEGERS:
            return np.where(gaps, np.nan, digits / 10.0**kind.scale)
    values: Array = pc.cast(pc.cast(column, pa.string()), pa.float64()).to_numpy(zero_copy_only=False)
    return values


def schema_columns(schema: pa.Schema) -> tuple[Mapping[str, str], frozenset[str], frozenset[str]]:
    """Return name -> type, the duplicate names, and the columns in which pandas has stored an index that does not count from 0.

    >>> schema_columns(pa.schema([("x", pa.int8()), ("X", pa.string())]))
    ({'x': 'int8', 'X': 'string'}, frozenset(), frozenset())
    >>> import pandas as pd
    >>> schema_columns(pa.Schema.from_pandas(pd.DataFrame({"x": [1.0]}, index=pd.Index([3], name="k"))))[2]
    frozenset({'k'})
    """
    columns = {field.name: str(field.type) for field in schema}
    duplicates = frozenset(name for name in columns if len(schema.get_all_field_indices(name)) > 1)
    indexes = [name for name in _pandas_notes(schema, "index_columns") if isinstance(name, str)]
    return columns, duplicates, frozenset(name for name in indexes if schema.get_field_index(name) >= 0)


# Narrower than Python's float(), which takes 1_000 and the digits of every script.
_NUMBER = re.compile(r"\s*[-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|nan|inf(inity)?)\s*", re.ASCII | re.IGNORECASE)
_COMMA_FOR_POINT = str.maketrans(",.", ".,")

# "category": numbers or booleans that are declared as categories; "null": a column of nulls.
Kind = Literal["number", "boolean", "text", "category", "null", "other"]
Level = Any  # a value of a categorical column: str, int, float or bool


def kind_of(kind: pa.DataType) -> Kind:
    """Return the kind of a column of an Arrow type.

    >>> kind_of(pa.int8()), kind_of(pa.dictionary(pa.int8(), pa.string())), kind_of(pa.date32())
    ('number', 'text', 'other')
    >>> kind_of(pa.dictionary(pa.int8(), pa.int64()))
    'category'
    """
    types = pa.types
    if types.is_dictionary(kind):
        value_kind = kind_of(kind.value_type)
        return "category" if value_kind in ("number", "boolean") else value_kind
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_boolean(kind):
        return "boolean"
    if types.is_null(kind):
        return "null"
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return "text" if is_text else "other"


def has_times(kind: pa.DataType) -> bool:
    """Return whether a column has dates, times of day, or both, or periods of pandas."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_timestamp(kind) or is_period(kind)


def is_period(kind: pa.DataType) -> bool:
    """Return whether a column has the periods of pandas, which are integers in Arrow."""
    return getattr(kind, "extension_name", "") == "pandas.period"


def parses_as_number(text: object, *, decimal_comma: bool = False) -> bool:
    """Return whether a text is a number, with a decimal point or a decimal comma.

    >>> parses_as_number("1e3"), parses_as_number("?"), parses_as_number("1_000"), parses_as_number("1,5", decimal_comma=True)
    (True, False, False, True)
    """
    if isinstance(text, str):
        text = text.translate(_COMMA_FOR_POINT) if decimal_comma else text
        return _NUMBER.fullmatch(text) is not None
    try:
        float(text)  # type: ignore[arg-type]  # the except handles other types
    except (TypeError, ValueError):
        return False
    return True


def grouped_digits_pattern(sign: str) -> str:
    """Return a pattern of a number whose digits are in groups, by three or, but for the last, by two.

    >>> [re.fullmatch(grouped_digits_pattern(","), text) is not None for text in ("1,234.5", "12,34,567", "3,5")]
    [True, True, False]
    """
    between = re.escape(sign)
    return rf"\s*[-+]?\d{{1,3}}({between}\d{{2,3}})*{between}\d{{3}}([.,]\d*)?([eE][-+]?\d+)?\s*"


_INTEGER_TEXT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FRACTION_TEXT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
TRUTH_WORDS = {"true": True, "false": False}


def level_number(text: str) -> Any:
    """Parse a text as a number or boolean if it is one, else return it. Leading zeros are significant, so such numbers stay text.

    >>> level_number("2"), level_number("2.5"), level_number("True"), level_number("b"), level_number("007")
    (2, 2.5, True, 'b', '007')
    """
    number = exact_number(text)
    return text if type(number) is int and abs(number) >= EXACT_INTEGERS else number  # two of these may be the same double


def exact_number(text: str) -> Any:
    """Do as `level_number`, but parse integers of any size."""
    if text.lower() in TRUTH_WORDS:
        return TRUTH_WORDS[text.lower()]
    if _INTEGER_TEXT.fullmatch(text):
        return int(text)
    if _FRACTION_TEXT.fullmatch(text):
        return float(text) if math.isfinite(float(text)) else text
    return text


def unsupported_column_error(label: str, name: str, kind: str) -> DataError:
    """Return the error for a column that is neither numbers nor categories, such as dates."""
    temporal = any(word in kind.lower() for word in ("date", "time", "duration"))
    is_binary = any(word in kind.lower() for word in ("binary", "blob", "object"))
    decode = ", bytes for example with .str.decode('utf-8')" if is_binary else ""
    if any(word in kind for word in ("struct", "STRUCT", "OBJECT")):
        decode = ", objects for example with pandas.json_normalize"
    groups = "" if "duration" in kind.lower() else "; cluster= and time= of ols take it as it is"
    advice = (
        f"Convert it to a number with a unit, such as the year or the days since the first date, or to text for categories{groups}."
        if temporal
        else f"Convert it to numbers or text first{decode}."
    )
    return DataError(f"Column {name!r} of {label} holds {kind} values, which are neither numbers nor categories. {advice}")
