"""Batches drawn with replacement: the mean and the second moments of error and velocity obey an exact linear recurrence.

A mode has z = (error, velocity) and z <- F z + G xi, with F of `Descent.step` and xi the mean gradient less that of the batch.
The mean of xi is zero, and its second moment K C + (S - T - T') / B for second moments C of the error, where
K C = (E(H_i C H_i) - H C H) / B and T = 4 E(r (x'e) x x') at the mean error e. So an epoch is a power of one matrix, and the floor
the solution of a linear system. Without momentum there is no velocity, and F is 1 - lr lam.

These maps preserve positive semidefinite matrices. So a recurrence X <- E X contracts if and only if the solution of X = E X + I is
positive definite (Krein and Rutman), which gives the limit by bisection.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from squarely.numerics import Array
from squarely.theory.full_batch import Descent, lr_limit
from squarely.theory.noise import Batches, Noise, coordinates, kronecker_products, weights_of
from squarely.theory.spectrum import Spectrum

_MAX_MOMENTS = 150  # second moments: with more, the limit neglects a short last batch


def batch_lr_limit(noise: Noise, batch_size: int, descent: Descent | None = None) -> float:
    """Return the learning rate at which E||w - w*||^2 starts to diverge, for batches drawn with replacement.

    The rate of `descent` is ignored. Exact up to rounding (with `noise.gaussian`, for Gaussian columns), with the short last batch
    of an epoch up to 150 second moments. Single runs may converge slightly above it, because large values dominate a mean square.
    No formula is known for reshuffled batches: in simulation their limit is as large, and on skewed columns several times larger.
    """
    batches = Batches(lr=0.0, batch_size=batch_size)
    descent = descent or batches.descent
    steps, size, last = batches.sizes(noise.n) if batch_size < noise.n else (1, batch_size, batch_size)
    limit = lr_limit(Spectrum(noise.values, np.eye(len(noise.values))), descent)

    def moments(lr: float) -> _SecondMoments:
        return _SecondMoments(noise, replace(descent, lr=lr))

    _, limit = bracket_rate(lambda lr: moments(lr).is_contracting(size), limit)
    if last < size and len(noise.gradient) * (4 if descent.momentum else 1) <= _MAX_MOMENTS:
        _, limit = bracket_rate(lambda lr: moments(lr).is_epoch_contracting(steps, size, last), limit)
    return limit


def bracket_rate(holds: Callable[[float], bool], high: float, halvings: int = 48) -> tuple[float, float]:
    """Bracket the rate below `high` at which a condition ceases to hold, by bisection."""
    low = 0.0
    for _ in range(halvings):
        middle = (low + high) / 2.0
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low, high


def drawn_covariance(noise: Noise, batches: Batches) -> Array:
    """Return the stationary covariance (d,) of w - w* at the end of an epoch, as coordinates; infinite from the limit on.

    The mean error is zero there. A short last batch is included: its step has the most noise, and is the last.
    """
    (steps, size, last), drawn = batches.sizes(noise.n), _SecondMoments(noise, batches.descent)
    if not drawn.is_contracting(size) or (last < size and not drawn.is_epoch_contracting(steps, size, last)):
        return np.full(len(noise.gradient), math.inf)
    state = drawn.stationary_moments(size)
    if last < size:
        step, added = drawn.step(last)
        most = np.linalg.matrix_power(drawn.step(size)[0], steps - 1)
        further = np.dot(step, state) + added - state  # added by the last step
        state = state + np.linalg.solve(np.eye(len(state)) - np.dot(step, most), further)
    return state.reshape(len(noise.gradient), -1)[:, 0]


def drawn_excess(noise: Noise, c: Array, batches: Batches) -> Callable[[int], float]:
    """Return the function from an epoch to E[L] - L* at its end, from error c (m,) without velocity; with a short last batch."""
    (steps, size, last), drawn = batches.sizes(noise.n), _SecondMoments(noise, batches.descent)
    k, (m, d) = drawn.states_per_mode, (len(c), len(noise.gradient))
    start = np.zeros(1 + m * k + d * k * k)
    start[0], start[1 : 1 + m * k : k] = 1.0, c
    start[1 + m * k :: k * k] = coordinates(np.outer(c, c), noise.pairs)
    loss = np.zeros(len(start))
    loss[1 + m * k :: k * k][noise.diagonal] = noise.values / 2.0
    with np.errstate(over="ignore", invalid="ignore"):
        most = np.linalg.matrix_power(drawn.full_step(size), steps - 1)
        powers = [np.dot(drawn.full_step(last), most)]  # of 1, 2, 4, ... epochs

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


class _SecondMoments:
    """The recurrence of second moments at one rate: k^2 numbers for each of d pairs of modes; k = 2 with momentum, else 1."""

    def __init__(self, noise: Noise, descent: Descent) -> None:
        self.noise, (a, b) = noise, noise.pairs
        lam, lr, has_velocity = noise.values + descent.weight_decay, descent.lr, bool(descent.momentum)
        self.states_per_mode = 2 if has_velocity else 1
        self.modes = descent.step(noise.values) if has_velocity else (1.0 - lr * lam)[:, None, None]
        self.is_stable = bool(np.abs(np.linalg.eigvals(self.modes)).max() < 1.0)
        self.pair_modes = kronecker_products(self.modes[a], self.modes[b])  # (d, k^2, k^2)
        gain = descent.gain if has_velocity else np.array([lr])
        self.pair_gains = np.outer(gain, gain).ravel()
        if has_velocity:
            limits = np.linalg.solve(np.eye(4) - self.pair_modes, self.pair_gains[:, None])[..., 0]
        else:
            limits = (lr / (lam[a] + lam[b] - lr * lam[a] * lam[b]))[:, None]
        self.noise_limits: Array = np.asarray(limits, dtype=np.float64)  # (d, k^2): stationary moments for noise of one per step

    def noise_matrix(self, size: int) -> Array:
        """Return K (d, d) for batches of `size` rows."""
        a, b = self.noise.pairs
        return (self.noise.square - np.diag(self.noise.values[a] * self.noise.values[b])) / size

    def is_contracting(self, size: int) -> bool:
        """Return whether equal batches converge in mean square."""
        return self.is_stable and self._contracts(self.noise_limits[:, :1] * self.noise_matrix(size), 1)

    def is_epoch_contracting(self, steps: int, size: int, last: int) -> bool:
        """Return whether epochs with a short last batch converge in mean square."""
        with np.errstate(over="ignore", invalid="ignore"):
            epoch = np.dot(self.step(last)[0], np.linalg.matrix_power(self.step(size)[0], steps - 1))
        return self._contracts(epoch, self.states_per_mode)

    def stationary_moments(self, size: int) -> Array:
        """Return the stationary second moments (d k^2,) of equal batches."""
        added, K = self.noise.gradient / size, self.noise_matrix(size)
        C = np.linalg.solve(np.eye(len(added)) - self.noise_limits[:, :1] * K, self.noise_limits[:, 0] * added)
        return np.ravel(self.noise_limits * (np.dot(K, C) + added)[:, None])

    def step(self, size: int) -> tuple[Array, Array]:
        """Return the matrix (d k^2, d k^2) of one step of the second moments, and the noise that the optimum adds."""
        d, kk = self.pair_modes.shape[:2]
        step = np.zeros((d, kk, d, kk))
        step[np.arange(d), :, np.arange(d)] = self.pair_modes
        step[:, :, :, 0] += self.noise_matrix(size)[:, None, :] * self.pair_gains[:, None]
        return step.reshape(d * kk, d * kk), (self.noise.gradient[:, None] / size * self.pair_gains).ravel()

    def full_step(self, size: int) -> Array:
        """Return the matrix of one step of (1, mean error and velocity, second moments)."""
        m, k = self.modes.shape[:2]
        second, added = self.step(size)
        M = np.zeros((1 + m * k + len(added),) * 2)
        M[0, 0], M[1 + m * k :, 0] = 1.0, added
        M[1 + m * k :, 1 + m * k :] = second
        for j, mode in enumerate(self.modes):
            places = slice(1 + j * k, 1 + (j + 1) * k)
            M[places, places] = mode
        skew = -2.0 / size * self.noise.skew[:, None, :] * self.pair_gains[:, None]  # (d, k^2, m)
        M[1 + m * k :, 1 : 1 + m * k : k] = skew.reshape(len(added), m)
        return M

    def _contracts(self, E: Array, k: int) -> bool:
        """Return whether the solution of X = E X + I, second moments (d k^2,), is positive definite."""
        (a, b), m = self.noise.pairs, len(self.noise.values)
        unit = np.zeros((len(a), k * k))
        unit[:, :: k + 1] = coordinates(np.eye(m), self.noise.pairs)[:, None]
        try:
            X = np.linalg.solve(np.eye(unit.size) - E, unit.ravel()).reshape(unit.shape)
            if not np.isfinite(X).all():
                return False
            blocks = (X / weights_of(self.noise.pairs)[:, None]).reshape(-1, k, k)
            if not self.noise.gaussian:  # otherwise only the diagonal is tracked
                M = np.zeros((m, m, k, k))
                M[a, b], M[b, a] = blocks, blocks.transpose(0, 2, 1)
                blocks = M.transpose(0, 2, 1, 3).reshape(1, m * k, m * k)
            np.linalg.cholesky((blocks + blocks.transpose(0, 2, 1)) / 2.0)
        except np.linalg.LinAlgError:
            return False
        return True
