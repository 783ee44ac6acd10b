"""The order of the levels of a categorical column, where whoever made the column declared one: one rule for all that is Arrow."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from squarely.errors import DataError
from squarely.numerics import EXACT_INTEGERS, Array


def is_ordered(schema: pa.Schema, name: str) -> bool:
    """Tell whether the order of a dictionary's values means something.

    It does if Arrow marks the dictionary as ordered, or if pandas wrote it: every Categorical of pandas has an order.

    >>> is_ordered(pa.schema([("g", pa.dictionary(pa.int8(), pa.string(), ordered=True))]), "g")
    True
    """
    kind = schema.field(schema.get_field_index(name)).type
    return pa.types.is_dictionary(kind) and (kind.ordered or name in _categorical_names(schema))


def declared_levels(chunks: Iterable[pa.Array]) -> tuple[Level, ...] | None:
    """Put the values of dictionaries together, in their order: the chunks of a column may each have one of their own.

    >>> declared_levels([pa.array(["low", "high"]).dictionary_encode(), pa.array(["high", "top"]).dictionary_encode()])
    ('low', 'high', 'top')
    """
    levels: dict[Level, None] = {}
    for chunk in chunks:
        levels |= dict.fromkeys(chunk.dictionary.to_pylist())
    return tuple(level for level in levels if level is not None) or None


def merge_level_orders(name: str, orders: Mapping[str, Sequence[Level]]) -> tuple[Level, ...]:
    """Put the levels of a column together that several files declare, so that each file's own order is kept.

    Raises
    ------
    DataError : two files put two levels in opposite orders; they are named by the keys of `orders`.

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
                    f"The file {file!r} puts the level {level!r} of column {name!r} after {levels[at - 1]!r}, and a file before it "
                    "puts it before that. Declare one order in all files, or make text of the column."
                )
            if level not in levels:
                levels.insert(at, level)
            at = place + 1
    return tuple(levels)


def index_columns(schema: pa.Schema) -> frozenset[str]:
    """Give the names of the columns in which pandas has stored an index; one that counts from 0 is stored in none.

    >>> import pandas as pd
    >>> index_columns(pa.Schema.from_pandas(pd.DataFrame({"x": [1.0]}, index=pd.Index([3], name="k"))))
    frozenset({'k'})
    """
    indexes = _pandas_notes(schema, "index_columns")
    return frozenset(name for name in indexes if isinstance(name, str) and schema.get_field_index(name) >= 0)


def _categorical_names(schema: pa.Schema) -> set[str]:
    """Give the names of the columns that were a Categorical of pandas, as the schema's own notes say."""
    try:
        return {column["field_name"] for column in _pandas_notes(schema, "columns") if column["pandas_type"] == "categorical"}
    except (KeyError, TypeError):
        return set()  # another program's notes of the same name


def _pandas_notes(schema: pa.Schema, key: str) -> list[Any]:
    """Give what pandas has noted in the schema under a key, nothing where another program's notes have that name."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        found = noted.get(key, [])
    except (ValueError, AttributeError):
        return []
    return found if isinstance(found, list) else []


_LARGEST_POWER = 22  # so is ten to this power and to every lower one
_DIGITS_IN_WORD = 18  # digits that are sure to fit into the lower of the two words of 64 bits


def nearest_doubles(column: pa.Array) -> Array:
    """Cast decimals to doubles, correctly rounded; NULL becomes NaN.

    Where the digits, and the power of ten that divides them, are doubles themselves, one division rounds once. Others are read from
    their text.

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


def schema_columns(schema: pa.Schema) -> tuple[Mapping[str, str], frozenset[str]]:
    """Give the names with their types, and the names that stand twice.

    >>> schema_columns(pa.schema([("x", pa.int8()), ("X", pa.string())]))
    ({'x': 'int8', 'X': 'string'}, frozenset())
    """
    columns = {field.name: str(field.type) for field in schema}
    return columns, frozenset(name for name in columns if len(schema.get_all_field_indices(name)) > 1)


# Narrower than Python's float(), which takes 1_000 and the digits of every script.
_NUMBER = re.compile(r"\s*[-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|nan|inf(inity)?)\s*", re.ASCII | re.IGNORECASE)
_COMMA_FOR_POINT = str.maketrans(",.", ".,")

# What a column holds: "category" is numbers or truth values that are declared to be categories, "null" nothing but gaps.
Kind = Literal["number", "boolean", "text", "category", "null", "other"]
Level = Any  # a value of a categorical column: str, int, float or bool


def kind_of(kind: pa.DataType) -> Kind:
    """Tell what a column of an Arrow type holds.

    >>> kind_of(pa.int8()), kind_of(pa.dictionary(pa.int8(), pa.string())), kind_of(pa.date32())
    ('number', 'text', 'other')
    >>> kind_of(pa.dictionary(pa.int8(), pa.int64()))
    'category'
    """
    types = pa.types
    if types.is_dictionary(kind):
        held = kind_of(kind.value_type)
        return "category" if held in ("number", "boolean") else held
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_boolean(kind):
        return "boolean"
    if types.is_null(kind):
        return "null"
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return "text" if is_text else "other"


def parses_as_number(text: object, *, decimal_comma: bool = False) -> bool:
    """Tell whether a text is a number, with a decimal comma or with a point.

    >>> parses_as_number("1e3"), parses_as_number("?"), parses_as_number("1_000"), parses_as_number("1,5", decimal_comma=True)
    (True, False, False, True)
    """
    if isinstance(text, str):
        text = text.translate(_COMMA_FOR_POINT) if decimal_comma else text
        return _NUMBER.fullmatch(text) is not None
    try:
        float(text)  # type: ignore[arg-type]  # anything else is what the except is for
    except (TypeError, ValueError):
        return False
    return True


INTEGER_TEXT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
FRACTION_TEXT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
TRUTH_WORDS = {"true": True, "false": False}


def level_number(text: str) -> Any:
    """Read a text as a number or truth value if it is one, else give it back; so are numbers that begin with zeros, which count.

    >>> level_number("2"), level_number("2.5"), level_number("True"), level_number("b"), level_number("007")
    (2, 2.5, True, 'b', '007')
    """
    number = exact_number(text)
    return text if type(number) is int and abs(number) >= EXACT_INTEGERS else number  # beyond, two may be the same double


def exact_number(text: str) -> Any:
    """Read a text as `level_number` does, and whole numbers of any size as such."""
    if text.lower() in TRUTH_WORDS:
        return TRUTH_WORDS[text.lower()]
    if INTEGER_TEXT.fullmatch(text):
        return int(text)
    if FRACTION_TEXT.fullmatch(text):
        return float(text) if math.isfinite(float(text)) else text
    return text
