"""How far rounding takes computed and learnt columns from what the formula says: bounds, row by row, to first order.

A bound is made of sizes of intermediate values: in `I(a * b - c)` the product may be large and the difference small. Rows at hand
keep sums, products and quotients in double-double, so that functions, fractional powers and bases alone are rounded there. An
engine rounds every operation. A bound of None stands for zero.

Stored values are rounded too, as outcomes of some arithmetic of their owner's, and so are numbers in the formula. Where an
expression takes nearly equal values from each other this may be all that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from squarely.design.encoding.basis import Polynomial, Spline
from squarely.design.formula.expression import Arithmetic, Expression, Function, Moved, Moving, Name, Number, is_product, parts
from squarely.design.formula.factors import Basis, Categorical, Factor, expression_of
from squarely.design.formula.formula import Formula
from squarely.numerics import ROUNDING, ROUNDOFF, Array

_OF_FUNCTION = 4 * ROUNDOFF  # the relative error of log, exp, sqrt and pow as systems and engines have them, at most
# The derivative of each function at x, where its value is y.
_SLOPES: Mapping[str, Callable[[Any, Any], Any]] = {
    "log": lambda x, y: 1.0 / x,
    "log2": lambda x, y: 1.0 / (x * np.log(2.0)),
    "log10": lambda x, y: 1.0 / (x * np.log(10.0)),
    "log1p": lambda x, y: 1.0 / (x + 1.0),
    "exp": lambda x, y: y,
    "expm1": lambda x, y: y + 1.0,
    "sqrt": lambda x, y: 0.5 / y,
    "abs": lambda x, y: 1.0,
}


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Arithmetics:
    """How values are worked out: columns of rows at hand, or the words of an engine.

    Attributes
    ----------
    value : gives the values of an expression. `size` their absolute values.
    unit : the relative error of a sum, a product or a quotient. `of_mean` that of a mean, relative to the standard deviation.
    stored : bounds the rounding of the values of a column, None where they are taken to be exact; so are numbers then.
    """

    value: Callable[[Expression], Any]
    size: Callable[[Any], Any]
    moves: Mapping[str, Moving]
    unit: float = 0.0
    of_mean: float = 0.0
    stored: Callable[[Any], Any] | None = None

    def bound(self, expression: Expression) -> Any:
        """Bound the rounding of an expression's values."""
        if self.stored is not None and isinstance(expression, Name):
            return self.stored(self.value(expression))
        if self.stored is not None and isinstance(expression, Number):
            return None if expression.is_exact else abs(expression.value) * ROUNDING * ROUNDOFF
        if isinstance(expression, Function):
            return self._of_function(expression)
        if isinstance(expression, Moved):
            return self._of_moved(expression)
        return self._of_arithmetic(expression) if isinstance(expression, Arithmetic) else None

    def _of_function(self, expression: Function) -> Any:
        inside = self.bound(expression.argument)
        if expression.function == "abs":
            return inside
        y = self.value(expression)
        own = self.size(y) * (_OF_FUNCTION + 4 * self.unit)  # some engines have log1p and expm1 made of several steps
        if inside is None:
            return own
        return added(own, inside * self.size(_SLOPES[expression.function](self.value(expression.argument), y)))

    def _of_moved(self, expression: Moved) -> Any:
        learnt, inside = self.moves[expression.text], self.bound(expression.argument)
        if not learnt.deviation:  # then it is zero in every row
            return None
        if not learnt.deviation:  # a constant, whose values are zero
            return None
        units = 2 * self.unit + (ROUNDOFF if expression.scaled else 0.0)  # the deviation is one double
        own = self.size(self.value(expression)) * units if units else None
        if expression.scaled:
            inside = times(inside, 1.0 / learnt.deviation)
        return added(own, inside, self.of_mean * (1.0 if expression.scaled else learnt.deviation) or None)

    def _of_arithmetic(self, expression: Arithmetic) -> Any:
        left, right = self.bound(expression.left), self.bound(expression.right)
        power = expression.right.value if expression.operator == "**" and isinstance(expression.right, Number) else None
        whole = power is not None and is_product(power)
        if not self.unit and left is None and right is None and (expression.operator != "**" or whole):
            return None
        value, a, b = (self.size(self.value(each)) for each in (expression, expression.left, expression.right))
        own = value * self.unit if self.unit else None
        if expression.operator in ("+", "-"):
            return added(own, left, right)
        if expression.operator == "*":
            return added(own, times(left, b), times(right, a))
        if expression.operator == "/":
            return added(own, times(left, 1.0 / b), times(right, value / b))
        if power is not None and whole:
            return added(times(own, 4.0), times(left, a ** (power - 1.0) * abs(power)))
        if not isinstance(expression.left, Name | Number):
            left = added(left, a * ROUNDOFF)  # its low part is left out
        return added(value * _OF_FUNCTION, times(left, value / a * b), times(right, value))

    def of_basis(self, basis: Polynomial | Spline, inside: Any, argument: Array | None = None) -> list[Any]:
        """Bound the rounding of the columns of a basis, given that of its argument; without the values of that at any place."""
        own, slopes = basis.rounding(argument), basis.slopes()
        bounds = own.T if argument is not None else [float(x) * (1 + 4 * bool(self.unit)) for x in own[0]]
        return [added(x, times(inside, slope)) for x, slope in zip(bounds, slopes.tolist(), strict=True)]


def added(*bounds: Any) -> Any:
    """Add bounds up."""
    some = [bound for bound in bounds if bound is not None]
    return sum(some[1:], some[0]) if some else None


def times(bound: Any, factor: Any) -> Any:
    """Multiply a bound."""
    return None if bound is None else bound * factor


def is_rounded(formula: Formula, factors: Mapping[str, Factor]) -> bool:
    """Tell whether anything is computed that double-double does not keep: a function, a fractional power, a basis."""
    wanted = [*formula.outside.values(), *(expression_of(f) for f in factors.values() if not isinstance(f, Categorical))]
    return any(isinstance(f, Basis) and f.kind != "powers" for f in factors.values()) or any(
        _is_rounded(part) for expression in wanted for part in parts(expression)
    )


def _is_rounded(part: Expression) -> bool:
    if isinstance(part, Arithmetic):
        return part.operator == "**" and not (isinstance(part.right, Number) and is_product(part.right.value))
    return isinstance(part, Function) or (isinstance(part, Moved) and part.scaled)


def may_cancel(factor: Factor) -> bool:
    """Tell whether an expression may take nearly equal values from each other, so that the rounding of its inputs is left."""
    return not isinstance(factor, Categorical) and any(
        (isinstance(part, Arithmetic) and part.operator in ("+", "-"))
        or (isinstance(part, Function) and part.function.startswith("log"))
        for part in parts(expression_of(factor))
    )


def vanishes(factor: Factor, ends: Sequence[float]) -> bool:
    """Tell whether a factor's columns are zero, given the ends between which the constant is that its expression may be."""
    if isinstance(factor, Basis) and factor.kind != "powers":
        return factor.kind == "poly"  # of a constant less its mean
    return ends[0] <= 0 <= ends[1]


def of_product(factors: Sequence[tuple[Any, Any]]) -> Any:
    """Bound the rounding of a product, given the bound and the size of each factor."""
    terms = [reduce(times, (size for j, (_, size) in enumerate(factors) if j != i), bound) for i, (bound, _) in enumerate(factors)]
    return added(*terms)
