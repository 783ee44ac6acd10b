"""What `preview(data)` shows of the first rows: the values as the file has them, kinds, missing words, and what is unexpected."""

import json

import pandas as pd
import pyarrow as pa
import pytest

import squarely as sq
from squarely.errors import DataError, OptionError
from tests.support.checks import need
from tests.support.engines import ENGINES

ODD = """\
id;Miles/gallon;hp;origin;class;when;gap
9007199254740993;1,5;?;usa;a;2020-01-01;
9007199254740995;2,5;100;n/a;b;2020-01-02;
9007199254740997;NA;120;usa;a;2020-01-03;
9007199254740999;3,25;130;;a;2020-01-04;
"""
LOCAL = [name for name in ENGINES if not name.startswith(("spark", "ibis on postgres"))]


@pytest.fixture
def odd(tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text(ODD)
    return sq.preview(data=path)


def column(preview, name):
    return next(each for each in preview.columns if each.name == name)


def test_kinds_values_and_missing_words_of_a_csv(odd):
    assert [each.kind for each in odd.columns] == ["integer", "number", "text", "text", "text", "date", "empty"]
    assert column(odd, "Miles/gallon").values == ("1,5", "2,5", None, "3,25")
    assert column(odd, "Miles/gallon").missing_words == {"NA": 1}
    assert column(odd, "origin").missing_words == {"": 1}
    assert column(odd, "gap").missing_words == {"": 4}
    assert (odd.rows, odd.rows_examined) == (4, 4)
    assert odd.dialect == {"format": "CSV", "delimiter": ";", "decimal": ",", "encoding": "UTF-8", "header": "the first line"}


@pytest.mark.parametrize(
    "note",
    [
        "names in backticks: `Miles/gallon`, `class`",
        "'id' has whole numbers beyond 2^53, such as 9007199254740999",
        "'hp' is text because of '?' (1); 3 other values are numbers",
        "'origin' has 'n/a' as a category",
        "'when' of odd.csv holds date values, which are neither numbers nor categories",
    ],
)
def test_notes_name_what_is_odd(odd, note):
    assert note in " ".join(odd.notes)
    assert note in " ".join(str(odd.summary()).replace("    ", "").split())


def test_what_the_header_says_is_not_a_note(odd, tmp_path):
    assert not any("ecimal" in note for note in odd.notes)
    path = tmp_path / "t.csv"
    path.write_bytes("a\nx|y\n1|2,5\n?|3,5\n".encode("utf-16"))
    preview = sq.preview(path, read={"skip_rows": 1, "delimiter": "|", "na_values": ["?"]})
    assert preview.notes == ()
    assert preview.dialect["skip_rows"] == "1"
    assert preview.dialect["encoding"].startswith("UTF-16")
    assert preview.dialect["decimal"] == ","


def test_groups_of_digits_are_those_of_a_fit(tmp_path):
    path = tmp_path / "t.csv"
    for text, kind in {"1$500": "integer", "12$34$500": "integer", "1$5": "text", "$1500": "text", "1$500$5": "text"}.items():
        path.write_text(f"y;x\n{text};2\n900;3\n1$200;4\n700;6\n")
        preview = sq.preview(path, read={"thousands": "$", "decimal": "."})
        assert column(preview, "y").kind == kind
        if kind == "text":
            with pytest.raises(sq.errors.DataError, match=r"'y' of t.csv holds text"):
                sq.ols("y ~ x", path, read={"thousands": "$", "decimal": "."})
        else:
            assert sq.ols("y ~ x", path, read={"thousands": "$", "decimal": "."}).nobs == 4


def test_numbers_with_units_are_noticed():
    preview = sq.preview({"term": [f"{n} months" for n in range(12, 60, 6)], "size": ["S", "M", "L", "S", "M", "L", "S", "M"]})
    (note,) = preview.notes
    assert "'term' has numbers with signs or units, such as '12 months'" in note


def test_numbers_with_thousands_name_the_option():
    (note,) = sq.preview({"price": ["1,200", "3,400", "950"], "n": [1, 2, 3]}).notes
    assert "read={'thousands': ','}" in note


def test_a_first_line_of_values_is_shown_with_a_note_and_refused_by_a_fit(tmp_path):
    path = tmp_path / "iris.csv"
    path.write_text("5.1,3.5,setosa\n4.9,3.0,setosa\n")
    preview = sq.preview(path)
    assert [(each.name, each.values) for each in preview.columns] == [("5.1", ("4.9",)), ("3.5", ("3.0",)), ("setosa", ("setosa",))]
    (note,) = preview.notes
    assert "looks like data and not like names: 5.1, 3.5, setosa" in note
    assert "read={'header': False}" in note
    for formula in ("x1 ~ x2", "`5.1` ~ `3.5`", "`5.1` ~ ."):
        with pytest.raises(DataError, match="looks like data and not like names"):
            sq.ols(formula, path)
    preview = sq.preview(path, read={"header": False})
    assert preview.rows == 2
    assert preview.dialect["header"] == "none"
    assert column(preview, "x1").values == ("5.1", "4.9")


def test_options_of_reading_are_used_and_shown(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("Bericht\nname;preis\nK\xf6ln;1.234,5\n?;2.000,0\n".encode("latin-1"))
    read = {"skip_rows": 1, "encoding": "latin-1", "thousands": ".", "na_values": ["?"], "delimiter": ";"}
    preview = sq.preview(path, read=read)
    assert column(preview, "name").values == ("K\xf6ln", None)
    assert column(preview, "name").missing_words == {"?": 1}
    assert column(preview, "preis").kind == "number"
    assert preview.dialect["skip_rows"] == "1"


def test_it_reads_the_first_rows_only(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("x,y\n" + "1,2\n" * 12_000 + "1,a\n" * 100)
    preview = sq.preview(path)
    assert (preview.rows, preview.rows_examined) == (None, 10_000)
    assert column(preview, "y").kind == "integer"
    assert "unknown" in str(preview.summary())


def test_a_wide_table_names_what_it_does_not_show():
    preview = sq.preview({f"c{i}": [1.0] for i in range(70)})
    assert "10 more columns: c60" in str(preview.summary())
    assert len(preview.columns) == 70


def test_files_of_a_folder(tmp_path):
    for key, text in (("1", "x,y\n1,NA\n"), ("2", "x;y\n1;2\n")):
        (tmp_path / f"k={key}").mkdir()
        (tmp_path / f"k={key}" / "a.csv").write_text(text)
    preview = sq.preview(tmp_path)
    assert preview.dialect["delimiter"] == ", or ;"
    assert [each.values for each in preview.columns] == [("1", "1"), (None, "2"), (1, 2)]
    assert preview.rows == 2


def test_json_lines_show_nested_and_mixed_values(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1, "b": {"c": 2}}\n{"a": 2.5, "b": 3}\n')
    preview = sq.preview(path)
    assert column(preview, "a").values == (1.0, 2.5)
    assert column(preview, "b").kind == "object"
    assert column(preview, "b").values == ('{"c": 2}', "3")


def test_gzip_and_types_of_parquet(tmp_path):
    frame = pd.DataFrame({"n": [1, 2], "when": pd.to_datetime(["2020-01-01", None])})
    frame.to_csv(tmp_path / "a.csv.gz", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    assert sq.preview(tmp_path / "a.csv.gz").dialect["compression"] == "gzip"
    preview = sq.preview(tmp_path / "a.parquet")
    assert preview.dialect == {"format": "Parquet"}
    assert column(preview, "when").missing == 1
    assert "such as the year" in preview.notes[0]


def test_a_column_that_cannot_be_read_does_not_hide_the_others():
    preview = sq.preview(pd.DataFrame({"x": [1.5, None], "mixed": [1, "a"]}))
    assert [each.kind for each in preview.columns] == ["number", "unreadable"]
    assert "mixes kinds of values" in preview.notes[0]
    with pytest.raises(DataError, match="mixes kinds"):
        sq.preview(pd.DataFrame({"mixed": [1, "a"]}))


def test_duplicate_names(tmp_path):
    path = tmp_path / "dup.csv"
    path.write_text("x,x,y\n1,2,3\n")
    preview = sq.preview(path)
    assert [each.kind for each in preview.columns] == ["duplicate", "integer"]
    assert "two or more columns called 'x'" in preview.notes[0]


@pytest.mark.parametrize("engine", LOCAL)
def test_every_engine_shows_its_rows(engine, tmp_path):
    if engine.startswith("ibis"):
        need("ibis")
    table = pa.table({"x": pa.array([1.5, None, 3.0]), "n": pa.array([1, 2, 3]), "g": pa.array(["a", None, "b"])})
    preview = sq.preview(ENGINES[engine].make(table, tmp_path))
    assert [each.kind for each in preview.columns] == ["number", "integer", "text"]
    assert [each.missing for each in preview.columns] == [1, 0, 1]
    assert [str(value) for value in column(preview, "n").values] == ["1", "2", "3"]
    assert preview.rows == 3


def test_the_result_is_plain_and_shown_in_notebooks(odd):
    assert json.loads(json.dumps(odd.as_dict()))["columns"][0]["name"] == "id"
    assert "<table" in odd._repr_html_()
    assert "4 rows, 7 columns" in repr(odd)


def test_a_formula_with_data_still_plans_the_fit():
    data = {"x": [0.0, 1.0], "y": [1.0, 3.0]}
    assert isinstance(sq.preview("y ~ x", data), sq.Preview)
    assert isinstance(sq.preview(data), sq.DataPreview)
    with pytest.raises(OptionError, match="read="):
        sq.preview(data, read={"delimiter": ";"})


def test_values_that_no_double_holds_and_words_for_nan_are_shown(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("y,x\n1,NaN\n2,inf\n3,5\n1e308,6\n")
    preview = sq.preview(path)
    assert column(preview, "x").missing_words == {"NaN": 1}
    assert column(preview, "x").values == (None, "inf", "5", "6")
    assert preview.notes == (
        "Column 'x' has 1 value that double precision takes as infinite, such as 'inf'. A fit drops and counts such rows.",
    )
    path.write_text("y,x\n1,2\n2,3\n3,5\n9e309,6\n")
    (note,) = sq.preview(path).notes
    assert "'y' has 1 value that double precision takes as infinite, such as '9e309'" in note


def test_texts_are_of_the_kind_that_a_fit_uses(tmp_path):
    csv, lines = tmp_path / "a.csv", tmp_path / "a.jsonl"
    csv.write_text("y,x,z\n1,0xA,(2.5)\n2,0xB,3\n3,0xC,4\n4,0xD,5\n")
    preview = sq.preview(csv)
    assert column(preview, "x").kind == "text"
    assert any("'z' has numbers with signs or units, such as '(2.5)'" in note for note in preview.notes)
    assert not any("na_values" in note for note in preview.notes)
    lines.write_text('{"x": "1.5", "y": 2}\n{"x": "2", "y": 3}\n')
    assert column(sq.preview(lines), "x").kind == "number"
    (note,) = sq.preview({"x": ["1", "2", "3"]}).notes
    assert "'x' is stored as text, although every value is a number" in note


def test_a_sign_that_may_part_thousands_is_noticed(tmp_path):
    path = tmp_path / "ine.csv"
    path.write_text("m;p;u\nA;987;40\nB;1.234;55\nC;12.345;610\n")
    (note,) = sq.preview(path).notes
    assert "read={'thousands': '.'}" in note


def test_a_title_padded_with_delimiters_keeps_all_columns(tmp_path):
    path = tmp_path / "title.csv"
    path.write_text("Survey of 2020,\n,\ny,x\n1,2\n2,4\n3,7\n")
    preview = sq.preview(path)
    assert len(preview.columns) == 2
    assert "read={'skip_rows': 1}" in preview.notes[1]
    assert sq.ols("y ~ x", path, read={"skip_rows": 2}).nobs == 3


def test_decimal_commas_in_quotes_name_the_option(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('y,x\n"0,758","1,250"\n"1,5","2,375"\n"2,25","0,125"\n')
    notes = sq.preview(path).notes
    assert len(notes) == 2
    assert all("read={'decimal': ','}" in note for note in notes)
    assert column(sq.preview(path, read={"decimal": ","}), "x").kind == "number"
