"""Every form of data gives the same rows, decoded alike, scan after scan: files, frames, queries, arrays. Errors name the rest."""

import datetime
import decimal
import gzip
import json
import os
import pathlib

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from squarely.data import iter_batches, open_source, parses_as_number, write_columns
from squarely.errors import DataError
from tests.support.checks import need

N = 200_000  # several batches and row groups
NAMES = ["x", "X", "a.b", "a", 'say "hi"', 'x"; drop table t; --', "it's", "select", "größe µ", "two words", "*", "^x.*$"]


def table():
    """Give N rows with every kind of gap; each column differs from each other, so that none can stand in for another."""
    rng = np.random.default_rng(7)
    columns = {name: pa.array(rng.standard_normal(N) + 10 * i) for i, name in enumerate(NAMES)}
    gaps = np.round(rng.standard_normal(N), 3)
    gaps[5], gaps[70_000], gaps[70_001] = np.nan, np.inf, -np.inf
    columns["gaps"] = pa.array(gaps, mask=np.arange(N) % 1000 == 3)
    columns["whole"] = pa.array(rng.integers(-1000, 1000, N))
    columns["group"] = pa.array(np.array(["ant", "bee", "cät", "NA?"])[rng.integers(0, 4, N)], mask=np.arange(N) % 900 == 7)
    return pa.table(columns)


NUMBERS, LABELS = [*NAMES, "gaps", "whole"], ["group"]


class Capsule:
    """Something that speaks Arrow and is nothing else."""

    def __init__(self, held):
        self.held = held

    def __arrow_c_stream__(self, requested_schema=None):
        return self.held.__arrow_c_stream__(requested_schema)


class ArrayCapsule:
    def __init__(self, held):
        self.held = held

    def __arrow_c_array__(self, requested_schema=None):
        return self.held.__arrow_c_array__(requested_schema)


def stream_file(rows, path):
    with pa.ipc.new_stream(str(path), rows.schema) as writer:
        writer.write_table(rows, max_chunksize=30_000)
    return path


def parquet_file(rows, path):
    pq.write_table(rows, path, row_group_size=50_000)
    return path


def feather_file(rows, path):
    pyarrow.feather.write_feather(rows, str(path), chunksize=30_000)
    return path


def csv_file(rows, path, *, comma=False, encoding="utf-8"):
    columns = {}
    for name in rows.column_names:
        values = ["" if v is None else repr(v) if isinstance(v, float) else str(v) for v in rows[name].to_pylist()]
        columns[name] = [v.replace(".", ",") for v in values] if comma and name not in LABELS else values
    frame = pd.DataFrame(columns)
    frame.to_csv(path, index=False, sep=";" if comma else ",", encoding=encoding)
    return path


def json_file(rows, path):
    lines = []
    for i, row in enumerate(rows.to_pylist()):
        kept = {name: value for name, value in row.items() if value is not None or i % 2}  # a missing key is NULL too
        lines.append(json.dumps(kept, ensure_ascii=i % 3 == 0) + "\n")
    text = "".join(lines).encode()
    path.write_bytes(gzip.compress(text, 1) if path.suffix == ".gz" else text)
    return path


def relation(rows):
    connection = duckdb.connect()
    safe = rows.rename_columns([f"c{i}" for i in range(rows.num_columns)])
    connection.register("safe", safe)
    connection.execute("create table kept as select * from safe")
    return connection.table("kept")


def polars(rows):
    return need("polars").from_arrow(rows)


def lazy_file(rows, folder):
    return need("polars").scan_parquet(parquet_file(rows, folder / "lazy.parquet"))


FORMS = {
    "parquet": lambda t, d: parquet_file(t, d / "t.parquet"),
    "feather": lambda t, d: feather_file(t, d / "t.feather"),
    "arrow stream": lambda t, d: stream_file(t, d / "t.arrows"),
    "json lines": lambda t, d: json_file(t, d / "t.jsonl"),
    "packed json lines": lambda t, d: json_file(t, d / "t.json.gz"),
    "csv": lambda t, d: csv_file(t, d / "t.csv"),
    "csv, decimal comma": lambda t, d: csv_file(t, d / "t.csv", comma=True),
    "csv, UTF-16": lambda t, d: csv_file(t, d / "t.csv", encoding="utf-16"),
    "arrow table": lambda t, _: t,
    "arrow batch": lambda t, _: t.combine_chunks().to_batches()[0],
    "arrow reader": lambda t, _: pa.RecordBatchReader.from_batches(t.schema, t.to_batches(max_chunksize=30_000)),
    "arrow stream capsule": lambda t, _: Capsule(t),
    "arrow array capsule": lambda t, _: ArrayCapsule(t.combine_chunks().to_batches()[0]),
    "pandas, arrow types": lambda t, _: t.to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda t, _: polars(t),
    "polars lazy": lambda t, _: polars(t).lazy(),
    "polars lazy file": lazy_file,
    "dict": lambda t, _: {name: t[name] for name in t.column_names},
}


