"""Find the places of the labels of rows among levels that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from squarely.data.dtypes import level_number
from squarely.data.scan.batch import CategoricalColumn
from squarely.data.scan.grouped import Labels, encode_labels, fractional_label_error

_SPARSE = 2**20  # a table of places may be so much longer than the levels


def sort_labels(labels: Labels, *, typed: bool = True) -> np.ndarray:
    """Return the places of distinct labels (L,) in their order: that of the first column, then of the second.

    Labels of text that are not `typed` sort as numbers if all of them are.
    """
    columns = labels if typed else [_to_numbers(column) or column for column in labels]
    table = pa.table({str(i): column for i, column in enumerate(columns)})
    return np.asarray(pc.sort_indices(table, [(name, "ascending") for name in table.column_names]).to_numpy())


def _to_numbers(labels: pa.Array) -> pa.Array | None:
    """Return text as numbers; None if it is not text, or some is not a number."""
    if not pa.types.is_large_string(labels.type):
        return None
    try:
        return labels.cast(pa.float64())
    except pa.ArrowInvalid:
        return None


def require_whole_labels(names: Sequence[str], labels: Labels) -> None:
    """Raise a DataError if labels of text are numbers with fractions, which other sources refuse by their type."""
    for name, column in zip(names, labels, strict=True):
        numbers = _to_numbers(column)
        values = np.empty(0) if numbers is None else numbers.to_numpy()
        if len(odd := values[values != np.floor(values)]):
            raise fractional_label_error(name, odd[0])


def take_labels(labels: Labels, places: np.ndarray) -> Labels:
    """Return the labels at some places."""
    return tuple(column.take(pa.array(places)) for column in labels)


def make_labels(columns: Sequence[Sequence[Any]]) -> Labels:
    """Return labels of plain values: integers, texts or booleans, of one type in a column.

    Raises
    ------
    TypeError, ValueError : they are not distinct labels of one type.
    """
    labels = []
    for values in columns:
        kinds = {type(value) for value in values}
        if len(kinds) != 1 or not kinds <= _TYPES.keys():
            raise TypeError("the labels of a column must be texts, integers or booleans.")
        labels.append(pa.array(values, _TYPES[kinds.pop()]))
    if len({len(values) for values in columns}) != 1 or len(set(zip(*columns, strict=True))) < len(columns[0]):
        raise ValueError("labels must be different.")
    return tuple(labels)


_TYPES = {str: pa.large_string(), int: pa.int64(), bool: pa.bool_()}


class LevelIndex:
    """The levels of an effect, and a search for the place of each row's label among them.

    `labels` (L,) are the distinct labels, a column or a pair of columns, as `encode_labels` gives them. Text that is not `typed`,
    as in a CSV file, stands for numbers if all of it does.
    """

    __slots__ = ("_columns", "_pairs", "labels", "typed")

    def __init__(self, labels: Labels, *, typed: bool = True) -> None:
        self.labels, self.typed = labels, typed
        self._columns = [_ColumnIndex(column) for column in labels]
        self._pairs = None
        if len(labels) > 1:
            self._pairs = _ColumnIndex(pa.array(self._join(labels)))

    def __len__(self) -> int:
        return len(self.labels[0])

    def codes(self, columns: Mapping[str, CategoricalColumn]) -> np.ndarray:
        """Return the place (m,) of each row's label, -1 for one that is not a level or is missing."""
        known = np.flatnonzero(np.all([column.codes >= 0 for column in columns.values()], axis=0))
        size = len(next(iter(columns.values())).codes)
        if len(known) < size:
            columns = {name: _take(column, known) for name, column in columns.items()}
        labels, local = encode_labels(columns)
        found: np.ndarray = self._find(labels)[local] if len(local) else local.astype(np.int64)
        if len(known) == size:
            return found
        codes = np.full(size, -1)
        codes[known] = found
        return codes

    def to_list(self) -> list[Any]:
        """Return the levels as plain values, pairs as tuples."""
        columns = [
            column.to_pylist() if self.typed or _to_numbers(column) is None else [*map(level_number, column.to_pylist())]
            for column in self.labels
        ]
        return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))

    def _find(self, labels: Labels) -> np.ndarray:
        return self._columns[0].find(labels[0]) if self._pairs is None else self._pairs.find(pa.array(self._join(labels)))

    def _join(self, labels: Labels) -> np.ndarray:
        first, second = (index.find(column) for index, column in zip(self._columns, labels, strict=True))
        return np.where((first < 0) | (second < 0), -1, first * (len(self) + 1) + second)


def _take(column: CategoricalColumn, rows: np.ndarray) -> CategoricalColumn:
    return CategoricalColumn(
        values=column.values, dictionary=column.dictionary, codes=column.codes[rows], gaps=None, narrow_type=column.narrow_type
    )


class _ColumnIndex:
    """The first place of each distinct label of one column: a table for integers that lie near each other, else a dict."""

    __slots__ = ("_labels", "_low", "_places", "_table")

    def __init__(self, labels: pa.Array) -> None:
        self._labels, self._table, self._places, self._low = labels, np.empty(0, dtype=np.int64), {}, 0
        if pa.types.is_integer(labels.type) and len(labels):
            values = labels.to_numpy()
            self._low = int(values.min())
            span = int(values.max()) - self._low + 1
            if span <= 8 * len(values) + _SPARSE:
                self._table = np.full(span + 1, -1)
                self._table[values[::-1] - self._low] = np.arange(len(values))[::-1]
                return
        self._places = {value: i for i, value in reversed([*enumerate(labels.to_pylist())])}

    def find(self, labels: pa.Array) -> np.ndarray:
        """Return the places of labels (m,), -1 for those that are not there."""
        if labels.type != self._labels.type:  # such as text of a CSV file, for levels that are integers
            places = {_read_level(value): i for i, value in reversed([*enumerate(self._labels.to_pylist())])}
            return np.array([places.get(_read_level(value), -1) for value in labels.to_pylist()], dtype=np.int64)
        if len(self._table):
            last = len(self._table) - 1
            values = labels.to_numpy()
            inside = (values >= self._low) & (values < self._low + last)
            return np.asarray(self._table[np.where(inside, values - self._low, last)])
        return np.array([self._places.get(value, -1) for value in labels.to_pylist()], dtype=np.int64)


def _read_level(value: Any) -> Any:
    return level_number(value) if isinstance(value, str) else value
