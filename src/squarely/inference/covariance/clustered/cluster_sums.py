"""Sums over the rows of each cluster, as tables that merge by label in any order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from squarely.data import (
    CategoricalColumn,
    GroupedStore,
    Labels,
    Source,
    add_up,
    encode_labels,
    fractional_label_error,
    parses_as_number,
    require_one_spelling,
    sum_by_code,
)
from squarely.errors import DataError, pluralize
from squarely.exact import Solution
from squarely.inference.scan import WhitenedRows, fold_whitened_batches
from squarely.numerics import Array

_MOST_CELLS = 2**22  # of sums in one table: larger ones are summed faster in parts
_MOST_IN_PARTITIONS, _MOST_CELLS_IN_PARTITIONS = 200_000, 2**24  # whose sums travel between processes
_PENDING_ROWS, _PENDING_CELLS = 2**16, 2**22  # that wait to be looked up at once
_BATCH_CELLS, _BATCH_ROWS = 2**22, 1_024  # of the values of a batch, 32 MB, unless it has fewer rows
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
        return cls((ClusterTable(labels, counts, sum_by_code(codes, values, len(counts))),))

    def merge(self, other: ClusterSums) -> ClusterSums:
        """Return the sums of the rows of both."""
        both = ClusterSums((*self.tables, *other.tables))
        largest = max(len(table.counts) for table in both.tables)
        few = min(_PENDING_ROWS, _PENDING_CELLS // both.width)
        return ClusterSums((both.to_table(),)) if both.size - largest > max(largest, few) else both

    def to_table(self) -> ClusterTable:
        """Return one table that has each cluster once."""
        return ClusterTable(*add_up([(table.labels, table.counts, table.sums) for table in self.tables]))

    @property
    def size(self) -> int:
        """The number of clusters; one in several tables counts several times."""
        return sum(len(table.counts) for table in self.tables)

    @property
    def width(self) -> int:
        """The number w of sums."""
        return int(self.tables[0].sums.shape[1])


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
    """All clusters of a fit, in tables that share no cluster. Many of them are in a store, which may be on the disk.

    `cluster_counts` describes those that have been iterated over.
    """

    def __init__(self) -> None:
        self.cluster_counts = ClusterCounts()
        self._store = GroupedStore()
        self._sums: ClusterSums | None = None

    def move_to_store(self, sums: ClusterSums) -> ClusterSums:
        """Return the sums, or those of no rows if there are many and they were moved to the store."""
        limit = _MOST_CELLS // sums.width
        if not self._store:
            if sums.size <= 2 * limit:
                return sums
            sums = ClusterSums((sums.to_table(),))
            if sums.size <= limit:
                return sums
        for table in sums.tables:
            self._store.append(table.labels, table.counts, table.sums)
        table = sums.tables[0]
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

    def move_to_store(sums: list[ClusterSums]) -> list[ClusterSums]:
        return [each.move_to_store(one) for each, one in zip(groups, sums, strict=True)]

    sums = fold_whitened_batches(
        solution,
        source,
        partial(sum_batch, tuple(ways), products, False),
        partial(_merge_partitions, tuple(ways)) if source.partitioned else merge_sums,
        groups=columns,
        most_rows=max(_BATCH_ROWS, _BATCH_CELLS // _width(len(solution.factor.columns), products)),
        after_batch=None if source.partitioned else move_to_store,
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


def _width(q: int, products: Products) -> int:
    """Return the number of values of a row."""
    triangle = q * (q + 1) // 2
    return {"none": q, "plain": q + triangle, "weighted": 2 * q + 3 * triangle}[products]


def sum_batch(
    ways: Sequence[Way], products: Products, fractions: bool, pieces: Iterator[WhitenedRows], size: int
) -> list[ClusterSums]:
    """Sum the values of the rows of a batch by their clusters, for each way of clustering."""
    values, start = np.empty((0, 0)), 0
    groups: dict[str, CategoricalColumn] = {}
    codes: dict[str, list[np.ndarray]] = {name: [] for way in ways for name in way}
    frequencies: list[Array] = []
    for rows in pieces:
        if not start:
            values = np.empty((_width(len(rows.V), products), size))
        stop = start + len(rows.residuals)
        _write_values(values[:, start:stop], rows, products)
        start = stop
        groups |= rows.groups
        for name, parts in codes.items():
            parts.append(rows.groups[name].codes)
        frequencies += [] if rows.frequencies is None else [rows.frequencies]
    groups = {name: replace(groups[name], codes=np.concatenate(parts)) for name, parts in codes.items()}
    f = np.concatenate(frequencies) if frequencies else None
    return [ClusterSums.of_rows({name: groups[name] for name in way}, values.T, f, fractions=fractions) for way in ways]


def _write_values(out: Array, rows: WhitenedRows, products: Products) -> None:
    """Write the values (w, m) of some rows whose sums `read_clusters` describes."""
    V, f, w = rows.V, rows.frequencies, rows.weights
    q, t = len(V), len(V) * (len(V) + 1) // 2
    scores = np.multiply(V, rows.residuals, out=out[:q])
    if f is not None:
        scores *= f
    if products == "plain":
        _write_triangles(V, V if f is None else V * f, out[q:])
    if products == "weighted" and w is not None:
        plain = out[2 * q : 2 * q + t]
        _write_triangles(V, V, plain)
        np.divide(scores, w, out=out[q : 2 * q])
        np.divide(plain, w, out=out[2 * q + t : 2 * q + 2 * t])
        np.multiply(plain, w, out=out[2 * q + 2 * t :])


def _write_triangles(V: Array, W: Array, out: Array) -> None:
    """Write the upper triangles of v w' by rows (q(q+1)/2, m)."""
    q, start = len(V), 0
    for i in range(q):
        np.multiply(W[i:], V[i], out=out[start : start + q - i])
        start += q - i


def merge_sums(a: list[ClusterSums], b: list[ClusterSums]) -> list[ClusterSums]:
    """Merge the sums of each way of clustering."""
    return [one.merge(other) for one, other in zip(a, b, strict=True)]


def _merge_partitions(ways: Sequence[Way], a: list[ClusterSums], b: list[ClusterSums]) -> list[ClusterSums]:
    merged = merge_sums(a, b)
    for k, (way, sums) in enumerate(zip(ways, merged, strict=True)):
        limit = min(_MOST_IN_PARTITIONS, _MOST_CELLS_IN_PARTITIONS // sums.width)
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