def decoded(source, numbers, labels=()):
    """Put the batches of one scan together: values, NULL places, levels, causes."""
    read = list(iter_batches(source, numbers, labels))
    assert [b.start for b in read] == list(np.cumsum([0, *[b.size for b in read]])[:-1])
    accounts = [batch.count_gaps(batch.numbers, batch.labels) for batch in read]
    account = sum(accounts[1:], accounts[0])
    values = {n: np.concatenate([b.numbers[n].values for b in read]) for n in numbers}
    nulls = {
        n: np.concatenate([np.zeros(b.size, bool) if b.numbers[n].null_mask is None else b.numbers[n].null_mask for b in read])
        for n in numbers
    }
    texts = {n: [b.labels[n].values[c] if c >= 0 else None for b in read for c in b.labels[n].codes] for n in labels}
    return values, nulls, texts, account


def assert_same(one, other):
    for name, values in one[0].items():
        np.testing.assert_array_equal(other[0][name], values, err_msg=name)
        np.testing.assert_array_equal(other[1][name], one[1][name], err_msg=name)
    assert one[2] == other[2]
    assert one[3].dropped == other[3].dropped
    assert (one[3].read, one[3].used) == (other[3].read, other[3].used)


@pytest.fixture(scope="module")
def rows():
    return table()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_rows_again_and_again(rows, form, tmp_path):
    expected = {name: rows[name].to_numpy(zero_copy_only=False).astype(float) for name in NUMBERS}
    source = open_source(FORMS[form](rows, tmp_path))
    assert list(source.columns) == rows.column_names
    assert source.duplicate_names == frozenset()
    first = decoded(source, NUMBERS, LABELS)
    for name, values in expected.items():
        np.testing.assert_array_equal(first[0][name], values, err_msg=name)
        np.testing.assert_array_equal(first[1][name], np.asarray(rows[name].is_null()), err_msg=name)
    assert first[2]["group"] == rows["group"].to_pylist()
    causes = {cause: number for cause, number in first[3].dropped["gaps"].items() if number}
    assert causes == {"null": 200, "nan": 1, "inf": 2}
    assert_same(first, decoded(source, NUMBERS, LABELS))
    assert [source.kind(name) for name in ("x", "gaps", "whole", "group")] == ["number", "number", "number", "text"]
    assert sum(b.size for b in iter_batches(source, [])) == N
    both = next(iter(iter_batches(source, ["whole"], ["whole"])))  # one column, as numbers and as categories
    assert [float(both.labels["whole"].values[c]) for c in both.labels["whole"].codes[:9]] == list(both.numbers["whole"].values[:9])


def test_duckdb_relations_give_the_same_rows(rows):
    source = open_source(relation(rows))
    numbers = [f"c{i}" for i in range(len(NUMBERS))]
    found = decoded(source, numbers, [f"c{len(numbers)}"])
    for name, ours in zip(NUMBERS, numbers, strict=True):
        np.testing.assert_array_equal(found[0][ours], rows[name].to_numpy(zero_copy_only=False).astype(float))
    assert found[2][f"c{len(numbers)}"] == rows["group"].to_pylist()
    assert found[3].dropped[f"c{NUMBERS.index('gaps')}"] == {"null": 200, "nan": 1, "inf": 2}
    assert_same(found, decoded(source, numbers, [f"c{len(numbers)}"]))


def test_a_relation_frees_its_connection_and_minds_the_case_of_names():
    connection = duckdb.connect()
    source = open_source(
        connection.sql("select i as x, -i as \"X\", 'b'::enum('b', 'a') as e, 2 as \"a\"\"b.c\" from range(200000) t(i)")
    )
    reading = iter_batches(source, ["X", 'a"b.c'])
    assert list(next(reading).numbers["X"].values[:3]) == [0, -1, -2]
    with pytest.raises(DataError, match="no other result being read"):
        list(iter_batches(source, ["x"]))
    reading.close()
    assert connection.execute("select 1").fetchall() == [(1,)]
    assert list(next(iter_batches(source, ["x"])).numbers["x"].values[:3]) == [0, 1, 2]
    assert source.category_order("e") == ("b", "a")
    assert source.category_order("x") is None
    with pytest.raises(DataError, match="no column 'E'"):
        list(iter_batches(source, ["E"]))
    connection.close()
    with pytest.raises(DataError, match="connection is open"):
        list(iter_batches(source, ["x"]))


