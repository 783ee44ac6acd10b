"""`read=`: how to read a file of text or a sheet, where its content does not say so."""

from __future__ import annotations

import codecs
import io
import itertools
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from squarely.data.dtypes import parses_as_number
from squarely.data.source import DECIMAL_COMMA
from squarely.errors import READ_OPTIONS, READ_SYNONYMS, OptionError, join_words, listed, pluralize, show_value, suggest_name

_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    r"""How to read a file. A field that is None is detected, or has its usual value.

    Attributes
    ----------
    delimiter : the sign between fields, such as ";" or "\t"; "whitespace" for any number of blanks and tabs.
    header : False if the first line has values, not names; the columns are then x1, x2, ... or `names`.
    names : names of the columns. As in pandas and readr the first line then has values; with header=True they replace its names.
    skip_rows : how many lines to skip at the top, or the numbers of the lines to skip, counted from 1.
    na_values : words that mean a missing value, beside the usual ones. A number also means the same number written otherwise.
    decimal : the decimal sign, "." or ",".
    thousands : the sign between groups of digits, such as ".".
    encoding : the encoding of the text, such as "latin-1", "cp1252" or "utf-16".
    comment : a sign that begins a comment, at the start of a line or behind its values.
    quote : the sign around texts, usually '"'.
    sheet : the name of a sheet of a workbook, or its number, counted from 1.
    """

    delimiter: str | None = None
    header: bool | None = None
    names: tuple[str, ...] | None = None
    skip_rows: int | tuple[int, ...] | None = None
    na_values: tuple[str, ...] | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    comment: str | None = None
    quote: str | None = None
    sheet: str | int | None = None

    @property
    def explicit(self) -> dict[str, Any]:
        """The options that have a value."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}

    @property
    def has_header(self) -> bool:
        """Whether the first line has names."""
        return self.names is None if self.header is None else self.header

    @property
    def na_numbers(self) -> tuple[float, ...]:
        """The numbers among `na_values`."""
        numbers = [float(word) for word in self.na_values or () if parses_as_number(word)]
        return tuple(dict.fromkeys(number for number in numbers if not math.isnan(number)))

    def describe(self) -> str:
        """Describe the options of a text file for the summary. It leaves out a decimal comma, which has another note.

        >>> ReadOptions(delimiter=";", skip_rows=(1, 3), na_values=("?",)).describe()
        "delimiter ';', lines 1 and 3 skipped, '?' for a missing value"
        """
        return ", ".join(text for name, value in self.explicit.items() if name in _WORDING and (text := _WORDING[name](value)))

    def require_only(self, allowed: Collection[str], label: str, kind: str) -> None:
        """Raise an OptionError if an option is given that does not apply to a kind of file."""
        for name, value in self.explicit.items():
            if name not in allowed:
                usable = f"Leave it out; {kind} files take {', '.join(sorted(allowed))}" if allowed else "Leave it out"
                raise OptionError(f"read={{{name!r}: {show_value(value)}}} does not apply to {label!r}, a {kind} file. {usable}.")


def _describe_skipped(skip_rows: int | tuple[int, ...]) -> str:
    if isinstance(skip_rows, int):
        return f"{pluralize(skip_rows, 'line')} skipped" if skip_rows else ""
    return f"{'line' if len(skip_rows) == 1 else 'lines'} {join_words([f'{number:,}' for number in skip_rows])} skipped"


_WORDING: dict[str, Callable[[Any], str]] = {
    "delimiter": lambda sign: "whitespace between values" if sign == "whitespace" else f"delimiter {sign!r}",
    "header": lambda has_header: "" if has_header else "no header",
    "names": lambda names: f"the names {listed(map(repr, names), most=3)}",
    "skip_rows": _describe_skipped,
    "na_values": lambda words: f"{join_words([*map(repr, words)])} for a missing value",
    "decimal": lambda sign: "" if sign == "," else "a decimal point",
    "thousands": lambda sign: f"{sign!r} between thousands",
    "encoding": lambda name: f"encoding {name!r}",
    "comment": lambda sign: f"comments behind {sign!r}",
    "quote": lambda sign: f"{sign!r} as quotes",
}


def dialect_notes(read: Mapping[str, object] | None) -> frozenset[str]:
    """Return the notes of a source that say what its `dialect` says, too, for a file that was opened with these options."""
    return frozenset([DECIMAL_COMMA, "UTF-16", parse_read_options(read).describe()])


def parse_read_options(read: Mapping[str, object] | None) -> ReadOptions:
    """Check the argument `read=` of a public function.

    >>> parse_read_options({"sep": ";", "na_values": "?"})
    ReadOptions(delimiter=';', header=None, names=None, skip_rows=None, na_values=('?',), decimal=None, thousands=None, \
encoding=None, comment=None, quote=None, sheet=None)
    """
    if read is None:
        return ReadOptions()
    if not isinstance(read, Mapping):
        raise OptionError(f"read={show_value(read)} is not a mapping of options. Give one such as read={{'delimiter': ';'}}.")
    values: dict[str, Any] = {}
    for key, value in read.items():
        name = READ_SYNONYMS.get(str(key), str(key))
        if name not in READ_OPTIONS:
            raise OptionError(f"read= has no option {key!r}. {suggest_name(str(key), READ_OPTIONS)}")
        if name in values:
            raise OptionError(f"read= has {name!r} twice, also as {key!r}. Give it once.")
        if value is not None:
            values[name] = _CHECKS[name](name, value)
    _require_different_signs(values)
    return ReadOptions(**values)


def _require_different_signs(values: Mapping[str, Any]) -> None:
    """Raise an OptionError if two options have the same sign; numbers with thousands may stand in quotes between commas."""
    for one, other in itertools.combinations(("delimiter", "decimal", "thousands", "comment", "quote"), 2):
        sign, quote = values.get(one), '"' if other == "quote" else None
        if sign is not None and sign == values.get(other, quote) and (one, other) != ("delimiter", "thousands"):
            advice = "leave out delimiter if such numbers are in quotes" if other == "decimal" else "leave out one of them"
            raise OptionError(f"The {one} and the {other} sign of read= are both {sign!r}. Give two signs, or {advice}.")


def _refuse(name: str, value: object, expected: str) -> OptionError:
    return OptionError(f"read={{{name!r}: {show_value(value)}}} is not {expected}.")


def _check_delimiter(name: str, value: object) -> str:
    words = {r"\t": "\t", "tab": "\t", "space": " ", r"\s+": "whitespace"}
    if isinstance(value, str):
        value = words.get(value, value)
    if not isinstance(value, str) or (value != "whitespace" and (len(value) != 1 or value in '\0\r\n"')):
        raise _refuse(name, value, "a single character, 'tab' or 'whitespace'")
    return value


def _check_sign(name: str, value: object) -> str:
    if isinstance(value, str) and _ESCAPE.fullmatch(value):  # a no-break space on the command line
        value = chr(int(value[2:], 16))
    if not isinstance(value, str) or len(value) != 1 or value in "\0\r\n":
        raise _refuse(name, value, "a single character")
    if name in ("thousands", "quote") and (value.isalnum() or value in "+-"):
        raise _refuse(name, value, 'a sign, such as "\'"')
    if name == "quote" and not value.isascii():
        raise _refuse(name, value, 'an ASCII character, such as "\'"')
    return value


def _check_decimal(name: str, value: object) -> str:
    if not isinstance(value, str) or value not in {".", ","}:
        raise _refuse(name, value, "'.' or ','")
    return value


def _check_header(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _refuse(name, value, "True or False")
    return value


def _list_items(value: object) -> tuple[Any, ...]:
    """Return the items of a list, a set or an array; a text or a number is one item."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | Mapping) else (value,)


