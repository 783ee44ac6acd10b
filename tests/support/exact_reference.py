"""Least squares in exact arithmetic for the stored doubles: columns in fractions, and what a fit must say of them.

Roots and logarithms are irrational: they are taken to 60 digits, far beyond what a double can tell.
"""

import decimal
import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import numpy as np

from tests.support.checks import exact_normal_equations_of

decimal.getcontext().prec = 60


def fractions(values):
    return [Fraction(v) for v in np.asarray(values, float).tolist()]


def irrational(function, values):
    """Apply a function of decimals, such as `Decimal.ln`, to fractions, to 60 digits."""
    return [Fraction(function(as_decimal(v))) for v in values]


def as_decimal(x):
    return Decimal(x.numerator) / x.denominator


def root(x):
    return irrational(Decimal.sqrt, [x])[0]


def centered(x):
    mean = sum(x) / len(x)
    return [v - mean for v in x]


def scaled(x, ddof=0):
    moved = centered(x)
    deviation = root(dot(moved, moved) / (len(x) - ddof))
    return [v / deviation for v in moved]


def poly(x, degree):
    """Give the orthogonal polynomials of length one, by Gram-Schmidt on powers about the mean."""
    moved = centered(x)
    basis = [[Fraction(1)] * len(x)]
    for k in range(1, degree + 1):
        column = [v**k for v in moved]
        for other in basis:
            weight = dot(column, other) / dot(other, other)
            column = [a - weight * b for a, b in zip(column, other, strict=True)]
        basis.append(column)
    return [[v / root(dot(column, column)) for v in column] for column in basis[1:]]


def quantile(x, share):
    """Give a quantile of type 7 of sorted values."""
    at = share * (len(x) - 1)
    low = math.floor(at)
    return x[low] + (at - low) * (x[min(low + 1, len(x) - 1)] - x[low])


def bs(x, df, degree=3):
    """Give the B-splines but the first, with knots at quantiles, by the recursion of Cox and de Boor."""
    ordered, inner = sorted(x), df - degree
    places = [Fraction(k, inner + 1) for k in range(1, inner + 1)]
    low, high = ordered[0], ordered[-1]
    knots = [*[low] * (degree + 1), *(quantile(ordered, share) for share in places), *[high] * (degree + 1)]
    rows = [_b_splines(knots, degree, v) for v in x]
    return [list(column) for column in zip(*rows, strict=True)][1:]


def _b_splines(knots, degree, x):
    last = max(i for i in range(len(knots) - 1) if knots[i] < knots[i + 1])
    values = [Fraction(int(a <= x < b or (i == last and x == b))) for i, (a, b) in enumerate(pairwise(knots))]
    for k in range(1, degree + 1):
        values = [
            _share(x - knots[i], knots[i + k] - knots[i]) * values[i]
            + _share(knots[i + k + 1] - x, knots[i + k + 1] - knots[i + 1]) * values[i + 1]
            for i in range(len(values) - 1)
        ]
    return values


def _share(part, whole):
    return part / whole if whole else Fraction(0)


def dot(a, b):
    return sum(u * v for u, v in zip(a, b, strict=True))


def independent(columns):
    """Tell which columns are not exact combinations of those before them, in whole numbers modulo nothing: by elimination."""
    result, rows = [], []  # rows: reduced columns with the place of their pivot
    for column in columns:
        unit = math.lcm(*(v.denominator for v in column))
        rest = [int(v * unit) for v in column]
        for pivot, row in rows:
            if rest[pivot]:
                a, b = row[pivot], rest[pivot]
                rest = [a * u - b * v for u, v in zip(rest, row, strict=True)]
                shared = math.gcd(*rest)
                rest = [v // shared for v in rest] if shared else rest
        pivot = next((i for i, v in enumerate(rest) if v), None)
        result.append(pivot is not None)
        if pivot is not None:
            rows.append((pivot, rest))
    return result


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The least squares solution of columns that are independent, constant included, in fractions."""

    b: list
    variances: list  # of the coefficients
    ssr: Fraction
    tss: Fraction  # about the mean where there is an intercept, else about zero
    n: int
    intercept: bool

    @property
    def rsquared(self):
        return 1 - self.ssr / self.tss

    @property
    def fvalue(self):
        model = len(self.b) - self.intercept
        return (self.tss - self.ssr) / model / (self.ssr / (self.n - len(self.b)))

    @property
    def errors(self):
        return [root(v) for v in self.variances]


def solved(columns, y, *, intercept):
    b, inverse, ssr = exact_normal_equations_of(list(zip(*columns, strict=True)), y)
    moved = centered(y) if intercept else y
    variances = [ssr * inverse[j][j] / (len(y) - len(b)) for j in range(len(b))]
    return Truth(b=b, variances=variances, ssr=ssr, tss=dot(moved, moved), n=len(y), intercept=intercept)


def true_digits(value, truth):
    """Count correct digits as `digits` does, of a truth that may be zero."""
    if truth == 0:
        return 15.0 if value == 0 else 0.0
    if not math.isfinite(value):
        return 0.0
    return max(0.0, min(15.0, -math.log10(max(float(abs(Fraction(float(value)) - truth) / abs(truth)), 1e-16))))


def ns(x, df):
    """Give R's natural splines: cubic B-splines but the first, turned by reflections so that both ends are straight."""
    ordered, inner = sorted(x), df - 1
    low, high = ordered[0], ordered[-1]
    knots = [*[low] * 4, *(quantile(ordered, Fraction(k, inner + 1)) for k in range(1, inner + 1)), *[high] * 4]
    table = [_b_splines(knots, 3, v)[1:] for v in x]
    columns = [[as_decimal(v) for v in _curvatures(knots, end)[1:]] for end in (low, high)]
    count = len(table[0])
    Q = [[Decimal(int(i == j)) for j in range(count)] for i in range(count)]
    for k in range(2):  # as LAPACK has it: the diagonal gets the sign that avoids cancellation
        v = [Decimal(0)] * k + columns[k][k:]
        v[k] += dot(v, v).sqrt().copy_sign(v[k])
        columns, Q = ([_reflected(row, v) for row in rows] for rows in (columns, Q))
    turn = [[Fraction(row[j]) for row in Q] for j in range(2, count)]
    return [[dot(row, column) for row in table] for column in turn]


def _reflected(row, v):
    weight = 2 * dot(row, v) / dot(v, v)
    return [a - weight * b for a, b in zip(row, v, strict=True)]


def _curvatures(knots, end):
    """Give the second derivatives of the cubic B-splines at an end."""
    values = _b_splines(knots, 1, end)
    for k in (2, 3):
        values = [
            k * (_share(values[i], knots[i + k] - knots[i]) - _share(values[i + 1], knots[i + k + 1] - knots[i + 1]))
            for i in range(len(values) - 1)
        ]
    return values
