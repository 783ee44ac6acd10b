"""Hive partitions: a folder named key=value adds a column, with that value in every row of the files below it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from squarely.data.dtypes import Kind, Level, parses_as_number
from squarely.data.source import PlacedBatch, RowRange, Source, with_row_positions
from squarely.errors import DataError

_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"  # the name that Hive, Spark, DuckDB, Arrow and Polars give to NULL
_SEGMENT = re.compile(r"([^=]+)=(.*)")

Constant = int | float | str | None


def read_folder_keys(folders: Path) -> dict[str, str]:
    """Return the keys of a path's folders with their values, as text.

    >>> read_folder_keys(Path("sales/year=2020/town=New%20York"))
    {'year': '2020', 'town': 'New York'}
    """
    segments = [match for part in folders.parts if (match := _SEGMENT.fullmatch(part))]
    return {unquote(match[1]): unquote(match[2]) for match in segments}


def parse_constants(files: Sequence[Mapping[str, str]]) -> list[dict[str, Constant]]:
    """Convert the values of a key to numbers if all of them are numbers, and to integers if all are integers.

    >>> parse_constants([{"year": "2020", "town": "A"}, {"year": "2021", "town": "7"}])
    [{'year': 2020, 'town': 'A'}, {'year': 2021, 'town': '7'}]
    """
    parsers = {
        key: _choose_parser([file[key] for file in files if key in file])
        for key in dict.fromkeys(k for file in files for k in file)
    }
    return [{key: None if text == _HIVE_NULL else parsers[key](text) for key, text in file.items()} for file in files]


def _choose_parser(texts: Sequence[str]) -> type[int] | type[float] | type[str]:
    values = [text for text in texts if text != _HIVE_NULL]
    if not values or not all(parses_as_number(text) and math.isfinite(float(text)) for text in values):
        return str
    return int if all(re.fullmatch(r"[-+]?\d{1,18}", text) for text in values) else float


class HivePartitionSource(Source):
    """The rows of one file, with a constant column for each key of its folders."""

    is_file = True

    def __init__(self, file: Source, values: Mapping[str, Constant], texts: Mapping[str, str]) -> None:
        """Add the columns `values`; `texts` are the same values as text, for a source whose labels are all text."""
        self._file, self._values, self._texts = file, values, texts
        self.label, self.typed, self.notes = file.label, file.typed, file.notes
        self.duplicate_names, self.index_columns = file.duplicate_names, file.index_columns
        self._clashing_names = [name for name in values if name in file.columns]
        constant_types = {name: str(_arrow_type(value)) for name, value in values.items() if name not in file.columns}
        self.columns = {**file.columns, **constant_types}
        if file.pandas_call is not None:
            constants = values if self.typed else {k: None if v is None else texts[k] for k, v in values.items()}
            self.pandas_call = replace(file.pandas_call, constants=constants)

    @property
    def rows(self) -> int | None:
        """The number of rows, None if the file does not record it."""
        return self._file.rows

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in file order."""
        batches = self._file.read(self._names_in_file(numbers), self._names_in_file(labels))
        for _, batch in self._add_constants(with_row_positions(batches), numbers, labels):
            yield batch

    def parts(self) -> tuple[RowRange, ...]:
        """Return the parts of the file."""
        return self._file.parts()

    def read_parts(self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]) -> Iterator[PlacedBatch]:
        """Yield the named columns of some parts."""
        batches = self._file.read_parts(self._names_in_file(numbers), self._names_in_file(labels), order)
        yield from self._add_constants(batches, numbers, labels)

    def _names_in_file(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name not in self._values]

    def _add_constants(
        self, batches: Iterator[tuple[int, pa.RecordBatch]], numbers: Sequence[str], labels: Sequence[str]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        names = [*numbers, *labels]
        scalars = {i: self._make_scalar(name, label=i >= len(numbers)) for i, name in enumerate(names) if name in self._values}
        for first, batch in batches:
            columns = iter(batch.columns)
            filled = [pa.repeat(scalars[i], batch.num_rows) if i in scalars else next(columns) for i in range(len(names))]
            yield first, pa.RecordBatch.from_arrays(filled, names=[str(i) for i in range(len(names))]) if names else batch

    def _make_scalar(self, name: str, *, label: bool) -> pa.Scalar:
        value = self._values[name]
        if label and not self.typed and value is not None:
            return pa.scalar(self._texts[name])
        return pa.scalar(value, _arrow_type(value))

    def kind(self, name: str) -> Kind:
        """Return what a column holds.

        Raises
        ------
        DataError : the file has a column with the name of a folder's key.
        """
        if name in self._clashing_names:
            raise DataError(
                f"{name!r} is a column of {self.label!r} and also the key of its folder '{name}={self._texts[name]}'. "
                "Rename the column or the folder."
            )
        if name not in self._values:
            return self._file.kind(name)
        value = self._values[name]
        return "null" if value is None else "text" if isinstance(value, str) else "number"

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Return the levels that the file declares."""
        return None if name in self._values else self._file.category_order(name)


def _arrow_type(value: Constant) -> pa.DataType:
    types: dict[type, pa.DataType] = {int: pa.int64(), float: pa.float64(), str: pa.string(), type(None): pa.null()}
    return types[type(value)]
