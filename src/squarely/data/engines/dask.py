"""Dask DataFrames: each partition is processed where the user's scheduler puts it, and only results come back."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import cloudpickle
import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from squarely.data.dtypes import Kind, Level, kind_of
from squarely.data.engines.dask_scheduler import client_with_modules, compute_tasks, translate_dask_errors
from squarely.data.engines.partitions import (
    PartitionColumns,
    PartitionSource,
    describe_columns,
    merge_payloads,
    pack_result,
    unpack_payload,
)
from squarely.data.frames.dataframe import DataFrameSource
from squarely.data.source import Columns, Source
from squarely.data.tree_reduce import Branch, block_size, leaves
from squarely.errors import DataError
from squarely.numerics import Array

T = TypeVar("T")

_UNKNOWN_CATEGORIES = "__UNKNOWN_CATEGORIES__"  # Dask's mark for categories that only the partitions have
_COMPATIBLE_KINDS: Mapping[Kind, tuple[Kind, ...]] = {  # the other kinds of a partition that are valid for a kind of the whole
    "number": ("boolean", "category", "text", "other"),  # decoding finds values that are not numbers
    "category": ("number", "boolean"),
}


class DaskSource(Source):
    """A Dask DataFrame. It is read partition by partition, and never changed or collected."""

    partitioned = True

    def __init__(self, frame: Any) -> None:
        self.label = "the Dask DataFrame"
        self._frame = frame
        self.partition_count = int(frame.npartitions)
        meta = frame._meta  # pandas, without rows
        counts = Counter(name for name in meta.columns if isinstance(name, str))
        self.duplicate_names = frozenset(name for name, count in counts.items() if count > 1)
        unique = [name for name in counts if name not in self.duplicate_names]
        self._meta_source = DataFrameSource(nw.from_native(meta[unique], eager_only=True), self.label)
        self.columns = {**self._meta_source.columns, **dict.fromkeys(self.duplicate_names, "several")}
        self._vague_names = {name for name in unique if _is_vague(meta[name].dtype)}
        self._found_kinds: dict[str, Kind] = {}

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        columns = describe_columns(self, (numbers, labels))
        for number, frame in enumerate(compute_tasks(self._delay_partitions(columns.columns), self.label, max_tasks=1)):
            yield from _read_partition(frame, columns, number)

    def reduce_partitions(self, columns: Columns, work: Callable[[Source], T], merge: Callable[[T, T], T]) -> Iterator[Branch[T]]:
        """Run `work` on each partition; if they are many, the workers of a cluster merge blocks of results."""
        from dask.delayed import delayed

        tasks, size = self._make_tasks(columns, work), block_size(self.partition_count)
        if size == 1 or client_with_modules(self._frame, self.label) is None:
            yield from leaves(map(unpack_payload, compute_tasks(tasks, self.label)))
            return
        packed, task = delayed(cloudpickle.dumps(merge), pure=False, traverse=False), delayed(_merge_packed, pure=False)
        merged = [task(tasks[first : first + size], packed) for first in range(0, len(tasks), size)]
        for payload in compute_tasks(merged, self.label):
            yield from unpack_payload(payload)

    def map_first_partition(self, columns: Columns, work: Callable[[Source], T]) -> T | None:
        tasks = DaskSource(self._frame.partitions[0])._make_tasks(columns, work)
        return cast(T, unpack_payload(next(compute_tasks(tasks, self.label))))

    def _make_tasks(self, columns: Columns, work: Callable[[Source], Any]) -> list[Any]:
        from dask.delayed import delayed

        description = describe_columns(self, columns)
        packed = delayed(cloudpickle.dumps((description, work)), pure=False, traverse=False)  # once in the graph, not per partition
        task = delayed(_run_packed, pure=False)
        return [task(part, number, packed) for number, part in enumerate(self._delay_partitions(description.columns))]

    def _delay_partitions(self, names: Iterable[str]) -> list[Any]:
        with translate_dask_errors(self.label):
            return list(self._select_columns(names).to_delayed())

    def _select_columns(self, names: Iterable[str]) -> Any:
        """Return these columns alone, so that Dask reads no others; the first column if only rows are counted."""
        return self._frame[list(names) or list(self.columns)[:1]]

    def with_columns(self, names: Sequence[str], columns: Columns, work: Callable[[Source], Iterator[Array]]) -> Any:
        """Return a lazy Dask DataFrame, or a Series of one name, with the partitions and the index of the frame."""
        description = describe_columns(self, columns)
        selected = self._select_columns(description.columns)
        client_with_modules(selected, self.label)
        meta = _label_columns(np.empty((len(names), 0)), self._frame._meta.index, names)
        return selected.map_partitions(_make_columns, cloudpickle.dumps((description, work, names)), meta=meta)

    def kind(self, name: str) -> Kind:
        """Return what a column holds; rows are read if Dask knows only that they are objects or categories."""
        if name in self.duplicate_names:
            return "other"
        if name not in self._vague_names:
            return self._meta_source.kind(name)
        if name not in self._found_kinds:
            self._found_kinds[name] = self._find_kind(name)
        return self._found_kinds[name]

    def _find_kind(self, name: str) -> Kind:
        for frame in compute_tasks(self._delay_partitions([name]), self.label, max_tasks=1):
            values = frame.dropna()
            if len(values):
                arrow_type = DataFrameSource(nw.from_native(values, eager_only=True)).arrow_type(name)
                self.columns = {**self.columns, name: str(arrow_type)}
                return kind_of(arrow_type)
        return "null"

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Return the categories of a Categorical, if Dask has them without reading rows."""
        return None if name in self._vague_names | self.duplicate_names else self._meta_source.category_order(name)

    def index(self, rows: np.ndarray) -> Any:
        """Return the frame's own labels of these rows; its whole index is transferred, as the residuals are."""
        with translate_dask_errors(self.label):
            return self._frame.index.compute()[rows]


