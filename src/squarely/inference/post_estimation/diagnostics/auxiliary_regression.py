"""Auxiliary regressions from cross-products: how much columns explain of a series, and of the residuals beside the model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from squarely.exact import cholesky_in_order
from squarely.numerics import Array

_LEAST = 1e-10  # of the square of a column: a smaller remainder beside the columns before it is rounding


class Regression(NamedTuple):
    """The explained and the total sum of squares about the mean, and the number of independent columns beside the constant."""

    explained: float
    total: float
    rank: int


def cross_products(columns: Array, series: Array, frequencies: Array | None = None) -> Array:
    """Return the cross-products (c + 2, c + 2) of [1, columns (c, m), series (m,)]."""
    table = np.empty((len(columns) + 2, len(series)))
    table[0], table[1:-1], table[-1] = 1.0, columns, series
    return np.asarray(np.dot(table if frequencies is None else table * frequencies, table.T))


def regress(products: Array) -> Regression:
    """Regress the series on a constant and the columns, from the result of `cross_products`."""
    R, selected, length = _factor(products[:-1, :-1])
    z = solve_triangular(R, products[:-1, -1][selected] / length[selected], trans="T")
    return Regression(float(z[1:] @ z[1:]), float(products[-1, -1] - z[0] ** 2), int(selected.sum()) - 1)


def explain_residuals(products: Array, q: int) -> tuple[float, int]:
    """Return how much added columns lower the sum of squares, and how many of them are independent of the model.

    `products` (c, q + c + 1) are those of the added columns with [V, added columns, residuals].
    """
    VF, FF, Fe = products[:, :q].T, products[:, q:-1], products[:, -1]
    length = np.sqrt(np.diag(FF))
    unit = np.where(length > 0, length, 1.0)
    C = (FF - VF.T @ VF) / np.outer(unit, unit)
    R, selected = cholesky_in_order((C + C.T) / 2, _LEAST)
    z = solve_triangular(R, (Fe / unit)[selected], trans="T") if selected.any() else np.zeros(0)
    return float(z @ z), int(selected.sum())


def _factor(G: Array) -> tuple[Array, np.ndarray, Array]:
    """Return the triangle of the independent columns in their order, which columns they are, and the lengths of all."""
    length = np.sqrt(np.diag(G))
    unit = np.where(length > 0, length, 1.0)
    R, selected = cholesky_in_order(G / np.outer(unit, unit), _LEAST)
    return R, selected, unit
