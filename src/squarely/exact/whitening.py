"""The inverse root of X'X where R alone leaves too few digits for standard errors: the rows are whitened and squared once more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from squarely.data import Source, fold, scanning
from squarely.design import Block, rows
from squarely.exact.factor import TEN_DIGITS, Factor
from squarely.moments import BLOCK_ROWS, Moments
from squarely.numerics import ROUNDOFF, Array, Pair, dd_add, dd_multiply, dd_sum, two_product

CHEAP_CELLS = 10_000_000  # double-double costs about 30 ns a cell: a third of a second here
_ENOUGH = TEN_DIGITS / 100


def wants_whitening(moments: Moments, factor: Factor) -> bool:
    """Tell whether R leaves fewer than twelve digits, and another scan is cheap."""
    return factor.unit_error > _ENOUGH and moments.n * len(factor.R) ** 2 <= CHEAP_CELLS


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Root:
    """A = P U^-1 with A A' = (X'X)^-1 for the scaled columns X.

    Attributes
    ----------
    P : (q, q) near R^-1, taken as it is stored. `U` (q, q) upper triangular, near the identity.
    error : the relative error of A, at worst.
    """

    P: Array
    U: Array
    error: float

    def times(self, T: Array) -> Array:
        """Return T A (m, q). T P is summed in double-double: its terms may cancel, as in an intercept far from the data."""
        product = two_product(T[:, :, None], self.P[None, :, :])
        hi, lo = dd_sum((product[0].swapaxes(0, 1), product[1].swapaxes(0, 1)))
        A: Array = solve_triangular(self.U, (hi + lo).T, trans="T").T
        return A


@scanning("standard errors")
def inverse_root(moments: Moments, source: Source, factor: Factor) -> Root:
    """Whiten the rows and square them, in one scan.

    With P near R^-1 as stored, W = X P is formed in double-double: it is orthonormal up to the error of P, so W'W is near the
    identity, its Cholesky factor U is as exact as doubles are, and X'X = P^-T U'U P^-1. This is the reorthogonalisation of
    CholeskyQR2 (Yamamoto et al. 2015, ETNA 44, 306-326), with the product kept in double-double.
    """
    P: Array = solve_triangular(factor.R, np.eye(len(factor.R)))

    def step(block: Block) -> Array:
        gram = np.zeros_like(P)
        for values, low in block.pieces(BLOCK_ROWS):
            hi, lo = moments.design.scaled(values, low)
            W = _product((hi[:, factor.columns], lo[:, factor.columns]), P)
            gram += W.T @ W
        return gram

    M = fold(rows(moments.design, source), step, np.add, np.zeros_like(P))
    U = cholesky(M, lower=False)
    return Root(P=P, U=U, error=8 * len(P) * ROUNDOFF * float(np.linalg.cond(M)))


def _product(X: Pair, P: Array) -> Array:
    """Return X P (m, q) for upper triangular P, computed in double-double and rounded once."""
    m, q = X[0].shape
    W = np.empty((m, q))
    for j in range(q):
        total = np.zeros(m), np.zeros(m)
        for k in range(j + 1):
            weight = np.full(m, P[k, j]), np.zeros(m)
            total = dd_add(total, dd_multiply((X[0][:, k], X[1][:, k]), weight))
        W[:, j] = total[0] + total[1]
    return W
