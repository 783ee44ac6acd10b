"""Hive partitions: a folder named key=value adds a column, with that value in every row of the files below it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from squarely.data.dtypes import Kind, Level, kind_of, parses_as_number
from squarely.data.source import DerivedSource, PlacedBatch, RowRange, Source, with_row_positions
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
    keys = {key for file in files for key in file}
    parsers = {key: _choose_parser([file[key] for file in files if key in file]) for key in keys}
    return [{key: None if text == _HIVE_NULL else parsers[key](text) for key, text in file.items()} for file in files]


def _choose_parser(texts: Sequence[str]) -> type[int] | type[float] | type[str]:
    values = [text for text in texts if text != _HIVE_NULL]
    if not values or not all(parses_as_number(text) and math.isfinite(float(text)) for text in values):
        return str
    return int if all(re.fullmatch(r"[-+]?\d{1,18}", text) for text in values) else float


class HivePartitionSource(DerivedSource):
    """The rows of one file, with columns of one value: those of the folders' keys, and NULL for columns of other files."""

    def __init__(self, file: Source, values: Mapping[str, Constant], texts: Mapping[str, str]) -> None:
        """Add the columns `values`; `texts` are those of the folders as text, for a source whose labels are all text."""
        super().__init__(file)
        self._values, self._texts = values, texts
        self.columns = {**file.columns, **{k: str(pa.scalar(v).type) for k, v in values.items() if k not in file.columns}}
        if file.pandas_call is not None:
            constants = {k: values[k] if self.typed or values[k] is None else text for k, text in texts.items()}
            self.pandas_call = replace(file.pandas_call, constants=constants)

    @property
    def rows(self) -> int | None:
        return self.parent.rows

    def head(self, names: Sequence[str], rows: int) -> pa.Table:
        table = self.parent.head([name for name in names if name not in self._values], rows)
        values = {name: pa.array([value] * table.num_rows) for name, value in self._values.items()}
        return pa.table([values[name] if name in values else table[name] for name in names], names=list(names))

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        for _, batch in self._read(numbers, labels, None):
            yield batch

    def parts(self) -> tuple[RowRange, ...]:
        return self.parent.parts()

    def read_parts(self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]) -> Iterator[PlacedBatch]:
        yield from self._read(numbers, labels, order)

    def _read(self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int] | None) -> Iterator[PlacedBatch]:
        names = [*numbers, *labels]
        scalars = {i: self._make_scalar(name, label=i >= len(numbers)) for i, name in enumerate(names) if name in self._values}
        numbers, labels = ([name for name in group if name not in self._values] for group in (numbers, labels))
        file = self.parent
        batches = with_row_positions(file.read(numbers, labels)) if order is None else file.read_parts(numbers, labels, order)
        for first, batch in batches:
            columns = iter(batch.columns)
            filled = [pa.repeat(scalars[i], batch.num_rows) if i in scalars else next(columns) for i in range(len(names))]
            yield first, pa.RecordBatch.from_arrays(filled, names=[str(i) for i in range(len(names))]) if names else batch

    def _make_scalar(self, name: str, *, label: bool) -> pa.Scalar:
        is_text = label and not self.typed and self._values[name] is not None
        return pa.scalar(self._texts[name] if is_text else self._values[name])

    def kind(self, name: str) -> Kind:
        """Return the kind; raise a DataError if the file has a column with the name of a folder's key."""
        if name in self._values and name in self.parent.columns:
            raise DataError(
                f"{name!r} is a column of {self.label!r} and also the key of its folder '{name}={self._texts[name]}'. "
                "Rename the column or the folder."
            )
        return kind_of(pa.scalar(self._values[name]).type) if name in self._values else self.parent.kind(name)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        return None if name in self._values else self.parent.category_order(name)
