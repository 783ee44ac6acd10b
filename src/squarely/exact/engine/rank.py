"""Decide which columns are independent from cross-products, or by a scan of what earlier columns leave."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.linalg import solve_triangular

from squarely.design import monomials_of
from squarely.errors import IllConditionedError
from squarely.exact.rank import Dependency, describe_dependency
from squarely.moments import EngineClient, EngineGram, Moments, combination_sums, to_data_columns
from squarely.numerics import ROUNDING, ROUNDOFF, Array

# The fraction of a column's squared length that earlier columns must leave, so that rounding in the sums is small beside it.
_MIN_REMAINDER = 1e-11


def select_columns(
    moments: Moments, engine_gram: EngineGram, client: EngineClient, constant: np.ndarray, zero: np.ndarray
) -> tuple[np.ndarray, Array, tuple[Dependency, ...]]:
    """Go through the columns of W in order, and drop each that the selected ones before it span up to rounding.

    `constant` (k + 1,) are those that the intercept alone spans for certain, and `zero` those of them that are zero. Returns the q
    selected columns, R with R'R = W'W for them, and the dependency of each dropped one. Raises an IllConditionedError if a column
    is so near to what others span that cross-products in doubles cannot serve.
    """
    G = engine_gram.gram
    columns = range(0 if moments.design.intercept else 1, len(G) - 1)
    R = np.zeros((len(columns), len(columns)))
    selected: list[int] = []
    dropped: dict[int, Dependency] = {}
    errors: dict[int, float] = {}  # the lengths that the selected columns may not span
    for j in columns:
        q = len(selected)
        r = solve_triangular(R[:q, :q], G[selected, j], trans="T") if q else np.zeros(0)
        remainder = G[j, j] - r @ r
        if zero[j]:
            d, error = np.zeros(q), float(np.sqrt(G[j, j]))
        elif constant[j]:
            d = np.zeros(q)
            d[0] = G[0, j] / G[0, 0]
            error = float(np.sqrt(max(G[j, j] - G[0, j] * d[0], 0.0)))
        elif remainder > _MIN_REMAINDER * G[j, j]:
            R[:q, q], R[q, q] = r, np.sqrt(remainder)
            selected.append(j)
            continue
        else:
            d, error = _spanning_combination(engine_gram, client, j, selected, R[:q, :q])
        combination = _expand_combination(engine_gram, j, selected, d)
        weight = combination.pop(j)
        errors[j] = (error + sum(abs(float(x)) * errors[i] for i, x in combination.items() if i in errors)) / abs(float(weight))
        others = {place: -x / weight for place, x in combination.items()}
        dropped[j] = _describe(moments, j, others, errors[j] / float(moments.design.column_scales[j]), is_zero=bool(zero[j]))
    q = len(selected)
    return np.array(selected, dtype=int), R[:q, :q], tuple(dropped.values())


def _spanning_combination(
    engine_gram: EngineGram, client: EngineClient, j: int, selected: list[int], R: Array
) -> tuple[Array, float]:
    """Return the combination d (q,) of selected columns that column j is, up to rounding, and the length that it leaves at most."""
    sizes, lengths = _stored_lengths(engine_gram), np.sqrt(np.diag(engine_gram.gram))
    d = np.zeros(len(selected))
    for _ in range(3):  # the first step solves, the second corrects, the third measures what is left
        a = np.zeros(len(engine_gram.gram))
        a[selected], a[j] = -d, 1.0
        sums = combination_sums(engine_gram, client, a)
        size = float(sizes[j] + np.abs(d) @ sizes[selected])
        if np.sqrt(sums.squares) <= ROUNDING * ROUNDOFF * size:
            centered = float(lengths[j] + np.abs(d) @ lengths[selected])  # rounding in the scan is in proportion to it
            return d, float(np.sqrt(sums.squares)) + 4 * ROUNDOFF * centered
        d = d + solve_triangular(R, solve_triangular(R, sums.gradient[selected], trans="T")) if len(selected) else d
    columns = engine_gram.columns
    pairs = zip(columns.design.columns, monomials_of(columns.design), strict=True)
    names = [column.name for column, m in pairs if m in columns.monomials]  # columns that were dropped before do not count
    raise IllConditionedError(
        f"{names[j - 1]} is so near to a combination of the columns before it that sums of products in double "
        f"precision cannot tell them apart. {client.source.alternative}, or leave the column out."
    )


def _stored_lengths(engine_gram: EngineGram) -> Array:
    """Return the lengths of the columns of W as stored, before centering: rounding is in proportion to these."""
    columns, n = engine_gram.columns, engine_gram.gram[0, 0]
    lengths: Array = np.sqrt(np.diag(engine_gram.gram))
    for i, m in enumerate(columns.monomials, start=1):
        away = abs(float(columns.shifts[i - 1] / columns.units[i - 1]))
        if sum(power for _, power in m.powers) == 1:
            atom = m.powers[0][0]
            away += abs(columns.centers[atom] / columns.scales[atom] / float(columns.units[i - 1]))
        lengths[i] += away * np.sqrt(n)
    return lengths


def _expand_combination(engine_gram: EngineGram, j: int, selected: list[int], d: Array) -> dict[int, Fraction]:
    """Write column j of W less the combination d of selected ones, which is zero up to rounding, in terms of [1, X]."""
    rows = to_data_columns(engine_gram.columns)
    combination: dict[int, Fraction] = {}
    for i, weight in [(j, Fraction(1)), *zip(selected, (-Fraction(x) for x in d.tolist()), strict=True)]:
        for place, part in rows[i].items():
            combination[place] = combination.get(place, Fraction(0)) + weight * part
    return combination


def _describe(moments: Moments, j: int, others: dict[int, Fraction], remainder: float, *, is_zero: bool) -> Dependency:
    """Write a dropped column as the combination of others that it is, in the units of the data."""
    centers, scales = moments.design.column_centers, moments.design.column_scales
    slopes = {place: float(weight) for place, weight in others.items() if place}
    level = others.get(0, Fraction(0)) - Fraction(float(centers[j]))
    level += sum((weight * Fraction(float(centers[place])) for place, weight in others.items() if place), Fraction(0))
    places = [*([0] if moments.design.intercept else []), *slopes]
    scaled = [float(level) / scales[j] if place == 0 else slopes[place] * scales[place] / scales[j] for place in places]
    return describe_dependency(moments, j, places, np.array(scaled), remainder, is_zero=is_zero)
