"""Workbooks: the numbers of the same table as CSV, the sheet that is asked for, and what cells hold beside numbers."""

import json
import pathlib

import numpy as np
import pandas as pd
import pytest
import statsmodels
from typer.testing import CliRunner

import squarely as sq
from squarely.cli import app
from squarely.data import open_source
from squarely.errors import DataError, OptionError
from tests.support.workbooks import write_ods, write_xlsx

FORMATS = pathlib.Path(__file__).parents[1] / "data" / "formats"
RNG = np.random.default_rng(16)
TABLE = pd.DataFrame({"x": RNG.normal(size=200), "k": RNG.integers(0, 5, 200), "g": np.tile(["a", "b b", "ü", "<d>"], 50)})
TABLE["y"] = 3 * TABLE["x"] + TABLE["k"] / 7 + RNG.normal(size=200)
ROWS = [list(TABLE.columns), *([float(x), int(k), g, float(y)] for x, k, g, y in TABLE.itertuples(index=False))]


def values(source, name):
    numbers = source.kind(name) in ("number", "boolean")
    batches = source.read([name], []) if numbers else source.read([], [name])
    return [value for batch in batches for value in batch.column(0).to_pylist()]


@pytest.mark.parametrize(("suffix", "write"), [("xlsx", write_xlsx), ("xlsm", write_xlsx), ("ods", write_ods)])
def test_the_rows_are_those_of_csv_to_the_bit(suffix, write, tmp_path):
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    write(tmp_path / f"t.{suffix}", {"cars": ROWS})
    for formula in ("y ~ x + g", "y ~ x * C(k)", "y ~ ."):
        ours, expected = sq.ols(formula, tmp_path / f"t.{suffix}"), sq.ols(formula, tmp_path / "t.csv")
        assert ours.params.to_dict() == expected.params.to_dict()
        assert ours.bse.to_dict() == expected.bse.to_dict()
    assert "Read with sheet 'cars'." in str(sq.ols("y ~ x", tmp_path / f"t.{suffix}").summary())


def test_a_file_of_excel_97_is_the_csv_file_that_statsmodels_has_beside_it():
    """The workbook has its sheet of 1947 and later; the CSV file begins in 1959."""
    folder = pathlib.Path(statsmodels.__file__).parent / "datasets" / "macrodata"
    (workbook,) = (path for path in folder.rglob("*.xls") if path.is_file())
    ours = sq.ols("GDPC96 ~ PCECC96 + GPDIC96", workbook, read={"sheet": "Quarterly", "skip_rows": list(range(2, 50))})
    expected = sq.ols("realgdp ~ realcons + realinv", folder / "macrodata.csv")
    assert ours.nobs == 203
    assert ours.params.tolist() == expected.params.tolist()
    with pytest.raises(DataError, match=r"There is no column 'GDPC96' in macrodata.xls"):
        sq.ols("GDPC96 ~ PCECC96", workbook)


def test_a_binary_workbook():
    source = open_source(FORMATS / "base.xlsb", {"header": False})
    assert list(source.columns) == [f"x{k}" for k in range(1, 11)]
    assert [values(source, name) for name in ("x1", "x2", "x3", "x4")] == [["String"], [1], [1.1], [True]]
    assert "'Sheet2', 'Sheet3', 'Merged Cells'" in source.notes[0]


def test_the_sheet_is_the_first_or_the_one_that_is_asked_for(tmp_path):
    path = tmp_path / "t.xlsx"
    write_xlsx(path, {"one": [["y", "x"], [1, 2], [2, 3], [4, 4]], "two": [["y", "x"], [1, 2], [2, 4], [3, 6], [4, 8]], "no": []})
    assert open_source(path).notes == ("sheet 'one', and not 'two', 'no'",)
    assert sq.ols("y ~ x", path).nobs == 3
    for sheet in ("two", 2):
        assert sq.ols("y ~ x", path, read={"sheet": sheet}).nobs == 4
    with pytest.raises(DataError, match=r"has no sheet 'three'. Its sheets are 'one', 'two', 'no'."):
        open_source(path, {"sheet": "three"})
    with pytest.raises(DataError, match="has no sheet number 4"):
        open_source(path, {"sheet": 4})
    with pytest.raises(DataError, match=r"The sheet 'no' of 't.xlsx' is empty. Choose another by the option sheet: 'one', 'two'."):
        open_source(path, {"sheet_name": "no"})
    ended = CliRunner().invoke(app, ["ols", "y ~ x", str(path), "--sheet", "two", "--json"])
    assert json.loads(ended.stdout)["nobs"] == 4


