"""Folders that other programs write: tables with a log of their own, partitions, stored indexes, names that are not UTF-8."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import squarely as sq
from squarely.data import open_source
from squarely.errors import DataError, OptionError
from tests.support.checks import assert_close, need
from tests.support.scripts import run_script

RNG = np.random.default_rng(8)
TABLE = pd.DataFrame({"x": RNG.normal(size=48), "year": np.repeat([2020, 2021, 2022], 16), "town": np.tile(["a b", "c"], 24)})
TABLE["y"] = 2 * TABLE["x"] + (TABLE["year"] - 2020) + RNG.normal(size=48) / 4


def wrong(y):
    return pa.table({"x": [1.0, 2.0, 3.0, 4.0, 5.0], "y": y})


def delta(folder, data=""):
    """Write a Delta table that was overwritten once: two files, of which the log counts the second."""
    (folder / "_delta_log").mkdir(parents=True)
    (folder / data).mkdir(exist_ok=True)
    old, new = (f"{data}part-0000{i}-4c2f.c000.snappy.parquet" for i in (0, 1))
    pq.write_table(wrong([2.0, 4.0, 6.0, 8.0, 50.0]), folder / old)
    pq.write_table(wrong([2.0, 4.0, 6.0, 8.0, 10.0]), folder / new)
    for version, actions in enumerate(([("add", old)], [("remove", old), ("add", new)])):
        lines = [json.dumps({kind: {"path": path}}) for kind, path in actions]
        (folder / "_delta_log" / f"{version:020}.json").write_text("\n".join(lines))
    return folder


def iceberg(folder):
    (folder / "metadata").mkdir(parents=True)
    (folder / "metadata" / "00001-9d.metadata.json").write_text("{}")
    (folder / "metadata" / "snap-1.avro").write_bytes(b"Obj\x01")
    (folder / "data" / "day=1").mkdir(parents=True)
    pq.write_table(wrong([2.0, 4.0, 6.0, 8.0, 50.0]), folder / "data" / "day=1" / "00000-0-a.parquet")
    return folder


def hudi(folder):
    (folder / ".hoodie").mkdir(parents=True)
    (folder / ".hoodie" / "hoodie.properties").write_text("hoodie.table.name=t\n")
    for instant in ("001", "002"):
        pq.write_table(wrong([2.0, 4.0, 6.0, 8.0, 50.0]), folder / f"f1-0_0-0-0_{instant}.parquet")
    return folder


def stream(folder):
    (folder / "_spark_metadata").mkdir(parents=True)
    pq.write_table(wrong([2.0, 4.0, 6.0, 8.0, 50.0]), folder / "part-0.parquet")
    return folder


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (delta, r"is a Delta table.*deltalake.DeltaTable\('.*'\).to_pyarrow_table\(\).*delta_scan"),
        (iceberg, r"is an Iceberg table.*iceberg_scan.*pyiceberg"),
        (hudi, r"is a Hudi table.*format\('hudi'\)"),
        (stream, r"is the output of a Spark stream.*spark.read.parquet"),
    ],
)
def test_a_table_with_a_log_is_refused_by_every_path(make, message, tmp_path):
    table = make(tmp_path / "lake" / "t")
    file = next(table.rglob("*.parquet"))
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "link").symlink_to(table)
    (tmp_path / "one.parquet").symlink_to(file)
    cases = [tmp_path / "lake", tmp_path / "plain", tmp_path / "one.parquet", file]
    cases += [table, tmp_path / "plain" / "link"]  # each is broken as a table, and its package refuses it
    cases += [file.parent, [file], str(tmp_path / "lake" / "**" / "*.parquet"), str(file.parent / "*")]
    for case in cases:
        with pytest.raises(DataError, match=message):
            open_source(case)


def test_a_partitioned_delta_table_is_refused_by_its_partition_too(tmp_path):
    table = delta(tmp_path / "t", "day=1/")
    for case in (table / "day=1", table / "day=1" / "*.parquet"):
        with pytest.raises(DataError, match="is a Delta table"):
            open_source(case)


def test_a_table_of_ducklake_is_refused_by_the_names_of_its_files(tmp_path):
    pq.write_table(wrong([2.0, 4.0, 6.0, 8.0, 10.0]), tmp_path / "ducklake-019a-7c.parquet")
    with pytest.raises(DataError, match="is a DuckLake table"):
        open_source(tmp_path)


def test_a_folder_called_metadata_is_no_table(tmp_path):
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "notes.txt").write_text("mine")
    pq.write_table(wrong([2.0, 4.0, 6.0, 8.0, 10.0]), tmp_path / "a.parquet")
    assert sq.ols("y ~ x", tmp_path).nobs == 5


def test_the_keys_of_folders_are_columns(tmp_path):
    """Expected: the same fit of the frame that the folders were written from."""
    TABLE.to_parquet(tmp_path, partition_cols=["year", "town"])
    for formula in ("y ~ x + year", "y ~ x + C(year) * town", "y ~ ."):
        assert_close(sq.ols(formula, tmp_path).params.sort_index(), sq.ols(formula, TABLE).params.sort_index(), rtol=1e-9)
    where = "year >= 2021 and town == 'c'"
    assert_close(sq.ols("y ~ x", tmp_path, where=where).params, sq.ols("y ~ x", TABLE, where=where).params, rtol=1e-12)
    assert "Read with 'year' and 'town' from the names of folders." in str(sq.ols("y ~ x", tmp_path).summary())
    pattern = tmp_path / "year=202[01]" / "*" / "*.parquet"
    assert sq.ols("y ~ x + year", pattern).nobs == 32
    assert_close(sq.ols("y ~ x + year", tmp_path).predict(tmp_path).sum(), TABLE["y"].sum(), rtol=1e-9)
    listed = sorted(tmp_path.rglob("*.parquet"))
    assert_close(sq.ols("y ~ x + year + town", listed).params, sq.ols("y ~ x + year + town", TABLE).params, rtol=1e-9)


def test_keys_are_numbers_where_all_values_are_and_gaps_are_counted(tmp_path):
    for name, x in (("k=01/s=p", 1.0), ("k=2.5/s=2x", 2.0), ("k=4/s=z", 4.0), ("k=__HIVE_DEFAULT_PARTITION__/s=z", 9.0)):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.csv").write_text(f"y,x\n{x},1\n{2 * x + 1},2\n")
    source = open_source(tmp_path)
    assert (source.kind("k"), source.kind("s")) == ("number", "text")
    fit = sq.ols("y ~ k + x", tmp_path)
    assert fit.rows.dropped["k"]["null"] == 2
    assert fit.nobs == 6
    assert list(sq.ols("y ~ s", tmp_path).params.index) == ["Intercept", "s[T.p]", "s[T.z]"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_script_has_the_keys_too(kind, tmp_path):
    for year in (2020, 2021):
        (tmp_path / "t" / f"year={year}").mkdir(parents=True)
        part = TABLE.loc[TABLE["year"] == year, ["x", "y"]]
        path = tmp_path / "t" / f"year={year}" / f"a.{kind}"
        part.to_csv(path, index=False) if kind == "csv" else part.to_parquet(path)
    run = sq.train("y ~ x + year + C(year):x", tmp_path / "t", epochs=3, lr=0.1)
    (tmp_path / "script.py").write_text(run.code())
    ended = run_script(tmp_path / "script.py")
    assert ended.stdout.startswith(f"Epoch 3: loss {run.history['loss'].iloc[-1]:.8g}")


def test_a_key_that_is_also_a_column_or_not_everywhere_is_refused_by_name(tmp_path):
    for name in ("year=1", "year=2"):
        (tmp_path / "both" / name).mkdir(parents=True)
        pq.write_table(pa.table({"y": [1.0, 3.0], "x": [1.0, 2.0], "year": [1, 2]}), tmp_path / "both" / name / "a.parquet")
    with pytest.raises(DataError, match=r"'year' is a column of 'year=1/a.parquet' and also the key of its folder 'year=1'"):
        sq.ols("y ~ year", tmp_path / "both")
    assert sq.ols("y ~ x", tmp_path / "both").nobs == 4
    (tmp_path / "some" / "year=1").mkdir(parents=True)
    for path in ("a.csv", "year=1/b.csv"):
        (tmp_path / "some" / path).write_text("y,x\n1,2\n2,5\n")
    with pytest.raises(DataError, match=r"Column 'year' is in 'year=1/b.csv' and not in 'a.csv'"):
        sq.ols("y ~ year", tmp_path / "some")


def test_the_key_of_a_folder_that_all_rows_lie_in_is_reported(tmp_path):
    (tmp_path / "year=1").mkdir()
    (tmp_path / "year=1" / "a.csv").write_text("y,x\n1,2\n2,5\n4,6\n")
    for data in (tmp_path / "year=1", tmp_path / "year=1" / "a.csv", str(tmp_path / "year=1" / "*")):
        with pytest.raises(DataError, match=r"no column 'year'.*it is the key of a folder that contains all rows"):
            sq.ols("y ~ year", data)
        assert list(sq.ols("y ~ .", data).params.index) == ["Intercept", "x"]


def stored(folder, index, form):
    """Write a frame with an index into a file; give what `y ~ .` has beside the response there."""
    frame = TABLE[["y", "x"]].set_index(index)
    path = folder / f"a.{form}"
    frame.to_parquet(path) if form == "parquet" else pyarrow.feather.write_feather(pa.Table.from_pandas(frame), path)
    return path


@pytest.mark.parametrize("form", ["parquet", "feather"])
def test_an_index_in_a_file_is_not_what_a_dot_stands_for(form, tmp_path):
    """Expected: what pandas gives back has no such column."""
    some = pd.Index(np.arange(48) * 3 % 50)
    expected = sq.ols("y ~ x", TABLE).params
    for index, name in ((some, "__index_level_0__"), (some.rename("k"), "k"), (pd.date_range("2024-1-1", periods=48), None)):
        path = stored(tmp_path, index, form)
        fit = sq.ols("y ~ .", path)
        assert_close(fit.params, expected, rtol=1e-12)
        note = f"Read with {name or '__index_level_0__'!r} as labels of the rows, an index, which '.' in a formula leaves out."
        assert note in " ".join(str(fit.summary()).split())
        if name:
            assert sq.ols(f"y ~ x + {name}", path).params.size == 3
    fit = sq.ols("y ~ .", stored(tmp_path, pd.RangeIndex(48), form))
    assert "an index" not in str(fit.summary())


def test_the_labels_of_rows_in_a_csv_file_are_no_predictor(tmp_path):
    """pandas and R write them into a first column without a name."""
    data = TABLE[["y", "x"]]
    data.iloc[::2].to_csv(tmp_path / "a.csv")
    for path in (tmp_path / "a.csv", tmp_path):
        fit = sq.ols("y ~ .", path)
        assert_close(fit.params, sq.ols("y ~ x", data.iloc[::2]).params, rtol=1e-12)
        note = "Read with the column without a name as labels of the rows, an index, which '.' in a formula leaves out."
        assert note in " ".join(str(fit.summary()).split())
    data.to_csv(tmp_path / "b.csv", index=False)
    assert "labels of the rows" not in str(sq.ols("y ~ .", tmp_path / "b.csv").summary())


def test_an_index_is_left_out_in_folders_tables_and_other_libraries(tmp_path):
    duckdb, polars = need("duckdb"), need("polars")
    path = stored(tmp_path, pd.Index(np.arange(48) * 3 % 50), "parquet")
    for data in (
        tmp_path,
        [path],
        pq.read_table(path),
        polars.read_parquet(path),
        polars.scan_parquet(path),
        duckdb.read_parquet(str(path)),
    ):
        assert list(sq.ols("y ~ .", data).params.index) == ["Intercept", "x"]


def test_the_name_that_fastparquet_gives_an_index_is_one(tmp_path):
    """fastparquet calls an index without a name 'index', and adds a note."""
    note = {"index_columns": ["index"], "columns": [], "column_indexes": []}
    table = pa.table({"y": TABLE["y"], "x": TABLE["x"], "index": np.arange(48)}).replace_schema_metadata(
        {"pandas": json.dumps(note)}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert list(sq.ols("y ~ .", tmp_path / "a.parquet").params.index) == ["Intercept", "x"]
    for note in ("{", "[]", '{"index_columns": 3}', '{"index_columns": [{"kind": "range"}]}'):
        pq.write_table(table.replace_schema_metadata({"pandas": note}), tmp_path / "a.parquet")
        assert len(sq.ols("y ~ .", tmp_path / "a.parquet").params) == 3


FORMS = {
    b"csv": lambda frame, path: frame.to_csv(path, index=False),
    b"csv.gz": lambda frame, path: frame.to_csv(path, index=False, compression="gzip"),
    b"parquet": lambda frame, path: frame.to_parquet(path, index=False),
    b"feather": lambda frame, path: frame.to_feather(path),
    b"jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
}


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="the names of files are text there")
@pytest.mark.parametrize("form", FORMS)
def test_a_name_that_is_not_utf8_is_one_like_others(form, tmp_path):
    FORMS[form](TABLE[["y", "x"]], tmp_path / "plain")
    folder = os.fsencode(tmp_path) + b"/f\xe4"
    os.mkdir(folder)
    path = folder + b"/Stra\xdfe." + form
    os.rename(tmp_path / "plain", path)
    expected = sq.ols("y ~ x", TABLE).params
    for data in (path, os.fsdecode(path), pathlib.Path(os.fsdecode(path)), [path], folder, folder + b"/*", folder + b"/*\xdfe*"):
        assert_close(sq.ols("y ~ x", data).params, expected, rtol=1e-9)
    with pytest.raises(DataError, match=r"no column 'z' in Stra\\xdfe"):
        sq.ols("y ~ z", path)
    with pytest.raises(DataError, match="is given twice"):
        sq.ols("y ~ x", [path, path])
    fit = sq.ols("y ~ x", path)
    saved = os.fsdecode(folder + b"/fit\xff.json")
    fit.save(saved)
    assert sq.load(saved).source.label == r"Stra\xdfe." + form.decode()
    run = sq.train("y ~ x", path, epochs=3, lr=0.1, validation=0.25, checkpoint=os.fsdecode(folder + b"/run\xff"))
    if form == b"parquet":
        with pytest.raises(OptionError, match=r"is not UTF-8, and pandas.read_parquet cannot open it"):
            run.code()
        return
    (tmp_path / "script.py").write_text(run.code())
    ended = run_script(tmp_path / "script.py")
    assert f"loss {run.history['loss'].iloc[-1]:.8g}" in ended.stdout


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="the names of files are text there")
def test_the_command_line_prints_names_that_are_not_utf8(tmp_path):
    path = os.fsencode(tmp_path) + b"/Stra\xdfe.csv"
    with open(path, "wb") as file:
        file.write(TABLE[["y", "x"]].to_csv(index=False).encode())

    def ended(*words):
        return subprocess.run([sys.executable, "-m", "squarely", *words], capture_output=True)

    done = ended("ols", "y ~ x", path, "--json", "--save", path + b".json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["nobs"] == 48
    done = ended("ols", "z ~ x", path)
    assert done.returncode == 2
    assert rb"There is no column 'z' in Stra\xdfe.csv" in done.stderr
    done = ended("predict", path + b".json", path, "-o", path + b".out.csv")
    assert (done.returncode, done.stderr) == (0, b"")
