"""Geometric sums of factors near one, to all their digits: what many steps leave, and what they pile up."""

from __future__ import annotations

import numpy as np

from squarely.numerics import Array


def shortfall(gap: Array, count: int) -> Array:
    """Return 1 - (1 - gap)^count, to all digits also where the gap is small.

    >>> shortfall(np.array([1e-20, 0.5, 3.0]), 2).tolist()
    [2e-20, 0.75, -3.0]
    """
    near = np.minimum(gap, 0.5)
    with np.errstate(over="ignore"):
        short: Array = np.where(gap < 0.5, -np.expm1(count * np.log1p(-near)), 1.0 - (1.0 - gap) ** count)
    return short


def geometric(gap: Array, count: int) -> Array:
    """Return the sum of (1 - gap)^i over i = 0 .. count - 1, for gaps that are not zero.

    >>> geometric(np.array([1e-20, 0.5]), 3).tolist()
    [3.0, 1.75]
    """
    return shortfall(gap, count) / gap