def test_where_the_table_begins(tmp_path):
    """Blank rows and columns are left out; the numbers of `skip_rows` are those that a spreadsheet shows."""
    path = tmp_path / "t.xlsx"
    rows = [
        [None],
        ["Cars of 1970"],
        [None],
        [None, "y", "x", None],
        [None, 1, 2],
        [None, 2, 4],
        [None],
        [None, 3, 7],
        [None, "src"],
    ]
    write_xlsx(path, {"s": rows})
    with pytest.raises(DataError, match=r"one cell, 'Cars of 1970', in the first row .* row 4, skip .* read=\{'skip_rows': 3\}"):
        open_source(path)
    source = open_source(path, {"skip_rows": 2})
    assert values(source, "x") == [2, 4, None, 7, None]
    assert values(source, "y") == ["1", "2", None, "3", "src"]
    source = open_source(path, {"skip_rows": [2, 9]})
    assert (values(source, "x"), values(source, "y")) == ([2, 4, None, 7], [1, 2, None, 3])
    source = open_source(path, {"skip_rows": [1, 2, 3, 4, 9], "header": False})
    assert (list(source.columns), values(source, "x1")) == (["x1", "x2"], [1, 2, None, 3])
    source = open_source(path, {"skip_rows": [2, 9], "names": ["a", "b"], "header": True})
    assert (list(source.columns), values(source, "b")) == (["a", "b"], [2, 4, None, 7])
    source = open_source(path, {"skip_rows": [1, 2, 3, 4, 9], "names": ["a", "b"]})
    assert (list(source.columns), values(source, "b")) == (["a", "b"], [2, 4, None, 7])
    with pytest.raises(DataError, match=r"The first row of the sheet 's' of 't.xlsx', y, x, looks like names. Replace"):
        open_source(path, {"skip_rows": [2], "names": ["a", "b"]})
    with pytest.raises(OptionError, match=r"There are 3 names for the 2 columns of t.xlsx"):
        open_source(path, {"skip_rows": [2], "names": ["a", "b", "c"], "header": True})


def test_cells_without_a_value_are_missing_and_counted(tmp_path):
    path = tmp_path / "t.xlsx"
    gaps = [None, ("error", "#N/A"), ("error", "#DIV/0!"), "", "NA", ("formula", "B2/0", None), "?", -999]
    write_xlsx(path, {"s": [["y", "x"], [1, 1], [2, 2], [4, 3], [3, ("formula", "B4+1", 4.5)], *([5, gap] for gap in gaps)]})
    fit = sq.ols("y ~ x", path, read={"na_values": ["?", "-999.0"]})
    assert (fit.rows.read, fit.rows.used, fit.rows.dropped["x"]["null"]) == (12, 4, 8)
    with pytest.raises(DataError, match=r"text among numbers: '\?' in data row 11"):
        sq.ols("y ~ x", path)


def test_numbers_that_are_stored_as_text(tmp_path):
    path = tmp_path / "t.xlsx"
    write_xlsx(path, {"s": [["y", "x", "zip"], [1, "1", "01234"], [2, " 2.5", "01235"], [4, 3, "01234"], [5, "1e1", "99999"]]})
    source = open_source(path)
    assert values(source, "x") == [1, 2.5, 3, 10]
    assert source.notes == ("sheet 's'", "numbers that are stored as text in 'x'")
    assert values(source, "zip") == ["01234", "01235", "01234", "99999"]


def test_dates_are_refused_as_in_other_files(tmp_path):
    path = tmp_path / "t.xlsx"
    write_xlsx(path, {"s": [["y", "day"], [1, ("date", 44000)], [2, ("date", 44001.5)], [4, None]]})
    with pytest.raises(
        DataError, match=r"Column 'day' of t.xlsx holds timestamp.* Convert it to a number with a unit, such as the"
    ):
        sq.ols("y ~ day", path)
    assert sq.ols("y ~ 1", path).nobs == 3


