"""Expressions, conditions and bases of a design in the words of an engine: narwhals expressions of numbered columns.

What these give in plain doubles is what `expression`, `condition` and `basis` give for rows that are at hand.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import narwhals as nw
import numpy as np

from squarely.design.basis import Polynomial, Spline
from squarely.design.condition import Compared, Condition, Joined, OneOf, Truth
from squarely.design.expression import Expression, Function, Moved, Moving, Name, Number, is_product
from squarely.errors import DataError

if TYPE_CHECKING:
    from squarely.data import Stage

_OPERATORS: Mapping[str, Callable[[nw.Expr, nw.Expr], nw.Expr]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
}  # fmt: skip
_COMPARISONS: Mapping[str, Callable[[nw.Expr, nw.Expr], nw.Expr]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def translated(expression: Expression, numbers: Mapping[str, nw.Expr], moves: Mapping[str, Moving]) -> nw.Expr:
    """Say an expression to an engine; `numbers` has a column of doubles for each name."""
    if isinstance(expression, Name):
        return numbers[expression.name]
    if isinstance(expression, Number):
        return nw.lit(expression.value)
    if isinstance(expression, Function):
        return _FUNCTIONS[expression.function](translated(expression.argument, numbers, moves))
    if isinstance(expression, Moved):
        learnt = moves[expression.text]
        centred = translated(expression.argument, numbers, moves) - learnt.mean - learnt.rest
        return centred / learnt.deviation if expression.scaled else centred
    left, right = expression.left, expression.right
    if expression.operator == "**" and isinstance(right, Number) and is_product(right.value):
        return _power(translated(left, numbers, moves), int(right.value))
    return _OPERATORS[expression.operator](translated(left, numbers, moves), translated(right, numbers, moves))


def _power(x: nw.Expr, n: int) -> nw.Expr:
    if n < 0:
        return nw.lit(1.0) / _power(x, -n)
    return x * x if n == 2 else x ** float(n)


def _log1p(x: nw.Expr) -> nw.Expr:
    """Give log(1 + x): with u = fl(1 + x) the error of log(u) x / (u - 1) is a few roundings (Higham 2002, section 1.14.1)."""
    u = x + 1.0
    return nw.when(u == 1.0).then(x).when(u == float("inf")).then(u).otherwise(u.log() * x / (u - 1.0))


def _expm1(x: nw.Expr) -> nw.Expr:
    """Give exp(x) - 1: with u = fl(exp(x)) the error of (u - 1) x / log(u) is a few roundings (Higham 2002, section 1.14.1)."""
    u = x.exp()
    near = (x > -1.0) & (x < 1.0)
    return nw.when(u == 1.0).then(x).when(near).then((u - 1.0) * x / u.log()).otherwise(u - 1.0)


_FUNCTIONS: Mapping[str, Callable[[nw.Expr], nw.Expr]] = {
    "log": lambda x: x.log(),
    "log2": lambda x: x.log(base=2),
    "log10": lambda x: x.log(base=10),
    "log1p": _log1p,
    "exp": lambda x: x.exp(),
    "expm1": _expm1,
    "sqrt": lambda x: x.sqrt(),
    "abs": lambda x: x.abs(),
}


def condition(
    where: Condition,
    numbers: Mapping[str, nw.Expr],
    labels: Mapping[str, tuple[nw.Expr, nw.Expr, str]],
    finite: Callable[[nw.Expr], nw.Expr],
) -> tuple[nw.Expr, nw.Expr]:
    """Say where a condition is true, and where it is false; a gap makes it neither.

    `labels` has for each name the labels, where there is one, and what they are: "text", "boolean" or "number"; `finite` is how
    the engine is asked whether a number is finite.
    """
    if isinstance(where, Joined):
        parts = [condition(part, numbers, labels, finite) for part in where.conditions]
        if where.word == "not":
            return parts[0][1], parts[0][0]
        true, false = [p[0] for p in parts], [p[1] for p in parts]
        joined = (nw.all_horizontal(*true, ignore_nulls=False), nw.any_horizontal(*false, ignore_nulls=False))
        if where.word == "and":
            return joined
        return nw.any_horizontal(*true, ignore_nulls=False), nw.all_horizontal(*false, ignore_nulls=False)
    if isinstance(where, Compared):
        left, right = translated(where.left, numbers, {}), translated(where.right, numbers, {})
        known = finite(left).fill_null(value=False) & finite(right).fill_null(value=False)
        holds = _COMPARISONS[where.sign](left, right).fill_null(value=False)
        return holds & known, ~holds & known
    label, known, held = labels[where.name.name]
    wanted = _wanted(where, held)
    if held == "boolean":  # Postgres casts no truth value to a double
        label = nw.when(label).then(nw.lit(1.0)).when(~label).then(nw.lit(0.0))
    same = [label == value for value in wanted]
    found = nw.any_horizontal(*same, ignore_nulls=False).fill_null(value=False)
    negated = isinstance(where, OneOf) and where.negated
    return (~found & known, found & known) if negated else (found & known, ~found & known)


def _wanted(where: OneOf | Truth, held: str) -> tuple[str | float, ...]:
    values = (True,) if isinstance(where, Truth) else where.values
    if held == "text" and not all(isinstance(value, str) for value in values):
        raise DataError(
            f"where= compares {where.name.name!r}, which holds text, with {values[0]!r}. Compare it with a text in quotes, as in "
            f"== '{values[0]}'."
        )
    return tuple(float(value) if held == "boolean" else value for value in values)


def polynomials(x: str, name: str, basis: Polynomial) -> tuple[list[Stage], list[str]]:
    """Give the stages that make orthogonal polynomials of a column x, called name0, name1, ..., and these names."""
    degree = len(basis.weights) - 1
    stages, chebyshev = chebyshev_stages(x, f"{name}t", basis.low, basis.high, degree)
    weights = basis.weights.tolist()
    columns = {}
    for j in range(degree):
        terms = [nw.col(chebyshev[m]) * weights[m + 1][j] for m in range(degree) if weights[m + 1][j]]
        columns[f"{name}{j}"] = sum(terms[1:], terms[0]) + weights[0][j]
    return [*stages, columns], list(columns)


def chebyshev_stages(x: str, name: str, low: float, high: float, degree: int) -> tuple[list[Stage], list[str]]:
    """Give the stages of the Chebyshev polynomials 1 to `degree` of x mapped onto [-1, 1], by their recurrence."""
    middle, half = low + (high - low) / 2, (high - low) / 2
    stages: list[Stage] = [{f"{name}1": (nw.col(x) - middle) / half}]
    for m in range(2, degree + 1):
        before = nw.col(f"{name}{m - 2}") if m > 2 else nw.lit(1.0)
        stages.append({f"{name}{m}": nw.col(f"{name}1") * nw.col(f"{name}{m - 1}") * 2.0 - before})
    return stages, [f"{name}{m}" for m in range(1, degree + 1)]


def splines(x: str, name: str, basis: Spline) -> tuple[list[Stage], list[str]]:
    """Give the stage that makes the columns of a spline of x within its boundary, each a polynomial from knot to knot."""
    knots, pieces = basis.pieces()
    away = [nw.col(x) - knot for knot in knots[:-1].tolist()]
    columns = {}
    for j in range(pieces.shape[2]):
        values = [_horner(d, pieces[:, i, j]) for i, d in enumerate(away)]
        chosen = values[-1]
        for value, end in zip(values[-2::-1], knots[-2:0:-1].tolist(), strict=True):
            chosen = nw.when(nw.col(x) < end).then(value).otherwise(chosen)
        columns[f"{name}{j}"] = chosen
    return [columns], list(columns)


def _horner(d: nw.Expr, coefficients: np.ndarray) -> nw.Expr:
    """Evaluate a polynomial, the highest power first."""
    first, *rest = coefficients.tolist()
    value = d * 0.0 + first  # a column, and no literal that engines may give another length
    for c in rest:
        value = value * d + c
    return value
