"""The closed language of arithmetic inside a formula: its nodes, and their values on rows, in double-double.

Sums, products, quotients and whole powers keep what rounding would lose, so that x**10 is the tenth power of the stored x and
not of a rounded one; log, exp and the other functions are as exact as the system's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from squarely.design.formula.source_text import Span
from squarely.numerics import Array, Pair, dd_add, dd_divide, dd_multiply, dd_power

# name -> (the function, its derivative, by which the low part of a double-double argument is carried over)
FUNCTIONS: Mapping[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "log": (np.log, lambda x: 1 / x),
    "log2": (np.log2, lambda x: 1 / (x * np.log(2.0))),
    "log10": (np.log10, lambda x: 1 / (x * np.log(10.0))),
    "log1p": (np.log1p, lambda x: 1 / (1 + x)),
    "exp": (np.exp, np.exp),
    "expm1": (np.expm1, np.exp),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "abs": (np.abs, np.sign),
}


@dataclass(frozen=True, slots=True)
class Number:
    """A number written in the formula, as a double; `decimal` has every digit of it."""

    value: float
    decimal: Decimal | None = field(default=None, compare=False)

    @property
    def is_exact(self) -> bool:
        """Whether the double is the number that is written."""
        return self.value.is_integer() if self.decimal is None else Decimal(self.value) == self.decimal


@dataclass(frozen=True, slots=True)
class Name:
    """A column, and where the formula names it, which does not make it another one."""

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
    """`center` or `scale`: an expression less its mean, over its standard deviation if it is to be scaled.

    Mean and deviation (divisor n - ddof) are learnt once, over the rows that are used; `text` is the key under which they are kept.
    """

    argument: Expression
    text: str
    is_scaled: bool
    ddof: int = 0


Expression = Number | Name | Function | Arithmetic | Standardize


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanAndDeviation:
    """What `center` and `scale` have learnt: value -> (value - mean - rest) / deviation, or zero where the deviation is zero.

    A mean far from zero has more digits than a double: `rest` is what rounding takes from it.
    """

    mean: float
    deviation: float
    rest: float = 0.0


def subexpressions(expression: Expression) -> Iterator[Expression]:
    """Yield the expression and everything inside it, the innermost first."""
    if isinstance(expression, Arithmetic):
        yield from subexpressions(expression.left)
        yield from subexpressions(expression.right)
    elif isinstance(expression, Function | Standardize):
        yield from subexpressions(expression.argument)
    yield expression


def column_names(expression: Expression) -> tuple[Name, ...]:
    """Give the columns that an expression names."""
    return tuple(part for part in subexpressions(expression) if isinstance(part, Name))


def is_product(power: float) -> bool:
    """Tell whether a power is a whole number that is carried out as a product; others are the system's pow."""
    return power.is_integer() and abs(power) <= _LARGEST_POWER


def evaluate(expression: Expression, numbers: Mapping[str, Array], moves: Mapping[str, MeanAndDeviation]) -> Pair:
    """Evaluate on rows, as double-double (m,); what has no value, such as log(-1), is not finite in the high part.

    `numbers` has a column (m,) for each name, `moves` what each `center` and `scale` has learnt.
    """
    with np.errstate(all="ignore"):  # a value that is not finite drops its row, and is counted
        return _value(expression, numbers, moves)


def _value(expression: Expression, numbers: Mapping[str, Array], moves: Mapping[str, MeanAndDeviation]) -> Pair:
    if isinstance(expression, Name):
        x = numbers[expression.name]
        return x, np.zeros_like(x)
    if isinstance(expression, Number):
        return np.float64(expression.value), np.float64(0.0)  # type: ignore[return-value]  # an array of no dimension
    if isinstance(expression, Function):
        hi, lo = _value(expression.argument, numbers, moves)
        function, derivative = FUNCTIONS[expression.function]
        y = function(hi)
        return y, np.where(lo == 0, 0.0, derivative(hi) * lo)
    if isinstance(expression, Standardize):
        learnt = moves[expression.text]
        hi, lo = dd_add(_value(expression.argument, numbers, moves), _pair(-learnt.mean, -learnt.rest))
        if not learnt.deviation:
            return 0 * hi, 0 * lo
        return dd_divide((hi, lo), _pair(learnt.deviation)) if expression.is_scaled else (hi, lo)
    left = _value(expression.left, numbers, moves)
    right = _value(expression.right, numbers, moves)
    return _combine(expression.operator, left, right)


def _combine(operator: str, left: Pair, right: Pair) -> Pair:
    plain = _DOUBLE_OPERATORS[operator](left[0], right[0])
    if operator == "**" and not (np.ndim(right[0]) == 0 and is_product(float(right[0]))):
        return plain, np.zeros_like(plain)
    hi, lo = _DOUBLE_DOUBLE_OPERATORS[operator](left, right)
    lost = ~(np.isfinite(hi) & np.isfinite(lo))  # near 1e300 the low part overflows before the value does
    return np.where(lost, plain, hi), np.where(lost, 0.0, lo)


_DOUBLE_OPERATORS = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "**": np.power}
_DOUBLE_DOUBLE_OPERATORS: Mapping[str, Callable[[Pair, Pair], Pair]] = {
    "+": dd_add,
    "-": lambda x, y: dd_add(x, (-y[0], -y[1])),
    "*": dd_multiply,
    "/": dd_divide,
    "**": lambda x, n: dd_power(x, int(n[0])),
}
_LARGEST_POWER = 100  # whole powers up to here are products; beyond, and with fractions, the system's pow


def _pair(x: float, low: float = 0.0) -> Pair:
    return np.float64(x), np.float64(low)  # type: ignore[return-value]  # an array of no dimension
