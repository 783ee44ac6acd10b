"""`read=`: files as people have them give what pandas reads with the same options."""

import gzip
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import squarely as sq
from squarely.data import open_source, require_columns
from squarely.errors import DataError, OptionError
from tests.support.checks import assert_close, need
from tests.support.scripts import run_script

ROWS = [(3.0, 1.0), (5.0, 2.0), (7.5, 3.0), (9.25, 4.0), (10.0, 5.5), (13.0, 6.0), (2.5, 1.5)]


def plain(number):
    return f"{number:g}"


def comma(number):
    return f"{number:g}".replace(".", ",")


def grouped(number, thousands=",", decimal="."):
    """Write 1000 times a number with groups of digits."""
    return f"{1000 * number:,.2f}".translate({ord(","): thousands, ord("."): decimal})


def table(sep=",", header="y,x", write=plain, end="\n", rows=ROWS):
    lines = [header.replace(",", sep)] * bool(header) + [sep.join(map(write, row)) for row in rows]
    return end.join([*lines, ""])


def encode(text, encoding="utf-8"):
    return text if isinstance(text, bytes) else text.encode(encoding)


def solve(frame):
    """Return the coefficients of y ~ x, and the number of complete rows, by NumPy."""
    frame = frame[["y", "x"]].astype(float).dropna()
    X = np.column_stack([np.ones(len(frame)), frame["x"]])
    return np.linalg.lstsq(X, frame["y"].to_numpy(), rcond=None)[0], len(frame)


def notes_of(fit):
    return " ".join(str(fit.summary()).split())


