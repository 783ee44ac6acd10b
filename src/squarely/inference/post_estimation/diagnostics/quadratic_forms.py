"""The distribution of a quadratic form in normal variables, to full relative precision also far out in its tails."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from squarely.numerics import Array

_STEP = 0.01  # of the trapezoidal rule, which converges exponentially for this integrand
_AWAY_FROM_POLE = 0.3  # of the width of the integrand


def probability_below_zero(eigenvalues: Array) -> float:
    """Return the probability that the sum of l_i z_i^2 is below zero, for independent standard normal z_i.

    It is the integral of M(s) / s along a vertical line through the saddle point of the moment generating function M(s) = prod (1
    - 2 s l_i)^(-1/2): there no terms cancel, so that a small probability keeps its digits (Helstrom 1983).

    >>> round(probability_below_zero(np.array([-1.0, 1.0, -3.0, 3.0])), 12)
    0.5
    """
    low, high = float(eigenvalues.min()), float(eigenvalues.max())
    if low >= 0 or high <= 0:
        return float(low < 0)
    inside = 1 - 1e-12
    saddle = brentq(lambda s: (eigenvalues / (1 - 2 * s * eigenvalues)).sum(), inside / (2 * low), inside / (2 * high))
    if saddle > 0:
        return 1 - probability_below_zero(-eigenvalues)
    center = min(saddle, -_AWAY_FROM_POLE / float(np.sqrt(2 * eigenvalues @ eigenvalues)))
    curvature = 2 * float(((eigenvalues / (1 - 2 * center * eigenvalues)) ** 2).sum()) + 1 / center**2
    end = 5 + 80 / len(eigenvalues)  # the integrand falls as exp(-t m / 2)
    t = np.arange(-end, end, _STEP)
    s = center + 1j / np.sqrt(curvature) * np.sinh(t)
    log_m = -0.5 * sum(np.log(1 - 2 * s * each) for each in eigenvalues.tolist())
    values = np.exp(log_m) / s * np.cosh(t)
    return float(-values.real.sum() * _STEP / (2 * np.pi * np.sqrt(curvature)))
