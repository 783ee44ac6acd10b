"""Arithmetic inside a formula: columns, numbers, + - * / **, and a closed list of functions. Nothing is evaluated as Python.

Python's parser reads the text, for its grammar alone; then every node must be one of the few that this module accepts.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from decimal import Decimal

from squarely.design.formula.expression import FUNCTIONS, Arithmetic, Expression, Function, Name, Number, Standardize
from squarely.design.formula.python_syntax import RESERVED_WORDS, PythonFragment, match_arguments, parse_constant
from squarely.errors import suggest_name

_MULTI_COLUMN_CALLS = ("C", "factor", "poly", "bs", "ns")  # calls that give more than one column
_OPERATORS: Mapping[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
MOST_PLACES = 400  # before or after the point: a double has no more, and fractions of so many are fast
_NAMES = (*FUNCTIONS, "I", "Q", "C", "poly", "bs", "ns", "scale", "center", "offset")
_ALTERNATIVES = {"power": "Write I(x**2) for a power.", "ln": "Write log(x), which is the natural logarithm."} | dict.fromkeys(
    ("as.factor", "relevel", "categorical"), "Write C(x), or C(x, Treatment(reference='a')) for another reference level."
)
_KNOWN_HINT = f"Known are + - * / ** and {', '.join(_NAMES)}."


def parse_numeric(piece: PythonFragment, node: ast.expr) -> Expression:
    """Parse arithmetic of columns and numbers, with the known functions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return _parse_number(piece, node, node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = parse_numeric(piece, node.operand)
        return inner if isinstance(node.op, ast.UAdd) else _negate(inner)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return Arithmetic(_OPERATORS[type(node.op)], parse_numeric(piece, node.left), parse_numeric(piece, node.right))
    if isinstance(node, ast.Call):
        return _parse_call(piece, node)
    if _is_dotted(node):
        return _parse_column(piece, node)
    raise piece.error(f"{piece.original_text(node)!r} is not understood in a formula. {_KNOWN_HINT}", node)


def _parse_number(piece: PythonFragment, node: ast.AST, value: float) -> Number:
    decimal = Decimal(value if isinstance(value, int) else piece.text(node).replace("_", ""))
    x = float(decimal)
    if not math.isfinite(x):
        raise piece.error("This number is beyond the range of double precision. Write a smaller one.", node)
    return Number(x, decimal if abs(decimal.adjusted()) <= MOST_PLACES else None)


def _negate(inner: Expression) -> Expression:
    if not isinstance(inner, Number):
        return Arithmetic("*", Number(-1.0), inner)
    return Number(-inner.value, None if inner.decimal is None else inner.decimal.copy_negate())


def _is_dotted(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _is_dotted(node.value))


def _parse_column(piece: PythonFragment, node: ast.expr) -> Name:
    word = piece.text(node)
    if quoted := piece.source_text.quoted_text(word):
        raise piece.error(
            f"The text {quoted} is used as a column or a number. Write columns without quotes, or in backticks.", node
        )
    if word in RESERVED_WORDS:
        raise piece.error(f"{word} is used as a column or a number. Put a column of that name in backticks.", node)
    return Name(piece.source_text.name(word), piece.span_of(node))


def _parse_call(piece: PythonFragment, node: ast.Call) -> Expression:
    called = piece.callee(node)
    if called == "I" or called in FUNCTIONS:
        x = parse_numeric(piece, match_arguments(piece, node, ["x"])["x"])
        return x if called == "I" else Function(called, x)
    if called == "Q":
        argument = match_arguments(piece, node, ["name"])["name"]
        if not isinstance(name := parse_constant(piece, argument), str):
            raise piece.error('Q(...) takes the name of a column in quotes, such as Q("model year").', argument)
        return Name(name, piece.span_of(argument))
    if called in {"center", "scale", "standardize"}:
        return _parse_standardize(piece, node, called)
    if called in _MULTI_COLUMN_CALLS:
        raise piece.error(
            f"{called}(...) makes several columns, so it must be a term of its own between operators such as + : and *.", node
        )
    near = suggest_name(called, _NAMES)
    advice = _ALTERNATIVES.get(called, near if near.startswith("Did") else _KNOWN_HINT)
    raise piece.error(
        f"{piece.source_text.restore_quotes(called)!r} is not a function that formulas know, and nothing is evaluated as Python. "
        f"{advice} Make any other column in your data.",
        node.func,
    )


def _parse_standardize(piece: PythonFragment, node: ast.Call, called: str) -> Standardize:
    arguments = match_arguments(piece, node, ["x"] if called == "center" else ["x", "ddof"])
    ddof = parse_constant(piece, arguments["ddof"]) if "ddof" in arguments else 0
    if ddof not in (0, 1) or isinstance(ddof, bool):
        raise piece.error("ddof must be 0 (divisor n, as in statsmodels) or 1 (divisor n - 1, as in R).", arguments["ddof"])
    return Standardize(parse_numeric(piece, arguments["x"]), piece.label(node), called != "center", ddof)
