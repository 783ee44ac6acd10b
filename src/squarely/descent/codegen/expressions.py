"""Arithmetic of a formula as NumPy: with the brackets that its order needs and no others."""

from __future__ import annotations

from collections.abc import Mapping

from squarely.descent.codegen.python_text import literal, number_literal
from squarely.design import (
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

Fields = Mapping[tuple[str, str], str]  # a column's name and "number", "truth" or "text" -> its key in the script's frame
_BINDING = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 4}
_NEGATIVE, _ATOM = 3, 5


def expression_code(expression: Expression, fields: Fields, moves: Mapping[str, MeanAndDeviation]) -> str:
    """Write an expression of the columns of the frame `rows`.

    >>> x, fields = Name("a b", (0, 0)), {("a b", "number"): "a b"}
    >>> print(expression_code(Arithmetic("**", Arithmetic("-", x, Number(1.0)), Number(2.0)), fields, {}))
    (rows["a b"] - 1) ** 2
    """
    return _code_and_precedence(expression, fields, moves)[0]


def evaluate_constant(expression: Expression) -> float:
    """Work out an expression of numbers alone; infinite or NaN where it has no value."""
    if isinstance(expression, Number):
        return expression.value
    hi, lo = evaluate(expression, {}, {})
    return float(hi + lo)


def _code_and_precedence(expression: Expression, fields: Fields, moves: Mapping[str, MeanAndDeviation]) -> tuple[str, int]:
    """Give the text, and how strongly its outermost operator binds."""
    if not isinstance(expression, Number) and not column_names(expression):
        # Numbers alone are worked out here: Python's own arithmetic raises errors where NumPy gives an infinity.
        return _code_and_precedence(Number(evaluate_constant(expression)), fields, moves)
    if isinstance(expression, Number):
        text = number_literal(expression.value)
        return text, _NEGATIVE if text.startswith("-") else _ATOM
    if isinstance(expression, Name):
        use = "number" if (expression.name, "number") in fields else "truth"
        return f"rows[{literal(fields[expression.name, use])}]", _ATOM
    if isinstance(expression, Function):
        return f"np.{expression.function}({expression_code(expression.argument, fields, moves)})", _ATOM
    if isinstance(expression, Standardize):
        learnt = moves[expression.text]
        moved = Arithmetic("-", expression.argument, Number(learnt.mean))
        if learnt.rest:
            moved = Arithmetic("-", moved, Number(learnt.rest))
        if not learnt.deviation:
            moved = Arithmetic("*", moved, Number(0.0))
        elif expression.is_scaled:
            moved = Arithmetic("/", moved, Number(learnt.deviation))
        return _code_and_precedence(moved, fields, moves)
    return _arithmetic_code(expression, fields, moves)


def _arithmetic_code(expression: Arithmetic, fields: Fields, moves: Mapping[str, MeanAndDeviation]) -> tuple[str, int]:
    sign, binding = expression.operator, _BINDING[expression.operator]
    left, on_left = _code_and_precedence(expression.left, fields, moves)
    right, on_right = _code_and_precedence(expression.right, fields, moves)
    if on_left < binding or (sign == "**" and on_left < _ATOM):
        left = f"({left})"
    if on_right <= binding and not (sign == "**" and on_right == _NEGATIVE):
        right = f"({right})"
    return f"{left} {sign} {right}", binding
