"""Labels of rows, such as clusters, as codes that merge; and sums by label that move to the disk when they are large."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from squarely.data.dtypes import kind_of
from squarely.data.scan.batch import CategoricalColumn
from squarely.data.scan.batch_store import CACHE_VARIABLE, BatchStore, read_cache_limit
from squarely.errors import DataError, show_value
from squarely.numerics import EXACT_INTEGERS, Array

Labels = tuple[pa.Array, ...]  # the distinct labels, a column (G,) for each column of the data

Group = tuple[Labels, np.ndarray, Array]  # a table of groups: labels, numbers of rows (G,) and sums (G, w)

_PARTS, _PART_BITS = 64, 6
_WAITING_CELLS = 2**22  # of tables that are divided at once, 32 MB
_CHECKED_ROWS = 2**20  # stored before the store looks whether groups recur
_LARGE_PART, _MOST_DEPTH = 2**26, 8  # bytes of a part that is divided again, and how often
_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, to combine the hashes of two columns


def encode_labels(columns: Mapping[str, CategoricalColumn], *, fractions: bool = False) -> tuple[Labels, np.ndarray]:
    """Return the distinct labels in some rows, and the place of each row's label among them (m,).

    With several columns a label is a combination. With `fractions` numbers need not be whole.

    Raises
    ------
    DataError : a label is a number with a fraction.
    """
    labels, codes = [], []
    for name, column in columns.items():
        distinct, places = _drop_unused(column.dictionary, column.codes)
        any_number = fractions and pa.types.is_floating(distinct.type)
        labels.append(distinct.cast(pa.float64()) if any_number else _require_labels(name, distinct))
        codes.append(places)
    return _pair(labels, codes)


def _drop_unused(dictionary: pa.Array, codes: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """Return the values of a dictionary that occur, and the place of each row's value among them (m,)."""
    if len(dictionary) > 4 * len(codes):
        found = pa.array(codes).dictionary_encode()
        return dictionary.take(found.dictionary), found.indices.to_numpy()
    occurs = np.bincount(codes, minlength=len(dictionary)) > 0  # faster than to hash the codes
    if occurs.all():
        return dictionary, codes
    return dictionary.filter(pa.array(occurs)), (np.cumsum(occurs) - 1)[codes]


def concat_labels(parts: Sequence[Labels]) -> tuple[Labels, np.ndarray]:
    """Return the distinct labels of several parts, and the place among them of each label of each part, in order."""
    labels, codes = [], []
    for columns in zip(*parts, strict=True):
        one_type = len({column.type for column in columns}) == 1
        found = pa.concat_arrays(
            columns if one_type else [column.cast(pa.large_string()) for column in columns]
        ).dictionary_encode()
        labels.append(found.dictionary)
        codes.append(found.indices.to_numpy())
    return _pair(labels, codes)


class LabelPlaces:
    """Distinct labels as plain values, each with its place in the order of appearance; of several columns, tuples."""

    def __init__(self, labels: Labels) -> None:
        self._places = {value: place for place, value in enumerate(_plain_labels(labels))}

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._places)

    def merge(self, other: LabelPlaces) -> np.ndarray:
        """Return the places of the labels of another one (g,), which get one here if they are new."""
        places = self._places
        return np.array([places.setdefault(value, len(places)) for value in other], dtype=np.int64)

    def find(self, labels: Labels) -> np.ndarray:
        """Return the places of labels (g,), -1 for one that has none."""
        return np.array([self._places.get(value, -1) for value in _plain_labels(labels)], dtype=np.int64)


def _plain_labels(labels: Labels) -> list[Any]:
    columns = [column.to_pylist() for column in labels]
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def _pair(labels: Sequence[pa.Array], codes: Sequence[np.ndarray]) -> tuple[Labels, np.ndarray]:
    """Return the distinct combinations of labels, and the places among them of the rows."""
    joined, places = (labels[0],), codes[0]
    for column, more in zip(labels[1:], codes[1:], strict=True):
        size = max(len(column), 1)
        found = pa.array(places.astype(np.int64) * size + more).dictionary_encode()
        first, second = (pa.array(part) for part in np.divmod(found.dictionary.to_numpy(), size))
        joined, places = (*(each.take(first) for each in joined), column.take(second)), found.indices.to_numpy()
    return joined, places


