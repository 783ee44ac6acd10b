"""Roundoff, error-free sums and products, and double-double arithmetic.

A double-double number is an unevaluated sum ``hi + lo`` of two doubles, about 32 digits. Functions work elementwise on arrays.
"""

from __future__ import annotations

import decimal
import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pair = tuple[Array, Array]  # double-double: high and low part

ROUNDOFF = 2.0**-53  # the largest relative error of one rounding to nearest in double
# A residual up to this multiple of the roundoff of one value counts as rounding: sums over p columns and the tree of triangles add
# a few units each. Measured on exact dependencies, the multiple is below 6 for 2 to 50 columns, with ten rows and ten million. Then
# it grows about as the square root of the number of columns: 24 for 200 columns, 110 for 600, 75 for 2,000.
ROUNDING = 32.0
CONSTANT_TOLERANCE = 512 * ROUNDOFF  # up to this fraction of the mean a deviation may be rounding, of sums of some 100 terms
EXACT_INTEGERS = 2**53  # integers of at most this size are exact in double
FRACTION_LIMIT = 2.0**52  # below this doubles can have fractions, so values that are integers are exact integers
SLICED_ROWS = 8_192  # the most terms of a sliced product; with more terms slices have fewer bits
_SPLIT_FACTOR = 2.0**27 + 1.0  # Veltkamp's constant: splits 53 bits into 26 + 26