# name: (text, options, those of pandas, note)
CASES = {
    "delimiter": (table("^"), {"delimiter": "^"}, {"sep": "^"}, "delimiter '^'"),
    "delimiter that is not ASCII": (table("¦"), {"sep": "¦"}, {"sep": "¦", "engine": "python"}, "delimiter '¦'"),
    "tab": (table("\t"), {"delimiter": "tab"}, {"sep": "\t"}, r"delimiter '\t'"),
    "blank": (table(" "), {"delimiter": " "}, {"sep": " "}, "delimiter ' '"),
    "whitespace": (table("  \t "), {"delimiter": "whitespace"}, {"sep": r"\s+"}, "whitespace between values"),
    "whitespace around lines": (
        table("   ").replace("\n", "  \r\n  "), {"delim": r"\s+"}, {"sep": r"\s+"}, "whitespace between values",
    ),
    "lines above, some blank": (
        '"Source","WDI",\n\n"Updated","2024",\n\n' + table(), {"skip_rows": 4}, {"skiprows": 4}, "4 lines skipped",
    ),
    "blank lines after those skipped": ("one\n\n \n" + table(), {"skiprows": 1}, {"skiprows": 1}, "1 line skipped"),
    "a quote in a skipped line": ('5" pipe\n' + table(), {"skip": 1}, None, "1 line skipped"),
    "units below the names": (
        table().replace("\n", "\nkg,m\n", 1), {"skip_rows": [2]}, {"skiprows": [1]}, "line 2 skipped",
    ),
    "lines by number, CRLF": (
        table(end="\r\n").replace("\r\n", "\r\nkg,m\r\n", 1).join(["title\r\n", ""]),
        {"skip_rows": [3, 1]}, {"skiprows": [0, 2]}, "lines 1 and 3 skipped",
    ),
    "old Macintosh line ends": (table(end="\r").join(["title\r", ""]), {"skip_rows": 1}, {"skiprows": 1}, "1 line skipped"),
    "names": (table(header=""), {"names": ["y", "x"]}, {"names": ["y", "x"]}, "the names 'y', 'x'"),
    "no header": (
        table(header=""), {"header": False, "names": ("y", "x")}, {"header": None, "names": ["y", "x"]},
        "no header, the names 'y', 'x'",
    ),
    "other names": (
        table(header="a,b"), {"header": True, "names": ["y", "x"]}, {"header": 0, "names": ["y", "x"]}, "the names 'y', 'x'",
    ),
    "a word for missing": (table().replace("7.5", "?"), {"na_values": "?"}, {"na_values": "?"}, "'?' for a missing value"),
    "words for missing": (
        table().replace("7.5", '"?"').replace("10,", ".,"), {"na_values": ["?", "."]}, {"na_values": ["?", "."]},
        "'?' and '.' for a missing value",
    ),
    "a word for missing between blanks": (  # as in UCI's adult.data and in Eurostat's files
        table(sep=", ").replace("7.5", "? ").replace(" 4", " ?"), {"na_values": "?", "names": ["y", "x"], "header": True},
        {"na_values": ["? ", " ?"], "header": 0, "names": ["y", "x"]}, "the names 'y', 'x', '?' for a missing value",
    ),
    "a comment behind quotes": (
        table(end=',"a"  # b\n', header="y,x,g").replace('g,"a"', "g"), {"comment": "#"}, None, "comments behind '#'",
    ),
    "arrays of options": (
        table().replace("7.5", "?").replace("\n", "\nkg,m\n", 1), {"na_values": np.array(["?"]), "skip_rows": np.array([2])},
        {"na_values": ["?"], "skiprows": [1]}, "line 2 skipped, '?' for a missing value",
    ),
    "a number for missing": (
        table().replace("7.5", "-999").replace("10,", "-999.00,"), {"na_values": -999}, {"na_values": [-999]},
        "'-999' and '-999.0' for a missing value",
    ),
    "a number for missing, as text": (
        table().replace("7.5", "-9.99e2"), {"na_values": "-999"}, {"na_values": "-999"}, "'-999' for a missing value",
    ),
    "decimal comma": (
        table(";", write=comma), {"delimiter": ";", "decimal": ","}, {"sep": ";", "decimal": ","},
        "delimiter ';'. Read with decimal comma",
    ),
    "decimal commas in quotes": (
        table(write=lambda x: f'"{comma(x)}"'), {"decimal": ","}, {"decimal": ","}, "decimal comma",
    ),
    "decimal points of three digits": (
        "y;x\n1.234;1\n2.5;2\n3.125;4\n", {"decimal": "."}, {"sep": ";"}, "a decimal point",
    ),
    "thousands": (
        table(";", write=grouped), {"thousands": ","}, {"sep": ";", "thousands": ","}, "',' between thousands",
    ),
    "thousands in quotes": (
        table(write=lambda x: f'"{grouped(x)}"'), {"thousands": ","}, {"thousands": ","}, "',' between thousands",
    ),
    "German numbers": (
        table(";", write=lambda x: grouped(x, ".", ",")), {"thousands": "."}, {"sep": ";", "thousands": ".", "decimal": ","},
        "'.' between thousands. Read with decimal comma",
    ),
    "Swiss numbers": (
        table(";", write=lambda x: grouped(x, "'")), {"thousands": "'"}, {"sep": ";", "thousands": "'"}, '"\'" between thousands',
    ),
    "French numbers": (
        table(";", write=lambda x: grouped(x, " ", ",")), {"thousands": " "}, {"sep": ";", "thousands": " ", "decimal": ","},
        "' ' between thousands. Read with decimal comma",
    ),
    "thousands far down": (
        table(";", rows=[(i % 7, i % 5) for i in range(30_000)]) + "1,250;3\n", {"thousands": ","}, {"sep": ";", "thousands": ","},
        "',' between thousands",
    ),
    "Latin-1": (
        table(header="y,x,Größe", rows=[(*row, 1) for row in ROWS]).encode("latin-1"), {"encoding": "latin-1"},
        {"encoding": "latin-1"}, "encoding 'iso8859-1'",
    ),
    "Windows-1252": (
        table(header="y,x,€", rows=[(*row, 1) for row in ROWS]).encode("cp1252"), {"encoding": "windows-1252"},
        {"encoding": "cp1252"}, "encoding 'cp1252'",
    ),
    "UTF-16 without a mark": (
        table().encode("utf-16-be"), {"encoding": "UTF-16BE"}, {"encoding": "utf-16-be"}, "encoding 'utf-16-be'",
    ),
    "UTF-16 below a title": (
        f"Titel ä\n{table()}".encode("utf-16"), {"skip_rows": 1}, {"encoding": "utf-16", "skiprows": 1},
        "UTF-16. Read with 1 line skipped",
    ),
    "comments": (
        "# NOAA\n# more\n" + table().replace("\n9", "\n# in between\n9").replace("3\n", "3 # a note\n", 1) + "# end",
        {"comment": "#"}, {"comment": "#"}, "comments behind '#'",
    ),
    "comments behind blanks": ("  # a\n" + table() + "\t# b\n", {"comment": "#"}, None, "comments behind '#'"),
    "comment signs in quotes": (
        "# a\n" + table(header="y,x,g", rows=ROWS, end=',"#1\n# 2\n"\n').replace('g,"#1\n# 2\n"', "g"), {"comment": "#"},
        {"comment": "#"}, "comments behind '#'",
    ),
    "comments and lines": (
        "title\r\n% a\r\n\r\nkg,m\r\n" + table(end="\r\n"), {"comment": "%", "skip_rows": [1, 4]},
        {"comment": "%", "skiprows": [0, 3]}, "lines 1 and 4 skipped, comments behind '%'",
    ),
    "quotes": (
        table(header="y,x,g", end=",'a,''b'\n").replace("g,'a,''b'", "g"), {"quote": "'"}, {"quotechar": "'"}, '"\'" as quotes',
    ),
    "a byte order mark and a title": (f"\ufefftitle\n{table()}", {"skip_rows": 1}, {"skiprows": 1}, "1 line skipped"),
    "a byte order mark below a title": (f"title\n\ufeff{table()}", {"skip_rows": 1}, None, "1 line skipped"),
    "gzip": (
        gzip.compress(f"# a\n{table(';', write=comma)}".encode(), mtime=0), {"comment": "#", "decimal": ","},
        {"comment": "#", "sep": ";", "decimal": ",", "compression": "gzip"}, "comments behind '#'. Read with decimal comma",
    ),
    "whitespace, quotes and comments": (
        '# a\n  y   x "a name"\n' + table("  ", header="", end=' \t"chevy  #5" # b\n'),
        {"comment": "#", "delimiter": "whitespace"}, {"comment": "#", "sep": r"\s+"},
        "whitespace between values, comments behind '#'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_option_reads_what_pandas_reads(name, tmp_path):
    text, read, options, note = CASES[name]
    path = tmp_path / "data.csv"
    path.write_bytes(encode(text))
    frame = pd.read_csv(path, **options) if options is not None else pd.DataFrame(ROWS, columns=["y", "x"])
    params, nobs = solve(frame)
    fit = sq.ols("y ~ x", path, read=read)
    assert_close(fit.params, params, rtol=1e-9)
    assert fit.nobs == nobs
    assert f"Read with {note}." in notes_of(fit)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[2] and "engine" not in case[2]])
