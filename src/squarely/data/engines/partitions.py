"""Parts of scattered rows: what the process that has one makes of it, and how that comes back.

What travels is a piece of work, one way, and what comes of it, the other way. Both are pickled by the engine's own means, between
processes that belong together.
"""

from __future__ import annotations

import atexit
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

import squarely.errors
from squarely.data.dtypes import Kind, Level
from squarely.data.scan.progress import unwatched
from squarely.data.scan.threads import one_thread
from squarely.data.source import BATCH_ROWS, Source
from squarely.data.tree_reduce import Branch, alone, grown
from squarely.errors import DataError, SquarelyError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartColumns:
    """What a process has to know of the columns of a part.

    Attributes
    ----------
    label : what messages call the whole.
    numbers, labels : the columns that the part has, in this order, those in both twice.
    columns, kinds, orders : what `Source` says of each column.
    """

    label: str
    numbers: tuple[str, ...]
    labels: tuple[str, ...]
    columns: Mapping[str, str]
    kinds: Mapping[str, Kind]
    orders: Mapping[str, tuple[Level, ...] | None]


def part_columns(source: Source, numbers: Sequence[str], labels: Sequence[str]) -> PartColumns:
    """Say what a process has to know of the columns of a part."""
    names = list(dict.fromkeys((*numbers, *labels)))
    return PartColumns(
        label=source.label,
        numbers=tuple(numbers),
        labels=tuple(labels),
        columns={name: source.columns[name] for name in names},
        kinds={name: source.kind(name) for name in names},
        orders={name: source.order(name) for name in names},
    )


class LocalPart(Source):
    """A part of scattered rows, in the process that has it; it can be read once."""

    def __init__(self, held: PartColumns, batches: Iterable[pa.RecordBatch], number: int) -> None:
        self.label = f"{held.label}, partition {number:,}"
        self.columns = held.columns
        self._held, self._batches = held, batches

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in batches as large as files give them."""
        assert (tuple(numbers), tuple(labels)) == (self._held.numbers, self._held.labels)  # noqa: S101  # the work knows its columns
        waiting: list[pa.RecordBatch] = []
        for batch in self._batches:
            waiting.append(batch)
            if sum(map(len, waiting)) >= BATCH_ROWS:
                yield _whole(waiting)
                waiting = []
        if waiting:
            yield _whole(waiting)

    def kind(self, name: str) -> Kind:
        """Tell what a column holds in all parts."""
        return self._held.kinds[name]

    def order(self, name: str) -> tuple[Level, ...] | None:
        """Give the levels that the owner of the whole declared."""
        return self._held.orders[name]


def _whole(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    columns = [pa.chunked_array([batch.column(i) for batch in batches]) for i in range(batches[0].num_columns)]
    joined = [c.unify_dictionaries().combine_chunks() if pa.types.is_dictionary(c.type) else c.combine_chunks() for c in columns]
    return pa.record_batch(joined, names=[str(i) for i in range(len(joined))])


def worked(held: PartColumns, number: int, batches: Iterable[pa.RecordBatch], work: Callable[[Source], Any]) -> bytes:
    """Work on a part in one thread and pack what comes of it, be it one of squarely's errors."""
    return _packed(lambda: work(LocalPart(held, batches, number)))


def blended(payloads: Iterable[bytes], merge: Callable[[Any, Any], Any]) -> bytes:
    """Merge what came of parts that follow each other, in one thread, and pack the branches, or the first error that was met."""

    def branches() -> list[Branch[Any]]:
        return grown(alone(map(outcome, payloads)), merge)

    return _packed(branches)


def _packed(act: Callable[[], Any]) -> bytes:
    try:
        with one_thread(), unwatched(True):
            return pickle.dumps((act(), None))
    except SquarelyError as error:
        return pickle.dumps((None, (type(error).__name__, str(error))))


def outcome(packed: bytes) -> Any:
    """Unpack what came of a part or of several, or raise the error that was met there."""
    done, failed = pickle.loads(packed)  # noqa: S301  # from a process of the user's own cluster
    if failed is None:
        return done
    raise getattr(squarely.errors, failed[0], DataError)(failed[1])


_SENT = ("squarely", "narwhals", "threadpoolctl")


@cache
def bundle() -> Path:
    """Pack the modules that other processes need into a file, which lasts as long as this process."""
    folder = tempfile.mkdtemp(prefix="squarely-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "squarely_modules.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in _SENT:
            origin = Path(find_spec(name).origin)  # type: ignore[union-attr, arg-type]  # they are imported
            if origin.name != "__init__.py":
                bundle.write(origin, origin.name)
                continue
            for file in sorted(origin.parent.rglob("*.py")):
                bundle.write(file, Path(name) / file.relative_to(origin.parent))
    return path
