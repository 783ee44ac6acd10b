"""Run a function on each partition, in the process that holds it, and return the results packed as bytes.

The function and its results are pickled between processes of the user's own cluster.
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
from typing import Any

import pyarrow as pa

from squarely import errors
from squarely.data.dtypes import Kind, Level
from squarely.data.scan.progress import silent
from squarely.data.scan.threads import single_threaded
from squarely.data.source import BATCH_ROWS, Columns, Source
from squarely.data.tree_reduce import leaves, reduce_tree
from squarely.errors import DataError, SquarelyError


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionColumns:
    """The columns of a partition, for the process that reads it.

    Attributes
    ----------
    label : the name of the whole table in messages.
    numbers, labels : the columns of the partition, in this order; a name in both has two columns.
    columns, kinds, orders : type, kind and category order of each column, as in `Source`.
    """

    label: str
    numbers: tuple[str, ...]
    labels: tuple[str, ...]
    columns: Mapping[str, str]
    kinds: Mapping[str, Kind]
    orders: Mapping[str, tuple[Level, ...] | None]


def describe_columns(source: Source, columns: Columns) -> PartitionColumns:
    """Describe columns of a source for the processes that read its partitions."""
    numbers, labels = columns
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
    """A partition, in the process that holds it; it can be read once."""

    def __init__(self, description: PartitionColumns, batches: Iterable[pa.RecordBatch], number: int) -> None:
        self.label = f"{description.label}, partition {number:,}"
        self.columns = description.columns
        self._description, self._batches = description, batches

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in batches as large as those of files."""
        assert (tuple(numbers), tuple(labels)) == (self._description.numbers, self._description.labels)  # noqa: S101
        waiting: list[pa.RecordBatch] = []
        for batch in self._batches:
            waiting.append(batch)
            if sum(map(len, waiting)) >= BATCH_ROWS:
                yield _concat_batches(waiting)
                waiting.clear()
        if waiting:
            yield _concat_batches(waiting)

    def kind(self, name: str) -> Kind:
        return self._description.kinds[name]

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        return self._description.orders[name]


def _concat_batches(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    columns = [pa.chunked_array([batch.column(i) for batch in batches]) for i in range(batches[0].num_columns)]
    joined = [c.unify_dictionaries().combine_chunks() if pa.types.is_dictionary(c.type) else c.combine_chunks() for c in columns]
    return pa.record_batch(joined, names=[str(i) for i in range(len(joined))])


def pack_result(compute: Callable[[], Any]) -> bytes:
    """Run a function in one thread, and pack its result or its error, if that is one of squarely's."""
    try:
        with single_threaded(), silent(True):
            return pickle.dumps((compute(), None))
    except SquarelyError as error:
        return pickle.dumps((None, (type(error).__name__, str(error))))


def merge_payloads(payloads: Iterable[bytes], merge: Callable[[Any, Any], Any]) -> bytes:
    """Merge the results of consecutive partitions in one thread, and pack the branches, or the first error."""
    return pack_result(lambda: reduce_tree(leaves(map(unpack_payload, payloads)), merge))


def unpack_payload(packed: bytes) -> Any:
    """Unpack the result of one or several partitions, or raise their error."""
    result, error = pickle.loads(packed)  # noqa: S301  # from a process of the user's own cluster
    if error is None:
        return result
    raise getattr(errors, error[0], DataError)(error[1])


_SENT_PACKAGES = ("squarely", "narwhals", "threadpoolctl")


@cache
def build_py_files() -> Path:
    """Zip the modules that other processes need; the file is deleted when this process ends."""
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
