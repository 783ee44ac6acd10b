"""Rank and R of merged fits, from their cross-products and triangles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from squarely.errors import DataError
from squarely.exact.condition_number import condition_of_scaled
from squarely.exact.factorization import (
    TEN_DIGITS,
    Factorization,
    columns_of,
    factorize_moments,
    factorize_triangle,
    make_factorization,
)
from squarely.exact.rank import Dependency, independent_columns, nearly_constant_columns
from squarely.exact.solution import Solution
from squarely.moments import CANCELLATION, ChangeOfBasis, MergedMoments, Moments
from squarely.numerics import ROUNDOFF, Array, qr_r

SUM_ERROR = 8 * ROUNDOFF  # the relative error of sums over rows in blocks, as measured, with a margin
_DIFFERENCE = 16.0  # by how much a difference of sums is less exact than they are: errors do not cancel, as measured
NOT_IN_MERGE = (
    "The fit to remove was never in: {}. Remove a fit of rows that are in, with the same formula and condition, and once."
)


def factorize_merged(
    merged: MergedMoments, solutions: Sequence[Solution], signs: Sequence[int]
) -> tuple[MergedMoments, Factorization]:
    """Decide rank and factor the merged columns; return the moments too, with rounding cut off."""
    has_removal = min(signs) < 0
    if has_removal:
        merged = _clip_gram(merged)
    zero = _zero_columns(merged.moments, solutions)
    # A column that a part has selected has whole numbers, and varies.
    constant = zero | (nearly_constant_columns(merged.moments) & ~_columns_selected_anywhere(merged.moments, solutions))
    if has_removal:
        return merged, _factorize_remainder(merged, constant, zero)
    factor = _factorize_sum(merged, solutions, constant, zero)
    if factor.triangle is not None:  # it has the squares of the columns' lengths even if cross-products cancel
        gram = merged.moments.gram.copy()
        np.fill_diagonal(gram, np.maximum(np.diag(gram), np.square(factor.triangle).sum(axis=0)))
        gram[0, 0] = merged.moments.weight
        merged = replace(merged, moments=replace(merged.moments, gram=gram))
    return merged, factor


def _columns_selected_anywhere(moments: Moments, solutions: Sequence[Solution]) -> np.ndarray:
    """Return which columns (k + 1,) some solution has selected."""
    return np.isin(["", *moments.design.labels], [name for s in solutions for name in s.selected_names])


def _zero_columns(moments: Moments, solutions: Sequence[Solution]) -> np.ndarray:
    """Return which columns (k + 1,) every part has dropped as zero."""
    dropped = [compress(s.moments.design.names, ~s.factor.selected) for s in solutions]
    names = set.intersection(*(set(compress(each, s.factor.zeros)) for each, s in zip(dropped, solutions, strict=True)))
    return np.array([False, *(name in names for name in moments.design.labels[:-1]), False])


def _factorize_sum(merged: MergedMoments, solutions: Sequence[Solution], constant: np.ndarray, zero: np.ndarray) -> Factorization:
    """Factor the sum of cross-products if that leaves ten digits, else the stacked triangles of all."""
    factor = None if constant.any() else factorize_moments(merged.moments)
    if factor is None:
        R = qr_r(np.vstack([change_triangle(s, change) for s, change in zip(solutions, merged.basis_changes, strict=True)]))
        T = np.vstack([R, np.zeros((R.shape[1] - len(R), R.shape[1]))])
        noise = SUM_ERROR * np.sqrt(merged.sizes) + _dropped_column_noise(merged, solutions)
        factor = factorize_triangle(merged.moments, T, constant, zero, noise)
    error_factor = float(merged.error_factors[factor.columns].max())
    if factor.method == "triangle":  # a triangle made of cross-products has their error times its condition
        factors = (s.factor.error_factor * _condition_number(s) for s in solutions if s.factor.triangle is None)
        error_factor = max([error_factor, *factors])
    return replace(factor, error_factor=error_factor)


def _dropped_column_noise(merged: MergedMoments, solutions: Sequence[Solution]) -> Array:
    """Bound the length (k + 1,) that rounding leaves of columns that all have dropped, some on cross-products alone."""
    noise = np.zeros(len(merged.moments.gram))
    for solution, change in zip(solutions, merged.basis_changes, strict=True):
        factor, gram = solution.factor, solution.moments.gram
        if factor.triangle is None:
            dropped = columns_of(solution.moments)[~factor.selected]
            lengths = np.sqrt(np.diag(gram)[dropped])
            # Their combination of the selected ones has the error of the products times the condition.
            noise += SUM_ERROR * factor.error_factor * _condition_number(solution) * (np.abs(change.A[0][dropped]).T @ lengths)
    return np.where(_columns_selected_anywhere(merged.moments, solutions), 0.0, noise)


def triangle_of(solution: Solution) -> Array:
    """Return T (m, k + 1) with T'T = Z'Z."""
    factor, gram = solution.factor, solution.moments.gram
    if factor.triangle is not None:
        return factor.triangle
    R, q, columns = factor.R, len(factor.R), factor.columns
    T = np.zeros((q + 1, len(gram)))
    others = np.setdiff1d(np.arange(T.shape[1] - 1), columns)
    T[:q, columns] = R
    T[:q, others] = solve_triangular(R, gram[np.ix_(columns, others)], trans="T")
    T[:q, -1] = R @ solution.scaled_params[0]
    T[q, -1] = np.sqrt(solution.ssr) / solution.moments.design.scales[-1]
    return T


def change_triangle(solution: Solution, change: ChangeOfBasis) -> Array:
    """Return T (m, l + 1) of the columns of a merged design."""
    hi, lo = change.right_multiply((T := triangle_of(solution), np.zeros_like(T)))
    return hi + lo


def needs_triangle(solution: Solution) -> bool:
    """Return whether R has digits that the cross-products lack: it may come from columns that an engine has centered."""
    if solution.factor.triangle is not None or solution.moments.engine_record is None:
        return solution.factor.triangle is not None
    return ROUNDOFF * _condition_number(solution) ** 2 > TEN_DIGITS


def _condition_number(solution: Solution) -> float:
    """Return the condition of R: after an engine, that of the factor is of the columns that the engine has centered."""
    factor = solution.factor
    return factor.condition if solution.moments.engine_record is None else condition_of_scaled(factor.R)


def _clip_gram(merged: MergedMoments) -> MergedMoments:
    """Cut products to the lengths of their columns: what exceeds these is rounding, or a DataError if it is too much."""
    gram, D = merged.moments.gram, np.sqrt(np.where(merged.sizes > 0, merged.sizes, 1.0))
    try:
        cholesky(gram / np.outer(D, D) + len(gram) * CANCELLATION * np.eye(len(gram)))
    except LinAlgError:
        raise DataError(NOT_IN_MERGE.format("the cross-products that would be left are those of no rows")) from None
    squares = np.maximum(np.diag(gram), 0.0)
    most = np.outer(np.sqrt(squares), np.sqrt(squares))
    clipped = np.clip(gram, -most, most)
    np.fill_diagonal(clipped, squares)
    return replace(merged, moments=replace(merged.moments, gram=clipped))


def _factorize_remainder(merged: MergedMoments, constant: np.ndarray, zero: np.ndarray) -> Factorization:
    """Factor what a removal leaves of cross-products, without the columns of which only rounding is left."""
    moments, sizes = merged.moments, merged.sizes
    D = np.sqrt(np.where(sizes > 0, sizes, 1.0))
    S = moments.gram / np.outer(D, D)
    columns = columns_of(moments)
    T = np.zeros_like(S)
    T[np.ix_(columns, columns)] = _cholesky_of_remainder(S[np.ix_(columns, columns)]) * D[columns]
    dropped: tuple[Dependency, ...] = ()
    selected = (np.diag(T) > 0)[columns] & ~constant[columns]
    if not selected.all():
        selected, dropped = independent_columns(moments, T, columns, constant, zero, noise=np.sqrt(CANCELLATION * sizes))
    columns = columns[selected]
    R = qr_r(T[:, columns])
    error_factor = _DIFFERENCE * float(merged.error_factors[columns].max())
    return make_factorization(moments, columns, R, condition_of_scaled(R), dropped=dropped, error_factor=error_factor)


def _cholesky_of_remainder(S: Array) -> Array:
    """Return upper triangular T (m, m) with T'T = S; a row is zero if only rounding is left of its column.

    That is if others span all of its square but a fraction below CANCELLATION.
    """
    T = np.zeros_like(S)
    for j in range(len(S)):
        selected = np.flatnonzero(np.diag(T)[:j])
        R = T[np.ix_(selected, selected)]
        T[selected, j] = projection = solve_triangular(R, S[selected, j], trans="T")
        square = S[j, j] - projection @ projection
        if square > CANCELLATION * (1.0 + float(np.abs(solve_triangular(R, projection)).sum())) ** 2:
            T[j, j] = np.sqrt(square)
    return T
