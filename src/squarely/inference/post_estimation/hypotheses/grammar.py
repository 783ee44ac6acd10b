"""Linear hypotheses as text: constraints such as `education = 4, women = 0` or `a = b = 0`, parsed with the place of each error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from squarely.design import Design, SourceText
from squarely.errors import FormulaError
from squarely.inference.post_estimation.hypotheses.coefficient_names import CoefficientNames, LinearForm, scan_name

_EXAMPLE = "Write constraints such as 'x = 0, z = 1'."
_MAX_CHARACTERS, _MAX_DEPTH = 20_000, 50
_NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
_SIGNS = {
    "==": "An equality is written with one =.",
    "!=": "What is tested is written with =, and the alternative is that it does not hold.",
    **dict.fromkeys("<>", "Tests here are two-sided: write =."),
    **dict.fromkeys(("**", "^"), "A hypothesis is linear in the coefficients: sums of numbers times names."),
    ";": "Constraints are separated by commas.",
    "~": "A hypothesis is about coefficients and is not a formula: x = 0, z = 1.",
    "&": "Constraints are separated by commas.",
}


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint: the sum of weights times coefficients is the value."""

    weights: LinearForm
    value: Fraction
    text: str


@dataclass(frozen=True, slots=True)
class _Expression:
    """A linear expression in the coefficients, its constant, and its place in the text."""

    weights: LinearForm
    constant: Fraction
    start: int
    end: int
    has_name: bool

    def plus(self, other: _Expression, sign: int) -> _Expression:
        weights = dict(self.weights)
        for position, weight in other.weights.items():
            weights[position] = weights.get(position, Fraction(0)) + sign * weight
        constant = self.constant + sign * other.constant
        return _Expression(weights, constant, self.start, other.end, self.has_name or other.has_name)

    def times(self, factor: Fraction, start: int, end: int) -> _Expression:
        weights = {position: weight * factor for position, weight in self.weights.items()}
        return _Expression(weights, self.constant * factor, start, end, self.has_name)


def parse_constraints(text: str, design: Design) -> list[Constraint]:
    """Parse constraints on the coefficients of a design; one without `=` says that its expression is zero.

    Raises FormulaError, which points at the place.
    """
    if len(text) > _MAX_CHARACTERS:
        raise FormulaError(f"The hypothesis has {len(text):,} characters; at most {_MAX_CHARACTERS:,} are read. Write it shorter.")
    if not text.strip():
        raise FormulaError(f"The hypothesis is empty. {_EXAMPLE}")
    return list(_Parser(text, CoefficientNames(design)).constraints())


class _Parser:
    """A parser by recursive descent; `place` is the next character."""

    def __init__(self, text: str, names: CoefficientNames) -> None:
        self._text = text
        self._names = names
        self._place = 0
        self._depth = 0

    def constraints(self) -> Iterator[Constraint]:
        while True:
            yield from self._chain()
            if self._sign(",") is None:
                break

    def _chain(self) -> Iterator[Constraint]:
        left, right = self._side(), None
        while self._sign("=") is not None:
            right = self._side()
            yield self._equality(left, right)
            left = right
        if right is None:
            yield self._equality(left, None)

    def _side(self) -> _Expression:
        side = self._sum()
        self._skip_spaces()
        if self._text[self._place : self._place + 1] not in ("", ",", "=") or self._text.startswith("==", self._place):
            raise self._unexpected()
        return side

    def _equality(self, left: _Expression, right: _Expression | None) -> Constraint:
        both = left if right is None else left.plus(right, -1)
        if not both.has_name:
            raise self._error(f"This names no coefficient. {_EXAMPLE}", both.start, both.end)
        try:
            [float(x) for x in (*both.weights.values(), both.constant)]
        except OverflowError:
            raise self._error("This has a number beyond the range of doubles. Write a smaller one.", both.start, both.end) from None
        text = " ".join(self._text[left.start : left.end].split())
        value = "0" if right is None else " ".join(self._text[right.start : right.end].split())
        return Constraint({i: x for i, x in both.weights.items() if x}, -both.constant, f"{text} = {value}")

    def _sum(self) -> _Expression:
        total = self._product()
        while (sign := self._sign("+-")) is not None:
            total = total.plus(self._product(), 1 if sign == "+" else -1)
        return total

    def _product(self) -> _Expression:
        left = self._operand()
        while (sign := self._sign("*/")) is not None:
            right = self._operand()
            if right.has_name and (left.has_name or sign == "/"):
                what = "a product of coefficients" if sign == "*" else "a ratio"
                raise self._error(
                    f"This is {what}, and a hypothesis is linear. Write sums of numbers times names, such as a - 2 * b = 0.",
                    left.start,
                    right.end,
                )
            if sign == "/" and right.constant == 0:
                raise self._error("This divides by zero. Write another number.", right.start, right.end)
            number, other = (left, right) if right.has_name else (right, left)
            factor = 1 / number.constant if sign == "/" else number.constant
            left = other.times(factor, left.start, right.end)
        return left

    def _operand(self) -> _Expression:
        sign, start = self._sign("+-"), self._place
        if sign is not None:
            self._enter()
            inner = self._operand()
            self._depth -= 1
            return inner.times(Fraction(1 if sign == "+" else -1), start - 1, inner.end)
        self._skip_spaces()
        start = self._place
        if found := self._names.match(self._text, start):
            weights, self._place = found
            return _Expression(weights, Fraction(0), start, self._place, has_name=True)
        if number := _NUMBER.match(self._text, start):
            self._place = number.end()
            return _Expression({}, Fraction(number[0]), start, self._place, has_name=False)
        if self._sign("(") is not None:
            self._enter()
            inner = self._sum()
            if self._sign(")") is None:
                raise self._error("This bracket is opened and not closed. Add the other one.", start, start + 1)
            self._depth -= 1
            return _Expression(inner.weights, inner.constant, start, self._place, inner.has_name)
        raise self._unexpected()

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(f"This is nested more than {_MAX_DEPTH} deep. Write it in fewer steps.", self._place, self._place + 1)

    def _sign(self, signs: str) -> str | None:
        """Step over one of some signs, and return it."""
        self._skip_spaces()
        sign = self._text[self._place : self._place + 1]
        if not sign or sign not in signs or self._text[self._place : self._place + 2] in ("==", "**"):
            return None
        self._place += 1
        return sign

    def _skip_spaces(self) -> None:
        while self._place < len(self._text) and self._text[self._place].isspace():
            self._place += 1

    def _unexpected(self) -> FormulaError:
        """Explain what stands at the place, where something else should."""
        start = self._place
        end = scan_name(self._text, start)
        if start == len(self._text):
            before = len(self._text.rstrip()) - 1
            return self._error(f"Something is missing at the end. {_EXAMPLE}", before, before + 1)
        if end > start and self._follows_operand(start):
            return self._error("There is no sign before this. Write +, -, *, = or a comma.", start, end)
        if end > start:
            return self._error(self._names.explain(self._text[start:end]), start, end)
        for sign, advice in _SIGNS.items():
            if self._text.startswith(sign, start):
                return self._error(f"The sign {sign!r} is not understood in a hypothesis. {advice}", start, start + len(sign))
        return self._error(f"The sign {self._text[start]!r} is not understood here. {_EXAMPLE}", start, start + 1)

    def _follows_operand(self, start: int) -> bool:
        before = self._text[:start].rstrip()
        return bool(before) and before[-1] not in "+-*/=,("

    def _error(self, what: str, start: int, end: int) -> FormulaError:
        return SourceText(self._text, self._text, {}).error(what, (start, end))
