"""Separate fits to ranges of the rows in an order, and the exact selection of where the ranges begin.

The selection is a radix sort of one value: each scan counts the next 16 bits of the keys that are still possible, until few are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from numbers import Real
from typing import NamedTuple

import numpy as np

from squarely.data import scan_purpose
from squarely.errors import DataError, OptionError, pluralize, show_value
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.diagnostics.row_order.ordering import Key, Ordering
from squarely.inference.scan import WhitenedRows, fold_whitened_rows
from squarely.numerics import Array, qr_r

_DIGIT, _DIGITS_OF_KEY = 2**16, 4  # a double has four digits of 16 bits, and so has the position of a row
_MOST_KEPT = 1_000_000  # rows whose keys are sorted in memory
_DEPENDENT = 1e-11  # of the largest singular value of whitened rows

Threshold = tuple[float, float]  # a key and a position: rows below it in this order belong to earlier ranks


class RangeFit(NamedTuple):
    """The residual sum of squares of a separate fit, in the squared scaled unit of the response, and n - rank."""

    ssr: float
    df: int


def require_fraction(name: str, value: object, most: float = 1.0) -> float:
    """Return a number that is at least 0, and below `most`, or raise an OptionError."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) < most:
        raise OptionError(f"{name}={show_value(value)} is not a fraction of the rows. Give a number between 0 and 1.")
    return float(value)


@scan_purpose("diagnostics")
def fit_ranges(fit: CoefficientStatistics, name: str, ordering: Ordering, ranges: Sequence[tuple[int, int]]) -> list[RangeFit]:
    """Fit the model separately to rows from one place to another in an order, each range as (first, end).

    Raises
    ------
    DataError : a range has no more rows than the rank of its columns, or the order does not say where it begins.
    """
    n = fit.solution.moments.n
    for first, end in ranges:
        if not 0 <= first < end <= n:
            raise DataError(f"{name} would compare {max(end - first, 0):,} of {pluralize(n, 'row')}. Give other fractions.")
    ends = dict(zip(sorted({*chain(*ranges)}), _find_thresholds(fit, name, ordering, sorted({*chain(*ranges)})), strict=True))
    limits = [(ends[first], ends[end]) for first, end in ranges]
    step = partial(_triangles, key=ordering.key, limits=limits)
    triangles = fold_whitened_rows(fit.solution, fit.source, step, _merge_triangles, numbers=ordering.columns)
    return [_solve(T, end - first, name) for T, (first, end) in zip(triangles, ranges, strict=True)]


def _solve(T: Array, rows: int, name: str) -> RangeFit:
    """Return the fit of a range from the triangle of [V, residuals]; dependent columns do not count."""
    q = T.shape[1] - 1
    U, d, _ = np.linalg.svd(T[:q, :q])
    rank = int((d > _DEPENDENT * d[0]).sum())
    rest = T[q:, q] if len(T) > q else np.zeros(1)
    lost = (U.T @ T[:q, q])[rank:] if rank < len(d) else np.zeros(0)
    if rows <= rank:
        raise DataError(
            f"{name} fits {pluralize(rows, 'row')} separately, which leaves nothing for {pluralize(rank, 'coefficient')}. Give a "
            "larger fraction of the rows."
        )
    return RangeFit(float(rest @ rest + lost @ lost), rows - rank)


def _triangles(rows: WhitenedRows, *, key: Key | None, limits: Sequence[tuple[Threshold, Threshold]]) -> list[Array]:
    table, keys, at = np.vstack([rows.V, rows.residuals]).T, _keys(rows, key), rows.positions
    chosen = [~_is_below(keys, at, low) & _is_below(keys, at, high) for low, high in limits]
    return [_triangle(table[mask]) for mask in chosen]


def _triangle(table: Array) -> Array:
    """Return the triangle (q + 1, q + 1) of rows (m, q + 1), zero below its last row."""
    T = np.zeros((table.shape[1], table.shape[1]))
    R = qr_r(table)
    T[: len(R)] = R
    return T


def _merge_triangles(a: list[Array], b: list[Array]) -> list[Array]:
    return [_triangle(np.vstack(pair)) for pair in zip(a, b, strict=True)]


def _keys(rows: WhitenedRows, key: Key | None) -> Array:
    return np.zeros(len(rows.positions)) if key is None else key(rows) + 0.0  # no -0.0


def _is_below(keys: Array, positions: np.ndarray, threshold: Threshold) -> np.ndarray:
    value, place = threshold
    below: np.ndarray = (keys < value) | ((keys == value) & (positions < place))
    return below


