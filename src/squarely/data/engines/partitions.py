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

from squarely import errors
from squarely.data.dtypes import Kind, Level
from squarely.data.scan.progress import silent
from squarely.data.scan.threads import single_threaded
from squarely.data.source import BATCH_ROWS, Source
from squarely.data.tree_reduce import Branch, leaves, reduce_tree
from squarely.errors import DataError, SquarelyError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionColumns:
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


def describe_columns(source: Source, numbers: Sequence[str], labels: Sequence[str]) -> PartitionColumns:
    """Say what a process has to know of the columns of a part."""
    names = list(dict.fromkeys((*numbers, *labels)))
    return PartitionColumns(
        label=source.label,
        numbers=tuple(numbers),
        labels=tuple(labels),
        columns={name: source.columns[name] for name in names},
        kinds={name: source.kind(name) for name in names},
        orders={name: source.category_order(name) for name in names},
    )


class PartitionSource(Source):
    """A part of scattered rows, in the process that has it; it can be read once."""

    def __init__(self, held: PartitionColumns, batches: Iterable[pa.RecordBatch], number: int) -> None:
        self.label = f"{held.label}, partition {number:,}"
        self.columns = held.columns
        self._partition_columns, self._batches = held, batches

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in batches as large as files give them."""
        assert (tuple(numbers), tuple(labels)) == (self._partition_columns.numbers, self._partition_columns.labels)  # noqa: S101  # the work knows its columns
        waiting: list[pa.RecordBatch] = []
        for batch in self._batches:
            waiting.append(batch)
            if sum(map(len, waiting)) >= BATCH_ROWS:
                yield _concat_batches(waiting)
                waiting = []
        if waiting:
            yield _concat_batches(waiting)

    def kind(self, name: str) -> Kind:
        """Tell what a column holds in all parts."""
        return self._partition_columns.kinds[name]

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Give the levels that the owner of the whole declared."""
        return self._partition_columns.orders[name]


def _concat_batches(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    columns = [pa.chunked_array([batch.column(i) for batch in batches]) for i in range(batches[0].num_columns)]
    joined = [c.unify_dictionaries().combine_chunks() if pa.types.is_dictionary(c.type) else c.combine_chunks() for c in columns]
    return pa.record_batch(joined, names=[str(i) for i in range(len(joined))])


def run_on_partition(
    held: PartitionColumns, number: int, batches: Iterable[pa.RecordBatch], work: Callable[[Source], Any]
) -> bytes:
    """Work on a part in one thread and pack what comes of it, be it one of squarely's errors."""
    return _pack_outcome(lambda: work(PartitionSource(held, batches, number)))


def merge_payloads(payloads: Iterable[bytes], merge: Callable[[Any, Any], Any]) -> bytes:
    """Merge what came of parts that follow each other, in one thread, and pack the branches, or the first error that was met."""

    def branches() -> list[Branch[Any]]:
        return reduce_tree(leaves(map(unpack_payload, payloads)), merge)

    return _pack_outcome(branches)


def _pack_outcome(act: Callable[[], Any]) -> bytes:
    try:
        with single_threaded(), silent(True):
            return pickle.dumps((act(), None))
    except SquarelyError as error:
        return pickle.dumps((None, (type(error).__name__, str(error))))


def unpack_payload(packed: bytes) -> Any:
    """Unpack what came of a part or of several, or raise the error that was met there."""
    done, failed = pickle.loads(packed)  # noqa: S301  # from a process of the user's own cluster
    if failed is None:
        return done
    raise getattr(errors, failed[0], DataError)(failed[1])


_SENT_PACKAGES = ("squarely", "narwhals", "threadpoolctl")


@cache
def build_py_files() -> Path:
    """Pack the modules that other processes need into a file, which lasts as long as this process."""
    folder = tempfile.mkdtemp(prefix="squarely-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "squarely_modules.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in _SENT_PACKAGES:
            origin = Path(find_spec(name).origin)  # type: ignore[union-attr, arg-type]  # they are imported
            if origin.name != "__init__.py":
                bundle.write(origin, origin.name)
                continue
            for file in sorted(origin.parent.rglob("*.py")):
                bundle.write(file, Path(name) / file.relative_to(origin.parent))
    return path
