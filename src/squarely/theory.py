"""Gradient descent on a quadratic, exactly: limits, rates, curves and epochs, from a spectrum given as arrays.

Convention, torch's MSELoss: L(w) = (1/n) ||X w - y||^2 = L* + 1/2 (w - w*)' H (w - w*), with H = (2/n) X'X and eigenvalues
lam. In the eigenbasis of H each coordinate c_j of the error w - w* lives alone, and full-batch descent is a linear
recurrence for it. Nothing here looks at rows, and nothing but `Spectrum` asks how many columns there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from squarely.numerics import ROUNDOFF, Array

_FLAT = 1e-13  # eigenvalues below this share of the largest are rounding: descent does not move along them
_LONGEST = 2**62
_THIRDS = 60  # (2/3)^60 of the limit: eleven digits of a rate


@dataclass(frozen=True, eq=False, slots=True)
class Spectrum:
    """The eigendecomposition H = V diag(lam) V'.

    Attributes
    ----------
    values : (p,) eigenvalues lam in ascending order, those that are rounding set to zero.
    vectors : (p, p) with the eigenvectors as columns.
    """

    values: Array
    vectors: Array

    @property
    def largest(self) -> float:
        """The largest eigenvalue, lam_1: it sets the limit of the learning rate."""
        return float(self.values[-1])

    @property
    def smallest(self) -> float:
        """The smallest eigenvalue that is not zero, lam_p: it sets how long convergence takes."""
        return float(self.values[self.values > 0][0])

    @property
    def kappa(self) -> float:
        """The condition number lam_1 / lam_p of H; infinite where the loss is flat to rounding in some direction."""
        return math.inf if self.flat else self.largest / self.smallest

    @property
    def flat(self) -> int:
        """The number of directions along which the loss does not change (collinear columns)."""
        return int((self.values == 0).sum())


def spectrum(H: Array) -> Spectrum:
    """Decompose a Hessian (p, p), symmetric and positive semidefinite.

    >>> spectrum(np.diag([2.0, 8.0])).kappa
    4.0
    """
    values, vectors = np.linalg.eigh(H)
    return Spectrum(np.where(values > _FLAT * values[-1], values, 0.0), vectors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """Full-batch gradient descent as torch's SGD does it: v <- beta v + g, then w <- w - lr v (Nesterov: w - lr (g + beta v)).

    Attributes
    ----------
    lr : learning rate; `momentum` beta; `nesterov` as in torch.
    """

    lr: float
    momentum: float = 0.0
    nesterov: bool = False

    def step(self, values: Array) -> Array:
        """Give the (p, 2, 2) matrices that take (c_j, v_j), error and velocity of a mode, one update on."""
        beta, lr = self.momentum, self.lr
        ahead = beta if self.nesterov else 1.0
        push = 1.0 if self.nesterov else 0.0
        M = np.empty((len(values), 2, 2))
        M[:, 1, 0], M[:, 1, 1] = values, beta  # v' = lam c + beta v
        M[:, 0, 0] = 1.0 - lr * values * (ahead + push)  # c' = c - lr (push lam c + ahead v')
        M[:, 0, 1] = -lr * ahead * beta
        return M


def lr_limit(lam: Spectrum, descent: Descent) -> float:
    """Return the learning rate from which on this kind of descent diverges: 2 / lam_1, and with momentum (2 + 2 beta) / lam_1.

    Nesterov's form is stable below (2 + 2 beta) / ((1 + 2 beta) lam_1). Only the momentum of `descent` counts, not its rate.
    Source: Polyak (1964), doi:10.1016/0041-5553(64)90137-5.

    >>> lr_limit(spectrum(2.0 * np.eye(2)), Descent(lr=0.1))
    1.0
    """
    limit = (2.0 + 2.0 * descent.momentum) / lam.largest
    return limit / (1.0 + 2.0 * descent.momentum) if descent.nesterov else limit


def lr_best(lam: Spectrum, descent: Descent) -> float:
    """Return the best constant learning rate: 2 / (lam_1 + lam_p), and with momentum the one of the smallest `rate`.

    The rate of one mode falls and then rises with lr lam, so only the two outer modes count and a search by thirds finds it.
    Where a range of rates is equally good (heavy ball on a narrow spectrum) it is one of them.

    >>> lr_best(spectrum(2.0 * np.eye(2)), Descent(lr=0.1))
    0.5
    """
    if descent.momentum == 0.0:
        return 2.0 / (lam.largest + lam.smallest)
    outer = Spectrum(np.array([lam.smallest, lam.largest]), np.eye(2))
    low, high = 0.0, lr_limit(lam, descent)
    for _ in range(_THIRDS):
        third = (high - low) / 3.0
        left, right = (rate(outer, replace(descent, lr=lr)) for lr in (low + third, high - third))
        low, high = (low, high - third) if left <= right else (low + third, high)
    return (low + high) / 2.0


def rate(lam: Spectrum, descent: Descent) -> float:
    """Return the factor by which the slowest mode shrinks in one epoch, in the long run; above one it grows."""
    moving = lam.values[lam.values > 0]
    return float(np.abs(np.linalg.eigvals(descent.step(moving))).max())


def modes_after(lam: Spectrum, c: Array, descent: Descent, epochs: int) -> Array:
    """Return the error (p,) in the eigenbasis after `epochs` updates from c (p,) at rest.

    >>> float(modes_after(spectrum(np.diag([2.0])), np.array([1.0]), Descent(lr=0.25), 2)[0])
    0.25
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if descent.momentum == 0.0:
            after: Array = c * (1.0 - descent.lr * lam.values) ** epochs
            return after
        powers = np.linalg.matrix_power(descent.step(lam.values), epochs)
        return powers[:, 0, 0] * c