def test_a_relation_on_parquet_keeps_nan(tmp_path):
    pq.write_table(pa.table({"x": [1.0, np.nan, None, np.inf]}), tmp_path / "a.parquet")
    connection = duckdb.connect()
    source = open_source(connection.read_parquet(str(tmp_path / "a.parquet")))
    assert next(iter_batches(source, ["x"])).count_gaps(["x"]).dropped == {"x": {"null": 1, "nan": 1, "inf": 1}}


INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DAY = datetime.date(2020, 1, 1)
TYPES = {
    **{name: (pa.array([0, 1, None, 100], getattr(pa, name)()), [0, 1, np.nan, 100], "number") for name in INTEGERS},
    "half": (pa.array([np.float16(0.5), None, np.float16(2), np.float16(4)], pa.float16()), [0.5, np.nan, 2, 4], "number"),
    "single": (pa.array([0.1, None, 2, 4], pa.float32()), [float(np.float32(0.1)), np.nan, 2, 4], "number"),
    "decimal": (pa.array([decimal.Decimal("1.25"), None, 2, 4], pa.decimal128(10, 2)), [1.25, np.nan, 2, 4], "number"),
    "boolean": (pa.array([True, False, None, True]), [1, 0, np.nan, 1], "boolean"),
    "nothing": (pa.nulls(4), [np.nan] * 4, "null"),
    "text": (pa.array(["b", "a", None, "b"]), None, "text"),
    "large": (pa.array(["b", "a", None, "b"], pa.large_string()), None, "text"),
    "view": (pa.array(["b", "a", None, "b"], pa.string_view()), None, "text"),
    "dictionary": (pa.array(["b", "a", None, "b"]).dictionary_encode(), None, "text"),
    "date": (pa.array([DAY, None, DAY, DAY]), None, "other"),
    "timestamp": (pa.array([DAY, None, DAY, DAY]).cast(pa.timestamp("us")), None, "other"),
    "time": (pa.array([datetime.time(10), None, None, None], pa.time64("us")), None, "other"),
    "duration": (pa.array([1, None, 2, 3], pa.duration("us")), None, "other"),
    "list": (pa.array([[1], None, [2], [3]]), None, "other"),
    "struct": (pa.array([{"a": 1}, None, {"a": 2}, {"a": 3}]), None, "other"),
    "binary": (pa.array([b"a", None, b"b", b"c"]), None, "other"),
}
TYPED_FORMS = {
    name: FORMS[name] for name in ("parquet", "feather", "arrow stream", "arrow table", "arrow stream capsule", "dict")
} | {
    "polars": FORMS["polars"],
    "polars lazy": FORMS["polars lazy"],
    "duckdb": lambda t, _: relation(t),
}


def of_types(form):
    """Give the table of all types, without those that the library of a form does not have."""
    lacking = {"duckdb": {"half"}, "polars": set(), "polars lazy": set()}.get(form, set())
    return {name: row for name, row in TYPES.items() if name not in lacking}


@pytest.mark.parametrize("form", TYPED_FORMS)
def test_every_type(form, tmp_path):
    known = of_types(form)
    source = open_source(TYPED_FORMS[form](pa.table({name: row[0] for name, row in known.items()}), tmp_path))
    names = dict(zip(known, source.columns, strict=True))  # the relation's columns are numbered
    for name, (_, expected, kind) in known.items():
        found = source.kind(names[name])
        assert found == kind, name
        if kind in {"number", "boolean", "null"}:
            values, nulls, _, account = decoded(source, [names[name]])
            np.testing.assert_array_equal(values[names[name]], np.array(expected, float), err_msg=name)
            assert nulls[names[name]].sum() == np.isnan(expected).sum() == account.dropped[names[name]]["null"]
        if kind == "text":
            assert decoded(source, [], [names[name]])[2][names[name]] == ["b", "a", None, "b"]
        if kind in {"text", "other"}:
            with pytest.raises(DataError, match="holds"):
                decoded(source, [names[name]])
        if kind == "other":
            with pytest.raises(DataError, match="neither numbers nor categories"):
                decoded(source, [], [names[name]])


@pytest.mark.parametrize("form", [*TYPED_FORMS, "csv"])
def test_no_rows(form, tmp_path):
    empty = pa.table({"x": pa.array([], pa.float64()), "g": pa.array([], pa.string())})
    source = open_source({**TYPED_FORMS, **FORMS}[form](empty, tmp_path))
    x, g = source.columns
    assert sum(b.size for b in iter_batches(source, [x], [g])) == 0
    assert sum(b.size for b in iter_batches(source, [])) == 0


