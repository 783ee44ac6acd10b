"""Which columns are independent, from cross-products: where these cannot tell, a scan of what earlier columns leave decides."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import Source
from squarely.design import monomials_of
from squarely.errors import IllConditionedError
from squarely.exact.rank import describe_dependency, describe_zero_column
from squarely.moments import EngineGram, Moments, QueryCost, combination_sums, to_data_columns
from squarely.numerics import ROUNDING, ROUNDOFF, Array

# The share of a column's squared length that earlier columns must leave, so that rounding in the sums is small beside it.
_MIN_REMAINDER = 1e-11


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RankResult:
    """The columns of W that are kept, with R'R = W'W for them, and a sentence for each dropped one.

    `remainders` has for each dropped one the length, in the scaled columns of Moments, that the kept ones may not span.
    """

    columns: np.ndarray
    R: Array
    dependencies: tuple[str, ...]
    remainders: tuple[float, ...]
    cost: QueryCost


def select_columns(
    moments: Moments,
    folded: EngineGram,
    source: Source,
    columns: np.ndarray,
    constant: np.ndarray | None = None,
    *,
    zero: np.ndarray | None = None,
) -> RankResult:
    """Go through columns of W in order, and drop each that the kept ones before it span up to rounding.

    `constant` (k + 1,) are those that the intercept alone is known to span; `zero` those of them that nothing is left of.

    Raises
    ------
    UntoldError : a column is so near to what others span that cross-products in doubles cannot serve.
    """
    G = folded.gram
    R = np.zeros((len(columns), len(columns)))
    kept: list[int] = []
    sentences, lefts, effort = [], dict[int, float](), QueryCost()
    for j in columns.tolist():
        q = len(kept)
        r = solve_triangular(R[:q, :q], G[kept, j], trans="T") if q else np.zeros(0)
        left = G[j, j] - r @ r
        if zero is not None and zero[j]:
            d, off = np.zeros(q), float(np.sqrt(G[j, j]))
        elif constant is not None and constant[j]:
            d = np.zeros(q)
            d[0] = G[0, j] / G[0, 0]
            off = float(np.sqrt(max(G[j, j] - G[0, j] * d[0], 0.0)))
        elif left > _MIN_REMAINDER * G[j, j]:
            R[:q, q], R[q, q] = r, np.sqrt(left)
            kept.append(j)
            continue
        else:
            d, off, spent = _spanning_combination(folded, source, j, kept, R[:q, :q])
            effort += spent
        made = _expand_combination(folded, j, kept, d)
        own = made.pop(j)
        lefts[j] = (off + sum(abs(float(x)) * lefts[i] for i, x in made.items() if i in lefts)) / abs(float(own))
        if zero is not None and zero[j]:
            sentences.append(describe_zero_column(_name(folded, j)))
            continue
        sentences.append(_sentence(moments, j, {place: -x / own for place, x in made.items()}))
    q = len(kept)
    return RankResult(
        columns=np.array(kept, dtype=int),
        R=R[:q, :q],
        dependencies=tuple(sentences),
        remainders=tuple(x / float(moments.design.column_scales[j]) for j, x in lefts.items()),
        cost=effort,
    )


def _spanning_combination(folded: EngineGram, source: Source, j: int, kept: list[int], R: Array) -> tuple[Array, float, QueryCost]:
    """Give the combination d (q,) of kept columns that column j is, up to rounding, and the length that it leaves at most."""
    sizes, lengths = _sizes(folded), np.sqrt(np.diag(folded.gram))
    d, effort = np.zeros(len(kept)), QueryCost()
    for _ in range(3):  # the first step solves, the second corrects, the third tells what is left
        a = np.zeros(len(folded.gram))
        a[kept], a[j] = -d, 1.0
        seen, spent = combination_sums(folded, source, a)
        effort += spent
        size = float(sizes[j] + np.abs(d) @ sizes[kept])
        if np.sqrt(seen.squares) <= ROUNDING * ROUNDOFF * size:
            centred = float(lengths[j] + np.abs(d) @ lengths[kept])  # that rounding in the scan is in proportion to
            return d, float(np.sqrt(seen.squares)) + 4 * ROUNDOFF * centred, effort
        d = d + solve_triangular(R, solve_triangular(R, seen.gradient[kept], trans="T")) if len(kept) else d
    raise IllConditionedError(
        f"{_name(folded, j)} is so near to a combination of the columns before it that sums of products in double precision cannot "
        f"tell them apart. {source.alternative}, or leave the column out."
    )


def _name(folded: EngineGram, j: int) -> str:
    """Say what column j of W stands for; those that had to go for good are no longer counted."""
    layout = folded.columns
    every = zip(layout.design.columns, monomials_of(layout.design), strict=True)
    return [column.name for column, m in every if m in layout.monomials][j - 1]


def _sizes(folded: EngineGram) -> Array:
    """Give the lengths of the columns of W as they are stored: rounding is relative to these, and not to what a centre leaves."""
    layout, n = folded.columns, folded.gram[0, 0]
    sizes: Array = np.sqrt(np.diag(folded.gram))
    for i, m in enumerate(layout.monomials, start=1):
        away = abs(float(layout.shifts[i - 1] / layout.units[i - 1]))
        if sum(power for _, power in m.powers) == 1:
            atom = m.powers[0][0]
            away += abs(layout.centers[atom] / layout.scales[atom] / float(layout.units[i - 1]))
        sizes[i] += away * np.sqrt(n)
    return sizes


def _expand_combination(folded: EngineGram, j: int, kept: list[int], d: Array) -> dict[int, Fraction]:
    """Write column j of W less the combination d of kept ones, which is nothing, in terms of [1, X], by their places."""
    way = to_data_columns(folded.columns)
    combination: dict[int, Fraction] = {}
    for i, weight in [(j, Fraction(1)), *zip(kept, (-Fraction(x) for x in d.tolist()), strict=True)]:
        for place, part in way[i].items():
            combination[place] = combination.get(place, Fraction(0)) + weight * part
    return combination


def _sentence(moments: Moments, j: int, others: dict[int, Fraction]) -> str:
    """Write a dropped column as the combination of others that it is, in the units of the data."""
    centres, scales = moments.design.column_centers, moments.design.column_scales
    slopes = {place: float(weight) for place, weight in others.items() if place}
    level = others.get(0, Fraction(0)) - Fraction(float(centres[j]))
    level += sum((weight * Fraction(float(centres[place])) for place, weight in others.items() if place), Fraction(0))
    names = [*([0] if moments.design.intercept else []), *slopes]
    scaled = [float(level) / scales[j] if place == 0 else slopes[place] * scales[place] / scales[j] for place in names]
    return describe_dependency(moments, moments.design.labels[j - 1], j, names, np.array(scaled))
