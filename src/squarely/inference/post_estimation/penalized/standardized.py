"""Least squares in centered, standardized columns: what every penalized fit is computed from, without a scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.exact import Solution
from squarely.moments import Moments
from squarely.numerics import Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class StandardizedColumns:
    """The columns x of a fit without the intercept, centered if there is one, and divided by `scale`.

    Attributes
    ----------
    root : (r, k) a matrix S with S'S = X'X, or X'W X with weights.
    target : (r,) with S'target = X'y, in the unit of the response.
    scale : (k,) what each column is divided by, in its unit; a slope is multiplied by its inverse.
    rank : of X.
    weight : the sum of the weights, or the number of observations.
    """

    root: Array
    target: Array
    scale: Array
    rank: int
    weight: float

    @property
    def cross_products(self) -> tuple[Array, Array]:
        """X'X (k, k) and X'y (k,), over the sum of the weights."""
        return self.root.T @ self.root / self.weight, self.root.T @ self.target / self.weight


def standardize_columns(solution: Solution, *, standardize: bool) -> StandardizedColumns:
    """Return the standardized columns of a solution, from its R, or from its triangle if columns were dropped."""
    moments, factor = solution.moments, solution.factor
    design, first = moments.design, int(moments.design.intercept)
    if not factor.dropped:
        hi, lo = solution.scaled_params
        root, target = factor.R[first:, first:], (factor.R @ hi + factor.R @ lo)[first:]
    elif factor.triangle is not None:
        root, target = factor.triangle[first:, 1:-1], factor.triangle[first:, -1]
    else:
        root, target = split_gram(centered_gram(moments.gram, intercept=bool(first)))
    sizes = _column_sizes(moments, root) if standardize else 1.0 / design.scales[:-1]
    return StandardizedColumns(
        root=root / sizes,
        target=target * design.scales[-1],
        scale=design.scales[:-1] * sizes,
        rank=len(factor.columns) - first,
        weight=moments.weight,
    )


def _column_sizes(moments: Moments, root: Array) -> Array:
    """Return the population standard deviation (k,) of each scaled column, about zero without an intercept; 1 if it is zero."""
    sizes: Array = np.linalg.norm(root, axis=0) / np.sqrt(moments.weight)
    is_zero = moments.is_constant[:-1] if moments.design.intercept else sizes == 0
    root[:, is_zero] = 0.0
    return np.where(is_zero, 1.0, sizes)


def centered_gram(gram: Array, *, intercept: bool) -> Array:
    """Return the cross-products (k, k) of the columns after the first, about their means if there is an intercept."""
    if not intercept:
        return gram[1:, 1:]
    return np.asarray(gram[1:, 1:] - np.outer(gram[0, 1:], gram[0, 1:]) / gram[0, 0])


def split_gram(gram: Array) -> tuple[Array, Array]:
    """Return S (k, k - 1) and a target (k,) with S'S and S'target the cross-products of [x, y]."""
    values, vectors = np.linalg.eigh(gram)
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    return root[:, :-1], root[:, -1]
