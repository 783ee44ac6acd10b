"""Batches of rows in a new order every epoch: their noise sums to zero, and little of it is left at the end of an epoch.

About the optimum the gradients of two different rows have covariance -S / (n - 1), because those of all rows sum to zero. So
batches i and j of an epoch have S / (n - 1) (n [i = j] / B_i - 1), the short last batch included. The rows' own H_i are taken for
H, which is first order in the noise. What is left is linear: z <- F z + G xi for error and velocity of a mode, with F as
`Descent.update` gives it. Without momentum, and with A = I - lr H over m batches, an epoch takes C to A^m C A^m + Q, where
Q = lr^2 / (n - 1) (n sum_i A^i S A^i / B_i - (sum_i A^i) S (sum_i A^i)), i = 0 for the last batch.
Source for small rates: Gurbuzbalaban, Ozdaglar and Parrilo (2019), arXiv:1510.08560.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from squarely.numerics import Array
from squarely.theory.noise import Batches, Noise, kronecker_products


def reshuffled_covariance(noise: Noise, batches: Batches) -> Array:
    """Return the stationary covariance (d,) of w - w* at the end of an epoch, as coordinates; infinite where F does not shrink."""
    steps = batches.descent.step(noise.values)
    covariance: Array = np.full(len(noise.gradient), math.inf)
    if np.abs(np.linalg.eigvals(steps)).max() < 1.0:
        epoch = _epoch_matrices(noise, batches)
        covariance[:] = np.linalg.solve(np.eye(4) - epoch[:, :4, :4], epoch[:, :4, 4:])[:, 0, 0]
    return covariance


def reshuffled_excess(noise: Noise, c: Array, batches: Batches) -> Callable[[int], float]:
    """Return the function that gives E[L] - L* at the end of an epoch, from error c (m,) at rest."""
    start = np.zeros((len(c), 5, 1))
    start[:, 0, 0], start[:, 4, 0] = c**2, 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        epoch = _epoch_matrices(noise, batches)[noise.diagonal]

    def excess(epochs: int) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            second = np.linalg.matrix_power(epoch, epochs) @ start
            return float(0.5 * noise.values @ second[:, 0, 0])

    return excess


def _epoch_matrices(noise: Noise, batches: Batches) -> Array:
    """Give the matrices (d, 5, 5) that take the second moments of (error, velocity) in modes a and b, and a one, an epoch on."""
    (a, b), (steps, size, last), n = noise.pairs, batches.sizes(noise.n), noise.n
    F, G = batches.descent.step(noise.values), batches.descent.gain
    lone = _affine_power(F, G, steps)[:, :2, 2]  # (m, 2) the sum of F^i G
    both, gain = kronecker_products(F[a], F[b]), np.outer(G, G).ravel()
    epoch = _affine_power(both, gain, steps)
    each = n * (epoch[:, :4, 4] / size + (1.0 / last - 1.0 / size) * gain)
    whole = kronecker_products(lone[a][:, :, None], lone[b][:, :, None])[..., 0]
    epoch[:, :4, 4] = noise.gradient[:, None] / max(n - 1, 1) * (each - whole)
    return epoch


def _affine_power(M: Array, g: Array, steps: int) -> Array:
    """Give the map z -> M z + g, as a matrix on (z, 1), to the power of `steps`: (d, k + 1, k + 1) from (d, k, k) and (k,)."""
    d, k, _ = M.shape
    map_ = np.zeros((d, k + 1, k + 1))
    map_[:, :k, :k], map_[:, :k, k], map_[:, k, k] = M, g, 1.0
    power: Array = np.linalg.matrix_power(map_, steps)
    return power
