"""Python text: literals that are exact and safe, and lines that keep their width.

Whatever comes from the user, names, levels, paths and formulas, goes through `literal` or `remark` and through nothing else: both
are a `repr`, which has no line ends and no control characters, so that no text of the user's can become code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 100
_LONGEST_REMARK = 80


@dataclass(frozen=True, slots=True)
class BracketedText:
    """Something in brackets: one line if it fits, else one line for each item, as ruff and black lay it out."""

    head: str
    items: tuple[str | BracketedText, ...]
    tail: str


def literal(value: Any) -> str:
    """Write a value as Python reads it back, exactly.

    >>> print(literal("it's"), literal("a b"), literal(0.1), literal(float("inf")))
    "it's" "a b" 0.1 np.inf
    """
    if isinstance(value, str):
        plain = repr(value)
        return plain if {"'", '"'} & set(value) else f'"{plain[1:-1]}"'
    if isinstance(value, float) and not math.isfinite(value):
        return "np.nan" if math.isnan(value) else "np.inf" if value > 0 else "-np.inf"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value).replace("e+", "e") if isinstance(value, float) else repr(value)


def number_literal(value: float) -> str:
    """Write a number, without a decimal point where it is whole and NumPy makes no difference.

    >>> number_literal(2.0), number_literal(0.5), number_literal(-0.0)
    ('2', '0.5', '-0.0')
    """
    whole = math.isfinite(value) and value.is_integer() and abs(value) < 1e15 and not (value == 0 and math.copysign(1, value) < 0)
    return str(int(value)) if whole else literal(float(value))


def remark(text: str) -> str:
    """Write a text of the user's for a comment: as a repr, which cannot end the line, cut if it is long."""
    shown = repr(text)
    return shown if len(shown) <= _LONGEST_REMARK else shown[:_LONGEST_REMARK] + "..."


def call(head: str, items: Iterable[str | BracketedText]) -> BracketedText:
    """Write a call."""
    return BracketedText(f"{head}(", tuple(items), ")")


def list_literal(values: Iterable[Any]) -> BracketedText:
    """Write a list."""
    return BracketedText("[", tuple(value if isinstance(value, BracketedText) else literal(value) for value in values), "]")


def array_literal(values: Sequence[Any]) -> BracketedText:
    """Write an array of one or two dimensions."""
    return call("np.array", [list_literal(list_literal(row) if isinstance(row, list) else row for row in values)])


def add_prefix(head: str, item: str | BracketedText) -> str | BracketedText:
    """Put a key or an argument's name before an item."""
    return f"{head}{item}" if isinstance(item, str) else BracketedText(head + item.head, item.items, item.tail)


def statement(head: str, item: str | BracketedText, tail: str = "", *, indent: int = 0) -> str:
    """Write a statement, or a part of one, in lines that keep their width where that can be done.

    >>> print(statement("x = ", call("f", ["1", "2"])))
    x = f(1, 2)
    """
    return " " * indent + _lay(add_prefix(head, item), indent=indent, after=len(tail)) + tail


def _lay(item: str | BracketedText, *, indent: int, after: int) -> str:
    flat = _flatten(item)
    if isinstance(item, str) or indent + len(flat) + after <= WIDTH or not item.items:
        return flat
    pad = " " * (indent + 4)
    lines = [f"{pad}{_lay(part, indent=indent + 4, after=1)},\n" for part in item.items]
    return f"{item.head}\n{''.join(lines)}{' ' * indent}{item.tail}"


def _flatten(item: str | BracketedText) -> str:
    return item if isinstance(item, str) else f"{item.head}{', '.join(map(_flatten, item.items))}{item.tail}"
