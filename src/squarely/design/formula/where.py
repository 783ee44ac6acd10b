"""The language of `where=`: comparisons of columns, joined by and, or and not. A comparison with a gap is not true, as in SQL."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from squarely.data import Source, require_columns
from squarely.design.formula.expression import Expression, Name, Number, column_names, standardizations_in
from squarely.design.formula.expression_parser import parse_numeric
from squarely.design.formula.python_syntax import PythonFragment, is_list_of_labels, list_items, parse_constant, parse_fragment
from squarely.design.formula.source_text import caret_line, read_source
from squarely.errors import DataError, FormulaError
from squarely.numerics import EXACT_INTEGERS

COMPARISONS = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_SIGNS: Mapping[type, str] = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_EXAMPLE = 'Write it like where="weight > 3000 and origin == 1".'
_MAX_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two expressions and a comparison."""

    sign: str
    sides: tuple[Expression, Expression]

    @property
    def is_plain(self) -> bool:
        """Whether both sides are columns or numbers, without arithmetic."""
        return all(isinstance(side, Name | Number) for side in self.sides)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are compared, each once."""
        return tuple(dict.fromkeys(name.name for name in column_names(*self.sides)))


@dataclass(frozen=True, slots=True)
class IsIn:
    """A column that is, or is not, one of some values; a column of booleans alone is one of (True,)."""

    name: Name
    values: tuple[Any, ...]
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class BooleanOperation:
    """Conditions joined by "and", "or" or "not" (of one)."""

    word: str
    conditions: tuple[Condition, ...]


Condition = Comparison | IsIn | BooleanOperation
Reduction = Callable[[Sequence[Any]], Any]
Outcome = tuple[Any, Any]  # in which rows a comparison holds, and in which it has values


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A condition on rows, with the columns that it needs as numbers and as labels."""

    text: str
    condition: Condition
    numbers: tuple[str, ...]
    labels: tuple[str, ...]


def parse_where(text: str) -> Where:
    """Parse a condition on rows.

    Raises FormulaError, which points at the place, if it cannot be parsed.

    >>> where = parse_where("weight > 3000 & origin != 'usa'")
    >>> where.numbers, where.labels
    (('weight',), ('origin',))
    """
    if not isinstance(text, str):
        raise FormulaError(f"where={text!r} is of type {type(text).__name__}, not text. {_EXAMPLE}")
    if not text.strip() or len(text) > _MAX_CHARACTERS:
        raise FormulaError(f"where= has {len(text):,} characters; it needs a condition of at most {_MAX_CHARACTERS:,}. {_EXAMPLE}")
    source = read_source(text)
    piece, node = parse_fragment(source, (0, len(text)), words=True)
    try:
        condition = _parse_condition(piece, node)
    except RecursionError:
        raise FormulaError(f"where= is nested too deeply. {_EXAMPLE}") from None
    kinds = _required_kinds(condition)
    numbers = dict.fromkeys(name.name for name, kind in kinds if kind == "number")
    labels = dict.fromkeys(name.name for name, kind in kinds if kind != "number")
    return Where(text=text, condition=condition, numbers=tuple(numbers), labels=tuple(labels))


def comparisons_in(condition: Condition) -> list[Comparison | IsIn]:
    """Return what "and", "or" and "not" join in a condition."""
    if isinstance(condition, BooleanOperation):
        return [each for part in condition.conditions for each in comparisons_in(part)]
    return [condition]


def evaluate_condition(
    condition: Condition, evaluate: Callable[[Comparison | IsIn], Outcome], all_of: Reduction, any_of: Reduction
) -> tuple[Any, Any]:
    """Return in which rows a condition is true, and in which it is false; a gap makes it neither."""
    if not isinstance(condition, BooleanOperation):
        holds, has_value = evaluate(condition)
        return holds & has_value, ~holds & has_value
    true, false = zip(*(evaluate_condition(part, evaluate, all_of, any_of) for part in condition.conditions), strict=True)
    if condition.word == "not":
        return false[0], true[0]
    return (all_of(true), any_of(false)) if condition.word == "and" else (any_of(true), all_of(false))


def bind_where(where: Where, source: Source) -> Where:
    """Check a condition against a source, and add the columns whose text it needs.

    A file without types may hold whole numbers that doubles do not, so a comparison of them needs their text.

    Raises DataError, which points into the condition, if a column is not there, or is text and compared with numbers.
    """
    kinds = _required_kinds(where.condition)
    for name, kind in [*((name, "any") for name, _ in kinds), *kinds]:  # a missing column is reported first
        try:
            require_columns(source, [name.name])
            _require_kind(name.name, source, kind)
        except DataError as error:
            hint = "" if name.name in source.columns else " A text to compare with goes in quotes."
            raise DataError(f"{error}{hint}{caret_line(where.text, name.span)}") from None
    exact = () if source.typed else columns_compared_exactly(where.condition)
    return replace(where, labels=tuple(dict.fromkeys((*where.labels, *exact))))


