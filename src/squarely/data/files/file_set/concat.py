"""Concatenate files of one kind: their rows follow each other, and their columns are matched by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, groupby
from operator import itemgetter

import pyarrow as pa

from squarely.data.dtypes import Kind, Level, merge_level_orders
from squarely.data.files.file_set.paths import FileSet
from squarely.data.source import PlacedBatch, RowRange, Source, total_rows
from squarely.errors import DataError

_KIND_WORDS = {"number": "numbers", "boolean": "true and false", "category": "categories of numbers", "text": "text"}


def _join_chunks(chunks: Sequence[pa.Array]) -> pa.ChunkedArray:
    kinds = dict.fromkeys(chunk.type for chunk in chunks if not pa.types.is_null(chunk.type))
    kind = pa.null() if not kinds else next(iter(kinds)) if len(kinds) == 1 else pa.string()
    return pa.chunked_array([chunk.cast(kind) for chunk in chunks], kind)


class ConcatSource(Source):
    """The sources of several files, one after the other.

    A column is checked only when it is used: every file must have it, with values of one kind or no values.
    """

    is_file = True

    def __init__(self, files: FileSet, readers: Sequence[Source]) -> None:
        self.label = files.label
        self._files, self._readers = files, tuple(readers)
        self.typed, self.is_parsed, self.thousands = readers[0].typed, readers[0].is_parsed, readers[0].thousands
        self.notes = tuple(dict.fromkeys([*files.notes, *(note for reader in readers for note in reader.notes)]))
        self.null_words = readers[0].null_words
        self.header_error = next((reader.header_error for reader in readers if reader.header_error), "")
        found: dict[str, dict[str, None]] = {}
        for topic, value in (pair for reader in readers for pair in reader.dialect.items()):
            found.setdefault(topic, {})[value] = None
        self.dialect = {topic: " or ".join(values) for topic, values in found.items()}
        self.duplicate_names = frozenset().union(*(reader.duplicate_names for reader in readers))
        types: dict[str, dict[str, None]] = {}  # name -> its types, in the order of the files
        for name, kind in (column for reader in readers for column in reader.columns.items()):
            types.setdefault(name, {})[kind] = None
        self.columns = {name: " or ".join(k for k in kinds if k.lower() != "null") or min(kinds) for name, kinds in types.items()}
        self.index_columns = frozenset().union(*(reader.index_columns for reader in readers))
        calls = [reader.pandas_call for reader in readers if reader.pandas_call is not None]
        if len(calls) == len(readers):
            self.pandas_call = replace(calls[0], further_calls=tuple(calls[1:]))
        self._kinds: dict[str, Kind] = {}
        self._row_counts: dict[int, int] = {}  # file -> its rows, as the last complete scan counted them

    @property
    def rows(self) -> int | None:
        return total_rows([reader.rows for reader in self._readers])

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in file order; one file is open at a time."""
        self._require_usable(numbers, labels)
        for i, reader in enumerate(self._readers):
            count = 0
            for batch in reader.read(numbers, labels):
                yield batch
                count += batch.num_rows
            self._row_counts[i] = count
        self._files.require_unchanged()

    def require_unchanged(self) -> None:
        self._files.require_unchanged()

    def head(self, names: Sequence[str], rows: int) -> pa.Table:
        """Return columns of the first rows; those of a file that lacks one are NULL, and values of different types become text."""
        pieces: list[list[pa.Array]] = [[] for _ in names]
        for reader in self._readers:
            table = reader.head([name for name in names if name in reader.columns], rows)
            for chunks, name in zip(pieces, names, strict=True):
                chunks += table[name].chunks if name in reader.columns else [pa.nulls(table.num_rows)]
            rows -= table.num_rows
            if rows <= 0:
                break
        return pa.table([_join_chunks(chunks) for chunks in pieces], names=list(names))

    def parts(self) -> tuple[RowRange, ...]:
        """Return the parts of each file; files whose rows are unknown are scanned to count them."""
        starts = self._find_starts()
        return tuple(
            RowRange(starts[i] + part.start, starts[i + 1] - starts[i] if part.rows is None else part.rows)
            for i, reader in enumerate(self._readers)
            for part in reader.parts()
        )

    def read_parts(self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]) -> Iterator[PlacedBatch]:
        """Yield the named columns of some parts; one file is open at a time."""
        self._require_usable(numbers, labels)
        starts = self._find_starts()
        places = [(i, k) for i, reader in enumerate(self._readers) for k in range(len(reader.parts()))]
        for i, run in groupby((places[number] for number in order), key=itemgetter(0)):
            for first, batch in self._readers[i].read_parts(numbers, labels, [k for _, k in run]):
                yield starts[i] + first, batch
        self._files.require_unchanged()

    def _find_starts(self) -> list[int]:
        """Return the position of the first row of each file, and the number of all rows."""
        for i, reader in enumerate(self._readers):
            if reader.rows is not None:
                self._row_counts[i] = reader.rows
            elif i not in self._row_counts:
                self._row_counts[i] = sum(batch.num_rows for batch in reader.read([]))
        return list(accumulate((self._row_counts[i] for i in range(len(self._readers))), initial=0))

    def _require_usable(self, numbers: Sequence[str], labels: Sequence[str]) -> None:
        self._files.require_unchanged()
        for name in (*numbers, *labels) if self.typed else numbers:  # labels are text in an untyped file
            self.kind(name)
        for name in labels:
            self._require_everywhere(name)

    def kind(self, name: str) -> Kind:
        """Return the kind in every file that has values; raise a DataError if a file lacks the column or has another kind."""
        if name in self._kinds:
            return self._kinds[name]
        self._require_everywhere(name)
        kinds: dict[Kind, Source] = {}
        for reader in self._readers:
            kinds.setdefault(reader.kind(name), reader)
        kinds.pop("null", None)
        if len(kinds) > 1:
            one, other = [
                f"{_KIND_WORDS.get(kind, 'other values')} ({reader.columns[name]}) in {reader.label!r}"
                for kind, reader in list(kinds.items())[:2]
            ]
            raise DataError(
                f"Column {name!r} holds {one} and {other}. Write one kind of values in all files of {self.label}, or leave the "
                "column out."
            )
        self._kinds[name] = next(iter(kinds), "null")
        return self._kinds[name]

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Return the merged levels of the files, if every file declares some."""
        orders = {r.label: r.category_order(name) for r in self._readers if name in r.columns and r.kind(name) != "null"}
        declared = {label: order for label, order in orders.items() if order is not None}
        return merge_level_orders(name, declared) if declared and len(declared) == len(orders) else None

    def _require_everywhere(self, name: str) -> None:
        without = [reader.label for reader in self._readers if name not in reader.columns]
        if without:
            has = next(reader.label for reader in self._readers if name in reader.columns)
            raise DataError(
                f"Column {name!r} is in {has!r} and not in {without[0]!r}, which is another file of {self.label}. Add the column "
                "to every file, or leave such files or the column out."
            )
