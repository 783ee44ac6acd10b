"""The closed language of arithmetic inside a formula: its nodes, and their values on rows, in double-double.

Sums, products, quotients and whole powers keep what rounding would lose: x**10 is the tenth power of the stored x, not of a
rounded one. The functions are as accurate as the system's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from squarely.design.formula.source_text import Span
from squarely.numerics import Array, Pair, dd_add, dd_divide, dd_multiply, dd_power

LARGEST_POWER = 100  # whole powers up to here are products; beyond, and with fractions, the system's pow
# name -> (the function, its derivative at x where the value is y; x and y may be expressions of an engine, except for abs)
FUNCTIONS: Mapping[str, tuple[Callable[[Array], Array], Callable[[Any, Any], Any]]] = {
    "log": (np.log, lambda x, y: 1.0 / x),
    "log2": (np.log2, lambda x, y: 1.0 / (x * np.log(2.0))),
    "log10": (np.log10, lambda x, y: 1.0 / (x * np.log(10.0))),
    "log1p": (np.log1p, lambda x, y: 1.0 / (x + 1.0)),
    "exp": (np.exp, lambda x, y: y),
    "expm1": (np.expm1, lambda x, y: y + 1.0),
    "sqrt": (np.sqrt, lambda x, y: 0.5 / y),
    "abs": (np.abs, lambda x, y: np.sign(x)),
}
# sign -> (the operator, the same in double-double)
ARITHMETIC: Mapping[str, tuple[Callable[[Any, Any], Any], Callable[[Pair, Pair], Pair]]] = {
    "+": (operator.add, dd_add),
    "-": (operator.sub, lambda x, y: dd_add(x, (-y[0], -y[1]))),
    "*": (operator.mul, dd_multiply),
    "/": (operator.truediv, dd_divide),
    "**": (operator.pow, lambda x, n: dd_power(x, int(n[0]))),
}


@dataclass(frozen=True, slots=True)
class Number:
    """A number written in the formula, as a double; `decimal` has all its digits."""

    value: float
    decimal: Decimal | None = field(default=None, compare=False)

    @property
    def is_exact(self) -> bool:
        """Whether the double is the number that is written."""
        return self.value.is_integer() if self.decimal is None else Decimal(self.value) == self.decimal


@dataclass(frozen=True, slots=True)
class Name:
    """A column, and the place where the formula names it, which comparisons ignore."""

    name: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Function:
    """One of FUNCTIONS of an expression."""

    function: str
    argument: Expression


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two expressions and an operator: + - * / or **."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Standardize:
    """`center` or `scale`: an expression minus its mean, divided by its standard deviation if it `is_scaled`.

    The mean and the deviation (divisor n - ddof) are learned once, over the rows that are used, and stored under `text`.
    """

    argument: Expression
    text: str
    is_scaled: bool
    ddof: int = 0


Expression = Number | Name | Function | Arithmetic | Standardize


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanAndDeviation:
    """What `center` and `scale` learn: value -> (value - mean - rest) / deviation, or zero where the deviation is zero.

    A mean far from zero has more digits than a double: `rest` is what rounding takes from it.
    """

    mean: float
    deviation: float
    rest: float = 0.0


def subexpressions(*expressions: Expression) -> Iterator[Expression]:
    """Yield everything inside some expressions, the innermost first, and the expressions themselves."""
    for expression in expressions:
        if isinstance(expression, Arithmetic):
            yield from subexpressions(expression.left, expression.right)
        elif isinstance(expression, Function | Standardize):
            yield from subexpressions(expression.argument)
        yield expression


def column_names(*expressions: Expression) -> tuple[Name, ...]:
    """Return the columns that some expressions name."""
    return tuple(part for part in subexpressions(*expressions) if isinstance(part, Name))


def standardizations_in(expressions: Iterable[Expression]) -> dict[str, Standardize]:
    """Return every `center` and `scale` in some expressions, by its text."""
    return {part.text: part for part in subexpressions(*expressions) if isinstance(part, Standardize)}


def is_product(power: float) -> bool:
    """Return whether a power is a whole number that is computed as a product; others use the system's pow."""
    return power.is_integer() and abs(power) <= LARGEST_POWER


@np.errstate(all="ignore")  # a value that is not finite drops its row, and is counted
def evaluate(expression: Expression, numbers: Mapping[str, Array], standardizations: Mapping[str, MeanAndDeviation]) -> Pair:
    """Evaluate on rows, as double-double (m,). Where there is no value, such as log(-1), the high part is not finite.

    `numbers` has a column (m,) for each name, `standardizations` what each `center` and `scale` has learned.
    """
    if isinstance(expression, Name):
        x = numbers[expression.name]
        return x, np.zeros_like(x)
    if isinstance(expression, Number):
        return as_pair(expression.value)
    if isinstance(expression, Function):
        hi, lo = evaluate(expression.argument, numbers, standardizations)
        function, derivative = FUNCTIONS[expression.function]
        y = function(hi)
        return y, np.where(lo == 0, 0.0, derivative(hi, y) * lo)  # the derivative carries the low part over
    if isinstance(expression, Standardize):
        learned = standardizations[expression.text]
        hi, lo = dd_add(evaluate(expression.argument, numbers, standardizations), as_pair(-learned.mean, -learned.rest))
        if not learned.deviation:
            return 0 * hi, 0 * lo
        return dd_divide((hi, lo), as_pair(learned.deviation)) if expression.is_scaled else (hi, lo)
    left, right = (evaluate(side, numbers, standardizations) for side in (expression.left, expression.right))
    return _combine(expression.operator, left, right)


def _combine(sign: str, left: Pair, right: Pair) -> Pair:
    in_double, in_double_double = ARITHMETIC[sign]
    rounded = in_double(left[0], right[0])
    if sign == "**" and not (np.ndim(right[0]) == 0 and is_product(float(right[0]))):
        return rounded, np.zeros_like(rounded)
    hi, lo = in_double_double(left, right)
    overflows = ~(np.isfinite(hi) & np.isfinite(lo))  # near 1e300 the low part overflows before the value does
    return np.where(overflows, rounded, hi), np.where(overflows, 0.0, lo)


def as_pair(x: float, low: float = 0.0) -> Pair:
    """Return a number as double-double."""
    return np.float64(x), np.float64(low)  # type: ignore[return-value]  # an array of no dimension
