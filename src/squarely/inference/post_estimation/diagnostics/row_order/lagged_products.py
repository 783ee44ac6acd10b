"""`LaggedProducts`: sums of products of rows with the rows some places before them, from any cut of the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

import numpy as np

from squarely.errors import DataError, OptionError, pluralize, show_value
from squarely.inference.coefficients import CoefficientStatistics
from squarely.numerics import Array

_USUAL_LAGS = 10


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LaggedProducts:
    """Sums over consecutive rows of two series, a_t (r,) and b_t (s,).

    Attributes
    ----------
    n : the number of rows.
    lags : in ascending order.
    products : for each lag the sum (r, s) of a_t b_(t-lag)'; what is before the first row counts as zero.
    head, tail : the first values (r, m) of a, and the last values (s, m) of b, as many as the largest lag or as there are.
    """

    n: int
    lags: tuple[int, ...]
    products: Array
    head: Array
    tail: Array

    @classmethod
    def of_rows(cls, a: Array, b: Array, lags: tuple[int, ...]) -> LaggedProducts:
        """Fold rows a (r, m) and b (s, m)."""
        m, s, most = a.shape[1], len(b), min(lags[-1], a.shape[1])
        lagged = np.zeros((len(lags) * s, m))
        for i, lag in enumerate(lags):
            if lag < m:
                lagged[i * s : (i + 1) * s, lag:] = b[:, : m - lag]
        products = np.dot(lagged, a.T).reshape(len(lags), s, len(a)).transpose(0, 2, 1)
        return cls(n=m, lags=lags, products=products, head=a[:, :most].copy(), tail=b[:, m - most :].copy())

    def __add__(self, other: LaggedProducts) -> LaggedProducts:
        products, before, after, most = self.products + other.products, self.tail, other.head, self.lags[-1]
        for i, lag in enumerate(self.lags):  # row t of the second part and row t - lag of the first
            start = before.shape[1] - lag
            skip = max(-start, 0)
            pairs = min(lag, after.shape[1]) - skip
            if pairs > 0:
                at = start + skip
                products[i] += after[:, skip : skip + pairs] @ before[:, at : at + pairs].T
        return LaggedProducts(
            n=self.n + other.n,
            lags=self.lags,
            products=products,
            head=np.concatenate([self.head, after], axis=1)[:, :most],
            tail=np.concatenate([before, other.tail], axis=1)[:, max(before.shape[1] + other.tail.shape[1] - most, 0) :],
        )


def read_lags(name: str, value: object, fit: CoefficientStatistics, *, spent: Callable[[int], int]) -> int:
    """Return the number of lags, by default min(10, n // 5) as in statsmodels.

    Raises
    ------
    OptionError : it is not a whole number above zero.
    DataError : there are no more rows than the lags take, `spent(lags)`.
    """
    n = fit.solution.moments.n
    is_number = isinstance(value, Real) and not isinstance(value, bool) and float(value).is_integer() and float(value) >= 1
    if value is not None and not is_number:
        raise OptionError(f"{name}={show_value(value)} is not a whole number above 0. Leave it out for min(10, n // 5).")
    lags = max(min(_USUAL_LAGS, n // 5), 1) if value is None else int(float(value))  # type: ignore[arg-type]
    if spent(lags) >= n:
        needs = "lag needs" if lags == 1 else "lags need"
        raise DataError(f"{lags:,} {needs} more than {pluralize(n, 'row')} here. Give fewer lags by {name}=, or more rows.")
    return lags
