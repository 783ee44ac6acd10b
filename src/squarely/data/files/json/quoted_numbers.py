"""JSON lines with numbers in quotes, as Socrata and others write them, and with words for a missing value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from squarely.data.dtypes import Kind
from squarely.data.files.read_options import ReadOptions
from squarely.data.source import DerivedSource, Source

# A number in JSON: without a zero before its digits, which codes such as 01234 have.
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$"
_FIRST_ROWS = 100


class QuotedNumbersSource(DerivedSource):
    """The rows of JSON lines, in which a column of texts holds numbers if each of its values is one; `na_values` are missing."""

    def __init__(self, parent: Source, options: ReadOptions) -> None:
        super().__init__(parent)
        self._words = pa.array(options.na_values or (), pa.string())
        self._numbers = pa.array(options.na_numbers, pa.float64())
        self._kinds: dict[str, Kind] = {}  # of the columns of text that have been scanned
        self.pandas_call = parent.pandas_call
        if options.na_values:
            self.notes += (options.describe(),)
            gaps: tuple[str | float, ...] = (*options.na_values, *options.na_numbers)
            self.pandas_call = self.pandas_call and replace(self.pandas_call, gaps=gaps)

    @property
    def rows(self) -> int | None:
        return self.parent.rows

    def require_unchanged(self) -> None:
        self.parent.require_unchanged()

    def head(self, names: Sequence[str], rows: int) -> pa.Table:
        return self.parent.head(names, rows)

    def kind(self, name: str) -> Kind:
        """Return what a column holds; a text that is a number in the first rows is scanned to the end."""
        kind = self.parent.kind(name)
        if kind != "text":
            return kind
        if name not in self._kinds:
            self._kinds[name] = self._find_kind(name)
            if self._kinds[name] == "number":
                self.notes += (f"numbers in quotes in {name!r}",)
        return self._kinds[name]

    def _find_kind(self, name: str) -> Kind:
        kind: Kind = "null"
        for column in self._iter_columns(name):
            values = self._remove_missing(column).drop_null()
            if not len(values):
                continue
            if not pc.all(pc.match_substring_regex(values, _NUMBER)).as_py():
                return "text"
            kind = "number"
        return kind

    def _iter_columns(self, name: str) -> Iterator[pa.Array]:
        """Yield some values of a column of text, which are parsed fast, then all of them."""
        first = self.parent.head([name], _FIRST_ROWS).column(0)
        if pa.types.is_string(first.type):
            yield from first.chunks
        for batch in self.parent.read([], [name]):
            yield batch.column(0)

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        quoted = {i for i, name in enumerate(numbers) if self.parent.kind(name) == "text" and self.kind(name) != "text"}
        for batch in self.parent.read(numbers, labels):
            columns = [self._remove_missing(column) for column in batch.columns]
            columns = [column.cast(pa.float64()) if i in quoted else column for i, column in enumerate(columns)]
            yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

    def _remove_missing(self, column: pa.Array) -> pa.Array:
        values = self._words if pa.types.is_string(column.type) else self._numbers
        if not len(values) or pa.types.is_boolean(column.type) or pa.types.is_null(column.type):
            return column
        is_missing = pc.is_in(column.cast(values.type, safe=False), value_set=values)
        return pc.if_else(is_missing, pa.scalar(None, column.type), column)
