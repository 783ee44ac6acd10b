"""Cross-products of each group of rows about its own means, from one scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from squarely.data import LabelPlaces, Labels, RowAccount, Source, concat_labels, encode_labels, scan_purpose
from squarely.design import Block, Design, fold_blocks
from squarely.errors import DataError
from squarely.moments import require_value_range
from squarely.numerics import Array

_MOST_CELLS = 2**28  # of products of all groups, 2 GB


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class GroupedRows:
    """Some rows, sorted by their groups.

    Attributes
    ----------
    labels : of the groups, a column (g,) for each column of labels.
    sizes : (g,) the number of rows of each group; `starts` (g,) the first of them.
    columns : (k, m) the columns [x_1 ... x_p, y].
    weights : (m,) weights or frequencies; None for one each.
    """

    labels: Labels
    sizes: np.ndarray
    starts: np.ndarray
    columns: Array
    weights: Array | None

    def sum(self, values: Array) -> Array:
        """Sum values (m,) within each group (g,)."""
        return np.asarray(np.add.reduceat(values, self.starts))

    def weigh(self, values: Array) -> Array:
        """Multiply values (m,) by the weights."""
        return values if self.weights is None else values * self.weights

    def spread(self, values: Array) -> Array:
        """Repeat values (g,) of the groups in each of their rows (m,)."""
        return np.repeat(values, self.sizes)


def sort_by_group(block: Block) -> GroupedRows:
    """Sort the rows of a block, which has at least one, by their groups; rows of a group keep their order."""
    labels, codes = encode_labels(block.groups)
    distinct, places = concat_labels([labels])  # a dictionary may have a value twice
    labels, codes = distinct, places[codes]
    columns, weights = block.columns_by_row, block.weights
    if (np.diff(codes) < 0).any():
        order = np.argsort(codes, kind="stable")
        codes, columns = codes[order], columns[:, order]
        weights = None if weights is None else weights[order]
    sizes = np.bincount(codes, minlength=len(labels[0]))
    return GroupedRows(labels=labels, sizes=sizes, starts=np.cumsum(sizes) - sizes, columns=columns, weights=weights)


class GroupMoments:
    """Sums of groups, which grow batch by batch.

    Attributes
    ----------
    places : the place of each label.
    counts : (G,) the rows of each group; with weights, those of positive weight.
    weights : (G,) the sums of their weights; equal to `counts` without any.
    means : (G, k) of the columns [x_1 ... x_p, y].
    products : (G, k (k + 1) / 2) their cross-products about these means, the upper triangle by rows.
    """

    def __init__(self, labels: Labels, counts: np.ndarray, weights: Array, means: Array, products: Array) -> None:
        self.places = LabelPlaces(labels)
        self.counts, self.weights, self.means, self.products = counts, weights, means, products

    def __len__(self) -> int:
        return len(self.places)

    def merge(self, other: GroupMoments) -> GroupMoments:
        """Add the rows of another one, which must not be used afterwards.

        Source: Chan, Golub and LeVeque (1983), doi:10.1080/00031305.1983.10483115.
        """
        at = self.places.merge(other.places)
        self._grow(len(self))
        size = len(other)
        n, m = self.weights[at], other.weights[:size]
        total = n + m
        difference = other.means[:size] - self.means[at]
        self.means[at] += difference * (m / total)[:, None]
        self.products[at] += other.products[:size]
        scaled = difference * (n * m / total)[:, None]
        start, k = 0, difference.shape[1]
        for i in range(k):
            self.products[at, start : start + k - i] += scaled[:, i, None] * difference[:, i:]
            start += k - i
        self.weights[at] = total
        self.counts[at] += other.counts[:size]
        return self

    def _grow(self, size: int) -> None:
        if size <= len(self.counts):
            return
        capacity = max(size, 2 * len(self.counts))
        if capacity * self.products.shape[1] > _MOST_CELLS:
            capacity = size
        if capacity * self.products.shape[1] > _MOST_CELLS:
            raise DataError(
                f"There are at least {size:,} groups with {self.products.shape[1]:,} products of columns each, which needs more "
                "than 2 GB. Use fewer columns, or split the rows by where=."
            )
        for name in ("counts", "weights", "means", "products"):
            old = getattr(self, name)
            new = np.zeros((capacity, *old.shape[1:]), dtype=old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def trim(self) -> GroupMoments:
        """Cut the arrays to the number of groups."""
        for name in ("counts", "weights", "means", "products"):
            setattr(self, name, getattr(self, name)[: len(self)])
        return self

    def matrices(self, at: slice) -> Array:
        """Return the products of some groups as symmetric matrices (g, k, k)."""
        k = self.means.shape[1]
        upper = np.triu_indices(k)
        S = np.empty((len(self.products[at]), k, k))
        S[:, upper[0], upper[1]] = S[:, upper[1], upper[0]] = self.products[at]
        return S


@scan_purpose("cross-products")
def read_group_moments(design: Design, source: Source) -> tuple[GroupMoments | None, RowAccount]:
    """Scan the rows once, and return the sums of the groups that `design.formula.groups` names, with the account of the rows.

    Raises
    ------
    DataError : a label is not a whole number, a text or a boolean, or the sums of all groups need more than 2 GB.
    """

    def work(block: Block) -> _Total:
        with np.errstate(over="ignore", invalid="ignore"):  # sums that are not finite are reported at the end
            return block.account, _sum_groups(sort_by_group(block)) if block.size else None

    start: _Total = RowAccount(), None
    account, moments = fold_blocks(design, source, work, _merge, start)
    if moments is not None:
        moments.trim()
        k = moments.means.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):
            deviations = np.sqrt(moments.products[:, _diagonal(k)] / moments.weights[:, None])
            require_value_range(design, source, (np.abs(moments.means) + deviations).max(axis=0))
    return moments, account


def _diagonal(k: int) -> np.ndarray:
    """Return where the squares (k,) are in an upper triangle by rows."""
    i = np.arange(k)
    return np.asarray(i * k - i * (i - 1) // 2)


_Total = tuple[RowAccount, GroupMoments | None]


def _merge(a: _Total, b: _Total) -> _Total:
    with np.errstate(over="ignore", invalid="ignore"):
        return a[0] + b[0], a[1].merge(b[1]) if a[1] and b[1] else a[1] or b[1]


def _sum_groups(rows: GroupedRows) -> GroupMoments:
    weights = rows.sizes.astype(float) if rows.weights is None else rows.sum(rows.weights)
    centered, means = np.empty_like(rows.columns), np.empty((len(weights), len(rows.columns)))
    for j, x in enumerate(rows.columns):
        means[:, j] = rows.sum(rows.weigh(x)) / weights
        np.subtract(x, rows.spread(means[:, j]), out=centered[j])
    return GroupMoments(rows.labels, rows.sizes, weights, means, sum_products(rows, centered, rows.weights))


def sum_products(rows: GroupedRows, columns: Array, factor: Array | None) -> Array:
    """Sum the products of columns (k, m), times a factor (m,), within each group: upper triangles by rows (g, k (k + 1) / 2)."""
    k = len(columns)
    products = np.empty((len(rows.sizes), k * (k + 1) // 2))
    place = 0
    for i in range(k):
        first = columns[i] if factor is None else columns[i] * factor
        for j in range(i, k):
            products[:, place] = rows.sum(first * columns[j])
            place += 1
    return products


def require_few_products(names: Sequence[str]) -> None:
    """Raise a DataError if a single group has more products of columns than fit into memory."""
    k = len(names) + 1
    if k * (k + 1) // 2 > _MOST_CELLS // 64:
        raise DataError(
            f"The formula makes {len(names):,} columns, which are too many for by=. Use fewer, or split the rows by where=."
        )
