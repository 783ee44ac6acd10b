"""One scan sums the columns by level of each effect, and counts the rows of each pair of levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from squarely.data import (
    Labels,
    RowAccount,
    Source,
    concat_labels,
    encode_labels,
    require_whole_labels,
    scan_purpose,
    sort_labels,
    take_labels,
)
from squarely.design import Block, Design, fold_blocks, no_rows_error
from squarely.moments import fold_in_threads
from squarely.numerics import Array

_PENDING = 2**23  # numbers that wait to be merged at once

Pairs = dict[tuple[int, int], Any]  # sparse matrices of SciPy (L_e, L_f)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LevelSums:
    """Sums over some rows, with their weights, of the k columns less their centers, by level of each effect.

    Attributes
    ----------
    labels : the distinct labels of each effect.
    counts : (L,) for each effect, the rows of each level, or the sums of their frequencies.
    weights, sums : (L,) and (L, k) for each effect, the sums of the weights and of the columns.
    pairs : the sums of the weights for the levels of each two effects: the places of the levels, and the sums.
    totals : (k,) the sums of the columns, and (k,) of their squares.
    is_merged : whether each pair is there once, and they are sorted.
    """

    labels: tuple[Labels, ...]
    counts: tuple[Array, ...]
    weights: tuple[Array, ...]
    sums: tuple[Array, ...]
    pairs: Mapping[tuple[int, int], tuple[np.ndarray, np.ndarray, Array]]
    totals: Array
    is_merged: bool = False

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return sum(table.size for table in self.sums) + sum(len(data) for _, _, data in self.pairs.values())

    def pair_table(self, e: int, f: int) -> Any:
        """Return the weights of pairs of levels of two effects as a sparse matrix (L_e, L_f) of SciPy, sorted."""
        from scipy.sparse import coo_array, csr_array  # takes a tenth of a second to import, and only effects need it

        first, second, data = self.pairs[e, f]
        shape = len(self.counts[e]), len(self.counts[f])
        if self.is_merged:
            return csr_array((data, second, np.append(0, np.bincount(first, minlength=shape[0]).cumsum())), shape=shape)
        return coo_array((data, (first, second)), shape=shape).tocsr()


@dataclass(frozen=True, eq=False, slots=True)
class _Total:
    """The account of some rows and the sums of parts of them, which may share levels.

    Parts become one when the smaller ones together are twice as large as the largest, so a number is added up few times.
    """

    account: RowAccount
    parts: tuple[LevelSums, ...] = ()

    def __add__(self, other: _Total) -> _Total:
        parts = (*self.parts, *other.parts)
        sizes = [part.size for part in parts]
        if parts and sum(sizes) - max(sizes) > max(2 * max(sizes), _PENDING):
            parts = (_merge(parts),)
        return _Total(self.account + other.account, parts)


@scan_purpose("fixed effects")
def read_level_sums(design: Design, source: Source, centers: Array) -> LevelSums:
    """Return the sums over all complete rows, with the levels of each effect in their order.

    Raises
    ------
    DataError : no row is complete, or a label is a number with a fraction.
    """
    step = partial(_sum_rows, design.formula.effects, centers, has_frequencies=design.formula.has_frequencies)
    total = fold_blocks(design, source, step, _Total.__add__, _Total(RowAccount()), threads=fold_in_threads(design))
    if not total.parts:
        raise no_rows_error(source, total.account, [*design.inputs.numbers, *design.inputs.labels], design.where)
    sums = _merge(total.parts, partial(sort_labels, typed=source.typed))
    if not source.typed:
        for effect, labels in zip(design.formula.effects, sums.labels, strict=True):
            require_whole_labels(effect, labels)
    return sums


def _sum_rows(effects: Sequence[Sequence[str]], centers: Array, block: Block, *, has_frequencies: bool) -> _Total:
    if not block.size:
        return _Total(block.account)
    w = np.ones(block.size) if block.weights is None else block.weights
    X = np.array([(x - c) if low is None else (x - c) + low for (x, low), c in zip(block.dense, centers, strict=True)])
    found = [encode_labels({name: block.groups[name] for name in effect}) for effect in effects]
    codes = [each.astype(np.int32) for _, each in found]
    weighted = X if block.weights is None else X * w
    weights = _count(found, w)
    part = LevelSums(
        labels=tuple(labels for labels, _ in found),
        counts=weights if block.weights is None or has_frequencies else _count(found, None),
        weights=weights,
        sums=tuple(_add_up(code, weighted.T, len(labels[0])) for (labels, _), code in zip(found, codes, strict=True)),
        pairs={(e, f): (codes[e], codes[f], w) for e, f in combinations(range(len(effects)), 2)},
        totals=np.array([weighted.sum(axis=1), np.einsum("ji,ji->j", weighted, X)]),
    )
    return _Total(block.account, (part,))


def _count(found: Sequence[tuple[Labels, np.ndarray]], weights: Array | None) -> tuple[Array, ...]:
    return tuple(np.asarray(np.bincount(codes, weights, len(labels[0])), dtype=np.float64) for labels, codes in found)


def _add_up(codes: np.ndarray, values: Array, size: int) -> Array:
    """Sum values (m, k) by their codes (m,): (size, k)."""
    return np.column_stack([np.bincount(codes, column, size).astype(np.float64, copy=False) for column in values.T])


def _merge(parts: Sequence[LevelSums], sort: Callable[[Labels], np.ndarray] | None = None) -> LevelSums:
    """Return the sums of all parts with each level once, in the order of the places that `sort` returns."""
    effects = range(len(parts[0].labels))
    merged = [_merge_labels([part.labels[e] for part in parts], sort) for e in effects]
    sizes = [len(labels[0]) for labels, _ in merged]
    counts, weights = (
        tuple(_add_up(merged[e][1], np.concatenate([getattr(p, name)[e] for p in parts])[:, None], sizes[e])[:, 0] for e in effects)
        for name in ("counts", "weights")
    )
    result = LevelSums(
        labels=tuple(labels for labels, _ in merged),
        counts=counts,
        weights=weights,
        sums=tuple(_add_up(merged[e][1], np.concatenate([part.sums[e] for part in parts]), sizes[e]) for e in effects),
        pairs={key: _join_pairs(parts, merged, key) for key in parts[0].pairs},
        totals=np.sum([part.totals for part in parts], axis=0),
    )
    tables = {key: result.pair_table(*key).tocoo() for key in result.pairs}
    return replace(result, is_merged=True, pairs={key: (table.row, table.col, table.data) for key, table in tables.items()})


def _merge_labels(parts: Sequence[Labels], sort: Callable[[Labels], np.ndarray] | None) -> tuple[Labels, np.ndarray]:
    """Return the distinct labels, and the places among them of the labels of all parts."""
    labels, codes = concat_labels(parts)
    if sort is None:
        return labels, codes
    order = sort(labels)
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return take_labels(labels, order), places[codes]


def _join_pairs(
    parts: Sequence[LevelSums], merged: Sequence[tuple[Labels, np.ndarray]], key: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, Array]:
    """Return the pairs of all parts, with the places of their levels among all."""
    places = []
    for e, i in zip(key, (0, 1), strict=True):
        starts = np.cumsum([0, *(len(part.counts[e]) for part in parts)])
        of_part = [merged[e][1][start:stop].astype(np.int32) for start, stop in pairwise(starts)]
        places.append(np.concatenate([codes[part.pairs[key][i]] for codes, part in zip(of_part, parts, strict=True)]))
    return places[0], places[1], np.concatenate([part.pairs[key][2] for part in parts])
