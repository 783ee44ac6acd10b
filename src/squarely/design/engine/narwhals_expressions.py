"""Expressions, conditions and bases of a design as narwhals expressions of numbered columns.

They compute in plain doubles what `expression`, `where_mask` and `basis` compute from rows of this process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import partial, reduce

import narwhals as nw
import numpy as np

from squarely.data import ColumnInfo, Query, Source
from squarely.design.encoding.basis import Polynomial, Spline
from squarely.design.formula.expression import (
    ARITHMETIC,
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
    COMPARISONS,
    Comparison,
    Condition,
    IsIn,
    Outcome,
    columns_compared_exactly,
    comparisons_in,
    evaluate_condition,
)
from squarely.design.formula.where_mask import values_in_type
from squarely.errors import DataError
from squarely.numerics import EXACT_INTEGERS

_Stages = list[Mapping[str, nw.Expr]]
_MIRROR = str.maketrans("<>", "><")  # of the sign of a comparison whose sides change places


def to_narwhals(
    expression: Expression,
    numbers: Mapping[str, str],
    standardizations: Mapping[str, MeanAndDeviation],
    *,
    narrow: str | None = None,
) -> nw.Expr:
    """Translate an expression; `numbers` has the alias of a column of doubles for each name.

    With a `narrow` type each step is rounded to it, as NumPy computes with columns of that type.
    """
    translate = partial(to_narwhals, numbers=numbers, standardizations=standardizations, narrow=narrow)
    x: nw.Expr
    if isinstance(expression, Name):
        return nw.col(numbers[expression.name])
    if narrow and not column_names(expression):
        hi, lo = evaluate(expression, {}, {})
        with np.errstate(over="ignore"):
            return nw.lit(float(np.dtype(narrow).type(hi + lo)))
    if isinstance(expression, Number):
        return nw.lit(expression.value)
    if isinstance(expression, Function):
        x = _FUNCTIONS[expression.function](translate(expression.argument))
    elif isinstance(expression, Standardize):
        learned = standardizations[expression.text]
        centered = translate(expression.argument) - learned.mean - learned.rest
        unit = learned.deviation if expression.is_scaled else 1.0
        x = centered / unit if learned.deviation else centered * 0.0
    elif expression.operator == "**" and isinstance(expression.right, Number) and is_product(expression.right.value):
        x = _power(translate(expression.left), int(expression.right.value))
    else:
        x = ARITHMETIC[expression.operator][0](translate(expression.left), translate(expression.right))
    return x.cast(nw.Float32 if narrow == "float32" else nw.Float16).cast(nw.Float64) if narrow else x


def _power(x: nw.Expr, n: int) -> nw.Expr:
    if n < 0:
        return nw.lit(1.0) / _power(x, -n)
    return x * x if n == 2 else x ** float(n)


def _log1p(x: nw.Expr) -> nw.Expr:
    """Compute log(1 + x): with u = fl(1 + x) the error of log(u) x / (u - 1) is a few roundings (Higham 2002, section 1.14.1)."""
    u = x + 1.0
    return nw.when(u == 1.0).then(x).when(u == float("inf")).then(u).otherwise(u.log() * x / (u - 1.0))


def _expm1(x: nw.Expr) -> nw.Expr:
    """Compute exp(x) - 1: with u = fl(exp(x)) the error of (u - 1) x / log(u) is a few roundings (Higham 2002, section 1.14.1)."""
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


def is_finite(source: Source, x: nw.Expr) -> nw.Expr:
    """Return whether a column holds a number that is neither NaN nor infinite."""
    return source.require_engine().is_finite(x).fill_null(value=False)


def condition_to_narwhals(condition: Condition, query: Query, source: Source) -> nw.Expr:
    """Translate a condition on the rows of a query, which has its columns, to whether it is true."""
    all_of, any_of = (partial(each, ignore_nulls=False) for each in (nw.all_horizontal, nw.any_horizontal))
    true: nw.Expr = evaluate_condition(condition, partial(_leaf_to_narwhals, query=query, source=source), all_of, any_of)[0]
    return true


def _leaf_to_narwhals(condition: Comparison | IsIn, query: Query, source: Source) -> Outcome:
    if isinstance(condition, Comparison):
        return _comparison_to_narwhals(condition, query, source)
    i = query.labels.index(condition.name.name)
    label, has_value, info = nw.col(f"l{i}"), nw.col(f"g{i}"), source.column_info(condition.name.name)
    values = _comparable_values(condition, info)
    if info.kind == "boolean":  # Postgres casts no boolean to a double
        label = nw.when(label).then(nw.lit(1.0)).when(~label).then(nw.lit(0.0))
    elif info.kind == "time":
        label = label.cast(nw.String)
    found = nw.any_horizontal(*(label == value for value in values), ignore_nulls=False).fill_null(value=False)
    return ~found if condition.is_negated else found, has_value


def _comparison_to_narwhals(condition: Comparison, query: Query, source: Source) -> Outcome:
    """Compare in doubles, or in narrow floats if all columns are; wide integers once more as integers."""
    columns = {name: source.column_info(name) for name in condition.columns}
    types = {info.narrow_type for info in columns.values()}  # NumPy computes in the widest of them
    narrow = None if None in types else "float32" if "float32" in types else "float16"
    aliases = {name: f"v{query.numbers.index(name)}" for name in columns}
    left, right = (to_narwhals(side, aliases, {}, narrow=narrow) for side in condition.sides)
    are_finite = [is_finite(source, x) for x, side in zip((left, right), condition.sides, strict=True) if column_names(side)]
    has_value = nw.all_horizontal(*are_finite, ignore_nulls=False)
    holds = COMPARISONS[condition.sign](left, right)
    if condition.is_plain and any(columns[name].is_wide for name in columns_compared_exactly(condition)):
        holds = nw.when(left == right).then(_exact_comparison(condition, query, columns)).otherwise(holds)  # rounding keeps order
    return holds.fill_null(value=False), has_value


def _exact_comparison(condition: Comparison, query: Query, columns: Mapping[str, ColumnInfo]) -> nw.Expr:
    """Compare two columns, or a column and a number, as whole numbers."""
    (left, right), sign = condition.sides, condition.sign
    if isinstance(left, Number):
        left, right, sign = right, left, sign.translate(_MIRROR)
    names = [side.name for side in (left, right) if isinstance(side, Name)]
    value = 0
    if isinstance(right, Number):
        exact = Fraction(right.value if right.decimal is None else right.decimal)
        value = math.floor(exact)
        if value != exact:  # x < 2.5 is x <= 2, and x == 2.5 never holds
            if sign in ("==", "!="):
                return nw.lit(sign == "!=")
            sign = "<=" if sign in ("<", "<=") else ">"
    integer = nw.Int64 if all(columns[name].is_signed for name in names) and abs(value) < 2**63 else nw.Int128
    aliases = [f"l{query.labels.index(n)}" if columns[n].is_wide else f"v{query.numbers.index(n)}" for n in names]
    x = [nw.col(alias).cast(integer) for alias in aliases]
    holds: nw.Expr = COMPARISONS[sign](x[0], x[1] if len(x) > 1 else value)
    return holds


def require_doubles(condition: Condition, source: Source) -> int:
    """Raise a DataError if a condition needs digits that doubles do not hold, and an engine would round; return the scans made.

    That is arithmetic with whole numbers of 2**53 and more, and decimals of as many digits: other rows would be chosen.
    """
    scans = 0
    for each in comparisons_in(condition):
        names = each.columns if isinstance(each, Comparison) else (each.name.name,)
        computed = () if isinstance(each, IsIn) or each.is_plain else columns_compared_exactly(each)
        columns = {name: source.column_info(name) for name in names}
        inexact = [name for name, c in columns.items() if c.decimal_places is not None or (c.is_wide and name in computed)]
        scans += require_digits(inexact, source, "where=")
    return scans


def require_digits(names: Collection[str], source: Source, who: str) -> int:
    """Raise a DataError if doubles do not hold the whole numbers and decimals of some columns; return the scans made."""
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


def _comparable_values(condition: IsIn, info: ColumnInfo) -> tuple[str | float, ...]:
    values = values_in_type(condition, np.dtype(info.narrow_type) if info.narrow_type else None)
    if info.kind in ("text", "time") and not all(isinstance(value, str) for value in values):
        raise DataError(
            f"where= compares {condition.name.name!r}, which holds text, with {values[0]!r}. Compare it with a text in quotes, as "
            f"in == '{values[0]}'."
        )
    return tuple(float(value) if info.kind == "boolean" or isinstance(value, Decimal) else value for value in values)


def polynomial_stages(x: str, name: str, basis: Polynomial) -> tuple[_Stages, list[str]]:
    """Return the stages that make orthogonal polynomials of a column x, called name0, name1, ..., and these names."""
    degree = len(basis.weights) - 1
    stages, chebyshev = chebyshev_stages(x, f"{name}t", basis.low, basis.high, degree)
    weights = basis.weights.tolist()
    columns = {}
    for j in range(degree):
        terms = [nw.col(chebyshev[m]) * weights[m + 1][j] for m in range(degree) if weights[m + 1][j]]
        columns[f"{name}{j}"] = sum(terms[1:], terms[0]) + weights[0][j]
    return [*stages, columns], list(columns)


def chebyshev_stages(x: str, name: str, low: float, high: float, degree: int) -> tuple[_Stages, list[str]]:
    """Return the stages of the Chebyshev polynomials 1 to `degree` of x mapped onto [-1, 1], by their recurrence."""
    middle, half = low + (high - low) / 2, (high - low) / 2
    stages: _Stages = [{f"{name}1": (nw.col(x) - middle) / half}]
    for m in range(2, degree + 1):
        before = nw.col(f"{name}{m - 2}") if m > 2 else nw.lit(1.0)
        stages.append({f"{name}{m}": nw.col(f"{name}1") * nw.col(f"{name}{m - 1}") * 2.0 - before})
    return stages, [f"{name}{m}" for m in range(1, degree + 1)]


def spline_stages(x: str, name: str, basis: Spline) -> tuple[_Stages, list[str]]:
    """Return the stage that makes the columns of a spline of x within its boundary, each a polynomial from knot to knot."""
    knots, pieces = basis.pieces()
    distances = [nw.col(x) - knot for knot in knots[:-1].tolist()]
    columns = {}
    for j in range(pieces.shape[2]):
        values = [_horner(d, pieces[:, i, j]) for i, d in enumerate(distances)]
        column = values[-1]
        for value, end in zip(values[-2::-1], knots[-2:0:-1].tolist(), strict=True):
            column = nw.when(nw.col(x) < end).then(value).otherwise(column)
        columns[f"{name}{j}"] = column
    return [columns], list(columns)


def _horner(d: nw.Expr, coefficients: np.ndarray) -> nw.Expr:
    """Evaluate a polynomial, the highest power first."""
    first, *others = coefficients.tolist()
    # d * 0.0 makes a column: engines may give a literal another length
    return reduce(lambda value, c: value * d + c, others, d * 0.0 + first)
