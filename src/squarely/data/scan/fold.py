"""Fold and map the batches of a source in order, one by one or in threads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeVar

from squarely.data.scan.batch import Batch, decode_batch
from squarely.data.scan.prefetch import prefetch_items
from squarely.data.scan.progress import report_arrivals, report_scan
from squarely.data.scan.threads import map_in_order, single_threaded
from squarely.data.source import Columns, Source, require_columns, with_row_positions
from squarely.data.tree_reduce import reduce_all

T = TypeVar("T")


def fold_parts(
    source: Source,
    columns: Columns,
    work: Callable[[Source], T],
    merge: Callable[[T, T], T],
    start: T,
    *,
    is_enough: Callable[[T], bool] | None = None,
) -> T:
    """Return `work(source)`; if the source is partitioned, run `work` on each partition and merge the results in order.

    `work` reads `columns`. Merging uses one thread here and in other processes. If `is_enough` holds for the first partition, and
    it is cheaper to read alone, its result is returned.

    Raises
    ------
    DataError : as `map_batches`.
    """
    require_columns(source, [*columns[0], *columns[1]])
    if not source.partitioned:
        return work(source)
    if is_enough is not None:
        first = source.map_first_partition(columns, work)
        if first is not None and is_enough(first):
            return first
    with single_threaded():
        return reduce_all(report_arrivals(source.reduce_partitions(columns, work, merge), source.partition_count), merge, start)


def iter_batches(source: Source, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[Batch]:
    """Yield batches of columns, decoded as doubles and as categories."""
    return map_batches(source, numbers, labels, lambda batch: batch, threads=False)


def map_batches(
    source: Source,
    numbers: Sequence[str],
    labels: Sequence[str],
    step: Callable[[Batch], T],
    *,
    threads: bool = True,
    size: int | None = None,
    parts: Sequence[int] | None = None,
) -> Generator[T, None, None]:
    """Apply `step` to every batch, optionally in threads, and yield the results in the order of the rows.

    `size` limits the rows of a batch; by default the source decides. `parts` are the numbers of the source's parts to read, in
    this order; by default all.

    Raises
    ------
    DataError : a column does not exist, or has a value that cannot be used.
    """
    require_columns(source, [*numbers, *labels])
    read = with_row_positions(source.read(numbers, labels)) if parts is None else source.read_parts(numbers, labels, parts)
    pieces = (
        (first + start, batch.slice(start, size))
        for first, batch in report_scan(source, prefetch_items(read) if source.is_file else read, parts)
        for start in range(0, batch.num_rows, size or batch.num_rows or 1)
    )
    yield from map_in_order(pieces, lambda at: step(decode_batch(source, numbers, labels, *at)), threads=threads)
