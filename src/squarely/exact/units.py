"""The way back from the scaled columns to the units of the data, and the digits that are left there."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.linalg import solve_triangular

from squarely.exact.condition_number import unit_standard_errors, unit_standard_errors_of_blocks
from squarely.exact.factorization import TEN_DIGITS, Factorization
from squarely.exact.whitening import InverseRoot
from squarely.moments import Moments
from squarely.numerics import ROUNDOFF, Array


def data_unit_transform(moments: Moments, factor: Factorization) -> tuple[Array, Array]:
    """Return the diagonal and the first row (q,) of T: T b are the coefficients in the units of the data, up to constants."""
    design, columns = moments.design, factor.columns
    ratio = design.column_scales[-1] / design.column_scales[columns]
    first = np.zeros(len(columns))
    if design.intercept:
        first = -(design.column_centers / design.column_scales)[columns] * design.scales[-1]
    return ratio, first


def unit_errors(moments: Moments, factor: Factorization, spread: Array, root: InverseRoot | None) -> Array:
    """Return the roots of the diagonal (q,) of T (X'X)^-1 T' in the units of the data, over the response's scaled unit."""
    ratio, first = data_unit_transform(moments, factor)
    if root is not None:
        T = np.diag(ratio)
        T[0] += first
        lengths: Array = root.row_norms(T) / moments.design.scales[-1]
        return lengths
    errors: Array = ratio * spread
    if moments.design.intercept:
        first[0] += ratio[0]
        errors[0] = np.linalg.norm(solve_triangular(factor.R, first, trans="T", check_finite=False))
    errors /= moments.design.scales[-1]
    return errors


def to_data_units(moments: Moments, factor: Factorization, b: tuple[Array, Array], error: Array) -> tuple[Array, Array, Array]:
    """Turn scaled coefficients (q,) into the units of the data, exactly, and round once; carry their errors along.

    The third array (q,) is what is natural for each: the size it would have if its column alone made up the response.
    """
    design, columns = moments.design, factor.columns
    ratio = design.column_scales[-1] / design.column_scales[columns]
    exact = [
        (Fraction(x) + Fraction(e)) * Fraction(s) for x, e, s in zip(b[0].tolist(), b[1].tolist(), ratio.tolist(), strict=True)
    ]
    error = error * ratio
    natural = ratio * np.sqrt(moments.gram[-1, -1] / np.diag(moments.gram)[columns])
    if design.intercept:
        near = design.centers[columns[1:] - 1]
        exact[0] += Fraction(float(design.centers[-1]))
        exact[0] -= sum((beta * Fraction(c) for beta, c in zip(exact[1:], near.tolist(), strict=True)), Fraction(0))
        error[0] += np.abs(near) @ error[1:]
        natural[0] += abs(float(design.centers[-1])) + np.abs(near) @ natural[1:]
    params = np.array([float(beta) for beta in exact])
    return params, error + ROUNDOFF * np.abs(params), natural


def trusted_digits(value: Array, error: Array, natural: Array) -> Array:
    """Count digits: -log10 of the relative error, between 0 and 15.

    NaN where a value cannot be told from zero although its error is tiny by what is natural: zero has no digits.
    """
    zero = (np.abs(value) <= error) & (error <= TEN_DIGITS * natural)
    relative = np.divide(error, np.abs(value), out=np.ones_like(error), where=value != 0)
    digits = np.clip(-np.log10(np.maximum(relative, 1e-16)), 0.0, 15.0) + 0.0  # no -0.0
    return np.where(zero, np.nan, digits)


def expand_dropped(values: Array, kept: np.ndarray) -> Array:
    """Put values (q,) in the places of the kept coefficients (p,), NaN in the others."""
    full = np.full(len(kept), np.nan)
    full[kept] = values
    return full


def totals_of(
    n: int, place: tuple[float, float, float], spread: Array, relative: float
) -> tuple[float, float, tuple[float, float, float]]:
    """Give the sum of squares of n responses about their mean, its error at most, and the mean as `Solution` has it.

    `place` is (centre, scale, middle): `spread` (2,) has the sums of z - middle and of its square, z = (y - centre) / scale, and
    `relative` is the relative error of such sums.
    """
    centre, scale, middle = (Fraction(float(x)) for x in place)
    one, second = spread.tolist()
    unit = float(scale)
    mean = centre + scale * (middle + Fraction(one / n))
    off = unit * (relative * float(np.sqrt(second / n)) + ROUNDOFF * abs(one / n))
    high = float(mean)
    centered = max(second - one**2 / n, 0.0) * unit**2
    return centered, relative * second * unit**2, (high, float(mean - Fraction(high)), off)


def standard_error_scale(moments: Moments, factor: Factorization) -> Array:
    """Return the roots of the diagonal (q,) of (X'X)^-1 of the scaled columns that are kept."""
    layout = moments.design.layout
    if factor.method == "moments" and layout.blocks:
        largest = max((block.lookup[block.lookup >= 0] for block in layout.blocks), key=len)
        inside = np.isin(factor.columns, layout.grouped[largest] + 1)
        if inside.sum() > len(inside) / 2:
            first, last = factor.columns[0], factor.columns[-1] + 1
            whole = last - first == len(inside)
            G = moments.gram[first:last, first:last] if whole else moments.gram[np.ix_(factor.columns, factor.columns)]
            return unit_standard_errors_of_blocks(G, inside)
    return unit_standard_errors(factor.R)
