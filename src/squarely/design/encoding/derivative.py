"""The derivative of an expression with respect to one column, exact by the chain rule."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from squarely.design.formula.expression import (
    FUNCTIONS,
    Arithmetic,
    Expression,
    Function,
    MeanAndDeviation,
    Name,
    Number,
    Standardize,
    column_names,
    evaluate,
)
from squarely.errors import DataError
from squarely.numerics import Array


def derivative_of(
    expression: Expression,
    variable: str,
    numbers: Mapping[str, Array],
    standardizations: Mapping[str, MeanAndDeviation],
    text: str,
) -> Array:
    """Return the derivative (m,), or one number if it is the same in every row.

    `numbers` has a column (m,) for each name, and `text` is what errors call the expression. The mean and the deviation of `center`
    and `scale` are constants.

    Raises
    ------
    DataError : there is none in a row, as that of `abs` and `sqrt` at 0.
    """
    return _Chain(variable, numbers, standardizations, text).of(expression)


class _Chain:
    """The chain rule for one column on some rows."""

    def __init__(
        self, variable: str, numbers: Mapping[str, Array], standardizations: Mapping[str, MeanAndDeviation], text: str
    ) -> None:
        self._variable, self._text = variable, text
        self._numbers, self._standardizations = numbers, standardizations

    @np.errstate(all="ignore")  # what is not finite is refused below
    def of(self, expression: Expression) -> Array:
        if isinstance(expression, Number) or self._variable not in {name.name for name in column_names(expression)}:
            return np.zeros(())
        if isinstance(expression, Name):
            return np.ones(())
        if isinstance(expression, Standardize):
            deviation = self._standardizations[expression.text].deviation
            inner = self.of(expression.argument)
            return inner / (deviation if expression.is_scaled else 1.0) if deviation else 0.0 * inner
        if isinstance(expression, Function):
            return self._of_function(expression)
        return self._of_power(expression) if expression.operator == "**" else self._of_arithmetic(expression)

    def _of_function(self, expression: Function) -> Array:
        function, derivative = FUNCTIONS[expression.function]
        x = self._value(expression.argument)
        outer = derivative(x, function(x))
        if expression.function == "abs":
            outer = np.where(x == 0, np.nan, outer)
        return self._require(outer, x, expression.function) * self.of(expression.argument)

    def _of_arithmetic(self, expression: Arithmetic) -> Array:
        a, b = expression.left, expression.right
        da, db = self.of(a), self.of(b)
        if expression.operator == "+":
            return da + db
        if expression.operator == "-":
            return da - db
        x, y = self._value(a), self._value(b)
        return da * y + x * db if expression.operator == "*" else (da - x / y * db) / y

    def _of_power(self, expression: Arithmetic) -> Array:
        x, n = self._value(expression.left), self._value(expression.right)
        base = np.where(n == 0, 0.0, self._require(n * x ** (n - 1), x, "**")) * self.of(expression.left)
        exponent = self.of(expression.right)
        return base if not exponent.any() else base + self._require(x**n * np.log(x), x, "**") * exponent

    def _value(self, expression: Expression) -> Array:
        return evaluate(expression, self._numbers, self._standardizations)[0]

    def _require(self, derivative: Array, x: Array, function: str) -> Array:
        """Return the derivative of a function at x, or raise a DataError where it has none."""
        derivative, x = np.broadcast_arrays(derivative, x)
        wrong = ~np.isfinite(derivative)
        if wrong.any():
            what = "a power" if function == "**" else function
            raise DataError(
                f"{self._text} has no slope where the argument of {what} is {float(x[wrong].flat[0]):g}, and some rows are there. "
                f"Set {self._variable!r} in at= to values where it has one, or leave such rows out with where=."
            )
        return derivative