def _require_labels(name: str, labels: pa.Array) -> pa.Array:
    """Return labels as 64-bit integers, text or booleans, so that 1.0 is 1 in every batch."""
    kind = labels.type
    if pa.types.is_boolean(kind):
        return labels
    if kind_of(kind) == "text":
        return labels.cast(pa.large_string())
    if pa.types.is_floating(kind):
        values = labels.to_numpy(zero_copy_only=False).astype(float)
        odd = values[(values != np.floor(values)) | (np.abs(values) > EXACT_INTEGERS)]
        if len(odd):
            raise fractional_label_error(name, odd[0])
        return pa.array(values.astype(np.int64))
    try:
        return labels.cast(pa.int64())
    except pa.ArrowInvalid:
        if pa.types.is_decimal(kind):
            odd_decimal = next((value for value in labels.to_pylist() if value != int(value)), None)
            if odd_decimal is not None:
                raise fractional_label_error(name, odd_decimal) from None
        return labels.cast(pa.large_string())  # beyond 64 bits


def fractional_label_error(name: str, value: Any) -> DataError:
    """Return the error for a number that is not whole among labels."""
    return DataError(
        f"Column {name!r} has {show_value(float(value))} among its labels, which is not a whole number, so the column does not "
        "name groups of rows. Name another column, or convert it to text if its values are labels."
    )


def require_one_spelling(name: str, labels: pa.Array) -> None:
    """Raise a DataError if all labels are numbers, and two texts are the same number, such as "1" and "01"."""
    if kind_of(labels.type) != "text":
        return
    try:
        values = pc.utf8_trim_whitespace(labels).cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    same = np.flatnonzero((ordered[1:] == ordered[:-1]) & (np.abs(ordered[1:]) < EXACT_INTEGERS))
    if len(same):
        first, second = (show_value(labels[int(order[same[0] + i])].as_py()) for i in (0, 1))
        raise DataError(
            f"Column {name!r} has {first} and {second} among its labels, which are the same number. Write each number in one way."
        )


def add_up(tables: Sequence[Group]) -> Group:
    """Return one table that has each group of some tables once."""
    parts, counts, sums = zip(*tables, strict=True)
    labels, codes = concat_labels(parts)
    size = len(labels[0])
    total = np.rint(np.bincount(codes, np.concatenate(counts), size)).astype(np.int64)
    return labels, total, sum_by_code(codes, np.concatenate(sums), size)


def sum_by_code(codes: np.ndarray, values: Array, size: int) -> Array:
    """Sum values (m, w) by their codes (m,) into a table (size, w), in the order of the rows; columns are contiguous."""
    sums = np.empty((values.shape[1], size))
    for total, column in zip(sums, np.ascontiguousarray(values.T), strict=True):
        total[:] = np.bincount(codes, column, size)
    return sums.T


@dataclass(slots=True)
class _HashPart:
    """The numbers in the store of the batches of a part, and their rows and bytes."""

    numbers: list[int] = field(default_factory=list)
    rows: int = 0
    nbytes: int = 0


