"""Dask DataFrames: each partition is worked on where the user's scheduler puts it, and only what comes of it is brought here."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import cloudpickle
import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from squarely.data.dtypes import Kind, Level, kind_of
from squarely.data.engines.dask_scheduler import client_with_modules, compute, translate_errors
from squarely.data.engines.partitions import (
    PartitionColumns,
    PartitionSource,
    describe_columns,
    merge_payloads,
    run_on_partition,
    unpack_payload,
)
from squarely.data.frames.dataframe import DataFrameSource
from squarely.data.source import Source
from squarely.data.tree_reduce import Branch, block_size, chunked, leaves
from squarely.errors import DataError
from squarely.numerics import Array

T = TypeVar("T")

_UNKNOWN_CATEGORIES = "__UNKNOWN_CATEGORIES__"  # what Dask writes where only the partitions know the categories
_COMPATIBLE_KINDS: Mapping[Kind, frozenset[Kind]] = {  # what a partition may hold of a column that Dask says holds this
    "number": frozenset(("number", "boolean", "category", "text", "other")),  # decoding says which value is no number
    "boolean": frozenset(("boolean",)),
    "text": frozenset(("text",)),
    "category": frozenset(("category", "number", "boolean")),
}


class DaskSource(Source):
    """A Dask DataFrame. It is read partition by partition, never changed and never brought together."""

    partitioned = True

    def __init__(self, frame: Any) -> None:
        self.label = "the Dask DataFrame"
        self._frame = frame
        self.partition_count = int(frame.npartitions)
        meta = frame._meta  # pandas, without rows
        times = Counter(name for name in meta.columns if isinstance(name, str))
        self.duplicate_names = frozenset(name for name, count in times.items() if count > 1)
        once = [name for name in times if name not in self.duplicate_names]
        self._meta_source = DataFrameSource(nw.from_native(meta[once], eager_only=True), self.label)
        self.columns = {**self._meta_source.columns, **dict.fromkeys(self.duplicate_names, "several")}
        self._vague_names = {name for name in once if _is_vague(meta[name].dtype)}
        self._found_kinds: dict[str, Kind] = {}

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, one partition after the other."""
        held = describe_columns(self, numbers, labels)
        for number, frame in enumerate(compute(self._delay_partitions(held.columns), self.label, max_tasks=1)):
            yield from _read_partition(frame, held, number)

    def map_partitions(self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], T]) -> Iterator[T]:
        """Let Dask work on each partition where it is, and yield what comes of it, in the order of the partitions."""
        yield from map(unpack_payload, compute(self._make_tasks(numbers, labels, work), self.label))

    def reduce_partitions(
        self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], T], merge: Callable[[T, T], T]
    ) -> Iterator[Branch[T]]:
        """Do as `mapped`; if the partitions are many, the workers of a cluster merge blocks of them. Here it would save nothing."""
        size = block_size(self.partition_count)
        if size == 1 or client_with_modules(self._frame, self.label) is None:
            yield from leaves(self.map_partitions(numbers, labels, work))
            return
        from dask.delayed import delayed

        packed = delayed(cloudpickle.dumps(merge), pure=False, traverse=False)
        task = delayed(_merge_packed, pure=False)
        tasks = [task(block, packed) for block in chunked(self._make_tasks(numbers, labels, work), size)]
        for payload in compute(tasks, self.label):
            yield from unpack_payload(payload)

    def map_first_partition(self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], T]) -> T | None:
        """Give what `mapped` gives of the first partition."""
        return next(DaskSource(self._frame.partitions[0]).map_partitions(numbers, labels, work))

    def _make_tasks(self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], Any]) -> list[Any]:
        from dask.delayed import delayed

        held = describe_columns(self, numbers, labels)
        packed = delayed(cloudpickle.dumps((held, work)), pure=False, traverse=False)  # once in the graph, whatever the partitions
        task = delayed(_run_packed, pure=False)
        return [task(part, number, packed) for number, part in enumerate(self._delay_partitions(held.columns))]

    def _delay_partitions(self, names: Mapping[str, Any]) -> list[Any]:
        with translate_errors(self.label):
            parts: list[Any] = self._select_columns(names).to_delayed()
        return parts

    def _select_columns(self, names: Mapping[str, Any]) -> Any:
        """Give the columns alone: Dask reads no others then. Any column tells how many rows there are."""
        return self._frame[list(names) or list(self.columns)[:1]]

    def with_column(
        self, name: str, columns: tuple[Sequence[str], Sequence[str]], work: Callable[[Source], Iterator[Array]]
    ) -> Any:
        """Give a Dask Series with the partitions and the index of the frame, worked out when its user asks for it."""
        held = describe_columns(self, *columns)
        chosen = self._select_columns(held.columns)
        client_with_modules(chosen, self.label)
        meta = pd.Series([], index=self._frame._meta.index, dtype=float, name=name)
        return chosen.map_partitions(_add_column, cloudpickle.dumps((held, work)), name, meta=meta)

    def kind(self, name: str) -> Kind:
        """Tell what a column holds; rows are looked at where Dask knows no more than that it holds objects or categories."""
        if name in self.duplicate_names:
            return "other"
        if name not in self._vague_names:
            return self._meta_source.kind(name)
        if name not in self._found_kinds:
            self._found_kinds[name] = self._find_kind(name)
        return self._found_kinds[name]

    def _find_kind(self, name: str) -> Kind:
        with translate_errors(self.label):
            parts = self._frame[[name]].to_delayed()
        for frame in compute(parts, self.label, max_tasks=1):
            values = frame.dropna()
            if len(values):
                held = DataFrameSource(nw.from_native(values, eager_only=True)).arrow_type(name)
                self.columns = {**self.columns, name: str(held)}
                return kind_of(held)
        return "null"

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Give the categories of a Categorical, if they are known beforehand."""
        return None if name in self._vague_names | self.duplicate_names else self._meta_source.category_order(name)

    def index(self, rows: np.ndarray) -> Any:
        """Give the frame's own labels of these rows; its index is brought here, as the residuals are that it labels."""
        with translate_errors(self.label):
            return self._frame.index.compute()[rows]


