"""The k rows that a measure of influence puts first, found in one scan in the memory of a batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from squarely.data import Source
from squarely.exact import Solution
from squarely.inference.post_estimation.influence.measures import InfluenceModel, RowInfluence, measure_rows
from squarely.inference.scan import WhitenedRows, fold_whitened_rows
from squarely.numerics import Array

_NAMED = 3  # rows with a leverage of one whose positions are kept


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LargestRows:
    """The rows that come first, in order, and what is found of all rows on the way.

    Attributes
    ----------
    positions : (k,) of the rows in the source, from 0, counted over all partitions.
    keys : (k,) what they are sorted by, from large to small.
    h, u, V : (k,), (k,), (q, k) as those of `RowInfluence`.
    further : (c, k) other values of these rows.
    ones : positions of the first rows with a leverage of one.
    one_count : the number of these rows, copies included.
    """

    positions: np.ndarray
    keys: Array
    h: Array
    u: Array
    V: Array
    further: Array
    ones: np.ndarray
    one_count: float

    def take(self, order: np.ndarray) -> LargestRows:
        """Return the rows at some places."""
        return replace(
            self,
            positions=self.positions[order],
            keys=self.keys[order],
            h=self.h[order],
            u=self.u[order],
            V=self.V[:, order],
            further=self.further[:, order],
        )

    def influence(self, model: InfluenceModel) -> RowInfluence:
        """Return the measures of these rows."""
        return RowInfluence(model=model, h=self.h, u=self.u, V=self.V)


def find_largest(solution: Solution, source: Source, model: InfluenceModel, by: str | int, k: int) -> LargestRows:
    """Scan the rows once for the k largest by a measure, or by the change of a selected coefficient. Ties go to the earlier row.

    `cov_ratio` is sorted by its distance from one, others by their absolute value. A row without a value is left out.
    """

    def step(rows: WhitenedRows) -> LargestRows:
        return largest_of(rows, model, by, k)

    return fold_whitened_rows(solution, source, step, lambda a, b: merge_largest(a, b, k), shift=shift_largest)


def largest_of(rows: WhitenedRows, model: InfluenceModel, by: str | int, k: int, further: Array | None = None) -> LargestRows:
    """Return the largest of whitened rows, which have `further` values (c, m)."""
    measured = measure_rows(rows, model, changes=True)
    keys = _keys_of(measured, by)
    chosen = np.flatnonzero(~np.isnan(keys))
    if len(chosen) > k:
        chosen = chosen[keys[chosen] >= np.partition(keys[chosen], -k)[-k]]
    chosen = chosen[np.argsort(-keys[chosen], kind="stable")][:k]
    ones = measured.is_one
    return LargestRows(
        positions=rows.positions[chosen],
        keys=keys[chosen],
        h=measured.h[chosen],
        u=measured.u[chosen],
        V=rows.V[:, chosen],
        further=np.empty((0, len(chosen))) if further is None else further[:, chosen],
        ones=rows.positions[ones][:_NAMED],
        one_count=float(ones.sum() if rows.frequencies is None else rows.frequencies[ones].sum()),
    )


def _keys_of(rows: RowInfluence, by: str | int) -> Array:
    if isinstance(by, int):
        return np.asarray(np.abs(rows.measure("dfbetas")[by]))
    return np.asarray(np.abs(rows.measure(by) - (1.0 if by == "cov_ratio" else 0.0)))


def merge_largest(a: LargestRows, b: LargestRows, k: int) -> LargestRows:
    """Return the largest of both; the rows of `a` are before those of `b`."""
    both = LargestRows(
        positions=np.concatenate([a.positions, b.positions]),
        keys=np.concatenate([a.keys, b.keys]),
        h=np.concatenate([a.h, b.h]),
        u=np.concatenate([a.u, b.u]),
        V=np.concatenate([a.V, b.V], axis=1),
        further=np.concatenate([a.further, b.further], axis=1),
        ones=np.concatenate([a.ones, b.ones])[:_NAMED],
        one_count=a.one_count + b.one_count,
    )
    return both.take(np.argsort(-both.keys, kind="stable")[:k])


def shift_largest(rows: LargestRows, by: int) -> LargestRows:
    """Add a number to the positions."""
    return replace(rows, positions=rows.positions + by, ones=rows.ones + by)