class GroupedStore:
    """Tables of groups that may recur; beyond an eighth of SQUARELY_CACHE_BYTES they are in a temporary file.

    A hash of its label puts each group into one of 64 parts, and a part is added up alone, in little memory. Where groups recur
    often, all parts are added up from time to time, so the file grows with the number of groups and not with that of rows.
    """

    def __init__(self, depth: int = 0) -> None:
        """Divide by the first bits of the hash; at a `depth` by the next ones."""
        self._depth, self._limit = depth, read_cache_limit() // 8
        self._waiting: list[Group] = []
        self._types: tuple[pa.DataType, ...] = ()
        self._store, self._parts, self._check_at = self._start_again()

    def _start_again(self) -> tuple[BatchStore, list[_HashPart], int]:
        return BatchStore(self._limit), [_HashPart() for _ in range(_PARTS)], _CHECKED_ROWS

    def __bool__(self) -> bool:
        return bool(self._types)

    def append(self, labels: Labels, counts: np.ndarray, sums: Array) -> None:
        """Store a table of labels, counts (G,) and sums (G, w)."""
        types = tuple(column.type for column in labels)
        common = tuple(a if a == b else pa.large_string() for a, b in zip(self._types or types, types, strict=True))
        if self._types not in ((), common):  # such as numbers beyond 64 bits, which are text
            self._divide_waiting()
            store, parts = self._store, self._parts
            self._store, self._parts, self._check_at = self._start_again()
            self._types = common
            for part in parts:
                for table in self._read(store, part):
                    self.append(*table)
        self._types = common
        labels = tuple(column.cast(kind) for column, kind in zip(labels, common, strict=True))
        self._waiting.append((labels, counts, sums))
        if sum(each[2].size for each in self._waiting) >= _WAITING_CELLS:
            self._divide_waiting()

    def iter_groups(self) -> Iterator[Group]:
        """Yield the groups, each once."""
        self._divide_waiting()
        for part in self._parts:
            tables = self._read(self._store, part)
            if part.nbytes > _LARGE_PART and self._depth < _MOST_DEPTH:
                divided = GroupedStore(self._depth + 1)
                for table in tables:
                    divided.append(*table)
                yield from divided.iter_groups()
            elif part.rows:
                yield add_up(list(tables))

    def _read(self, store: BatchStore, part: _HashPart) -> Iterator[Group]:
        for number in part.numbers:
            *labels, counts, sums = store[number].columns
            yield tuple(labels), counts.to_numpy(), sums.flatten().to_numpy().reshape(len(sums), -1)

    def _divide_waiting(self) -> None:
        """Store the tables that wait, divided into parts."""
        if not self._waiting:
            return
        parts, counts, sums = zip(*self._waiting, strict=True)
        self._waiting = []
        labels = [pa.concat_arrays(column) for column in zip(*parts, strict=True)]
        shift = np.uint64(64 - _PART_BITS * (self._depth + 1))
        places = ((_hash(labels) >> shift) % np.uint64(_PARTS)).astype(np.uint8)
        order = np.argsort(places, kind="stable")
        by_rows = np.concatenate([np.ascontiguousarray(each) for each in sums])  # rows move twice as fast as columns
        table = tuple(column.take(pa.array(order)) for column in labels), np.concatenate(counts)[order], by_rows.take(order, axis=0)
        ends = np.cumsum(np.bincount(places, minlength=_PARTS)).tolist()
        for part, start, stop in zip(self._parts, [0, *ends], ends, strict=False):
            self._store_rows(part, table, slice(start, stop))
        if sum(part.rows for part in self._parts) >= self._check_at:
            self._shrink()

    def _store_rows(self, part: _HashPart, table: Group, at: slice) -> None:
        labels, counts, sums = table
        if at.stop > at.start:
            values = pa.FixedSizeListArray.from_arrays(pa.array(sums[at].ravel()), sums.shape[1])
            columns = [*(column.slice(at.start, at.stop - at.start) for column in labels), pa.array(counts[at]), values]
            batch = pa.record_batch(columns, names=[str(i) for i in range(len(columns))])
            part.numbers.append(len(self._store))
            part.rows += batch.num_rows
            part.nbytes += batch.nbytes
            try:
                self._store.append(batch)
            except OSError as error:
                raise DataError(
                    f"The sums of groups do not fit into the temporary folder: {error.strerror or error}. Set the environment "
                    f"variable TMPDIR to a folder with enough space, or {CACHE_VARIABLE} to more bytes of memory."
                ) from error

    def _shrink(self) -> None:
        """Add up every part, if that halves the number of rows, as the largest part shows."""
        store, parts = self._store, self._parts
        largest = max(parts, key=lambda part: part.rows)
        fits = largest.nbytes <= 4 * _LARGE_PART
        if fits and 2 * len(add_up(list(self._read(store, largest)))[1]) <= largest.rows:
            self._store, self._parts, _ = self._start_again()
            for part, smaller in zip(parts, self._parts, strict=True):
                if part.rows:
                    table = add_up(list(self._read(store, part)))
                    self._store_rows(smaller, table, slice(0, len(table[1])))
            store.clear()
        self._check_at = max(2 * sum(part.rows for part in self._parts), _CHECKED_ROWS)


def _hash(labels: Sequence[pa.Array]) -> np.ndarray:
    """Hash the rows (m,) of columns of labels."""
    import pandas as pd  # here, because it takes a while to import, and few fits need it

    total = np.zeros(len(labels[0]), dtype=np.uint64)
    for column in labels:
        total = total * _HASH_FACTOR + pd.util.hash_array(column.to_numpy(zero_copy_only=False), categorize=False)
    return total
