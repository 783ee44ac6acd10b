"""Columns of X as products of powers of atoms, and which atoms can be centered without changing what the columns span.

An atom is a column of the data, an expression that is not a product, or a column of a basis. The powers of a column about its
center span what the powers themselves span and are better conditioned. The binomial theorem, in fractions, leads back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import product
from math import comb

from squarely.design.design import Design
from squarely.design.encoding.layout import Column, FactorColumn
from squarely.design.formula.expression import Arithmetic, Expression, Number
from squarely.design.formula.factors import Basis, Categorical, Factor, argument_of

Atom = Expression | tuple[str, int]  # an expression, or a basis by its text and one of its columns
Powers = tuple[tuple[Atom, int], ...]  # in a fixed order, each power at least one
_MAX_POWER = 20  # higher powers are atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class Monomial:
    """A column of X: `coefficient` times `powers` of atoms times the columns of categorical factors in `pattern`."""

    coefficient: Fraction
    powers: Powers
    pattern: tuple[FactorColumn, ...]


def monomials_of(design: Design) -> tuple[Monomial, ...]:
    """Write each column of X as a monomial."""
    order: dict[Atom, int] = {}
    return tuple(_monomial(column, design.factors, order) for column in design.columns)


def _monomial(column: Column, factors: Mapping[str, Factor], order: dict[Atom, int]) -> Monomial:
    coefficient, powers, pattern = Fraction(1), dict[Atom, int](), []
    for part in column.parts:
        text, _, place = part
        factor = factors[text]
        if isinstance(factor, Categorical):
            pattern.append(part)
            continue
        c, more = _product(factor, place)
        coefficient *= c
        for atom, power in more.items():
            powers[atom] = powers.get(atom, 0) + power
    for atom in powers:
        order.setdefault(atom, len(order))
    return Monomial(
        coefficient=coefficient,
        powers=tuple(sorted(powers.items(), key=lambda item: order[item[0]])),
        pattern=tuple(sorted(pattern)),
    )


def _product(factor: Factor, place: int) -> tuple[Fraction, dict[Atom, int]]:
    if isinstance(factor, Basis) and factor.kind == "powers":
        return _powers(Arithmetic("**", factor.argument, Number(place + 1.0)))
    if isinstance(factor, Basis):
        return Fraction(1), {(factor.text, place): 1}
    return _powers(argument_of(factor))


def _powers(expression: Expression) -> tuple[Fraction, dict[Atom, int]]:
    """Split an expression into a number and powers of atoms, as far as it is a product."""
    one: tuple[Fraction, dict[Atom, int]] = Fraction(1), {expression: 1}
    if not isinstance(expression, Arithmetic):
        return one
    left, right = expression.left, expression.right
    if expression.operator == "**" and isinstance(right, Number) and right.value in range(1, _MAX_POWER + 1):
        n = int(right.value)
        coefficient, powers = _powers(left)
        result = (coefficient**n, {atom: power * n for atom, power in powers.items()})
    elif expression.operator == "*":
        (a, first), (b, second) = _side(left), _side(right)
        result = a * b, {atom: first.get(atom, 0) + second.get(atom, 0) for atom in {**first, **second}}
    else:
        return one
    return result if result[0] and sum(result[1].values()) <= _MAX_POWER else one


def _side(expression: Expression) -> tuple[Fraction, dict[Atom, int]]:
    return (Fraction(expression.value), {}) if isinstance(expression, Number) else _powers(expression)


def centerable_atoms(columns: Sequence[Monomial], *, intercept: bool) -> frozenset[Atom]:
    """Return the atoms that can be centered: for each column with one, the column with a lower power of it exists too."""
    existing = {(m.powers, m.pattern) for m in columns}
    if intercept:
        existing.add(((), ()))
    atoms = {atom for m in columns for atom, _ in m.powers}
    fixed = {atom for m in columns for atom, _ in m.powers if (lower_power(m.powers, atom), m.pattern) not in existing}
    return frozenset(atoms - fixed)


def lower_power(powers: Powers, atom: Atom) -> Powers:
    """Lower the power of an atom by one."""
    return tuple((a, power - (a == atom)) for a, power in powers if a != atom or power > 1)


def expand_shift(powers: Powers, moves: Mapping[Atom, tuple[Fraction, Fraction]]) -> dict[Powers, Fraction]:
    """Expand the product of (scale a + shift)**power over the atoms a into powers of the atoms themselves.

    >>> expand_shift((("x", 2),), {"x": (Fraction(1), Fraction(3))})
    {(('x', 2),): Fraction(1, 1), (('x', 1),): Fraction(6, 1), (): Fraction(9, 1)}
    """
    choices = []
    for atom, power in powers:
        scale, shift = moves[atom]
        terms = [(k, comb(power, k) * scale**k * shift ** (power - k)) for k in range(power, -1, -1)]
        choices.append([(((atom, k),) if k else (), weight) for k, weight in terms if weight])
    expansion: dict[Powers, Fraction] = {}
    for choice in product(*choices):
        term = tuple(pair for pairs, _ in choice for pair in pairs)
        expansion[term] = reduce(lambda total, item: total * item[1], choice, Fraction(1))
    return expansion
