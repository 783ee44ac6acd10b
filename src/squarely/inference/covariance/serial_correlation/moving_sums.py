"""The sum of products of scores with Bartlett weights, as the square of moving sums, at a cost that the lag does not change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.numerics import Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class MovingSums:
    """The products of sums of L + 1 consecutive scores, over the rows of a piece.

    With zeros beyond both ends, the sum over all windows of m m' is the sum over rows of (L + 1 - |i - j|)_+ s_i s_j', that is
    L + 1 times the sum with Bartlett weights. Windows inside a piece are in `squares`; its ends complete those that cross.

    Attributes
    ----------
    lags : L.
    n : the number of rows.
    squares : (q, q) the sum of m m' over the windows of L + 1 rows of the piece.
    head, tail : (q, min(L, n)) the first and the last scores.
    """

    lags: int
    n: int
    squares: Array
    head: Array
    tail: Array

    @classmethod
    def of_rows(cls, scores: Array, lags: int) -> MovingSums:
        """Fold the scores (q, m) of consecutive rows."""
        n = scores.shape[1]
        size = min(lags, n)
        return cls(lags=lags, n=n, squares=_square(scores, lags), head=scores[:, :size].copy(), tail=scores[:, n - size :].copy())

    def __add__(self, other: MovingSums) -> MovingSums:
        """Return those of these rows and the rows that follow."""
        L = self.lags
        crossing = np.concatenate([self.tail, other.head], axis=1)  # neither end alone has a window
        head = self.head if self.n >= L else np.concatenate([self.head, other.head], axis=1)[:, :L]
        tail = other.tail if other.n >= L else np.concatenate([self.tail, other.tail], axis=1)
        tail = tail[:, max(tail.shape[1] - L, 0) :]
        squares = self.squares + other.squares + _square(crossing, L)
        return MovingSums(lags=L, n=self.n + other.n, squares=squares, head=head, tail=tail)

    def bartlett(self) -> Array:
        """Return the sum (q, q) over rows of (1 - |i - j| / (L + 1))_+ s_i s_j'."""
        L = self.lags
        if self.n <= L:
            zeros = np.zeros((len(self.head), L))
            total: Array = _square(np.concatenate([zeros, self.head, zeros], axis=1), L)
        else:
            first, last = np.cumsum(self.head, axis=1), np.cumsum(self.tail[:, ::-1], axis=1)
            total = self.squares + np.dot(first, first.T) + np.dot(last, last.T)
        total /= L + 1
        return total


def _square(scores: Array, lags: int) -> Array:
    """Sum m m' over the windows of L + 1 of these scores (q, m)."""
    if scores.shape[1] <= lags:
        return np.zeros((len(scores), len(scores)))
    moving = scores
    if lags:
        sums = np.cumsum(scores, axis=1)
        moving = sums[:, lags:].copy()
        moving[:, 1:] -= sums[:, : -lags - 1]
    square: Array = np.dot(moving, moving.T)
    return square
