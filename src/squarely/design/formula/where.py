"""The language of `where=`: comparisons of columns, joined by and, or and not. A comparison with a gap is not true, as in SQL."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import numpy as np

from squarely.data import Batch, NumericColumn, Source, exact_number, require_columns
from squarely.design.formula.expression import (
    FUNCTIONS,
    Arithmetic,
    Expression,
    Function,
    Name,
    Number,
    Standardize,
    column_names,
    evaluate,
    subexpressions,
)
from squarely.design.formula.expression_parser import parse_numeric
from squarely.design.formula.python_syntax import PythonFragment, is_list_of_labels, list_items, parse_constant, parse_fragment
from squarely.design.formula.source_text import caret_line, read_source
from squarely.errors import DataError, FormulaError
from squarely.numerics import EXACT_INTEGERS

_OPERATORS: Mapping[type, tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
}
_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}
_LARGEST_POWER, _MOST_PLACES = 100, 400
_EXAMPLE = "Write it like where=\"weight > 3000 and origin == 'usa'\"."
_MAX_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two expressions and a comparison."""

    sign: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class IsIn:
    """A column that is, or is not, one of some values."""

    name: Name
    values: tuple[Any, ...]
    is_negated: bool


@dataclass(frozen=True, slots=True)
class BooleanColumn:
    """A column of truth values, taken as it is."""

    name: Name


@dataclass(frozen=True, slots=True)
class BooleanOperation:
    """Conditions joined by "and", "or" or "not" (of one)."""

    word: str
    conditions: tuple[Condition, ...]


