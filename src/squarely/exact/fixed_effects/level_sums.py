"""One scan sums the columns by level of each effect, and counts the rows of each pair of levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from squarely.data import LevelIndex, RowAccount, Source, concat_labels, encode_labels, scan_purpose, sort_labels
from squarely.design import Block, Design, fold_blocks, no_rows_error
from squarely.moments import fold_in_threads
from squarely.numerics import Array

_PENDING = 2**16  # labels that wait to be merged at once

Pairs = dict[tuple[int, int], Any]  # sparse matrices of SciPy (L_e, L_f)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LevelSums:
    """Sums over some rows, with their weights, of the k columns less their centers, by level of each effect.

    Attributes
    ----------
    labels : the distinct labels of each effect.
    counts : (L,) for each effect, the rows of each level, or the sums of their frequencies.
    weights, sums : (L,) and (L, k) for each effect, the sums of the weights and of the columns.
    pairs : the sums of the weights (L_e, L_f) for the levels of each two effects, sparse.
    totals : (k,) the sums of the columns, and (k,) of their squares.
    """

    labels: tuple[Any, ...]
    counts: tuple[Array, ...]
    weights: tuple[Array, ...]
    sums: tuple[Array, ...]
    pairs: Pairs
    totals: Array

    @property
    def size(self) -> int:
        """The number of labels of all effects."""
        return sum(map(len, self.counts))


@dataclass(frozen=True, eq=False, slots=True)
class _Total:
    """The account of some rows and the sums of parts of them, which may share levels.

    Parts become one when the smaller ones together are as large as the largest, so each label is looked up twice on average.
    """

    account: RowAccount
    parts: tuple[LevelSums, ...] = ()

    def __add__(self, other: _Total) -> _Total:
        parts = (*self.parts, *other.parts)
        sizes = [part.size for part in parts]
        if parts and sum(sizes) - max(sizes) > max(*sizes, _PENDING):
            parts = (_merge(parts),)
        return _Total(self.account + other.account, parts)


@scan_purpose("fixed effects")
def read_level_sums(design: Design, source: Source, centers: Array) -> tuple[LevelSums, tuple[LevelIndex, ...]]:
    """Return the sums over all complete rows, with the levels of each effect in their order.

    Raises
    ------
    DataError : no row is complete, or a label is a number with a fraction.
    """
    step = partial(_sum_rows, design.formula.effects, centers, has_frequencies=design.formula.has_frequencies)
    total = fold_blocks(design, source, step, _Total.__add__, _Total(RowAccount()), threads=fold_in_threads(design))
    if not total.parts:
        raise no_rows_error(source, total.account, [*design.inputs.numbers, *design.inputs.labels], design.where)
    return _sort(_merge(total.parts))


def _sum_rows(effects: Sequence[Sequence[str]], centers: Array, block: Block, *, has_frequencies: bool) -> _Total:
    if not block.size:
        return _Total(block.account)
    w = np.ones(block.size) if block.weights is None else block.weights
    X = np.array([(x - c) if low is None else (x - c) + low for (x, low), c in zip(block.dense, centers, strict=True)]).T
    found = [encode_labels({name: block.groups[name] for name in effect}) for effect in effects]
    sizes = [len(labels[0]) for labels, _ in found]
    weighted = X if block.weights is None else X * w[:, None]
    weights = _count(found, w)
    part = LevelSums(
        labels=tuple(labels for labels, _ in found),
        counts=weights if block.weights is None or has_frequencies else _count(found, None),
        weights=weights,
        sums=tuple(_sum_by_code(codes, weighted, size) for (_, codes), size in zip(found, sizes, strict=True)),
        pairs={(e, f): _sparse(w, found[e][1], found[f][1], (sizes[e], sizes[f])) for e, f in combinations(range(len(sizes)), 2)},
        totals=np.array([weighted.sum(axis=0), np.einsum("ij,ij->j", weighted, X)]),
    )
    return _Total(block.account, (part,))


def _count(found: Sequence[tuple[Any, np.ndarray]], weights: Array | None) -> tuple[Array, ...]:
    return tuple(np.asarray(np.bincount(codes, weights, len(labels[0])), dtype=np.float64) for labels, codes in found)


def _sum_by_code(codes: np.ndarray, X: Array, size: int) -> Array:
    from scipy.sparse import csc_array  # takes a tenth of a second to import, and only effects need it

    rows = len(codes)
    sums: Array = csc_array((np.ones(rows), codes, np.arange(rows + 1, dtype=codes.dtype)), shape=(size, rows)) @ X
    return sums


def _sparse(weights: Array, first: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> Any:
    """Sum weights (m,) by pair of codes: a sparse matrix of rows."""
    from scipy.sparse import coo_array

    return coo_array((weights, (first.astype(np.int32), second.astype(np.int32))), shape=shape).tocsr()


def _merge(parts: Sequence[LevelSums]) -> LevelSums:
    """Return the sums of all parts with each level once."""
    if len(parts) == 1:
        return parts[0]
    effects = range(len(parts[0].labels))
    merged = [concat_labels([part.labels[e] for part in parts]) for e in effects]
    sizes = [len(labels[0]) for labels, _ in merged]
    places = [np.split(codes, np.cumsum([len(part.counts[e]) for part in parts])[:-1]) for e, (_, codes) in enumerate(merged)]
    counts, weights, sums = (
        [_add_up([getattr(p, name)[e] for p in parts], places[e], sizes[e]) for e in effects] for name in _SUMS
    )
    pairs = {}
    for e, f in parts[0].pairs:
        entries = [(part.pairs[e, f].tocoo(), i) for i, part in enumerate(parts)]
        first = np.concatenate([places[e][i][table.row] for table, i in entries])
        second = np.concatenate([places[f][i][table.col] for table, i in entries])
        pairs[e, f] = _sparse(np.concatenate([table.data for table, _ in entries]), first, second, (sizes[e], sizes[f]))
    return LevelSums(
        labels=tuple(labels for labels, _ in merged),
        counts=tuple(counts),
        weights=tuple(weights),
        sums=tuple(sums),
        pairs=pairs,
        totals=np.sum([part.totals for part in parts], axis=0),
    )


_SUMS = ("counts", "weights", "sums")


def _add_up(tables: Sequence[Array], places: Sequence[np.ndarray], size: int) -> Array:
    total = np.zeros((size, *tables[0].shape[1:]))
    for table, at in zip(tables, places, strict=True):
        np.add.at(total, at, table)  # a dictionary may have a value twice
    return total


def _sort(sums: LevelSums) -> tuple[LevelSums, tuple[LevelIndex, ...]]:
    """Put the levels of each effect in order, which that of the rows does not change."""
    orders = [sort_labels(labels) for labels in sums.labels]

    def ordered(tables: Sequence[Array]) -> tuple[Array, ...]:
        return tuple(table[order] for table, order in zip(tables, orders, strict=True))

    pairs: Mapping[tuple[int, int], Any] = {
        (e, f): table[orders[e]][:, orders[f]].sorted_indices() for (e, f), table in sums.pairs.items()
    }
    levels = tuple(
        LevelIndex(tuple(column.take(order) for column in labels)) for labels, order in zip(sums.labels, orders, strict=True)
    )
    return LevelSums(
        labels=tuple(index.labels for index in levels),
        counts=ordered(sums.counts),
        weights=ordered(sums.weights),
        sums=ordered(sums.sums),
        pairs=dict(pairs),
        totals=sums.totals,
    ), levels
