"""Columns that are hard on doubles or on the engines: values that come late, wide integers and decimals, lists, huge numbers."""

import decimal
import json
import pickle
import re

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import squarely as sq
from squarely.data import iter_batches, open_source
from squarely.data.frames import dataframe
from squarely.errors import DataError
from tests.support.checks import assert_close, hand_over, need

MILLION = 1_000_000
ON_A_LINE = "".join(f"{i},{2 * i}\n" for i in range(1000))


def long_csv(path, last):
    path.write_text("x,y\n" + ON_A_LINE * (MILLION // 1000) + last)
    return path


def test_a_fraction_after_a_million_integers_is_fine(tmp_path):
    fit = sq.ols("y ~ x", long_csv(tmp_path / "a.csv", "3.5,7.0\n"))
    assert fit.nobs == MILLION + 1
    assert_close(fit.params, [0, 2], rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(("last", "message"), [
    ("many,1\n", "Column 'x' of a.csv holds text, not a number: 'many' in data row 1,000,001. Correct or clear that value."),
    ("1,2,3\n", "line 1,000,002 has 3 fields, and the header has 2. Correct that line"),
    ("1\n", "line 1,000,002 has 1 field, and the header has 2. Correct that line"),
    ('"1,2\n', "The file 'a.csv' cannot be read as CSV with a header line: "),
])  # fmt: skip
def test_what_is_wrong_after_a_million_rows_is_named(last, message, tmp_path):
    with pytest.raises(DataError) as caught:
        sq.ols("y ~ x", long_csv(tmp_path / "a.csv", last))
    assert message in str(caught.value)
    assert caught.value.__cause__ is not None  # the engine's own error is shown under ours


X, Y = [1.0, 2, 3, 5], [1.0, 2, 3, 4]
NESTED = pa.table({"x": X, "y": Y, "list": [[1], None, [2, 3], []], "struct": [{"a": 1}, {"a": 2}, None, {"a": 3}]})


def held(form, table, folder):
    """Hand a table over in one of FORMS; hand_over takes arrays of Arrow that are in one piece."""
    return hand_over(form, {name: table[name].combine_chunks() for name in table.column_names}, folder)


@pytest.mark.parametrize("form", ["pandas", "polars", "polars lazy", "arrow", "duckdb", "parquet", "feather", "jsonl", "folder"])
def test_lists_and_structs_are_refused_by_name_and_harmless_else(form, tmp_path):
    data = tmp_path if form == "folder" else held(form, NESTED, tmp_path)
    if form == "folder":
        pq.write_table(NESTED[:1], tmp_path / "a.parquet")
        pq.write_table(NESTED[1:], tmp_path / "b.parquet")
    assert_close(sq.ols("y ~ x", data).params, sq.ols("y ~ x", {"x": X, "y": Y}).params, rtol=1e-14)
    for name in ("list", "struct"):
        for formula in (f"y ~ {name}", f"y ~ C({name})", f"{name} ~ x", f"y ~ I(2 * {name})"):
            with pytest.raises(DataError, match=f"Column '{name}'"):
                sq.ols(formula, data)


WIDE = {
    "decimals of 38 digits": (
        pa.array([decimal.Decimal("0.1234567890123456789012345678901234567"), None, 2, 3], pa.decimal128(38, 37)),
        {"casts": {"x"}},
    ),
    "decimals of 76 digits": (
        pa.array([decimal.Decimal("12345678901234567890.12345678901234567890"), None, 2, 3], pa.decimal256(76, 20)),
        {"casts": {"x"}},
    ),
    "integers beyond 2**53": (pa.array([2**53 + 1, None, 2, 3]), {"rounded": {"x": 1}}),
    "negative ones": (pa.array([-(2**62) - 1, None, 2, 3]), {"rounded": {"x": 1}}),
    "unsigned ones": (pa.array([2**64 - 1, None, 2**63 + 1, 3], pa.uint64()), {"rounded": {"x": 2}}),
}


@pytest.mark.parametrize("form", ["arrow", "polars", "polars lazy", "duckdb", "parquet", "feather", "folder"])
@pytest.mark.parametrize("name", WIDE)
def test_wide_numbers_are_cast_with_a_note(form, name, tmp_path):
    column, message = WIDE[name]
    if pa.types.is_decimal256(column.type) and form in ("polars", "polars lazy", "duckdb"):
        pytest.skip("the library has no such decimals")
    if form == "folder":
        pq.write_table(pa.table({"x": column, "y": Y})[:1], tmp_path / "a.parquet")
        pq.write_table(pa.table({"x": column, "y": Y})[1:], tmp_path / "b.parquet")
    data = tmp_path if form == "folder" else hand_over(form, {"x": column, "y": pa.array(Y)}, tmp_path)
    found = [value for batch in iter_batches(open_source(data), ["x"]) for value in batch.numbers["x"].values]
    np.testing.assert_array_equal(found, [np.nan if value is None else float(value) for value in column.to_pylist()])
    rows = sq.ols("y ~ x", data).rows
    assert set(rows.casts) == message.get("casts", set())
    assert dict(rows.rounded) == message.get("rounded", {})
    assert any("nearest double" in line for line in rows.lines())


def test_wide_integers_that_arrow_does_not_have(tmp_path):
    values = [2**100 + 1, None, 2, 3]
    frame = need("polars").DataFrame({"x": values, "y": Y}, schema_overrides={"x": need("polars").Int128})
    text = ", ".join(f"({'NULL' if x is None else x}::HUGEINT, {y})" for x, y in zip(values, Y, strict=True))
    unsigned = text.replace("HUGEINT", "UHUGEINT")
    connection = duckdb.connect()
    for data in (
        frame,
        frame.lazy(),
        connection.sql(f"FROM (VALUES {text}) t(x, y)"),  # our own numbers
        connection.sql(f"FROM (VALUES {unsigned}) t(x, y)"),
    ):
        found = next(iter_batches(open_source(data), ["x"]))
        np.testing.assert_array_equal(found.numbers["x"].values, [2.0**100, np.nan, 2, 3])
        rows = sq.ols("y ~ x", data).rows
        assert rows.casts or rows.rounded
        assert any("nearest double" in line for line in rows.lines())


def test_large_integers_in_text_files_are_said(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n" + "".join(f"{2**53 + i},{i * i}\n" for i in range(5)))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"x": 2**53 + i, "y": i * i}) + "\n" for i in range(5)))
    for name in ("a.csv", "a.jsonl"):
        assert sq.ols("y ~ x", tmp_path / name).rows.rounded == {"x": 5}


@pytest.mark.parametrize("form", ["dict", "pandas", "polars", "arrow", "duckdb", "csv", "parquet", "feather", "jsonl"])
def test_squares_that_leave_the_range_are_caught(form, tmp_path):
    data = hand_over(form, {"x": [1e308, -1e308, 1.0, 2.0], "y": Y}, tmp_path)
    with pytest.raises(DataError, match=r"'x' of .* are near 7e\+307, and their squares leave the range of double precision"):
        sq.ols("y ~ x", data)


NAMES = ['x"; drop table t; --', "x'); DROP TABLE t; --", "select", 'say "x"', "a,b", "c;d", "*", "{e}", "f%s", "[g]"]


@pytest.mark.parametrize(
    "form", ["dict", "pandas", "polars", "polars lazy", "arrow", "duckdb", "csv", "parquet", "feather", "jsonl"]
)
@pytest.mark.parametrize("several", [False, True])
def test_names_like_sql_are_names(form, several, tmp_path):
    rng = np.random.default_rng(0)
    data = {name: np.round(rng.normal(size=40), 4) for name in [*NAMES, "y"]}
    expected = sq.ols(X=np.column_stack([data[name] for name in NAMES]), y=data["y"]).params.tolist()
    formula = "y ~ " + " + ".join(f"`{name}`" for name in NAMES)
    held = hand_over(form, data, tmp_path)
    if several:
        if form not in ("csv", "parquet", "feather", "jsonl"):
            pytest.skip("one table in memory is no set of files")
        held = tmp_path / f"*.{form}"
    fit = sq.ols(formula, held)
    assert list(fit.params.index) == ["Intercept", *NAMES]
    assert_close(fit.params, expected, rtol=1e-12)


def test_how_many_rows_there_are_is_known_without_a_scan(tmp_path):
    data = {"x": np.arange(500.0)}
    known = ("dict", "pandas", "polars", "arrow", "parquet", "feather")
    for form in (*known, "polars lazy", "duckdb", "csv", "jsonl"):
        assert open_source(hand_over(form, data, tmp_path)).rows == (500 if form in known else None)
    assert open_source({}).rows == 0
    assert open_source({"x": 5}).rows is None
    assert open_source(pa.table({})).rows == 0
    pyarrow.feather.write_feather(pa.table({}), str(tmp_path / "none.feather"))
    assert open_source(tmp_path / "none.feather").rows == 0
    assert open_source(pd.DataFrame({"x": []})).rows == 0


@pytest.mark.parametrize(("precision", "scale"), [(10, 2), (5, 3), (15, 15), (18, 0), (18, 2), (18, 9), (38, 10), (10, -3)])
def test_decimals_are_read_as_the_nearest_doubles(precision, scale):
    rng = np.random.default_rng(precision + scale)
    digits = rng.integers(-(10 ** min(precision, 18)) + 1, 10 ** min(precision, 18), 3000)
    exact = [None if i % 50 == 7 else decimal.Decimal(int(x)).scaleb(-scale) for i, x in enumerate(digits)]
    column = pa.array(exact, pa.decimal128(precision, scale))
    expected = np.array([np.nan if value is None else float(value) for value in exact])
    for first, last in ((0, 3000), (5, 100), (7, 8), (40, 40)):
        found = list(iter_batches(open_source(pa.table({"x": column})[first:last]), ["x"]))
        values = np.concatenate([batch.numbers["x"].values for batch in found]) if found else np.empty(0)
        np.testing.assert_array_equal(values, expected[first:last])


def test_values_that_begin_between_two_words():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 300))
    odd = np.frombuffer(bytearray(8 * len(x) + 4), dtype=float, count=len(x), offset=4)
    odd[:] = x
    assert not odd.flags.aligned
    assert_close(*(sq.ols("y ~ bs(x, df=5)", {"x": values, "y": y}).params for values in (odd, x)), rtol=0)


def test_a_name_that_occurs_twice_and_is_not_used():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20, 4)), columns=["x", "y", "z", "z"])
    fit = sq.ols("y ~ x", frame)
    assert fit.params.tolist() == sq.ols("y ~ x", frame[["x", "y"]]).params.tolist()
    assert list(fit.resid.index) == list(frame.index)
    for formula in ("y ~ z", "y ~ ."):
        with pytest.raises(DataError, match=r"the data frame has two or more columns called 'z'\. Rename all but one\."):
            sq.ols(formula, frame)