def excess_curve(lam: Spectrum, c: Array, descent: Descent, epochs: int) -> Array:
    """Return the loss above the optimum (epochs + 1,) at epochs 0, 1, ..., epochs: 1/2 sum_j lam_j c_j(k)^2.

    c (p,) is the error at the start in the eigenbasis; the start is at rest.

    >>> excess_curve(spectrum(2.0 * np.eye(1)), np.array([1.0]), Descent(lr=0.25), 2).tolist()
    [1.0, 0.25, 0.0625]
    """
    curve = np.empty(epochs + 1)
    state = np.stack([c, np.zeros_like(c)], axis=1)[:, :, None]  # (p, 2, 1)
    M = descent.step(lam.values)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging run is predicted to diverge
        for k in range(epochs + 1):
            curve[k] = 0.5 * lam.values @ state[:, 0, 0] ** 2
            state = M @ state
    return curve


def excess(lam: Spectrum, c: Array) -> float:
    """Return the loss above the optimum at error c (p,) in the eigenbasis."""
    with np.errstate(over="ignore"):
        return float(0.5 * lam.values @ c**2)


def epochs_until(lam: Spectrum, c: Array, descent: Descent, target: float) -> int | None:
    """Return the fewest epochs after which the excess loss is at most `target`, or None if it never gets there.

    Found by doubling and bisection. Without momentum the excess falls at every epoch and the number is exact; with
    momentum it may rise again for a while, and the number is the one at which bisection met the target.

    >>> epochs_until(spectrum(2.0 * np.eye(1)), np.array([1.0]), Descent(lr=0.25), 2.0**-20)
    10
    """
    if excess(lam, c) <= target:
        return 0
    if not rate(lam, descent) < 1.0 or not target > 0.0:
        return None

    def reached(epochs: int) -> bool:
        return excess(lam, modes_after(lam, c, descent, epochs)) <= target

    high = 1
    while not reached(high):
        high *= 2
        if high > _LONGEST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def distance_bound(lam: Spectrum, gradient: Array) -> tuple[float, float]:
    """Bound ||w - w*|| <= ||g|| / lam_p and L - L* <= ||g||^2 / (2 lam_p) from the gradient alone, the optimum unknown.

    Late in a run the bound is attained, so lam_p is taken lower by what rounding may have added to it.

    >>> [round(bound, 9) for bound in distance_bound(spectrum(2.0 * np.eye(2)), np.array([3.0, 4.0]))]
    [2.5, 6.25]
    """
    norm = float(np.linalg.norm(gradient))
    least = lam.smallest - 8 * len(lam.values) * ROUNDOFF * lam.largest
    if not math.isfinite(norm) or least <= 0:
        return math.inf, math.inf
    return norm / least, norm**2 / (2.0 * least)
