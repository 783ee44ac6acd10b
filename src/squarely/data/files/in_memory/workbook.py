"""Sheets of Excel and OpenDocument workbooks, through python-calamine; a formula has the value that was saved with it."""

from __future__ import annotations

import datetime
import io
import math
import re
from collections.abc import Iterator, Sequence
from itertools import dropwhile
from typing import Any

import pyarrow as pa

from squarely.data.dtypes import parses_as_number
from squarely.data.files.csv.dialect import choose_names, require_values
from squarely.data.files.csv.source import NULL_WORDS
from squarely.data.files.in_memory.whole_file import WholeFileSource
from squarely.data.files.local_file import LocalFile
from squarely.data.files.read_options import ReadOptions
from squarely.errors import DataError, MissingExtraError, first_line, join_words, listed, option_hint
from squarely.numerics import EXACT_INTEGERS

try:
    import python_calamine as calamine
except ImportError:
    raise MissingExtraError("Reading a workbook", "python-calamine", "excel") from None

_OPTIONS = ("sheet", "header", "names", "skip_rows", "na_values")
_LEADING_ZERO = re.compile(r"\s*[-+]?0\d")
_TEMPORAL = (datetime.date, datetime.time, datetime.timedelta)
Cells = list[Any]  # None where a cell is empty or has an error


def open_workbook(file: LocalFile, options: ReadOptions) -> WholeFileSource:
    """Open a sheet as a table: the first one, or that of the option `sheet`.

    The first row with a value is the header, and the rows that `skip_rows` counts are those of the sheet. Empty rows and columns
    around the table are left out. A number in a cell of text is a number if all texts of its column are.

    Raises
    ------
    DataError : the workbook is damaged or has a password, there is no such sheet, or it has no table.
    """
    options.require_only(_OPTIONS, file.label, "spreadsheet")
    try:
        with file.reading("a workbook"), _open_by_content(file) as workbook:
            names = [each.name for each in workbook.sheets_metadata if each.typ == calamine.SheetTypeEnum.WorkSheet]
            name = _choose_sheet(names, options.sheet, file.label)
            sheet = workbook.get_sheet_by_name(name)
            rows, merged = sheet.to_python(skip_empty_area=False), sheet.merged_cell_ranges or []
    except calamine.PasswordError as error:
        raise DataError(f"The workbook {file.label!r} has a password. Save it without one, or save the sheet as CSV.") from error
    except calamine.CalamineError as error:
        raise DataError(
            f"The file {file.label!r} cannot be read as a workbook: {first_line(error)}. Save it again, or save the sheet as CSV."
        ) from error
    others = [each for each in names if each != name]
    columns, first = _read_table(_number_rows(rows, options), options, name, file.label, others)
    notes: tuple[str, ...] = (f"sheet {name!r}",)
    if others and options.sheet is None:
        notes = (f"sheet {name!r}, and not {listed(map(repr, others), most=5)}",)
    if any(begin[0] >= first and begin != end for begin, end in merged):
        notes += ("merged cells, whose value only the first of them has",)
    arrays, converted = [], []
    for label, cells in columns:
        array, is_converted = _to_array(cells, {*NULL_WORDS, *(options.na_values or ())}, options.na_numbers)
        arrays.append(array)
        converted += [label] if is_converted else []
    if converted:
        notes += (f"numbers that are stored as text in {join_words([*map(repr, converted)])}",)
    source = WholeFileSource(pa.Table.from_arrays(arrays, names=[label for label, _ in columns]), file.label, notes)
    if others and options.sheet is None:
        source.name_hint = f"For another sheet, give {option_hint('sheet', others[0])}."
    if source.columns and columns[0][0] == "":
        source.index_columns = frozenset([""])  # the row labels that pandas and R write
    return source


def _open_by_content(file: LocalFile) -> calamine.CalamineWorkbook:
    """Open a workbook by its name, which is wrong for a zip file, as of Excel 2007 on, that is called .xls."""
    if file.head(2) == b"PK" and file.path.suffix.lower() == ".xls":
        return calamine.CalamineWorkbook.from_filelike(io.BytesIO(file.path.read_bytes()))
    return calamine.CalamineWorkbook.from_path(str(file.path))


def _choose_sheet(names: Sequence[str], chosen: str | int | None, label: str) -> str:
    if not names:
        raise DataError(f"The workbook {label!r} has no sheet with cells. Give another file.")
    if chosen is None:
        return names[0]
    known = f"Its sheets are {listed(map(repr, names))}."
    if isinstance(chosen, int):
        if chosen > len(names):
            raise DataError(f"The workbook {label!r} has no sheet number {chosen:,}. {known}")
        return names[chosen - 1]
    if chosen not in names:
        raise DataError(f"The workbook {label!r} has no sheet {chosen!r}. {known}")
    return chosen


