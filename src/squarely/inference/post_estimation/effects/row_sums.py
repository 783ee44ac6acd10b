"""Sums over the rows that average effects follow from, and what the cross-products of a fit have of them without the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product

import numpy as np

from squarely.data import Level
from squarely.design import DATA_COLUMN, Design, FactorColumn, Product, argument_of, column_names, factor_of, recode
from squarely.errors import DataError
from squarely.moments import Moments
from squarely.numerics import Array

Label = tuple[Level, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSum:
    """A weighted sum over the rows, in each cell of some categories.

    Attributes
    ----------
    parts : the columns of numbers whose product is summed; none for the weights alone.
    derived : a further factor of the product, the derivative of a column with respect to a column of the data; None for none.
    settings : the columns of the data that are set to a value in these, sorted.
    cells : the columns of the data that are categories of the fit, in whose cells the rows are summed.
    others : further columns whose values group the rows.
    """

    parts: tuple[FactorColumn, ...] = ()
    derived: tuple[FactorColumn, str] | None = None
    settings: tuple[tuple[str, float], ...] = ()
    cells: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def counts(self) -> RowSum:
        """Return the sum of the weights in the same cells."""
        return RowSum(cells=self.cells, others=self.others)


def columns_of_part(design: Design, part: FactorColumn) -> frozenset[str]:
    """Return the columns of the data that a column of numbers follows from."""
    text, _, place = part
    if place == DATA_COLUMN:
        return frozenset([text])
    return frozenset(name.name for name in column_names(argument_of(factor_of(design, text))))


def levels_of(design: Design, cells: Iterable[str]) -> list[tuple[Level, ...]]:
    """Return the levels of columns that are categories."""
    by_column = {coding.column: coding.levels for coding in reversed(list(design.categories.values()))}
    return [by_column[name] for name in cells]


def center_of(design: Design, parts: Sequence[FactorColumn]) -> float:
    """Return the number that a product of columns is summed about: the center of the column of X that it is."""
    for j, column in enumerate(design.columns):
        if len(column.parts) == len(parts) and set(column.parts) == set(parts):
            return float(design.centers[j])
    return 0.0


def sum_from_moments(moments: Moments, wanted: RowSum) -> Array | None:
    """Return the sum in each cell, about its center, from the cross-products of the columns; None if they do not have it."""
    if wanted.derived or wanted.settings or wanted.others or any(place == DATA_COLUMN for _, _, place in wanted.parts):
        return None
    design = moments.design
    if design.absorbed is not None and (wanted.parts or wanted.cells):  # the columns have lost the means of its levels
        return None
    center = center_of(design, wanted.parts)
    for size in range(len(wanted.cells) + 1):
        for left in combinations(wanted.cells, size):
            right = tuple(name for name in wanted.cells if name not in left)
            rows = _as_combinations(design, wanted.parts, left), _as_combinations(design, (), right)
            if rows[0] is None or rows[1] is None:
                continue
            table = _products(moments, rows[0], rows[1], center if wanted.parts and not left else 0.0)
            table = table.reshape([len(levels) for levels in levels_of(design, (*left, *right))])
            total = table.transpose([(*left, *right).index(name) for name in wanted.cells])
            if not left or not center:
                return total
            counts = sum_from_moments(moments, wanted.counts())
            return None if counts is None else total - center * counts
    return None


_Combination = Mapping[int, Fraction]


def _as_combinations(design: Design, parts: tuple[FactorColumn, ...], cells: tuple[str, ...]) -> Sequence[_Combination] | None:
    """Write the product of some columns, in each cell, as a combination of [1, x_1 ... x_p]; None if it is none."""
    if not parts and not cells:
        return [{0: Fraction(1)}]
    texts = [next(text for text, coding in design.categories.items() if coding.column == name) for name in cells]
    targets = [
        Product(frozenset(parts), {text: {level: Fraction(1)} for text, level in zip(texts, cell, strict=True)})
        for cell in product(*levels_of(design, cells))
    ]
    try:
        return recode(targets, design)
    except DataError:
        return None


def _products(moments: Moments, left: Sequence[_Combination], right: Sequence[_Combination], center: float) -> Array:
    """Multiply combinations of the columns, the left ones less a center, and sum over the rows: (l, r)."""
    design, gram = moments.design, moments.gram[:-1, :-1]
    table = np.empty((len(left), len(right)))
    scaled_right = [_to_scaled(design, each, 0.0) for each in right]
    for row, combination in zip(table, left, strict=True):
        sums = np.zeros(len(gram))
        for position, weight in _to_scaled(design, combination, center).items():
            sums += weight * gram[position]
        row[:] = [sum(weight * sums[position] for position, weight in each.items()) for each in scaled_right]
    return table


def _to_scaled(design: Design, combination: _Combination, center: float) -> dict[int, float]:
    """Write a combination of [1, x], less a center, as one of [1, (x - c) / s]."""
    constant = -Fraction(center)
    scaled = {}
    for position, weight in combination.items():
        constant += weight * Fraction(float(design.column_centers[position])) if position else weight
        if position:
            scaled[position] = float(weight) * float(design.column_scales[position])
    return {0: float(constant), **scaled} if constant else scaled
