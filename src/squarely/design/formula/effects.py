"""The fixed effects of a formula: what follows `|` in `y ~ x | firm + year`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TypeAlias

from squarely.design.formula.source_text import SourceText, Span

Effect: TypeAlias = tuple[str, ...]  # a column of levels, or two whose pairs are the levels
_EXAMPLE = "Write y ~ x | firm + year."


def parse_effects(source: SourceText, start: int) -> tuple[SourceText, tuple[Effect, ...]]:
    """Return the text without its effects, and the effects: those after a `|` outside of brackets.

    >>> from squarely.design.formula.source_text import read_source
    >>> rest, effects = parse_effects(read_source("y ~ x | firm + state^year"), 3)
    >>> rest.masked_text, effects
    ('y ~ x ', (('firm',), ('state', 'year')))
    """
    text = source.masked_text
    bars = _find_bars(text, start)
    if not bars:
        return source, ()
    if len(bars) > 1:
        raise source.error(f"The formula has a second '|', and instruments are not supported. {_EXAMPLE}", (bars[1], bars[1] + 1))
    effects: dict[frozenset[str], Effect] = {}
    begin = bars[0] + 1
    for piece in text[begin:].split("+"):
        at = _trim(begin, piece) if piece.strip() else (bars[0], bars[0] + 1)
        begin += len(piece) + 1
        effect = _read_effect(source, at)
        if effects.setdefault(frozenset(effect), effect) is not effect:
            raise source.error(f"The effect {'^'.join(effect)} is there twice. Write it once.", at)
    return replace(source, masked_text=text[: bars[0]]), tuple(effects.values())


def _find_bars(text: str, start: int) -> list[int]:
    depth, bars = 0, []
    for i, c in enumerate(text[start:], start):
        depth += (c in "([{") - (c in ")]}")
        if c == "|" and depth == 0:
            bars.append(i)
    return bars


def _trim(begin: int, piece: str) -> Span:
    start = begin + len(piece) - len(piece.lstrip())
    return start, start + len(piece.strip())


def _read_effect(source: SourceText, at: Span) -> Effect:
    piece = source.masked_text[slice(*at)]
    if piece == "|":
        raise source.error(f"A name of a column is missing after '|'. {_EXAMPLE}", at)
    words = [word.strip() for word in piece.split("^")]
    for word in words:
        if not re.fullmatch(r"[\w.]+", word) or re.fullmatch(r"[0-9.]+", word) or source.quoted_text(word):
            raise source.error(f"{source.restore_quotes(piece)} is not an effect: {_advice(word)}", at)
    names = tuple(source.name(word) for word in words)
    if len(names) > 2 or len(set(names)) < len(names):
        raise source.error(f"{'^'.join(names)} is not an effect of two columns. Make one column of the combinations.", at)
    return names


def _advice(word: str) -> str:
    if "[" in word:
        return "slopes that differ by level are not absorbed. Write x:C(firm) before the '|' for few levels."
    if ":" in word or "*" in word:
        return "write firm^year for one effect of all combinations of two columns."
    return "write the name of a column alone, as in y ~ x | firm + year."
