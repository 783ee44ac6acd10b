"""Least squares of many sets of rows at once, from the cross-products of each about its means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.numerics import CONSTANT_TOLERANCE, ROUNDOFF, Array

_LEAST_SINE = 64 * ROUNDOFF  # squared, times the number of columns: less of a column than this is rounding of cross-products

_IN_SPAN = 1e-10  # of the sum of the weights: the squared distance of a constant from the columns


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class BatchedSolution:
    """Coefficients of G sets of rows, each from its own cross-products.

    Attributes
    ----------
    slopes : (G, p) the coefficients of the columns of X; zero for a dropped one.
    root : (G, p, p) lower-triangular-free P with P P' = (X'X)^-1 of the columns that are kept, zero for dropped ones.
    zero, constant, collinear : (G, p) which columns are dropped, and why: all values are zero; they are equal, which the intercept
        spans; or earlier columns span them.
    condition : (G,) a bound of the condition of the kept columns, scaled to length one.
    """

    slopes: Array
    root: Array
    zero: np.ndarray
    constant: np.ndarray
    collinear: np.ndarray
    condition: Array

    @property
    def dropped(self) -> np.ndarray:
        """Which columns (G, p) are dropped."""
        dropped: np.ndarray = self.zero | self.constant | self.collinear
        return dropped


def solve_batch(weights: Array, means: Array, products: Array, *, intercept: bool) -> BatchedSolution:
    """Solve G least squares problems by Cholesky, with the rank rule of each in the order of its columns.

    Parameters
    ----------
    weights : (G,) the sums of the weights, or the numbers of rows.
    means : (G, k) of the columns [x_1 ... x_p, y].
    products : (G, k, k) of the columns about their means, or with no intercept about zero.
    """
    p = means.shape[1] - 1
    squares, centers = np.einsum("gjj->gj", products)[:, :p], np.abs(means[:, :p])
    sizes = centers * np.sqrt(weights)[:, None]
    constant = np.sqrt(squares) <= CONSTANT_TOLERANCE * sizes if intercept else np.zeros(squares.shape, dtype=bool)
    zero = (squares == 0) & (centers == 0)
    constant &= ~zero
    lengths = np.sqrt(np.where(zero | constant, 1.0, squares))
    C = products[:, :p, :p] / (lengths[:, :, None] * lengths[:, None, :])
    R, kept = _cholesky_in_order(C, ~(zero | constant))
    P = _invert_triangles(R, kept)
    root = P / lengths[:, :, None]
    slopes = np.einsum("gij,gj->gi", root, np.einsum("gji,gj->gi", root, products[:, :p, p]))
    condition = np.sqrt(np.maximum(kept.sum(axis=1), 1)) * np.linalg.norm(P, axis=(1, 2))
    return BatchedSolution(
        slopes=slopes, root=root, zero=zero, constant=constant, collinear=~(kept | zero | constant), condition=condition
    )


def _cholesky_in_order(C: Array, candidates: np.ndarray) -> tuple[Array, np.ndarray]:
    """Factor matrices of cosines (G, p, p) in the order of their columns, without columns that earlier ones span.

    Returns R (G, p, p), upper triangular with ones on the diagonal for those columns, and which columns (G, p) are kept.
    """
    p = C.shape[1]
    R, kept = np.zeros_like(C), np.zeros(C.shape[:2], dtype=bool)
    for j in range(p):
        kept[:, j] = candidates[:, j] & (C[:, j, j] > (j + 1) * _LEAST_SINE)
        R[:, j, j] = np.sqrt(np.where(kept[:, j], C[:, j, j], 1.0))
        row = np.where((kept[:, j, None]) & candidates[:, j + 1 :], C[:, j, j + 1 :], 0.0) / R[:, j, j, None]
        R[:, j, j + 1 :] = row
        C[:, j + 1 :, j + 1 :] -= row[:, :, None] * row[:, None, :]
    return R, kept


def _invert_triangles(R: Array, kept: np.ndarray) -> Array:
    """Invert upper triangles (G, p, p), with rows and columns of zeros for columns that are not kept."""
    p = R.shape[1]
    P = np.zeros_like(R)
    both = kept[:, :, None] & kept[:, None, :]
    R = np.where(both, R, 0.0)
    for i in range(p - 1, -1, -1):
        diagonal = np.where(kept[:, i], R[:, i, i], 1.0)
        P[:, i, i] = np.where(kept[:, i], 1.0 / diagonal, 0.0)
        P[:, i, i + 1 :] = -np.einsum("gj,gjk->gk", R[:, i, i + 1 :], P[:, i + 1 :, i + 1 :]) / diagonal[:, None]
    return P


def spans_constant(weights: Array, means: Array, root: Array) -> np.ndarray:
    """Return whether the columns of X, of means (G, p), span a constant (G,), as the indicators of all levels do."""
    projection = np.einsum("gij,gi->gj", root, weights[:, None] * means)
    spanned: np.ndarray = weights - np.square(projection).sum(axis=1) <= _IN_SPAN * weights
    return spanned
