"""What the first lines of a CSV file say about it: its delimiter, whitespace, Excel's `sep=` line, and whether they have names."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from squarely.data.dtypes import parses_as_number
from squarely.data.files.csv.delimiter import WHITESPACE, guess_delimiter, is_number
from squarely.data.files.csv.diagnosis import read_header
from squarely.data.files.csv.text.csv_text import CsvText, open_text
from squarely.data.files.csv.text.line_filter import squeeze_blanks, whole_records
from squarely.data.files.local_file import LocalFile
from squarely.data.files.read_options import ReadOptions
from squarely.data.pandas_io import PandasReadCall, pandas_read_csv_call
from squarely.errors import DataError, OptionError, listed, pluralize

_SAMPLE, _LONGEST_SAMPLE = 2**16, 2**21  # characters
_EXCEL_LENGTH = len('"sep=;"') + 1
_EXCEL_LINE = re.compile(r'"?sep=(.)"?(?=[\r\n])')
_TAB_SUFFIXES = {".tsv", ".tab"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """How a CSV file is written, as its user and its first lines say.

    Attributes
    ----------
    text : the text that DuckDB reads.
    options : the user's options, and what was detected where the user says nothing.
    sign : the delimiter of `text`, a tab if the file has whitespace between values.
    encoding : of the file.
    notes : for the summary.
    """

    text: CsvText
    options: ReadOptions
    sign: str
    encoding: str
    notes: tuple[str, ...]


def detect_text(file: LocalFile, options: ReadOptions) -> Detected:
    """Open a CSV file, and detect its delimiter if `options` has none."""
    text, encoding = open_text(file, options)
    header, notes = read_header(text), []
    if encoding.startswith("utf-16") and options.encoding is None:
        notes.append("UTF-16")
    if described := options.describe():
        notes.append(described)
    if options.delimiter is None and options.skip_rows is None and (line := _EXCEL_LINE.match(text.read_head(_EXCEL_LENGTH))):
        options = replace(options, skip_rows=1, delimiter=line[1])
        text, _ = open_text(file, options)
        notes.append(f"the delimiter of its first line, sep={line[1]}")
        header = read_header(text)
    if options.delimiter is None:
        options = replace(options, delimiter=_detect_delimiter(text, header))
        if options.delimiter == WHITESPACE:
            notes.append("whitespace between values")
    sign = str(options.delimiter)
    if sign == WHITESPACE:
        sign, quotes = "\t", replace(text.quotes, delimiters=" \t")
        text = text.rewrite(lambda pieces: squeeze_blanks(pieces, quotes), quotes=quotes)
    if options.names and options.header is None:
        rows = itertools.islice(text.iter_first_rows(sign, _SAMPLE), 2)
        require_values(rows, is_number, f"The first line of {text.file.label}")
    for word in options.na_values or ():
        if sign in word or text.quotes.sign in word:
            raise OptionError(
                f"read={{'na_values': {word!r}}} has the delimiter or a quote in it, which no field has. Leave it out."
            )
    return Detected(text=text, options=options, sign=sign, encoding=encoding, notes=tuple(notes))


def describe_dialect(options: ReadOptions, encoding: str, *, is_decimal: bool) -> dict[str, str]:
    """Return what was found about a file, for `preview`; `is_decimal` is for a decimal comma."""
    sign = str(options.delimiter)
    return {
        "delimiter": {"\t": "tab", " ": "space"}.get(sign, sign),
        "decimal": "," if is_decimal else ".",
        "encoding": encoding.upper(),
        "header": "the first line" if options.has_header else "none",
    }


def _detect_delimiter(text: CsvText, header: str) -> str:
    if "\t" in header and _TAB_SUFFIXES & {suffix.lower() for suffix in Path(text.file.name).suffixes}:
        return "\t"
    for size in (_SAMPLE, _LONGEST_SAMPLE):
        head = text.read_head(size)
        sample = head if len(head) < size else whole_records(head, text.quotes)
        if sample:
            break
    return guess_delimiter(sample or head, header, text.quotes.sign)


def require_values(rows: Iterable[Sequence[Any]], is_number: Callable[[Any], bool], what: str) -> None:
    """Raise a DataError if the first row, which is `what`, has no number, and the next one has some: the user may replace names."""
    first, second = [*rows, [], []][:2]
    if not any(map(is_number, first)) and any(map(is_number, second)):
        raise DataError(
            f"{what}, {listed((cell for cell in first if cell is not None), most=4)}, looks like names. Replace them by yours with "
            "read={'header': True}, or read it as a row with read={'header': False}."
        )


def choose_names(first: Sequence[str], width: int, options: ReadOptions, label: str) -> list[str]:
    """Return the names of `width` columns: those of the first line, x1, x2, ..., or the user's."""
    names = [*first[:width]] if options.has_header else [f"x{i}" for i in range(1, width + 1)]
    if options.names is not None and len(options.names) != width:
        found, columns = len(options.names), pluralize(width, "column")
        raise OptionError(
            f"There {'is' if found == 1 else 'are'} {pluralize(found, 'name')} for the {columns} of {label}. Give one for each."
        )
    return names if options.names is None else [*options.names]


def describe_numeric_names(names: Sequence[str], types: Sequence[str], label: str) -> tuple[str, str]:
    """Return a note if the names in the header may be the first row, and an error for a fit if they certainly are.

    They may be if each column of numbers has a number for its name, such as 5.1. Numbers in order may be names, such as years.

    >>> describe_numeric_names(["1990", "1991"], ["DOUBLE", "DOUBLE"], "a.csv")
    ('', '')
    """
    heads = [name for name, kind in zip(names, types, strict=True) if kind in _NUMBER_TYPES]
    if len(heads) < 2 or not all(map(parses_as_number, heads)):
        return "", ""
    numbers = [float(name) for name in heads]
    are_integers = all(number == number // 1 for number in numbers)
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    in_order = all(step > 0 for step in steps) or all(step < 0 for step in steps)
    if in_order and are_integers and 1000 <= min(numbers) <= max(numbers) < 3000:
        return "", ""
    if in_order and (are_integers or len(numbers) > 3):
        found = f"names from the first line, {listed(names, most=4)}, which may be data"
        return f"{found}: read={{'header': False}} reads it as a row", ""
    return "", (
        f"The first line of {label} looks like data and not like names: {listed(names, most=4)}. Read it as a row with "
        "read={'header': False}, or as names with read={'header': True}."
    )


_NUMBER_TYPES = ("BIGINT", "DOUBLE", "INTEGER", "HUGEINT")


def make_pandas_call(
    file: LocalFile,
    detected: Detected,
    names: Sequence[str],
    nulls: tuple[str, ...],
    *,
    is_decimal_comma: bool,
    has_extra_field: bool,
) -> PandasReadCall:
    """Return the call of pandas that reads the same rows, for the script of a run."""
    options = detected.options
    chosen = options.names or (None if options.has_header else names)
    return pandas_read_csv_call(
        str(file.real_path),
        delimiter=str(options.delimiter),
        nulls=nulls,
        decimal="," if is_decimal_comma else ".",
        encoding=detected.encoding,
        is_gzip=file.is_gzip,
        has_extra_field=has_extra_field,
        names=chosen and list(chosen),
        has_header=options.has_header,
        skip_rows=options.skip_rows,
        thousands=options.thousands,
        comment=options.comment,
        quote=options.quote,
    )
