"""The language of `where=`: comparisons of columns, joined by and, or and not. A comparison with a gap is not true, as in SQL."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from squarely.data import Batch, Source, require_columns
from squarely.design.categories import as_number
from squarely.design.expression import Expression, Moved, Name, Number, evaluate, names, parts
from squarely.design.language import numeric
from squarely.design.piece import Piece, constant, is_list_of_labels, read_piece
from squarely.design.reading import pointer, reading
from squarely.errors import DataError, FormulaError

_OPERATORS: Mapping[type, tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
}
_EXAMPLE = "Write it like where=\"weight > 3000 and origin == 'usa'\"."
_LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class Compared:
    """Two expressions and a comparison."""

    sign: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class OneOf:
    """A column that is, or is not, one of some values."""

    name: Name
    values: tuple[Any, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """A column of truth values, taken as it is."""

    name: Name


@dataclass(frozen=True, slots=True)
class Joined:
    """Conditions joined by "and", "or" or "not" (of one)."""

    word: str
    conditions: tuple[Condition, ...]


Condition = Compared | OneOf | Truth | Joined


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
    if not text.strip() or len(text) > _LONGEST:
        raise FormulaError(f"where= has {len(text):,} characters: it must say something, and briefly. {_EXAMPLE}")
    read = reading(text)
    piece, node = read_piece(read, 0, len(text), words=True)
    try:
        condition = _condition(piece, node)
    except RecursionError:
        raise FormulaError(f"where= is nested too deeply. {_EXAMPLE}") from None
    numbers, labels = _columns(condition)
    return Where(text=text, condition=condition, numbers=tuple(dict.fromkeys(numbers)), labels=tuple(dict.fromkeys(labels)))


def require_where(where: Where, source: Source) -> None:
    """Raise a DataError that points into the condition when a column is not there, or is text and compared with numbers."""
    found = _names(where.condition)
    for name, _ in found:
        try:
            require_columns(source, [name.name])
        except DataError as error:
            hint = "" if name.name in source.columns else " A text to compare with goes in quotes."
            raise DataError(f"{error}{hint}{pointer(where.text, name.at)}") from None
    for name, wanted in found:
        try:
            _require_kind(name.name, source, wanted)
        except DataError as error:
            raise DataError(f"{error}{pointer(where.text, name.at)}") from None


def _require_kind(name: str, source: Source, wanted: str) -> None:
    kind = source.kind(name)
    if wanted == "number" and kind == "text":
        raise DataError(f"Column {name!r} holds text and is compared with a number. Put the value in quotes, as in == 'a'.")
    if wanted == "text" and kind in ("number", "boolean"):
        raise DataError(f"Column {name!r} holds no text and is compared with some. Leave the quotes out, as in == 1.")
    if wanted == "boolean" and kind not in ("boolean", "null"):
        raise DataError(f"Column {name!r} is taken for true or false, and holds others. Compare it with what it holds.")


def _names(condition: Condition) -> list[tuple[Name, str]]:
    """Give the columns in a condition, each with the kind that it must have: "number", "text", "boolean" or "any"."""
    if isinstance(condition, Compared):
        return [(name, "number") for name in (*names(condition.left), *names(condition.right))]
    if isinstance(condition, OneOf):
        kinds = {type(value) for value in condition.values}
        return [(condition.name, "text" if str in kinds else "boolean" if bool in kinds else "any")]
    if isinstance(condition, Truth):
        return [(condition.name, "boolean")]
    return [pair for part in condition.conditions for pair in _names(part)]


def met(where: Where, batch: Batch) -> np.ndarray:
    """Tell which rows of a batch (m,) meet the condition."""
    return _evaluated(where.condition, batch)[0]


def _condition(piece: Piece, node: ast.expr) -> Condition:
    _require_one(piece, node)
    if isinstance(node, ast.BoolOp):
        return Joined("and" if isinstance(node.op, ast.And) else "or", tuple(_condition(piece, part) for part in node.values))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return Joined("not", (_condition(piece, node.operand),))
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        pairs = [_comparison(piece, op, a, b) for op, a, b in zip(node.ops, sides, sides[1:], strict=False)]
        return pairs[0] if len(pairs) == 1 else Joined("and", tuple(pairs))
    expression = _unlearnt(piece, node)
    if isinstance(expression, Name):
        return Truth(expression)
    raise piece.error(f"This is not a condition. {_EXAMPLE}", node)


def _require_one(piece: Piece, node: ast.expr) -> None:
    if isinstance(node, ast.Tuple):
        raise piece.error("Conditions are joined by and, or by or, and not by a comma.", node)


def _comparison(piece: Piece, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Condition:
    if isinstance(op, ast.In | ast.NotIn):
        values = constant(piece, right)
        values = values if isinstance(values, tuple) else (values,)
        if not is_list_of_labels(values) or len({isinstance(value, str) for value in values}) > 1:
            raise piece.error("A list in a condition has texts, or numbers, and nothing else.", right)
        return OneOf(_named(piece, left), values, isinstance(op, ast.NotIn))
    if type(op) not in _OPERATORS:
        raise piece.error(f"This comparison is not known. {_EXAMPLE}", right)
    sign = _OPERATORS[type(op)][0]
    for side, other in ((left, right), (right, left)):
        if _is_label(piece, other):
            if sign not in ("==", "!="):
                raise piece.error("Text and truth values have no order here: compare them by == or !=, or by in [...].", other)
            return OneOf(_named(piece, side), (constant(piece, other),), sign == "!=")
    compared = Compared(sign, _unlearnt(piece, left), _unlearnt(piece, right))
    if not names(compared.left) and not names(compared.right):
        raise piece.error("Two numbers are compared, which is the same in every row. Name a column.", right)
    return compared


def _unlearnt(piece: Piece, node: ast.expr) -> Expression:
    """Read arithmetic; `center` and `scale` would have to be learnt from the rows that the condition chooses."""
    expression = numeric(piece, node)
    if any(isinstance(part, Moved) for part in parts(expression)):
        raise piece.error("center and scale are learnt from the rows that a condition chooses, so it cannot use them.", node)
    return expression


def _is_label(piece: Piece, node: ast.expr) -> bool:
    word = piece.text(node)
    return not piece.read.quoted.get(word, "`").startswith("`") or word in ("True", "False", "TRUE", "FALSE")


def _named(piece: Piece, node: ast.expr) -> Name:
    expression = numeric(piece, node)
    if not isinstance(expression, Name):
        raise piece.error("Text, truth values and lists are compared with one column, and this is not one.", node)
    return expression


def _columns(condition: Condition) -> tuple[list[str], list[str]]:
    """Give the columns that a condition needs: as numbers, and as labels."""
    if isinstance(condition, Compared):
        return [name.name for side in (condition.left, condition.right) for name in names(side)], []
    if isinstance(condition, OneOf | Truth):
        return [], [condition.name.name]
    parts = [_columns(part) for part in condition.conditions]
    return [name for numbers, _ in parts for name in numbers], [name for _, labels in parts for name in labels]


def _evaluated(condition: Condition, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Tell in which rows the condition is true, and in which it is false; a gap makes it neither."""
    if isinstance(condition, Joined):
        parts = [_evaluated(part, batch) for part in condition.conditions]
        if condition.word == "not":
            return parts[0][1], parts[0][0]
        true, false = [p[0] for p in parts], [p[1] for p in parts]
        if condition.word == "and":
            return np.logical_and.reduce(true), np.logical_or.reduce(false)
        return np.logical_or.reduce(true), np.logical_and.reduce(false)
    if isinstance(condition, Compared):
        numbers = {name: column.values for name, column in batch.numbers.items()}
        left, right = (_rounded(side, numbers, batch.size) for side in (condition.left, condition.right))
        holds = next(compare for sign, compare in _OPERATORS.values() if sign == condition.sign)(left, right)
        known = np.isfinite(left) & np.isfinite(right)
        return holds & known, ~holds & known
    labels = batch.labels[condition.name.name]
    wanted = (True,) if isinstance(condition, Truth) else condition.values
    negated = isinstance(condition, OneOf) and condition.negated
    is_wanted = np.array([*(_same(condition.name, value, wanted) for value in labels.values), False])[labels.codes]
    known = labels.codes >= 0
    return (is_wanted != negated) & known, (is_wanted == negated) & known


def _rounded(expression: Expression, numbers: Mapping[str, np.ndarray], size: int) -> np.ndarray:
    if isinstance(expression, Number):
        return np.full(size, expression.value)
    hi, lo = evaluate(expression, numbers, {})
    return np.broadcast_to(hi + lo, (size,))


def _same(name: Name, value: Any, wanted: tuple[Any, ...]) -> bool:
    """Tell whether a value of a column is one of those wanted; text in a file that reads as a number is one."""
    numeric_wanted = any(not isinstance(w, str) for w in wanted)
    if isinstance(value, str) and numeric_wanted:
        read = as_number(value)
        if isinstance(read, str):
            other = next(w for w in wanted if not isinstance(w, str))
            raise DataError(
                f"where= compares {name.name!r} with {other!r}, but it holds text such as {value!r}. Compare it with a text in "
                f"quotes, as in == {value!r}."
            )
        value = read
    if not isinstance(value, str) and not numeric_wanted:
        raise DataError(f"where= compares {name.name!r} with the text {wanted[0]!r}, but it holds {value!r}. Leave the quotes out.")
    return value in wanted