def two_sum(a: Array, b: Array) -> Pair:
    """Add without error: return (s, e) with s = fl(a + b) and s + e = a + b exactly.

    Source: Knuth, The Art of Computer Programming 2, section 4.2.2.

    >>> s, e = two_sum(np.array(1.0), np.array(2.0**-60))
    >>> float(s), float(e) == 2.0**-60
    (1.0, True)
    """
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def two_product(a: Array, b: Array) -> Pair:
    """Multiply without error: return (p, e) with p = fl(a b) and p + e = a b exactly.

    Exact while no product under- or overflows; callers scale their columns to magnitude one first.
    Source: Dekker (1971), doi:10.1007/BF01397083.

    >>> p, e = two_product(np.array(1.0 + 2.0**-52), np.array(1.0 + 2.0**-52))
    >>> float(e) == 2.0**-104
    True
    """
    p = a * b
    a_hi, a_lo = _split(a)
    b_hi, b_lo = _split(b)
    return p, ((a_hi * b_hi - p) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo


def _split(a: Array) -> Pair:
    t = _SPLIT_FACTOR * a
    hi = t - (t - a)
    return hi, a - hi


def dd_add(x: Pair, y: Pair) -> Pair:
    """Add two double-double arrays; relative error a few units of 2**-104 of the larger operand."""
    s, e = two_sum(x[0], y[0])
    return _renormalize(s, e + (x[1] + y[1]))


def dd_multiply(x: Pair, y: Pair) -> Pair:
    """Multiply two double-double arrays; relative error a few units of 2**-104."""
    p, e = two_product(x[0], y[0])
    return _renormalize(p, e + (x[0] * y[1] + x[1] * y[0]))


def dd_divide(x: Pair, y: Pair) -> Pair:
    """Divide two double-double arrays; relative error a few units of 2**-104."""
    q = x[0] / y[0]
    p = dd_multiply((q, np.zeros_like(q)), y)
    remainder = dd_add(x, (-p[0], -p[1]))
    return _renormalize(q, remainder[0] / y[0])


def dd_power(x: Pair, n: int) -> Pair:
    """Raise a double-double array to an integer power by repeated squaring.

    >>> hi, lo = dd_power((np.array(1.1), np.array(0.0)), 3)
    >>> from fractions import Fraction
    >>> abs(Fraction(float(hi)) + Fraction(float(lo)) - Fraction(1.1) ** 3) < Fraction(2) ** -100
    True
    """
    one = np.ones_like(x[0]), np.zeros_like(x[0])
    result, square, exponent = one, x, abs(n)
    while exponent:
        if exponent & 1:
            result = dd_multiply(result, square)
        exponent >>= 1
        if exponent:
            square = dd_multiply(square, square)
    return result if n >= 0 else dd_divide(one, result)


def dd_sum(x: Pair) -> Pair:
    """Sum a double-double array over its first axis, pairwise.

    >>> hi, lo = dd_sum((np.array([1e16, 1.0, -1e16]), np.zeros(3)))
    >>> float(hi + lo)
    1.0
    """
    hi, lo = x
    if len(hi) == 0:
        return np.zeros(hi.shape[1:]), np.zeros(hi.shape[1:])
    while len(hi) > 1:
        half = len(hi) // 2
        odd = slice(2 * half, None)
        s, t = dd_add((hi[:half], lo[:half]), (hi[half : 2 * half], lo[half : 2 * half]))
        hi, lo = np.concatenate([s, hi[odd]]), np.concatenate([t, lo[odd]])
    return hi[0], lo[0]


def slice_bits(terms: int) -> int:
    """Return how many bits slices may have so that sums of `terms` products of two of them are exact.

    >>> slice_bits(8192), slice_bits(50)
    (20, 23)
    """
    return (53 - math.ceil(math.log2(max(terms, 2)))) // 2


def slicing_bound(bits: int) -> float:
    """Bound the error of a sliced product per term, relative to the product of both factors' bounds."""
    return math.ldexp(1.0, -53 - 2 * bits)


def slice_doubles(x: Array, low: Array | None, top: Array | float, bits: int) -> Array:
    """Split doubles of absolute value at most `top` into three slices with exactly their sum: (3, *x.shape).

    The first two are integer multiples of top / 2**bits and of top / 2**(2 bits + 1), of `bits` bits each. So their products are
    exact and sum exactly in any order, also in a BLAS matrix product. The third is the remainder, plus `low`.
    Source: Ozaki et al. (2012), doi:10.1007/s11075-011-9478-1.

    >>> parts = slice_doubles(np.array([0.1, -0.7]), None, 1.0, 20)
    >>> (parts.sum(axis=0) == [0.1, -0.7]).all(), parts[0] * 2**20
    (np.True_, array([ 104858., -734003.]))
    """
    parts = np.empty((3, *x.shape))
    remainder = x
    for part, cut in zip(parts, (bits, 2 * bits + 1), strict=False):
        shift = top * (1.5 * 2.0 ** (52 - cut))  # adding it rounds to multiples of top / 2**cut
        np.add(remainder, shift, out=part)
        part -= shift
        remainder = remainder - part
    parts[2] = remainder if low is None else remainder + low
    return parts


def power_of_two_above(x: Array) -> float:
    """Return a power of two that no |x| exceeds, for `slice_doubles`; two for zeros.

    >>> power_of_two_above(np.array([3.0, -5.0])), power_of_two_above(np.zeros(2))
    (8.0, 2.0)
    """
    return 2.0 * power_of_two(float(max(x.max(initial=0.0), -x.min(initial=0.0))))


def sliced_dot(a: Array, b: Array) -> Pair:
    """Multiply sliced matrices (3, i, j) and (3, j, k) in double-double (i, k); `slicing_bound` bounds the error."""
    i, k = a.shape[1], b.shape[2]
    right = np.concatenate(list(b), axis=1)  # one wide product instead of three
    t = [np.dot(part, right).reshape(i, 3, k) for part in a]
    hi, lo = two_sum(t[0][:, 0], t[0][:, 1])
    hi, error = two_sum(hi, t[1][:, 0])
    remainder = ((t[1][:, 2] + t[2][:, 1]) + t[2][:, 2]) + ((t[0][:, 2] + t[2][:, 0]) + t[1][:, 1])
    return _renormalize(hi, lo + (error + remainder))


def low_part(hi: Array, lo: Array | None) -> Array:
    """Return the low part of a double-double array; zeros where it is None or empty.

    >>> low_part(np.ones(2), None), low_part(np.ones(2), np.empty(0))
    (array([0., 0.]), array([0., 0.]))
    """
    return np.zeros_like(hi) if lo is None or len(lo) != len(hi) else lo


def qr_r(Z: Array) -> Array:
    """Return R of the QR decomposition of Z (m, q): upper triangular or trapezoidal, min(m, q) rows."""
    R: Array = np.linalg.qr(Z, mode="r")  # type: ignore[assignment]  # this mode returns R alone
    return R


def _renormalize(hi: Array, lo: Array) -> Pair:
    s = hi + lo
    return s, lo - (s - hi)


def power_of_two(x: float) -> float:
    """Return the largest power of two up to |x|, or one for zero: scaling by it is exact.

    >>> power_of_two(104.1), power_of_two(0.3), power_of_two(0.0)
    (64.0, 0.25, 1.0)
    """
    if x == 0.0:
        return 1.0
    return math.ldexp(1.0, max(math.frexp(x)[1] - 1, -1021))  # not below the smallest normal number


def is_constant(low: float, high: float, mean: float, deviation: float) -> bool:
    """Return whether values vary by rounding alone, from their range, mean and deviation. Integers have no rounding.

    >>> is_constant(0.3, 0.1 + 0.2, 0.3, 2e-17), is_constant(1e15, 1e15 + 2, 1e15 + 1, 0.8)
    (True, False)
    """
    are_integers = low.is_integer() and high.is_integer() and max(abs(low), abs(high)) < FRACTION_LIMIT
    return deviation <= CONSTANT_TOLERANCE * abs(mean) and not (low < high and are_integers)


def round_to_few_bits(x: float, scale: float) -> float:
    """Round x to few bits, a multiple of a power of two near `scale` / 8, so that subtracting the result loses little.

    >>> round_to_few_bits(193.4, 104.0)
    192.0
    """
    if scale == 0.0:
        return x
    unit = power_of_two(scale / 8)
    multiple = x / unit
    return x if not math.isfinite(multiple) else round(multiple) * unit


def round_down(value: float, digits: int = 4) -> str:
    """Write a positive number in a few digits, rounded down, unless the nearest such number is equal up to rounding.

    >>> round_down(0.99276), round_down(0.281, 2), round_down(1 - 2.0**-53), round_down(123456.7)
    ('0.9927', '0.28', '1', '1.234e+05')
    """
    nearest = f"{value:.{digits}g}"
    if not math.isfinite(value) or float(nearest) <= value * (1.0 + 1e-14):
        return nearest
    down = decimal.Context(prec=digits, rounding=decimal.ROUND_FLOOR).create_decimal(decimal.Decimal(value))
    return f"{float(down):.{digits}g}"


def round_apart(low: float, high: float, digits: int = 4) -> tuple[str, str]:
    """Write two numbers rounded down, with enough digits to keep the first below the second.

    >>> round_apart(0.5, 1.0), round_apart(0.28128, 0.28129)
    (('0.5', '1'), ('0.28128', '0.28129'))
    """
    for count in range(digits, 17):
        texts = round_down(low, count), round_down(high, count)
        if float(texts[0]) < float(texts[1]):
            return texts
    return repr(low), repr(high)


def powers_about_mean(n: int, powers: Array) -> Array:
    """Convert sums (4,) of powers 1 to 4 of n numbers about a point near their mean to sums (3,) of powers 2 to 4 about the mean.

    >>> x = np.array([1.0, 2.0, 6.0])
    >>> powers_about_mean(3, np.array([((x - 2.0) ** k).sum() for k in (1, 2, 3, 4)]))
    array([14., 18., 98.])
    """
    one, two, three, four = powers.tolist()
    d = one / n
    squares = two - d * one
    return np.array([squares, three - 3 * d * squares - d**2 * one, four - 4 * d * three + 6 * d**2 * two - 3 * d**3 * one])
