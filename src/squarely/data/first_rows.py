"""The first rows of a source: what they have in each column, what is taken for missing, and what may be unexpected."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from squarely.data.dtypes import exact_number, grouped_digits_pattern, kind_of, parses_as_number, unsupported_column_error
from squarely.data.header_hints import header_hint
from squarely.data.source import Source
from squarely.errors import DataError, pluralize
from squarely.numerics import EXACT_INTEGERS

_ROWS, _CELLS, _FEWEST_ROWS = 10_000, 500_000, 100  # so many rows are examined, fewer if they have more cells
_NAN = re.compile(r"\s*[-+]?nan\s*", re.IGNORECASE)
_MAY_BE_INFINITE = re.compile(r"[iIeE]|\d{309}")
_USABLE_KINDS = {"number", "text", "boolean", "category", "empty"}  # and "integer"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewedColumn:
    """A column, as the first rows show it.

    Attributes
    ----------
    name, type : its name, and its type as the file or the engine calls it.
    kind : "integer", "number", "text", "boolean", "category", "empty", or the type of values that no formula takes, such as dates.
    missing : the number of missing values among the rows that were examined.
    missing_words : how they are written, word -> count; empty for data with types.
    values : the first values, None for a missing one.
    """

    name: str
    type: str
    kind: str
    missing: int
    missing_words: Mapping[str, int]
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRows:
    """What the first rows of a source show.

    Attributes
    ----------
    count, is_all : the number of rows, and whether these are all rows.
    columns : the columns in order.
    texts : name -> value -> count, for each column of text.
    notes : what may be unexpected, in sentences.
    """

    count: int
    is_all: bool
    columns: tuple[PreviewedColumn, ...]
    texts: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...]


def examine_first_rows(source: Source) -> FirstRows:
    """Read the first rows of a source, and nothing else."""
    names = [name for name in source.columns if name not in source.duplicate_names]
    limit = max(min(_ROWS, _CELLS // max(len(names), 1)), _FEWEST_ROWS)
    table, errors = _read_head(source, names, limit)
    found = dict(zip(table.column_names, table.columns, strict=True))
    columns = tuple(_preview_column(source, name, found.get(name)) for name in source.columns)
    odd = [note for column in columns if column.name in found for note in _find_odd_values(source, column, found[column.name])]
    is_all = table.num_rows == source.rows or (source.rows is None and bool(names) and table.num_rows < limit)
    texts = {each.name: _count_texts(source, found[each.name]) for each in columns if each.kind == "text"}
    advice = source.header_error or ("" if source.typed else header_hint(list(source.columns)))
    notes = (advice, *errors, *odd) if advice else (*errors, *odd)
    return FirstRows(count=table.num_rows, is_all=is_all, columns=columns, texts=texts, notes=notes)


def _read_head(source: Source, names: Sequence[str], limit: int) -> tuple[pa.Table, list[str]]:
    """Return the first rows, without the columns that cannot be read, and the errors of these."""
    try:
        return source.head(names, limit), []
    except DataError:
        tables, errors = [], []
        for name in names:
            try:
                tables.append(source.head([name], limit))
            except DataError as error:
                errors.append(str(error))
        if not tables:
            raise
        return pa.table({name: table[name] for table in tables for name in table.column_names}), errors


def _preview_column(source: Source, name: str, column: pa.ChunkedArray | None) -> PreviewedColumn:
    kind, missing, words, values = "unreadable", 0, Counter[str](), []
    if column is not None:
        values = column.to_pylist()
        if source.typed or not pa.types.is_string(column.type):  # the key of a folder has a type
            missing = sum(value is None or value != value for value in values)
            kind = _name_kind(column.type)
            if kind == "text" and source.is_file:
                found = source.kind(name)  # "other" for objects in JSON, "number" for numbers in quotes
                kind = source.columns[name].lower() if found == "other" else "number" if found == "number" else kind
        else:
            words.update(text or "" for text in values if text is None or text in source.null_words)
            missing = words.total()
            values = [None if text is None or text in source.null_words else text for text in values]
            kind = _find_kind(source, source.columns[name], [text for text in values if text is not None])
            gaps = [text for text in values if text is not None and kind == "number" and _NAN.fullmatch(text)]
            words.update(gaps)
            missing += len(gaps)
            values = [None if text in gaps else text for text in values] if gaps else values
    return PreviewedColumn(
        name=name,
        type=source.columns[name],
        kind="duplicate" if name in source.duplicate_names else kind,
        missing=missing,
        missing_words=dict(words.most_common()),
        values=tuple(values[:5]),
    )


def _name_kind(kind: pa.DataType) -> str:
    """Name the kind of a column with types.

    >>> _name_kind(pa.int8()), _name_kind(pa.float32()), _name_kind(pa.string()), _name_kind(pa.date32())
    ('integer', 'number', 'text', 'date32[day]')
    """
    if pa.types.is_integer(kind):
        return "integer"
    found = kind_of(kind)
    if pa.types.is_dictionary(kind):
        return "category"
    return str(kind) if found == "other" else "empty" if found == "null" else found


def _find_kind(source: Source, declared: str, texts: Sequence[Any]) -> str:
    """Name the kind of a column of text by its values, or by its type if that is neither numbers nor text."""
    if not texts:
        return "empty"
    texts = [_without_groups(source, text) for text in texts]
    if all(parses_as_number(text, decimal_comma=source.decimal_comma) for text in texts):
        return "integer" if all(isinstance(exact_number(text), int) for text in texts) else "number"
    return "text" if declared in ("VARCHAR", "DOUBLE", "BIGINT") else declared.lower()  # DuckDB takes 0xA for a number


def _without_groups(source: Source, text: str) -> str:
    """Return a number without the separators between its groups of digits, and any other text unchanged, as a fit reads it."""
    is_grouped = source.thousands and source.thousands in text and re.fullmatch(grouped_digits_pattern(source.thousands), text)
    return text.replace(source.thousands, "") if is_grouped else text


def _find_odd_values(source: Source, column: PreviewedColumn, values: pa.ChunkedArray) -> Iterator[str]:
    if not source.typed and "VARCHAR" not in column.type and not source.header_error:
        try:
            source.kind(column.name)  # only text is scanned
        except DataError as error:
            yield str(error)
    if column.kind == "number" and (infinite := [value for value in values.to_pylist() if _is_infinite(value)]):
        yield (
            f"Column {column.name!r} has {pluralize(len(infinite), 'value')} that double precision takes as infinite, such as "
            f"{infinite[0]!r}. A fit drops and counts such rows."
        )
    if column.kind == "integer":
        largest = max((abs(int(value)) for value in values.to_pylist() if value is not None and _is_integer(value)), default=0)
        if largest > EXACT_INTEGERS:
            yield (
                f"Column {column.name!r} has whole numbers beyond 2^53, such as {largest}, which double precision rounds. "
                f"Use it as categories, C({column.name}), or not at all."
            )
    elif column.kind not in _USABLE_KINDS:
        yield str(unsupported_column_error(source.label, column.name, column.kind))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) or isinstance(exact_number(value), int)


def _is_infinite(value: Any) -> bool:
    if isinstance(value, str):
        value = float(value.replace(",", ".")) if _MAY_BE_INFINITE.search(value) and parses_as_number(value) else 0.0
    return isinstance(value, float) and math.isinf(value)


def _count_texts(source: Source, values: pa.ChunkedArray) -> Mapping[str, int]:
    texts = values.to_pylist()
    return Counter(_without_groups(source, text) for text in texts if text is not None and text not in source.null_words)
