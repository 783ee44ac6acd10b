"""The columns of one design as combinations of those of another that has other levels of the same categories.

A column is a product of numbers, which both designs share, and of one function of the levels of each of some factors. On rows with
the levels of `source` alone, such a product is a combination of the columns of `source`, whatever contrasts these have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from squarely.data import Level
from squarely.design.design import Design
from squarely.design.encoding.categories import ContrastCoding
from squarely.design.encoding.columns import Column, FactorColumn
from squarely.errors import DataError

Combination = dict[int, Fraction]  # position in [1, x_1 ... x_p] -> weight
_Levels = dict[Level, Fraction]  # a function of the levels of a factor, zero at those that it does not have


@dataclass(frozen=True, slots=True)
class Product:
    """A product of columns of numbers and of functions of levels: factor text -> function."""

    numbers: frozenset[FactorColumn]
    functions: Mapping[str, _Levels]


@dataclass(frozen=True, slots=True)
class _Block:
    """The columns of a design that share numbers and factors.

    `full` has for each factor whether all levels are coded, `places` the position of each column by the columns of these factors.
    """

    full: Mapping[str, bool]
    places: Mapping[tuple[int, ...], int]


def products(design: Design) -> list[Product]:
    """Return the columns of a design as products."""
    return [_product(design, column) for column in design.columns]


def indicators(design: Design, text: str, levels: Iterable[Level]) -> Iterator[list[Product]]:
    """Yield for each level the columns of a factor, with the indicator of the level instead of its function."""
    distinct = {}
    for each in products(design):
        if text in each.functions:
            others = {name: function for name, function in each.functions.items() if name != text}
            distinct[_key(Product(each.numbers, others))] = each.numbers, others
    for level in levels:
        yield [Product(numbers, {**others, text: {level: Fraction(1)}}) for numbers, others in distinct.values()]


def recode(targets: Iterable[Product], source: Design) -> list[Combination]:
    """Write products as combinations of the columns [1, x_1 ... x_p] of a design, on rows that have its levels alone.

    A function f of the levels is a constant and a contrast, f = c + g, by the contrast of the factor. The product of these sums
    is a sum of one product for each set of factors that enter with g. The blocks of columns cover each such set once: a block
    covers the sets between its contrasts alone and all its factors.
    """
    blocks: dict[frozenset[FactorColumn], list[_Block]] = {}
    for numbers, block in _blocks(source):
        blocks.setdefault(numbers, []).append(block)
    levels = {text: set(coding.levels) for text, coding in source.categories.items()}
    columns = {_key(each): position for position, each in enumerate(products(source), start=1)}
    combinations: list[Combination] = []
    for each in targets:
        functions = {text: {k: x for k, x in f.items() if k in levels[text]} for text, f in each.functions.items()}
        target = Product(each.numbers, functions)
        if not all(functions.values()):
            combinations.append({})  # zero in every row
        elif _key(target) in columns:
            combinations.append({columns[_key(target)]: Fraction(1)})
        else:
            combinations.append(_recode_product(target, blocks.get(each.numbers, []), source.categories))
    return combinations


def _key(each: Product) -> object:
    return each.numbers, frozenset((text, frozenset(f.items())) for text, f in each.functions.items())


def _product(design: Design, column: Column) -> Product:
    functions: dict[str, _Levels] = {}
    for text, full, j in column.parts:
        if text in design.categories:
            functions[text] = _column(design.categories[text], j, full=full)
    return Product(frozenset(part for part in column.parts if part[0] not in design.categories), functions)


def _column(coding: ContrastCoding, j: int, *, full: bool) -> _Levels:
    """Return column j of the matrix of a coding, where it is not zero."""
    levels, omitted = coding.levels, coding.position
    if coding.kind == "sum" and full and j == 0:
        return dict.fromkeys(levels, Fraction(1))
    place = j - (coding.kind == "sum" and full)
    if coding.kind == "sum" or not full:
        place += place >= omitted
    function = {levels[place]: Fraction(1)}
    if coding.kind == "sum":
        function[levels[omitted]] = Fraction(-1)
    return function


def _blocks(design: Design) -> Iterator[tuple[frozenset[FactorColumn], _Block]]:
    """Group the columns of a design, with the constant, into blocks."""
    found: dict[tuple[frozenset[FactorColumn], tuple[tuple[str, bool], ...]], dict[tuple[int, ...], int]] = {}
    if design.intercept:
        found[frozenset(), ()] = {(): 0}
    for position, column in enumerate(design.columns, start=1):
        categorical = [part for part in column.parts if part[0] in design.categories]
        numbers = frozenset(part for part in column.parts if part[0] not in design.categories)
        key = numbers, tuple((text, full) for text, full, _ in categorical)
        found.setdefault(key, {})[tuple(j for _, _, j in categorical)] = position
    for (numbers, full), places in found.items():
        yield numbers, _Block(dict(full), places)


def _recode_product(target: Product, blocks: Sequence[_Block], codings: Mapping[str, ContrastCoding]) -> Combination:
    values = {text: [f.get(level, Fraction(0)) for level in codings[text].levels] for text, f in target.functions.items()}
    split = {text: _split(codings[text], f) for text, f in values.items()}
    combination: Combination = {}
    covered = 0
    for block in blocks:
        if any(text not in values for text, full in block.full.items() if not full):
            continue
        covered += 2 ** sum(text in values for text, full in block.full.items() if full)
        weight = Fraction(1)
        for text, (constant, _) in split.items():
            weight *= 1 if text in block.full else constant
        if not weight:
            continue
        tables = [_weights(codings[text], values.get(text), full=full) for text, full in block.full.items()]
        for entries in product(*tables):
            total = weight
            for _, entry in entries:
                total *= entry
            combination[block.places[tuple(j for j, _ in entries)]] = total
    if covered != 2 ** len(values):
        raise DataError("The columns of these fits are not combinations of each other. Fit all rows at once.")
    return combination


def _split(coding: ContrastCoding, values: Sequence[Fraction]) -> tuple[Fraction, list[Fraction]]:
    """Split a function of the levels into a constant and a contrast: zero at the reference, or of sum zero."""
    constant = values[coding.position] if coding.kind == "treatment" else sum(values, Fraction(0)) / len(values)
    return constant, [value - constant for value in values]


def _weights(coding: ContrastCoding, values: Sequence[Fraction] | None, *, full: bool) -> list[tuple[int, Fraction]]:
    """Return the weights of the columns of a coding for a function of the levels (None for 1), or for its contrast alone."""
    values = [Fraction(1)] * len(coding.levels) if values is None else values
    constant, contrast = _split(coding, values)
    if full and coding.kind == "treatment":
        weights = list(values)
    else:
        weights = [value for i, value in enumerate(contrast) if i != coding.position]
        if full:
            weights = [constant, *weights]
    return [(j, weight) for j, weight in enumerate(weights) if weight]
