"""Batches of rows in a new order every epoch: their noise sums to zero, so little of it remains at the end of an epoch.

At the optimum the gradients of two different rows have covariance -S / (n - 1), because those of all rows sum to zero. So
batches i and j of an epoch have covariance S / (n - 1) (n [i = j] / B_i - 1), also a short last batch. To first order in the noise,
H replaces the H_i of single rows. Then the error and velocity of a mode follow z <- F z + G xi, with F of `Descent.step`. Without
momentum, and with A = I - lr H over m batches, an epoch turns C into A^m C A^m + Q, where
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
    """Return the stationary covariance (d,) of w - w* at the end of an epoch, as coordinates; infinite if F does not contract."""
    if not np.abs(np.linalg.eigvals(batches.descent.step(noise.values))).max() < 1.0:
        return np.full(len(noise.gradient), math.inf)
    epoch = _epoch_matrices(noise, batches)
    return np.asarray(np.linalg.solve(np.eye(4) - epoch[:, :4, :4], epoch[:, :4, 4:])[:, 0, 0], dtype=np.float64)


def reshuffled_excess(noise: Noise, c: Array, batches: Batches) -> Callable[[int], float]:
    """Return the function from an epoch to E[L] - L* at its end, from error c (m,) without velocity."""
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
    """Return the matrices (d, 5, 5) of one epoch of the second moments of (error, velocity) in modes a and b, and a one."""
    (a, b), (steps, size, last), n = noise.pairs, batches.sizes(noise.n), noise.n
    F, G = batches.descent.step(noise.values), batches.descent.gain
    sums = _affine_power(F, G, steps)[:, :2, 2]  # (m, 2) of F^i G
    pair_steps, gain = kronecker_products(F[a], F[b]), np.outer(G, G).ravel()
    epoch = _affine_power(pair_steps, gain, steps)
    single = n * (epoch[:, :4, 4] / size + (1.0 / last - 1.0 / size) * gain)
    total = kronecker_products(sums[a][:, :, None], sums[b][:, :, None])[..., 0]
    epoch[:, :4, 4] = noise.gradient[:, None] / max(n - 1, 1) * (single - total)
    return epoch


def _affine_power(M: Array, g: Array, steps: int) -> Array:
    """Return the power `steps` of the map z -> M z + g as a matrix on (z, 1): (d, k + 1, k + 1) from (d, k, k) and (k,)."""
    d, k, _ = M.shape
    map_ = np.zeros((d, k + 1, k + 1))
    map_[:, :k, :k], map_[:, :k, k], map_[:, k, k] = M, g, 1.0
    return np.linalg.matrix_power(map_, steps)
