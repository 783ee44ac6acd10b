"""Full-batch descent: a linear recurrence in each eigendirection gives any epoch, limit, rate and schedule exactly.

Weight decay as in torch's SGD (wd w added to the gradient) changes the curvature lam to lam + wd and the limit to `fixed_point`. So
c is the error from that point, and `offset` is the point less the optimum, zero without decay; both in the eigenbasis.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np

from squarely.numerics import Array
from squarely.theory.spectrum import Spectrum, excess

_MAX_EPOCHS = 2**62
_CELLS = 2**20  # errors computed at once: 8 MB
_THIRDS = 60  # (2/3)^60 of the limit: eleven digits of a rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """Gradient descent as in torch's SGD: g += wd w, v <- beta v + g, then w <- w - lr v (Nesterov: w - lr (g + beta v))."""

    lr: float
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def step(self, values: Array) -> Array:
        """Return the matrices (p, 2, 2) of one update of (c_j, v_j), the error and velocity of a mode."""
        beta, lr, curvature = self.momentum, self.lr, values + self.weight_decay
        ahead = beta if self.nesterov else 1.0
        push = 1.0 if self.nesterov else 0.0
        M = np.empty((len(values), 2, 2))
        M[:, 1, 0], M[:, 1, 1] = curvature, beta  # v' = lam c + beta v
        M[:, 0, 0] = 1.0 - lr * curvature * (ahead + push)  # c' = c - lr (push lam c + ahead v')
        M[:, 0, 1] = -lr * ahead * beta
        return M

    @property
    def gain(self) -> Array:
        """The effect (2,) on (c_j, v_j) of noise subtracted from the gradient in one update."""
        return np.array([self.lr * (1.0 + self.momentum if self.nesterov else 1.0), -1.0])


def lr_limit(lam: Spectrum, descent: Descent) -> float:
    """Return the learning rate at which descent starts to diverge: 2 / lam_1, and with momentum (2 + 2 beta) / lam_1.

    Nesterov's form is stable below (2 + 2 beta) / ((1 + 2 beta) lam_1). With weight decay lam_1 + wd replaces lam_1. The rate of
    `descent` is ignored. Source: Polyak (1964), doi:10.1016/0041-5553(64)90137-5.

    >>> lr_limit(Spectrum(np.array([2.0, 2.0]), np.eye(2)), Descent(lr=0.1))
    1.0
    """
    limit = (2.0 + 2.0 * descent.momentum) / (lam.largest_eigenvalue + descent.weight_decay)
    return limit / (1.0 + 2.0 * descent.momentum) if descent.nesterov else limit


def lr_best(lam: Spectrum, descent: Descent) -> float:
    """Return the best constant learning rate: 2 / (lam_1 + lam_p), and with momentum the one with the smallest `rate`.

    The rate of a mode first falls and then rises with lr lam, so only the two outer modes matter. With heavy ball the rate of a
    mode is sqrt(beta) for (1 - sqrt beta)^2 <= lr lam <= (1 + sqrt beta)^2. So on a narrow spectrum an interval of rates is equally
    good, and this is its geometric mean. Otherwise a ternary search finds the best rate.

    >>> lr_best(Spectrum(np.array([2.0, 2.0]), np.eye(2)), Descent(lr=0.1))
    0.5
    """
    if descent.momentum == 0.0:
        return 2.0 / (lam.largest_eigenvalue + lam.smallest_eigenvalue + 2.0 * descent.weight_decay)
    if not descent.nesterov:
        root = math.sqrt(descent.momentum)
        first, last = (
            (1.0 - root) ** 2 / (lam.smallest_eigenvalue + descent.weight_decay),
            (1.0 + root) ** 2 / (lam.largest_eigenvalue + descent.weight_decay),
        )
        if first <= last:
            return math.sqrt(first) * math.sqrt(last)
    outer = Spectrum(np.array([lam.smallest_eigenvalue, lam.largest_eigenvalue]), np.eye(2))
    low, high = 0.0, lr_limit(lam, descent)
    for _ in range(_THIRDS):
        third = (high - low) / 3.0
        lower, upper = (rate(outer, replace(descent, lr=lr)) for lr in (low + third, high - third))
        low, high = (low, high - third) if lower <= upper else (low + third, high)
    return (low + high) / 2.0