Condition = Comparison | IsIn | BooleanColumn | BooleanOperation


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A condition on rows, with the columns that it needs as numbers and as labels."""

    text: str
    condition: Condition
    numbers: tuple[str, ...]
    labels: tuple[str, ...]


def parse_where(text: str) -> Where:
    """Read a condition on rows.

    Raises
    ------
    FormulaError : it cannot be read; the message points at the place.

    >>> where = parse_where("weight > 3000 & origin != 'usa'")
    >>> where.numbers, where.labels
    (('weight',), ('origin',))
    """
    if not isinstance(text, str):
        raise FormulaError(f"where={text!r} is of type {type(text).__name__}, not text. {_EXAMPLE}")
    if not text.strip() or len(text) > _MAX_CHARACTERS:
        raise FormulaError(f"where= has {len(text):,} characters: it must say something, and briefly. {_EXAMPLE}")
    read = read_source(text)
    piece, node = parse_fragment(read, 0, len(text), words=True)
    try:
        condition = _parse_condition(piece, node)
    except RecursionError:
        raise FormulaError(f"where= is nested too deeply. {_EXAMPLE}") from None
    numbers, labels = _columns(condition)
    return Where(text=text, condition=condition, numbers=tuple(dict.fromkeys(numbers)), labels=tuple(dict.fromkeys(labels)))


def bind_where(where: Where, source: Source) -> Where:
    """Check a condition against a source, and let it read what a comparison needs there besides doubles.

    That is the text of a file that has no types: it may hold whole numbers that doubles do not.

    Raises
    ------
    DataError : a column is not there, or is text and compared with numbers; the message points into the condition.
    """
    _require_where(where, source)
    exact = () if source.typed else columns_compared_exactly(where.condition)
    return replace(where, labels=tuple(dict.fromkeys((*where.labels, *exact))))


def columns_compared_exactly(condition: Condition) -> list[str]:
    """Give the columns whose comparison may hang on digits that doubles do not hold.

    Rounding keeps order, so a comparison with one number below 2**53 never does.
    """
    if isinstance(condition, BooleanOperation):
        return [name for part in condition.conditions for name in columns_compared_exactly(part)]
    if not isinstance(condition, Comparison):
        return []
    sides = condition.left, condition.right
    small = any(isinstance(side, Number) and abs(side.value) < EXACT_INTEGERS for side in sides)
    if small and any(isinstance(side, Name) for side in sides):
        return []
    return [name.name for side in sides for name in column_names(side)]


def _require_where(where: Where, source: Source) -> None:
    found = _required_kinds(where.condition)
    for name, _ in found:
        try:
            require_columns(source, [name.name])
        except DataError as error:
            hint = "" if name.name in source.columns else " A text to compare with goes in quotes."
            raise DataError(f"{error}{hint}{caret_line(where.text, name.span)}") from None
    for name, wanted in found:
        try:
            _require_kind(name.name, source, wanted)
        except DataError as error:
            raise DataError(f"{error}{caret_line(where.text, name.span)}") from None


def _require_kind(name: str, source: Source, wanted: str) -> None:
    kind = source.kind(name)
    if wanted == "number" and kind == "text":
        raise DataError(
            f"Column {name!r} holds text, and this compares numbers. Put a value in quotes, as in == 'a'. Two columns of text are "
            "not compared."
        )
    if wanted == "text" and kind in ("number", "boolean"):
        raise DataError(f"Column {name!r} holds no text and is compared with some. Leave the quotes out, as in == 1.")
    if wanted == "boolean" and kind not in ("boolean", "null"):
        raise DataError(f"Column {name!r} is taken for true or false, and holds others. Compare it with what it holds.")


def _required_kinds(condition: Condition) -> list[tuple[Name, str]]:
    """Give the columns in a condition, each with the kind that it must have: "number", "text", "boolean" or "any"."""
    if isinstance(condition, Comparison):
        return [(name, "number") for name in (*column_names(condition.left), *column_names(condition.right))]
    if isinstance(condition, IsIn):
        kinds = {type(value) for value in condition.values}
        return [(condition.name, "text" if str in kinds else "boolean" if bool in kinds else "any")]
    if isinstance(condition, BooleanColumn):
        return [(condition.name, "boolean")]
    return [pair for part in condition.conditions for pair in _required_kinds(part)]


def mask_of(where: Where, batch: Batch) -> np.ndarray:
    """Tell which rows of a batch (m,) meet the condition."""
    return _evaluate_condition(where.condition, batch)[0]


def _parse_condition(piece: PythonFragment, node: ast.expr) -> Condition:
    _require_one(piece, node)
    if isinstance(node, ast.BoolOp):
        return BooleanOperation(
            "and" if isinstance(node.op, ast.And) else "or", tuple(_parse_condition(piece, part) for part in node.values)
        )
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return BooleanOperation("not", (_parse_condition(piece, node.operand),))
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        pairs = [_parse_comparison(piece, op, a, b) for op, a, b in zip(node.ops, sides, sides[1:], strict=False)]
        return pairs[0] if len(pairs) == 1 else BooleanOperation("and", tuple(pairs))
    expression = _parse_arithmetic(piece, node)
    if isinstance(expression, Name):
        return BooleanColumn(expression)
    raise piece.formula_error(f"This is not a condition. {_EXAMPLE}", node)


def _require_one(piece: PythonFragment, node: ast.expr) -> None:
    if isinstance(node, ast.Tuple):
        raise piece.formula_error("Conditions are joined by and, or by or, and not by a comma.", node)


def _parse_comparison(piece: PythonFragment, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Condition:
    if isinstance(op, ast.In | ast.NotIn):
        values = parse_constant(piece, right)
        values = values if isinstance(values, tuple) else (values,)
        if not is_list_of_labels(values) or len({isinstance(value, str) for value in values}) > 1:
            raise piece.formula_error("A list in a condition has texts, or numbers, and nothing else.", right)
        written = [_parse_exact_constant(piece, item) for item in list_items(piece, right) or [right]]
        return IsIn(_parse_column(piece, left), tuple(written), isinstance(op, ast.NotIn))
    if type(op) not in _OPERATORS:
        raise piece.formula_error(f"This comparison is not known. {_EXAMPLE}", right)
    sign = _OPERATORS[type(op)][0]
    for side, other in ((left, right), (right, left)):
        if _is_label(piece, other):
            if sign not in ("==", "!="):
                raise piece.formula_error(
                    "Text and truth values have no order here: compare them by == or !=, or by in [...].", other
                )
            return IsIn(_parse_column(piece, side), (parse_constant(piece, other),), sign == "!=")
    compared = Comparison(sign, _parse_arithmetic(piece, left), _parse_arithmetic(piece, right))
    if not column_names(compared.left) and not column_names(compared.right):
        raise piece.formula_error("Two numbers are compared, which is the same in every row. Name a column.", right)
    return compared


def _parse_exact_constant(piece: PythonFragment, node: ast.expr) -> Any:
    """Read a constant; a number with more digits than a double has stays a decimal."""
    value = parse_constant(piece, node)
    if not isinstance(value, float):
        return value
    number = parse_numeric(piece, node)
    written = number.decimal if isinstance(number, Number) else None
    return value if written is None or written == Decimal(repr(value)) else written


def _parse_arithmetic(piece: PythonFragment, node: ast.expr) -> Expression:
    """Read arithmetic; `center` and `scale` would have to be learnt from the rows that the condition chooses."""
    expression = parse_numeric(piece, node)
    if any(isinstance(part, Standardize) for part in subexpressions(expression)):
        raise piece.formula_error(
            "center and scale are learnt from the rows that a condition chooses, so it cannot use them.", node
        )
    return expression


def _is_label(piece: PythonFragment, node: ast.expr) -> bool:
    word = piece.text(node)
    return not piece.source_text.quotes.get(word, "`").startswith("`") or word in ("True", "False", "TRUE", "FALSE")


def _parse_column(piece: PythonFragment, node: ast.expr) -> Name:
    expression = parse_numeric(piece, node)
    if not isinstance(expression, Name):
        raise piece.formula_error("Text, truth values and lists are compared with one column, and this is not one.", node)
    return expression


def _columns(condition: Condition) -> tuple[list[str], list[str]]:
    """Give the columns that a condition needs: as numbers, and as labels."""
    if isinstance(condition, Comparison):
        return [name.name for side in (condition.left, condition.right) for name in column_names(side)], []
    if isinstance(condition, IsIn | BooleanColumn):
        return [], [condition.name.name]
    parts = [_columns(part) for part in condition.conditions]
    return [name for numbers, _ in parts for name in numbers], [name for _, labels in parts for name in labels]


def _evaluate_condition(condition: Condition, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Tell in which rows the condition is true, and in which it is false; a gap makes it neither."""
    if isinstance(condition, BooleanOperation):
        parts = [_evaluate_condition(part, batch) for part in condition.conditions]
        if condition.word == "not":
            return parts[0][1], parts[0][0]
        true, false = [p[0] for p in parts], [p[1] for p in parts]
        if condition.word == "and":
            return np.logical_and.reduce(true), np.logical_or.reduce(false)
        return np.logical_or.reduce(true), np.logical_and.reduce(false)
    if isinstance(condition, Comparison):
        return _evaluate_comparison(condition, batch)
    labels = batch.labels[condition.name.name]
    wanted = (True,) if isinstance(condition, BooleanColumn) else condition.values
    negated = isinstance(condition, IsIn) and condition.is_negated
    if labels.narrow_type is not None:
        wanted = tuple(
            shortest_in_type(value, labels.narrow_type) if isinstance(value, float | Decimal) else value for value in wanted
        )
    is_wanted = np.array([*(_is_one_of(condition.name, value, wanted) for value in labels.values), False])[labels.codes]
    known = labels.codes >= 0
    return (is_wanted != negated) & known, (is_wanted == negated) & known


