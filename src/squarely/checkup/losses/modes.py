"""Curves that a training loop can print on a quadratic, and the fit of each kind to printed losses.

A mode with x = lr lam has e_k = f_k(x) e_0, and the loss is L_k = L* + sum_j A_j f_k(x_j)^2 with A_j >= 0. The kind of loop decides
the recurrence of f:

    plain         f_{k+1} = (1 - x) f_k
    momentum      f_{k+1} = (1 + beta - x) f_k - beta f_{k-1},        f_1 = 1 - x
    nesterov      f_{k+1} = (1 + beta)(1 - x) f_k - beta (1 - x) f_{k-1},  f_1 = 1 - (1 + beta) x
    stale         f_{k+1} = f_k - x f_{k-1},                          f_1 = 1    (a gradient one step old)
    stale sums    f_{k+1} = 2 f_k - (1 + x) f_{k-1},                  f_1 = 1    (and gradients are never set to zero)

Gradients that are never set to zero are momentum with beta = 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import least_squares, nnls

from squarely.checkup.losses.series import LossSeries
from squarely.numerics import Array

FITS = 2.5  # largest misfit, in tolerances, of a curve that fits: least squares does not make the largest one least
_RELATIVE = 1e-4  # of the fall of the loss: finer misfits are not used, because the grids of x are finite
_LEAST = 1e-6  # of the fall of a loss that falls
_MOST_STEPS = 2000
_MOST_POINTS = 60
_MOST_MODES = 4
_GRID = 1000
_CONSTANT, _HARDLY = 0.9, 0.01  # what is left of a nearly constant mode, and its share in the fall of the loss
_TOO_LARGE = 1e60  # of a curve in tolerances: one that diverges much faster than the losses
_LATEST_START = 100  # updates before the first printed loss
_LOG_X = (math.log(1e-9), math.log(8.0))
_STALLS = 0.8  # one more mode that leaves more of the misfit than this ends the search


@dataclass(frozen=True, eq=False, slots=True)
class CurveFit:
    """The best curve of one kind.

    Attributes
    ----------
    kind : of the loop.
    misfit : the largest difference, in tolerances; at most `FITS` if the curve fits.
    x : (m,) lr lam of the modes, or, for a plain loop, the squared rates r = (1 - x)^2.
    amplitude : (m,) the excess loss of each mode at the first point of the fit.
    floor : the fitted L*.
    beta : the momentum.
    """

    kind: str
    misfit: float
    x: Array
    amplitude: Array
    floor: float
    beta: float = 0.0

    @property
    def fits(self) -> bool:
        """Whether every loss is explained within rounding."""
        return self.misfit <= FITS


def tolerances(series: LossSeries) -> Array:
    """Return how far a curve may be from each loss (K,): rounding, and a small part of the loss or of its fall."""
    fall = np.ptp(series.values) if len(series) else 0.0
    least = _LEAST * fall if len(series) and series.values[-1] <= series.values[0] else 0.0
    return np.maximum(series.half_width, np.maximum(_RELATIVE * np.minimum(np.abs(series.values), fall), least))


def informative_points(series: LossSeries) -> int:
    """Return how many losses differ from the one before by more than rounding, plus one."""
    return int((np.abs(np.diff(series.values)) > 2.0 * tolerances(series)[1:]).sum()) + 1


def thin(series: LossSeries) -> LossSeries:
    """Return at most sixty of the losses: the first thirty and some of the rest."""
    if len(series) <= _MOST_POINTS:
        return series
    rest = np.unique(np.geomspace(_MOST_POINTS // 2, len(series) - 1, _MOST_POINTS // 2).astype(int))
    return series.part(np.r_[np.arange(_MOST_POINTS // 2), rest])


def fit_plain(series: LossSeries) -> CurveFit:
    """Fit L* + sum_j A_j r_j^k with A_j >= 0: what plain gradient descent on all rows prints, whatever the data."""
    series = thin(series)
    k = series.steps - series.steps[0]
    span, tolerance = max(float(k[-1]), 1.0), tolerances(series)
    decay = np.geomspace(1e-3 / span, 12.0, max(200, int(40 * np.log(12e3 * span))))
    steepest = np.max(np.diff(np.log(np.maximum(series.values, 1e-30))) / np.diff(k), initial=0.0)
    growth = np.empty(0)
    if steepest > 1e-3 / span:  # the grid is fine where k times its step is small
        fine = np.linspace(0.0, 1.2 * steepest, int(np.clip(60.0 * steepest * span, 300, 1500)))[1:]
        growth = np.concatenate([np.geomspace(1e-3 / span, 0.1 * steepest, 50) if steepest > 0.01 / span else fine[:0], fine])
    exponents = np.concatenate([-decay, growth])
    with np.errstate(over="ignore", under="ignore"):
        columns = np.column_stack([np.ones(len(k)), k == 0, np.exp(np.outer(k, exponents))])
    weights, misfit = fit_nonnegative(columns, series.values, tolerance)
    floor, rates, amplitude = float(weights[0]), np.append(np.exp(exponents), 1e-300), np.append(weights[2:], weights[1])
    with np.errstate(over="ignore", under="ignore"):
        left = amplitude * rates**span
    constant = (rates < 1.0) & (rates**span > _CONSTANT)
    if (amplitude - left)[constant].sum() < _HARDLY * np.ptp(series.values):  # such modes cannot be told from the floor
        floor, amplitude = floor + float(left[constant].sum()), np.where(constant, 0.0, amplitude)
    return CurveFit("plain", misfit, rates[amplitude > 0], amplitude[amplitude > 0], floor)


def fits_one_rate(series: LossSeries) -> bool:
    """Whether one mode of plain descent explains every loss within rounding."""
    k = np.rint(series.steps - series.steps[0])
    return _Search("momentum", 0.0, k, series.values, tolerances(series)).run(1).fits


def fit_kind(kind: str, series: LossSeries, beta: float = 0.0) -> CurveFit:
    """Fit a kind of loop with few modes, each found by search and then refined.

    The first printed loss may be that before or after the first update, or that of the step it is printed with.
    """
    series = thin(series.part(np.flatnonzero(series.steps - series.steps[0] <= _MOST_STEPS)))
    best = CurveFit(kind, np.inf, np.empty(0), np.empty(0), np.nan, beta)
    for first in sorted({0.0, 1.0, *([series.steps[0], series.steps[0] - 1] if series.numbered else [])}):
        if 0 <= first <= _LATEST_START and not best.fits:
            search = _Search(kind, beta, np.rint(series.steps - series.steps[0]) + first, series.values, tolerances(series))
            best = min(best, search.run((informative_points(series) - 4) // 2), key=lambda each: each.misfit)
    return best


@dataclass(frozen=True, eq=False, slots=True)
class _Search:
    """The search for the modes of one kind of loop, with the losses at the updates k (K,)."""

    kind: str
    beta: float
    k: Array
    values: Array
    tolerance: Array

    def run(self, most: int) -> CurveFit:
        """Add modes one by one, each by the best of a grid or by a split of the last, until the curve fits or does not improve."""
        grid = _grid(self.kind, self.beta)
        columns = self._columns(grid)
        usable = (columns < _TOO_LARGE).all(axis=0)
        grid, columns, target = grid[usable], columns[:, usable], self.values / self.tolerance
        best = CurveFit(self.kind, np.inf, np.empty(0), np.empty(0), np.nan, self.beta)
        for _ in range(min(most, _MOST_MODES) if usable.any() else 0):
            active = np.column_stack([1.0 / self.tolerance, self._columns(best.x)])
            fit = self._refine(np.append(best.x, grid[_best_column(active, columns, target)]))
            if len(best.x) and not fit.fits:
                split = self._refine(np.append(best.x, best.x[np.argmax(best.amplitude)] * 1.2))
                fit = min(fit, split, key=lambda each: each.misfit)
            stalls = len(best.x) and fit.misfit > _STALLS * best.misfit
            best = min(best, fit, key=lambda each: each.misfit)
            if best.fits or stalls:
                break
        return best

    def _columns(self, x: Array) -> Array:
        with np.errstate(over="ignore"):
            return curves(self.kind, x, self.beta, self.k) / self.tolerance[:, None]

    def _refine(self, x: Array) -> CurveFit:
        """Refine the modes by nonlinear least squares, in which the amplitudes are eliminated."""

        def residuals(theta: Array) -> Array:
            basis = np.column_stack([1.0 / self.tolerance, self._columns(np.exp(theta))])
            if not (basis < _TOO_LARGE).all():
                return np.full(len(self.k), 1e6)
            weights = np.linalg.lstsq(basis, self.values / self.tolerance, rcond=None)[0]
            return np.clip(basis @ weights - self.values / self.tolerance, -1e8, 1e8)

        start = np.clip(np.log(x), _LOG_X[0] + 1e-6, _LOG_X[1] - 1e-6)
        modes = np.exp(least_squares(residuals, start, bounds=_LOG_X, max_nfev=20, x_scale="jac").x)
        basis = np.column_stack([np.ones(len(self.k)), curves(self.kind, modes, self.beta, self.k)])
        weights, misfit = fit_nonnegative(basis, self.values, self.tolerance)
        return CurveFit(self.kind, misfit, modes, weights[1:], float(weights[0]), self.beta)


def _best_column(active: Array, columns: Array, target: Array) -> int:
    """Return the column that explains most of what the active ones leave."""
    Q = np.linalg.qr(active)[0]
    rest, left = columns - Q @ (Q.T @ columns), target - Q @ (Q.T @ target)
    lengths = np.einsum("ij,ij->j", rest, rest)
    gains = np.maximum(left @ rest, 0.0) ** 2 / np.maximum(lengths, 1e-12)
    return int(np.argmax(np.where(lengths > 1e-9 * np.einsum("ij,ij->j", columns, columns), gains, -1.0)))


def fit_nonnegative(columns: Array, values: Array, tolerance: Array) -> tuple[Array, float]:
    """Return the weights (m,) >= 0 of columns that fit the values best, and the largest misfit in tolerances."""
    with np.errstate(over="ignore"):
        weighted = np.minimum(np.nan_to_num(columns / tolerance[:, None], posinf=1e150), 1e150)  # their squares stay finite
    norms = np.linalg.norm(weighted, axis=0)
    used = (norms > 1e-200) & (norms < 1e140)
    weights = np.zeros(columns.shape[1])
    if not used.any() or not np.isfinite(values / tolerance).all():  # nnls of SciPy needs a column, and finite numbers
        return weights, np.inf
    try:
        weights[used] = nnls(weighted[:, used] / norms[used], values / tolerance, maxiter=2000)[0] / norms[used]
    except RuntimeError:  # it does not converge
        return weights, np.inf
    return weights, float(np.max(np.abs(weighted[:, used] @ weights[used] - values / tolerance)))


def curves(kind: str, x: Array, beta: float, k: Array) -> Array:
    """Return f_k(x)^2 (K, m) at the updates k, by the roots of z^2 = a z + b."""
    (a, b), first = _RECURRENCES[kind](x, beta)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        half_width = np.sqrt((a * a / 4.0 + b).astype(complex)) + 1e-9  # equal roots are moved apart
        high, low = a / 2.0 + half_width, a / 2.0 - half_width
        share = (first - low) / (high - low)
        f = share * high ** k[:, None] + (1.0 - share) * low ** k[:, None]
        squares: Array = f.real**2
    return squares


_RECURRENCES: dict[str, Callable[[Array, float], tuple[tuple[Array, Array], Array]]] = {
    "momentum": lambda x, beta: ((1 + beta - x, -beta * np.ones_like(x)), 1 - x),
    "nesterov": lambda x, beta: (((1 + beta) * (1 - x), -beta * (1 - x)), 1 - (1 + beta) * x),
    "stale": lambda x, beta: ((np.ones_like(x), -x), np.ones_like(x)),
    "stale sums": lambda x, beta: ((2 * np.ones_like(x), -(1 + x)), np.ones_like(x)),
}


def _grid(kind: str, beta: float) -> Array:
    small = np.geomspace(1e-6, 1e-2, 200)
    if kind in ("stale", "stale sums"):
        return np.concatenate([small, np.linspace(1e-2, 1.3, _GRID)])
    angles = np.linspace(1e-3, np.pi - 1e-3, _GRID)
    waves = 1 + beta - 2 * np.sqrt(beta) * np.cos(angles)
    if kind == "nesterov":
        return np.concatenate([small, np.linspace(1e-2, 2.0, _GRID)])
    slow, unstable = np.linspace(1e-2, max((1 - np.sqrt(beta)) ** 2, 2e-2), 200), np.linspace(1.0, 2.0, 200) * (2 + 2 * beta)
    return np.concatenate([small, slow, waves[waves > 0], unstable])


def fit_clipped(series: LossSeries) -> CurveFit:
    """Fit one mode whose step is cut to a length: u_{k+1} = u_k - min(x u_k, s), L_k = L* + A u_k^2."""
    series = thin(series)
    k, tolerance = np.rint(series.steps - series.steps[0]).astype(int), tolerances(series)
    rates, lengths = np.meshgrid(np.linspace(0.01, 1.0, 100), np.geomspace(1e-3, 0.7, 200))
    x, s = rates.ravel(), lengths.ravel()
    x, s = x[s < 0.9 * x], s[s < 0.9 * x]  # the first step is cut
    u, squares = np.ones_like(x), [np.ones_like(x)]
    for _ in range(min(int(k[-1]), _MOST_STEPS)):
        u = u - np.minimum(x * u, s)
        squares.append(u * u)
    inside = k < len(squares)
    columns = np.array(squares)[k[inside]] / tolerance[inside][:, None]
    target, ones = series.values[inside] / tolerance[inside], (1.0 / tolerance[inside])[:, None]
    best = _best_column(ones, columns, target)
    start = np.log([x[best], s[best]])

    def residuals(theta: Array) -> Array:
        rate, length = np.exp(theta)
        u, path = 1.0, [1.0]
        for _ in range(int(k[inside][-1])):
            u -= min(rate * u, length)
            path.append(u * u)
        basis = np.column_stack([ones[:, 0], np.array(path)[k[inside]] / tolerance[inside]])
        left: Array = np.asarray(basis @ np.linalg.lstsq(basis, target, rcond=None)[0] - target)
        return left

    found = least_squares(residuals, start, max_nfev=40, x_scale=0.02)
    return CurveFit("clipped", float(np.max(np.abs(found.fun))), np.exp(found.x), np.empty(0), np.nan)


def evenly_spaced(series: LossSeries) -> LossSeries:
    """Return the longest stretch of losses with equal distances between their steps."""
    gaps = np.diff(series.steps)
    edges = [0, *(np.flatnonzero(np.diff(gaps) != 0) + 1).tolist(), len(gaps)]
    a, b = max(pairwise(edges), key=lambda edge: edge[1] - edge[0], default=(0, 0)) if len(gaps) else (0, 0)
    return series.part(slice(a, b + 1))
