"""Explain why DuckDB cannot read a CSV file: its header, encoding, line ends, or a line with another number of fields."""

from __future__ import annotations

import csv
import itertools
import re
import zlib
from collections import deque
from contextlib import suppress

from squarely.data.dtypes import parses_as_number
from squarely.data.files.csv.text.csv_text import CsvText, read_gzip
from squarely.errors import DataError, option_hint, pluralize

_LONGEST_LINE = 1_000_000
_SIGNS = 100
_LONGEST_QUOTE = 300
LONG_LINE = "Maximum line size"  # in DuckDB's message
_NEXT_LINES, _MOST_SKIPPED, _MOST_NAMES = 5, 20, 12
_COLUMN_COUNT_ERRORS = ("Number of Columns", "sniffing", "TOO MANY COLUMNS")


def read_header(text: CsvText) -> str:
    """Return the header line without its quoted parts, which may hold line ends; null bytes or a blank line are a DataError."""
    label = text.file.label
    first = text.read_head(_LONGEST_LINE)
    if "\0" in first:
        advice = f", or say its encoding: read={{'encoding': {wide!r}}}" if (wide := _guess_utf16(first[:_SIGNS])) else ""
        raise DataError(f"The file {label!r} has null bytes, as UTF-16 text and binary files have. Save it as UTF-8 text{advice}.")
    if not first.strip() and text.number_lines is not None:
        raise DataError(f"The file {label!r} has only lines that are blank, skipped or comments. Give a file with rows.")
    if not re.split(r"[\r\n]", first, maxsplit=1)[0].strip():
        names = "a line of column names, or skip it with read={'skip_rows': 1}"
        raise DataError(f"The first line of {label!r} is blank. Begin the file with {names}.")
    return re.split(r"[\r\n]", _quoted_part(text).sub("", first), maxsplit=1)[0]


def _guess_utf16(first: str) -> str:
    """Return the name of UTF-16 if null bytes alternate with others, as in Western text."""
    nulls = [first[start::2].count("\0") for start in (0, 1)]
    return "" if min(nulls) or max(nulls) < 2 else "utf-16-be" if nulls[0] else "utf-16-le"


def _quoted_part(text: CsvText) -> re.Pattern[str]:
    sign = re.escape(text.quotes.sign)
    return re.compile(f"{sign}(?:[^{sign}]|{sign}{sign})*{sign}")


def unreadable_error(text: CsvText, delimiter: str, error: Exception) -> DataError:
    """Return the error for a file that DuckDB cannot read; raise another one if it has changed, or is a damaged gzip."""
    text.file.require_unchanged()
    if text.is_gzip:
        with text.file.reading("CSV"):
            deque(read_gzip(text.path), maxlen=0)
    label = text.file.label
    message = str(error).replace(text.pattern, label).replace(str(text.path), label)
    message = re.sub(r"(?<=Line: )\d+", lambda number: str(text.find_line(int(number[0]))), message)
    reason = (
        _describe_long_line(message)
        or _describe_backslashes(text, delimiter)
        or _describe_uneven_line(text, delimiter, message)
        or _describe_encoding(text)
        or f"DuckDB says: {' '.join(message.splitlines()[:2])[:_LONGEST_QUOTE].rstrip('.')}. Correct it, or save it again as CSV."
    )
    return DataError(f"The file {label!r} cannot be read as CSV{' with a header line' if text.has_header else ''}: {reason}")


def _describe_long_line(message: str) -> str:
    """Describe a line that is longer than DuckDB accepts: often a quote that is not closed."""
    if LONG_LINE not in message:
        return ""
    line, size = re.search(r"Line: (\d+)", message), re.search(r"Actual Size: ?(\d+)", message)
    where = f"line {int(line[1]):,}" if line else "a line"
    long = f"at least {int(size[1]):,} bytes long" if size else "too long"
    return f"{where} is {long}, with the lines that its quotes join. Close its quotes, or leave out such texts."


def _describe_encoding(text: CsvText) -> str:
    """Describe what is wrong with the encoding or line ends of the beginning; DuckDB reports many other causes for it."""
    try:
        with text.open(errors="strict") as file:
            first = file.read(_LONGEST_LINE)
    except UnicodeError:
        return f"it is not encoded in UTF-8. Save it as UTF-8 text, or say its encoding, such as {_guess_encoding(text)}."
    except (OSError, EOFError, zlib.error):
        return ""
    ends = set(re.findall(r"\r\n|\r|\n", _quoted_part(text).sub("", first)))
    return "its lines end in different ways. Save it with one kind of line end." if len(ends) > 1 else ""


