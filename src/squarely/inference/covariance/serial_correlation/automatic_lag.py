"""The lag that Newey and West (1994) choose from the autocovariances of the scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.data import Source
from squarely.exact import Solution, data_unit_matrix
from squarely.inference.engine_rows import has_windows, require_rows_of_fit, whiten_rows_in_engine
from squarely.inference.scan import WhitenedRows, fold_whitened_rows, whitening_matrix
from squarely.moments import sum_lagged_products
from squarely.numerics import Array

_BARTLETT = 1.1447  # the constant of the Bartlett kernel


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Autocovariances:
    """Sums (m + 1,) of f_t f_(t-j) over some rows, and the first and the last m values of f."""

    products: Array
    head: Array
    tail: Array

    @classmethod
    def of_rows(cls, f: Array, lags: int) -> Autocovariances:
        """Fold the values (n,) of consecutive rows."""
        n, size = len(f), min(lags, len(f))
        products = np.array([np.dot(f[j:], f[: n - j]) if j < n else 0.0 for j in range(lags + 1)])
        return cls(products=products, head=f[:size].copy(), tail=f[n - size :].copy())

    def __add__(self, other: Autocovariances) -> Autocovariances:
        lags, before, after = len(self.products) - 1, self.tail, other.head
        products = self.products + other.products
        for j in range(1, lags + 1):  # row i of the second part and row i - j of the first
            start = max(len(before) - j, 0)
            skip = max(j - len(before), 0)
            pairs = min(len(before) - start, len(after) - skip)
            if pairs > 0:
                products[j] += np.dot(before[start : start + pairs], after[skip : skip + pairs])
        head = self.head if len(self.head) == lags else np.concatenate([self.head, after])[:lags]
        tail = other.tail if len(other.tail) == lags else np.concatenate([before, other.tail])
        return Autocovariances(products=products, head=head, tail=tail[max(len(tail) - lags, 0) :])


def default_lags(n: int) -> int:
    """Return floor(4 (n/100)^(2/9)), the usual number of lags for n rows or periods."""
    return int(4 * (n / 100) ** (2 / 9))


def choose_bandwidth(solution: Solution, source: Source) -> float:
    """Return the bandwidth of Newey and West (1994) for the Bartlett kernel; the lag is its whole part.

    f_t is the sum of the scores x_tj w_t e_t over all coefficients except the intercept, in the units of the data. From its
    autocovariances s_j up to m = floor(4 (n/100)^(2/9)) follow s0 = s_0 + 2 sum s_j and s1 = 2 sum j s_j, and the bandwidth
    1.1447 ((s1/s0)^2 n)^(1/3). As in R's `bwNeweyWest(prewhite=FALSE)`.
    """
    n = solution.moments.n
    lags = min(default_lags(n), n - 1)
    products = _sum_lagged_products(solution, source, lags)
    if not products[0] > 0:
        return 0.0
    s = products[1:] / products[0]
    s0, s1 = 1 + 2 * float(s.sum()), 2 * float(np.arange(1, lags + 1) @ s)
    return _BARTLETT * ((s1 / s0) ** 2 * n) ** (1 / 3) if s0 else float(n)


def _sum_lagged_products(solution: Solution, source: Source, lags: int) -> Array:
    """Return the sums (lags + 1,) of f_t f_(t-j) for the f of `choose_bandwidth`."""
    c = _sum_of_columns(solution)
    if has_windows(solution, source):
        engine_rows = whiten_rows_in_engine(solution, source)
        n, gradient, products = sum_lagged_products(engine_rows, source, c, lags)
        require_rows_of_fit(solution, source, engine_rows, n, gradient)
        return products

    def step(rows: WhitenedRows) -> Autocovariances:
        return Autocovariances.of_rows(np.dot(c, rows.V) * rows.residuals, lags)

    return fold_whitened_rows(solution, source, step, Autocovariances.__add__).products


def _sum_of_columns(solution: Solution) -> Array:
    """Return c (q,) such that c'v is the sum of a row's predictors in the units of the data, up to a factor.

    A whitened row v is W'z, and z is T' x for a row x of the data, so 1'x = (T^-1 1)' z = (W^-1 T^-1 1)' v.
    """
    T = data_unit_matrix(solution.moments, solution.factor)
    ones = np.ones(len(T))
    if solution.moments.design.intercept and len(T) > 1:
        ones[0] = 0.0
    return np.asarray(np.linalg.solve(whitening_matrix(solution), np.linalg.solve(T, ones)))
