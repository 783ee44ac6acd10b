"""Which rows of a batch meet a condition: in doubles, and exactly where doubles cannot tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from squarely.data import Batch, NumericColumn, exact_number
from squarely.design.formula.expression import (
    ARITHMETIC,
    FUNCTIONS,
    LARGEST_POWER,
    Arithmetic,
    Expression,
    Function,
    Name,
    Number,
    column_names,
    evaluate,
)
from squarely.design.formula.expression_parser import MOST_PLACES
from squarely.design.formula.where import COMPARISONS, Comparison, IsIn, Outcome, Where, evaluate_condition
from squarely.errors import DataError, show_value
from squarely.numerics import EXACT_INTEGERS


def mask_of(where: Where, batch: Batch) -> np.ndarray:
    """Return which rows of a batch (m,) meet the condition."""
    leaf = partial(_evaluate_leaf, batch=batch)
    meets: np.ndarray = evaluate_condition(where.condition, leaf, np.logical_and.reduce, np.logical_or.reduce)[0]
    return meets


def _evaluate_leaf(condition: Comparison | IsIn, batch: Batch) -> Outcome:
    if isinstance(condition, Comparison):
        return _evaluate_comparison(condition, batch)
    labels = batch.labels[condition.name.name]
    values = values_in_type(condition, labels.narrow_type)
    is_null = np.array([*(value is None for value in labels.values), True])  # a column of nulls alone may have None as its value
    is_found = np.array([*(value is not None and _is_one_of(condition.name, value, values) for value in labels.values), False])
    return is_found[labels.codes] != condition.is_negated, ~is_null[labels.codes]


def values_in_type(condition: IsIn, narrow: np.dtype | None) -> tuple[Any, ...]:
    """Return the values that a column is compared with, as a narrow type of floats writes them if the column has one.

    That is the shortest number that the narrow type rounds to the same value.
    """
    if narrow is None:
        return condition.values
    with np.errstate(over="ignore"):
        return tuple(float(str(narrow.type(float(x)))) if isinstance(x, float | Decimal) else x for x in condition.values)


def _evaluate_comparison(condition: Comparison, batch: Batch) -> Outcome:
    """Compare in doubles, or in the type of narrow floats, and once more exactly where doubles cannot tell."""
    compare, is_plain = COMPARISONS[condition.sign], condition.is_plain
    columns = {name: batch.numbers[name] for name in condition.columns}
    value = _evaluate_narrow if any(column.narrow_type is not None for column in columns.values()) else _evaluate_rounded
    with np.errstate(all="ignore"):
        left, right = (value(side, columns) for side in condition.sides)
        holds, is_same = (np.array(np.broadcast_to(outcome, batch.size)) for outcome in (compare(left, right), left == right))
    sides = zip(condition.sides, (left, right), strict=True)
    has_value = np.logical_and.reduce([np.isfinite(values) for side, values in sides if column_names(side)])
    uncertain = has_value & is_same if is_plain else has_value  # rounding keeps order, but may make values equal
    rows = np.flatnonzero(uncertain & _inexact_rows(columns, batch, is_plain=is_plain))
    if len(rows):
        stored = {name: _stored_values(name, batch, rows) for name in columns}
        for i, row in enumerate(rows.tolist()):
            exact = [_evaluate_exactly(side, {name: values[i] for name, values in stored.items()}) for side in condition.sides]
            if exact[0] is not None and exact[1] is not None:
                holds[row] = compare(*(exact if is_plain else map(Fraction, exact)))
    return holds, has_value


def _inexact_rows(columns: Mapping[str, NumericColumn], batch: Batch, *, is_plain: bool) -> np.ndarray:
    """Return in which rows (m,) a double may differ from the stored value; arithmetic takes decimals for doubles."""
    inexact = np.zeros(batch.size, dtype=bool)
    for name, column in columns.items():
        if is_plain and column.is_decimal:
            inexact[:] = True
        elif column.stored_column is not None or _has_text(name, batch):
            inexact |= np.abs(column.values) >= EXACT_INTEGERS
    return inexact


def _has_text(name: str, batch: Batch) -> bool:
    labels = batch.labels.get(name)
    return labels is not None and any(isinstance(value, str) for value in labels.values)


def _stored_values(name: str, batch: Batch, rows: np.ndarray) -> list[Any]:
    """Return the values of a column in some rows with all the digits that are stored."""
    values = batch.numbers[name].stored_values(rows)
    if not _has_text(name, batch):
        return values
    labels = batch.labels[name]
    texts = [labels.values[code] for code in labels.codes[rows].tolist()]
    return [_parse_digits(text, x) for text, x in zip(texts, values, strict=True)]


def _parse_digits(text: str, x: float) -> Decimal | float:
    try:
        value = Decimal(text.strip())
    except InvalidOperation:  # a decimal comma
        return x
    return value if value.is_finite() and abs(value.adjusted()) <= MOST_PLACES else x


def _evaluate_exactly(expression: Expression, values: Mapping[str, Any]) -> Any:
    """Evaluate on one row without rounding; None for a function, a fractional power, a division by zero or an infinity."""
    if isinstance(expression, Name):
        value = values[expression.name]
        return None if isinstance(value, float) and not math.isfinite(value) else value
    if isinstance(expression, Number):
        return expression.value if expression.decimal is None else expression.decimal
    if not isinstance(expression, Arithmetic):
        return None
    left, right = (_evaluate_exactly(side, values) for side in (expression.left, expression.right))
    if left is None or right is None or (expression.operator == "/" and not right):
        return None
    if expression.operator == "**" and not (right == int(right) and 0 <= right <= LARGEST_POWER):
        return None
    left, right = Fraction(left), int(right) if expression.operator == "**" else Fraction(right)
    return ARITHMETIC[expression.operator][0](left, right)


def _evaluate_rounded(expression: Expression, columns: Mapping[str, NumericColumn]) -> Any:
    """Evaluate in double-double, and round once: an array (m,), or a number if no column takes part."""
    hi, lo = evaluate(expression, {name: column.values for name, column in columns.items()}, {})
    return hi + lo


def _evaluate_narrow(expression: Expression, columns: Mapping[str, NumericColumn]) -> Any:
    """Evaluate as NumPy does, in the types of the columns; a number in the condition takes the type of the other side."""
    if not column_names(expression):
        return float(_evaluate_rounded(expression, columns))
    if isinstance(expression, Name):
        column = columns[expression.name]
        return column.values if column.narrow_type is None else column.values.astype(column.narrow_type)
    if isinstance(expression, Function):
        return FUNCTIONS[expression.function][0](_evaluate_narrow(expression.argument, columns))
    assert isinstance(expression, Arithmetic)  # noqa: S101  # `parse_where` refuses what is learned
    left, right = (_evaluate_narrow(side, columns) for side in (expression.left, expression.right))
    return ARITHMETIC[expression.operator][0](left, right)


def _is_one_of(name: Name, value: Any, values: tuple[Any, ...]) -> bool:
    """Return whether a value of a column is one of some values; text in a file that reads as a number is that number."""
    numbers = [x for x in values if not isinstance(x, str)]
    if isinstance(value, str) and numbers:
        number = exact_number(value)
        if isinstance(number, str):
            raise DataError(
                f"where= compares {name.name!r} with {numbers[0]!r}, but it holds text such as {show_value(value)}. Compare it "
                f"with a text in quotes, as in == {show_value(value)}."
            )
        value = number
    if not isinstance(value, str) and not numbers:
        raise DataError(
            f"where= compares {name.name!r} with the text {values[0]!r}, but it holds {show_value(value)}. Leave the quotes out."
        )
    return value in (tuple(float(x) if isinstance(x, Decimal) else x for x in values) if isinstance(value, float) else values)
