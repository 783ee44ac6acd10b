"""The coefficients that a piece of a hypothesis names: one by its printed name, or the effect of a level such as `origin[usa]`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction

from squarely.data import Level
from squarely.design import Basis, Column, ContrastCoding, Design, products
from squarely.errors import show_value, suggest_name

LinearForm = dict[int, Fraction]  # position of a coefficient -> weight
_HEAD = re.compile(r"`[^`]*`|[^\W\d][\w.]*")
_JOINT = re.compile(r"\s*:\s*(?=[^\W\d]|`)")
_LABEL = re.compile(r"(?P<head>.+?)\[(?P<label>.*)\]", re.DOTALL)
_BRACKETS = {"(": ")", "[": "]"}
_NUMBER = re.compile(r"[\d.]+(e\d+)?", re.IGNORECASE)


class CoefficientNames:
    """The names of the coefficients of a design, for a parser."""

    def __init__(self, design: Design) -> None:
        self._design = design
        self._products = products(design)
        self._patterns = [(_pattern_of(name), i) for i, name in enumerate(design.names) if not _NUMBER.fullmatch(name)]

    def match(self, text: str, start: int) -> tuple[LinearForm, int] | None:
        """Return what the longest name at a place means, and where it ends; None if there is no name that is known."""
        found = [(m.end(), i) for pattern, i in self._patterns if (m := pattern.match(text, start)) and _ends(text, m.end())]
        if found:
            end, i = max(found)
            return {i: Fraction(1)}, end
        end = scan_name(text, start)
        form = self._read_piece(text[start:end]) if end > start else None
        return None if form is None else (form, end)

    def explain(self, piece: str) -> str:
        """Say why a piece names no coefficient, and what to write."""
        labeled = _LABEL.fullmatch(piece)
        if labeled and labeled["head"] in self._design.names:
            head = labeled["head"]
            return f"{head} is a column of numbers in this fit, so it has no levels. Write C({head}) in the formula for categories."
        for text, coding in self._design.categories.items():
            if labeled and _plain(labeled["head"]) in (text, coding.column):
                return f"{text} has no level {labeled['label']!r}. {suggest_name(labeled['label'], map(str, coding.levels))}"
            if _plain(piece) in (text, coding.column):
                level = next(str(each) for i, each in enumerate(coding.levels) if i != coding.position)
                return (
                    f"{text} is a category, and its levels have coefficients. Write one, such as {text}[{level}]; the table "
                    "of wald_test_terms tests all at once."
                )
        return f"The fit has no coefficient {show_value(piece)}. {suggest_name(piece, self._design.names)}"

    def _read_piece(self, piece: str) -> LinearForm | None:
        """Read a name in backticks, or parts joined by colons of which some are levels."""
        if _plain(piece) in self._design.names:
            return {self._design.names.index(_plain(piece)): Fraction(1)}
        parts = [self._read_part(piece[start:end]) for start, end in _scan_parts(piece, 0)]
        known = [part for part in parts if part is not None]
        return self._level_effect(dict(known)) if len(known) == len(parts) == len(dict(known)) else None

    def _read_part(self, part: str) -> tuple[str, int] | None:
        """Return the factor of a part, with the place of its level or of its column."""
        name = _plain(part)
        for text, factor in self._design.factors.items():
            if text in self._design.categories:
                continue
            if not isinstance(factor, Basis) and _is_same(name, text):
                return text, 0
            if (
                isinstance(factor, Basis)
                and (label := _LABEL.fullmatch(part))
                and _is_same(label["head"], text)
                and label["label"].isdigit()
            ):
                return text, int(label["label"]) - (factor.kind in ("poly", "powers"))
        labeled = _LABEL.fullmatch(part)
        if labeled is None:
            return None
        head = _plain(labeled["head"])
        codings = self._design.categories
        texts = [text for text in codings if _is_same(text, head)]
        texts = texts or [text for text, coding in codings.items() if coding.column == head]
        places = [(text, place) for text in texts if (place := _place_of(labeled["label"], codings[text])) is not None]
        return places[0] if len(places) == 1 else None

    def _level_effect(self, parts: dict[str, int]) -> LinearForm | None:
        """Return the combination of the columns of some factors at these levels: none of them for a reference level."""
        codings, form, is_known = self._design.categories, LinearForm(), False
        levels = {text: codings[text].levels[place] for text, place in parts.items() if text in codings}
        columns = zip(self._design.columns, self._products, strict=True)
        for position, (column, factors) in enumerate(columns, start=int(self._design.intercept)):
            if {text for text, _, _ in column.parts} == parts.keys() and _has_numbers(column, parts, levels):
                is_known = True
                weight = math.prod(
                    (factors.functions[text].get(level, Fraction(0)) for text, level in levels.items()), start=Fraction(1)
                )
                if weight:
                    form[position] = weight
        return form if is_known else None

    def levels(self, text: str) -> Iterator[LinearForm]:
        """Yield the effect of each level of a factor, in order; nothing if it has no columns alone."""
        for place in range(len(self._design.categories[text].levels)):
            form = self._level_effect({text: place})
            if form is not None:
                yield form


def scan_name(text: str, start: int) -> int:
    """Return where a piece ends that looks like a name, with its brackets and the parts that colons join."""
    return max((end for _, end in _scan_parts(text, start)), default=start)


def _scan_parts(text: str, start: int) -> list[tuple[int, int]]:
    """Return the start and the end of each part of a name: a word with its brackets."""
    parts: list[tuple[int, int]] = []
    place = start
    while head := _HEAD.match(text, place):
        begin, place = place, head.end()
        while place < len(text) and text[place] in _BRACKETS:
            place = _closing(text, place)
        parts.append((begin, place))
        joint = _JOINT.match(text, place)
        if joint is None:
            break
        place = joint.end()
    return parts


def _closing(text: str, start: int) -> int:
    """Return the place after the bracket that closes the one at `start`, or the end of the text."""
    depth, opening = 0, text[start]
    for place in range(start, len(text)):
        depth += (text[place] == opening) - (text[place] == _BRACKETS[opening])
        if depth == 0:
            return place + 1
    return len(text)


def _plain(name: str) -> str:
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] == "`" and "`" not in name[1:-1] else name


def _is_same(a: str, b: str) -> bool:
    return "".join(a.split()) == "".join(b.split())


def _place_of(label: str, coding: ContrastCoding) -> int | None:
    """Return the place of a level by its text, also as in the name of its column or in quotes."""
    texts = [str(level) for level in coding.levels]
    prefix = "S." if coding.kind == "sum" else "T."
    for each in (label, label.removeprefix(prefix), label.strip("'\"")):
        if each in texts:
            return texts.index(each)
    with suppress(ValueError):  # 2 is the level 2.0
        if not isinstance(coding.levels[0], str | bool):
            return list(coding.levels).index(float(label.removeprefix(prefix)))
    return None


def _has_numbers(column: Column, parts: dict[str, int], levels: dict[str, Level]) -> bool:
    return all(j == parts[text] for text, _, j in column.parts if text not in levels)


def _pattern_of(name: str) -> re.Pattern[str]:
    """Compile a printed name. Spaces may differ inside brackets and at colons, but not elsewhere: `x - y` is a difference."""
    pattern, before, depth = "", "", 0
    for token in re.finditer(r"(\s*)([\w.]+|[^\w\s])", name):
        gap, word = token.groups()
        if not (_is_word(before) and _is_word(word)) and (depth or ":" in (before, word)):
            gap = r"\s*"
        elif gap:
            gap = r"\s+"
        pattern += (gap if before else "") + re.escape(word)
        depth += (word in "([") - (word in ")]")
        before = word
    return re.compile(pattern or r"(?!)")


def _is_word(token: str) -> bool:
    return bool(re.fullmatch(r"[\w.]+", token))


def _ends(text: str, end: int) -> bool:
    """Return whether a name may end here: no letter, digit, bracket or colon follows that would continue it."""
    if end == len(text):
        return True
    is_word = text[end - 1].isalnum() or text[end - 1] == "_"
    return not (is_word and (text[end].isalnum() or text[end] in "_.([")) and _JOINT.match(text, end) is None
