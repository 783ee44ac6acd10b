"""Mini-batches at a constant learning rate: limits, floors and the expected loss per epoch, for both ways to draw the rows.

With replacement the mean error and its second moment C obey a linear recurrence, exactly:
C <- C - lr (H C + C H) + lr^2 ((1/B) E(H_i C H_i) + (1 - 1/B) H C H + S/B), plus a term in the mean error. Reshuffled, the batches
of an epoch hang together: their noise sums to zero, and little is left of it at the end of an epoch. Source for the latter's first
order, here with all powers of I - lr H: Bach and Moulines (2013), arXiv:1306.2119; Gurbuzbalaban et al. (2019), arXiv:1510.08560.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from squarely.numerics import Array
from squarely.theory.full_batch import fewest
from squarely.theory.geometric import geometric, shortfall
from squarely.theory.noise import Batches, Noise, coordinates

_HALVINGS = 60  # of a bracket for a rate: all the digits of a double


def batch_lr_limit(noise: Noise, batch_size: int) -> float:
    """Return the learning rate from which on E||w - w*||^2 diverges for steps of so many rows drawn with replacement.

    Exact up to rounding (where `noise.gaussian`, for Gaussian columns). It is 1/mu for the largest eigenvalue mu of
    G^-1 ((1/B) E(H_i . H_i) + (1 - 1/B) H . H) with G C = H C + C H, at which the recurrence of C has the eigenvalue one; for large
    batches that is 2 / lam_1. No such form is known for reshuffled batches, which bear at least about as much.
    """
    lyapunov = _sums(noise)
    mu = np.linalg.eigvalsh(_second_order(noise, batch_size) / np.sqrt(np.outer(lyapunov, lyapunov)))
    return 1.0 / float(mu[-1])


def noise_covariance(noise: Noise, batches: Batches) -> Array:
    """Return the stationary covariance (d,) of w - w* at the end of an epoch, as coordinates; infinite where there is none.

    With replacement it is exact, for batches of one size: the short last one is not counted. Reshuffled it is of first order in
    the noise, C = A^m C A^m + Q with A = I - lr H over m batches and
    Q = lr^2 / (n - 1) (n sum_i A^i S A^i / B_i - (sum_i A^i) S (sum_i A^i)), with the short last batch (i = 0) counted; it is too
    low, by up to 20 % at a quarter of the limit with replacement and less below, and zero for full batches.
    """
    lr, (_, size, _) = batches.pace, batches.sizes(noise.n)
    covariance: Array = np.full(len(noise.gradient), math.inf)
    if batches.sampling == "reshuffled":
        if lr * noise.values[-1] < 2.0:
            _, lack, Q = _epoch(noise, batches)
            covariance = Q / lack
    elif lr < batch_lr_limit(noise, size):
        left = np.diag(_sums(noise)) - lr * _second_order(noise, size)
        covariance = np.linalg.solve(left, lr / size * noise.gradient)
    return covariance


def noise_floor(noise: Noise, batches: Batches) -> float:
    """Return the expected loss above the optimum that stays at the end of an epoch, 1/2 tr(H C) with `noise_covariance` C."""
    return float(0.5 * noise.values @ noise_covariance(noise, batches)[noise.diagonal])


def first_order_floor(noise: Noise, batches: Batches) -> float:
    """Return lr tr(S) / (4 B), the floor to first order in lr with replacement, whatever `sampling` says.

    It is lr sigma^2 tr(X'X/n) / B where the residuals are as large everywhere; the exact floor is above it, by a factor of about
    1 / (1 - lr / limit). Reshuffled the floor is far below it.
    """
    _, size, _ = batches.sizes(noise.n)
    return float(batches.pace * noise.gradient[noise.diagonal].sum() / (4.0 * size))


def lr_for_floor(noise: Noise, batches: Batches, target: float) -> float:
    """Return the largest learning rate whose floor is at most `target`, found by bisection below the limit with replacement.

    The rate of `batches` does not count. The floor rises with the rate, with replacement by a theorem (it is a power series in lr
    with positive terms); reshuffled it does at the rates at which its form can be trusted.
    """
    _, size, _ = batches.sizes(noise.n)
    low, high = 0.0, batch_lr_limit(noise, size) * (1.0 - batches.momentum)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if noise_floor(noise, replace(batches, lr=middle)) <= target else (low, middle)
    return low


def expected_excess(noise: Noise, c: Array, batches: Batches) -> Callable[[int], float]:
    """Return the function that gives E[L] - L* at the end of an epoch, 0 for the start; it jumps there, however far.

    c (p,) is the error at the start in the eigenbasis. With replacement it is exact, the short last batch included (where
    `noise.gaussian`, for Gaussian columns). Reshuffled it leaves out what the rows of a batch add to the error's own decay, which
    counts for a few per cent while lr is at most a tenth of the limit with replacement, and comes down to the floor of
    `noise_covariance`. A run that diverges is told to.
    """
    start = c[len(c) - len(noise.values) :]  # along flat directions nothing moves, and the loss does not change
    jump = _jump_reshuffled if batches.sampling == "reshuffled" else _jump_with_replacement
    return jump(noise, start, batches)


def expected_curve(noise: Noise, c: Array, batches: Batches, epochs: int) -> Array:
    """Return E[L] - L* (epochs + 1,) at the end of epochs 0, 1, ..., epochs, as `expected_excess` gives it."""
    excess = expected_excess(noise, c, batches)
    return np.array([excess(k) for k in range(epochs + 1)])


def expected_epochs(noise: Noise, c: Array, batches: Batches, target: float) -> int | None:
    """Return the fewest epochs after which E[L] - L* is at most `target`, or None if the floor or divergence forbids it.

    Found by doubling and bisection, as `epochs_until` does it.
    """
    excess = expected_excess(noise, c, batches)
    if excess(0) <= target:
        return 0
    if not noise_floor(noise, batches) < target:
        return None
    return fewest(lambda epochs: excess(epochs) <= target)


def _sums(noise: Noise) -> Array:
    """Give C -> H C + C H, which multiplies each coordinate (d,) by lam_a + lam_b."""
    a, b = noise.pairs
    sums: Array = noise.values[a] + noise.values[b]
    return sums


def _second_order(noise: Noise, size: int) -> Array:
    """Give C -> E(H_B C H_B) for batches of so many rows with replacement (d, d)."""
    a, b = noise.pairs
    second: Array = noise.square / size + (1.0 - 1.0 / size) * np.diag(noise.values[a] * noise.values[b])
    return second


def _step(noise: Noise, lr: float, size: int) -> Array:
    """Give the matrix (1 + m + d, 1 + m + d) that takes (1, mean error, second moment of the error) one step on."""
    m, d = len(noise.values), len(noise.gradient)
    mean, second = slice(1, 1 + m), slice(1 + m, None)
    step = np.zeros((1 + m + d, 1 + m + d))
    step[0, 0] = 1.0
    step[mean, mean] = np.diag(1.0 - lr * noise.values)
    step[second, second] = np.eye(d) - lr * np.diag(_sums(noise)) + lr**2 * _second_order(noise, size)
    step[second, mean] = -2.0 * lr**2 / size * noise.skew
    step[second, 0] = lr**2 / size * noise.gradient
    return step


def _jump_with_replacement(noise: Noise, c: Array, batches: Batches) -> Callable[[int], float]:
    steps, size, last = batches.sizes(noise.n)
    start = np.concatenate([[1.0], c, coordinates(np.outer(c, c), noise.pairs)])
    loss = np.zeros(len(start))
    loss[1 + len(c) :][noise.diagonal] = noise.values / 2.0
    with np.errstate(over="ignore", invalid="ignore"):
        most = np.linalg.matrix_power(_step(noise, batches.pace, size), steps - 1)
        powers = [np.dot(_step(noise, batches.pace, last), most)]  # of one epoch, two, four ...

    def excess(epochs: int) -> float:
        state = start
        with np.errstate(over="ignore", invalid="ignore"):
            for j in range(epochs.bit_length()):
                if j == len(powers):
                    powers.append(np.dot(powers[-1], powers[-1]))
                if epochs >> j & 1:
                    state = np.dot(powers[j], state)
            return _told(float(np.dot(loss, state)))

    return excess


def _jump_reshuffled(noise: Noise, c: Array, batches: Batches) -> Callable[[int], float]:
    lack, lack_both, Q = _epoch(noise, batches)
    both, own = lack_both[noise.diagonal], Q[noise.diagonal]

    def excess(epochs: int) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            mean = c * (1.0 - shortfall(lack, epochs))
            return _told(float(0.5 * noise.values @ (mean**2 + own * geometric(both, epochs))))

    return excess


def _epoch(noise: Noise, batches: Batches) -> tuple[Array, Array, Array]:
    """Give the share that an epoch takes from the mean error (m,) and from its covariance (d,), and what it adds to that (d,)."""
    (a, b), (steps, size, last), n = noise.pairs, batches.sizes(noise.n), noise.n
    gap = batches.pace * noise.values
    both = gap[a] + gap[b] - gap[a] * gap[b]  # 1 - (1 - gap_a) (1 - gap_b)
    lone = geometric(gap, steps)
    with np.errstate(over="ignore", invalid="ignore"):
        share = n * (geometric(both, steps) / size + 1.0 / last - 1.0 / size) - lone[a] * lone[b]
        Q = batches.pace**2 / max(n - 1, 1) * share * noise.gradient
    return shortfall(gap, steps), shortfall(both, steps), Q


def _told(excess: float) -> float:
    """Give the excess, infinite where it left the range of doubles, and not below zero, whatever rounding says."""
    return math.inf if math.isnan(excess) else max(excess, 0.0)
