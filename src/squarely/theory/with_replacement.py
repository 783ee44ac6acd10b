"""Batches drawn with replacement: the mean error and its second moment obey a linear recurrence, exactly.

With e the mean error and C the second moment, both about the optimum: e <- (I - lr H) e and
C <- C - lr (H C + C H) + lr^2 ((1/B) E(H_i C H_i) + (1 - 1/B) H C H + (S - T - T')/B), where T = 4 E(r (x'e) x x'). So any epoch
is a power of one matrix, the floor the solution of a linear system, and the limit an eigenvalue.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from squarely.numerics import Array
from squarely.theory.noise import Batches, Noise, coordinates


def batch_lr_limit(noise: Noise, batch_size: int) -> float:
    """Return the learning rate from which on E||w - w*||^2 diverges for steps of so many rows drawn with replacement.

    Exact up to rounding (where `noise.gaussian`, for Gaussian columns). It is 1/mu for the largest eigenvalue mu of
    G^-1 ((1/B) E(H_i . H_i) + (1 - 1/B) H . H) with G C = H C + C H, at which the recurrence of C has the eigenvalue one; for large
    batches that is 2 / lam_1. Momentum is not in it. Reshuffled batches, for which no such form is known,
    bore as much in simulation.
    """
    lyapunov = _sums(noise)
    mu = np.linalg.eigvalsh(_second_order(noise, batch_size) / np.sqrt(np.outer(lyapunov, lyapunov)))
    return 1.0 / float(mu[-1])


def drawn_covariance(noise: Noise, batches: Batches) -> Array:
    """Return the stationary covariance (d,) of w - w* at the end of an epoch, as coordinates; infinite from the limit on.

    The mean error has died out there. The short last batch, if there is one, is counted: its step is the noisiest, and the last.
    """
    lr, (steps, size, last) = batches.pace, batches.sizes(noise.n)
    covariance: Array = np.full(len(noise.gradient), math.inf)
    left = np.diag(_sums(noise)) - lr * _second_order(noise, size)
    try:
        np.linalg.cholesky(left)  # it is positive definite below the limit, and only there
    except np.linalg.LinAlgError:
        return covariance
    covariance[:] = np.linalg.solve(left, lr / size * noise.gradient)
    if last < size:
        left_last = np.diag(_sums(noise)) - lr * _second_order(noise, last)
        eye = np.eye(len(covariance))
        most = np.linalg.matrix_power(eye - lr * left, steps - 1)
        step = eye - lr * left_last
        further = lr * (lr / last * noise.gradient - np.dot(left_last, covariance))  # what the last step adds to those before it
        covariance += np.linalg.solve(eye - np.dot(step, most), further)
    return covariance


def drawn_excess(noise: Noise, c: Array, batches: Batches) -> Callable[[int], float]:
    """Return the function that gives E[L] - L* at the end of an epoch, from error c (m,); the short last batch is counted."""
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
            return float(np.dot(loss, state))

    return excess


def _sums(noise: Noise) -> Array:
    """Give C -> H C + C H, which multiplies each coordinate (d,) by lam_a + lam_b."""
    a, b = noise.pairs
    sums: Array = noise.values[a] + noise.values[b]
    return sums


def _second_order(noise: Noise, size: int) -> Array:
    """Give C -> E(H_B C H_B) (d, d) for batches of so many rows."""
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
