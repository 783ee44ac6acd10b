"""Moments of several sets of rows put together, and taken out again, each about centres of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from squarely.data import Level, RowAccount
from squarely.design import Design, Product, indicators, products, recode, with_centers
from squarely.moments.change_of_basis import ChangeOfBasis, make_change_of_basis
from squarely.moments.moments import Moments
from squarely.numerics import ROUNDOFF, Array, Pair, dd_add

_SAME_ROWS_TOLERANCE = 1e-11  # what roundings may differ by where the same rows were read in another order or from another file
CANCELLATION = 64 * ROUNDOFF  # what sums that cancel leave, as a share of what was added and taken away


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SignedMoments:
    """Moments that are added (`sign` 1) or taken away (-1).

    `error_factor` is by how much the relative error of its cross-products exceeds that of sums over rows.
    """

    moments: Moments
    sign: int
    error_factor: float = 1.0


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class MergedMoments:
    """Moments of all shares together, in columns of one design.

    Attributes
    ----------
    moments : the sum, or what is left.
    basis_changes : from the columns of each share to those of the sum.
    sizes : (k + 1,) sums of squares of what was added and taken away, without signs, that roundings are in proportion to.
    error_factors : (k + 1,) by how much the relative error of each column's cross-products exceeds that of sums over rows: above one after
        a removal.
    """

    moments: Moments
    basis_changes: tuple[ChangeOfBasis, ...]
    sizes: Array
    error_factors: Array


def merge_moments(design: Design, shares: Sequence[SignedMoments], account: RowAccount) -> MergedMoments:
    """Add moments in double-double, about common centres near the common means; `design` has the columns of all.

    Source: the shift of centres is that of Chan, Golub and LeVeque (1983), doi:10.1080/00031305.1983.10483115.
    """
    combined = [recode(products(design), share.moments.design) for share in shares]
    signs, n = [share.sign for share in shares], account.used

    def folded(about: Design) -> tuple[list[ChangeOfBasis], list[Pair]]:
        transfers = [make_change_of_basis(c, share.moments.design, about) for c, share in zip(combined, shares, strict=True)]
        return transfers, [t.gram(share.moments.gram) for t, share in zip(transfers, shares, strict=True)]

    sums = [s * g[0][0, 1:] for s, g in zip(signs, folded(design)[1], strict=True)]
    mean = np.sum(sums, axis=0) / n
    near = replace(design, centers=mean)  # a start from which spreads can be told
    transfers, grams = folded(near)
    total, sizes = _signed_sum(grams, signs), _sizes(transfers, shares)
    first = total[0, 1:] / n
    squares = np.diag(total)[1:] / n - first**2
    squares = np.where(squares > CANCELLATION * sizes[1:] / n, squares, 0.0)
    better = with_centers(near, mean=mean + first, deviation=np.sqrt(squares))
    transfers, grams = folded(better)
    total, sizes = _signed_sum(grams, signs), _sizes(transfers, shares)
    left = np.diag(total)
    np.fill_diagonal(total, np.where(np.abs(left) <= CANCELLATION * len(left) * sizes, np.maximum(left, 0.0), left))
    doubts = np.divide(_sizes(transfers, shares, doubted=True), left, out=np.ones_like(left), where=left > CANCELLATION * sizes)
    return MergedMoments(
        moments=Moments(design=better, gram=total, account=account, passes=max(share.moments.passes for share in shares)),
        basis_changes=tuple(transfers),
        sizes=sizes,
        error_factors=np.maximum(doubts, 1.0),
    )


def has_same_moments(design: Design, a: Moments, b: Moments) -> bool:
    """Tell whether two sets of rows have the same cross-products, but for rounding; `design` has the columns of both."""
    if a.n != b.n:
        return False
    combined = [recode(products(design), moments.design) for moments in (a, b)]

    def grams(about: Design) -> list[Array]:
        pairs = [make_change_of_basis(c, m.design, about).gram(m.gram) for c, m in zip(combined, (a, b), strict=True)]
        return [hi + lo for hi, lo in pairs]

    one, other = grams(replace(design, centers=grams(design)[0][0, 1:] / a.n))
    sizes = np.sqrt(np.outer(np.diag(one), np.diag(one)))
    return bool((np.abs(one - other) <= _SAME_ROWS_TOLERANCE * sizes).all())


def absent_levels(design: Design, shares: Sequence[SignedMoments]) -> dict[str, list[Level]]:
    """Tell which levels, of those that shares taken away have, no row is left of: nothing of their indicators remains."""
    gone: dict[str, list[Level]] = {}
    for text, coding in design.categories.items():
        taken = {level for share in shares if share.sign < 0 for level in share.moments.design.categories[text].levels}
        levels = [level for level in coding.levels if level in taken]
        wanted = list(indicators(design, text, levels))
        nothing = _is_zero(design, shares, [each for some in wanted for each in some])
        ends = np.cumsum([len(some) for some in wanted])
        gone[text] = [level for level, part in zip(levels, np.split(nothing, ends[:-1]), strict=True) if part.all()]
    return gone


def _is_zero(design: Design, shares: Sequence[SignedMoments], wanted: Sequence[Product]) -> np.ndarray:
    """Tell of which products (m,) nothing but rounding is left."""
    left, size = np.zeros(len(wanted)), np.zeros(len(wanted))
    nowhere = replace(design, centers=np.zeros(len(wanted) + 1), scales=np.ones(len(wanted) + 1))
    for share in shares:
        moments = share.moments
        there = make_change_of_basis(recode(wanted, moments.design), moments.design, nowhere)
        left += share.sign * there.gram_diagonal(moments.gram)[1:-1]
        size += there.error_lengths(moments.gram)[1:-1] ** 2
    nothing: np.ndarray = left <= CANCELLATION * size
    return nothing


def _sizes(transfers: Sequence[ChangeOfBasis], shares: Sequence[SignedMoments], *, doubted: bool = False) -> Array:
    squares = [
        t.error_lengths(s.moments.gram) ** 2 * (s.error_factor if doubted else 1.0) for t, s in zip(transfers, shares, strict=True)
    ]
    sizes: Array = np.sum(squares, axis=0)
    return sizes


def _signed_sum(grams: Sequence[Pair], signs: Sequence[int]) -> Array:
    """Add in double-double; round once."""
    total = np.zeros_like(grams[0][0]), np.zeros_like(grams[0][0])
    for (hi, lo), sign in zip(grams, signs, strict=True):
        total = dd_add(total, (sign * hi, sign * lo))
    gram = total[0] + total[1]
    return (gram + gram.T) / 2
