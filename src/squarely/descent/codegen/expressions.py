"""The arithmetic of a formula in NumPy, with the brackets that its order needs and no others."""

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
Learned = Mapping[str, MeanAndDeviation]  # text of a standardization -> its numbers
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 4}
_NEGATIVE, _ATOM = 3, 5


def expression_code(expression: Expression, fields: Fields, learned: Learned) -> str:
    """Write an expression of columns of the frame `rows`.

    >>> x, fields = Name("a b", (0, 0)), {("a b", "number"): "a b"}
    >>> print(expression_code(Arithmetic("**", Arithmetic("-", x, Number(1.0)), Number(2.0)), fields, {}))
    (rows["a b"] - 1) ** 2
    """
    return _code_and_precedence(expression, fields, learned)[0]


def evaluate_constant(expression: Expression) -> float:
    """Compute an expression of numbers; infinite or NaN if it has no value."""
    if isinstance(expression, Number):
        return expression.value
    hi, lo = evaluate(expression, {}, {})
    return float(hi + lo)


def _code_and_precedence(expression: Expression, fields: Fields, learned: Learned) -> tuple[str, int]:
    """Return the text, and the precedence of its outermost operator."""
    if not isinstance(expression, Number) and not column_names(expression):
        # Constants are computed here: Python's own arithmetic raises errors where NumPy gives an infinity.
        return _code_and_precedence(Number(evaluate_constant(expression)), fields, learned)
    if isinstance(expression, Number):
        text = number_literal(expression.value)
        return text, _NEGATIVE if text.startswith("-") else _ATOM
    if isinstance(expression, Name):
        use = "number" if (expression.name, "number") in fields else "truth"
        return f"rows[{literal(fields[expression.name, use])}]", _ATOM
    if isinstance(expression, Function):
        return f"np.{expression.function}({expression_code(expression.argument, fields, learned)})", _ATOM
    if isinstance(expression, Standardize):
        moments = learned[expression.text]
        value = Arithmetic("-", expression.argument, Number(moments.mean))
        if moments.rest:
            value = Arithmetic("-", value, Number(moments.rest))
        if not moments.deviation:
            value = Arithmetic("*", value, Number(0.0))
        elif expression.is_scaled:
            value = Arithmetic("/", value, Number(moments.deviation))
        return _code_and_precedence(value, fields, learned)
    return _arithmetic_code(expression, fields, learned)


def _arithmetic_code(expression: Arithmetic, fields: Fields, learned: Learned) -> tuple[str, int]:
    sign, precedence = expression.operator, _PRECEDENCE[expression.operator]
    left, left_precedence = _code_and_precedence(expression.left, fields, learned)
    right, right_precedence = _code_and_precedence(expression.right, fields, learned)
    if left_precedence < precedence or (sign == "**" and left_precedence < _ATOM):
        left = f"({left})"
    if right_precedence <= precedence and not (sign == "**" and right_precedence == _NEGATIVE):
        right = f"({right})"
    return f"{left} {sign} {right}", precedence
