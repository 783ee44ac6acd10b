"""Lasso and elastic net of standardized columns, exactly: a search for the signs of the coefficients, then one linear system."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.errors import NumericalError
from squarely.inference.post_estimation.penalized.standardized import StandardizedColumns
from squarely.numerics import Array

_TOLERANCE = 1e-11  # of the largest correlation: a gradient beyond the penalty by less is rounding
_DEPENDENT = 1e-10  # of its length: a column with a smaller remainder is spanned by others
PATH_LENGTH, PATH_RATIO = 100, 1e-3  # of the default penalties, and the smallest over the largest, as in scikit-learn


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ElasticNet:
    """ssr / (2n) + alpha (l1_ratio |b|_1 + (1 - l1_ratio) |b|^2 / 2) for standardized columns; n is the sum of the weights."""

    columns: StandardizedColumns
    l1_ratio: float

    @property
    def largest_alpha(self) -> float:
        """The least penalty for which every slope is zero."""
        _, q = self.columns.cross_products
        return float(np.abs(q).max(initial=0.0)) / self.l1_ratio

    @property
    def default_alphas(self) -> Array:
        """The default penalties, decreasing from the one that leaves no slope."""
        largest = self.largest_alpha or 1.0
        return np.asarray(np.geomspace(largest, largest * PATH_RATIO, PATH_LENGTH))

    def df(self, b: Array, alpha: float) -> float:
        """Return the degrees of freedom: the nonzero slopes, less what the quadratic part takes.

        Source: Zou, Hastie and Tibshirani (2007), doi:10.1214/009053607000000127.
        """
        d = np.linalg.svd(self.columns.root[:, b != 0], compute_uv=False)
        if not len(d):
            return 0.0
        squares = d[d > len(b) * np.finfo(float).eps * d[0]] ** 2
        return float((squares / (squares + self.columns.weight * alpha * (1 - self.l1_ratio))).sum())

    def coefficients(self, alpha: float, start: Array | None = None) -> Array:
        """Return the standardized slopes (k,), from those of a near penalty if there are any.

        The feature-sign search of Lee, Battle, Raina and Ng (2006): the column whose gradient exceeds the penalty most becomes
        active; the linear system of the active columns is solved with their signs; where a sign would change, the column leaves.

        Raises
        ------
        NumericalError : the signs do not settle, because columns depend on each other to rounding.
        """
        C, q = self.columns.cross_products
        penalty, shrink = alpha * self.l1_ratio, alpha * (1 - self.l1_ratio)
        slack = _TOLERANCE * float(np.abs(q).max(initial=0.0))
        b = np.zeros(len(q)) if start is None else start.copy()
        for _ in range(100 + 20 * len(q)):
            gradient = C @ b + shrink * b - q
            active = b != 0
            if active.any() and np.abs(gradient[active] + penalty * np.sign(b[active])).max() > slack:
                entering = None
            else:
                excess = np.where(active, 0.0, np.abs(gradient) - penalty)
                entering = int(np.argmax(excess)) if len(q) else 0
                if not len(q) or excess[entering] <= slack:
                    return b
            b = self._step(b, gradient, entering, penalty, shrink)
        raise NumericalError(
            f"The signs of the slopes do not settle at alpha={alpha:g}, because columns depend on each other to rounding. Leave a "
            "column out, or take l1_ratio below 1."
        )

    def _step(self, b: Array, gradient: Array, entering: int | None, penalty: float, shrink: float) -> Array:
        """Move towards the solution with the present signs, as far as the least of the objective on the way."""
        signs = np.sign(b)
        if entering is not None:
            signs[entering] = -np.sign(gradient[entering])
            if shrink == 0 and (exchanged := self._exchange(b, entering, float(signs[entering]))) is not None:
                return exchanged
        at = np.flatnonzero(signs)
        target = np.zeros(len(b))
        target[at] = self._solve(at, signs[at], penalty, shrink)
        crossing = at[(b[at] != 0) & (np.sign(target[at]) != signs[at])]
        if entering is not None and np.sign(target[entering]) != signs[entering]:
            target[entering] = 0.0
        points = [target]
        for j in crossing:
            point = b + b[j] / (b[j] - target[j]) * (target - b)
            point[j] = 0.0
            points.append(point)
        best = min(points, key=lambda point: self._objective(point, penalty, shrink))
        return best if len(points) > 1 else target

    def _exchange(self, b: Array, entering: int, sign: float) -> Array | None:
        """Let a column that the active ones span enter for one of them; the fitted values stay. None if they do not span it."""
        at, S = np.flatnonzero(b), self.columns.root
        if not len(at):
            return None
        weights = np.linalg.lstsq(S[:, at], S[:, entering], rcond=None)[0]
        rest = S[:, entering] - S[:, at] @ weights
        if np.linalg.norm(rest) > _DEPENDENT * np.linalg.norm(S[:, entering]):
            return None
        move = np.zeros(len(b))
        move[at], move[entering] = -sign * weights, sign
        shrinking = at[move[at] * b[at] < 0]
        if not len(shrinking):
            return None
        leaving = shrinking[np.argmin(np.abs(b[shrinking] / move[shrinking]))]
        moved = b + abs(b[leaving] / move[leaving]) * move
        moved[leaving] = 0.0
        return np.asarray(moved)

    def _solve(self, at: np.ndarray, signs: Array, penalty: float, shrink: float) -> Array:
        """Solve (S'S / n + shrink I) b = S'target / n - penalty signs for the active columns, by a QR decomposition of S."""
        n, S = self.columns.weight, self.columns.root[:, at]
        table = np.vstack([S, np.sqrt(n * shrink) * np.eye(len(at))])
        Q, R = np.linalg.qr(table)
        right = Q[: len(S)].T @ self.columns.target - n * penalty * np.linalg.lstsq(R.T, signs, rcond=None)[0]
        return np.asarray(np.linalg.lstsq(R, right, rcond=None)[0])

    def _objective(self, b: Array, penalty: float, shrink: float) -> float:
        rest = self.columns.target - self.columns.root @ b
        return float(rest @ rest / (2 * self.columns.weight) + penalty * np.abs(b).sum() + 0.5 * shrink * (b @ b))
