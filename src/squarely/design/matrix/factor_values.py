"""The columns of single factors on rows, some of whose columns of data are set to a value, and their derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np

from squarely.design.design import Design
from squarely.design.encoding.derivative import derivative_of
from squarely.design.encoding.layout import FactorColumn
from squarely.design.formula.expression import Expression, Name, evaluate
from squarely.design.formula.factors import Basis, Factor, Numeric, argument_of
from squarely.design.matrix.block import DenseColumn
from squarely.design.matrix.model_matrix import multiply_columns
from squarely.errors import DataError, show_value
from squarely.numerics import Array, dd_power

DATA_COLUMN = -1  # the place of a column of the data itself, by its name, among the columns of factors


class FactorValues:
    """The columns of factors of numbers and of offsets on m rows, each worked out when it is first asked for.

    `numbers` has the columns (m,) of the data, and `settings` the values that columns are set to.
    """

    def __init__(self, design: Design, numbers: Mapping[str, Array], settings: Mapping[str, float], size: int) -> None:
        self._design, self._settings, self._size = design, dict(settings), size
        self._numbers = {**numbers, **{name: np.full(size, value) for name, value in settings.items()}}
        self._values: dict[str, Sequence[DenseColumn]] = {}
        self._derivatives: dict[tuple[str, str], Sequence[Array]] = {}

    def product(self, parts: Sequence[FactorColumn]) -> DenseColumn:
        """Return a product of columns (m,); ones without any.

        Raises
        ------
        DataError : an expression has no value where a column is set.
        """
        return reduce(multiply_columns, map(self._value, parts)) if parts else (np.ones(self._size), None)

    def derivative(self, part: FactorColumn, variable: str) -> Array:
        """Return the derivative (m,) of a column with respect to a column of the data.

        Raises
        ------
        DataError : there is none in a row.
        """
        text, _, place = part
        if place == DATA_COLUMN:
            return np.full(self._size, float(text == variable))
        if (text, variable) not in self._derivatives:
            self._derivatives[text, variable] = self._differentiate(text, variable)
        return self._derivatives[text, variable][place]

    def _value(self, part: FactorColumn) -> DenseColumn:
        text, _, place = part
        if place == DATA_COLUMN:
            return self._numbers[text], None
        if text not in self._values:
            self._values[text] = self._evaluate(text)
        return self._values[text][place]

    def _argument(self, text: str) -> tuple[Expression, Array, Array]:
        """Return the expression inside a factor or offset, and its values as double-double."""
        expression = argument_of(factor_of(self._design, text))
        hi, lo = (
            np.broadcast_to(part, self._size) for part in evaluate(expression, self._numbers, self._design.learned.standardizations)
        )
        if not np.isfinite(hi).all():
            settings = ", ".join(f"{name!r}: {show_value(value)}" for name, value in self._settings.items())
            raise DataError(f"{text} has no value with at={{{settings}}}. Give other values.")
        return expression, hi, lo

    def _evaluate(self, text: str) -> Sequence[DenseColumn]:
        factor = factor_of(self._design, text)
        _, hi, lo = self._argument(text)
        if isinstance(factor, Numeric):
            return [(hi, lo if lo.any() else None)]
        if isinstance(factor, Basis) and factor.kind == "powers":
            return [dd_power((hi, lo), k) for k in range(1, factor.degree + 1)]
        return [(x, None) for x in self._design.learned.bases[text].columns(hi).T]

    def _differentiate(self, text: str, variable: str) -> Sequence[Array]:
        factor = factor_of(self._design, text)
        expression, x, _ = self._argument(text)
        inner = derivative_of(expression, variable, self._numbers, self._design.learned.standardizations, text)
        inner = np.broadcast_to(inner, self._size)
        if isinstance(factor, Numeric):
            return [inner]
        if isinstance(factor, Basis) and factor.kind == "powers":
            return [k * x ** (k - 1) * inner for k in range(1, factor.degree + 1)]
        return [outer * inner for outer in self._design.learned.bases[text].derivatives(x).T]


def factor_of(design: Design, text: str) -> Factor:
    """Return the factor or the offset with a text."""
    return design.factors.get(text) or next(each for each in design.formula.offsets if each.text == text)


def is_column_alone(factor: Factor, name: str) -> bool:
    """Return whether a factor of numbers is a column of the data and nothing else."""
    return isinstance(factor, Numeric) and isinstance(factor.expression, Name) and factor.expression.name == name