@pytest.mark.parametrize("form", ["parquet", "feather", "arrow stream", "arrow table", "polars", "polars lazy", "dict"])
def test_no_columns(form, tmp_path):
    source = open_source({**TYPED_FORMS, **FORMS}[form](pa.table({}), tmp_path))
    assert dict(source.columns) == {}
    assert sum(b.size for b in iter_batches(source, [])) == 0
    with pytest.raises(DataError, match="no column 'x'"):
        list(iter_batches(source, ["x"]))


def test_names_are_exact_in_parquet(tmp_path):
    rows = pa.table({"a.b": [1.0], "a": [{"b": 5, "c": 6}], "a.c": [7.0], "x": [1.0], "X": [2.0]})
    source = open_source(parquet_file(rows, tmp_path / "n.parquet"))
    assert {n: float(next(iter_batches(source, [n])).numbers[n].values[0]) for n in ("a.b", "a.c", "x", "X")} == {
        "a.b": 1, "a.c": 7, "x": 1, "X": 2,
    }  # fmt: skip
    assert source.kind("a") == "other"
    with pytest.raises(DataError, match=r"'a' of n\.parquet holds struct"):
        list(iter_batches(source, ["a"]))


def test_twins_are_refused_by_name_only(tmp_path):
    rows = pa.table([[1.0], [2.0], [3.0]], names=["x", "y", "x"])
    connection = duckdb.connect()
    with (tmp_path / "t.jsonl").open("w") as file:
        file.write('{"x": 1, "y": 2, "x": 3}\n')
    for data in (
        rows, parquet_file(rows, tmp_path / "t.parquet"), stream_file(rows, tmp_path / "t.arrows"), tmp_path / "t.jsonl",
        Capsule(rows), connection.sql("select 1 as x, 2 as y, 3 as x"),
    ):  # fmt: skip
        source = open_source(data)
        assert next(iter_batches(source, ["y"])).numbers["y"].values == [2]
        if source.duplicate_names:  # DuckDB numbers twins itself
            with pytest.raises(DataError, match="two or more columns called 'x'"):
                list(iter_batches(source, ["x"]))


def test_results_come_in_the_library_of_the_rows(tmp_path):
    pl = need("polars")
    rows = pa.table({"x": [1.0, 2.0]})
    values = np.array([5.0, np.nan])
    frame = pd.DataFrame({"x": [1.0, 2.0]}, index=["p", "q"])
    assert list(open_source(frame).column(values, "r").index) == ["p", "q"]
    for data in (pl.from_arrow(rows), pl.from_arrow(rows).lazy()):
        column = open_source(data).column(values, "r")
        assert isinstance(column, pl.Series)
        assert column.name == "r"
    for data in (rows, rows.to_batches()[0], Capsule(rows), duckdb.connect().sql("select 1 as x")):
        assert isinstance(open_source(data).column(values, "r"), pa.ChunkedArray)
    assert isinstance(open_source(parquet_file(rows, tmp_path / "r.parquet")).column(values, "r"), pd.Series)
    assert isinstance(open_source({"x": [1, 2]}).column(values, "r"), np.ndarray)


def test_declared_orders(tmp_path):
    pl = need("polars")
    ordered = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1]), pa.array(["low", "high"]), ordered=True)
    plain = pa.array(["low", "high"]).dictionary_encode()
    assert open_source(pa.table({"g": ordered})).category_order("g") == ("low", "high")
    assert open_source(pa.table({"g": plain})).category_order("g") is None
    assert open_source(feather_file(pa.table({"g": ordered}), tmp_path / "g.feather")).category_order("g") == ("low", "high")
    assert open_source(stream_file(pa.table({"g": ordered}), tmp_path / "g.arrows")).category_order("g") == ("low", "high")
    frame = pl.DataFrame({"e": pl.Series(["a"], dtype=pl.Enum(["b", "a"])), "c": pl.Series(["a"], dtype=pl.Categorical)})
    for data in (frame, frame.lazy()):
        assert open_source(data).category_order("e") == ("b", "a")
        assert open_source(data).category_order("c") is None
        assert [open_source(data).kind(name) for name in "ec"] == ["text", "text"]


def test_the_order_of_categories_is_the_same_in_memory_and_in_files(tmp_path):
    values = ["low", "high", "mid"] * 4
    frame = pd.DataFrame(
        {
            "ranked": pd.Categorical(values, categories=["low", "mid", "high", "top"], ordered=True),
            "first": pd.Categorical(values, categories=["mid", "low", "high"]),
            "text": values,
        }
    )
    pl = need("polars")
    frame.to_parquet(tmp_path / "p.parquet", row_group_size=2)
    frame.to_feather(tmp_path / "p.feather")
    for data in (frame, tmp_path / "p.parquet", tmp_path / "p.feather", pa.Table.from_pandas(frame)):
        source = open_source(data)
        assert source.category_order("ranked") == ("low", "mid", "high", "top")
        assert source.category_order("first") == ("mid", "low", "high")
        assert source.category_order("text") is None
    assert tuple(pd.read_parquet(tmp_path / "p.parquet")["first"].cat.categories) == ("mid", "low", "high")
    ordered = pl.DataFrame({"e": pl.Series(values, dtype=pl.Enum(["top", "mid", "low", "high"])), "c": values})
    ordered.with_columns(pl.col("c").cast(pl.Categorical)).write_parquet(tmp_path / "e.parquet", row_group_size=2)
    source = open_source(tmp_path / "e.parquet")
    assert source.category_order("e") == ("top", "mid", "low", "high")
    assert source.category_order("c") is None
    noted = pa.table({"g": pa.array(values).dictionary_encode()}).replace_schema_metadata({"pandas": "[not ours"})
    assert open_source(noted).category_order("g") is None


