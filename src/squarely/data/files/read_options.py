"""`read=`: how to read a file of text or a sheet, where its content does not say so."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from squarely.errors import OptionError, show_value, suggest_name

# The names that pandas, DuckDB and R have for the same options.
_SYNONYMS = {
    "sep": "delimiter", "delim": "delimiter", "skiprows": "skip_rows", "skip": "skip_rows", "na": "na_values",
    "nullstr": "na_values", "decimal_separator": "decimal", "quotechar": "quote", "sheet_name": "sheet", "col_names": "names",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    r"""How to read a file. A field that is None is detected, or has its usual value.

    Attributes
    ----------
    delimiter : the sign between fields, such as ";" or "\t"; "whitespace" for any number of blanks and tabs.
    header : False if the first line has values, not names; the columns are then x1, x2, ... or `names`.
    names : names of the columns, instead of those in the header.
    skip_rows : how many lines to skip at the top, or the numbers of the lines to skip, counted from 1.
    na_values : words that mean a missing value, beside the usual ones.
    decimal, thousands : the signs in numbers, such as "," and ".".
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
    def given(self) -> dict[str, Any]:
        """The options that have a value."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}

    def require_only(self, allowed: Collection[str], label: str, kind: str) -> None:
        """Raise an OptionError if an option is given that does not apply to a kind of file."""
        for name, value in self.given.items():
            if name not in allowed:
                usable = f"Leave it out; {kind} files take {', '.join(sorted(allowed))}" if allowed else "Leave it out"
                raise OptionError(f"read={{{name!r}: {show_value(value)}}} does not apply to {label!r}, a {kind} file. {usable}.")


READ_NAMES = tuple(field.name for field in fields(ReadOptions))


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
        name = _SYNONYMS.get(str(key), str(key))
        if name not in READ_NAMES:
            raise OptionError(f"read= has no option {key!r}. {suggest_name(str(key), READ_NAMES)}")
        if name in values:
            raise OptionError(f"read= has {name!r} twice, also as {key!r}. Give it once.")
        if value is not None:
            values[name] = _CHECKS[name](name, value)
    return ReadOptions(**values)


def _refuse(name: str, value: object, expected: str) -> OptionError:
    return OptionError(f"read={{{name!r}: {show_value(value)}}} is not {expected}.")


def _check_delimiter(name: str, value: object) -> str:
    words = {r"\t": "\t", "tab": "\t", "space": " ", r"\s+": "whitespace"}
    if isinstance(value, str):
        value = words.get(value, value)
    if not isinstance(value, str) or (value != "whitespace" and (len(value) != 1 or value in '\r\n"')):
        raise _refuse(name, value, "a single character, 'tab' or 'whitespace'")
    return value


def _check_sign(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) != 1 or value in "\r\n":
        raise _refuse(name, value, "a single character")
    return value


def _check_header(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _refuse(name, value, "True or False")
    return value


def _check_texts(name: str, value: object) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence | set | frozenset) else ()
    if not texts or not all(isinstance(text, str) for text in texts):
        raise _refuse(name, value, "a list of texts, such as ['a', 'b']")
    return texts


def _check_names(name: str, value: object) -> tuple[str, ...]:
    names = _check_texts(name, value)
    if twice := next((each for each in names if names.count(each) > 1), None):
        raise OptionError(f"read={{'names': ...}} has {twice!r} twice. Give each column a name of its own.")
    return names


def _check_skip_rows(name: str, value: object) -> int | tuple[int, ...]:
    def is_count(number: object, least: int) -> bool:
        return isinstance(number, int) and not isinstance(number, bool) and number >= least

    if isinstance(value, int) and is_count(value, 0):
        return value
    if isinstance(value, Sequence) and value and all(is_count(number, 1) for number in value):
        return tuple(sorted(set(value)))
    raise _refuse(name, value, "a number of lines, or a list of numbers of lines counted from 1")


def _check_encoding(name: str, value: object) -> str:
    try:
        return codecs.lookup(value).name  # type: ignore[arg-type]
    except (LookupError, TypeError, ValueError):
        raise _refuse(name, value, "the name of an encoding, such as 'latin-1', 'cp1252' or 'utf-16'") from None


def _check_sheet(name: str, value: object) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "" or (isinstance(value, int) and value < 1):
        raise _refuse(name, value, "the name of a sheet, or its number counted from 1")
    return value


_CHECKS = {
    "delimiter": _check_delimiter, "header": _check_header, "names": _check_names, "skip_rows": _check_skip_rows,
    "na_values": _check_texts, "decimal": _check_sign, "thousands": _check_sign, "encoding": _check_encoding,
    "comment": _check_sign, "quote": _check_sign, "sheet": _check_sheet,
}  # fmt: skip
