"""Expressions, conditions and bases of a design in the words of an engine: narwhals expressions of numbered columns.

What these give in plain doubles is what `expression`, `condition_to_narwhals` and `basis` give for rows that are at hand.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from squarely.data import ColumnInfo, Query, Source
from squarely.design.encoding.basis import Polynomial, Spline
from squarely.design.formula.expression import (
    Arithmetic,
    Expression,
    Function,
    MeanAndDeviation,
    Name,
    Number,
    Standardize,
    column_names,
    evaluate,
    is_product,
)
from squarely.design.formula.where import (
    BooleanColumn,
    BooleanOperation,
    Comparison,
    Condition,
    IsIn,
    columns_compared_exactly,
    shortest_in_type,
)
from squarely.errors import DataError
from squarely.numerics import EXACT_INTEGERS

if TYPE_CHECKING:
    from squarely.data import Stage

_OPERATORS: Mapping[str, Callable[[nw.Expr, nw.Expr], nw.Expr]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
}  # fmt: skip
_COMPARISONS: Mapping[str, Callable[[nw.Expr, Any], nw.Expr]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_REVERSED_COMPARISONS = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def to_narwhals(expression: Expression, numbers: Mapping[str, nw.Expr], moves: Mapping[str, MeanAndDeviation]) -> nw.Expr:
    """Say an expression to an engine; `numbers` has a column of doubles for each name."""
    if isinstance(expression, Name):
        return numbers[expression.name]
    if isinstance(expression, Number):
        return nw.lit(expression.value)
    if isinstance(expression, Function):
        return _FUNCTIONS[expression.function](to_narwhals(expression.argument, numbers, moves))
    if isinstance(expression, Standardize):
        learnt = moves[expression.text]
        centred = to_narwhals(expression.argument, numbers, moves) - learnt.mean - learnt.rest
        unit = learnt.deviation if expression.is_scaled else 1.0
        return centred / unit if learnt.deviation else centred * 0.0
    left, right = expression.left, expression.right
    if expression.operator == "**" and isinstance(right, Number) and is_product(right.value):
        return _power(to_narwhals(left, numbers, moves), int(right.value))
    return _OPERATORS[expression.operator](to_narwhals(left, numbers, moves), to_narwhals(right, numbers, moves))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionColumns:
    """The columns that a condition names, as an engine has them.

    Attributes
    ----------
    numbers : name -> the column as doubles. `labels` name -> the labels, and where there is one.
    column_info : name -> what the column holds.
    is_finite : how the engine is asked whether a number is finite.
    """

    numbers: Mapping[str, nw.Expr]
    labels: Mapping[str, tuple[nw.Expr, nw.Expr]]
    column_info: Mapping[str, ColumnInfo]
    is_finite: Callable[[nw.Expr], nw.Expr]


def condition_to_narwhals(where: Condition, told: ConditionColumns) -> tuple[nw.Expr, nw.Expr]:
    """Say where a condition is true, and where it is false; a gap makes it neither."""
    if isinstance(where, BooleanOperation):
        parts = [condition_to_narwhals(part, told) for part in where.conditions]
        if where.word == "not":
            return parts[0][1], parts[0][0]
        true, false = [p[0] for p in parts], [p[1] for p in parts]
        joined = (nw.all_horizontal(*true, ignore_nulls=False), nw.any_horizontal(*false, ignore_nulls=False))
        if where.word == "and":
            return joined
        return nw.any_horizontal(*true, ignore_nulls=False), nw.all_horizontal(*false, ignore_nulls=False)
    if isinstance(where, Comparison):
        return _comparison_to_narwhals(where, told)
    label, known = told.labels[where.name.name]
    held = told.column_info[where.name.name]
    wanted = _comparable_values(where, held)
    if held.kind == "boolean":  # Postgres casts no truth value to a double
        label = nw.when(label).then(nw.lit(1.0)).when(~label).then(nw.lit(0.0))
    same = [label == value for value in wanted]
    found = nw.any_horizontal(*same, ignore_nulls=False).fill_null(value=False)
    negated = isinstance(where, IsIn) and where.is_negated
    return (~found & known, found & known) if negated else (found & known, ~found & known)


def _comparison_to_narwhals(where: Comparison, told: ConditionColumns) -> tuple[nw.Expr, nw.Expr]:
    """Compare in doubles, or in single precision where that is what the columns have; wide integers once more as integers."""
    sides = where.left, where.right
    used = {name.name for side in sides for name in column_names(side)}
    narrow = _narrow_type(used, told)
    left, right = (_narrow_to_narwhals(side, told, narrow) for side in sides)
    known = nw.all_horizontal(
        *(told.is_finite(x).fill_null(value=False) for x, side in ((left, sides[0]), (right, sides[1])) if column_names(side)),
        ignore_nulls=False,
    )
    holds = _COMPARISONS[where.sign](left, right)
    plain = all(isinstance(side, Name | Number) for side in sides)  # of arithmetic, `require_doubles` has seen to it
    if plain and {name for name in columns_compared_exactly(where) if told.column_info[name].is_wide} & used:
        holds = nw.when(left == right).then(_exact_comparison(where, told)).otherwise(holds)  # rounding keeps order
    holds = holds.fill_null(value=False)
    return holds & known, ~holds & known


def _narrow_type(names: Collection[str], told: ConditionColumns) -> str | None:
    """Give the type in which NumPy would compute if it has fewer digits than doubles, because all columns have."""
    types = {told.column_info[name].narrow_type for name in names}
    return None if None in types or not types else "float32" if "float32" in types else "float16"


def _narrow_to_narwhals(expression: Expression, told: ConditionColumns, narrow: str | None) -> nw.Expr:
    """Say an expression in doubles; each step of it is rounded to a narrow type, if there is one."""
    if narrow is None or isinstance(expression, Name):
        return to_narwhals(expression, told.numbers, {})
    if not column_names(expression):
        hi, lo = evaluate(expression, {}, {})
        with np.errstate(over="ignore"):
            return nw.lit(float(np.dtype(narrow).type(hi + lo)))
    if isinstance(expression, Function):
        x = _FUNCTIONS[expression.function](_narrow_to_narwhals(expression.argument, told, narrow))
    elif isinstance(expression, Arithmetic):
        x = _OPERATORS[expression.operator](
            _narrow_to_narwhals(expression.left, told, narrow), _narrow_to_narwhals(expression.right, told, narrow)
        )
    else:
        raise TypeError(f"{expression} is learnt")  # which no condition is
    return x.cast(nw.Float32 if narrow == "float32" else nw.Float16).cast(nw.Float64)


def _exact_comparison(where: Comparison, told: ConditionColumns) -> nw.Expr:
    """Compare two columns, or a column and a number, as whole numbers."""
    left, right, sign = where.left, where.right, where.sign
    if isinstance(left, Number):
        left, right, sign = right, left, _REVERSED_COMPARISONS.get(sign, sign)
    columns = [side.name for side in (left, right) if isinstance(side, Name)]
    value = 0
    if isinstance(right, Number):
        exact = Fraction(right.value if right.decimal is None else right.decimal)
        value = math.floor(exact)
        if value != exact:  # x < 2.5 is x <= 2, and x == 2.5 never holds
            if sign in ("==", "!="):
                return nw.lit(sign == "!=")
            sign = "<=" if sign in ("<", "<=") else ">"
    fits = all(told.column_info[name].is_signed for name in columns) and abs(value) < 2**63
    whole = nw.Int64 if fits else nw.Int128
    said = [(told.labels[name][0] if told.column_info[name].is_wide else told.numbers[name]).cast(whole) for name in columns]
    return _COMPARISONS[sign](said[0], said[1] if len(said) > 1 else value)


def require_doubles(where: Condition, source: Source) -> int:
    """Raise a DataError if a condition hangs on digits that doubles do not hold, and an engine would round; give the scans.

    That is arithmetic with whole numbers of 2**53 and more, and decimals of as many digits: the rows chosen would be others.
    """
    if isinstance(where, BooleanOperation):
        return sum(require_doubles(part, source) for part in where.conditions)
    if isinstance(where, Comparison):
        used = dict.fromkeys(name.name for side in (where.left, where.right) for name in column_names(side))
        plain = all(isinstance(side, Name | Number) for side in (where.left, where.right))
        computed = () if plain else [name for name in columns_compared_exactly(where) if source.column_info(name).is_wide]
    else:
        used, computed = dict.fromkeys((where.name.name,)), ()
    return require_digits(
        [name for name in used if name in computed or source.column_info(name).decimal_places is not None], source, "where="
    )


def require_digits(names: Collection[str], source: Source, who: str) -> int:
    """Raise a DataError if doubles do not hold the whole numbers and decimals of some columns; give the scans that it takes."""
    if not names:
        return 0
    row = source.aggregate(Query(numbers=tuple(names)), {f"m{i}": nw.col(f"v{i}").abs().max() for i in range(len(names))})[0]
    for i, name in enumerate(names):
        if row[f"m{i}"] is not None and row[f"m{i}"] * 10.0 ** (source.column_info(name).decimal_places or 0) >= EXACT_INTEGERS:
            raise DataError(
                f"{who} needs more digits of {name!r} than doubles have, and {source.require_engine().name} would round them. "
                f"{source.alternative}."
            )
    return 1


def _comparable_values(where: IsIn | BooleanColumn, held: ColumnInfo) -> tuple[str | float, ...]:
    values = (True,) if isinstance(where, BooleanColumn) else where.values
    if held.kind == "text" and not all(isinstance(value, str) for value in values):
        raise DataError(
            f"where= compares {where.name.name!r}, which holds text, with {values[0]!r}. Compare it with a text in quotes, as in "
            f"== '{values[0]}'."
        )
    if held.narrow_type:
        narrow = np.dtype(held.narrow_type)
        return tuple(shortest_in_type(value, narrow) if isinstance(value, float | Decimal) else value for value in values)
    return tuple(float(value) if held.kind == "boolean" or isinstance(value, Decimal) else value for value in values)


def polynomial_stages(x: str, name: str, basis: Polynomial) -> tuple[list[Stage], list[str]]:
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


def spline_stages(x: str, name: str, basis: Spline) -> tuple[list[Stage], list[str]]:
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
