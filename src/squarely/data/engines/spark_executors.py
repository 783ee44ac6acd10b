"""What goes to Spark's executors: functions of the batches of a partition, and once the modules that these need there."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from squarely.data.engines.partitions import LocalPart, PartColumns, blended, bundle, worked
from squarely.data.source import Source
from squarely.numerics import Array

Batches = Iterator[pa.RecordBatch]

_HAVE: set[str] = set()  # the sessions that have them


def working(held: PartColumns, work: Callable[[Source], Any]) -> Callable[[Batches], Batches]:
    """Make a function of a partition's batches that gives one row: its number, and what comes of the work, packed."""

    def part(batches: Batches) -> Batches:
        number = _number()
        payload = worked(held, number, batches, work)
        yield pa.record_batch({"part": pa.array([number], pa.int32()), "payload": pa.array([payload], pa.binary())})

    return part


def blending(merge: Callable[[Any, Any], Any]) -> Callable[[pa.Table], pa.Table]:
    """Make a function of the rows that `working` gives for a block of parts, in any order, that gives one row for all of them."""

    def block(rows: pa.Table) -> pa.Table:
        numbers = rows["part"].to_numpy()
        payload = blended((rows["payload"][int(at)].as_py() for at in np.argsort(numbers)), merge)
        return pa.table({"part": pa.array([numbers.min()], pa.int32()), "payload": pa.array([payload], pa.binary())})

    return block


def adding(held: PartColumns, places: Sequence[int], work: Callable[[Source], Iterator[Array]]) -> Callable[[Batches], Batches]:
    """Make a function that gives a partition's batches with a further column; the work meets the columns at some places."""

    def part(batches: Batches) -> Batches:
        waiting: deque[pa.RecordBatch] = deque()
        for values in work(LocalPart(held, _kept(batches, places, waiting), _number())):
            done = 0
            while done < len(values):
                batch = waiting.popleft()
                column = pa.array(values[done : done + batch.num_rows])
                yield pa.RecordBatch.from_arrays([*batch.columns, column], names=[*batch.schema.names, "made"])
                done += batch.num_rows

    return part


def _kept(batches: Iterable[pa.RecordBatch], places: Sequence[int], waiting: deque[pa.RecordBatch]) -> Batches:
    for batch in batches:
        waiting.append(batch)
        columns = [batch.column(place) for place in places] or [pa.nulls(batch.num_rows)]
        yield pa.RecordBatch.from_arrays(columns, names=[str(i) for i in range(len(columns))])


def packing(batches: Batches) -> Batches:
    """Pack each batch into a row."""
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        yield pa.record_batch({"payload": pa.array([sink.getvalue().to_pybytes()], pa.binary())})


def unpacked(payload: bytes) -> Batches:
    """Unpack what `packing` has packed."""
    with pa.ipc.open_stream(payload) as stream:
        yield from stream


def _number() -> int:
    from pyspark import TaskContext

    return int(TaskContext.get().partitionId())


def shipped(session: Any, *, connect: bool) -> None:
    """Send the executors of a session the modules that they need, once; those of a local master have this machine's."""
    if not connect and session.sparkContext.master.partition("[")[0] == "local":
        return
    known = session.session_id if connect else session.sparkContext.applicationId
    if known in _HAVE:
        return
    path = list(sys.path)
    if connect:
        session.addArtifacts(str(bundle()), pyfile=True)
    else:
        session.sparkContext.addPyFile(str(bundle()))
    sys.path[:] = path  # here they are already
    _HAVE.add(known)
