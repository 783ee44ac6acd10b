"""The atlas of bad input: what people give, and the one error in which it ends. `python -m tests.atlas` writes docs/mistakes.md.

Each row is run from Python and on the command line by tests/test_atlas.py; a row for one side only says why. In `says`, <data> is
what messages call the data: the name of the file, "the data frame" or "the dict of arrays".
"""

from __future__ import annotations

import gzip
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import squarely as sq
from squarely.errors import DataError, FormulaError, InputError, OptionError, SquarelyError
from squarely.show import safe
from tests.support import CARS

PAGE = Path(__file__).parent.parent / "docs" / "mistakes.md"
USUAL = dict.fromkeys(("file", "frame", "value", "name", "encoding"), DataError) | {
    "formula": FormulaError,
    "option": OptionError,
}
NO_OBJECTS = "the command line has paths and text only"
NOT_IN_CSV = "a CSV file cannot hold it"


@dataclass(frozen=True)
class File:
    """A file that the row writes."""

    content: str | bytes
    name: str = "data.csv"


@dataclass(frozen=True)
class Files:
    """Files that the row writes into a folder called data."""

    contents: Mapping[str, str | bytes]


@dataclass(frozen=True)
class At:
    """A path at which the row writes nothing."""

    path: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One mistake, or something odd that is fine.

    `data` is a File, Files, an At, a table (in Python as it is, on the command line as CSV) or any other object. What is right has
    `params` in place of an error. `cli_says` is for messages that are others there. `python_only` and `cli_only` say why.
    """

    name: str
    data: Any
    formula: Any = "y ~ x"
    call: str = "ols"
    options: Mapping[str, Any] = field(default_factory=dict)
    says: str = ""
    params: tuple[float, ...] | None = None
    raises: type[SquarelyError] | None = None
    cli_says: str = ""
    python_only: str = ""
    cli_only: str = ""
    kind: str = ""

    @property
    def error(self) -> type[SquarelyError]:
        """The kind of error that is expected."""
        return self.raises or USUAL[self.kind]


def is_table(data: object) -> bool:
    """Tell whether the same data can be given as a CSV file."""
    return isinstance(data, Mapping | pd.DataFrame)


def for_python(row: Row) -> Any:
    """Give what Python is given; files are written into the current folder."""
    if isinstance(row.data, File):
        _write(Path(row.data.name), row.data.content)
        return row.data.name
    if isinstance(row.data, Files):
        for name, content in row.data.contents.items():
            _write(Path("data", name), content)
        return "data"
    return row.data.path if isinstance(row.data, At) else row.data


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def for_cli(row: Row) -> str:
    """Give the path that the command line is given; a table is written into the current folder as data.csv."""
    if is_table(row.data):
        pd.DataFrame(row.data).to_csv("data.csv", index=False)
        return "data.csv"
    return for_python(row)


def label(row: Row, *, cli: bool) -> str:
    """Give what messages call the data."""
    if isinstance(row.data, File | At):
        return row.data.name if isinstance(row.data, File) else row.data.path
    if isinstance(row.data, Files):
        return "data"
    if cli:
        return "data.csv"
    return "the data frame" if isinstance(row.data, pd.DataFrame) else "the dict of arrays"


LINE = "1,2\n2,4\n3,6\n4,8\n"
ON_A_LINE = (0.0, 2.0)
TABLE = {
    "x": [1.0, 2, 3, 5, 7, 8],
    "z": [3.0, 1, 2, 2, 5, 1],
    "y": [1.0, 2, 3, 4, 6, 9],
    "origin": ["usa", "japan", "europe", "usa", "japan", "usa"],
    "model year": [1.0, 1, 2, 2, 3, 4],
}
SMALL = {"x": [1.0, 2, 3, 5], "y": [1.0, 2, 3, 4]}


def _with(**columns: Any) -> dict[str, Any]:
    return {**SMALL, **columns}


def _values(*values: str) -> File:
    return File("x,y\n" + "".join(f"{value},{i}\n" for i, value in enumerate(values, start=1)))


def _with_another_sum(packed: bytes) -> bytes:
    """Change a bit of the checksum of gzipped text."""
    return packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]


_FILE = [
    Row(
        name="an empty file",
        data=File(""),
        says="The file '<data>' is empty (0 bytes). It needs the names of columns and rows under them.",
    ),
    Row(name="blank lines alone", data=File("\n\n"), says="The first line of '<data>' is blank. It needs a header line"),
    Row(name="a blank first line", data=File("\nx,y\n" + LINE), says="The first line of '<data>' is blank."),
    Row(name="a first line of spaces", data=File("  \nx,y\n" + LINE), says="The first line of '<data>' is blank."),
    Row(
        name="a header and nothing else",
        data=File("x,y\n"),
        says="There are column names but no rows in <data>. Give at least 3 rows.",
    ),
    Row(
        name="one row for two coefficients",
        data=File("x,y\n1,2\n"),
        says="There is 1 complete row for 2 coefficients in <data>: nothing is left to measure the errors with.",
    ),
    Row(
        name="two rows for two coefficients",
        data=File("x,y\n1,2\n2,3\n"),
        says="There are 2 complete rows for 2 coefficients in <data>",
    ),
    Row(
        name="a line that is too short", data=File("x,y\n1,2\n3\n4,5,6\n"), says="Line 3 has 1 field, the header 2. Mend that line."
    ),
    Row(name="a line that is too long", data=File("x,y\n1,2\n2,3\n4,5,6\n"), says="Line 4 has 3 fields, the header 2."),
    Row(
        name="a short line between semicolons",
        data=File("amount, EUR;x;y\n1;1;2\n2;3\n3;3;4\n"),
        says="Line 3 has 2 fields, the header 3. Mend that line.",
    ),
    Row(name="a header with one name too many", data=File("x,y,\n1,2\n2,3\n"), says="Line 2 has 2 fields, the header 3."),
    Row(name="a title above the header", data=File("Sales of 2020\n\nx,y\n" + LINE), says="Line 3 has 2 fields, the header 1."),
    Row(
        name="a comment above the header",
        data=File("# from the lab\nx,y\n" + LINE),
        says="Line 2 has 2 fields, the header 1.",
    ),
    Row(name="no header", data=File(LINE), says="There is no column 'y' in <data>. Known names: '1', '2'."),
    Row(
        name="spaces between the columns",
        data=File("x y\n1 2\n2 4\n3 7\n"),
        says="There is no column 'y' in <data>. Known names: 'x y'.",
    ),
    Row(
        name="a web page saved as CSV",
        data=File("<html><body>404</body></html>\n"),
        says="There is no column 'y' in <data>. Known names: '<html>",
    ),
    Row(name="a quote that is not closed", data=File('x,y\n1,"2\n2,3\n3,5\n'), says="The file '<data>' cannot be read as CSV"),
    Row(name="text behind a closed quote", data=File('x,y\n1,2\n2,"3"4\n3,5\n'), says="The file '<data>' cannot be read as CSV"),
    Row(name="a number of 200,000 digits", data=File("x,y\n1,2\n" + "9" * 200_000 + ",3,4\n"), says="cannot be read as CSV"),
    Row(name="a line of 3 million letters", data=File("x,y\n1,2\n2,3\n" + "a" * 3_000_000 + ",4\n"), says="cannot be read as CSV"),
    Row(
        name="a value with the delimiter in it, and an empty last field",
        data=File("x,y,note\n1,2,\n2,4,\n1,250,6,\n4,8,\n"),
        says="Line 4 of <data> has 4 fields, the last one empty where it is one too many, and the header has 3. Perhaps a value",
    ),
    Row(
        name="a line without the delimiter that ends all others",
        data=File("x,y\n" + "".join(f"{i},{2 * i},\n" for i in range(30_000)) + "1,2\n"),
        says="Line 30,002 has 2 fields, the lines before it 3. Mend that line.",
    ),
    Row(name="every line ends in a delimiter", data=File("x,y\n1,2,\n2,4,\n3,6,\n4,8,\n"), params=ON_A_LINE),
    Row(name="a gzipped file cut short", data=File(gzip.compress(LINE.encode() * 99)[:-9], "data.csv.gz"), says="cannot be read"),
    Row(
        name="a gzipped file with a wrong checksum",
        data=File(_with_another_sum(gzip.compress(b"x,y\n" + LINE.encode())), "data.csv.gz"),
        says="cannot be read",
    ),
    Row(
        name="the folder of a Delta table",
        data=Files({"_delta_log/00000000000000000000.json": "{}", "part-0.csv": "x,y\n" + LINE}),
        says="is a Delta table. It can also hold files with rows that were changed or deleted, and only the table's own log",
    ),
    Row(name="a file that is not there", data=At("missing.csv"), says="The file 'missing.csv' does not exist. Give the path of a"),
    Row(name="an ending with a slip in it", data=At("cars.cvs"), says="The file 'cars.cvs' does not exist."),
    Row(
        name="a folder without data",
        data=At("."),
        says="The folder '.' has no data in it: there is no file whose name ends in one of .parquet, .pq,",
    ),
    Row(
        name="a URL",
        data=At("https://example.org/cars.csv"),
        says="'https://example.org/cars.csv' is a URL, and URLs are not opened yet. Download the file and give its path.",
    ),
    Row(
        name="a pattern that fits nothing",
        data=At("*.csv"),
        says="The pattern '*.csv' fits no file. Check its folders and name. In it, * stands for any letters and",
    ),
    Row(
        name="a column that one of several files lacks",
        data=Files({"a.csv": "x,y\n" + LINE, "b.csv": "y\n1\n"}),
        says="Column 'x' is in 'a.csv' and not in 'b.csv', which is another file of data. Give the column to every file,",
    ),
    Row(
        name="text in one of several files",
        data=Files({"a.csv": "x,y\n" + LINE, "b.csv": "x,y\na,1\n"}),
        says="Column 'x' holds numbers (BIGINT) in 'a.csv' and text (VARCHAR) in 'b.csv'. Write one kind of values in all files of",
    ),
    Row(
        name="files of several kinds",
        data=Files({"a.csv": "x,y\n" + LINE, "b.jsonl": '{"x": 1, "y": 2}\n'}),
        says="The files of data are of different kinds: 'a.csv' is CSV and 'b.jsonl' is JSON lines. Give files of one kind,",
    ),
    Row(
        name="an empty file among several",
        data=Files({"a.csv": "x,y\n" + LINE, "part/b.csv": ""}),
        says="The file 'part/b.csv' is empty (0 bytes).",
    ),
    Row(name="an Excel sheet", data=At("cars.xlsx"), says="'cars.xlsx'"),
    Row(name="a Parquet file that is not there", data=At("cars.parquet"), says="'cars.parquet'"),
    Row(
        name="a pattern's sign and a backslash in the file's name",
        data=File("x,y\n" + LINE, "a\\[1].csv"),
        says="has a backslash and one of * ? [ in it, which DuckDB takes for a pattern. Rename the file.",
    ),
    Row(name="Parquet that is none", data=File("x,y\n" + LINE, "cars.parquet"), says="Give it the name of what it is."),
    Row(name="Parquet cut short", data=File(b"PAR1\x15\x04", "cars.parquet"), says="cannot be read"),
    Row(name="Arrow cut short", data=File(b"ARROW1\0\0\xff", "cars.arrow"), says="cannot be read"),
    Row(name="JSON lines cut short", data=File('{"x": 1, "y"', "cars.jsonl"), says="cannot be read"),
    Row(name="a sheet of Excel", data=File(b"PK\x03\x04\x14\0", "cars.xlsx"), says="Save the sheet as CSV"),
    Row(name="a name of 300 letters", data=At("a" * 300 + ".csv"), says="File name too long"),
    Row(name="a path in bytes", data=b"data.csv", says="The file 'data.csv' does not exist.", python_only=NO_OBJECTS),
    Row(
        name="a null character in the path",
        data=At("a\0b.csv"),
        says="The path has a null character in it. Give the path of a",
    ),
    Row(name="a pattern's sign in the file's name", data=File("x,y\n" + LINE, "a[1].csv"), params=ON_A_LINE),
    Row(
        name="a folder of files",
        data=Files({"a.csv": "x,y\n1,2\n2,4\n", "b/c.csv": "y;x\n6;3\n8;4\n", "notes.txt": "a", "_SUCCESS": ""}),
        params=ON_A_LINE,
    ),
    Row(name="semicolons", data=File("x;y\n1;2\n2;4\n3;6\n4;8\n"), params=ON_A_LINE),
    Row(name="tabs", data=File("x\ty\n1\t2\n2\t4\n3\t6\n4\t8\n"), params=ON_A_LINE),
    Row(name="bars", data=File("x|y\n1|2\n2|4\n3|6\n4|8\n"), params=ON_A_LINE),
    Row(name="quotes around everything", data=File('"x","y"\n"1","2"\n"2","4"\n"3","6"\n"4","8"\n'), params=ON_A_LINE),
    Row(name="no line end at the end", data=File("x,y\n1,2\n2,4\n3,6\n4,8"), params=ON_A_LINE),
    Row(name="a blank line in the middle", data=File("x,y\n1,2\n2,4\n\n3,6\n4,8\n"), params=ON_A_LINE),
    Row(name="a space in the file's name", data=File("x,y\n" + LINE, "my cars.csv"), params=ON_A_LINE),
    Row(name="a quote in the file's name", data=File("x,y\n" + LINE, "it's.csv"), params=ON_A_LINE),
    Row(name="a line end in a quoted name", data=File('"unit (a|b)\nsecond",x,y\n1,1,2\n1,2,4\n1,3,6\n1,4,8\n'), params=ON_A_LINE),
    Row(
        name="halves after 60,000 whole numbers",
        data=File("x,y\n" + "1,2\n2,4\n3,6\n" * 20_000 + "4.5,9.0\n"),
        params=ON_A_LINE,
    ),
    Row(
        name="numbers after 30,000 empty fields",
        data=File("x,y,z\n" + ",,1\n" * 30_000 + "1,2,3\n2,4,3\n3,6,3\n4,8,3\n"),
        params=ON_A_LINE,
    ),
]

_FRAME = [
    Row(
        name="arrays of different lengths",
        data={"x": [1, 2], "y": [1, 2, 3]},
        says="The arrays have different lengths: {'x': 2, 'y': 3}. Every column needs one value for each row.",
        python_only=NOT_IN_CSV,
    ),
    Row(
        name="a matrix as a column",
        data={"x": np.ones((3, 2)), "y": [1, 2, 3]},
        says="Column 'x' has shape (3, 2). Give an array of one dimension for each column.",
        python_only=NOT_IN_CSV,
    ),
    Row(
        name="one number as a column",
        data={"x": 5, "y": [1, 2, 3]},
        says="Column 'x' has shape (). Give an array of one dimension",
        python_only=NOT_IN_CSV,
    ),
    Row(
        name="a list of lists as a column",
        data={"x": [[1], [2], [3]], "y": [1, 2, 3]},
        says="Column 'x' of <data> holds list",
        python_only=NOT_IN_CSV,
    ),
    Row(
        name="text and numbers in one list",
        data={"x": ["a", 1, 2], "y": [1, 2, 3]},
        says="Column 'x' cannot be read as one kind of number. Make its values all numbers, or all text.",
        cli_says="Column 'x' of <data> holds text among numbers: 'a' in data row 1.",
    ),
    Row(
        name="objects of Python",
        data=pd.DataFrame({"x": [Ellipsis, 2, 3], "y": [1, 2, 3]}),
        says="Column 'x' cannot be read as one kind of number. Make its values all numbers, or all text.",
        python_only=NOT_IN_CSV,
    ),
    Row(
        name="complex numbers",
        data=_with(x=[1 + 2j, 2, 3, 4]),
        says="Column 'x' cannot be read as one kind of number. Make its values all numbers, or all text.",
        python_only="in CSV they are text, and so categories",
    ),
    Row(
        name="a name that is a number",
        data={1: [1, 2, 3]},
        says="The name of a column is 1, of type int. Names of columns must be strings.",
        cli_says="There is no column 'y' in <data>. Known names: '1'.",
    ),
    Row(
        name="no columns",
        data={},
        says="There is no column 'y' in <data>. It has no column whose name is text. Give its columns names.",
        cli_says="The first line of 'data.csv' is blank.",
    ),
    Row(
        name="columns without names",
        data=pd.DataFrame([[1, 2], [2, 4], [3, 5]]),
        says="There is no column 'y' in <data>. It has no column whose name is text. Give its columns names.",
        cli_says="There is no column 'y' in <data>. Known names: '0', '1'.",
    ),
    Row(
        name="no rows",
        data=pd.DataFrame({"x": [], "y": []}),
        says="There are column names but no rows in <data>. Give at least 3 rows.",
    ),
    Row(
        name="two columns with one name",
        data=pd.DataFrame([[1, 2, 3]], columns=["x", "x", "y"]),
        says="Two columns of the data frame have the same name. Give each its own.",
        cli_says="<data> has two or more columns called 'x'. Give each column a name of its own.",
    ),
    Row(
        name="series with different indexes",
        data={"x": pd.Series([1.0, 2, 3]), "y": pd.Series([1.0, 2, 3], index=[2, 1, 0])},
        says="The series 'x' and 'y' have different indexes. Put them into one DataFrame, which aligns them, or pass plain arrays.",
        python_only="pandas aligns them when it writes CSV",
    ),
    Row(name="a number", data=7, says="Data of type 'int' is not understood. Give the path of a CSV", python_only=NO_OBJECTS),
    Row(name="a list", data=[1, 2, 3], says="Data of type 'list' is not understood.", python_only=NO_OBJECTS),
    Row(name="an array", data=np.ones((3, 2)), says="Data of type 'ndarray' is not understood.", python_only=NO_OBJECTS),
    Row(
        name="a series",
        data=pd.Series([1, 2, 3], name="x"),
        says="Data of type 'Series' is not understood.",
        python_only=NO_OBJECTS,
    ),
    Row(
        name="no data",
        data=None,
        raises=InputError,
        says="There is no data. Give a formula and data, or X= and y=.",
        python_only=NO_OBJECTS,
    ),
    Row(
        name="the text of a file in place of its path",
        data=At("x,y\n1,2\n2,3"),
        says="The file 'x,y\\n1,2\\n2,3' does not exist.",
    ),
    Row(name="ranges", data={"x": range(4), "y": range(4)}, params=(0.0, 1.0)),
    Row(name="arrays of the other byte order", data={"x": np.arange(4.0).astype(">f8"), "y": 2 * np.arange(4.0)}, params=ON_A_LINE),
    Row(
        name="a broken column that nobody names",
        data={"x": [0.0, 1, 2, 3], "y": [0.0, 2, 4, 6], "note": [1, "a", None, 2.5]},
        params=ON_A_LINE,
    ),
]

_VALUE = [
    Row(
        name="a question mark among numbers",
        data=_values("1", "?", "3"),
        says="Column 'x' of <data> holds text among numbers: '?' in data row 2. Correct or clear that value, or write",
    ),
    Row(name="a dash for a gap", data=_values("1", "-", "3"), says="holds text among numbers: '-' in data row 2."),
    Row(
        name="an error of a spreadsheet",
        data=_values("1", "#DIV/0!", "3"),
        says="holds text among numbers: '#DIV/0!' in data row 2.",
    ),
    Row(name="a line of totals", data=_values("1", "2", "3", "Total"), says="holds text among numbers: 'Total' in data row 4."),
    Row(
        name="text after 30,000 numbers",
        data=File("x,y\n" + "1,2\n" * 30_000 + "oops,3\n"),
        says="Column 'x' of <data> holds text, not a number: 'oops' in data row 30,001. Correct or clear that value.",
    ),
    Row(
        name="a number among text",
        data=_with(x=["a", "b", "1", "c"]),
        says="Column 'x' of <data> holds a number among text: '1' in data row 3.",
    ),
    Row(
        name="numbers stored as text",
        data=pd.DataFrame({"x": ["1", "2", "4"], "y": [1, 2, 3]}),
        says="Column 'x' of <data> is stored as text, although every value is a number. Convert it before the fit,",
        python_only="in a CSV file they are numbers",
    ),
    Row(
        name="separators of thousands",
        data=File('x,y\n"1,234",2\n"2,345",3\n"3,456",5\n'),
        says="Column 'x' of <data> holds numbers that signs or separators make text of: '1,234' in data row 1. Take these out",
    ),
    Row(name="percent signs", data=_values("10%", "20%", "30%"), says="signs or separators make text of: '10%' in data row 1."),
    Row(name="currency signs", data=_values("$10", "$20", "$30"), says="signs or separators make text of: '$10' in data row 1."),
    Row(
        name="a question mark among decimal commas",
        data=File("x;y\n1,5;3\n2,5;5\n?;7\n4,5;9\n"),
        says="Column 'x' of <data> holds text among numbers: '?' in data row 3.",
    ),
    Row(
        name="a word among prices",
        data=_values("$4.99", "Free", "$2.49", "$1.99"),
        says="holds text among numbers such as '$4.99': 'Free' in data row 2. Correct or clear that value, and write numbers as",
    ),
    Row(
        name="a limit of detection among percent signs",
        data=_values("5.1%", "6.2%", "k.A.", "4.4%"),
        says="holds text among numbers such as '5.1%': 'k.A.' in data row 3.",
    ),
    Row(
        name="units",
        data=_values("998 CC", "1197 CC", "1248 CC"),
        says="Column 'x' of <data> holds numbers with a unit or sign: '998 CC' in data row 1. Take it out, as 1234.5",
    ),
    Row(
        name="a word among units",
        data=_values("19M", "2.4M", "Varies with device", "201k"),
        says="holds text among numbers such as '19M': 'Varies with device' in data row 3.",
    ),
    Row(
        name="a minus behind the number",
        data=_values("1200-", "980-", "1100-"),
        says="signs or separators make text of: '1200-' in data row 1.",
    ),
    Row(
        name="an underscore after 30,000 numbers",
        data=File("x,y\n" + "1,2\n" * 30_000 + "1_2,3\n"),
        says="Column 'x' of <data> holds text, not a number: '1_2' in data row 30,001.",
    ),
    Row(name="two signs", data=_values("+-5", "1", "2"), says="'+-5' in data row 1."),
    Row(
        name="commas that may part thousands beside a decimal comma",
        data=File("x;y;codes\n1,250;50;a\n2,300;61;3,5\n900;57;a\n"),
        says="Column 'x' of <data> has values such as '1,250', in which the comma may stand for a decimal point or part",
    ),
    Row(
        name="points that may part thousands",
        data=File("x;y\n987;40\n1.234;55\n560;22\n"),
        says="Column 'x' of <data> has values such as '1.234', in which the point may stand for a decimal point or part",
    ),
    Row(name="decimal commas", data=File("x;y\n1,5;3\n2,5;5\n3,5;7\n4,5;9\n"), params=ON_A_LINE),
    Row(
        name="dates",
        data=_values("2020-01-01", "2020-01-02", "2020-01-03"),
        says="Column 'x' of <data> holds DATE values, which are neither numbers nor categories. A coefficient needs a unit",
    ),
    Row(
        name="dates in a data frame",
        data=pd.DataFrame({"x": pd.to_datetime(["2020-01-01"] * 3), "y": [1, 2, 3]}),
        says="values, which are neither numbers nor categories. A coefficient needs a unit: make a number of it first",
    ),
    Row(name="times of the day", data=_values("12:30", "12:40", "12:50"), says="Column 'x' of <data> holds TIME values"),
    Row(
        name="text after 30,000 dates",
        data=File("x,y\n" + "2020-01-01,1\n" * 30_000 + "foo,3\n"),
        says="Column 'x' of <data> holds DATE values, which are neither numbers nor categories.",
    ),
    Row(
        name="a number after 40,000 truth values",
        data=File("x,y\n" + "true,1\nfalse,2\n" * 20_000 + "7,3\n"),
        says="Column 'x' of <data> holds a number among text: '7' in data row 40,001.",
    ),
    Row(
        name="text as the response",
        data=_with(y=["good", "bad", "good", "bad"]),
        says="The response 'y' of <data> holds text, 'good' in data row 1, and a regression explains numbers.",
    ),
    Row(
        name="text in arithmetic",
        data=TABLE,
        formula="y ~ log(origin)",
        says="Column 'origin' of <data> holds text, not a number: 'usa' in data row 1. Correct or clear that value.",
    ),
    Row(
        name="gaps in every row",
        data=File("x,y\n,2\n2,\n"),
        says="None of the 2 rows of <data> is complete in the columns 'x', 'y': 'x' is empty in 1 row; 'y' is empty in 1 row.",
    ),
    Row(
        name="a column of NaN",
        data=_with(x=[np.nan] * 4),
        says="None of the 4 rows of <data> is complete in the columns 'x', 'y': 'x' is not a number in 4 rows.",
        cli_says="None of the 4 rows of <data> is complete in the columns 'x', 'y': 'x' is empty in 4 rows.",
    ),
    Row(
        name="logarithms of negative numbers alone",
        data=_with(x=[-1.0, -2, -3, -4]),
        formula="y ~ log(x)",
        says="'log(x)' is not a number in 4 rows. Fill these gaps, or leave out what has them. An expression has no value where it",
    ),
    Row(name="division by zero", data=SMALL, formula="y ~ I(x / 0)", says="'I(x / 0)' is infinite in 4 rows."),
    Row(
        name="numbers near the end of the range",
        data=_with(x=[1e308, -1e308, 1, 2]),
        says="and their squares leave the range of double precision: between 1e-75 and 1e+75 is safe. Rescale the column",
    ),
    Row(
        name="numbers near zero", data=_with(x=[1e-320, 2e-320, 3e-320, 5e-320]), says="squares leave the range of double precision"
    ),
    Row(
        name="an integer of 71 bits",
        data=_with(x=[2**70, 2, 3, 4]),
        says="Column 'x' cannot be read as one kind of number. Make its values all numbers, or all text.",
        python_only="in a CSV file it is read as the nearest double",
    ),
    Row(
        name="one category in every row",
        data=_with(x=["a"] * 4),
        says="Column 'x' of <data> is 'a' in every row that is used: a single level has nothing to be compared with.",
    ),
    Row(
        name="more than 10,000 categories",
        data={"x": [f"l{i}" for i in range(10_002)], "y": list(range(10_002))},
        says="Column 'x' of <data> has more than 10,000 different values: too many for categories. Group them",
    ),
    Row(
        name="a constant column, trained",
        data=_with(x=[2.0] * 4),
        call="train",
        says="Column 'x' is 2 in every row",
    ),
    Row(name="a constant response", data=_with(y=[5.0] * 4), params=(5.0, 0.0)),
    Row(name="a constant column", data=_with(x=[2.0] * 4), params=(2.5, np.nan)),
    Row(name="integers of 71 bits", data=File(f"x,y\n1,2\n2,4\n{2**70},{2**71}\n3,6\n"), params=ON_A_LINE),
    Row(name="a gap", data=File("x,y\n1,2\nNA,3\n2,4\n3,6\n"), params=ON_A_LINE),
    Row(name="an infinity", data=File("x,y\n1,2\n1e999,3\n2,4\n3,6\n"), params=ON_A_LINE),
    Row(name="text as a predictor", data=_with(x=["a", "a", "b", "b"]), params=(1.5, 2.0)),
]

_NAME = [
    Row(
        name="a name with a slip in it",
        data=File("mpg,displacement\n1,2\n2,3\n3,5\n"),
        formula="mpg ~ displacment",
        says="no column 'displacment' in <data>. Did you mean 'displacement'?\n    mpg ~ displacment\n          ^^^^^^^^^^^",
    ),
    Row(name="capital letters", data=SMALL, formula="y ~ X", says="There is no column 'X' in <data>. Did you mean 'x'?"),
    Row(name="small letters", data=File("X,Y\n" + LINE), says="There is no column 'y' in <data>. Did you mean 'Y'?"),
    Row(name="a name from nowhere", data=SMALL, formula="y ~ temperature", says="Known names: 'x', 'y'."),
    Row(
        name="a name with a space, bare",
        data=TABLE,
        formula="y ~ model year",
        raises=FormulaError,
        says="A name with spaces goes into backticks, like `model year`.\n    y ~ model year\n        ^^^^^^^^^^",
    ),
    Row(
        name="a name in quotes",
        data=SMALL,
        formula="y ~ 'x'",
        raises=FormulaError,
        says="The text 'x' stands where a column is wanted. Write the name without quotes, or in backticks.",
    ),
    Row(
        name="the response in quotes",
        data=SMALL,
        formula="'y' ~ x",
        raises=FormulaError,
        says="'y' stands where the name of the response is wanted. Write the name without quotes.",
    ),
    Row(name="a name in Q with a slip", data=TABLE, formula="y ~ Q('model yeer')", says="Did you mean 'model year'?"),
    Row(
        name="a space before a name",
        data=File("x, y\n1, 2\n2, 4\n3, 7\n"),
        says="There is no column 'y' in <data>. Did you mean ' y'?",
    ),
    Row(
        name="a column without a name",
        data=File(",y\n1,2\n2,3\n3,5\n4,4\n"),
        says="There is no column 'x' in <data>. Known names: '', 'y'.",
    ),
    Row(name="an empty name", data=SMALL, formula="y ~ ``", says="There is no column '' in <data>."),
    Row(
        name="two columns with one name",
        data=File("x,x,y\n1,2,3\n2,4,3\n3,5,9\n4,4,1\n"),
        says="<data> has two or more columns called 'x'. Give each column a name of its own.",
    ),
    Row(name="a mark that turns the direction", data=File("\u202ex,y\n" + LINE), says="Did you mean '\\u202ex'?"),
    Row(name="a space that does not break", data=File("\u00a0x,y\n" + LINE), says="Did you mean '\\xa0x'?"),
    Row(
        name="a name that colours the terminal", data=SMALL, formula="y ~ `\x1b[31mred`", says="no column '\\x1b[31mred' in <data>."
    ),
    Row(
        name="SQL as a name",
        data=SMALL,
        formula="y ~ `x'); DROP TABLE cars; --`",
        says='There is no column "x\'); DROP TABLE cars; --" in <data>.',
    ),
    Row(
        name="a file whose name colours the terminal",
        data=At("\x1b[31m.csv"),
        says="The pattern '\\x1b[31m.csv' fits no file.",
    ),
    Row(
        name="a column called Intercept",
        data={"Intercept": [1.0, 2, 3, 5], "y": [1.0, 2, 3, 4]},
        formula="y ~ Intercept",
        raises=FormulaError,
        says="A column called 'Intercept' would have the intercept's name. Give the column another one.",
    ),
    Row(name="an emoji, bare", data=SMALL, formula="y ~ 😀", raises=FormulaError, says="A name that has it goes into backticks."),
    Row(name="an emoji in backticks", data=File("😀,y\n" + LINE), formula="y ~ `😀`", params=ON_A_LINE),
    Row(name="a word of SQL", data=File("select,from\n" + LINE), formula="from ~ select", params=ON_A_LINE),
    Row(name="x beside X", data=File("x,X,z,z,y\n1,9,0,0,2\n2,9,0,0,4\n3,9,0,0,6\n4,9,0,0,8\n"), params=ON_A_LINE),
    Row(name="a sign of comments before a name", data=File("#x,y,x\n9,2,1\n9,4,2\n9,6,3\n9,8,4\n"), params=ON_A_LINE),
    Row(name="a number in backticks", data=File("1,y\n" + LINE), formula="y ~ `1`", params=ON_A_LINE),
]

_ENCODING = [
    Row(name="UTF-16", data=File(("x,y\n" + LINE).encode("utf-16")), params=ON_A_LINE),
    Row(
        name="UTF-16 without a mark",
        data=File(("x,y\n" + LINE).encode("utf-16-le")),
        says="The file '<data>' has null bytes, as UTF-16 text and binary files have. Save it as UTF-8 text.",
    ),
    Row(name="UTF-32", data=File(("x,y\n" + LINE).encode("utf-32")), says="has null bytes"),
    Row(name="Latin-1 in a name", data=File("x,é\n1,2\n".encode("latin-1")), says="not utf-8 encoded"),
    Row(
        name="Latin-1 in a value",
        data=File("x,y,name\n1,2,café\n2,3,a\n3,5,b\n4,4,c\n".encode("latin-1")),
        says="not utf-8 encoded",
    ),
    Row(name="every byte there is", data=File(bytes(range(256))), says="has null bytes, as UTF-16 text and binary files have."),
    Row(name="a null byte in a value", data=File(b"x,y\n1,2\n2,\0\n3,5\n"), says="has null bytes"),
    Row(
        name="a picture", data=File(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), says="has null bytes, as UTF-16 text and binary files have."
    ),
    Row(name="a zip file", data=File(b"PK\x03\x04\x14\0\0\0"), says="'<data>' is an Excel or zip file, which is not opened."),
    Row(
        name="a gzip file cut short",
        data=File(gzip.compress(b"x,y\n1,2\n" * 1000, mtime=0)[:40], "broken.csv.gz"),
        says="The file '<data>' cannot be read",
    ),
    Row(
        name="the end of a file of old",
        data=File("y,x\n1,2\n2,4\n3,6\n4,8\x1a"),
        says="holds text among numbers: '8\\x1a' in data row 4.",
    ),
    Row(name="a mark of UTF-8", data=File(b"\xef\xbb\xbfx,y\n1,2\n2,4\n3,6\n4,8\n"), params=ON_A_LINE),
    Row(name="line ends of Windows", data=File("x,y\r\n1,2\r\n2,4\r\n3,6\r\n4,8\r\n"), params=ON_A_LINE),
    Row(name="line ends of old Macs", data=File("x,y\r1,2\r2,4\r3,6\r4,8\r"), params=ON_A_LINE),
    Row(name="gzip", data=File(gzip.compress(("x,y\n" + LINE).encode(), mtime=0), "data.csv.gz"), params=ON_A_LINE),
    Row(name="gzip by another name", data=File(gzip.compress(("x,y\n" + LINE).encode(), mtime=0)), params=ON_A_LINE),
]


def _formula(name: str, formula: Any, says: str = "", **more: Any) -> Row:
    return Row(**{"name": name, "data": TABLE, "formula": formula, "says": says, **more})


_ARITHMETIC = "is not the name of a column. Arithmetic goes into I(...), such as I(2 * x); 0 and 1 stand alone in a sum."
_NO_TILDE = "has no '~' between the response and the predictors. Write it like 'mpg ~ displacement + weight'."
_NO_FUNCTION = "is not a function that formulas know, and nothing is evaluated as Python."
_FORMULA = [
    _formula("nothing", "", f"The formula '' {_NO_TILDE}"),
    _formula("a name alone", "y", f"The formula 'y' {_NO_TILDE}"),
    _formula("= for ~", "y = x", f"The formula 'y = x' {_NO_TILDE}"),
    _formula("an arrow for ~", "y <- x", f"The formula 'y <- x' {_NO_TILDE}"),
    _formula("another wave than ~", "y ∼ x", _NO_TILDE),
    _formula("~ alone", "~", "The formula '~' has nothing left of the '~'."),
    _formula("no response", "~ x", "The formula '~ x' has nothing left of the '~'."),
    _formula("no predictor", "y ~", "The formula has nothing right of the '~'. For a mean alone write 'y ~ 1'."),
    _formula("two ~", "y ~ x ~ z", "The formula has a second '~'."),
    _formula("neither intercept nor predictor", "y ~ 0", "leaves nothing right of the '~'. For a mean alone write 'y ~ 1'."),
    _formula("a power of a column", "y ~ x^2", "Write I(x**2) for the power.\n    y ~ x^2\n        ^^^"),
    _formula("a power as Python has it", "y ~ x**2", "of x alone nothing would come but x. Write I(x**2) for the power."),
    _formula(
        "a power that is no whole number", "y ~ (x + z)^2.5", "The exponent of a sum of terms must be a whole number from 1 to 999."
    ),
    _formula("a column times a number", "y ~ 2*x", f"2 {_ARITHMETIC}"),
    _formula("a column through a number", "y ~ x/2", f"2 {_ARITHMETIC}"),
    _formula(
        "one through a column",
        "y ~ 1/x",
        "A number stands in a product of terms, where it has no meaning. Arithmetic goes into I(...)",
    ),
    _formula("a number", "y ~ 5", f"5 {_ARITHMETIC}"),
    _formula("a column taken away that is not there", "y ~ x - z", "The formula has no term z to take away. Take the '-' out;"),
    _formula("the negative of a column", "y ~ -x", "the negative of a column is I(-x)."),
    _formula("a bracket that stays open", "y ~ (x", "Add the other one, or take it out.\n    y ~ (x\n        ^"),
    _formula("a bracket too many", "y ~ x)", "This bracket is closed but not opened. Add the other one, or take it out."),
    _formula("a call that stays open", "y ~ log(x", "The formula ends before this is closed: a ) is missing."),
    _formula("a backtick that stays open", "y ~ `x", "The formula ends before this is closed: a ` is missing."),
    _formula("a quote that stays open", "y ~ 'x", "The formula ends before this is closed: a ' is missing."),
    _formula(
        "a sum that goes on", "y ~ x +", "The sign '+' has nothing to join on one of its sides. Write what is missing, or take the"
    ),
    _formula("a sign for nothing", "y ~ x:", "The sign ':' has nothing to join on one of its sides."),
    _formula("no sign between two names", "y ~ x z", "There is no sign such as + between the words of 'x z'."),
    _formula("a comma", "y ~ x, z", "',' is not understood in a formula. Terms are joined by +, as in a + b;"),
    _formula("a comment", "y ~ x # size", "'#' is not understood in a formula. Comments are not read. Take it out."),
    _formula("a comparison", "y ~ x > 2", "'>' is not understood in a formula. Conditions on rows go into where=."),
    _formula("and", "y ~ x & z", "'&' is not understood in a formula. Terms are joined by + or, for their product, by a colon"),
    _formula(
        "a minus of a word processor", "y ~ x − 1", "It looks like a sign that a word processor has put in. Type the plain one"
    ),
    _formula("quotes of a word processor", "y ~ “x”", "It looks like a sign that a word processor has put in."),
    _formula("R: as.factor", "y ~ as.factor(origin)", "'as.factor(origin)' cannot be read here. Write factor(...) or C(...)."),
    _formula("R: %in%", "y ~ x %in% z", "'in' is not understood in a formula. Write b:a for b %in% a."),
    _formula("R: a bar", "y ~ x | z", "'|' is not understood in a formula. Instruments and groups behind '|' are not known."),
    _formula("R: a random effect", "y ~ (1|origin)", "Instruments and groups behind '|' are not known. Leave them out."),
    _formula("R: T for TRUE", "y ~ poly(x,2,raw=T)", "'T' stands where a number, a text in quotes or True or False is wanted."),
    _formula("R: a column of a data frame", "y ~ df$x", "'$' is not understood in a formula. Write the name of the column alone"),
    _formula("R: the whole call", "lm(y ~ x)", "a formula is written alone, without a call around it."),
    _formula(
        "R: relevel", "y ~ relevel(origin, ref='usa')", "Write C(x), or C(x, Treatment(reference='a')) for another reference level."
    ),
    _formula("Python: np.power", "y ~ np.power(x, 2)", f"'power' {_NO_FUNCTION} Write I(x**2) for a power."),
    _formula("Python: a method", "y ~ x.astype(float)", f"'x.astype' {_NO_FUNCTION} Known are + - * / ** and log, log2, log10"),
    _formula(
        "Python: an attribute", "y ~ C(origin).codes", "What stands after the dot would be Python, and nothing is evaluated as"
    ),
    _formula("Python: a place in a list", "y ~ x[0]", "'x[0]' is not understood in a formula."),
    _formula("Python: a comparison in I", "y ~ I(x > 2)", "'x > 2' is not understood in a formula. Known are + - * / **"),
    _formula("Python: a lambda", "y ~ I(lambda: x)", "is not understood in a formula."),
    _formula("Python in braces", "y ~ {x + 1}", "Braces are not understood. Arithmetic goes into I(...)"),
    _formula("Python that would harm", "y ~ __import__('os').system('touch pwned')", "nothing is evaluated as Python."),
    _formula("Python that would be evaluated", "y ~ eval('1')", f"'eval' {_NO_FUNCTION}"),
    _formula("SQL behind the formula", "y ~ x; DROP TABLE cars", "';' is not understood in a formula."),
    _formula("a function that is not known", "y ~ sin(x)", f"'sin' {_NO_FUNCTION} Known are"),
    _formula("a function with a slip in it", "y ~ logg(x)", f"'logg' {_NO_FUNCTION} Did you mean 'log'?"),
    _formula("ln", "y ~ ln(x)", "Write log(x), which is the natural logarithm."),
    _formula("a call of nothing", "y ~ C()", "C() has nothing in its brackets: C(x, contrast, levels), as in"),
    _formula("an argument too many", "y ~ log(x, 2)", "This is one argument too many: log(x) is the form."),
    _formula(
        "an argument that is not known", "y ~ bs(x, df=4, degre=2)", "The argument 'degre' is not known: bs(x, df, knots, degree"
    ),
    _formula(
        "a reference outside of Treatment", "y ~ C(origin, reference='usa')", "as in C(x, Treatment(reference='a')), is the form."
    ),
    _formula(
        "a reference level with a slip",
        "y ~ C(origin, Treatment(reference='usaa'))",
        "names 'usaa', not among the 3 levels of 'origin' in the rows that are used. Did you mean 'usa'?",
    ),
    _formula("a reference level from nowhere", "y ~ C(origin, Sum('moon'))", "Known levels: 'europe', 'japan', 'usa'."),
    _formula(
        "levels that lack one",
        "y ~ C(origin, levels=['usa', 'japan'])",
        "lacks 'europe', which is in data row 3. List every level, or leave such rows out with where=.",
    ),
    _formula(
        "a contrast that is not known", "y ~ C(origin, Helmert)", "This contrast is not known. Known names: 'Treatment', 'Sum'"
    ),
    _formula("categories of a sum", "y ~ C(x + z)", "C(...) takes the name of one column. Make a column of it in your data"),
    _formula("a polynomial of degree zero", "y ~ poly(x, 0)", "degree wants a whole number from 1 to 100 here."),
    _formula(
        "a degree too high for the values",
        "y ~ poly(x, 9)",
        "poly(x, 9) wants more than 9 different values of its argument in the rows that are used,",
        raises=DataError,
    ),
    _formula("a spline without a size", "y ~ bs(x)", "bs(...) wants either df, such as bs(x, df=4), or knots"),
    _formula(
        "knots outside the values",
        "y ~ bs(x, knots=[100])",
        "has inner knots 100, not all strictly between the ends 1 and 8 of the values. Choose knots inside, or fewer columns (df).",
        raises=DataError,
    ),
    _formula("a number beyond doubles", "y ~ I(x + 1e400)", "This number is beyond the range of double precision."),
    _formula("the response on both sides", "y ~ x + y", "'y' stands on both sides of the formula and would explain itself."),
    _formula("a sum as the response", "y + z ~ x", "Arithmetic goes into I(...): I(y + z) ~ ...;"),
    _formula("a number as the response", "1 ~ x", "1 stands where the name of the response is wanted."),
    _formula(
        ". with no other column", "y ~ .", "The '.' stands for all other columns, and there are none.", data={"y": [1.0, 2, 3, 4]}
    ),
    _formula(
        "more coefficients than rows",
        "y ~ x * z * C(origin)",
        "There are 6 complete rows for 12 coefficients in <data>: nothing is left to measure the errors with.",
        raises=DataError,
    ),
    _formula(
        "15 terms to the 8th power",
        f"y ~ ({' + '.join(f'x{i}' for i in range(15))})**8",
        "This would make some 29,100 terms or more; at most 2,000 are fitted. Write fewer, or a lower power.",
    ),
    _formula("10,000 terms", "y ~ " + " + ".join(["x"] * 10_000), "at most 20,000 and 2,000 are read. Write it shorter."),
    _formula(
        "60 brackets", "y ~ " + "(" * 60 + "x" + ")" * 60, "The brackets are nested more than 50 deep. Write it in fewer steps."
    ),
    _formula(
        "a colour of the terminal", "y ~ \x1b[31mred", "'\\x1b' is not understood in a formula. It cannot be seen. Take it out;"
    ),
    _formula("a mark that turns the direction", "y ~ \u202ex", "'\\u202e' is not understood in a formula. It cannot be seen."),
    _formula("a null character", "y ~ x\0", "'\\x00' is not understood in a formula. It cannot be seen."),
    _formula(
        "None", None, "There is no formula. Give a formula and data, or X= and y=.", raises=InputError, python_only=NO_OBJECTS
    ),
    _formula("a number for a formula", 3, "The formula is 3, of type int, not text.", python_only=NO_OBJECTS),
    _formula("bytes", b"y ~ x", "The formula is b'y ~ x', of type bytes, not text.", python_only=NO_OBJECTS),
    _formula("a list", ["y", "x"], "The formula is ['y', 'x'], of type list, not text.", python_only=NO_OBJECTS),
    _formula("no spaces", "y~x", params=ON_A_LINE, data=File("x,y\n" + LINE)),
    _formula("a column named twice", "y ~ x + x", params=ON_A_LINE, data=File("x,y\n" + LINE)),
    _formula("R: factor", "y ~ factor(x)", params=(1.5, 2.0), data=_with(x=["a", "a", "b", "b"])),
    _formula("a formula on two lines", "y ~\n x", params=ON_A_LINE, data=File("x,y\n" + LINE)),
    _formula("a power in I, as R has it", "y ~ I(x^2)", params=(0.0, 1.0), data=_with(y=[1.0, 4, 9, 25])),
    _formula("Python: np.log10", "y ~ np.log10(x)", params=(0.0, 1.0), data={"x": [1.0, 10, 100, 1000], "y": [0.0, 1, 2, 3]}),
    _formula("the intercept taken out twice", "y ~ x - 1 + 0", params=(2.0,), data=File("x,y\n" + LINE)),
]


def _option(name: str, says: str = "", *, call: str = "train", **options: Any) -> Row:
    return Row(name=name, data=At(CARS), formula="mpg ~ displacement", call=call, options=options, says=says)


def _where(name: str, where: Any, says: str = "", raises: type[SquarelyError] | None = None, **more: Any) -> Row:
    return Row(**{"name": name, "data": TABLE, "options": {"where": where}, "says": says, "raises": raises, **more})


_READ_BY_TYPER = "the command line reads this option as a number and refuses others itself"
_FLAG = "on the command line it is a flag"
_NO_START = "the command line has no such option"
_OPTION = [
    _option("a learning rate of zero", "lr=0.0 is not a learning rate: it must be a finite number above zero.", lr=0.0),
    _option("a negative learning rate", "lr=-0.1 is not a learning rate", lr=-0.1),
    _option("a learning rate of NaN", "lr=nan is not a learning rate", lr=float("nan")),
    _option("an infinite learning rate", "lr=inf is not a learning rate", lr=float("inf")),
    _option("a learning rate of 1e300", "lr=1e+300 is beyond the range of float32. The best rate is rarely above 1", lr=1e300),
    _option("a word for a number", "lr='fast' is not a number. Give one, such as lr=0.01, or 'auto'.", lr="fast"),
    replace(_option("True for a number", "lr=True is of type bool, not a number.", lr=True), python_only=_READ_BY_TYPER),
    replace(_option("no learning rate", "lr=[] names no learning rate.", call="sweep", lr=[]), python_only=_READ_BY_TYPER),
    _option("one bad rate among good ones", "lr=-1.0 is not a learning rate", call="sweep", lr=[0.1, -1.0]),
    _option("no epochs", "epochs=0 asks for no update at all. Give a whole number of at least 1.", epochs=0),
    _option("negative epochs", "epochs=-5 asks for no update at all.", epochs=-5),
    replace(_option("half an epoch", "epochs=2.5 is not a whole number.", epochs=2.5), python_only=_READ_BY_TYPER),
    _option("an optimiser with a slip", "optimizer='sdg' is not known. Did you mean 'sgd'?", optimizer="sdg"),
    _option("an optimiser that is not known", "optimizer='newton' is not known.", optimizer="newton"),
    replace(_option("no optimiser", "optimizer=None is not known.", optimizer=None), python_only=NO_OBJECTS),
    _option("a momentum of one", "momentum=1.0 is not in [0, 1). Usual values are 0 and 0.9.", momentum=1.0),
    _option("momentum for Adam", "momentum and nesterov belong to optimizer='sgd'", momentum=0.9, optimizer="adam"),
    _option("Nesterov without momentum", "nesterov=True needs momentum above zero.", nesterov=True),
    replace(_option("a word for a flag", "nesterov='no' is neither True", nesterov="no", momentum=0.9), python_only=_FLAG),
    _option("a dtype that is not known", "dtype='float16' is not known. Use 'float32' or 'float64'.", dtype="float16"),
    replace(_option("half a seed", "seed=1.5 is not a whole number.", seed=1.5), python_only=_READ_BY_TYPER),
    _option("a seed of 71 bits", f"seed={2**70} does not fit into 64 bits. Give a smaller number.", seed=2**70),
    _option("a device that is not known", "device='abacus' cannot be used here. Use 'auto' or 'cpu'.", device="abacus"),
    _option("a device without numbers", "device='meta' cannot be used here.", device="meta"),
    replace(_option("too short a start", "start=[1.0] has 1 value", start=[1.0]), python_only=_NO_START),
    replace(_option("a start that is not finite", "Give finite numbers.", start=[1.0, float("nan")]), python_only=_NO_START),
    replace(_option("a start beyond float32", "is not finite in float32.", start=[1e200, 0.0]), python_only=_NO_START),
    replace(_option("a number for a start", "start=1.0 is not a list of numbers.", start=1.0), python_only=_NO_START),
    replace(_option("a tolerance of zero", "tau=0.0 is not a number of standard errors above zero.", call="certify", tau=0.0),
            cli_only="in Python certify takes results, not a formula"),
    _option("a collinear that is not known", "collinear='keep' is not understood. Use 'drop'", call="ols", collinear="keep"),
    Row(
        name="columns that depend on each other, refused",
        data=_with(z=[2.0, 4, 6, 10]),
        formula="y ~ x + z",
        options={"collinear": "raise"},
        raises=DataError,
        says="Columns depend on each other: z = 2 x. Leave one of them out.",
    ),
    _option("a missing that is not known", "missing='keep' is not understood. Use 'drop' or 'raise'.", call="ols", missing="keep"),
    _option("a missing that is not known, trained", "missing='keep' is not understood.", missing="keep"),
    Row(
        name="gaps, refused",
        data=File("x,y\n1,2\nNA,3\n2,4\n3,7\n"),
        options={"missing": "raise"},
        raises=DataError,
        says="There are rows with gaps in <data>, and missing='raise' refuses them. 4 rows read, 3 used.",
    ),
    replace(_option("intercept= beside a formula", "intercept=False is for X= and y=. In a formula, write '- 1'.", call="ols",
                    intercept=False), python_only=_NO_START),
    _where("where: an empty condition", "", "where= has 0 characters: it must say something, and briefly.", FormulaError),
    _where("where: = for ==", "x = 3", "'x = 3' cannot be read here. Equality is written ==.\n    x = 3\n      ^", FormulaError),
    _where("where: => for >=", "x => 3", "These comparisons are written <= and >=.", FormulaError),
    _where("where: <> for !=", "x <> 3", "Unequal is written !=.", FormulaError),
    _where("where: AND", "x > 3 AND z < 2", "The words and, or, not and in are written in small letters.", FormulaError),
    _where("where: a word of SQL", "x IS NOT NULL", "That is SQL. Rows with gaps are left out anyway;", FormulaError),
    _where("where: half a condition", "x > 3 and", "Something is missing after the last word.", FormulaError),
    _where("where: no condition", "x + 1", "This is not a condition. Write it like where=", FormulaError),
    _where("where: a slip in a name", "zz > 3", "There is no column 'zz' in <data>. Did you mean 'z'?", DataError),
    _where("where: text without quotes", "origin == usa", "A text to compare with goes in quotes.\n    origin == usa\n", DataError),
    _where("where: text in double quotes that stay open", 'origin == "usa', "a bracket or a quote that is missing", FormulaError),
    _where("where: text by its order", "origin < 'usa'", "Text and truth values have no order here", FormulaError),
    _where("where: text against a number", "origin > 3", "Column 'origin' holds text, and this compares numbers.", DataError),
    _where("where: a number in quotes", "x == 'usa'", "Column 'x' holds no text and is compared with some.", DataError),
    _where("where: text for truth", "origin", "Column 'origin' is taken for true or false, and holds others.", DataError),
    _where("where: a name with a space, bare", "model year > 2", "A name with spaces goes into backticks", FormulaError),
    _where("where: Python", "__import__('os').system('touch pwned')", "nothing is evaluated as Python.", FormulaError),
    _where("where: SQL behind it", "x > 3; DROP TABLE cars", "One condition or expression is read", FormulaError),
    _where("where: no row meets it", "x > 100", "None of the 6 rows of <data> meets where='x > 100'.", DataError),
    _where("where: a level from nowhere", "origin == 'moon'", "None of the 6 rows of <data> meets where=", DataError),
    _where("where: too few rows meet it", "x > 6", "There are 2 complete rows for 2 coefficients in <data>", DataError),
    _where("where: the same in training", "x = 3", "Equality is written ==.", FormulaError, call="train"),
    _where("where: a number", 3, "where=3 is of type int, not text.", FormulaError, python_only=NO_OBJECTS),
    _where("where: & and |", "x < 5 & z > 0 | x > 100", params=ON_A_LINE, data=File("x,y,z\n1,2,1\n2,4,1\n3,6,1\n9,0,1\n")),
]  # fmt: skip

ROWS = [
    replace(row, kind=kind)
    for kind, rows in {
        "file": _FILE,
        "frame": _FRAME,
        "value": _VALUE,
        "name": _NAME,
        "encoding": _ENCODING,
        "formula": _FORMULA,
        "option": _OPTION,
    }.items()
    for row in rows
]


def outcome(row: Row) -> str:
    """Run a row from Python in the current folder (one for the command line alone through its own call) and give what is said."""
    data = for_python(row)
    try:
        if row.call == "certify":
            sq.certify(sq.ols(row.formula, data), sq.train(row.formula, data, epochs=1), **row.options)
        else:
            getattr(sq, row.call)(row.formula, data, **row.options)
    except SquarelyError as error:
        return str(error)
    return ""


_INTRODUCTION = """# Mistakes, and what squarely says

