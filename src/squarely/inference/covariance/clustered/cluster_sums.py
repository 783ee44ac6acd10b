"""Sums over the rows of each cluster, as tables that merge by label in any order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from scipy.sparse import csc_array

from squarely.data import (
    CategoricalColumn,
    GroupedStore,
    Labels,
    Source,
    concat_labels,
    encode_labels,
    fractional_label_error,
    parses_as_number,
    require_one_spelling,
)
from squarely.errors import DataError, pluralize
from squarely.exact import Solution
from squarely.inference.scan import WhitenedRows, fold_whitened_rows
from squarely.numerics import Array

_MOST_CELLS = 2**24  # of sums in memory, 128 MB: as long as they fit, they take half the time of the disk
_MOST_CLUSTERS = 2_000_000  # in memory; their labels take space, too
_MOST_IN_PARTITIONS = 200_000  # whose sums travel between processes
_PENDING_ROWS, _PENDING_CELLS = 2**16, 2**22  # that wait to be looked up at once
_EXAMINED = 1_000  # labels of a text file

Products = Literal["none", "plain", "weighted"]
Way = tuple[str, ...]  # one column of clusters, or two whose pairs are the clusters


@dataclass(frozen=True, eq=False, slots=True)
class ClusterTable:
    """Labels, numbers of rows (G,) and sums (G, w) of clusters."""

    labels: Labels
    counts: np.ndarray
    sums: Array


@dataclass(frozen=True, eq=False, slots=True)
class ClusterSums:
    """Sums over the rows of each cluster, in tables that may share clusters.

    The tables become one when the smaller ones together are as large as the largest, so each row is looked up twice on average.
    """

    tables: tuple[ClusterTable, ...]

    @classmethod
    def of_rows(
        cls, groups: Mapping[str, CategoricalColumn], values: Array, frequencies: Array | None = None, *, fractions: bool = False
    ) -> ClusterSums:
        """Sum the values (m, w) of some rows by their labels, which may be numbers with fractions.

        `frequencies` say how many rows each stands for.
        """
        labels, codes = encode_labels(groups, fractions=fractions)
        counts = np.rint(np.bincount(codes, frequencies, len(labels[0]))).astype(np.int64)
        return cls((ClusterTable(labels, counts, _sum_by_code(codes, values, len(counts))),))

    def merge(self, other: ClusterSums) -> ClusterSums:
        """Return the sums of the rows of both."""
        both = ClusterSums((*self.tables, *other.tables))
        largest = max(len(table.counts) for table in both.tables)
        few = min(_PENDING_ROWS, _PENDING_CELLS // both.width)
        return ClusterSums((both.to_table(),)) if both.size - largest > max(largest, few) else both

    def to_table(self) -> ClusterTable:
        """Return one table that has each cluster once."""
        labels, codes = concat_labels([table.labels for table in self.tables])
        counts, sums = np.zeros(len(labels[0]), dtype=np.int64), np.zeros((len(labels[0]), self.width))
        start = 0
        for table in self.tables:
            at: Any = codes[start : start + len(table.counts)]
            start += len(table.counts)
            if start == len(table.counts) and np.array_equal(at, np.arange(start)):
                at = slice(0, start)  # the labels of the first table come first
            elif len(at) and np.bincount(at).max() > 1:  # a dictionary that has a value twice
                np.add.at(counts, at, table.counts)
                np.add.at(sums, at, table.sums)
                continue
            counts[at] += table.counts
            sums[at] += table.sums
        return ClusterTable(labels, counts, sums)

    @property
    def size(self) -> int:
        """The number of clusters; one in several tables counts several times."""
        return sum(len(table.counts) for table in self.tables)

    @property
    def width(self) -> int:
        """The number w of sums."""
        return int(self.tables[0].sums.shape[1])

    @property
    def limit(self) -> int:
        """How many clusters stay in memory where rows are not partitioned."""
        return min(_MOST_CLUSTERS, _MOST_CELLS // self.width)


def _sum_by_code(codes: np.ndarray, values: Array, size: int) -> Array:
    rows = len(codes)
    sums: Array = csc_array((np.ones(rows), codes, np.arange(rows + 1, dtype=codes.dtype)), shape=(size, rows)) @ values
    return sums


@dataclass(slots=True)
class ClusterCounts:
    """The number of clusters, and of rows in the smallest and the largest one."""

    clusters: int = 0
    smallest: int = 0
    largest: int = 0

    def add(self, table: ClusterTable) -> None:
        """Count the clusters of a table."""
        if len(table.counts):
            low, high = int(table.counts.min()), int(table.counts.max())
            self.smallest = min(self.smallest, low) if self.clusters else low
            self.largest = max(self.largest, high)
            self.clusters += len(table.counts)

    def __str__(self) -> str:
        sizes = f"{self.smallest:,} to {self.largest:,} rows"
        return f"{self.clusters:,} clusters of {pluralize(self.largest, 'row') if self.smallest == self.largest else sizes}"


class ClusterGroups:
    """All clusters of a fit, in tables that share no cluster. More of them than fit into memory are on the disk.

    `cluster_counts` describes those that have been iterated over.
    """

    def __init__(self) -> None:
        self.cluster_counts = ClusterCounts()
        self._store = GroupedStore()
        self._sums: ClusterSums | None = None

    def move_to_disk(self, sums: ClusterSums) -> ClusterSums:
        """Return the sums, or those of no rows if they are too many for the memory and were moved to the disk."""
        if sums.size <= 2 * sums.limit:
            return sums
        table = sums.to_table()
        if len(table.counts) <= sums.limit:
            return ClusterSums((table,))
        self._store.append(table.labels, table.counts, table.sums)
        empty = ClusterTable(tuple(column[:0] for column in table.labels), table.counts[:0], table.sums[:0])
        return ClusterSums((empty,))

    def complete(self, sums: ClusterSums) -> ClusterGroups:
        """Take the sums that are left in memory."""
        table = sums.to_table()
        if self._store:
            self._store.append(table.labels, table.counts, table.sums)
        else:
            self._sums = ClusterSums((table,))
        return self

    def __iter__(self) -> Iterator[ClusterTable]:
        self.cluster_counts = ClusterCounts()
        tables = self._sums.tables if self._sums else (ClusterTable(*group) for group in self._store.iter_groups())
        for table in tables:
            self.cluster_counts.add(table)
            yield table


def read_clusters(solution: Solution, source: Source, ways: Sequence[Way], products: Products = "none") -> list[ClusterGroups]:
    """Return for each way of clustering the sums of the whitened scores v r (q), from one scan.

    With "plain" products the sums of v v' follow, as upper triangles by rows. "weighted" adds what CR2 with weights w needs: the
    sums of v r, v v', v v'/w and w v v', of which the first are over w, too.

    Raises
    ------
    DataError : a label cannot be used, or partitions of Spark or Dask have too many clusters.
    """
    groups, columns = [ClusterGroups() for _ in ways], list(dict.fromkeys(name for way in ways for name in way))

    def move_to_disk(sums: list[ClusterSums]) -> list[ClusterSums]:
        return [each.move_to_disk(one) for each, one in zip(groups, sums, strict=True)]

    sums = fold_whitened_rows(
        solution,
        source,
        partial(_sum_rows, tuple(ways), products),
        partial(_merge_partitions, tuple(ways)) if source.partitioned else _merge,
        groups=columns,
        after_batch=None if source.partitioned else move_to_disk,
    )
    if not source.typed:
        for name, one in zip(columns, sums, strict=False):
            labels = one.tables[0].labels[0]
            _require_whole_numbers(name, labels.slice(0, _EXAMINED).to_pylist())
            require_one_spelling(name, labels)
    return [each.complete(one) for each, one in zip(groups, sums, strict=True)]


def _require_whole_numbers(name: str, labels: Sequence[Any]) -> None:
    """Raise a DataError if labels from a text file are numbers with fractions, which other sources refuse by their type."""
    if labels and all(isinstance(label, str) and parses_as_number(label) for label in labels):
        odd = next((label for label in labels if not float(label).is_integer()), None)
        if odd is not None:
            raise fractional_label_error(name, odd)


def _sum_rows(ways: Sequence[Way], products: Products, rows: WhitenedRows) -> list[ClusterSums]:
    v = np.ascontiguousarray(rows.V.T)  # (m, q)
    scores, f = v * rows.residuals[:, None], rows.frequencies
    columns = [scores if f is None else scores * f[:, None]]
    w = np.empty((0, 1)) if rows.weights is None else rows.weights[:, None]
    if products == "weighted":
        columns.append(scores / w)
    if products != "none":
        columns.append(_triangles(v, v if f is None else v * f[:, None]))
    if products == "weighted":
        columns += [columns[-1] / w, columns[-1] * w]
    values = columns[0] if len(columns) == 1 else np.hstack(columns)
    return [ClusterSums.of_rows({name: rows.groups[name] for name in way}, values, f) for way in ways]


def _triangles(v: Array, w: Array) -> Array:
    """Return the upper triangles of v w' by rows (m, q(q+1)/2)."""
    m, q = v.shape
    products = np.empty((m, q * (q + 1) // 2))
    start = 0
    for i in range(q):
        np.multiply(w[:, i:], v[:, i, None], out=products[:, start : start + q - i])
        start += q - i
    return products


def _merge(a: list[ClusterSums], b: list[ClusterSums]) -> list[ClusterSums]:
    return [one.merge(other) for one, other in zip(a, b, strict=True)]


def _merge_partitions(ways: Sequence[Way], a: list[ClusterSums], b: list[ClusterSums]) -> list[ClusterSums]:
    merged = _merge(a, b)
    for k, (way, sums) in enumerate(zip(ways, merged, strict=True)):
        limit = min(_MOST_IN_PARTITIONS, sums.limit)
        if sums.size <= 2 * limit:
            continue
        table = sums.to_table()
        if len(table.counts) > limit:
            raise DataError(
                f"There are at least {len(table.counts):,} clusters of {' and '.join(map(repr, way))}, and partitions of Spark and "
                f"Dask are summed for at most {limit:,}. Write the rows to Parquet and fit the files, which may have more."
            )
        merged[k] = ClusterSums((table,))
    return merged