def heavy_ball(lam: Spectrum) -> Descent:
    """Return the best pair of learning rate and momentum: (2/(sqrt lam_1 + sqrt lam_p))^2, ((sqrt kappa - 1)/(sqrt kappa + 1))^2.

    The error shrinks by sqrt(beta) per epoch in the long run. But the outer modes have double roots there, so it is of the order
    k beta^(k/2) after k epochs, and `epochs_until` is larger than `epochs_by_rule`.
    Source: Polyak (1964), doi:10.1016/0041-5553(64)90137-5; Goh (2017), doi:10.23915/distill.00006.

    >>> heavy_ball(Spectrum(np.array([1.0, 9.0]), np.eye(2)))
    Descent(lr=0.25, momentum=0.25, nesterov=False, weight_decay=0.0)
    """
    high, low = math.sqrt(lam.largest_eigenvalue), math.sqrt(lam.smallest_eigenvalue)
    return Descent(lr=(2.0 / (high + low)) ** 2, momentum=((high - low) / (high + low)) ** 2)


def rate(lam: Spectrum, descent: Descent) -> float:
    """Return the factor per epoch of the slowest mode in the long run; above one it grows."""
    moving = lam.values[lam.values > 0]
    if descent.momentum == 0.0:
        return float(np.abs(1.0 - descent.lr * (moving + descent.weight_decay)).max())
    return float(np.abs(np.linalg.eigvals(descent.step(moving))).max())


def modes_after(lam: Spectrum, c: Array, descent: Descent, epochs: int) -> Array:
    """Return the error (p,) in the eigenbasis after `epochs` updates from c (p,) at rest.

    >>> float(modes_after(Spectrum(np.array([2.0]), np.eye(1)), np.array([1.0]), Descent(lr=0.25), 2)[0])
    0.25
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if descent.momentum == 0.0:
            return c * (1.0 - descent.lr * (lam.values + descent.weight_decay)) ** epochs
        powers = np.linalg.matrix_power(descent.step(lam.values), epochs)
        return powers[:, 0, 0] * c


def remaining_fraction(lam: Spectrum, descent: Descent, epochs: int) -> float:
    """Return the largest fraction of its error that remains in a moving mode after `epochs` updates from rest.

    With momentum the velocity counts as an error lr v, so that an error that crosses zero does not count as zero.

    >>> remaining_fraction(Spectrum(np.array([1.0, 2.0]), np.eye(2)), Descent(lr=0.5), 3)
    0.125
    """
    moving = lam.values[lam.values > 0]
    with np.errstate(over="ignore", invalid="ignore"):
        if descent.momentum == 0.0:
            return float((np.abs(1.0 - descent.lr * (moving + descent.weight_decay)) ** epochs).max())
        powers = np.linalg.matrix_power(descent.step(moving), epochs)
        remaining = float(np.hypot(powers[:, 0, 0], descent.lr * powers[:, 1, 0]).max())
    return math.inf if math.isnan(remaining) else remaining


def modes_along(
    lam: Spectrum, c: Array, descent: Descent, rates: Iterable[float], momenta: Iterable[float] | None = None
) -> Iterator[Array]:
    """Yield the error (p,) in the eigenbasis before the first update and after each; update k has the k-th of the rates.

    `descent` gives the weight decay, and the momentum unless `momenta` has one for each update; its rate is ignored.

    >>> [float(c[0]) for c in modes_along(Spectrum(np.array([2.0]), np.eye(1)), np.array([1.0]), Descent(lr=0.0), [0.25, 0.125])]
    [1.0, 0.5, 0.375]
    """
    curvature, v = lam.values + descent.weight_decay, np.zeros_like(c)
    yield c
    for lr, beta in zip(rates, repeat(descent.momentum) if momenta is None else momenta, strict=False):
        with np.errstate(over="ignore", invalid="ignore"):  # a diverging run is predicted to diverge
            step = g = curvature * c
            if beta:  # without momentum torch does not change the velocity
                v = beta * v + g
                step = g + beta * v if descent.nesterov else v
            c = c - lr * step
        yield c


def scheduled_curve(
    lam: Spectrum,
    c: Array,
    descent: Descent,
    rates: Iterable[float],
    momenta: Iterable[float] | None = None,
    *,
    offset: Array | float = 0.0,
) -> Array:
    """Return the loss above the optimum (updates + 1,) along a schedule of rates and momenta as in `modes_along`."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array([excess(lam, error + offset) for error in modes_along(lam, c, descent, rates, momenta)])


