"""Explain why DuckDB cannot read a CSV file: its header, encoding, line ends, or a line with another number of fields."""

from __future__ import annotations

import csv
import re
import zlib
from contextlib import suppress

from squarely.data.files.csv.encoding import CsvText
from squarely.errors import DataError, pluralize

_LONGEST_LINE = 1_000_000
_LONGEST_QUOTE = 300
_QUOTED_PART = re.compile(r'"(?:[^"]|"")*"')
_COLUMN_COUNT_ERRORS = ("Number of Columns", "sniffing", "TOO MANY COLUMNS")


def read_header(text: CsvText) -> str:
    """Return the header line without its quoted parts, which may hold line ends; null bytes or a blank line are a DataError."""
    label = text.file.label
    with text.file.reading("CSV"), text.open() as file:
        first = file.read(_LONGEST_LINE)
    if "\0" in first:
        raise DataError(f"The file {label!r} has null bytes, as UTF-16 text and binary files have. Save it as UTF-8 text.")
    if not re.split(r"[\r\n]", first, maxsplit=1)[0].strip():
        raise DataError(f"The first line of {label!r} is blank. Begin the file with a line of column names.")
    return re.split(r"[\r\n]", _QUOTED_PART.sub("", first), maxsplit=1)[0]


def unreadable_error(text: CsvText, delimiter: str, error: Exception) -> DataError:
    """Return the error for a file that DuckDB cannot read; raise another one if the file has changed meanwhile."""
    text.file.require_unchanged()
    label = text.file.label
    message = str(error).replace(text.pattern, label).replace(str(text.path), label)
    reason = (
        _describe_uneven_line(text, delimiter, message)
        or _describe_encoding(text)
        or f"DuckDB says: {' '.join(message.splitlines()[:2])[:_LONGEST_QUOTE].rstrip('.')}. Correct it, or save it again as CSV."
    )
    return DataError(f"The file {label!r} cannot be read as CSV with a header line: {reason}")


def _describe_encoding(text: CsvText) -> str:
    """Describe what is wrong with the encoding or line ends of the beginning; DuckDB reports many other causes for it."""
    try:
        with text.open(errors="strict") as file:
            first = file.read(_LONGEST_LINE)
    except UnicodeError:
        return "it is not encoded in UTF-8. Save it as UTF-8 text."
    except (OSError, EOFError, zlib.error):
        return ""
    ends = set(re.findall(r"\r\n|\r|\n", _QUOTED_PART.sub("", first)))
    return "its lines end in different ways. Save it with one kind of line end." if len(ends) > 1 else ""


def _describe_uneven_line(text: CsvText, delimiter: str, message: str) -> str:
    """Describe the first line with another number of fields than the header, if DuckDB failed because of it."""
    if not any(sign in message for sign in _COLUMN_COUNT_ERRORS):
        return ""
    with suppress(csv.Error, OSError, EOFError, zlib.error), text.open() as file:
        lines = csv.reader(file, delimiter=delimiter)
        header, expected = len(next(lines, [])), 0
        for fields in lines:
            expected = expected or (header + 1 if len(fields) == header + 1 and not fields[-1] else header)
            if fields and len(fields) != expected:
                others = f"{'the header has' if expected == header else 'the lines before it have'} {expected:,}"
                return f"line {lines.line_num:,} has {pluralize(len(fields), 'field')}, and {others}. Correct that line."
    return ""  # DuckDB's own words have to do
