"""Several files of one kind as one source: their rows follow each other, their columns are matched by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import pyarrow as pa

from squarely.data.dtypes import Kind, Level, merge_level_orders
from squarely.data.files.paths import FileSet
from squarely.data.pandas_io import PandasReadCall
from squarely.data.source import RowRange, Source, with_row_positions
from squarely.errors import DataError

_KIND_WORDS: Mapping[Kind, str] = {"number": "numbers", "boolean": "true and false", "category": "categories of numbers"}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a part lies: in which file, which has so many rows `rows_before` it in other files, and under which number there."""

    file: int
    rows_before: int
    number: int
    row_range: RowRange


class ConcatSource(Source):
    """The sources of several files, one after the other.

    A column is looked at only when it is named: it has to be in every file, and to hold one kind of values in all that have any.
    """

    is_file = True

    def __init__(self, files: FileSet, readers: Sequence[Source], *, may_lack: bool = False) -> None:
        """Join what reads each file; with `may_lack` a column that a file of this kind does not have is one of nothing but gaps."""
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
        self._row_counts: dict[int, int] = {}  # file -> rows, as the last scan of all of them has met them

    @property
    def rows(self) -> int | None:
        """How many rows there are, None where a file does not say."""
        known = [reader.rows for reader in self._readers]
        return None if None in known else sum(rows for rows in known if rows is not None)

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order of the files; one file is open at a time."""
        self._require_usable(numbers, labels)
        for i, reader in enumerate(self._readers):
            met = 0
            for _, batch in _read_with_gaps(reader, numbers, labels, None):
                yield batch
                met += batch.num_rows
            self._row_counts[i] = met
        self._files.require_unchanged()

    def parts(self) -> tuple[RowRange, ...]:
        """Tell which rows can be read by themselves: the parts of each file. Files that no scan has counted yet are counted."""
        return tuple(place.row_range for place in self._list_places())

    def read_parts(
        self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the named columns of some parts; one file is open at a time."""
        self._require_usable(numbers, labels)
        places = self._list_places()
        for i, run in groupby((places[number] for number in order), key=lambda place: place.file):
            wanted = list(run)
            for first, batch in _read_with_gaps(self._readers[i], numbers, labels, [place.number for place in wanted]):
                yield wanted[0].rows_before + first, batch
        self._files.require_unchanged()

    def _list_places(self) -> list[_Place]:
        places: list[_Place] = []
        before = 0
        for i, reader in enumerate(self._readers):
            parts, rows = reader.parts(), self._count(i)
            parts = tuple(RowRange(part.start, rows if part.rows is None else part.rows) for part in parts)
            places += [_Place(i, before, k, RowRange(before + part.start, part.rows)) for k, part in enumerate(parts)]
            before += rows
        return places

    def _count(self, i: int) -> int:
        """Give how many rows a file has: what it says, or what a scan has met."""
        rows = self._readers[i].rows
        if rows is not None:
            return rows
        if i not in self._row_counts:
            self._row_counts[i] = sum(batch.num_rows for batch in self._readers[i].read([]))
        return self._row_counts[i]

    def _require_usable(self, numbers: Sequence[str], labels: Sequence[str]) -> None:
        self._files.require_unchanged()
        for name in (*numbers, *labels) if self.typed else numbers:  # as labels, what is not typed is text in any case
            self.kind(name)
        for name in labels:
            self._require_everywhere(name)

    def kind(self, name: str) -> Kind:
        """Tell what a column holds: the same in every file, but for those in which it holds nothing.

        Raises
        ------
        DataError : a file does not have it, or has another kind of values in it.
        """
        if name not in self._kinds:
            self._require_everywhere(name)
            self._kinds[name] = self._find_kind(name)
        return self._kinds[name]

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Give the levels that the files declare, put together, if every file declares some."""
        filled = [reader for reader in self._readers if name in reader.columns and reader.kind(name) != "null"]
        orders = [(reader.label, reader.category_order(name)) for reader in filled]
        known = {label: order for label, order in orders if order is not None}
        return merge_level_orders(name, known) if known and len(known) == len(orders) else None

    def _join_types(self, name: str) -> str:
        """Give the types of a column in the files that have something in it; which is first is of no matter."""
        types = dict.fromkeys(reader.columns[name] for reader in self._readers if name in reader.columns)
        return " or ".join(kind for kind in types if kind.lower() != "null" or len(types) == 1)

    def _find_kind(self, name: str) -> Kind:
        met: dict[Kind, Source] = {}
        for reader in self._readers:
            if name in reader.columns:
                met.setdefault(reader.kind(name), reader)
        filled = {kind: reader for kind, reader in met.items() if kind != "null"}
        if len(filled) > 1:
            (one, first), (other, second) = list(filled.items())[:2]
            raise DataError(
                f"Column {name!r} holds {_describe_kind(one, first, name)} in {first.label!r} and {_describe_kind(other, second, name)} in "
                f"{second.label!r}. Write one kind of values in all files of {self.label}, or leave the column out."
            )
        return next(iter(filled), "null")

    def _require_everywhere(self, name: str) -> None:
        without = [reader.label for reader in self._readers if name not in reader.columns]
        if without and not self._may_lack:
            has = next(reader.label for reader in self._readers if name in reader.columns)
            raise DataError(
                f"Column {name!r} is in {has!r} and not in {without[0]!r}, which is another file of {self.label}. Give the column "
                "to every file, leave such files out, or leave the column out of the formula."
            )


def _read_with_gaps(
    reader: Source, numbers: Sequence[str], labels: Sequence[str], order: Sequence[int] | None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Read a file, or parts of it in an order; columns that it does not have are filled with gaps."""
    names = [*numbers, *labels]
    there = [name in reader.columns for name in names]
    numbers, labels = ([name for name in wanted if name in reader.columns] for wanted in (numbers, labels))
    read = with_row_positions(reader.read(numbers, labels)) if order is None else reader.read_parts(numbers, labels, order)
    if all(there):
        yield from read
        return
    for first, batch in read:
        columns = iter(batch.columns)
        filled = [next(columns) if has else pa.nulls(batch.num_rows) for has in there]
        yield first, pa.RecordBatch.from_arrays(filled, names=[str(i) for i in range(len(names))])


def _describe_kind(kind: Kind, reader: Source, name: str) -> str:
    return f"{_KIND_WORDS.get(kind, 'text' if kind == 'text' else 'other values')} ({reader.columns[name]})"


def _join_pandas_calls(readers: Sequence[PandasReadCall | None]) -> PandasReadCall | None:
    """Say how pandas reads the files: if it can read each, the others as the first."""
    known = [reader for reader in readers if reader is not None]
    if len(known) < len(readers):
        return None
    return replace(known[0], further_calls=tuple(known[1:]))
