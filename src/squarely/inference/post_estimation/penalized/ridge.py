"""Ridge regression of standardized columns, for any number of penalties from one singular value decomposition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import minimize_scalar

from squarely.inference.post_estimation.penalized.standardized import StandardizedColumns
from squarely.numerics import Array

_PATH = np.logspace(-6, 4, 101)  # of the default penalties, times the largest singular value squared


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Ridge:
    """||y - X b||^2 + alpha ||b||^2 for standardized X, by the singular values d (r,) of X.

    Attributes
    ----------
    d : (r,) singular values; `V` (r, k) the right singular vectors, and `c` (r,) the response in the left ones.
    least_ssr : the sum of squared residuals of least squares, and `n` the number of observations.
    """

    d: Array
    V: Array
    c: Array
    least_ssr: float
    n: int

    @classmethod
    def of(cls, columns: StandardizedColumns, least_ssr: float, n: int) -> Self:
        """Decompose the columns. Directions beyond their rank are zero up to rounding and are left out."""
        U, d, V = np.linalg.svd(columns.root, full_matrices=False)
        r = columns.rank
        return cls(d=d[:r], V=V[:r], c=U[:, :r].T @ columns.target, least_ssr=least_ssr, n=n)

    @property
    def default_alphas(self) -> Array:
        """The default penalties, decreasing."""
        largest = float(self.d[0]) if len(self.d) else 1.0
        return np.asarray(_PATH[::-1] * largest**2 / 100)

    def coefficients(self, alpha: float) -> Array:
        """Return the standardized slopes (k,); with alpha = 0 those of least squares with the least norm."""
        return np.asarray((self.d / (self.d**2 + alpha) * self.c) @ self.V)

    def df(self, alpha: float) -> float:
        """Return the effective number of slopes: the trace of X (X'X + alpha I)^-1 X'."""
        return float((self.d**2 / (self.d**2 + alpha)).sum())

    def ssr(self, alpha: float) -> float:
        """Return the sum of squared residuals."""
        return float(self.least_ssr + ((alpha / (self.d**2 + alpha) * self.c) ** 2).sum())

    def gcv(self, alpha: float) -> float:
        """Return the generalized cross-validation score, ssr / (n - df)^2, as in MASS; infinite without residual freedom.

        Source: Golub, Heath and Wahba (1979), doi:10.1080/00401706.1979.10489751.
        """
        free = self.n - self.df(alpha)
        return self.ssr(alpha) / free**2 if free > 0 else np.inf

    def best_gcv(self) -> float:
        """Return the penalty with the least score: the best of the default ones, then the minimum between its neighbors."""
        alphas = self.default_alphas
        best = int(np.argmin([self.gcv(alpha) for alpha in alphas]))
        low, high = np.log(alphas[min(best + 1, len(alphas) - 1)]), np.log(alphas[max(best - 1, 0)])
        found = minimize_scalar(
            lambda log: self.gcv(float(np.exp(log))), bounds=(low, high), method="bounded", options={"xatol": 1e-9}
        )
        return float(np.exp(found.x))
