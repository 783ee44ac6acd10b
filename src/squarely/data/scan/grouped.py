"""Labels of rows, such as clusters, as codes that merge; and sums by label that move to the disk when they are large."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from squarely.data.dtypes import kind_of
from squarely.data.scan.batch import CategoricalColumn
from squarely.data.scan.batch_store import BatchStore, read_cache_limit
from squarely.errors import DataError, show_value
from squarely.numerics import EXACT_INTEGERS, Array

Labels = tuple[pa.Array, ...]  # the distinct labels, a column (G,) for each column of the data

_STORED_GROUPS, _ROWS = 65_536, 16_384  # groups in a batch that is stored, and in one that DuckDB returns
_SMALLEST_MEMORY = 2**28  # DuckDB needs so many bytes to group at all
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,  # the order of the sums is fixed
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}


def encode_labels(columns: Mapping[str, CategoricalColumn], *, fractions: bool = False) -> tuple[Labels, np.ndarray]:
    """Return the distinct labels in some rows, and the place of each row's label among them (m,).

    With several columns a label is a combination. With `fractions` numbers need not be whole.

    Raises
    ------
    DataError : a label is a number with a fraction.
    """
    labels, codes = [], []
    for name, column in columns.items():
        found = pa.array(column.codes).dictionary_encode()
        distinct = column.dictionary.take(found.dictionary)
        any_number = fractions and pa.types.is_floating(distinct.type)
        labels.append(distinct.cast(pa.float64()) if any_number else _require_labels(name, distinct))
        codes.append(found.indices.to_numpy())
    return _pair(labels, codes)


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


class GroupedStore:
    """Tables of labels, counts and sums, the groups of which may recur; they are added up on the disk.

    Tables beyond a quarter of SQUARELY_CACHE_BYTES are written to a temporary file. DuckDB groups them within half of that limit,
    and writes what exceeds it to a temporary folder.
    """

    def __init__(self) -> None:
        limit = read_cache_limit()
        self._store = BatchStore(limit // 4)
        self._memory = max(limit // 2, _SMALLEST_MEMORY)
        self._schema: pa.Schema | None = None

    def __bool__(self) -> bool:
        return self._schema is not None

    def append(self, labels: Labels, counts: np.ndarray, sums: Array) -> None:
        """Store a table of labels, counts (G,) and sums (G, w)."""
        names = [*(f"label{i}" for i in range(len(labels))), "rows", *(f"s{j}" for j in range(sums.shape[1]))]
        for start in range(0, len(counts), _STORED_GROUPS):
            at = slice(start, start + _STORED_GROUPS)
            keys = [column.slice(start, _STORED_GROUPS) for column in labels]
            columns = [*keys, pa.array(counts[at]), *map(pa.array, np.ascontiguousarray(sums[at].T))]
            batch = pa.record_batch(columns, names=names)
            self._schema = self._schema or batch.schema
            self._store.append(batch if batch.schema == self._schema else _with_types(batch, self._schema))

    def iter_groups(self) -> Iterator[tuple[Labels, np.ndarray, Array]]:
        """Yield the groups, each once: labels, counts (g,) and sums (g, w)."""
        import duckdb  # here, because few fits need it, and it takes a while to import

        assert self._schema is not None  # noqa: S101
        names = self._schema.names
        keys = [name for name in names if name.startswith("label")]
        select = ", ".join([*keys, *(f"sum({name}) AS {name}" for name in names[len(keys) :])])
        with tempfile.TemporaryDirectory(prefix="squarely-") as folder:
            settings = {**_SETTINGS, "memory_limit": f"{self._memory}B", "temp_directory": folder}
            with duckdb.connect(":memory:", config=settings) as connection:
                with suppress(duckdb.InvalidInputException):  # a notebook without ipywidgets has no bar, and refuses the setting
                    connection.execute("SET enable_progress_bar = false")
                batches = (self._store[i] for i in range(len(self._store)))
                connection.register("parts", pa.RecordBatchReader.from_batches(self._schema, batches))
                groups = connection.sql(f"SELECT {select} FROM parts GROUP BY {', '.join(keys)}")  # noqa: S608
                for batch in groups.to_arrow_reader(_ROWS):
                    columns = batch.columns
                    sums = np.array([column.to_numpy() for column in columns[len(keys) + 1 :]]).T
                    yield tuple(columns[: len(keys)]), columns[len(keys)].cast(pa.int64()).to_numpy(), sums

    def clear(self) -> None:
        """Free the memory and the file."""
        self._store.clear()


def _with_types(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch([column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)], schema=schema)
