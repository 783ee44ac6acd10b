"""The columns of one design as combinations of those of another that has other levels of the same categories.

A column is a product of numbers, which both designs share, and of one function of the levels of each of some factors. On rows with
the levels of `source` alone, such a product is a combination of the columns of `source`, whatever contrasts these have.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product

from squarely.data import Level
from squarely.design.design import Design
from squarely.design.encoding.categories import ContrastCoding
from squarely.design.encoding.layout import FactorColumn
from squarely.errors import DataError

Combination = dict[int, Fraction]  # position in [1, x_1 ... x_p] -> weight
# Of the columns with the same numbers: (factor, whether all levels are coded) for each factor -> the columns of these -> position.
_Blocks = dict[tuple[tuple[str, bool], ...], dict[tuple[int, ...], int]]
_Levels = dict[Level, Fraction]  # a function of the levels of a factor, zero at those that it does not have


@dataclass(frozen=True, slots=True)
class Product:
    """A product of columns of numbers and of functions of levels: factor text -> function."""

    numbers: frozenset[FactorColumn]
    functions: Mapping[str, _Levels]

    @property
    def key(self) -> object:
        """The product as a value that can be a key."""
        return self.numbers, frozenset((text, frozenset(f.items())) for text, f in self.functions.items())


def products(design: Design) -> list[Product]:
    """Return the columns of a design as products."""
    codings = design.categories
    return [
        Product(
            frozenset(part for part in column.parts if part[0] not in codings),
            {text: _column(codings[text], j, full=full) for text, full, j in column.parts if text in codings},
        )
        for column in design.columns
    ]


def indicators(design: Design, text: str, levels: Iterable[Level]) -> Iterator[list[Product]]:
    """Yield for each level the columns of a factor, with the indicator of the level instead of its function."""
    distinct = {}
    for each in products(design):
        if text in each.functions:
            others = {name: function for name, function in each.functions.items() if name != text}
            distinct[Product(each.numbers, others).key] = each.numbers, others
    for level in levels:
        yield [Product(numbers, {**others, text: {level: Fraction(1)}}) for numbers, others in distinct.values()]


def recode(targets: Iterable[Product], source: Design) -> list[Combination]:
    """Write products as combinations of the columns [1, x_1 ... x_p] of a design, on rows that have its levels alone.

    A function f of the levels is a constant and a contrast, f = c + g, by the contrast of the factor. The product of these sums
    is a sum of one product for each set of factors that enter with g. The blocks of columns cover each such set once: a block
    covers the sets between its contrasts alone and all its factors.
    """
    blocks = _group_columns(source)
    levels = {text: set(coding.levels) for text, coding in source.categories.items()}
    columns = {each.key: position for position, each in enumerate(products(source), start=1)}
    combinations: list[Combination] = []
    for each in targets:
        functions = {text: {k: x for k, x in f.items() if k in levels[text]} for text, f in each.functions.items()}
        target = Product(each.numbers, functions)
        if not all(functions.values()):
            combinations.append({})  # zero in every row
        elif target.key in columns:
            combinations.append({columns[target.key]: Fraction(1)})
        else:
            combinations.append(_recode_product(target, blocks[each.numbers], source.categories))
    return combinations


def with_sum_contrasts(design: Design) -> Design:
    """Return the design with contrasts of sum zero for all categories, and centers of zero and scales of one."""
    contrasts = {text: replace(each, kind="sum", position=len(each.levels) - 1) for text, each in design.categories.items()}
    learned = replace(design.learned, contrasts=contrasts)
    return Design(formula=design.formula, where=design.where, factors=design.factors, learned=learned)


def _column(coding: ContrastCoding, j: int, *, full: bool) -> _Levels:
    """Return column j of the matrix of a coding, where it is not zero."""
    levels, omitted, is_sum = coding.levels, coding.position, coding.kind == "sum"
    if is_sum and full and j == 0:
        return dict.fromkeys(levels, Fraction(1))
    place = j - (is_sum and full)
    if is_sum or not full:
        place += place >= omitted
    function = {levels[place]: Fraction(1)}
    return {**function, levels[omitted]: Fraction(-1)} if is_sum else function


def _group_columns(design: Design) -> Mapping[frozenset[FactorColumn], _Blocks]:
    """Group the columns of a design, with the constant, by their numbers and then by the coding of their factors."""
    blocks: defaultdict[frozenset[FactorColumn], _Blocks] = defaultdict(dict)
    if design.intercept:
        blocks[frozenset()][()] = {(): 0}
    for position, column in enumerate(design.columns, start=1):
        coded = [part for part in column.parts if part[0] in design.categories]
        block = blocks[frozenset(column.parts).difference(coded)]
        block.setdefault(tuple((text, full) for text, full, _ in coded), {})[tuple(j for _, _, j in coded)] = position
    return blocks


def _recode_product(target: Product, blocks: _Blocks, codings: Mapping[str, ContrastCoding]) -> Combination:
    values = {text: [f.get(level, Fraction(0)) for level in codings[text].levels] for text, f in target.functions.items()}
    constants = {text: _constant(codings[text], f) for text, f in values.items()}
    combination: Combination = {}
    covered = 0
    for coded, places in blocks.items():
        if any(text not in values for text, full in coded if not full):
            continue
        covered += 2 ** sum(text in values for text, full in coded if full)
        weight = math.prod((x for text, x in constants.items() if text not in dict(coded)), start=Fraction(1))
        if not weight:
            continue
        tables = [_weights(codings[text], values.get(text), full=full) for text, full in coded]
        for entries in product(*tables):
            combination[places[tuple(j for j, _ in entries)]] = math.prod((entry for _, entry in entries), start=weight)
    if covered != 2 ** len(values):
        raise DataError("The columns of these fits are not combinations of each other. Fit all rows at once.")
    return combination


def _constant(coding: ContrastCoding, values: list[Fraction]) -> Fraction:
    """Return the constant that leaves a contrast of a function of the levels: zero at the reference, or of sum zero."""
    return values[coding.position] if coding.kind == "treatment" else sum(values, Fraction(0)) / len(values)


def _weights(coding: ContrastCoding, values: list[Fraction] | None, *, full: bool) -> list[tuple[int, Fraction]]:
    """Return the weights of the columns of a coding for a function of the levels (None for 1), or for its contrast alone."""
    weights = [Fraction(1)] * len(coding.levels) if values is None else values
    if not full or coding.kind == "sum":
        constant = _constant(coding, weights)
        contrast = [value - constant for i, value in enumerate(weights) if i != coding.position]
        weights = [constant, *contrast] if full else contrast
    return [(j, weight) for j, weight in enumerate(weights) if weight]
