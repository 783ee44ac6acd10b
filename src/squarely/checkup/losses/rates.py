"""The rate at which losses fall or grow, with the interval that rounding leaves, and what it proves of the curvature.

For plain descent on all rows L_k = L* + sum_j A_j r_j^k, A_j >= 0 and r_j = (1 - lr lam_j)^2. Ratios of successive differences of a
falling loss, and of second differences of any loss, are weighted means of the r_j that never fall with k. So the last ratio is a
lower bound of the largest r_j, and the first one an upper bound of the smallest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from squarely.checkup.losses.modes import evenly_spaced, fits_one_rate, thin
from squarely.checkup.losses.series import LossSeries
from squarely.numerics import Array

_SHARP = 0.02  # largest relative width of the interval of a rate
_MOST_ENDS = 200  # places in a long log where a rate is looked for
_SETTLED = 2e-3  # relative change of a ratio over the last losses


@dataclass(frozen=True, slots=True)
class Rate:
    """r = (1 - lr lam)^2 of one step, between `low` and `high`; `settled` if the ratios before it are the same."""

    low: float
    value: float
    high: float
    settled: bool = False


def last_rate(series: LossSeries, order: int = 1) -> Rate | None:
    """Return the ratio of the last differences of an order, 1 or 2, that rounding leaves sharp; None if there are none.

    >>> from squarely.checkup.losses.tables import read_losses
    >>> rate = last_rate(read_losses([2.0, 1.5, 1.25, 1.125, 1.0625]))
    >>> rate.value, rate.settled
    (0.5, True)
    """
    return _find_rate(series, order, backwards=True)


def first_rate(series: LossSeries) -> Rate | None:
    """Return the ratio of the first differences that rounding leaves sharp; None if there are none."""
    return _find_rate(series, 1, backwards=False)


def _find_rate(series: LossSeries, order: int, *, backwards: bool) -> Rate | None:
    even = evenly_spaced(series)
    spacing = float(even.steps[1] - even.steps[0]) if len(even) > 1 else 1.0
    ends = range(order + 1, len(even), max(len(even) // _MOST_ENDS, 1))
    for end in reversed(ends) if backwards else ends:
        for lag in (2**power for power in range((end // (order + 1)).bit_length())):
            rate = _ratio(even, end, lag, order, spacing)
            if rate is not None:
                before = _ratio(even, end - 1, lag, order, spacing) if end - 1 >= (order + 1) * lag else None
                settled = before is not None and abs(before.value / rate.value - 1.0) <= _SETTLED
                return Rate(rate.low, rate.value, rate.high, settled)
    return None


def _ratio(series: LossSeries, end: int, lag: int, order: int, spacing: float) -> Rate | None:
    """Return the ratio of two differences at a distance of `lag` losses as a rate per step, or None if rounding blurs it."""
    at = [end - j * lag for j in range(order + 2)]
    L, h = series.values[at], series.half_width[at]
    weights = np.array([1.0, -1.0] if order == 1 else [1.0, -2.0, 1.0])
    top, bottom = float(L[:-1] @ weights), float(L[1:] @ weights)
    top_width, bottom_width = float(h[:-1] @ abs(weights)), float(h[1:] @ abs(weights))
    if top * bottom <= 0 or abs(bottom) <= 2 * bottom_width or abs(top) <= top_width:
        return None
    power = 1.0 / (lag * spacing)
    low, high = ((abs(top) + s * top_width) / (abs(bottom) - s * bottom_width) for s in (-1, 1))
    rate = Rate(max(low, 0.0) ** power, (top / bottom) ** power, high**power)
    return rate if rate.high - rate.low <= _SHARP * min(rate.value, max(abs(1.0 - rate.value), 1e-3)) * 5 else None


def curvature(root: float, momentum: float = 0.0) -> float:
    """Return x = lr lam of a mode whose error is multiplied by `root` in each step: (1 - root)(1 - momentum / root).

    >>> curvature(0.5), curvature(-1.1), round(curvature(-1.2, 0.9), 4)
    (0.5, 2.1, 3.85)
    """
    return (1.0 - root) * (1.0 - momentum / root) if momentum else 1.0 - root


@dataclass(frozen=True, slots=True, kw_only=True)
class Curvature:
    """Bounds of the curvature, in units of 1 / lr where lr is not given.

    Attributes
    ----------
    lam_1 : the least that the largest eigenvalue can be, and its value if `settled`.
    lam_p : the most that the smallest eigenvalue can be, if no step overshoots; None if nothing follows.
    limit : the learning rate beyond which the loss grows is at most this.
    settled : whether `lam_1` is an estimate as well as a bound.
    single : the eigenvalue if one explains all losses and no step overshoots.
    """

    lam_1: float
    limit: float
    lam_p: float | None = None
    settled: bool = False
    single: float | None = None


def bound_curvature(series: LossSeries, lr: float, momentum: float, *, grows: bool) -> Curvature | None:
    """Return what the rates of losses of a loop on all rows prove; None where rounding leaves nothing."""
    if grows:
        rate = last_rate(series, 2) or last_rate(series)
        if rate is None or rate.low <= 1.0:
            return None
        lam_1 = curvature(-math.sqrt(rate.value if rate.settled else rate.low), momentum) / lr
        return Curvature(lam_1=lam_1, limit=(2.0 + 2.0 * momentum) / lam_1, settled=rate.settled)
    first, last = first_rate(series), last_rate(series)
    if momentum or first is None or last is None or not last.value < 1.0:
        return None
    lam_1, lam_p = (1.0 - math.sqrt(min(first.high, 1.0))) / lr, (1.0 - math.sqrt(min(last.low, 1.0))) / lr
    single = (1.0 - math.sqrt(last.value)) / lr if fits_one_rate(thin(series)) else None
    return Curvature(lam_1=lam_1, limit=2.0 / lam_1, lam_p=lam_p, single=single) if lam_1 > 0 else None


def noise_of(values: Array) -> float:
    """Return the standard deviation (a robust estimate) of numbers about a smooth curve, from their second differences."""
    if len(values) < 5:
        return float("nan")
    second = values[2:] - 2.0 * values[1:-1] + values[:-2]
    return float(np.median(np.abs(second)) / 0.6745 / math.sqrt(6.0))
