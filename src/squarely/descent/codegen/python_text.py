"""Python text: literals that are exact and safe, and lines that respect a width.

Names, levels, paths and formulas of the user go through `literal` or `remark` only. Both use `repr`, which has no line ends and no
control characters, so no text of the user's can become code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

WIDTH = 100
_LONGEST_REMARK = 80


@dataclass(frozen=True, slots=True)
class BracketedText:
    """Items in brackets: one line if they fit, else one line for each item, as ruff and black format them."""

    head: str
    items: tuple[str | BracketedText, ...]
    tail: str

    def __str__(self) -> str:
        return f"{self.head}{', '.join(map(str, self.items))}{self.tail}"


def literal(value: Any) -> str:
    """Write a value so that Python reads it back exactly.

    >>> print(literal("it's"), literal("a b"), literal(0.1), literal(float("inf")))
    "it's" "a b" 0.1 np.inf
    """
    if isinstance(value, str):
        text = repr(value)
        return text if {"'", '"'} & set(value) else f'"{text[1:-1]}"'
    if isinstance(value, float) and not math.isfinite(value):
        return "np.nan" if math.isnan(value) else "np.inf" if value > 0 else "-np.inf"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value).replace("e+", "e") if isinstance(value, float) else repr(value)


def number_literal(value: float) -> str:
    """Write a number; without a decimal point if it is an integer, which NumPy treats alike.

    >>> number_literal(2.0), number_literal(0.5), number_literal(-0.0)
    ('2', '0.5', '-0.0')
    """
    is_negative_zero = value == 0 and math.copysign(1, value) < 0
    is_integer = math.isfinite(value) and value.is_integer() and abs(value) < 1e15 and not is_negative_zero
    return str(int(value)) if is_integer else literal(float(value))


def remark(text: str) -> str:
    """Write a text of the user's for a comment: as a repr, which cannot end the line, and shortened if it is long."""
    quoted = repr(text)
    return quoted if len(quoted) <= _LONGEST_REMARK else quoted[:_LONGEST_REMARK] + "..."


def call(head: str, items: Iterable[str | BracketedText]) -> BracketedText:
    """Write a call."""
    return BracketedText(f"{head}(", tuple(items), ")")


def list_literal(values: Iterable[Any], head: str = "") -> BracketedText:
    """Write a list after a text."""
    return BracketedText(f"{head}[", tuple(value if isinstance(value, BracketedText) else literal(value) for value in values), "]")


def dict_literal(items: Mapping[str, str], head: str = "") -> BracketedText:
    """Write a dict, whose values are code, after a text."""
    return BracketedText(head + "{", tuple(f"{literal(key)}: {code}" for key, code in items.items()), "}")


def array_literal(values: Sequence[Any]) -> BracketedText:
    """Write an array of one or two dimensions."""
    return call("np.array", [list_literal(list_literal(row) if isinstance(row, list) else row for row in values)])


def statement(head: str, item: BracketedText, *, indent: int = 0) -> str:
    """Write a statement, or a part of one, in lines that respect the width where possible.

    >>> print(statement("x = ", call("f", ["1", "2"])))
    x = f(1, 2)
    """
    return " " * indent + _format(replace(item, head=head + item.head), indent=indent, after=0)


def _format(item: str | BracketedText, *, indent: int, after: int) -> str:
    flat = str(item)
    if isinstance(item, str) or indent + len(flat) + after <= WIDTH or not item.items:
        return flat
    pad = " " * (indent + 4)
    lines = [f"{pad}{_format(part, indent=indent + 4, after=1)},\n" for part in item.items]
    return f"{item.head}\n{''.join(lines)}{' ' * indent}{item.tail}"