def _find_thresholds(fit: CoefficientStatistics, name: str, ordering: Ordering, ranks: Sequence[int]) -> list[Threshold]:
    """Return for each rank the key and the position of the row that has it, counted from 0; behind the last one infinity."""
    account, n = fit.rows, fit.solution.moments.n
    if ordering.key is None and account.read == account.used:
        return [(0.0, float(rank)) for rank in ranks]
    by_key = ordering.along if fit.source.partitioned or not fit.source.ordered else ""
    found = {0: (-np.inf, 0.0), n: (np.inf, 0.0)}
    targets = {rank: _Target(prefix=0, digits=0, rank=rank) for rank in ranks if rank not in found}
    while targets:
        counts = _scan(fit, ordering, partial(_count_digits, key=ordering.key, targets=[*targets.values()]), _add)
        targets = {rank: target.narrow(count) for (rank, target), count in zip(targets.items(), counts, strict=True)}
        small = {rank: target for rank, target in targets.items() if target.size <= _MOST_KEPT}
        if small:
            kept = _scan(fit, ordering, partial(_keep_keys, key=ordering.key, targets=[*small.values()]), _join)
            for (rank, target), (keys, positions) in zip(small.items(), kept, strict=True):
                found[rank] = _choose(keys, positions, target.rank, name, by_key=by_key)
                del targets[rank]
    return [found[rank] for rank in ranks]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """A row to find: the leading digits of its key and position, and its rank among the `size` rows that have these digits."""

    prefix: int
    digits: int
    rank: int
    size: int = -1

    def narrow(self, counts: np.ndarray) -> _Target:
        """Return the target with one more digit, from the counts (65,536,) of the next digit."""
        below = np.cumsum(counts)
        digit = int(np.searchsorted(below, self.rank, side="right"))
        rank = self.rank - int(below[digit] - counts[digit])
        return _Target(prefix=self.prefix * _DIGIT + digit, digits=self.digits + 1, rank=rank, size=int(counts[digit]))


def _scan(fit: CoefficientStatistics, ordering: Ordering, step: Callable[[WhitenedRows], list], merge: Callable) -> list:
    result: list = fold_whitened_rows(fit.solution, fit.source, step, merge, numbers=ordering.columns)
    return result


def _add(a: list[np.ndarray], b: list[np.ndarray]) -> list[np.ndarray]:
    return [x + y for x, y in zip(a, b, strict=True)]


_Kept = list[tuple[Array, np.ndarray]]


def _join(a: _Kept, b: _Kept) -> _Kept:
    return [(np.concatenate([x, z]), np.concatenate([y, w])) for (x, y), (z, w) in zip(a, b, strict=True)]


def _ordered_bits(keys: Array) -> np.ndarray:
    """Return whole numbers (m,) in the order of doubles."""
    bits = np.ascontiguousarray(keys).view(np.uint64)
    return np.where(bits >> np.uint64(63), ~bits, bits | np.uint64(1 << 63))


def _candidates(bits: np.ndarray, positions: np.ndarray, target: _Target) -> np.ndarray:
    """Return which rows (m,) have the leading digits of a target."""
    of_position = max(target.digits - _DIGITS_OF_KEY, 0)
    mask = _has_prefix(bits, target.prefix >> 16 * of_position, target.digits - of_position)
    if of_position:
        mask &= _has_prefix(positions.astype(np.uint64), target.prefix & ((1 << 16 * of_position) - 1), of_position)
    return mask


def _has_prefix(numbers: np.ndarray, prefix: int, digits: int) -> np.ndarray:
    if not digits:
        return np.ones(len(numbers), dtype=bool)
    found: np.ndarray = numbers >> np.uint64(64 - 16 * digits) == np.uint64(prefix)
    return found


def _count_digits(rows: WhitenedRows, *, key: Key | None, targets: Sequence[_Target]) -> list[np.ndarray]:
    """Count for each target the digits that follow its own, in the rows that have those."""
    bits, counts = _ordered_bits(_keys(rows, key)), []
    for target in targets:
        numbers = bits if target.digits < _DIGITS_OF_KEY else rows.positions.astype(np.uint64)
        digits = numbers[_candidates(bits, rows.positions, target)] >> np.uint64(48 - 16 * (target.digits % _DIGITS_OF_KEY))
        counts.append(np.bincount((digits & np.uint64(_DIGIT - 1)).astype(np.int64), minlength=_DIGIT))
    return counts


def _keep_keys(rows: WhitenedRows, *, key: Key | None, targets: Sequence[_Target]) -> _Kept:
    keys = _keys(rows, key)
    masks = [_candidates(_ordered_bits(keys), rows.positions, target) for target in targets]
    return [(keys[mask], rows.positions[mask]) for mask in masks]


def _choose(keys: Array, positions: np.ndarray, rank: int, name: str, *, by_key: str) -> Threshold:
    """Return the key and the position of the row with a rank; with `by_key`, an order in words, rows may not tie there."""
    order = np.lexsort((positions, keys))
    at = order[rank]
    if by_key:
        if rank and keys[order[rank - 1]] == keys[at]:
            raise DataError(
                f"{name} divides the rows {by_key} where several have the value {keys[at]:g}, and the rows have "
                "no other order. Name a column without repeated values by order_by=."
            )
        return float(keys[at]), -1.0
    return float(keys[at]), float(positions[at])