def test_merged_cells_are_noted(tmp_path):
    path = tmp_path / "t.xlsx"
    write_xlsx(path, {"s": [["y", "g"], [1, "a"], [2, None], [4, "b"], [5, "a"]]}, merged=["B2:B3"])
    assert "merged cells, whose value only the first of them has" in open_source(path).notes
    write_xlsx(path, {"s": [["y", None], [1, "a"]]}, merged=["A1:B1"])
    assert open_source(path, {"header": False}).notes[1:] == ("merged cells, whose value only the first of them has",)


def test_truth_values_and_labels_of_rows(tmp_path):
    path = tmp_path / "t.xlsx"
    write_xlsx(path, {"s": [[None, "y", "b", "1990"], [0, 1, True, 5], [1, 2, False, 6], [2, 4, True, 7.0]]})
    source = open_source(path)
    assert [source.kind(name) for name in ("y", "b", "1990")] == ["number", "boolean", "number"]
    assert source.dot_columns == ["y", "b", "1990"]


def test_predictions_are_pandas_objects(tmp_path):
    path = tmp_path / "t.xlsx"
    write_xlsx(path, {"s": ROWS})
    fit = sq.ols("y ~ x", path)
    np.testing.assert_array_equal(fit.predict(path), fit.predict(TABLE))
    assert isinstance(fit.predict(path), pd.Series)
    fit.save(tmp_path / "fit.json")
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "fit.json"), str(path)])
    assert len(done.output.splitlines()) == 201


def test_several_workbooks_are_one_table(tmp_path):
    for name in ("a", "b"):
        write_xlsx(tmp_path / f"{name}.xlsx", {"cars": ROWS, "notes": [["about"]]})
    fit = sq.ols("y ~ x", tmp_path, read={"sheet": "cars"})
    assert fit.nobs == 400


def test_a_workbook_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"'password.xls' has a password"):
        open_source(FORMATS / "password.xls")
    path = tmp_path / "t.xlsx"
    write_xlsx(path, {"cars": ROWS})
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-30]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"damaged or was cut short"):
            open_source(path)
    write_xlsx(path, {"cars": ROWS})
    with pytest.raises(OptionError, match=r"'delimiter': ';'.* does not apply to 't.xlsx', a spreadsheet file"):
        open_source(path, {"delimiter": ";"})


def test_text_with_the_name_of_a_workbook(tmp_path):
    (tmp_path / "t.xls").write_text("y\tx\n1\t2\n2\t4\n3\t7\n")
    assert sq.ols("y ~ x", tmp_path / "t.xls").nobs == 3
    (tmp_path / "t.xls").write_text("<html><table><tr><td>y</td></tr></table></html>")
    with pytest.raises(DataError, match=r"is a web page \(HTML\). .*pandas.read_html"):
        open_source(tmp_path / "t.xls")


def test_a_workbook_of_one_kind_with_the_name_of_another(tmp_path):
    write_xlsx(tmp_path / "a.xlsx", {"one": [["y", "x"], [1, 2], [2, 3], [4, 4]]})
    (tmp_path / "a.xlsx").rename(tmp_path / "a.xls")
    assert sq.ols("y ~ x", tmp_path / "a.xls").nobs == 3


def test_a_name_that_the_first_sheet_lacks(tmp_path):
    path = tmp_path / "a.xlsx"
    write_xlsx(path, {"Notes": [["From the lab"]], "Data": [["y", "x"], [1, 2], [2, 3], [4, 4]]})
    with pytest.raises(DataError, match=r"There is no column 'y' in a.xlsx. .* For another sheet, give read=\{'sheet': 'Data'\}"):
        sq.ols("y ~ x", path)
    assert sq.ols("y ~ x", path, read={"sheet": "Data"}).nobs == 3


def test_words_for_a_missing_value_are_named(tmp_path):
    """Also where the word is in a row that another gap leaves out."""
    path = tmp_path / "a.xlsx"
    for rows, where in (
        ([[1, 2], [2, 3], [4, "n/a"], [4, 4], [5, 7]], "row 3"),
        ([[1, 2], [2, 3], [None, "n/a"], [4, 4]], "row 3"),
    ):
        write_xlsx(path, {"one": [["y", "x"], *rows]})
        with pytest.raises(DataError, match=rf"text.*: 'n/a' in data {where}. Give read=\{{'na_values': \['n/a'\]\}}"):
            sq.ols("y ~ x", path)
        assert sq.ols("y ~ x", path, read={"na_values": ["n/a"]}).nobs == len(rows) - 1