def excess_curve(lam: Spectrum, c: Array, descent: Descent, epochs: int, *, offset: Array | float = 0.0) -> Array:
    """Return the loss above the optimum (epochs + 1,) at epochs 0, 1, ..., epochs: 1/2 sum_j lam_j (c_j(k) + offset_j)^2.

    c (p,) is the error at the start in the eigenbasis, without velocity.

    >>> excess_curve(Spectrum(np.array([2.0]), np.eye(1)), np.array([1.0]), Descent(lr=0.25), 2).tolist()
    [1.0, 0.25, 0.0625]
    """
    if descent.momentum:
        return scheduled_curve(lam, c, descent, repeat(descent.lr, epochs), offset=offset)
    curve, factors = np.empty(epochs + 1), 1.0 - descent.lr * (lam.values + descent.weight_decay)
    stretch = max(1, _CELLS // len(c))
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, epochs + 1, stretch):
            powers = factors ** np.arange(first, min(first + stretch, epochs + 1))[:, None]  # (epochs, p)
            curve[first : first + stretch] = 0.5 * ((powers * c + offset) ** 2 @ lam.values)
    return curve


def epochs_until(lam: Spectrum, c: Array, descent: Descent, target: float, *, offset: Array | float = 0.0) -> int | None:
    """Return the fewest epochs after which the excess loss is at most `target`, or None if it does not stay below.

    With momentum or decay the excess may rise temporarily, and the number is one at which it reaches the target.

    >>> epochs_until(Spectrum(np.array([2.0]), np.eye(1)), np.array([1.0]), Descent(lr=0.25), 2.0**-20)
    10
    """
    if excess(lam, c + offset) <= target:
        return 0
    if not rate(lam, descent) < 1.0 or not target > excess(lam, np.zeros_like(c) + offset):
        return None
    return fewest_epochs(lambda epochs: excess(lam, modes_after(lam, c, descent, epochs) + offset) <= target)


def epochs_by_rule(kappa: float, fraction: float, *, momentum: bool = False) -> float:
    """Return the rule of thumb for the epochs until a fraction of the excess remains: kappa/4 ln(1/fraction), at the best rate.

    With the best pair of rate and momentum it is sqrt(kappa)/4 ln(1/fraction). The first is close for large kappa; the second is
    far too low unless the fraction is tiny, for the reason in `heavy_ball`. `epochs_until` is exact.

    >>> round(epochs_by_rule(100.0, 1e-6), 1), round(epochs_by_rule(100.0, 1e-6, momentum=True), 1)
    (345.4, 34.5)
    """
    return (math.sqrt(kappa) if momentum else kappa) / 4.0 * math.log(1.0 / fraction)


def fewest_epochs(is_reached: Callable[[int], bool]) -> int | None:
    """Return the fewest epochs, at least one, from which on `is_reached` holds, by doubling and bisection.

    >>> fewest_epochs(lambda epochs: epochs * epochs >= 50), fewest_epochs(lambda epochs: False)
    (8, None)
    """
    high = 1
    while not is_reached(high):
        high *= 2
        if high > _MAX_EPOCHS:
            return None
    low = high // 2 + 1
    return low + bisect_left(range(low, high), True, key=is_reached)


def excess_curves(lam: Spectrum, c: Array, descents: Sequence[Descent], epochs: int) -> tuple[Array, Array]:
    """Return the loss above the optimum (K, epochs + 1) of K runs, and their errors (K, p) after the last update.

    c (K, p) is the error of each run at its start in the eigenbasis, without velocity.

    Examples
    --------
    >>> from squarely import theory
    >>> lam = theory.decompose_hessian(2.0 * np.eye(1))
    >>> excess_curves(lam, np.array([[1.0], [1.0]]), [theory.Descent(lr=0.25), theory.Descent(lr=0.5)], 2)[0].tolist()
    [[1.0, 0.25, 0.0625], [1.0, 0.0, 0.0]]
    """
    M = np.stack([descent.step(lam.values) for descent in descents])  # (K, p, 2, 2)
    to_c, of_v, to_v, beta = (np.ascontiguousarray(M[:, :, i, j]) for i in (0, 1) for j in (0, 1))
    c, v = np.array(c), np.zeros_like(c)
    curves = np.empty((epochs + 1, len(c)))
    half = 0.5 * lam.values
    without_momentum = not any(descent.momentum for descent in descents)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging run is predicted to diverge
        for k in range(epochs + 1):
            np.dot(c * c, half, out=curves[k])
            if k == epochs:
                break
            if without_momentum:
                c *= to_c
            else:
                c, v = to_c * c + of_v * v, to_v * c + beta * v
    return np.ascontiguousarray(curves.T), c