def _is_vague(dtype: Any) -> bool:
    return str(dtype) == "object" or (str(dtype) == "category" and _UNKNOWN_CATEGORIES in dtype.categories)


def _run_packed(frame: Any, number: int, packed: bytes) -> bytes:
    columns, work = pickle.loads(packed)  # noqa: S301  # from the user's own process
    return pack_result(lambda: work(PartitionSource(columns, _read_partition(frame, columns, number), number)))


def _merge_packed(payloads: Sequence[bytes], packed: bytes) -> bytes:
    return merge_payloads(payloads, pickle.loads(packed))  # noqa: S301  # from the user's own process


def _make_columns(frame: Any, packed: bytes, partition_info: Mapping[str, Any] | None = None) -> Any:
    columns, work, names = pickle.loads(packed)  # noqa: S301  # from the user's own process
    number = partition_info["number"] if partition_info else 0
    values = [np.empty((len(names), 0)), *work(PartitionSource(columns, _read_partition(frame, columns, number), number))]
    return _label_columns(np.concatenate(values, axis=1), frame.index, names)


def _label_columns(values: Array, index: Any, names: Sequence[str]) -> Any:
    if len(names) == 1:
        return pd.Series(values[0], index=index, name=names[0])
    return pd.DataFrame(dict(zip(names, values, strict=True)), index=index)


def _read_partition(frame: Any, columns: PartitionColumns, number: int) -> Iterator[pa.RecordBatch]:
    """Yield the columns of a partition; raise a DataError if their kinds are not those that Dask declares."""
    label = f"{columns.label}, partition {number:,}"
    source = DataFrameSource(nw.from_native(frame[list(columns.columns)], eager_only=True), label)
    for batch in source.read(columns.numbers, columns.labels):
        for name, field in zip((*columns.numbers, *columns.labels), batch.schema, strict=False):
            declared, found = columns.kinds[name], kind_of(field.type)
            if found not in ("null", declared) and found not in _COMPATIBLE_KINDS.get(declared, ()):
                raise DataError(
                    f"Column {name!r} of {label} holds values of kind {found!r}, and Dask declares {declared!r} for the column. "
                    "Correct the meta= of the function that made the DataFrame, or give all partitions the same types."
                )
        yield batch
