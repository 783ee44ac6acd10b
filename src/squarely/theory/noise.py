"""Gradient noise: the deviation of the gradient of single rows from the mean gradient, by moments of the rows.

A row x of X in the eigenbasis of H, with residual r at the optimum, has the gradient H_i e - 2 r x at error e, with H_i = 2 x x'.
The mean over the rows is H e, and the deviation is the noise. A symmetric matrix C is written as coordinates: its entries at
`pairs`, those off the diagonal times sqrt 2. Then the inner product of matrices is that of their coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from squarely.numerics import Array
from squarely.reprs import short_repr
from squarely.theory.full_batch import Descent

Sampling = Literal["reshuffled", "with replacement"]
Pairs = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Noise:
    """The noise of single rows in the m moving eigendirections of H, the last of its spectrum; E is the mean over the rows.

    Attributes
    ----------
    values : (m,) eigenvalues of H that are not zero, ascending.
    n : number of rows.
    sigma2 : E r^2, the loss at the optimum.
    pairs : two arrays (d,), the tracked entries of a symmetric matrix: all a <= b, or only a = b if `gaussian`.
    gradient : (d,) S = 4 E(r^2 x x'), the covariance of a row's gradient at the optimum.
    skew : (d, m) in column c 4 E(r x_c x x'), which couples the mean error and the noise.
    square : (d, d) the operator C -> E(H_i C H_i) = 4 E(x x' C x x').
    gaussian : whether `square` is that of Gaussian columns with this H, instead of the fourth moments of the rows.
    """

    __repr__ = short_repr

    values: Array
    n: int
    sigma2: float
    pairs: Pairs
    gradient: Array
    skew: Array
    square: Array
    gaussian: bool

    @property
    def diagonal(self) -> np.ndarray:
        """Which coordinates (d,) are diagonal entries; there are m of them, in the order of the values."""
        return np.equal(*self.pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """Mini-batches at a constant learning rate, each with the mean gradient of its rows; momentum as in torch.

    An epoch has the batches of n rows; the last one is short if batch_size does not divide n. A batch_size above n counts as n.
    Reshuffled batches have every row once per epoch in a new order, as in torch's loaders.
    """

    lr: float
    batch_size: int
    sampling: Sampling = "reshuffled"
    momentum: float = 0.0
    nesterov: bool = False

    @property
    def descent(self) -> Descent:
        """The descent of the mean error."""
        return Descent(lr=self.lr, momentum=self.momentum, nesterov=self.nesterov)

    @property
    def effective_lr(self) -> float:
        """The equivalent learning rate without momentum, lr / (1 - beta)."""
        return self.lr / (1.0 - self.momentum)

    def sizes(self, n: int) -> tuple[int, int, int]:
        """Return the number of batches in an epoch of n rows, the rows of each but the last, and the rows of the last.

        >>> Batches(lr=0.1, batch_size=32).sizes(100)
        (4, 32, 4)
        """
        size = min(self.batch_size, n)
        steps = -(-n // size)
        return steps, size, n - (steps - 1) * size


def pairs_of(m: int, *, gaussian: bool) -> Pairs:
    """Return the positions of the tracked entries, as `Noise.pairs`."""
    return (np.arange(m), np.arange(m)) if gaussian else np.triu_indices(m)


def coordinates(C: Array, pairs: Pairs) -> Array:
    """Write symmetric matrices (..., m, m) as coordinates (..., d).

    >>> coordinates(np.array([[1.0, 2.0], [2.0, 5.0]]), pairs_of(2, gaussian=False)).round(3).tolist()
    [1.0, 2.828, 5.0]
    """
    return C[..., *pairs] * weights_of(pairs)


def weights_of(pairs: Pairs) -> Array:
    """Return the factors (d,) of the entries at `pairs`: one on the diagonal, sqrt 2 off it."""
    return np.where(pairs[0] == pairs[1], 1.0, np.sqrt(2.0))


def gaussian_square(values: Array, constant: Array | None = None) -> Array:
    """Return C -> E(H_i C H_i) = 2 H C H + tr(C H) H for Gaussian rows about zero, on the diagonal of C: (m, m).

    The diagonal evolves independently there, and the other entries affect neither the loss nor the limit. `constant` (m,) is the
    intercept's direction u in the eigenbasis, if there is one: a column of ones is not Gaussian, and 8 (u'C u) u u' is subtracted.

    >>> gaussian_square(np.array([2.0, 2.0]), constant=np.array([1.0, 0.0])).tolist()
    [[4.0, 4.0], [4.0, 12.0]]
    """
    square: Array = 2.0 * np.diag(values**2) + np.outer(values, values)
    return square if constant is None else square - 8.0 * np.outer(constant**2, constant**2)


def kronecker_products(A: Array, B: Array) -> Array:
    """Return the Kronecker products of matrices (d, i, j) and (d, k, l): (d, i k, j l)."""
    (d, i, j), (_, k, m) = A.shape, B.shape
    return np.reshape(np.einsum("dij,dkl->dikjl", A, B), (d, i * k, j * m))