def test_the_script_reads_the_same_rows(name, tmp_path):
    need("torch")
    text, read, _, _ = CASES[name]
    path = tmp_path / "data.csv"
    path.write_bytes(encode(text))
    run = sq.train("y ~ x", path, read=read, epochs=2, lr=0.1)
    (tmp_path / "script.py").write_text(run.code())
    ended = run_script(tmp_path / "script.py")
    assert ended.stdout.startswith(f"Epoch 2: loss {run.history['loss'].iloc[-1]:.8g}"), ended.stderr


SIGNS = {"delimiter": ",;\t|^", "decimal": ".,", "thousands": ",.' ", "comment": "#%", "quote": "\"'"}


@st.composite
def dialects(draw):
    read = {name: draw(st.sampled_from(signs)) for name, signs in SIGNS.items() if draw(st.booleans())}
    signs = [read.get("delimiter", ","), read.get("decimal", "."), read.get("thousands"), read.get("quote", '"')]
    used = [sign for sign in signs if sign is not None]
    if len(set(used)) < len(used):
        read = {"delimiter": ";", "decimal": ",", "thousands": ".", "comment": "#", "quote": "'"}
    return read | {"skip_rows": draw(st.integers(0, 3)), "na_values": draw(st.sampled_from([["?"], [-9], ["-", "x y"]]))}