def _is_vague(dtype: Any) -> bool:
    return str(dtype) == "object" or (str(dtype) == "category" and _UNKNOWN_CATEGORIES in dtype.categories)


def _run_packed(frame: Any, number: int, packed: bytes) -> bytes:
    held, work = pickle.loads(packed)  # noqa: S301  # from the user's own process
    return run_on_partition(held, number, _read_partition(frame, held, number), work)


def _merge_packed(payloads: Sequence[bytes], packed: bytes) -> bytes:
    return merge_payloads(payloads, pickle.loads(packed))  # noqa: S301  # from the user's own process


def _add_column(frame: Any, packed: bytes, name: str, partition_info: Mapping[str, Any] | None = None) -> Any:
    held, work = pickle.loads(packed)  # noqa: S301  # from the user's own process
    number = partition_info["number"] if partition_info else 0
    values = [np.empty(0), *work(PartitionSource(held, _read_partition(frame, held, number), number))]
    return pd.Series(np.concatenate(values), index=frame.index, name=name)


def _read_partition(frame: Any, held: PartitionColumns, number: int) -> Iterator[pa.RecordBatch]:
    """Yield the columns of a partition as a frame in memory gives them, if they are what Dask says."""
    label = f"{held.label}, partition {number:,}"
    source = DataFrameSource(nw.from_native(frame[list(held.columns)], eager_only=True), label)
    for batch in source.read(held.numbers, held.labels):
        for name, field in zip((*held.numbers, *held.labels), batch.schema, strict=False):
            _require_kind(name, held.kinds[name], kind_of(field.type), label)
        yield batch


def _require_kind(name: str, said: Kind, met: Kind, label: str) -> None:
    if met not in ("null", said) and met not in _COMPATIBLE_KINDS.get(said, ()):
        raise DataError(
            f"Column {name!r} of {label} holds values of kind {met!r}, and of the whole Dask says {said!r}. Mend the meta= of the "
            "function that made the DataFrame, or give all partitions the same types."
        )