def test_an_arrow_dictionary_in_pandas_is_text():
    for ordered in (False, True):
        held = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1]), pa.array(["low", "high"]), ordered=ordered)
        series = pd.Series(held, dtype=pd.ArrowDtype(held.type))
        for data in (pd.DataFrame({"g": series}), {"g": series}, {"g": held}, {"g": pa.chunked_array([held])}):
            source = open_source(data)
            assert source.kind("g") == "text"
            assert source.category_order("g") == (("low", "high") if ordered else None)
            assert decoded(source, [], ["g"])[2]["g"] == ["high", "low", "high"]


CATEGORIES = {
    "integers": ([3, 1, 3], [3, 1, 2]),
    "floats": ([0.5, 2.5, 0.5], [2.5, 0.5]),
    "truth": ([True, False, True], [True, False]),
}


@pytest.mark.parametrize("name", CATEGORIES)
def test_numbers_may_be_categories(name, tmp_path):
    values, levels = CATEGORIES[name]
    column = pd.Categorical(values, categories=levels)
    frame = pd.DataFrame({"g": column})
    frame.to_feather(tmp_path / "g.feather")
    for data in (frame, {"g": column}, {"g": frame["g"]}, tmp_path / "g.feather", pa.Table.from_pandas(frame)):
        source = open_source(data)
        assert source.kind("g") == "category"
        assert source.category_order("g") == tuple(levels)
        found = decoded(source, ["g"], ["g"])
        assert found[2]["g"] == values
        assert [type(level) for level in found[2]["g"]] == [type(value) for value in values]
        assert list(found[0]["g"]) == [float(value) for value in values]  # in arithmetic it is its values


def test_intervals_are_their_text():
    cut = pd.cut(pd.Series([1.0, 2.0, np.nan, 3.0]), 2)
    for data in (pd.DataFrame({"g": cut}), {"g": cut}, {"g": cut.array}):
        source = open_source(data)
        assert source.kind("g") == "text"
        assert source.category_order("g") == ("(0.998, 2.0]", "(2.0, 3.0]")
        assert decoded(source, [], ["g"])[2]["g"] == ["(0.998, 2.0]", "(0.998, 2.0]", None, "(2.0, 3.0]"]


def test_polars_types_that_arrow_lacks():
    pl = need("polars")
    frame = pl.DataFrame({"i": pl.Series([2**70, None], dtype=pl.Int128), "d": pl.Series([1, 2], dtype=pl.Decimal(10, 2))})
    for data in (frame, frame.lazy()):
        found = next(iter_batches(open_source(data), ["i", "d"]))
        np.testing.assert_array_equal(found.numbers["i"].values, [2.0**70, np.nan])
        assert set(found.count_gaps(found.numbers).casts) == {"i", "d"}
    with pytest.raises(DataError, match="LazyFrame cannot be collected"):
        list(iter_batches(open_source(pl.LazyFrame({"x": ["a"]}).select(pl.col("x").cast(pl.Float64))), ["x"]))
    with pytest.raises(DataError, match="LazyFrame cannot be collected"):
        open_source(pl.scan_parquet("nowhere.parquet"))


CSV = {
    "semicolon": (b"x;y\n3,14;2\n2;1,5\n", [3.14, 2], ("decimal comma",)),
    "tab": (b"x\ty\n0,125\t2\n1,234\t5\n", [0.125, 1.234], ("decimal comma",)),
    "bar": (b"x|y\n-1,5e3|2\n,5|5\n", [-1500, 0.5], ("decimal comma",)),
    "quoted": (b'x;y\n"3,14";"a;b"\n"2";"c\nd"\n', [3.14, 2], ("decimal comma",)),
    "point": (b"x;y\n3.14;2\n2;1.5\n", [3.14, 2], ()),
    "utf-16 le": ("x,y\n1,ü\n2,é\n".encode("utf-16"), [1, 2], ("UTF-16",)),
    "utf-16 be": (b"\xfe\xff" + "x,y\r\n1,ü\r\n2,é\r\n".encode("utf-16-be"), [1, 2], ("UTF-16",)),
    "utf-16 packed, comma": (gzip.compress("x;y\n1,5;ü\n2;é\n".encode("utf-16")), [1.5, 2], ("UTF-16", "decimal comma")),
    "utf-8 bom": (b"\xef\xbb\xbfx,y\n1,2\n2,3\n", [1, 2], ()),
    "old mac": (b"x,y\r1,2\r2,3\r", [1, 2], ()),
    "line ends in quotes": (b'x,y\r\n1,"a\r\n,b"\r\n2,""\r\n', [1, 2], ()),
    "spaces": (b"x,y\n 1 , 2\n2\t, 3\n", [1, 2], ()),
}


