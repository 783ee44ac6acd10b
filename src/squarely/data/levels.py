"""The order of the levels of a categorical column, where whoever made the column declared one: one rule for all that is Arrow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from squarely.data.source import Level
from squarely.errors import DataError


def is_ordered(schema: pa.Schema, name: str) -> bool:
    """Tell whether the order of a dictionary's values means something.

    It does if Arrow marks the dictionary as ordered, or if pandas wrote it: every Categorical of pandas has an order.

    >>> is_ordered(pa.schema([("g", pa.dictionary(pa.int8(), pa.string(), ordered=True))]), "g")
    True
    """
    kind = schema.field(schema.get_field_index(name)).type
    return pa.types.is_dictionary(kind) and (kind.ordered or name in _categoricals(schema))


def declared(chunks: Iterable[pa.Array]) -> tuple[Level, ...] | None:
    """Put the values of dictionaries together, in their order: the chunks of a column may each have one of their own.

    >>> declared([pa.array(["low", "high"]).dictionary_encode(), pa.array(["high", "top"]).dictionary_encode()])
    ('low', 'high', 'top')
    """
    levels: dict[Level, None] = {}
    for chunk in chunks:
        levels |= dict.fromkeys(chunk.dictionary.to_pylist())
    return tuple(level for level in levels if level is not None) or None


def merged(name: str, orders: Mapping[str, Sequence[Level]]) -> tuple[Level, ...]:
    """Put the levels of a column together that several files declare, so that each file's own order is kept.

    Raises
    ------
    DataError : two files put two levels in opposite orders; they are named by the keys of `orders`.

    >>> merged("g", {"a": ["low", "high"], "b": ["low", "mid", "high", "top"]})
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
    indexes = _noted(schema, "index_columns")
    return frozenset(name for name in indexes if isinstance(name, str) and schema.get_field_index(name) >= 0)


def _categoricals(schema: pa.Schema) -> set[str]:
    """Give the names of the columns that were a Categorical of pandas, as the schema's own notes say."""
    try:
        return {column["field_name"] for column in _noted(schema, "columns") if column["pandas_type"] == "categorical"}
    except (KeyError, TypeError):
        return set()  # another program's notes of the same name


def _noted(schema: pa.Schema, key: str) -> list[Any]:
    """Give what pandas has noted in the schema under a key, nothing where another program's notes have that name."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        found = noted.get(key, [])
    except (ValueError, AttributeError):
        return []
    return found if isinstance(found, list) else []