def test_declared_categories_of_digits_are_categories():
    y = [1.0, 2, 4, 2, 3, 5]
    for form in (lambda g: pd.DataFrame({"g": pd.Categorical(g), "y": y}), lambda g: {"g": pd.Categorical(g), "y": y}):
        fit = sq.ols("y ~ g", form(["0", "1", "2"] * 2))
        assert list(fit.params.index) == ["Intercept", "g[T.1]", "g[T.2]"]
        np.testing.assert_allclose(fit.params, [1.5, 1.0, 3.0])
        (note,) = fit.as_dict()["notes"]
        assert note.startswith("3 levels of g can be read as a number, such as '0'.")
    with pytest.raises(DataError, match="is stored as text, although every value is a number"):
        sq.ols("y ~ g", {"g": ["0", "1", "2"] * 2, "y": y})


def test_a_long_text_is_cut_in_a_message():
    long = "a" * 100_000
    for formula, data in (
        ("y ~ x", {"x": ["1", "2", "3", long], "y": [1.0, 2, 3, 5]}),
        ("x ~ y", {"x": ["1", "2", "3", long], "y": [1.0, 2, 3, 5]}),
    ):
        with pytest.raises(DataError, match="aaa") as caught:
            sq.ols(formula, data)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "advice", "rows"),
    [
        ('"Source","World",\n\n"Updated",2024,\n\nland,y,x,z\nA,1,2,3\nB,2,3,1\nC,4,5,2\n', {"skip_rows": 4}, 3),
        ("# a\n# b\ny,x,z\n1,2,3\n2,3,1\n4,5,2\n", {"comment": "#"}, 3),
        ("y,x\n1,2\n2,3\n4,5\n(3 rows)\n", {"skip_rows": [5]}, 3),
        ("y,x\n----\n1,2\n2,3\n4,5\n", {"skip_rows": [2]}, 3),
        ('"y" "x"\n"1" 1 2.5\n"2" 2 3\n"3" 4 5\n', {"skip_rows": 1, "names": ["row", "y", "x"]}, 3),
        ("y\tx\na\t1\t2.5\nb\t2\t3\nc\t4\t5\n", {"skip_rows": 1, "names": ["row", "y", "x"]}, 3),
    ],
)
def test_lines_of_another_width_are_refused_with_the_option_that_reads_the_file(text, advice, rows, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(DataError, match="cannot be read as CSV") as found:
        sq.ols("y ~ x", path)
    assert f"read={advice}" in str(found.value)
    fit = sq.ols("y ~ x", path, read=advice)
    assert fit.nobs == rows


def test_lines_that_are_skipped_already_stay_in_the_advice(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("title\ny,x\n1,2\n2,3\n4,5\n(3 rows)\n")
    with pytest.raises(DataError, match=re.escape("read={'skip_rows': [1, 6]}")):
        sq.ols("y ~ x", path, read={"skip_rows": 1})


def test_numbers_of_a_pandas_frame_are_converted_once(monkeypatch):
    """A later pass takes the view of the frame's memory, and so finds a value that has changed in place."""
    frame = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "k": [1, 2, 3, 4], "g": list("abab"), "y": [1.0, 3.0, 5.0, 8.0]})
    converted = []
    to_arrow = dataframe.to_arrow
    monkeypatch.setattr(dataframe, "to_arrow", lambda series: (converted.append(series.name), to_arrow(series))[1])
    fit = sq.ols("y ~ x + k", frame, vcov="HC0")
    assert sorted(converted) == ["k", "x", "y"]
    size = len(pickle.dumps(frame))
    source = pickle.loads(pickle.dumps(fit.source))  # noqa: S301
    assert len(pickle.dumps(fit.source)) < 1.5 * size
    assert source.select_columns(["x"])[0][0].to_pylist() == [0.0, 1.0, 2.0, 3.0]
    frame["x"].array._ndarray.flags.writeable = True
    frame["x"].array._ndarray[3] = 30.0
    with pytest.raises(DataError, match="changed"):
        fit.vcov("HC1")