@given(read=dialects(), header=st.booleans(), end=st.sampled_from(["\n", "\r\n"]), encoding=st.sampled_from(["utf-8", "cp1252"]),
       seed=st.integers(0, 10**6))  # fmt: skip
def test_combinations_read_what_pandas_reads(read, header, end, encoding, seed):
    """Expected: pandas, which gets the same options under its own names."""
    rng = np.random.default_rng(seed)
    sep, decimal, quote = read.get("delimiter", ","), read.get("decimal", "."), read.get("quote", '"')
    thousands, comment, na = read.get("thousands", ""), read.get("comment"), read["na_values"][0]

    def cell(number):
        digits = f"{number:,.2f}" if thousands else f"{number:.2f}"
        return digits.translate({ord(","): thousands, ord("."): decimal})

    lines = ["title", "", "é"][: read["skip_rows"]] + [sep.join("yxg")] * header
    for number in range(12):
        words = [cell(value) for value in rng.normal(0, 5000, 2)]
        words[0] = str(na) if number == 7 else words[0]
        lines.append(sep.join([*words, f"{quote}é{sep}{comment or ''}{number % 3}{quote}"]))
        if comment and number % 4 == 2:
            lines[-1] += f" {comment} x"
            lines.append(f"{comment} {quote}")
    options = {
        "sep": sep, "decimal": decimal, "thousands": thousands or None, "comment": comment, "quotechar": quote,
        "skiprows": read["skip_rows"], "na_values": read["na_values"], "encoding": encoding,
    }  # fmt: skip
    if not header:
        options["names"] = read["names"] = ["y", "x", "g"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "data.csv")
        path.write_bytes(end.join([*lines, ""]).encode(encoding))
        expected = pd.read_csv(path, **options)
        source = open_source(path, {**read, "encoding": encoding})
        (batch,) = source.read(["y", "x"], ["g"])
    for name, column in zip(["y", "x"], batch.columns, strict=False):
        np.testing.assert_array_equal(column.to_numpy(zero_copy_only=False), expected[name].to_numpy(float))
    assert [text.rstrip() for text in batch.columns[2].to_pylist()] == [text.rstrip() for text in expected["g"]]


def test_missing_words_apply_to_categories_and_are_counted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("y,x,g\n3,1,a\n1,2,b\n2,3,?\n4,-9,a\n5,5,b\n4,6,b\n1,7,a\n8,8,b\n")
    fit = sq.ols("y ~ x + g", path, read={"na_values": ["?", "-9"]})
    assert list(fit.params.index) == ["Intercept", "g[T.b]", "x"]
    assert fit.rows.dropped == {"g": {"null": 1, "nan": 0, "inf": 0}, "x": {"null": 1, "nan": 0, "inf": 0}}
    frame = pd.read_csv(path, na_values=["?", "-9"]).dropna()
    X = np.column_stack([np.ones(6), frame["g"] == "b", frame["x"]])
    assert_close(fit.params, np.linalg.lstsq(X, frame["y"].to_numpy(float), rcond=None)[0], rtol=1e-9)