Every mistake ends in one error that says what was met, what it means and what to do; where it is in a formula or a condition, a
caret points at it. In Python it is a `DataError`, `FormulaError` or `OptionError` (each an `InputError` and a `ValueError`); on the
command line the message is one on stderr after `squarely: error:`, with exit code 2. Nothing is repaired in silence, and nothing in
a formula is evaluated.

What looks odd and is fine all the same stands at the end of each table. This page is made by `python -m tests.atlas` from the
atlas that the tests run, so it shows what is said and not what should be.
"""
_TITLES = {
    "file": "Files",
    "frame": "Frames and arrays",
    "value": "Values",
    "name": "Names",
    "encoding": "Encodings",
    "formula": "Formulas",
    "option": "Options and conditions",
}
_LONGEST = 60
_GUEST = re.compile(r"((?:DuckDB|Arrow|PyTorch) says:).*", re.DOTALL)  # what others say differs with their version


def page(told: Mapping[tuple[str, str], str]) -> str:
    """Write the page of the rows that are on; those whose messages are not told yet, by kind and name, are run."""
    parts = [_INTRODUCTION]
    home = Path.cwd()
    for kind, title in _TITLES.items():
        parts.append(f"\n## {title}\n\n| what was given | what squarely says |\n|---|---|\n")
        for row in sorted((r for r in ROWS if r.kind == kind), key=lambda r: r.params is not None):
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                try:
                    message = told[row.kind, row.name] if (row.kind, row.name) in told else outcome(row)
                    parts.append(f"| {_given(row)} | {_said(message)} |\n")
                finally:
                    os.chdir(home)
    return "".join(parts)


def _given(row: Row) -> str:
    if row.kind == "formula":
        text = row.formula if isinstance(row.formula, str) else repr(row.formula)
    elif row.kind == "option":
        text = ", ".join(f"{name}={value!r}" for name, value in row.options.items())
    elif row.formula != "y ~ x":
        text = row.formula
    elif isinstance(row.data, At):
        text = row.data.path
    elif isinstance(row.data, Files):
        text = "; ".join(f"{name}: {content}" for name, content in row.data.contents.items())
    elif isinstance(row.data, File) and isinstance(row.data.content, str):
        text = row.data.content
    else:
        text = ""
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    shown = "\\n".join(safe(line) for line in text.split("\n"))
    return _markdown(row.name) + (f"<br><code>{_markdown(shown)}</code>" if shown else "")


def _said(message: str) -> str:
    if not message:
        return "nothing: it is fine"
    first, *lines = _GUEST.sub(r"\1 ...", message).split("\n")
    drawn = "<br>".join(_markdown(safe(line)) for line in lines)
    return _markdown(safe(first)) + (f"<pre>{drawn}</pre>" if drawn else "")


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|~$#&])", r"\\\1", text)


if __name__ == "__main__":
    PAGE.write_text(page({}), encoding="utf-8")
