"""Functions that Spark's executors run on the batches of a partition, and the modules that they need there."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from squarely.data.engines.partitions import PartitionColumns, PartitionSource, build_py_files, merge_payloads, pack_result
from squarely.data.source import Source
from squarely.numerics import Array

BatchIterator = Iterator[pa.RecordBatch]

_SERVED_SESSIONS: set[str] = set()  # sessions whose executors have the modules


def partition_udf(description: PartitionColumns, work: Callable[[Source], Any]) -> Callable[[BatchIterator], BatchIterator]:
    """Return a function of a partition's batches that yields one row: the partition's number and the packed result of `work`."""

    def part(batches: BatchIterator) -> BatchIterator:
        number = _get_partition_id()
        payload = pack_result(lambda: work(PartitionSource(description, batches, number)))
        yield pa.record_batch({"part": pa.array([number], pa.int32()), "payload": pa.array([payload], pa.binary())})

    return part


def merge_udf(merge: Callable[[Any, Any], Any]) -> Callable[[pa.Table], pa.Table]:
    """Return a function that merges the rows of `partition_udf` for a block of partitions, in any order, to one row."""

    def block(rows: pa.Table) -> pa.Table:
        numbers = rows["part"].to_numpy()
        payload = merge_payloads((rows["payload"][int(at)].as_py() for at in np.argsort(numbers)), merge)
        return pa.table({"part": pa.array([numbers.min()], pa.int32()), "payload": pa.array([payload], pa.binary())})

    return block


def with_columns_udf(
    description: PartitionColumns, places: Sequence[int], work: Callable[[Source], Iterator[Array]], names: Sequence[str]
) -> Callable[[BatchIterator], BatchIterator]:
    """Return a function that adds columns to a partition's batches; `work` reads the columns at `places`."""

    def part(batches: BatchIterator) -> BatchIterator:
        waiting: deque[pa.RecordBatch] = deque()
        for values in work(PartitionSource(description, _queue_batches(batches, places, waiting), _get_partition_id())):
            start = 0
            while start < values.shape[1]:
                batch = waiting.popleft()
                made = map(pa.array, values[:, start : start + batch.num_rows])
                yield pa.RecordBatch.from_arrays([*batch.columns, *made], names=[*batch.schema.names, *names])
                start += batch.num_rows

    return part


def _queue_batches(batches: Iterable[pa.RecordBatch], places: Sequence[int], waiting: deque[pa.RecordBatch]) -> BatchIterator:
    for batch in batches:
        waiting.append(batch)
        columns = [batch.column(place) for place in places] or [pa.nulls(batch.num_rows)]
        yield pa.RecordBatch.from_arrays(columns, names=[str(i) for i in range(len(columns))])


def to_arrow_rows(batches: BatchIterator) -> BatchIterator:
    """Pack each batch into a row."""
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        yield pa.record_batch({"payload": pa.array([sink.getvalue().to_pybytes()], pa.binary())})


def _get_partition_id() -> int:
    from pyspark import TaskContext

    return int(TaskContext.get().partitionId())


def add_py_files(session: Any, *, is_connect: bool) -> None:
    """Send the modules to the executors of a session, once; a local master has those of this machine."""
    if not is_connect and session.sparkContext.master.partition("[")[0] == "local":
        return
    session_id = session.session_id if is_connect else session.sparkContext.applicationId
    if session_id in _SERVED_SESSIONS:
        return
    path, file = list(sys.path), str(build_py_files())
    if is_connect:
        session.addArtifacts(file, pyfile=True)
    else:
        session.sparkContext.addPyFile(file)
    sys.path[:] = path  # this process has the modules already
    _SERVED_SESSIONS.add(session_id)