@pytest.mark.parametrize("name", CSV)
def test_csv_dialects(name, tmp_path):
    content, expected, notes = CSV[name]
    (tmp_path / "a.csv").write_bytes(content)
    source = open_source(tmp_path / "a.csv")
    assert source.notes == notes
    assert source.kind("x") == "number"
    for _ in range(2):
        np.testing.assert_array_equal(decoded(source, ["x"], ["x"])[0]["x"], expected)


def test_underscores_part_no_thousands(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1_000,1\n2,2\n")
    source = open_source(tmp_path / "a.csv")
    assert source.kind("x") == "text"
    assert decoded(source, ["y"], ["x"])[2]["x"] == ["1_000", "2"]
    (tmp_path / "b.csv").write_text("x,y\n" + ",1\n" * 30_000 + " 2.5 ,1\n")  # numbers after a long time
    source = open_source(tmp_path / "b.csv")
    assert source.kind("x") == "number"
    assert decoded(source, ["x"])[0]["x"][-1] == 2.5
    for text in ("1_000", "1 0", "\u0661", "0x10", "1e", ".", "", "1d", "\xa01"):
        assert not parses_as_number(text), text
    for text in (" 1 ", "-.5", "1.", "+1E-3", "nan", "-Infinity", 3, 2.5):
        assert parses_as_number(text), text


def test_columns_with_decimal_signs_of_their_own(tmp_path):
    (tmp_path / "a.csv").write_text("x;y;t;v\n1,5;1.5;1,5;1\n2;2.5;b;2\n")
    source = open_source(tmp_path / "a.csv")
    for act in (source.kind, lambda name: list(iter_batches(source, [name]))):
        with pytest.raises(DataError, match=r"some columns write 1,5 and others 1\.5\. Write one kind of decimal sign"):
            act("x")
    assert [source.kind(name) for name in "ytv"] == ["number", "text", "number"]
    assert list(decoded(source, ["y", "v"])[0]["y"]) == [1.5, 2.5]
    assert decoded(source, [], ["x", "t"])[2] == {"x": ["1,5", "2"], "t": ["1,5", "b"]}  # as categories, both are text


def test_a_copy_goes_with_its_source(tmp_path):
    (tmp_path / "a.csv").write_bytes("x,y\n1,2\n".encode("utf-16"))
    source = open_source(tmp_path / "a.csv")
    copy = source._text.path
    assert copy.exists()
    del source
    assert not copy.exists()


BAD = {
    "thousands.csv": (b'x,y\n"1,234",2\n3,4\n', "'1,234' in data row 1"),
    "doubt.csv": (b"x;y\n1,234;2\n7;4\n", "'1,234', in which the comma may stand"),
    "both.csv": (b"x;y\n3,14;2.5\n7;4\n", "'3,14' and another column has decimal points"),
    "both in one.csv": (b"x;y\n3,14;2.5\n7.5;4\n", "'3,14' in data row 1"),
    "late point.csv": (b"x;y\n" + b"3,14;1\n" * 30_000 + b"2.5;1\n", "'2.5' in data row 30,001"),
    "mixed.csv": (b"x,y\n1,2\r\n3,4\n", "lines end in different ways"),
    "latin.csv": ("x,y\n1,é\n".encode("latin-1"), "not encoded in UTF-8"),
    "cut.csv": ("x,y\n1,2\n".encode("utf-16")[:-1], "not UTF-16 to its end"),
    "text.parquet": (b"x,y\n1,2\n", "not that of a Parquet file"),
    "text.feather": (b"x,y\n1,2\n", "not that of an Arrow file"),
    "book.xlsx": (b"PK\x03\x04....", "damaged or was cut short"),
    "underscore.csv": (b"x,y\n7,2\n1_000,4\n", "'1_000' in data row 2"),
    "underscore, comma.csv": (b"x;y\n7;2\n1_0,5;4\n", "'1_0,5' in data row 2"),
    "empty.parquet": (b"", "is empty"),
    "empty.jsonl": (b"", "is empty"),
    "array.json": (b'[{"x": 1}', "damaged or was cut short"),
    "pretty.json": (b'{\n "x": 1\n}\n', "has no array of objects"),
    "broken.jsonl": (b'{"x": 1}\n{x: 2}\n', "row 2 is not JSON"),
    "cut.jsonl": (b'{"x": 1}\n{"x": 2', "row 2 is not JSON"),
    "cut.jsonl.gz": (gzip.compress(b'{"x": 1}\n' * 1000)[:-20], "end-of-stream"),
    "two.jsonl": (b'{"x": 1} {"x": 2}\n', "row 1 is not JSON: Extra data"),
    "list.jsonl": (b'{"x": 1}\n[1]\n', "row 2 is not an object"),
    "csv.jsonl": (b"x,y\n1,2\n", "row 1 is not JSON"),
    "utf16.jsonl": ('{"x": 1}\n'.encode("utf-16"), "UTF-16"),
    "latin.jsonl": (b'{"x": 1}\n{"x": "\xe9"}\n', "row 2 is not JSON"),
    "late.jsonl": (b'{"x": 1}\n' * 70_000 + b'{"x": "many"}\n', "'many' in data row 70,001"),
    "bool.jsonl": (b'{"x": true}\n{"x": 2}\n', "boolean values, then something else: 2 in data row 2"),
    "nested.jsonl": (b'{"x": [1]}\n', "holds list values"),
    "twice.jsonl": (b'{"x": 1, "x": 2}\n', "two or more columns"),
    "huge.jsonl": (b'{"x": 1e999}\n', "Number too big"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_cannot_be_used(name, tmp_path):
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        list(iter_batches(open_source(tmp_path / name), ["x"]))
    assert len(str(caught.value)) < 600


def test_json_numbers_and_gaps(tmp_path):
    text = '{"x": 1}\n\n{"x": 2.5, "y": "2020-01-01"}\n{"x": null}\n{"x": NaN}\n{"x": -Infinity, "late": 3}'
    (tmp_path / "a.jsonl").write_text(text)
    source = open_source(tmp_path / "a.jsonl")
    values, _, texts, account = decoded(source, ["x", "late"], ["y"])
    np.testing.assert_array_equal(values["x"], [1, 2.5, np.nan, np.nan, -np.inf])
    np.testing.assert_array_equal(values["late"], [np.nan] * 4 + [3])
    assert texts["y"] == [None, "2020-01-01", None, None, None]
    assert account.dropped["x"] == {"null": 1, "nan": 1, "inf": 1}
    (tmp_path / "b.jsonl").write_text('{"x": null}\n' * 100_000 + '{"x": 1}\n{"x": 2.5}\n')
    assert list(decoded(open_source(tmp_path / "b.jsonl"), ["x"])[0]["x"][-2:]) == [1, 2.5]
    (tmp_path / "c.jsonl").write_text('{"x": 1, "m": 1}\n{"x": 2, "m": "a"}\n')  # a mixed column hurts only where it is named
    assert list(decoded(open_source(tmp_path / "c.jsonl"), ["x"])[0]["x"]) == [1, 2]


@pytest.mark.parametrize("form", ["parquet", "feather", "arrow stream"])
def test_damaged_files(rows, form, tmp_path):
    path = FORMS[form](rows, tmp_path)
    whole = path.read_bytes()
    for content in (whole[:9], whole[:100], whole[: len(whole) // 2], whole[:-1], whole[:-8]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="damaged"):
            decoded(open_source(path), ["x"])


def test_checksums_in_parquet_are_looked_at(tmp_path):
    path = tmp_path / "t.parquet"
    rows = pa.table({"x": np.arange(10_000.0)})
    pq.write_table(rows, path, write_page_checksum=True, compression="none", use_dictionary=False)
    whole = bytearray(path.read_bytes())
    whole[40_000] ^= 1
    path.write_bytes(whole)
    with pytest.raises(DataError, match="damaged"):
        decoded(open_source(path), ["x"])


@pytest.mark.parametrize("form", ["parquet", "feather", "arrow stream", "json lines", "csv", "polars lazy file"])
def test_files_that_change_or_go(rows, form, tmp_path):
    few = rows.slice(0, 100)
    path = FORMS[form](few, tmp_path)
    source = open_source(path)
    assert decoded(source, ["x"])[3].read == 100
    path = tmp_path / "lazy.parquet" if form == "polars lazy file" else path
    content = path.read_bytes()
    if form != "polars lazy file":  # Polars reads what is there now
        for other in (content[: len(content) // 2], content + content, b""):
            path.write_bytes(other)
            with pytest.raises(DataError, match="has changed since it was opened"):
                list(iter_batches(source, ["x"]))
    path.unlink()
    with pytest.raises(DataError, match=r"no longer exists|its files exist"):
        list(iter_batches(source, ["x"]))


def test_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "a[1].parquet")
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "anything")
    inside = os.fspath(tmp_path / "a[1].parquet")
    for path in (inside, os.fsencode(inside), pathlib.Path(inside), "~/a[1].parquet", tmp_path / "anything"):
        assert next(iter_batches(open_source(path), ["x"])).size == 1
    (tmp_path / "link.parquet").symlink_to(tmp_path / "anything")
    assert open_source(tmp_path / "link.parquet").label == "link.parquet"
    (tmp_path / "a.csv").write_bytes((tmp_path / "anything").read_bytes())
    cases = {
        "*.csv": "matches no file",
        "ftp://example.org/a.parquet": "begins with ftp://",
        "a\0b.parquet": "null character",
        str(tmp_path): "called .csv, but its content",
        str(tmp_path / "no.parquet"): "does not exist",
        str(tmp_path / "a.csv"): "called .csv, but its content is that of a Parquet file",
        os.devnull: "There are no bytes in /dev/null",
        "x" * 5000: "cannot be read|does not exist",
    }
    for path, message in cases.items():
        with pytest.raises(DataError, match=message):
            open_source(path)


WRONG = [
    (None, "type 'NoneType' is not understood. Give the path"),
    (7, "Give the path"),
    ([{"x": 1}], "pandas.DataFrame"),
    ([[1, 2]], "pandas.DataFrame"),
    (np.ones((3, 2)), "X= and y="),
    (pd.Series([1, 2]), "single column"),
    ((i for i in range(3)), "Give the path"),
    (pa.array([1, 2]), "single column"),
    (pa.chunked_array([[1, 2]]), "single column"),
    (Capsule(pa.chunked_array([[1, 2]])), "single column"),
]


@pytest.mark.parametrize(("data", "message"), WRONG)
def test_what_is_no_table(data, message):
    with pytest.raises(DataError, match=message):
        open_source(data)


def test_a_dict_of_another_class_is_a_dict():
    class Bunch(dict):
        pass

    assert next(iter_batches(open_source(Bunch(x=np.arange(3.0))), ["x"])).size == 3


def pieces():
    yield {"x": np.array([0.1, np.nan]), 'n,"1': np.array([1, 2]), "t": np.array(["a", 'b"\n'])}
    yield {"x": np.array([1e300]), 'n,"1': np.array([3]), "t": np.array(["é"])}


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow", ".feather", ".jsonl", ".CSV"])
def test_what_is_written_reads_back(suffix, tmp_path):
    path = tmp_path / f"out{suffix}"
    path.write_text("what was there before")
    write_columns(path, pieces())
    values, nulls, texts, _ = decoded(open_source(path), ["x", 'n,"1'], ["t"])
    np.testing.assert_array_equal(values["x"], [0.1, np.nan, 1e300])
    assert list(nulls["x"]) == [False, True, False]
    assert list(values['n,"1']) == [1, 2, 3]
    assert texts["t"] == ["a", 'b"\n', "é"]
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow", ".jsonl"])
def test_nothing_is_half_written(suffix, tmp_path):
    path = tmp_path / f"out{suffix}"
    path.write_text("before")

    def stopped():
        yield {"x": np.arange(3.0)}
        raise KeyboardInterrupt

    def other():
        yield {"x": np.arange(3.0)}
        yield {"y": np.arange(3.0)}

    with pytest.raises(KeyboardInterrupt):
        write_columns(path, stopped())
    with pytest.raises(DataError, match="Every batch needs the same"):
        write_columns(path, other())
    with pytest.raises(DataError, match="nothing to write"):
        write_columns(path, [])
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == [path.name]


def test_where_nothing_can_be_written(tmp_path):
    batch = [{"x": np.array([np.inf])}]
    (tmp_path / "folder.csv").mkdir()
    cases = {
        "out.txt": "Use one of .csv, .parquet",
        "no/out.csv": "does not exist",
        "folder.csv": "is a folder",
        "o.jsonl": "cannot hold",
    }
    for name, message in cases.items():
        with pytest.raises(DataError, match=message):
            write_columns(tmp_path / name, batch)
    assert os.listdir(tmp_path) == ["folder.csv"]


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    """A superuser may read every file, so the refusal of the system is played."""
    path = tmp_path / "mine.csv"
    path.write_text("x,y\n1,2\n")

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "open", refused)
    with pytest.raises(DataError, match=r"cannot be read: Permission denied. Check its name and permissions"):
        open_source(path)


def test_values_without_a_length():
    with pytest.raises(DataError, match=r"Column 'x' has shape \(\)"):
        list(iter_batches(open_source({"x": 5}), []))
