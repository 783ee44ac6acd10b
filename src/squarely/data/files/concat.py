"""Concatenate files of one kind: their rows follow each other, and their columns are matched by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import pyarrow as pa

from squarely.data.dtypes import Kind, Level, merge_level_orders
from squarely.data.files.paths import FileSet
from squarely.data.pandas_io import PandasReadCall
from squarely.data.source import PlacedBatch, RowRange, Source, with_row_positions
from squarely.errors import DataError

_KIND_WORDS: Mapping[Kind, str] = {"number": "numbers", "boolean": "true and false", "category": "categories of numbers"}


@dataclass(frozen=True, slots=True)
class _FilePart:
    """A part of a file: the file's index, the rows in the files before it, the part's index in the file, and its rows."""

    file: int
    rows_before: int
    number: int
    row_range: RowRange


class ConcatSource(Source):
    """The sources of several files, one after the other.

    A column is checked only when it is used: every file must have it, with values of one kind or no values.
    """

    is_file = True

    def __init__(self, files: FileSet, readers: Sequence[Source], *, may_lack: bool = False) -> None:
        """Concatenate the readers of the files; with `may_lack`, a column that a file lacks is NULL there."""
        self.label = files.label
        self._files, self._readers, self._may_lack = files, tuple(readers), may_lack
        self.typed = readers[0].typed
        self.notes = tuple(dict.fromkeys([*files.notes, *(note for reader in readers for note in reader.notes)]))
        self.duplicate_names = frozenset().union(*(reader.duplicate_names for reader in readers))
        self.columns = {
            name: self._join_types(name) for name in dict.fromkeys(name for reader in readers for name in reader.columns)
        }
        self.index_columns = frozenset().union(*(reader.index_columns for reader in readers))
        self.pandas_call = _join_pandas_calls([reader.pandas_call for reader in readers])
        self._kinds: dict[str, Kind] = {}
        self._row_counts: dict[int, int] = {}  # file -> its rows, as the last complete scan counted them

    @property
    def rows(self) -> int | None:
        """The number of rows, None if a file does not record it."""
        counts = [reader.rows for reader in self._readers]
        return None if None in counts else sum(rows for rows in counts if rows is not None)

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in file order; one file is open at a time."""
        self._require_usable(numbers, labels)
        for i, reader in enumerate(self._readers):
            count = 0
            for _, batch in _read_with_gaps(reader, numbers, labels, None):
                yield batch
                count += batch.num_rows
            self._row_counts[i] = count
        self._files.require_unchanged()

    def parts(self) -> tuple[RowRange, ...]:
        """Return the parts of each file; files whose rows are unknown are scanned to count them."""
        return tuple(part.row_range for part in self._file_parts())

    def read_parts(self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]) -> Iterator[PlacedBatch]:
        """Yield the named columns of some parts; one file is open at a time."""
        self._require_usable(numbers, labels)
        parts = self._file_parts()
        for i, run in groupby((parts[number] for number in order), key=lambda part: part.file):
            of_file = list(run)
            for first, batch in _read_with_gaps(self._readers[i], numbers, labels, [part.number for part in of_file]):
                yield of_file[0].rows_before + first, batch
        self._files.require_unchanged()

    def _file_parts(self) -> list[_FilePart]:
        found: list[_FilePart] = []
        before = 0
        for i, reader in enumerate(self._readers):
            rows = self._count(i)
            for k, part in enumerate(reader.parts()):
                row_range = RowRange(before + part.start, rows if part.rows is None else part.rows)
                found.append(_FilePart(i, before, k, row_range))
            before += rows
        return found

    def _count(self, i: int) -> int:
        """Return the number of rows of a file, from the file or from a scan."""
        rows = self._readers[i].rows
        if rows is not None:
            return rows
        if i not in self._row_counts:
            self._row_counts[i] = sum(batch.num_rows for batch in self._readers[i].read([]))
        return self._row_counts[i]

    def _require_usable(self, numbers: Sequence[str], labels: Sequence[str]) -> None:
        self._files.require_unchanged()
        for name in (*numbers, *labels) if self.typed else numbers:  # labels are text in an untyped file
            self.kind(name)
        for name in labels:
            self._require_everywhere(name)

    def kind(self, name: str) -> Kind:
        """Return what a column holds in every file that has values in it.

        Raises
        ------
        DataError : a file lacks the column, or holds another kind of values in it.
        """
        if name not in self._kinds:
            self._require_everywhere(name)
            self._kinds[name] = self._find_kind(name)
        return self._kinds[name]

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Return the merged levels of the files, if every file declares some."""
        filled = [reader for reader in self._readers if name in reader.columns and reader.kind(name) != "null"]
        orders = [(reader.label, reader.category_order(name)) for reader in filled]
        declared = {label: order for label, order in orders if order is not None}
        return merge_level_orders(name, declared) if declared and len(declared) == len(orders) else None

    def _join_types(self, name: str) -> str:
        """Return the types of a column in the files that have values in it."""
        types = dict.fromkeys(reader.columns[name] for reader in self._readers if name in reader.columns)
        return " or ".join(kind for kind in types if kind.lower() != "null" or len(types) == 1)

    def _find_kind(self, name: str) -> Kind:
        kinds: dict[Kind, Source] = {}
        for reader in self._readers:
            if name in reader.columns:
                kinds.setdefault(reader.kind(name), reader)
        filled = {kind: reader for kind, reader in kinds.items() if kind != "null"}
        if len(filled) > 1:
            (one, first), (other, second) = list(filled.items())[:2]
            raise DataError(
                f"Column {name!r} holds {_describe_kind(one, first, name)} in {first.label!r} and "
                f"{_describe_kind(other, second, name)} in {second.label!r}. Write one kind of values in all files of "
                f"{self.label}, or leave the column out."
            )
        return next(iter(filled), "null")

    def _require_everywhere(self, name: str) -> None:
        without = [reader.label for reader in self._readers if name not in reader.columns]
        if without and not self._may_lack:
            has = next(reader.label for reader in self._readers if name in reader.columns)
            raise DataError(
                f"Column {name!r} is in {has!r} and not in {without[0]!r}, which is another file of {self.label}. Add the column "
                "to every file, or leave such files or the column out."
            )


def _read_with_gaps(
    reader: Source, numbers: Sequence[str], labels: Sequence[str], order: Sequence[int] | None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Read a file, or parts of it in an order; a column that the file lacks is NULL."""
    names = [*numbers, *labels]
    exists = [name in reader.columns for name in names]
    numbers, labels = ([name for name in group if name in reader.columns] for group in (numbers, labels))
    batches = with_row_positions(reader.read(numbers, labels)) if order is None else reader.read_parts(numbers, labels, order)
    if all(exists):
        yield from batches
        return
    for first, batch in batches:
        columns = iter(batch.columns)
        filled = [next(columns) if found else pa.nulls(batch.num_rows) for found in exists]
        yield first, pa.RecordBatch.from_arrays(filled, names=[str(i) for i in range(len(names))])


def _describe_kind(kind: Kind, reader: Source, name: str) -> str:
    return f"{_KIND_WORDS.get(kind, 'text' if kind == 'text' else 'other values')} ({reader.columns[name]})"


def _join_pandas_calls(readers: Sequence[PandasReadCall | None]) -> PandasReadCall | None:
    """Return the pandas calls that read all files as one, None if pandas cannot read one of them."""
    calls = [reader for reader in readers if reader is not None]
    return replace(calls[0], further_calls=tuple(calls[1:])) if len(calls) == len(readers) else None
