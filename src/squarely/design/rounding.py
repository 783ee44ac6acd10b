"""Bounds of the rounding of computed and learned columns, row by row, to first order. A bound of None stands for zero.

A bound is made of sizes of intermediate values: in `I(a * b - c)` the product may be large and the difference small. Rows of this
process keep sums, products and quotients in double-double, so only functions, fractional powers and bases round. An engine rounds
every operation. Stored values and numbers in the formula are rounded too; when nearly equal values are subtracted, that may be all
that remains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from squarely.design.encoding.basis import Polynomial, Spline
from squarely.design.formula.expression import (
    FUNCTIONS,
    Arithmetic,
    Expression,
    Function,
    MeanAndDeviation,
    Name,
    Number,
    Standardize,
    is_product,
    subexpressions,
)
from squarely.design.formula.factors import Basis, Factor
from squarely.numerics import ROUNDING, ROUNDOFF, Array

_FUNCTION_ERROR = 4 * ROUNDOFF  # bounds the relative error of log, exp, sqrt and pow in systems and engines


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RoundingModel:
    """How values are computed: arrays of this process, or expressions of an engine.

    Attributes
    ----------
    value : returns the values of an expression. `size` their absolute values.
    unit : the relative error of a sum, a product or a quotient. `mean_error` that of a mean, relative to the standard deviation.
    stored_bound : bounds the rounding of stored values; None if they and numbers in the formula are taken as exact.
    """

    value: Callable[[Expression], Any]
    size: Callable[[Any], Any]
    standardizations: Mapping[str, MeanAndDeviation]
    unit: float = 0.0
    mean_error: float = 0.0
    stored_bound: Callable[[Any], Any] | None = None

    def bound(self, expression: Expression) -> Any:
        """Bound the rounding of an expression's values."""
        if self.stored_bound is not None and isinstance(expression, Name):
            return self.stored_bound(self.value(expression))
        if self.stored_bound is not None and isinstance(expression, Number):
            return None if expression.is_exact else abs(expression.value) * ROUNDING * ROUNDOFF
        if isinstance(expression, Function):
            return self._function_bound(expression)
        if isinstance(expression, Standardize):
            return self._standardized_bound(expression)
        return self._arithmetic_bound(expression) if isinstance(expression, Arithmetic) else None

    def _function_bound(self, expression: Function) -> Any:
        inside = self.bound(expression.argument)
        if expression.function == "abs":
            return inside
        y = self.value(expression)
        new = self.size(y) * (_FUNCTION_ERROR + 4 * self.unit)  # some engines compute log1p and expm1 in several steps
        if inside is None:
            return new
        slope = FUNCTIONS[expression.function][1](self.value(expression.argument), y)
        return add_bounds(new, inside * self.size(slope))

    def _standardized_bound(self, expression: Standardize) -> Any:
        learned, inside = self.standardizations[expression.text], self.bound(expression.argument)
        if not learned.deviation:  # then it is zero in every row
            return None
        units = 2 * self.unit + (ROUNDOFF if expression.is_scaled else 0.0)  # the deviation is one double
        new = self.size(self.value(expression)) * units if units else None
        if expression.is_scaled:
            inside = multiply_bound(inside, 1.0 / learned.deviation)
        return add_bounds(new, inside, self.mean_error * (1.0 if expression.is_scaled else learned.deviation) or None)

    def _arithmetic_bound(self, expression: Arithmetic) -> Any:
        left, right = self.bound(expression.left), self.bound(expression.right)
        power = _whole_power(expression)
        if not self.unit and left is None and right is None and (expression.operator != "**" or power is not None):
            return None
        value, a, b = (self.size(self.value(each)) for each in (expression, expression.left, expression.right))
        new = value * self.unit if self.unit else None
        if expression.operator in ("+", "-"):
            return add_bounds(new, left, right)
        if expression.operator == "*":
            return add_bounds(new, multiply_bound(left, b), multiply_bound(right, a))
        if expression.operator == "/":
            return add_bounds(new, multiply_bound(left, 1.0 / b), multiply_bound(right, value / b))
        if power is not None:
            return add_bounds(multiply_bound(new, 4.0), multiply_bound(left, a ** (power - 1.0) * abs(power)))
        if not isinstance(expression.left, Name | Number):
            left = add_bounds(left, a * ROUNDOFF)  # its low part is not used
        return add_bounds(value * _FUNCTION_ERROR, multiply_bound(left, value / a * b), multiply_bound(right, value))

    def basis_bounds(self, basis: Polynomial | Spline, inside: Any, argument: Array | None = None) -> list[Any]:
        """Bound the rounding of the columns of a basis from that of its argument: at given values of it, or at any."""
        new, slopes = basis.rounding(argument), basis.slopes()
        bounds = new.T if argument is not None else [float(x) * (1 + 4 * bool(self.unit)) for x in new[0]]
        return [add_bounds(x, multiply_bound(inside, slope)) for x, slope in zip(bounds, slopes.tolist(), strict=True)]


def add_bounds(*bounds: Any) -> Any:
    """Add bounds."""
    some = [bound for bound in bounds if bound is not None]
    return reduce(add, some) if some else None


def multiply_bound(bound: Any, factor: Any) -> Any:
    """Multiply a bound."""
    return None if bound is None else bound * factor


def is_rounded(factors: Iterable[Factor], expressions: Iterable[Expression]) -> bool:
    """Return whether anything is computed in plain doubles: a function, a fractional power, a basis."""
    return any(isinstance(factor, Basis) and factor.kind != "powers" for factor in factors) or any(
        isinstance(part, Function)
        or (isinstance(part, Standardize) and part.is_scaled)
        or (isinstance(part, Arithmetic) and part.operator == "**" and _whole_power(part) is None)
        for part in subexpressions(*expressions)
    )


def is_exact(expression: Expression) -> bool:
    """Return whether double-double computes an expression without rounding: sums, products and whole powers from zero."""
    return not any(
        isinstance(part, Function | Standardize)
        or (isinstance(part, Arithmetic) and part.operator == "/")
        or (isinstance(part, Arithmetic) and part.operator == "**" and ((n := _whole_power(part)) is None or n < 0))
        for part in subexpressions(expression)
    )


def _whole_power(expression: Arithmetic) -> float | None:
    n = expression.right.value if expression.operator == "**" and isinstance(expression.right, Number) else None
    return n if n is not None and is_product(n) else None


def may_cancel(expression: Expression) -> bool:
    """Return whether an expression may subtract nearly equal values, so that only the rounding of its inputs remains."""
    return any(
        (isinstance(part, Arithmetic) and part.operator in ("+", "-"))
        or (isinstance(part, Function) and part.function.startswith("log"))
        for part in subexpressions(expression)
    )


def is_zero_factor(factor: Factor, ends: Sequence[float]) -> bool:
    """Return whether the columns of a factor are zero, from the ends between which its constant argument lies."""
    if isinstance(factor, Basis) and factor.kind != "powers":
        return factor.kind == "poly"  # of a constant minus its mean
    return ends[0] <= 0 <= ends[1]


def product_bound(factors: Sequence[tuple[Any, Any]]) -> Any:
    """Bound the rounding of a product, given the bound and the size of each factor."""
    sizes = [size for _, size in factors]
    return add_bounds(*(reduce(multiply_bound, sizes[:i] + sizes[i + 1 :], bound) for i, (bound, _) in enumerate(factors)))
