"""The inverse root of X'X if R leaves too few digits for standard errors: one scan whitens the rows and squares them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from squarely.data import Source, scan_purpose
from squarely.design import Block, dense_table, fold_blocks, scaled_blocks
from squarely.exact.factorization import TEN_DIGITS, Factorization
from squarely.moments import CHEAP_CELLS, Moments, fold_in_threads
from squarely.numerics import (
    ROUNDOFF,
    SLICED_ROWS,
    Array,
    Pair,
    dd_add,
    dd_sum,
    power_of_two_above,
    slice_bits,
    slice_doubles,
    sliced_dot,
    two_product,
)

_TWELVE_DIGITS = TEN_DIGITS / 100


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class InverseRoot:
    """A = P U^-1 with A A' = (X'X)^-1 for the scaled columns X; `error` is the relative error of A, at worst.

    P (q, q) is near R^-1 and taken as it is stored, and U (q, q) is upper triangular, near the identity.
    """

    P: Array
    U: Array
    error: float

    def right_multiply(self, T: Array) -> Array:
        """Return T A (m, q). T P is summed in double-double: its terms may cancel, as in an intercept far from the data."""
        product = np.empty((len(T), len(self.P)))
        for row, out in zip(T, product, strict=True):
            columns = np.flatnonzero(row)  # all rows but the first have one entry
            hi, lo = dd_sum(two_product(row[columns, None], self.P[columns]))
            out[:] = hi + lo
        return np.asarray(solve_triangular(self.U, product.T, trans="T").T)


@scan_purpose("standard errors")
def inverse_root(moments: Moments, source: Source, factor: Factorization) -> InverseRoot | None:
    """Whiten the rows and square them, in one scan; return None if R leaves twelve digits, or the scan is not cheap.

    With P near R^-1 as stored, W = X P is formed in double-double. It is orthonormal up to the error of P, so W'W is near the
    identity, its Cholesky factor U is as exact as doubles are, and X'X = P^-T U'U P^-1. This is the reorthogonalization of
    CholeskyQR2 (Yamamoto et al. 2015, ETNA 44, 306-326), with the product in double-double.
    """
    if factor.unit_error <= _TWELVE_DIGITS or moments.n * len(factor.R) ** 2 > CHEAP_CELLS:
        return None
    design, columns = moments.design, factor.columns
    P: Array = solve_triangular(factor.R, np.eye(len(columns)))
    tops = np.array([power_of_two_above(column) for column in P.T])

    def step(block: Block) -> Pair:
        gram = np.zeros_like(P), np.zeros_like(P)
        for piece in scaled_blocks(design, block, SLICED_ROWS, low=True):
            hi, lo = dense_table(piece, design.layout)
            X, bits = hi[columns].T, slice_bits(max(hi.shape))
            right = slice_doubles(P, None, tops, bits)
            W, e = sliced_dot(slice_doubles(X, None if lo is None else lo[columns].T, power_of_two_above(X), bits), right)
            parts = slice_doubles(W, e, power_of_two_above(W), bits)
            gram = dd_add(gram, sliced_dot(parts.swapaxes(1, 2), parts))
        return gram

    zero = np.zeros_like(P), np.zeros_like(P)
    hi, lo = fold_blocks(design, source, step, dd_add, zero, threads=fold_in_threads(design))
    M = hi + lo
    return InverseRoot(P=P, U=cholesky(M, lower=False), error=8 * len(P) * ROUNDOFF * float(np.linalg.cond(M)))
