"""Texts that a person would not read as categories: numbers with signs, separators or units, and words for a missing value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from squarely.data import Source, iter_batches, parses_as_number
from squarely.errors import option_hint

# What pandas reads as missing, without ordinary words, and the marks of statistical offices and other programs.
_MISSING_WORDS = frozenset(
    ["", "na", "n/a", "#n/a", "#n/a n/a", "#na", "<na>", "nan", "-nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "nat", "null",
     "\\n", "(null)", "<null>", "#null!", "nil", "undefined", "<undefined>", "(none)", "<none>", "(blank)", "(missing)", "missing",
     "n.a.", "n.d.", "n/d", "k.a.", "k. a.", "#value!", "#ref!", "#div/0!", "#name?", "#num!", "?", "??", "???", ".", "..", "...",
     "\u2026", "-", "--", "---", "\u2013", "\u2014", "\u2212", "/", ":", "*", "_", "\\"]
)  # fmt: skip
_SIGN_LEVELS = ("+", "-")  # a minus beside a plus is a sign

_CODES = (
    "USD EUR GBP JPY CNY RMB INR CHF CAD AUD NZD SEK NOK DKK ISK PLN CZK HUF RON BGN RUB UAH TRY ILS BRL MXN ARS CLP COP PEN ZAR "
    "KRW SGD HKD TWD THB IDR MYR PHP VND SAR AED EGP NGN KES PKR BDT LKR US$ A$ C$ R$ S$ HK$ NZ$ NT$ Rs. Rs Fr. kr. kr zł"
)
_CURRENCY = "|".join(map(re.escape, _CODES.split()))
_SEPARATORS = ",.'\u2019_ \xa0\u2009\u202f"  # between thousands
_MONEY = (
    r"$%\u2030\xa2-\xa5\u20a0-\u20cf\u2212\u2013\u2014-"  # signs that only numbers have; the minus is last, for a character class
)
_MARK = rf"[+~\u2248<>\u2264\u2265=\xb1'\"\u2018\u2019\u201c\u201d(\[*\xb0\s\u200b\u200e\u200f\u2060\ufeff{_MONEY}]"
_NUMBER_IN_TEXT = re.compile(
    rf"(?P<before>{_MARK}*(?:(?P<code>{_CURRENCY}){_MARK}*|(?:ca\.?|approx\.?|about|under|over) +)?)"
    rf"(?P<number>[1-9]\d{{0,2}}(?:[{_SEPARATORS}]\d{{2,3}})*[{_SEPARATORS}]\d{{3}}(?!\d)(?:[.,]\d+)?|\d+(?:[.,\xb7\u066b]\d*)?|[.,]\d+)"
    r"(?P<power>[eE][-+\u2212]?\d+|[dD][-+\u2212]\d+)?(?P<rest>.*)"
)
_GROUPED = re.compile(r"\s*[-+]?\d{1,3}(?:([.,'\u2019 \xa0\u2009\u202f])\d{3})(?:\1\d{3})*(?:([.,])\d+)?\s*")  # 1.234,50
_COMMA_NUMBER = re.compile(r"\s*[-+]?\d+,\d+\s*")
_NUMBER_SIGN = re.compile(rf"[{_MONEY}]")
_PLAIN_NUMBER = re.compile(r"\d+", re.ASCII)
_RANGE = re.compile(r"\D*\d[\d.,]*\s*(-|\u2013|\u2014|to)\s*\D*\d.*")
_BOUND = re.compile(r"\s*([<>\u2264\u2265]|under |over ).*|.*\+\s*")
# What may follow a number without being a unit: a letter in brackets, a deviation, a power of ten; and the power of a unit.
_FOOTNOTE = re.compile(
    r"[\[({][\w.,]{1,6}[\])}]|(\xb1|\+/-).*|\s*[x\xd7*]\s*10(\^?[-\u2212]?\d+|[\u207b\xb9\xb2\xb3\u2070-\u2079]+)|(?<=[mt])[23]$"
)
_LARGER_UNIT = r"['\u2032\xb0]|ft|feet|foot|lbs?|st|h|hrs?|hours?|m|min|d|days?|w|weeks?|y|yrs?|years?"
_COMPOUND_UNIT = re.compile(
    rf"^\s*({_LARGER_UNIT})\.?\s*\d+\s*(['\"\u2032\u2033]{{1,2}}|[^\W\d_]{{1,7}}\.?)\s*$", re.I
)  # as in 5 ft 11 in
_DECADE = re.compile(r"[12]\d\d0s")
_ORDINAL = re.compile(r"st|nd|rd|th|er|e|º|ª")
_SCALE = re.compile(r"k|m|b|t|mn|bn|tn|mio|mrd|[kmgtp]i?b|thousand|million|billion|lakh|crore")
_MAX_LENGTH, _MAX_UNIT_LENGTH = 60, 15  # characters of a text that is read as a number
_MAX_NAME_LEVELS = 5  # numbers with a unit may be names of at most so many levels
_LONG_NUMBER = re.compile(r"\d\d\d|\d[.,]\d")  # numbers that are rare in names


def is_missing_word(level: object, levels: Collection[object] = ()) -> bool:
    """Return whether a level is a word or mark for a missing value.

    >>> [is_missing_word(level, ["+", "-"]) for level in ("?", "N/A", "none", "-")]
    [True, True, False, False]
    """
    if not isinstance(level, str):
        return False
    bare = level.strip()
    return (bare.casefold() in _MISSING_WORDS or bare == "None") and not (bare in _SIGN_LEVELS and set(_SIGN_LEVELS) <= set(levels))


def unit_of(text: str) -> str | None:
    """Return the unit of a number in a text: "" for signs and separators that only numbers have, None if it is not a number.

    Signs that a name may have too, as in "3+", count as a unit.

    >>> [unit_of(text) for text in ("$1,200", "51,25 (r)", "1248 CC", "36 months", "1.4K", "1.2345D+03", "3+")]
    ['', '', 'cc', 'month', 'k', '', '+']
    >>> [unit_of(text) for text in ("10-20", "1st", "A1", "usa")]
    [None, None, None, None]
    """
    match = _NUMBER_IN_TEXT.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None or _DECADE.fullmatch(text):
        return None
    rest = _FOOTNOTE.sub("", _COMPOUND_UNIT.sub(r"\1 \2", match["rest"]))
    unit = re.sub(r"^\W+|\W+$", "", rest).casefold()
    if re.search(r"\d", rest) or _ORDINAL.fullmatch(rest.casefold()) or len(unit) > _MAX_UNIT_LENGTH:
        return None
    if unit:
        return "k" if _SCALE.fullmatch(unit) else unit.removesuffix("s") or unit
    signs = match["before"] + rest
    is_number = (
        match["code"]
        or match["power"]
        or _FOOTNOTE.search(match["rest"])
        or _NUMBER_SIGN.search(signs)
        or not _PLAIN_NUMBER.fullmatch(match["number"])
    )
    return "" if is_number else "+"


@dataclass(frozen=True, slots=True, kw_only=True)
class NumbersInText:
    """The levels of a column of text that look like numbers: plain ones, those with signs or separators, those with a unit.

    `count` is the number of all levels, without words for a missing value. A column `is_refused` as categories if it holds numbers.
    """

    plain_numbers: frozenset[str]
    signed_numbers: frozenset[str]
    numbers_with_unit: frozenset[str]
    count: int
    is_refused: bool

    @property
    def all(self) -> frozenset[str]:
        """Every level that looks like a number."""
        return self.plain_numbers | self.signed_numbers | self.numbers_with_unit


def numbers_in(texts: Collection[str], *, comma: bool = False) -> NumbersInText:
    """Find numbers, with a decimal comma or a point, among the levels of a column of text.

    The column holds numbers if a level is a plain number, or if at least half of the levels are numbers with signs. Levels count
    and not rows, so that one word in many rows does not outvote a hundred numbers. Numbers with a unit may be names, such as
    "3-door": they count as numbers if most have the same unit and they are many, above 99 or fractions.
    """
    plain = frozenset(text for text in texts if parses_as_number(text, decimal_comma=comma))
    ranges = any(_RANGE.fullmatch(text[:_MAX_LENGTH]) for text in texts)  # next to 18-64, 65+ is a range too
    units = {text: unit_of(text) for text in texts if text not in plain and not (ranges and _BOUND.fullmatch(text[:_MAX_LENGTH]))}
    signed = frozenset(text for text, unit in units.items() if unit == "")
    count = sum(not is_missing_word(text, texts) for text in texts)
    common = Counter(unit for unit in units.values() if unit)
    unit = max(sorted(common), key=common.__getitem__, default=None)
    same = frozenset(text for text, each in units.items() if each and each == unit)
    measured = same
    if 2 * len(signed | same) < count:
        measured = frozenset(text for text, each in units.items() if each)
        measured = measured if 2 * len(common) <= len(measured) and 2 * len(signed | measured) >= count else frozenset()
    is_sure = len(same) > _MAX_NAME_LEVELS or any(_LONG_NUMBER.search(text) for text in same)
    refused = bool(plain or (signed and 2 * len(signed) >= count) or (same and is_sure and 2 * len(signed | same) >= count))
    return NumbersInText(plain_numbers=plain, signed_numbers=signed, numbers_with_unit=measured, count=count, is_refused=refused)


def numbers_hint(value: object, source: Source) -> str:
    """Return the options with which a text in a file of text is a number, as advice, "" if none is known."""
    if source.typed or not isinstance(value, str):
        return ""
    if source.decimal_comma and parses_as_number(value):
        return f"Give {option_hint('decimal', '.')} if these are numbers"
    if (grouped := _GROUPED.fullmatch(value)) and grouped[1] not in (grouped[2], source.thousands):
        decimal = f" and {option_hint('decimal', grouped[2])}" if grouped[2] else ""
        return f"Give {option_hint('thousands', grouped[1])}{decimal} if these are numbers"
    if _COMMA_NUMBER.fullmatch(value) and not source.decimal_comma and source.thousands != ",":
        return f"Give {option_hint('decimal', ',')} if these are numbers"
    return ""


def first_text(source: Source, name: str) -> tuple[Any, int, bool]:
    """Return the first value that is not a number, its row, counted from 1, and whether a batch up to there has numbers.

    The first value if all are numbers.
    """
    first, has_numbers = None, False
    for batch in iter_batches(source, [], [name]):
        labels = batch.labels[name]
        is_odd = [not source.parses_as_number(value) for value in labels.values]
        odd = np.array([*is_odd, False])[labels.codes]
        at = np.flatnonzero(odd if odd.any() else labels.codes >= 0)
        has_numbers = has_numbers or bool((~odd & (labels.codes >= 0)).any())
        if len(at) and (odd.any() or first is None):
            first = labels.values[labels.codes[at[0]]], source.row_number(batch.start + int(at[0]))
        if odd.any():
            break
    return (*(first or (None, 0)), has_numbers)
