"""The standard errors of predictions, from the columns of the rows and a root of the covariance of the coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from squarely.design.design import Design
from squarely.design.matrix.block import PartialBlock
from squarely.numerics import Array

_CELLS = 2**17  # of a piece, a megabyte: it stays in a cache


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class StandardErrors:
    """What the standard errors of predictions follow from: each is |F'z| for z = [1, (x - center) / scale].

    The columns are centered and scaled, so an intercept far from the rows loses no digits.

    Attributes
    ----------
    root : (1 + q, r) F, in the unit of the response; the row of the constant is zero without an intercept.
    undefined : (1 + q,) the coefficients whose errors nothing shows: predictions that need one have NaN. None if there are none.
    """

    root: Array
    undefined: np.ndarray | None = None

    def of(self, design: Design, selected: Sequence[int], block: PartialBlock) -> Array:
        """Return the standard errors (m,) of the predictions from the q `selected` columns of a design."""
        centers, scales = design.column_centers[1:-1], design.column_scales[1:-1]
        weights = np.zeros((len(scales), self.root.shape[1]))
        weights[list(selected)] = self.root[1:]
        weights /= scales[:, None]
        positions = [j for j in block.dense if j in set(selected)]
        dense, grouped = np.vstack([self.root[:1], weights[positions]]), np.vstack([weights[block.grouped], 0.0 * self.root[:1]])
        errors = np.empty(block.size)
        step = max(_CELLS // max(len(dense), self.root.shape[1], 1), 64)
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, block.size, step):
                at = slice(start, min(start + step, block.size))
                Z = np.ones((len(dense), at.stop - start))
                for z, j in zip(Z[1:], positions, strict=True):
                    x, low = block.dense[j]
                    np.subtract(x[at], centers[j], out=z)
                    if low is not None:
                        z += low[at]
                V = np.dot(Z.T, dense)  # (m, r)
                for each in block.indicators:
                    term = grouped[each.places[at]]
                    V += term if each.values is None else term * each.values[at, None]
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
