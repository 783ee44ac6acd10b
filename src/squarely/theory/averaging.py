"""The mean of the iterates (Polyak and Ruppert), in which mini-batch noise averages out at a constant learning rate."""

from __future__ import annotations

import math

import numpy as np

from squarely.numerics import Array
from squarely.theory.noise import Batches, Noise
from squarely.theory.with_replacement import drawn_covariance


def averaged_excess(noise: Noise, c: Array, batches: Batches, epochs: int) -> float:
    """Return the expected loss above the optimum of the mean of all iterates after the first, drawn with replacement.

    In each eigendirection, with a = 1 - lr lam and sums over k = 1 .. K steps, the start contributes (c/K sum a^k)^2 and the noise
    S / (B lam^2 K^2) sum (1 - a^k)^2. S is the noise of the stationary iterates; at small rates it is that at the optimum, and the
    total tends to sigma^2 p / (B K) at any rate. The additional noise near the start is neglected; a short last batch counts as a
    full one. It does not apply to reshuffled batches, whose iterates average better, nor to rows in a fixed order, whose bias
    averaging does not remove.
    Source: Bach and Moulines (2013), arXiv:1306.2119; Defossez and Bach (2015), arXiv:1412.0156.
    """
    steps, size, _ = batches.sizes(noise.n)
    K, gap, lam = steps * epochs, batches.effective_lr * noise.values, noise.values
    start, (a, b) = c[len(c) - len(lam) :], noise.pairs
    C = drawn_covariance(noise, batches)
    with np.errstate(over="ignore", invalid="ignore"):
        sum_1 = (1.0 - gap) * _geometric_sum(gap, K)  # sum of a^k
        sum_2 = (1.0 - gap) ** 2 * _geometric_sum(gap * (2.0 - gap), K)  # sum of a^2k
        bias = start * sum_1 / K
        S = (noise.gradient + noise.square @ C - lam[a] * lam[b] * C)[noise.diagonal]
        variance = S / (size * lam**2 * K**2) * (K - 2.0 * sum_1 + sum_2)
        total = float(0.5 * lam @ (bias**2 + variance))
    return math.inf if math.isnan(total) else total


def epochs_by_averaging(tau: float, parameters: int = 1) -> int:
    """Return the epochs after which the averaged coefficients are within tau standard errors: about p / tau^2.

    One coefficient, or one fixed combination, needs 1 / tau^2; all combinations of p need p / tau^2, in mean square. This equates
    sigma^2 p / (B K) and tau^2 sigma^2 / n, for draws with replacement, without the effect of the start.

    >>> epochs_by_averaging(0.1), epochs_by_averaging(0.1, parameters=8)
    (100, 800)
    """
    return math.ceil(parameters / tau**2 * (1.0 - 1e-12))


def _geometric_sum(gap: Array, count: int) -> Array:
    """Return the sum of (1 - gap)^i over i = 0 .. count - 1, accurate also for small gaps, which must not be zero."""
    small = gap < 0.5
    difference: Array = np.where(small, -np.expm1(count * np.log1p(-np.where(small, gap, 0.0))), 1.0 - (1.0 - gap) ** count)
    return difference / gap
