"""Several responses on the left side of a formula: one formula for each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from squarely.design.formula.formula import Formula, column_names_of, parse_formula
from squarely.design.formula.source_text import read_source
from squarely.errors import FormulaError


def split_responses(text: object) -> list[str]:
    """Return the texts of one formula for each response of "y1 + y2 ~ x" or "cbind(y1, y2) ~ x"; [] if there is one response.

    >>> split_responses("y1 + log(y2) ~ x")
    ['y1 ~ x', 'log(y2) ~ x']
    >>> split_responses("I(y1 + y2) ~ x")
    []
    """
    parts, right = _split_left_side(text) if isinstance(text, str) else ([], "")
    return [f"{part} ~{right}" for part in parts] if len(parts) > 1 else []


def parse_responses(texts: Sequence[str], columns: Sequence[str]) -> list[Formula]:
    """Parse formulas that differ in their responses alone, each of which requires the others.

    `columns` are what a `.` stands for, without the responses.
    """
    responses = [parse_formula(text, columns).response for text in texts]
    names = [response.text for response in responses]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise FormulaError(f"The response {twice!r} is on the left side twice. Name it once.")
    on_the_left = {name for response in responses for name in column_names_of(response)}
    formulas = [parse_formula(text, [name for name in columns if name not in on_the_left]) for text in texts]
    return [replace(each, required=tuple(r for r in responses if r.text != each.response.text)) for each in formulas]


def _split_left_side(text: str) -> tuple[list[str], str]:
    """Return the terms of a sum, or the arguments of cbind, left of the only tilde; and what is right of it."""
    source = read_source(text)
    masked, tilde = source.masked_text, source.masked_text.find("~")
    left = masked[: max(tilde, 0)]
    start, separator = 0, "+"
    if call := re.fullmatch(r"\s*cbind\s*\((.*)\)\s*", left, re.DOTALL):
        start, separator, left = call.start(1), ",", call[1]
    places, depth = [-1], 0
    for i, c in enumerate(left):
        depth += (c in "([{") - (c in ")]}")
        if c == separator and depth == 0:
            places.append(i)
    ends = [*places[1:], len(left)]
    pieces = [text[start + first + 1 : start + end].strip() for first, end in zip(places, ends, strict=True)]
    return (pieces, text[tilde + 1 :]) if all(pieces) else ([], "")