def columns_compared_exactly(condition: Condition) -> list[str]:
    """Return the columns whose comparison may depend on digits that doubles do not hold.

    Rounding keeps order, so a comparison with one number below 2**53 never does.
    """
    names: list[str] = []
    for each in comparisons_in(condition):
        if isinstance(each, Comparison):
            is_small = any(isinstance(side, Number) and abs(side.value) < EXACT_INTEGERS for side in each.sides)
            names += () if is_small and any(isinstance(side, Name) for side in each.sides) else each.columns
    return names


def _require_kind(name: str, source: Source, required: str) -> None:
    kind = "any" if required == "any" else source.kind(name)
    if required == "number" and kind == "text":
        raise DataError(
            f"Column {name!r} holds text, and this compares numbers. Put a value in quotes, as in == 'a'; two columns of text "
            "cannot be compared."
        )
    if required == "text" and kind in ("number", "boolean"):
        values = "numbers" if kind == "number" else "booleans"
        raise DataError(f"Column {name!r} holds {values} and is compared with text. Leave the quotes out, as in == 1.")
    if required == "boolean" and kind not in ("boolean", "null"):
        raise DataError(f"Column {name!r} is used as true or false but holds other values. Compare it with one of them.")


def _required_kinds(condition: Condition) -> list[tuple[Name, str]]:
    """Return the columns in a condition, each with the kind that it must have: "number", "text", "boolean" or "any"."""
    required: list[tuple[Name, str]] = []
    for comparison in comparisons_in(condition):
        if isinstance(comparison, Comparison):
            required += [(name, "number") for name in column_names(*comparison.sides)]
        else:
            kinds = {type(value) for value in comparison.values}
            required.append((comparison.name, "text" if str in kinds else "boolean" if bool in kinds else "any"))
    return required


def _parse_condition(piece: PythonFragment, node: ast.expr) -> Condition:
    if isinstance(node, ast.Tuple):
        raise piece.error("Conditions are joined by and, or by or, and not by a comma.", node)
    if isinstance(node, ast.BoolOp):
        word = "and" if isinstance(node.op, ast.And) else "or"
        return BooleanOperation(word, tuple(_parse_condition(piece, part) for part in node.values))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return BooleanOperation("not", (_parse_condition(piece, node.operand),))
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        pairs = [_parse_comparison(piece, op, a, b) for op, a, b in zip(node.ops, sides, sides[1:], strict=False)]
        return pairs[0] if len(pairs) == 1 else BooleanOperation("and", tuple(pairs))
    expression = _parse_arithmetic(piece, node)
    if isinstance(expression, Name):
        return IsIn(expression, (True,))
    raise piece.error(f"This is not a condition. {_EXAMPLE}", node)


def _parse_comparison(piece: PythonFragment, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Condition:
    if isinstance(op, ast.In | ast.NotIn):
        return _parse_membership(piece, left, right, is_negated=isinstance(op, ast.NotIn))
    if type(op) not in _SIGNS:
        raise piece.error(f"This comparison is not known. {_EXAMPLE}", right)
    sign = _SIGNS[type(op)]
    for side, other in ((left, right), (right, left)):
        word = piece.text(other)
        if piece.source_text.quoted_text(word) or word in ("True", "False", "TRUE", "FALSE"):
            if sign not in ("==", "!="):
                raise piece.error("Text and booleans have no order here. Compare them by == or !=, or by in [...].", other)
            return IsIn(_parse_column(piece, side), (parse_constant(piece, other),), sign == "!=")
    comparison = Comparison(sign, (_parse_arithmetic(piece, left), _parse_arithmetic(piece, right)))
    if not comparison.columns:
        raise piece.error("Two numbers are compared, which is the same in every row. Name a column.", right)
    return comparison


def _parse_membership(piece: PythonFragment, left: ast.expr, right: ast.expr, *, is_negated: bool) -> IsIn:
    values = parse_constant(piece, right)
    values = values if isinstance(values, tuple) else (values,)
    if not is_list_of_labels(values) or len({isinstance(value, str) for value in values}) > 1:
        raise piece.error("A list in a condition holds either texts or numbers, and nothing else.", right)
    exact = [_parse_exact_constant(piece, item) for item in list_items(piece, right) or [right]]
    return IsIn(_parse_column(piece, left), tuple(exact), is_negated)


def _parse_exact_constant(piece: PythonFragment, node: ast.expr) -> Any:
    """Parse a constant; a number with more digits than a double has stays a decimal."""
    value = parse_constant(piece, node)
    if isinstance(value, float) and isinstance(number := parse_numeric(piece, node), Number):
        return value if number.decimal in (None, Decimal(repr(value))) else number.decimal
    return value


def _parse_arithmetic(piece: PythonFragment, node: ast.expr) -> Expression:
    """Parse arithmetic without `center` and `scale`, which are learned from the rows that the condition chooses."""
    expression = parse_numeric(piece, node)
    if standardizations_in([expression]):
        raise piece.error(
            "center and scale are learned from the rows that the condition chooses. Write a number in their place.", node
        )
    return expression


def _parse_column(piece: PythonFragment, node: ast.expr) -> Name:
    expression = parse_numeric(piece, node)
    if not isinstance(expression, Name):
        raise piece.error("Text, booleans and lists can be compared with one column only, and this is not one.", node)
    return expression
