"""Tests of normality from sums over the residuals, so that no row is stored."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from squarely.numerics import Array
from squarely.reprs import short_repr

_MIN_ROWS = 8  # the skewness test is not defined below


@dataclass(frozen=True, slots=True, kw_only=True)
class Normality:
    """Skewness and kurtosis (3 for a normal), and the two tests of normality built on them, each with its p-value."""

    __repr__ = short_repr

    skew: float
    kurtosis: float
    omnibus: float
    omnibus_pvalue: float
    jarque_bera: float
    jarque_bera_pvalue: float


UNKNOWN_NORMALITY = Normality(**dict.fromkeys(Normality.__slots__, math.nan))


def residual_tests(n: int, powers: Array) -> Normality:
    """Compute the shape of n residuals from the sums (3,) of their second, third and fourth powers about the mean.

    Sources: Jarque and Bera (1980), doi:10.1016/0165-1765(80)90024-5; D'Agostino and Pearson (1973),
    doi:10.1093/biomet/60.3.613, with the transformations of D'Agostino (1970) and Anscombe and Glynn (1983).
    """
    m2, m3, m4 = (powers / n).tolist()
    if not m2 > 0.0:
        return UNKNOWN_NORMALITY
    skew, kurtosis = m3 / m2**1.5, m4 / m2**2
    jb = n / 6 * (skew**2 + (kurtosis - 3) ** 2 / 4)
    omnibus = _skew_z(skew, n) ** 2 + _kurtosis_z(kurtosis, n) ** 2 if n >= _MIN_ROWS else math.nan
    return Normality(
        skew=skew,
        kurtosis=kurtosis,
        omnibus=omnibus,
        omnibus_pvalue=float(chdtrc(2, omnibus)),
        jarque_bera=jb,
        jarque_bera_pvalue=float(chdtrc(2, jb)),
    )


def _skew_z(skew: float, n: int) -> float:
    y = skew * math.sqrt((n + 1) * (n + 3) / (6 * (n - 2)))
    beta2 = 3 * (n**2 + 27 * n - 70) * (n + 1) * (n + 3) / ((n - 2) * (n + 5) * (n + 7) * (n + 9))
    w2 = math.sqrt(2 * (beta2 - 1)) - 1
    delta, alpha = 1 / math.sqrt(0.5 * math.log(w2)), math.sqrt(2 / (w2 - 1))
    return delta * math.asinh(y / alpha)


def _kurtosis_z(kurtosis: float, n: int) -> float:
    expected = 3 * (n - 1) / (n + 1)
    x = (kurtosis - expected) / math.sqrt(24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5)))
    root_beta1 = 6 * (n**2 - 5 * n + 2) / ((n + 7) * (n + 9)) * math.sqrt(6 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3)))
    a = 6 + 8 / root_beta1 * (2 / root_beta1 + math.sqrt(1 + 4 / root_beta1**2))
    denominator = 1 + x * math.sqrt(2 / (a - 4))
    if denominator == 0:
        return math.nan
    cube_root = float(np.cbrt((1 - 2 / a) / abs(denominator)))
    return (1 - 2 / (9 * a) - math.copysign(cube_root, denominator)) / math.sqrt(2 / (9 * a))