def _describe_backslashes(text: CsvText, delimiter: str) -> str:
    """Describe the first quote within a text that has a backslash before it, as MySQL writes, in place of a second quote."""
    sign = text.quotes.sign
    inside = re.compile(rf"\\{re.escape(sign)}(?![{re.escape(delimiter)}\r\n]|$)")  # "C:\" is a text that ends there
    with suppress(OSError, EOFError, zlib.error, UnicodeError), text.open() as file:
        first = file.read(_LONGEST_LINE)
        if found := inside.search(first):
            line = text.find_line(first.count("\n", 0, found.start()) + 1)
            return (
                f"a backslash escapes a quote in line {line:,}, as MySQL writes it, and in CSV two quotes do. Load it in Python "
                f"with pandas.read_csv({text.file.label!r}, escapechar='\\\\'), and pass the DataFrame or save it as CSV."
            )
    return ""


def _guess_encoding(text: CsvText) -> str:
    """Return the option with the likely 8-bit encoding: the bytes 0x80 to 0x9f are signs in Windows-1252 and none in Latin-1."""
    with text.open(errors="surrogateescape") as file:
        odd = re.findall("[\udc80-\udc9f]", file.read(_LONGEST_LINE))
    return "read={'encoding': 'cp1252'}" if odd else "read={'encoding': 'latin-1'}"


def _describe_uneven_line(text: CsvText, delimiter: str, message: str) -> str:
    """Describe the first line with another number of fields than the header, if DuckDB failed because of it."""
    if not any(sign in message for sign in _COLUMN_COUNT_ERRORS):
        return ""
    with suppress(csv.Error, OSError, EOFError, zlib.error), text.open() as file:
        lines = csv.reader(file, delimiter=delimiter, quotechar=text.quotes.sign)
        header, expected = next(lines, []), 0
        for fields in lines:
            is_first = not expected
            expected = expected or (len(header) + 1 if len(fields) == len(header) + 1 and not fields[-1] else len(header))
            if fields and len(fields) != expected:
                first = "the header has" if text.has_header else "the first line has"
                others = f"{first if expected == len(header) else 'the lines before it have'} {expected:,}"
                line = text.find_line(lines.line_num)
                sizes = {len(each) for each in itertools.islice(lines, _NEXT_LINES) if each} | {len(fields)}
                is_table = text.has_header and len(sizes) == 1 and len(fields) > expected == len(header)
                advice = _advise_on_header(header, fields, delimiter) if text.has_header and is_first else ""
                if is_table and not advice:
                    advice = (_advise_on_row_names(text, header, fields) if is_first else "") or (
                        _advise_on_titles(text, line) if line <= _MOST_SKIPPED else ""
                    )
                return f"line {line:,} has {pluralize(len(fields), 'field')}, and {others}. {advice or _advise_on_line(text, line)}"
    return ""  # DuckDB's own words have to do


def _advise_on_header(header: list[str], fields: list[str], delimiter: str) -> str:
    """Return advice for a header behind a comment sign, as numpy.savetxt writes it, and for one column with decimal commas."""
    if header and header[0] in ("#", "%") and len(fields) == len(header) - 1:
        return f"If the names are behind a comment sign, give read={{'skip_rows': 1, 'names': {header[1:][:_MOST_NAMES]}}}."
    if delimiter == "," and len(header) == 1 and len(fields) == 2 and all(map(str.isdigit, fields)):
        return f"If the commas are decimal, give another delimiter: {option_hint('delimiter', ';')}."
    return ""


def _advise_on_row_names(text: CsvText, header: list[str], fields: list[str]) -> str:
    """Return advice for lines that begin with the name of a row, which has no name in the header, as R writes them."""
    is_row = any(map(parses_as_number, fields)) and not any(map(parses_as_number, header))
    if len(fields) != len(header) + 1 or not is_row or not all(header):
        return ""
    options = f"read={{'skip_rows': {text.find_line(1)}, 'names': {['row', *header][:_MOST_NAMES]}}}"
    more = " and so on" if len(header) >= _MOST_NAMES else ""
    return f"If each line begins with the name of a row, as R writes it, name all columns: {options}{more}."


def _advise_on_titles(text: CsvText, line: int) -> str:
    """Return advice for a table that begins below lines of titles or comments."""
    sign = text.read_head(1)
    if sign in ("#", "%"):
        return f"If the lines above are comments, leave them out with {option_hint('comment', sign)}."
    return f"If the names are in line {line:,}, skip the lines before it with {option_hint('skip_rows', line - 1)}."


def _advise_on_line(text: CsvText, line: int) -> str:
    """Return advice for a line that does not belong to the table, such as a footer."""
    skipped = text.list_removed_lines(line)
    if len(skipped) >= _MOST_SKIPPED:
        return "Correct that line."
    return f"Correct that line, or skip it with {option_hint('skip_rows', [*skipped, line])} if it is not a row."