def _check_texts(name: str, value: object) -> tuple[str, ...]:
    texts = _list_items(value)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise _refuse(name, value, "a list of texts, such as ['a', 'b']")
    return tuple(map(str, texts))


def _check_words(name: str, value: object) -> tuple[str, ...]:
    """Return words; -999 is also -999.0, as in pandas."""
    words: list[Any] = []
    for each in _list_items(value):
        if not isinstance(each, Real) or isinstance(each, bool):
            words.append(each)
        elif float(each).is_integer():
            words += [f"{float(each):.0f}", f"{float(each)}"]
        else:
            words.append(str(float(each)))
    return tuple(dict.fromkeys(_check_texts(name, words)))


def _check_names(name: str, value: object) -> tuple[str, ...]:
    names = _check_texts(name, value)
    if twice := next((each for each in names if names.count(each) > 1), None):
        raise OptionError(f"The names for the columns have {twice!r} twice. Give each column another one.")
    return names


def _check_skip_rows(name: str, value: object) -> int | tuple[int, ...]:
    def is_count(number: object, least: int) -> bool:
        return isinstance(number, Integral) and not isinstance(number, bool) and int(number) >= least

    if isinstance(value, Integral) and is_count(value, 0):
        return int(value)
    lines = _list_items(value)
    if lines and all(is_count(number, 1) for number in lines):
        return tuple(sorted({int(number) for number in lines}))
    raise _refuse(name, value, "a number of lines, or a list of numbers of lines counted from 1")


def _check_encoding(name: str, value: object) -> str:
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=value)  # type: ignore[arg-type]  # refuses codecs such as base64
        return codecs.lookup(value).name  # type: ignore[arg-type]
    except (LookupError, TypeError, ValueError):
        raise _refuse(name, value, "the name of an encoding, such as 'latin-1', 'cp1252' or 'utf-16'") from None


def _check_sheet(name: str, value: object) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "" or (isinstance(value, int) and value < 1):
        raise _refuse(name, value, "the name of a sheet, or its number counted from 1")
    return value


_CHECKS = {
    "delimiter": _check_delimiter, "header": _check_header, "names": _check_names, "skip_rows": _check_skip_rows,
    "na_values": _check_words, "decimal": _check_decimal, "thousands": _check_sign, "encoding": _check_encoding,
    "comment": _check_sign, "quote": _check_sign, "sheet": _check_sheet,
}  # fmt: skip
