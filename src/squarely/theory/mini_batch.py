"""The expected loss of mini-batches at a constant learning rate, after each epoch and in the limit, for both samplings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from squarely.numerics import Array
from squarely.theory.full_batch import fewest_epochs
from squarely.theory.noise import Batches, Noise
from squarely.theory.reshuffled import reshuffled_covariance, reshuffled_excess
from squarely.theory.with_replacement import batch_lr_limit, bracket_rate, drawn_covariance, drawn_excess


def noise_covariance(noise: Noise, batches: Batches) -> Array:
    """Return the stationary covariance (d,) of w - w* at the end of an epoch, as coordinates; infinite if there is none.

    With replacement it is exact (with `noise.gaussian`, for Gaussian columns). Reshuffled it is of first order in the noise: zero
    for full batches, and in simulation 4 to 20 % too low up to a quarter of the limit with replacement.
    """
    return (reshuffled_covariance if batches.sampling == "reshuffled" else drawn_covariance)(noise, batches)


def noise_floor(noise: Noise, batches: Batches) -> float:
    """Return the stationary expected loss above the optimum at the end of an epoch, 1/2 tr(H C) with C of `noise_covariance`."""
    return float(0.5 * noise.values @ noise_covariance(noise, batches)[noise.diagonal])


def first_order_floor(noise: Noise, batches: Batches) -> float:
    """Return lr tr(S) / (4 B), the floor with replacement to first order in lr; `sampling` is ignored.

    With residuals of equal size everywhere it is lr sigma^2 tr(X'X/n) / B. The exact floor is larger by a factor of about
    1 / (1 - lr / limit). The floor of reshuffled batches is far lower.
    """
    _, size, _ = batches.sizes(noise.n)
    return float(batches.effective_lr * noise.gradient[noise.diagonal].sum() / (4.0 * size))


def lr_for_floor(noise: Noise, batches: Batches, target: float) -> float:
    """Return the largest learning rate whose floor is at most `target`, found by bisection below the limit with replacement.

    The floor rises with the rate: with replacement it is a power series in lr with positive terms; reshuffled, it does at the rates
    for which its formula is accurate.
    """
    limit = batch_lr_limit(noise, batches.batch_size, batches.descent)
    return bracket_rate(lambda lr: noise_floor(noise, replace(batches, lr=lr)) <= target, limit, halvings=40)[0]


def expected_excess(noise: Noise, c: Array, batches: Batches) -> Callable[[int], float]:
    """Return the function from an epoch, 0 for the start, to E[L] - L* at its end, in logarithmic time.

    c (p,) is the error at the start in the eigenbasis. With replacement it is exact, with a short last batch (with
    `noise.gaussian`, for Gaussian columns). Reshuffled it is of first order in the noise: up to a tenth of the limit with
    replacement it was within 10 % of simulation, and it tends to `noise_floor`. A diverging run has a diverging value.
    """
    start = c[len(c) - len(noise.values) :]  # flat directions do not change the loss
    excess = (reshuffled_excess if batches.sampling == "reshuffled" else drawn_excess)(noise, start, batches)

    def bounded(epochs: int) -> float:
        value = excess(epochs)
        return math.inf if math.isnan(value) else max(value, 0.0)  # NaN: it exceeded the range of doubles

    return bounded


def expected_curve(noise: Noise, c: Array, batches: Batches, epochs: int) -> Array:
    """Return E[L] - L* (epochs + 1,) at the end of epochs 0, 1, ..., epochs, by `expected_excess`."""
    return np.array([*map(expected_excess(noise, c, batches), range(epochs + 1))])


def expected_epochs(noise: Noise, c: Array, batches: Batches, target: float) -> int | None:
    """Return the fewest epochs after which E[L] - L* is at most `target`, or None because of the floor or divergence."""
    excess = expected_excess(noise, c, batches)
    if excess(0) <= target:
        return 0
    if not noise_floor(noise, batches) < target:
        return None
    return fewest_epochs(lambda epochs: excess(epochs) <= target)