def test_a_file_without_header_has_columns_with_numbers(tmp_path):
    path = tmp_path / "iris.data"
    path.write_text("5.1,3.5,a\n4.9,3.0,a\n4.7,3.2,b\n4.6,3.1,b\n4.0,2.2,a\n")
    fit = sq.ols("x1 ~ x2 + x3", path, read={"header": False})
    assert fit.nobs == 5
    path.write_text("1,2\n")
    assert [batch.num_rows for batch in open_source(path, {"header": False}).read([])] == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5.1,3.5\n4.9,3.0\n4.7,3.2\n", "looks like data and not like names: 5.1, 3.5"),
        ("5.1,3.5,1.4,Iris-setosa\n4.9,3.0,1.5,Iris-setosa\n4.7,3.2,1.6,b\n", "looks like data"),
        ("M,0.455,0.365,15\nF,0.35,0.265,7\nF,0.35,0.265,7\n", "looks like data"),
        ("0,1,1,5\n4,3,2,1\n", "looks like data"),
    ],
)
def test_a_first_line_of_data_is_not_taken_for_names(text, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(text)
    source = open_source(path)
    for reads in (lambda: list(source.read([])), lambda: require_columns(source, ["x1"])):
        with pytest.raises(DataError, match=message) as found:
            reads()
    assert "read={'header': False}" in str(found.value)
    assert list(open_source(path, {"header": True}).columns) == list(dict.fromkeys(text.split("\n")[0].split(",")))
    assert "x1" in open_source(path, {"header": False}).columns


@pytest.mark.parametrize("header", ["1990,1991", "geo,1990,1991", "2020,2019,2018", "y,1.5", "a,b"])
def test_years_and_words_are_names(header, tmp_path):
    path = tmp_path / "a.csv"
    row = "1,2" if header == "a,b" else header.translate(str.maketrans("123", "445"))
    path.write_text("\n".join([header, row, row, ""]))
    source = open_source(path)
    assert list(source.columns) == header.split(",")
    assert not source.notes


def test_numbers_in_order_as_names_are_noted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,2,3\n4,5,9\n7,8,8\n1,5,7\n9,2,1\n1,2,4\n")
    fit = sq.ols("`1` ~ `2`", path)
    assert "Read with names from the first line, 1, 2, 3, which may be data: read={'header': False} reads it as a row." in notes_of(
        fit
    )


def test_line_numbers_are_those_of_the_file(tmp_path):
    path = tmp_path / "a.csv"
    above = "title\n# a\n\n" + table(";").replace("\n9", "\n# c\n\n9")
    for read, text in [
        ({"skip_rows": 1, "comment": "#"}, above + "# d\n1;2;3\n"),
        ({"skip_rows": [1, 2], "comment": "#", "delimiter": ";"}, above + "# d\n1;2;\n"),
        ({"skip_rows": [1, 7], "comment": "#", "delimiter": "whitespace"}, above.replace(";", "  ") + "# d\n1 2 3\n"),
    ]:
        path.write_text(text)
        with pytest.raises(DataError, match=f"[Ll]ine {text.count(chr(10))} .*has 3 fields, and the header has 2"):
            sq.ols("y ~ x", path, read=read)
    path.write_text(table(header="") + "1,2,3\n")
    with pytest.raises(DataError, match="cannot be read as CSV: line 8 has 3 fields, and the first line has 2"):
        sq.ols("x1 ~ x2", path, read={"header": False})


@pytest.mark.parametrize(
    ("name", "text", "columns"),
    [
        ("a.csv", "id;Preis, EUR;Größe, qm\n1;3,1;12,5\n2;1,0;3,25\n3;2,2;8,0\n", ["id", "Preis, EUR", "Größe, qm"]),
        ("a.txt", "unit,geo\\TIME\t2019 \t2020 \nA,AT\t4.5 \t5.4 b\nA,BE\t4.7 \t5.1\n", ["unit,geo\\TIME", "2019 ", "2020 "]),
        ("a.tsv", "a,b,c\td,e\n1,2,3\t4,5\n", ["a,b,c", "d,e"]),
        ("a.TSV", "y,x\n1,2\n", ["y", "x"]),
        ("a.csv", "y^x\n1^2\n3^4\n", ["y", "x"]),
        ("a.csv", "y:x\n1:2\n3:4\n", ["y", "x"]),
        ("a.csv", "y\n1\n2\n", ["y"]),
        ("a.csv", "y  x\n1  2\n 3  4\n", ["y", "x"]),
        ("a.csv", "18.0   8   307.0\t\"chevrolet chevelle\"\n15.0   8   350.0\t\"buick skylark\"\n", None),
        ("a.csv", "name, city\nAnn Lee, New York\nBo Ray, San Jose\n", ["name", " city"]),
        ("a.csv", "sep=;\r\ny;x\r\n1,5;2\r\n3;4\r\n", ["y", "x"]),
        ("a.csv", '"sep=;"\ny;x\n1,5;2\n3;4\n', ["y", "x"]),
    ],
)  # fmt: skip
def test_the_delimiter_is_detected(name, text, columns, tmp_path):
    path = tmp_path / name
    path.write_bytes(text.encode())
    if columns is None:
        assert "looks like data" in open_source(path).header_error
        assert list(open_source(path, {"header": False}).columns) == ["x1", "x2", "x3", "x4"]
    else:
        assert list(open_source(path).columns) == columns


def test_a_header_cell_of_several_lines_has_its_own_line_end(tmp_path):
    """Excel writes this for Alt+Enter in a header (DuckDB issue 16760)."""
    path = tmp_path / "a.csv"
    path.write_bytes(('"size\n(mm)",y\r\n' + table(header="", end="\r\n")).encode())
    fit = sq.ols("`size\n(mm)` ~ y", path)
    params, _ = solve(pd.DataFrame(ROWS, columns=["y", "x"]))
    assert_close(fit.params, params, rtol=1e-9)
    path.write_bytes(('"size\r\n(mm)",y\n' + table(header="")).encode())
    assert list(open_source(path).columns) == ["size\r\n(mm)", "y"]


CONTRADICTIONS = [
    ({"delimiter": ",", "decimal": ","}, "The delimiter and the decimal sign of read= are both ','"),
    ({"decimal": ".", "thousands": "."}, "The decimal and the thousands sign"),
    ({"comment": "'", "quote": "'"}, "The comment and the quote sign"),
    ({"comment": '"'}, "The comment and the quote sign of read= are both '\"'"),
    ({"sep": ",", "delimiter": ","}, "has 'delimiter' twice, also as 'delimiter'"),
    ({"names": ["y"], "header": True}, "There is 1 name for the 2 columns of data.csv"),
    ({"names": ["y", "x", "z"], "header": False}, "There are 3 names for the 2 columns"),
    ({"names": ["y", "y"]}, "The names for the columns have 'y' twice"),
    ({"names": ["a", "b"]}, "looks like names. Replace them by yours with read={'header': True}"),
    ({"na_values": ["a,b"]}, "has the delimiter or a quote in it"),
    ({"decimal": "x"}, r"is not '\.' or ','"),
    ({"thousands": "0"}, "is not a sign"),
    ({"quote": "’"}, "is not an ASCII character"),
    ({"encoding": "base64"}, "is not the name of an encoding"),
    ({"encoding": "utf_42"}, "is not the name of an encoding"),
    ({"skip_rows": 99}, "has only lines that are blank, skipped or comments"),
    ({"skip_rows": -1}, "is not a number of lines"),
    ({"comment": "##"}, "is not a single character"),
    ({"delimiters": ","}, "Did you mean 'delimiter'?"),
    ({"na_values": []}, "is not a list of texts"),
]  # fmt: skip


@pytest.mark.parametrize(("read", "message"), CONTRADICTIONS)
def test_options_that_cannot_be_meant_are_refused(read, message, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(table())
    with pytest.raises((OptionError, DataError), match=message):
        sq.ols("y ~ x", path, read=read)


def test_all_files_have_the_same_options(tmp_path):
    for i, part in enumerate([ROWS[:3], ROWS[3:]]):
        (tmp_path / f"{i}.csv").write_text("title\n" + table(";", write=comma, rows=part))
    params, nobs = solve(pd.DataFrame(ROWS, columns=["y", "x"]))
    read = {"skip_rows": 1, "decimal": ","}
    for data in (tmp_path, str(tmp_path / "*.csv"), sorted(tmp_path.iterdir())):
        fit = sq.ols("y ~ x", data, read=read)
        assert_close(fit.params, params, rtol=1e-9)
        assert fit.nobs == nobs


def test_predict_and_preview_take_the_options(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("# a\n" + table(";", write=comma))
    read = {"comment": "#", "decimal": ","}
    fit = sq.ols("y ~ x", path, read=read)
    expected = fit.predict(pd.DataFrame(ROWS, columns=["y", "x"]))
    assert_close(fit.predict(path, read=read), expected.to_numpy(), rtol=1e-12)
    assert sq.preview("y ~ x", path, read=read)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (table(header="y,x,Größe", rows=[(*row, 1) for row in ROWS]).encode("latin-1"), "read={'encoding': 'latin-1'}"),
        (table(header="y,x,€", rows=[(*row, 1) for row in ROWS]).encode("cp1252"), "read={'encoding': 'cp1252'}"),
        (table().encode("utf-16-le"), "read={'encoding': 'utf-16-le'}"),
        (table().encode("utf-16-be"), "read={'encoding': 'utf-16-be'}"),
        (b"\n" + table().encode(), "read={'skip_rows': 1}"),
        (table().replace("7.5", "?"), "read={'na_values': ['?']}"),
        (table().replace("7.5,3", "7.5,?"), "read={'na_values': ['?']}"),
    ],
)
def test_an_error_names_the_option_that_helps(content, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(encode(content))
    with pytest.raises(DataError) as found:
        sq.ols("y ~ x", path)
    assert message in str(found.value)


def test_where_cannot_make_numbers_of_text_but_na_values_can(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(table().replace("7.5,3", "7.5,?"))
    with pytest.raises(DataError, match=r"holds numbers in every row that is used, and text in others.*'na_values': \['\?'\]"):
        sq.ols("y ~ x", path, where="x != '?'")
    assert sq.ols("y ~ x", path, read={"na_values": "?"}).nobs == len(ROWS) - 1


def test_a_wrong_encoding_and_a_wrong_group_of_digits_are_errors(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(table().encode() + b"\xff\xff\n")
    with pytest.raises(DataError, match="is not encoded in 'shift_jis'"):
        sq.ols("y ~ x", path, read={"encoding": "shift-jis"})
    path.write_text(table(";", write=grouped) + "3,5;2\n")
    with pytest.raises(DataError, match=r"'3,5' in data row 8"):
        sq.ols("y ~ x", path, read={"thousands": ","})


def test_copies_are_deleted(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    path = tmp_path / "a.csv"
    path.write_text("# a\n" + table("  "))
    source = open_source(path, {"comment": "#"})
    assert list(source.columns) == ["y", "x"]
    del source
    path.write_bytes("é\n".encode("latin-1"))
    with pytest.raises(DataError):
        open_source(path, {"encoding": "ascii", "comment": "#"})
    with pytest.raises(DataError):
        open_source(path, {"encoding": "shift-jis"})
    assert list(folder.iterdir()) == []


def json_lines(rows, names=("y", "x", "g")):
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)


QUOTED = [("3", "1.5", "a"), ("5", "2", "b"), ("7.5", "-3e0", "a"), ("1", "4", "b"), ("-999", "9", "b"), ("2", "n/a", "a")]


def test_numbers_in_quotes_of_json_lines_are_numbers(tmp_path):
    """Expected: pandas.read_json, which makes numbers of them, and NumPy."""
    need("torch")
    path = tmp_path / "a.jsonl"
    path.write_text(json_lines(QUOTED[:4]))
    frame = pd.read_json(path, lines=True)
    assert frame["y"].dtype == float
    fit = sq.ols("y ~ x", path)
    assert_close(fit.params, solve(frame)[0], rtol=1e-9)
    assert "Read with numbers in quotes in 'y'." in notes_of(fit)
    path.write_text(json_lines(QUOTED))
    read = {"na_values": ["n/a", -999]}
    fit = sq.ols("y ~ x", path, read=read)
    assert_close(fit.params, solve(frame)[0], rtol=1e-9)
    assert fit.rows.dropped == {"x": {"null": 1, "nan": 0, "inf": 0}, "y": {"null": 1, "nan": 0, "inf": 0}}
    run = sq.train("y ~ x", path, read=read, epochs=2, lr=0.1)
    (tmp_path / "script.py").write_text(run.code())
    ended = run_script(tmp_path / "script.py", strict=True)
    assert ended.stdout.startswith(f"Epoch 2: loss {run.history['loss'].iloc[-1]:.8g}"), ended.stderr
    with pytest.raises(DataError, match=r"holds text, 'n/a'|holds text among numbers"):
        sq.ols("y ~ x", path)


def test_codes_in_quotes_of_json_lines_are_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json_lines([(1.0 + i % 5, i % 7, ("01234", "00501")[i % 2]) for i in range(20)]))
    assert "C(g)[T.01234]" in sq.ols("y ~ x + C(g)", path).params.index
    assert open_source(path).kind("g") == "text"


def test_missing_numbers_of_json_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json_lines([(3.0, 1, "a"), (5.5, -999, "a"), (7.0, 2, "?"), (1.0, 4, "b"), (2.0, 5, "b"), (1.5, 5, "a")]))
    fit = sq.ols("y ~ x + g", path, read={"na_values": [-999, "?"]})
    assert fit.nobs == 4
    assert list(fit.params.index) == ["Intercept", "g[T.b]", "x"]
    with pytest.raises(OptionError, match=r"does not apply to 'a.jsonl', a JSON lines file. Leave it out; .* take na_values"):
        sq.ols("y ~ x", path, read={"delimiter": ";"})


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        (("1.234,50", "987,10", "2.000,00"), "Give read={'thousands': '.'} and read={'decimal': ','} if these are numbers."),
        (("1,234.50", "987.10", "2,000.00"), "Give read={'thousands': ','} and read={'decimal': '.'} if these are numbers."),
        (("1'234", "2'987", "3'000"), "Give read={'thousands': \"'\"} if these are numbers."),
        (("1\xa0234,5", "2\xa0987,0", "3,25"), r"Give read={'thousands': '\xa0'} and read={'decimal': ','} if these are numbers."),
        (("1\u2019234", "2\u2019987", "3"), "Give read={'thousands': '\u2019'} if these are numbers."),
        (("$1,234.50", "$987.10", "$2"), "Write its values as numbers, such as 1234.5."),
        (("1.234500D+03", "9.8D+02", "1.0D+01"), "Write its values as numbers, such as 1234.5."),
    ],
)
def test_grouped_numbers_in_the_response_name_their_signs(values, advice, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("y;x\n" + "".join(f"{value};{i}\n" for i, value in enumerate(values)))
    with pytest.raises(DataError) as found:
        sq.ols("y ~ x", path)
    assert advice in str(found.value)


def test_the_advice_on_decimal_signs_is_true(tmp_path):
    """Expected: the slope of y = 1.5 + 0.5 x, from the values with the right sign."""
    path = tmp_path / "a.csv"
    for text, wrong, advised in (
        ('y,x\n"2,0",1\n"2,5",2\n"3,0",3\n', {}, {"decimal": ","}),
        ("y;x\n2.0;1\n2.5;2\n3.0;3\n", {"decimal": ","}, {"decimal": "."}),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=re.escape(f"Give read={advised} if these are numbers")):
            sq.ols("y ~ x", path, read=wrong)
        assert_close(sq.ols("y ~ x", path, read=advised).params, [1.5, 0.5], rtol=1e-12)


def test_a_no_break_space_has_an_escape_for_the_command_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("y;x\n1\xa0234,5;1\n2\xa0987,0;2\n4\xa0739,5;3\n")
    assert_close(sq.ols("y ~ x", path, read={"thousands": r"\xa0", "decimal": ","}).params, [-518, 1752.5], rtol=1e-12)