def shortest_in_type(value: float | Decimal, narrow: np.dtype) -> float:
    """Give the shortest number whose nearest value of a narrow type is the nearest one to `value` too."""
    with np.errstate(over="ignore"):
        return float(str(narrow.type(float(value))))


def _evaluate_comparison(condition: Comparison, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Compare in doubles, or in the type of narrow floats, and once more exactly where doubles cannot tell."""
    compare = next(compare for sign, compare in _OPERATORS.values() if sign == condition.sign)
    sides = condition.left, condition.right
    columns = {name.name: batch.numbers[name.name] for side in sides for name in column_names(side)}
    value = _evaluate_narrow if any(column.narrow_type is not None for column in columns.values()) else _evaluate_rounded
    with np.errstate(all="ignore"):
        left, right = (value(side, columns) for side in sides)
        holds, same = (np.array(np.broadcast_to(outcome, batch.size)) for outcome in (compare(left, right), left == right))
    known = np.ones(batch.size, dtype=bool)
    for side, values in zip(sides, (left, right), strict=True):
        if column_names(side):
            known &= np.isfinite(values)
    plain = all(isinstance(side, Name | Number) for side in sides)
    doubtful = known & same if plain else known.copy()  # rounding keeps order: only what it makes equal is in doubt
    if doubtful.any():
        doubtful &= _inexact_rows(columns, batch, plain=plain)
    rows = np.flatnonzero(doubtful)
    if len(rows):
        stored = {name: _stored_values(name, batch, rows) for name in columns}
        for i, row in enumerate(rows.tolist()):
            exact = [_evaluate_exactly(side, {name: values[i] for name, values in stored.items()}) for side in sides]
            if exact[0] is not None and exact[1] is not None:
                holds[row] = compare(*(exact if plain else map(Fraction, exact)))
    return holds & known, ~holds & known


def _inexact_rows(columns: Mapping[str, NumericColumn], batch: Batch, *, plain: bool) -> np.ndarray:
    """Tell in which rows (m,) a double may differ from what is stored; arithmetic takes decimals for doubles."""
    inexact = np.zeros(batch.size, dtype=bool)
    for name, column in columns.items():
        if plain and column.is_decimal:
            inexact[:] = True
        elif column.stored_column is not None or _is_text(name, batch):
            inexact |= np.abs(column.values) >= EXACT_INTEGERS
    return inexact


def _is_text(name: str, batch: Batch) -> bool:
    """Tell whether a column of numbers is there as text too."""
    labels = batch.labels.get(name)
    return labels is not None and any(isinstance(value, str) for value in labels.values)


def _stored_values(name: str, batch: Batch, rows: np.ndarray) -> list[Any]:
    """Give the values of a column in some rows with all the digits that are stored."""
    values = batch.numbers[name].stored_values(rows)
    if not _is_text(name, batch):
        return values
    labels = batch.labels[name]
    texts = [labels.values[code] for code in labels.codes[rows].tolist()]
    return [_parse_digits(text, x) for text, x in zip(texts, values, strict=True)]


def _parse_digits(text: str, x: float) -> Decimal | float:
    """Read every digit of a text whose nearest double is x."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:  # a decimal comma
        return x
    return value if abs(value.adjusted()) <= _MOST_PLACES else x


def _evaluate_exactly(expression: Expression, values: Mapping[str, Any]) -> Any:
    """Evaluate on one row without rounding; None where that cannot be: a function, a fraction of a power, a division by zero."""
    if isinstance(expression, Name):
        return values[expression.name]
    if isinstance(expression, Number):
        return expression.value if expression.decimal is None else expression.decimal
    if not isinstance(expression, Arithmetic):
        return None
    left, right = (_evaluate_exactly(side, values) for side in (expression.left, expression.right))
    if left is None or right is None or (expression.operator == "/" and not right):
        return None
    if expression.operator == "**" and not (right == int(right) and 0 <= right <= _LARGEST_POWER):
        return None
    left, right = Fraction(left), int(right) if expression.operator == "**" else Fraction(right)
    return _ARITHMETIC[expression.operator](left, right)


def _evaluate_rounded(expression: Expression, columns: Mapping[str, NumericColumn]) -> Any:
    """Evaluate in double-double, and round once: an array (m,), or a number where no column takes part."""
    if isinstance(expression, Number):
        return expression.value
    hi, lo = evaluate(expression, {name: column.values for name, column in columns.items()}, {})
    return hi + lo


def _evaluate_narrow(expression: Expression, columns: Mapping[str, NumericColumn]) -> Any:
    """Evaluate as NumPy does, in the types of the columns: a number that is written takes the type of what it meets."""
    if not column_names(expression):
        return float(_evaluate_rounded(expression, columns))
    if isinstance(expression, Name):
        column = columns[expression.name]
        return column.values if column.narrow_type is None else column.values.astype(column.narrow_type)
    if isinstance(expression, Function):
        return FUNCTIONS[expression.function][0](_evaluate_narrow(expression.argument, columns))
    if isinstance(expression, Arithmetic):
        return _ARITHMETIC[expression.operator](
            _evaluate_narrow(expression.left, columns), _evaluate_narrow(expression.right, columns)
        )
    raise TypeError(f"{expression} is learnt")  # `_parse_arithmetic` refuses it


def _is_one_of(name: Name, value: Any, wanted: tuple[Any, ...]) -> bool:
    """Tell whether a value of a column is one of those wanted; text in a file that reads as a number is one."""
    numeric_wanted = any(not isinstance(w, str) for w in wanted)
    if isinstance(value, str) and numeric_wanted:
        read = exact_number(value)
        if isinstance(read, str):
            other = next(w for w in wanted if not isinstance(w, str))
            raise DataError(
                f"where= compares {name.name!r} with {other!r}, but it holds text such as {value!r}. Compare it with a text in "
                f"quotes, as in == {value!r}."
            )
        value = read
    if not isinstance(value, str) and not numeric_wanted:
        raise DataError(f"where= compares {name.name!r} with the text {wanted[0]!r}, but it holds {value!r}. Leave the quotes out.")
    return value in (tuple(map(_as_float, wanted)) if isinstance(value, float) else wanted)


def _as_float(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
