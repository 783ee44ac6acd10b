"""The standard errors of predictions, from the columns of the rows and a root of the covariance of the coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from squarely.design.design import Design
from squarely.design.matrix.block import IndicatorColumn, PartialBlock
from squarely.numerics import (
    Array,
    Pair,
    dd_add,
    dd_multiply,
    low_part,
    power_of_two_above,
    slice_bits,
    slice_doubles,
    sliced_dot,
    two_sum,
)

_CELLS = 2**17  # of a piece, a megabyte: it stays in a cache


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class StandardErrors:
    """What the standard errors of predictions follow from: each is |F'z| for z = [1, (x - center) / scale].

    The columns are centered and scaled, so an intercept far from the rows loses no digits.

    Attributes
    ----------
    root : (1 + q, r) F, in the unit of the response; the row of the constant is zero without an intercept.
    factor : (r, s) if it is not None, F is `root @ factor`, and `root` has a product with z whose terms cancel.
    undefined : (1 + q,) the coefficients whose errors nothing shows: predictions that need one have NaN. None if there are none.
    """

    root: Array
    factor: Array | None = None
    undefined: np.ndarray | None = None

    def of(self, design: Design, selected: Sequence[int], block: PartialBlock) -> Array:
        """Return the standard errors (m,) of the predictions from the q `selected` columns of a design."""
        weights = np.zeros((len(design.columns), self.root.shape[1]))
        weights[list(selected)] = self.root[1:]
        chosen = set(selected)
        positions = [j for j in block.dense if j in chosen]
        dense = np.vstack([self.root[:1], weights[positions]])
        scaled = weights[block.grouped] / design.column_scales[1:-1][block.grouped, None]
        grouped = np.vstack([scaled, 0.0 * self.root[:1]])  # the last row is for a place of -1
        product = _multiply if self.factor is None else _multiply_exactly
        errors = np.empty(block.size)
        step = max(_CELLS // max(dense.shape), 64)
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, block.size, step):
                at = slice(start, min(start + step, block.size))
                V = product(design, positions, _take_rows(block, at), dense, grouped)
                if self.factor is not None:
                    V = np.dot(V, self.factor)
                errors[at] = np.sqrt(np.einsum("mr,mr->m", V, V))
        errors[self._undefined_rows(selected, block)] = np.nan
        return errors

    def _undefined_rows(self, selected: Sequence[int], block: PartialBlock) -> np.ndarray:
        rows = np.zeros(block.size, dtype=bool)
        if self.undefined is None:
            return rows
        rows |= self.undefined[0]
        columns = {j for j, undefined in zip(selected, self.undefined[1:], strict=True) if undefined}
        for j in columns & block.dense.keys():
            rows |= block.dense[j][0] != 0
        grouped = np.append([j in columns for j in block.grouped.tolist()], False).astype(bool)
        for each in block.indicators:
            rows |= grouped[each.places] & (each.nonzeros != 0)
        return rows


def _take_rows(block: PartialBlock, at: slice) -> PartialBlock:
    indicators = [
        IndicatorColumn(places=each.places[at], values=_take(each.values, at), low=_take(each.low, at)) for each in block.indicators
    ]
    dense = {j: (x[at], _take(low, at)) for j, (x, low) in block.dense.items()}
    return PartialBlock(dense=dense, grouped=block.grouped, indicators=indicators, size=at.stop - at.start)


def _take(x: Array | None, at: slice) -> Array | None:
    return None if x is None else x[at]


def _multiply(design: Design, positions: Sequence[int], block: PartialBlock, dense: Array, grouped: Array) -> Array:
    """Multiply scaled rows z with weights of [1, dense columns] and of the indicators: (m, r)."""
    Z = np.ones((len(dense), block.size))
    for z, j in zip(Z[1:], positions, strict=True):
        x, low = block.dense[j]
        np.subtract(x, design.centers[j], out=z)
        if low is not None:
            z += low
        z *= 1.0 / design.scales[j]
    V: Array = np.dot(Z.T, dense)
    for each in block.indicators:
        term = grouped[each.places]
        V += term if each.values is None else term * each.values[:, None]
    return V


def _multiply_exactly(design: Design, positions: Sequence[int], block: PartialBlock, dense: Array, grouped: Array) -> Array:
    """Do as `_multiply` in double-double, and round once."""
    Z, E = np.ones((len(dense), block.size)), np.zeros((len(dense), block.size))
    for i, j in enumerate(positions, start=1):
        x, low = block.dense[j]
        high, error = two_sum(x, np.full_like(x, -design.centers[j]))
        Z[i], E[i] = two_sum(high, error + low_part(x, low))
        Z[i] /= design.scales[j]
        E[i] /= design.scales[j]
    bits = slice_bits(len(dense))
    right = slice_doubles(dense, None, np.array([power_of_two_above(column) for column in dense.T]), bits)
    pair = sliced_dot(slice_doubles(Z.T, E.T, power_of_two_above(Z), bits), right)
    for each in block.indicators:
        term = grouped[each.places]
        terms: Pair = term, np.zeros_like(term)
        if each.values is not None:
            terms = dd_multiply(terms, (each.values[:, None], low_part(each.values, each.low)[:, None]))
        pair = dd_add(pair, terms)
    return pair[0] + pair[1]
