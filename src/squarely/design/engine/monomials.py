"""Columns of X as products of powers of atoms, and which atoms can be centered without changing what the columns span.

An atom is a column of the data, an expression that is not a product, or a column of a basis. The powers of a column about its
center span what the powers themselves span and are better conditioned. The binomial theorem, in fractions, leads back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import comb, prod

from squarely.design.design import Design
from squarely.design.encoding.layout import FactorColumn
from squarely.design.formula.expression import Arithmetic, Expression, Number
from squarely.design.formula.factors import Basis, Factor, argument_of

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
    monomials = []
    for column in design.columns:
        coefficient, powers = Fraction(1), Counter[Atom]()
        for text, _, place in column.parts:
            if text not in design.categories:
                c, more = _product(design.factors[text], place)
                coefficient *= c
                powers += more
        for atom in powers:
            order.setdefault(atom, len(order))
        ordered = tuple(sorted(powers.items(), key=lambda item: order[item[0]]))
        pattern = tuple(sorted(part for part in column.parts if part[0] in design.categories))
        monomials.append(Monomial(coefficient=coefficient, powers=ordered, pattern=pattern))
    return tuple(monomials)


def _product(factor: Factor, place: int) -> tuple[Fraction, Counter[Atom]]:
    if isinstance(factor, Basis) and factor.kind == "powers":
        return _powers(Arithmetic("**", factor.argument, Number(place + 1.0)))
    return (Fraction(1), Counter([(factor.text, place)])) if isinstance(factor, Basis) else _powers(argument_of(factor))


def _powers(expression: Expression) -> tuple[Fraction, Counter[Atom]]:
    """Split an expression into a number and powers of atoms, as far as it is a product."""
    result: tuple[Fraction, Counter[Atom]] = Fraction(0), Counter()
    if isinstance(expression, Arithmetic) and expression.operator == "*":
        (a, first), (b, second) = _side(expression.left), _side(expression.right)
        result = a * b, first + second
    elif isinstance(expression, Arithmetic) and expression.operator == "**" and isinstance(expression.right, Number):
        n = expression.right.value
        if n in range(1, _MAX_POWER + 1):
            coefficient, powers = _powers(expression.left)
            result = coefficient ** int(n), Counter({atom: power * int(n) for atom, power in powers.items()})
    return result if result[0] and result[1].total() <= _MAX_POWER else (Fraction(1), Counter([expression]))


def _side(expression: Expression) -> tuple[Fraction, Counter[Atom]]:
    return (Fraction(expression.value), Counter()) if isinstance(expression, Number) else _powers(expression)


def centerable_atoms(columns: Sequence[Monomial], *, intercept: bool) -> frozenset[Atom]:
    """Return the atoms that can be centered: for each column with one, the column with a lower power of it exists too."""
    existing = {(m.powers, m.pattern) for m in columns} | ({((), ())} if intercept else set())
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
    return {
        tuple(pair for pairs, _ in choice for pair in pairs): prod((weight for _, weight in choice), start=Fraction(1))
        for choice in product(*choices)
    }
