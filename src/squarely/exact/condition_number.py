"""Condition numbers and the diagonal of an inverse, from a triangular factor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from squarely.errors import DataError
from squarely.numerics import ROUNDOFF, Array

MOST_SINGULAR_VALUES = 1_000
_COLUMNS = 512
_TOLERANCE = 5e-3  # of an eigenvalue, twice that of a singular value: three digits are printed


@contextmanager
def translate_singular_errors() -> Iterator[None]:
    """Turn a LinAlgError for a singular matrix into a DataError."""
    try:
        yield
    except LinAlgError:
        raise no_digits_error() from None


def no_digits_error() -> DataError:
    """Return the error for columns that determine no coefficient."""
    return DataError(
        "The columns depend on each other so nearly that double precision leaves no digit of any coefficient. Leave out a column "
        "that others nearly make up, or center columns before their powers and products."
    )


def condition_of(R: Array, apart: Array | None = None) -> float:
    """Return the condition number of R, or of R B, in the 2-norm.

    B is the identity with its diagonal and first row replaced by those of `apart` (2, q): [diagonal, first row]. Beyond 1,000
    columns, Lanczos iterations find the extreme singular values to three digits, at the cost of some solves.
    """
    diagonal, first = (np.ones(len(R)), np.zeros(len(R))) if apart is None else apart
    if len(R) > MOST_SINGULAR_VALUES:
        return _condition_by_iteration(R, diagonal, first)
    B = np.diag(diagonal)
    B[0] += first
    T = R if apart is None else R @ B
    if not len(T) or not np.diag(T).all():
        return float("inf")
    # With columns of unlike scales, rounding of the largest singular value hides the smallest one. The inverse has it.
    ends = [np.linalg.norm(M, 2) for M in (T, solve_triangular(T, np.eye(len(T))))]
    return float(ends[0] * ends[1])


def condition_of_scaled(R: Array) -> float:
    """Return the condition number of R with its columns scaled to length one."""
    return condition_of(R / np.linalg.norm(R, axis=0))


def condition_of_cosines(C: Array) -> float:
    """Return the condition number of columns from their cosines (q, q), or infinity if no digit of it is left."""
    values = np.linalg.eigvalsh(C)
    return float(np.sqrt(values[-1] / values[0])) if values[0] > len(C) * ROUNDOFF * values[-1] else float("inf")


def _condition_by_iteration(R: Array, diagonal: Array, first: Array) -> float:
    from scipy.linalg.blas import dtrmv
    from scipy.sparse.linalg import LinearOperator, eigsh

    R, shape = np.asfortranarray(R), (len(R), len(R))

    def multiply(x: Array) -> Array:  # B'R'R B x
        y: Array = diagonal * x
        y[0] += first @ x
        y = dtrmv(R, dtrmv(R, y), trans=1)  # reads the upper half alone
        return np.asarray(diagonal * y + first * y[0])

    def solve(x: Array) -> Array:  # (R B)^-1 (R B)^-T x
        y: Array = x / diagonal
        y[0] = x[0] / (diagonal[0] + first[0])
        y[1:] -= first[1:] / diagonal[1:] * y[0]
        y = solve_triangular(R, solve_triangular(R, y, trans="T", check_finite=False), check_finite=False)
        y[0] = (y[0] - (first[1:] / diagonal[1:]) @ y[1:]) / (diagonal[0] + first[0])
        y[1:] /= diagonal[1:]
        return y

    ends = [
        eigsh(LinearOperator(shape, matvec=product), 1, v0=np.ones(len(R)), tol=_TOLERANCE, return_eigenvectors=False)[0]
        for product in (multiply, solve)
    ]
    return float(np.sqrt(ends[0] * ends[1]))


def unit_standard_errors(R: Array) -> Array:
    """Return the roots of the diagonal (q,) of (R'R)^-1: the lengths of the rows of R^-1, of which few columns are in memory."""
    squares = np.zeros(len(R))
    for start in range(0, len(R), _COLUMNS):
        end = min(start + _COLUMNS, len(R))
        right = np.eye(end, end - start, -start)
        squares[:end] += np.square(solve_triangular(R[:end, :end], right, check_finite=False)).sum(axis=1)
    return np.sqrt(squares)


def unit_standard_errors_of_blocks(G: Array, block: np.ndarray) -> Array:
    """Return the roots of the diagonal (q,) of G^-1 for cross-products G (q, q), diagonal among the columns of `block` (q,).

    With D for these, B for the rest and E between them, the inverse of the complement S = B - E'D^-1 E is the lower corner of the
    inverse, and the upper one has the diagonal D^-1 + D^-1 E S^-1 E'D^-1: no matrix of the size of the block is ever factored.
    """
    D = np.diag(G)[block]
    E = G[np.ix_(block, ~block)]
    R: Array = cholesky(G[np.ix_(~block, ~block)] - E.T @ (E / D[:, None]), lower=False)
    errors = np.empty(len(G))
    errors[~block] = unit_standard_errors(R)
    W = solve_triangular(R, (E / D[:, None]).T, trans="T")
    errors[block] = np.sqrt(1 / D + np.einsum("ij,ij->j", W, W))
    return errors


def column_norms(R: Array) -> Array:
    """Return the lengths (q,) of the columns of R, without another matrix of its size."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->j", R, R)))