def _number_rows(rows: Sequence[Cells], options: ReadOptions) -> Iterator[tuple[int, Cells]]:
    """Yield the rows that are not skipped with their positions, from the first one with a value; empty cells become None."""
    skip = options.skip_rows or 0
    skipped = set(range(1, skip + 1)) if isinstance(skip, int) else set(skip)
    numbered = ((i, [None if cell == "" else cell for cell in row]) for i, row in enumerate(rows) if i + 1 not in skipped)
    return dropwhile(lambda row: all(cell is None for cell in row[1]), numbered)


def _read_table(
    rows: Iterator[tuple[int, Cells]], options: ReadOptions, sheet: str, label: str, others: Sequence[str]
) -> tuple[list[tuple[str, Cells]], int]:
    """Return the columns with their names, and the position of the first row of values."""
    table = list(rows)
    while table and all(cell is None for cell in table[-1][1]):
        table.pop()
    where = f"The sheet {sheet!r} of {label!r}"
    if not table:
        more = f"Choose another by the option sheet: {listed(map(repr, others))}." if others else "Give another file."
        raise DataError(f"{where} is empty. {more}")
    if options.names and options.header is None:
        what = f"The first row of the sheet {sheet!r} of {label!r}"
        require_values([row for _, row in table[:2]], lambda cell: isinstance(cell, float | int), what)
    header = table.pop(0)[1] if options.has_header else [None] * len(table[0][1])
    used = [j for j in range(len(header)) if header[j] is not None or any(row[j] is not None for _, row in table)]
    used = list(range(used[0], used[-1] + 1)) if used else []
    named = [header[j] for j in used if header[j] is not None]
    if options.has_header and options.names is None and len(named) == 1 and len(used) > 1:
        above = next((i for i, row in table if sum(row[j] is not None for j in used) > 1), 1)
        raise DataError(
            f"{where} has one cell, {named[0]!r}, in the first row of its {len(used):,} columns: a title may stand above the "
            f"header. If the header is in row {above + 1}, skip the rows above it with {option_hint('skip_rows', above)}."
        )
    first = ["" if header[j] is None else _to_text(header[j]) for j in used]
    names = choose_names(first, len(used), options, label)
    columns = [(name, [row[j] for _, row in table]) for name, j in zip(names, used, strict=True)]
    return columns, table[0][0] if table else 0


def _to_text(cell: Any) -> str:
    """Write a cell as a person sees it: a whole number without a decimal point.

    >>> _to_text(1990.0), _to_text(0.5), _to_text(True)
    ('1990', '0.5', 'true')
    """
    if isinstance(cell, bool):
        return str(cell).lower()
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() and abs(cell) < EXACT_INTEGERS else str(cell)


def _to_array(cells: Cells, nulls: set[str], null_numbers: Sequence[float]) -> tuple[pa.Array, bool]:
    """Return the cells as an array of one type, and whether it has numbers that were stored as text."""
    cells = [None if cell in null_numbers or (isinstance(cell, str) and cell in nulls) else cell for cell in cells]
    values = [cell for cell in cells if cell is not None]
    if not values:
        return pa.nulls(len(cells)), False
    kinds = {type(value) for value in values}
    if kinds <= {bool}:
        return pa.array(cells, pa.bool_()), False
    if all(isinstance(value, _TEMPORAL) for value in values):
        return _to_dates(cells, kinds), False
    texts = [value for value in values if isinstance(value, str)]
    if kinds <= {int, float, str} and all(_is_number(text) for text in texts):
        numbers = [None if cell is None else float(cell) for cell in cells]
        is_whole = all(number is None or (number.is_integer() and abs(number) < EXACT_INTEGERS) for number in numbers)
        has_sign = any(number == 0 and math.copysign(1, number) < 0 for number in numbers)
        whole = [None if number is None else int(number) for number in numbers] if is_whole and not has_sign else None
        return pa.array(numbers if whole is None else whole, pa.float64() if whole is None else pa.int64()), bool(texts)
    return pa.array([None if cell is None else _to_text(cell) for cell in cells], pa.string()), False


def _is_number(text: str) -> bool:
    return parses_as_number(text) and math.isfinite(float(text)) and not _LEADING_ZERO.match(text)


def _to_dates(cells: Cells, kinds: set[type]) -> pa.Array:
    if kinds <= {datetime.date, datetime.datetime}:
        return pa.array([datetime.datetime(c.year, c.month, c.day) if type(c) is datetime.date else c for c in cells])
    return pa.array(cells) if len(kinds) == 1 else pa.array([None if cell is None else str(cell) for cell in cells])
