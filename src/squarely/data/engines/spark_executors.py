"""What goes to Spark's executors: functions of the batches of a partition, and once the modules that these need there."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from squarely.data.engines.partitions import PartitionColumns, PartitionSource, build_py_files, merge_payloads, run_on_partition
from squarely.data.source import Source
from squarely.numerics import Array

BatchIterator = Iterator[pa.RecordBatch]

_SERVED_SESSIONS: set[str] = set()  # the sessions that have them


def partition_udf(held: PartitionColumns, work: Callable[[Source], Any]) -> Callable[[BatchIterator], BatchIterator]:
    """Make a function of a partition's batches that gives one row: its number, and what comes of the work, packed."""

    def part(batches: BatchIterator) -> BatchIterator:
        number = _get_partition_id()
        payload = run_on_partition(held, number, batches, work)
        yield pa.record_batch({"part": pa.array([number], pa.int32()), "payload": pa.array([payload], pa.binary())})

    return part


def merge_udf(merge: Callable[[Any, Any], Any]) -> Callable[[pa.Table], pa.Table]:
    """Return a function that merges the rows of `partition_udf` for a block of parts, in any order, into one row."""

    def block(rows: pa.Table) -> pa.Table:
        numbers = rows["part"].to_numpy()
        payload = merge_payloads((rows["payload"][int(at)].as_py() for at in np.argsort(numbers)), merge)
        return pa.table({"part": pa.array([numbers.min()], pa.int32()), "payload": pa.array([payload], pa.binary())})

    return block


def with_column_udf(
    held: PartitionColumns, places: Sequence[int], work: Callable[[Source], Iterator[Array]]
) -> Callable[[BatchIterator], BatchIterator]:
    """Make a function that gives a partition's batches with a further column; the work meets the columns at some places."""

    def part(batches: BatchIterator) -> BatchIterator:
        waiting: deque[pa.RecordBatch] = deque()
        for values in work(PartitionSource(held, _queue_batches(batches, places, waiting), _get_partition_id())):
            done = 0
            while done < len(values):
                batch = waiting.popleft()
                column = pa.array(values[done : done + batch.num_rows])
                yield pa.RecordBatch.from_arrays([*batch.columns, column], names=[*batch.schema.names, "made"])
                done += batch.num_rows

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


def from_arrow_rows(payload: bytes) -> BatchIterator:
    """Unpack what `to_arrow_rows` has packed."""
    with pa.ipc.open_stream(payload) as stream:
        yield from stream


def _get_partition_id() -> int:
    from pyspark import TaskContext

    return int(TaskContext.get().partitionId())


def add_py_files(session: Any, *, is_connect: bool) -> None:
    """Send the executors of a session the modules that they need, once; those of a local master have this machine's."""
    if not is_connect and session.sparkContext.master.partition("[")[0] == "local":
        return
    known = session.session_id if is_connect else session.sparkContext.applicationId
    if known in _SERVED_SESSIONS:
        return
    path = list(sys.path)
    if is_connect:
        session.addArtifacts(str(build_py_files()), pyfile=True)
    else:
        session.sparkContext.addPyFile(str(build_py_files()))
    sys.path[:] = path  # here they are already
    _SERVED_SESSIONS.add(known)
