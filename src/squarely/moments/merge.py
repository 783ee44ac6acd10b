"""Add moments of several sets of rows and subtract them, each with its own centers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from squarely.data import Level, RowAccount
from squarely.design import Design, Product, indicators, products, recode, with_centers
from squarely.moments.change_of_basis import ChangeOfBasis, make_change_of_basis
from squarely.moments.moments import Moments
from squarely.numerics import ROUNDOFF, Array, Pair, dd_add

_SAME_ROWS_TOLERANCE = 1e-11  # what rounding may change if the same rows are read in another order or from another file
CANCELLATION = 64 * ROUNDOFF  # what remains of sums that cancel, as a fraction of what was added and subtracted


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SignedMoments:
    """Moments to add (`sign` 1) or subtract (-1).

    `error_factor` is the relative error of their cross-products over that of plain sums over rows.
    """

    moments: Moments
    sign: int
    error_factor: float = 1.0


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class MergedMoments:
    """The signed sum of moments, in the columns of one design.

    Attributes
    ----------
    moments : the sum.
    basis_changes : from the columns of each part to those of the sum.
    sizes : (k + 1,) sums of squares of all parts, without signs: rounding is in proportion to them.
    error_factors : (k + 1,) the relative error of each column's cross-products over that of plain sums: above one after a removal.
    """

    moments: Moments
    basis_changes: tuple[ChangeOfBasis, ...]
    sizes: Array
    error_factors: Array


def merge_moments(design: Design, parts: Sequence[SignedMoments], account: RowAccount) -> MergedMoments:
    """Add moments in double-double, about common centers near the common means; `design` has the columns of all.

    Source: the shift of centers is that of Chan, Golub and LeVeque (1983), doi:10.1080/00031305.1983.10483115.
    """
    combinations = [recode(products(design), part.moments.design) for part in parts]
    signs = [part.sign for part in parts]
    n = sum(part.sign * part.moments.weight for part in parts)

    def change_centers(target: Design) -> tuple[list[ChangeOfBasis], list[Pair]]:
        changes = [make_change_of_basis(c, part.moments.design, target) for c, part in zip(combinations, parts, strict=True)]
        return changes, [change.gram(part.moments.gram) for change, part in zip(changes, parts, strict=True)]

    sums = [sign * gram[0][0, 1:] for sign, gram in zip(signs, change_centers(design)[1], strict=True)]
    mean = np.sum(sums, axis=0) / n
    near = replace(design, centers=mean)  # close enough to compute deviations
    changes, grams = change_centers(near)
    total, sizes = _signed_sum(grams, signs), _sizes(changes, parts)
    first = total[0, 1:] / n
    squares = np.diag(total)[1:] / n - first**2
    squares = np.where(squares > CANCELLATION * sizes[1:] / n, squares, 0.0)
    centered = with_centers(near, mean=mean + first, deviation=np.sqrt(squares))
    changes, grams = change_centers(centered)
    total, sizes = _signed_sum(grams, signs), _sizes(changes, parts)
    diagonal = np.diag(total)
    np.fill_diagonal(total, np.where(np.abs(diagonal) <= CANCELLATION * len(diagonal) * sizes, np.maximum(diagonal, 0.0), diagonal))
    errors = _sizes(changes, parts, with_error_factors=True)
    factors = np.divide(errors, diagonal, out=np.ones_like(diagonal), where=diagonal > CANCELLATION * sizes)
    return MergedMoments(
        moments=Moments(design=centered, gram=total, account=account, passes=max(part.moments.passes for part in parts)),
        basis_changes=tuple(changes),
        sizes=sizes,
        error_factors=np.maximum(factors, 1.0),
    )


def has_same_moments(design: Design, a: Moments, b: Moments) -> bool:
    """Return whether two sets of rows have the same cross-products up to rounding; `design` has the columns of both."""
    if a.n != b.n or not math.isclose(a.weight, b.weight, rel_tol=_SAME_ROWS_TOLERANCE):
        return False
    parts = [(recode(products(design), moments.design), moments) for moments in (a, b)]

    def grams(target: Design) -> list[Array]:
        return [np.add(*make_change_of_basis(c, moments.design, target).gram(moments.gram)) for c, moments in parts]

    one, other = grams(replace(design, centers=grams(design)[0][0, 1:] / a.weight))
    sizes = np.sqrt(np.outer(np.diag(one), np.diag(one)))
    return bool((np.abs(one - other) <= _SAME_ROWS_TOLERANCE * sizes).all())


def absent_levels(design: Design, parts: Sequence[SignedMoments]) -> dict[str, list[Level]]:
    """Return the levels of subtracted parts that no remaining row has: nothing is left of their indicators."""
    absent: dict[str, list[Level]] = {}
    for text, coding in design.categories.items():
        removed = {level for part in parts if part.sign < 0 for level in part.moments.design.categories[text].levels}
        levels = [level for level in coding.levels if level in removed]
        by_level = list(indicators(design, text, levels))
        zero = _is_zero(design, parts, [product for level_products in by_level for product in level_products])
        ends = np.cumsum([len(level_products) for level_products in by_level])
        absent[text] = [level for level, part in zip(levels, np.split(zero, ends[:-1]), strict=True) if part.all()]
    return absent


def _is_zero(design: Design, parts: Sequence[SignedMoments], candidates: Sequence[Product]) -> np.ndarray:
    """Return which products (m,) are zero up to rounding."""
    squares, sizes = np.zeros(len(candidates)), np.zeros(len(candidates))
    unscaled = replace(design, centers=np.zeros(len(candidates) + 1), scales=np.ones(len(candidates) + 1))
    for part in parts:
        moments = part.moments
        change = make_change_of_basis(recode(candidates, moments.design), moments.design, unscaled)
        squares += part.sign * change.gram_diagonal(moments.gram)[1:-1]
        sizes += change.error_lengths(moments.gram)[1:-1] ** 2
    return squares <= CANCELLATION * sizes


def _sizes(changes: Sequence[ChangeOfBasis], parts: Sequence[SignedMoments], *, with_error_factors: bool = False) -> Array:
    squares = [
        change.error_lengths(part.moments.gram) ** 2 * (part.error_factor if with_error_factors else 1.0)
        for change, part in zip(changes, parts, strict=True)
    ]
    return np.asarray(np.sum(squares, axis=0))


def _signed_sum(grams: Sequence[Pair], signs: Sequence[int]) -> Array:
    """Add in double-double and round once."""
    total = np.zeros_like(grams[0][0]), np.zeros_like(grams[0][0])
    for (hi, lo), sign in zip(grams, signs, strict=True):
        total = dd_add(total, (sign * hi, sign * lo))
    gram = total[0] + total[1]
    return (gram + gram.T) / 2
