"""From the scaled columns to the units of the data, with errors."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.linalg import solve_triangular

from squarely.exact.condition_number import unit_standard_errors, unit_standard_errors_of_blocks
from squarely.exact.factorization import Factorization
from squarely.exact.whitening import InverseRoot
from squarely.moments import Moments
from squarely.numerics import ROUNDOFF, Array, Pair


def data_unit_matrix(moments: Moments, factor: Factorization) -> Array:
    """Return T (q, q): T b are the coefficients in the units of the data, up to constants."""
    ratio, first = _data_unit_transform(moments, factor)
    T = np.diag(ratio)
    T[0] += first
    return T


def _data_unit_transform(moments: Moments, factor: Factorization) -> tuple[Array, Array]:
    """Return the diagonal of T, and what its first row has beside it, (q,) each."""
    design, columns = moments.design, factor.columns
    ratio = design.column_scales[-1] / design.column_scales[columns]
    if not design.intercept:
        return ratio, np.zeros(len(columns))
    return ratio, -(design.column_centers / design.column_scales)[columns] * design.scales[-1]


def unit_errors(moments: Moments, factor: Factorization, scale: Array, root: InverseRoot | None) -> Array:
    """Return the roots of the diagonal (q,) of T (X'X)^-1 T' in the units of the data, over the response's scaled unit.

    `scale` (q,) is the result of `standard_error_scale`, which serves if there is no inverse root.
    """
    if root is not None:
        A = root.right_multiply(data_unit_matrix(moments, factor))
        return np.asarray(np.linalg.norm(A, axis=1) / moments.design.scales[-1])
    ratio, first = _data_unit_transform(moments, factor)
    errors: Array = ratio * scale
    if moments.design.intercept:
        first[0] += ratio[0]
        errors[0] = np.linalg.norm(solve_triangular(factor.R, first, trans="T", check_finite=False))
    errors /= moments.design.scales[-1]
    return errors


def to_data_units(moments: Moments, factor: Factorization, b: Pair, error: Array) -> tuple[Array, Array]:
    """Turn scaled coefficients (q,) into the units of the data, exactly, and round once; return them with their errors (q,)."""
    design, columns = moments.design, factor.columns
    ratio = design.column_scales[-1] / design.column_scales[columns]
    exact = [
        (Fraction(x) + Fraction(e)) * Fraction(s) for x, e, s in zip(b[0].tolist(), b[1].tolist(), ratio.tolist(), strict=True)
    ]
    error = error * ratio
    if design.intercept:
        centers = design.centers[columns[1:] - 1]
        exact[0] += Fraction(float(design.centers[-1]))
        exact[0] -= sum((beta * Fraction(c) for beta, c in zip(exact[1:], centers.tolist(), strict=True)), Fraction(0))
        error[0] += np.abs(centers) @ error[1:]
    params = np.array([float(beta) for beta in exact])
    return params, error + ROUNDOFF * np.abs(params)


def natural_sizes(moments: Moments, columns: np.ndarray) -> Array:
    """Return the size (q,) that each coefficient would have if its column alone made up the response."""
    design = moments.design
    sizes: Array = design.column_scales[-1] / design.column_scales[columns]
    sizes = sizes * np.sqrt(moments.gram[-1, -1] / np.diag(moments.gram)[columns])
    if design.intercept:
        sizes[0] += abs(float(design.centers[-1])) + np.abs(design.column_centers[columns[1:]]) @ sizes[1:]
    return sizes


def totals_of(
    n: float, place: tuple[float, float, float], sums: Array, relative: float
) -> tuple[float, float, tuple[float, float, float]]:
    """Return the sum of squares of n responses about their mean, its error at most, and the mean as `Solution` has it.

    With weights, n is their sum. `place` is (center, scale, middle), and `sums` (2,) are those of z - middle and of its square,
    z = (y - center) / scale. `relative` is the relative error of such sums.
    """
    center, scale, middle = (Fraction(float(x)) for x in place)
    first, second = sums.tolist()
    unit = float(scale)
    mean = center + scale * (middle + Fraction(first / n))
    error = unit * (relative * float(np.sqrt(second / n)) + ROUNDOFF * abs(first / n))
    high = float(mean)
    centered = max(second - first**2 / n, 0.0) * unit**2
    return centered, relative * second * unit**2, (high, float(mean - Fraction(high)), error)


def standard_error_scale(moments: Moments, factor: Factorization) -> Array:
    """Return the roots of the diagonal (q,) of (X'X)^-1 of the scaled columns that are selected."""
    layout = moments.design.layout
    if factor.method == "moments" and layout.blocks:
        largest = max((block.lookup[block.lookup >= 0] for block in layout.blocks), key=len)
        in_block = np.isin(factor.columns, layout.grouped[largest] + 1)
        if in_block.sum() > len(in_block) / 2:
            first, last = factor.columns[0], factor.columns[-1] + 1
            contiguous = last - first == len(in_block)
            G = moments.gram[first:last, first:last] if contiguous else moments.gram[np.ix_(factor.columns, factor.columns)]
            return unit_standard_errors_of_blocks(G, in_block)
    return unit_standard_errors(factor.R)
