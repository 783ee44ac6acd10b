"""Several files of one kind as one source: their rows follow each other, their columns are matched by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from squarely.data.levels import merged
from squarely.data.paths import FileSet
from squarely.data.reread import Reread
from squarely.data.source import Kind, Level, Source
from squarely.errors import DataError

_HELD: Mapping[Kind, str] = {"number": "numbers", "boolean": "true and false", "category": "categories of numbers"}


class JoinedSource(Source):
    """The sources of several files, one after the other.

    A column is looked at only when it is named: it has to be in every file, and to hold one kind of values in all that have any.
    """

    stored = True

    def __init__(self, files: FileSet, parts: Sequence[Source], *, may_lack: bool = False) -> None:
        """Join the parts; `may_lack` is for kinds of files in which a column that is not there is one of nothing but gaps."""
        self.label = files.label
        self._files, self._parts, self._may_lack = files, tuple(parts), may_lack
        self.typed = parts[0].typed
        self.notes = tuple(dict.fromkeys([*files.notes, *(note for part in parts for note in part.notes)]))
        self.twins = frozenset().union(*(part.twins for part in parts))
        self.columns = {name: self._type(name) for name in dict.fromkeys(name for part in parts for name in part.columns)}
        self.reread = _reread([part.reread for part in parts])
        self._kinds: dict[str, Kind] = {}

    @property
    def rows(self) -> int | None:
        """How many rows there are, None where a file does not say."""
        known = [part.rows for part in self._parts]
        return None if None in known else sum(rows for rows in known if rows is not None)

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order of the files; one file is open at a time."""
        self._files.require_unchanged()
        for name in (*numbers, *labels) if self.typed else numbers:  # as labels, what is not typed is text in any case
            self.kind(name)
        for name in labels:
            self._require_everywhere(name)
        for part in self._parts:
            yield from self._read(part, numbers, labels)
        self._files.require_unchanged()

    def kind(self, name: str) -> Kind:
        """Tell what a column holds: the same in every file, but for those in which it holds nothing.

        Raises
        ------
        DataError : a file does not have it, or has another kind of values in it.
        """
        if name not in self._kinds:
            self._require_everywhere(name)
            self._kinds[name] = self._kind(name)
        return self._kinds[name]

    def order(self, name: str) -> tuple[Level, ...] | None:
        """Give the levels that the files declare, put together, if every file declares some."""
        orders = [(part.label, part.order(name)) for part in self._parts if name in part.columns and part.kind(name) != "null"]
        known = {label: order for label, order in orders if order is not None}
        return merged(name, known) if known and len(known) == len(orders) else None

    def _read(self, part: Source, numbers: Sequence[str], labels: Sequence[str]) -> Iterator[pa.RecordBatch]:
        names = [*numbers, *labels]
        there = [name in part.columns for name in names]
        if all(there):
            yield from part.read(numbers, labels)
            return
        held = [[name for name in wanted if name in part.columns] for wanted in (numbers, labels)]
        for batch in part.read(*held):
            columns = iter(batch.columns)
            filled = [next(columns) if has else pa.nulls(batch.num_rows) for has in there]
            yield pa.RecordBatch.from_arrays(filled, names=[str(i) for i in range(len(names))])

    def _type(self, name: str) -> str:
        """Give the types of a column in the files that have something in it; which is first is of no matter."""
        types = dict.fromkeys(part.columns[name] for part in self._parts if name in part.columns)
        return " or ".join(kind for kind in types if kind.lower() != "null" or len(types) == 1)

    def _kind(self, name: str) -> Kind:
        met: dict[Kind, Source] = {}
        for part in self._parts:
            if name in part.columns:
                met.setdefault(part.kind(name), part)
        filled = {kind: part for kind, part in met.items() if kind != "null"}
        if len(filled) > 1:
            (one, first), (other, second) = list(filled.items())[:2]
            raise DataError(
                f"Column {name!r} holds {_held(one, first, name)} in {first.label!r} and {_held(other, second, name)} in "
                f"{second.label!r}. Write one kind of values in all files of {self.label}, or leave the column out."
            )
        return next(iter(filled), "null")

    def _require_everywhere(self, name: str) -> None:
        without = [part.label for part in self._parts if name not in part.columns]
        if without and not self._may_lack:
            has = next(part.label for part in self._parts if name in part.columns)
            raise DataError(
                f"Column {name!r} is in {has!r} and not in {without[0]!r}, which is another file of {self.label}. Give the column "
                "to every file, leave such files out, or leave the column out of the formula."
            )


def _held(kind: Kind, part: Source, name: str) -> str:
    return f"{_HELD.get(kind, 'text' if kind == 'text' else 'other values')} ({part.columns[name]})"


def _reread(parts: Sequence[Reread | None]) -> Reread | None:
    """Say how pandas reads the files: if it can read each, the others as the first."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return replace(known[0], others=tuple(known[1:]))
