"""Several files are one source: the same rows as one file with all of them, and nothing that does not fit goes unsaid."""

import gzip
import json
import os
import subprocess
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import squarely as sq
from squarely.data import iter_batches, open_source
from squarely.errors import DataError
from tests.support.checks import assert_close, need
from tests.support.scripts import run_script

NAMES = ["x", "whole", "g", 'x"; drop table t; --', "y"]


def table(n=300, seed=5):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": np.round(rng.normal(size=n), 4),
            "whole": rng.integers(-9, 9, n),
            "g": np.array(["ant", "bee", "cat"])[rng.integers(0, 3, n)],
            NAMES[3]: np.round(rng.normal(size=n), 4),
            "y": np.round(rng.normal(size=n), 4),
        }
    )
    frame.loc[7, "x"], frame.loc[150, "g"] = np.nan, None
    return frame


def csv(frame, path):
    frame.to_csv(path, index=False)


def jsonl(frame, path):
    rows = [{name: value for name, value in row.items() if not pd.isna(value)} for row in frame.to_dict("records")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def stream(frame, path):
    rows = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_stream(str(path), rows.schema) as writer:
        writer.write_table(rows)


WRITE = {
    "csv": csv,
    "csv.gz": csv,
    "tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "parquet": lambda frame, path: frame.to_parquet(path, index=False),
    "feather": lambda frame, path: frame.to_feather(path),
    "arrows": stream,
    "jsonl": jsonl,
}


def parts(frame, folder, suffix, *, cuts=(0, 100, 101, 300)):
    """Cut a frame into files, whose names are in the order of their rows."""
    paths = []
    for i, (first, last) in enumerate(pairwise(cuts)):
        path = folder / f"part-{i}.{suffix}"
        WRITE[suffix](frame[first:last].reset_index(drop=True), path)
        paths.append(path)
    return paths


def values(source, numbers, labels=()):
    found = list(iter_batches(source, numbers, labels))
    assert [batch.start for batch in found] == list(np.cumsum([0, *[batch.size for batch in found]])[:-1])
    columns = [np.concatenate([batch.numbers[name].values for batch in found]) for name in numbers]
    texts = [[b.labels[n].values[c] if c >= 0 else None for b in found for c in b.labels[n].codes] for n in labels]
    return columns, texts


@pytest.mark.parametrize("suffix", WRITE)
def test_the_rows_are_those_of_one_file(suffix, tmp_path):
    frame = table()
    (tmp_path / "data").mkdir()
    paths = parts(frame, tmp_path / "data", suffix)
    for data in (
        tmp_path / "data",
        f"{tmp_path}/data/*.{suffix}",
        os.fsencode(f"{tmp_path}/**/part*"),
        paths,
        tuple(map(str, paths)),
    ):
        source = open_source(data)
        assert list(source.columns) == NAMES
        assert [source.kind(name) for name in NAMES] == ["number", "number", "text", "number", "number"]
        numbers = [name for name in NAMES if name != "g"]
        columns, (groups,) = values(source, numbers, ["g"])
        for name, found in zip(numbers, columns, strict=True):
            np.testing.assert_array_equal(found, frame[name].to_numpy(float))
        assert groups == [None if pd.isna(value) else value for value in frame["g"]]
        assert sum(batch.size for batch in iter_batches(source, [])) == 300
        assert source.rows == (300 if suffix in ("parquet", "feather") else None)
    formula = f"y ~ x * g + `{NAMES[3]}` + C(whole)"
    ours, expected = sq.ols(formula, tmp_path / "data"), sq.ols(formula, frame)
    assert list(ours.params.index) == list(expected.params.index)
    assert_close(ours.params, expected.params, rtol=1e-11)
    assert_close(ours.durbin_watson, expected.durbin_watson, rtol=1e-12)
    assert (ours.rows.read, ours.rows.used) == (300, 298)
    assert {name: sum(causes.values()) for name, causes in ours.rows.dropped.items()} == {"x": 1, "g": 1}
    assert "Read with 3 files in the order of their names." in " ".join(str(ours.summary()).split())


def test_the_order_is_that_of_the_paths_or_of_the_list(tmp_path):
    for i, name in enumerate(["b", "a", "c/z", "a-1", "c/_no/x", ".no", "_no", "c/.x/y"]):
        path = tmp_path / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"x\n{i}\n")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "_SUCCESS").touch()
    source = open_source(tmp_path)
    assert values(source, ["x"])[0][0].tolist() == [3, 1, 0, 2]  # a-1.csv, a.csv, b.csv, c/z.csv
    assert source.notes == (
        "4 files in the order of their names",
        "1 file of the folder left out, such as 'README.md'",
    )
    assert values(open_source(tmp_path / "[!a]*.csv"), ["x"])[0][0].tolist() == [6, 0]  # what a pattern names is meant
    source = open_source([tmp_path / "b.csv", tmp_path / "c", f"{tmp_path}/a*.csv"])
    assert values(source, ["x"])[0][0].tolist() == [0, 2, 3, 1]
    assert source.notes == ("4 files in the order given",)
    assert source.label == "b.csv and 3 other files"
    assert open_source(tmp_path / "c").notes == ("1 file",)


def test_a_name_with_the_signs_of_a_pattern_is_a_name(tmp_path):
    names = ["a[1].csv", "a1.csv", "what?.csv", "w*.csv", "[!a].csv", "]x[.csv"]
    for i, name in enumerate(names):
        (tmp_path / name).write_text(f"x\n{i}\n")
    for i, name in enumerate(names):
        assert values(open_source(tmp_path / name), ["x"])[0][0].tolist() == [i]
    (tmp_path / "data[1]").mkdir()
    (tmp_path / "data[1]" / "a*b.csv").write_text("x\n7\n")
    for data in (tmp_path / "data[1]", tmp_path / "data[1]" / "*.csv"):
        assert values(open_source(data), ["x"])[0][0].tolist() == [7]
    odd = tmp_path / "back\\slash*.csv"
    odd.write_text("x\n1\n")
    with pytest.raises(DataError, match="has a backslash and one of"):
        open_source(odd)


def parquet(**columns):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def feather(**columns):
    sink = pa.BufferOutputStream()
    pyarrow.feather.write_feather(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


FINE = {
    "columns in another order, delimiters of their own": (
        {"a.csv": "x,y\n1,2\n", "b.csv": "y;x\n4;3,5\n", "c.tsv": "z\ty\tx\n9\t6\t5\n"},
        [1, 3.5, 5],
    ),
    "integers and fractions": ({"a.csv": "x,y\n1,2\n", "b.csv": "x,y\n2.5,2\n"}, [1, 2.5]),
    "a file with a header alone": ({"a.csv": "x,y\n", "b.csv": "x,y\n1,2\n", "c.csv": "x,y\n"}, [1]),
    "a file with gaps alone": ({"a.csv": "x,y\n,2\nNA,3\n", "b.csv": "x,y\n1,2\n"}, [np.nan, np.nan, 1]),
    "a broken column that nobody names": ({"a.csv": "x,z\n1,2\n", "b.csv": "x,z\n2,a\n", "c.csv": "x\n3\n"}, [1, 2, 3]),
    "UTF-16 beside UTF-8": ({"a.csv": "x,y\n1,\u00fc\n".encode("utf-16"), "b.csv": "x,y\n2,\u00fc\n"}, [1, 2]),
    "widths": (
        {
            "a.parquet": parquet(x=pa.array([1, None], pa.int8())),
            "b.parquet": parquet(x=[0.5]),
            "c.parquet": parquet(x=pa.nulls(1)),
        },
        [1, np.nan, 0.5, np.nan],
    ),
    "lists that nobody names": ({"a.parquet": parquet(x=[1], z=[[1]]), "b.parquet": parquet(x=[2], z=[{"a": 1}])}, [1, 2]),
    "no rows in the first": ({"a.feather": feather(x=pa.array([], pa.int64())), "b.arrow": feather(x=[0.5])}, [0.5]),
    "keys that a file of JSON lines lacks": (
        {"a.jsonl": '{"x": 1, "y": 2}\n', "b.jsonl": '{"y": 2}\n\n{}\n', "c.json": '{"x": 2.5}\n'},
        [1, np.nan, np.nan, 2.5],
    ),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_fine(name, tmp_path):
    files, expected = FINE[name]
    source = open_source(write(tmp_path, files))
    assert source.kind("x") == "number"
    np.testing.assert_array_equal(values(source, ["x"])[0][0], expected)
    assert sum(batch.size for batch in iter_batches(source, [])) == len(expected)
    if source.typed and not name.startswith("keys"):
        assert source.rows == len(expected)
    assert len(values(source, [], ["x"])[1][0]) == len(expected)


BAD = {
    "a column that a file lacks": (
        {"a.csv": "x,y\n1,2\n", "b.csv": "y\n1\n"},
        "Column 'x' is in 'a.csv' and not in 'b.csv', which is another file of",
    ),
    "text in one file": (
        {"a.csv": "x,y\n1,2\n", "s/b.csv": "x,y\na,2\n"},
        "Column 'x' holds numbers (BIGINT) in 'a.csv' and text (VARCHAR) in 's/b.csv'. Write one kind of values",
    ),
    "text in one Parquet file": (
        {"a.parquet": parquet(x=["a"]), "b.parquet": parquet(x=[1.5])},
        "Column 'x' holds text (string) in 'a.parquet' and numbers (double) in 'b.parquet'.",
    ),
    "true and numbers": (
        {"a.feather": feather(x=[True]), "b.feather": feather(x=[1])},
        "Column 'x' holds true and false (bool) in 'a.feather' and numbers (int64) in 'b.feather'.",
    ),
    "a list in one file": (
        {"a.parquet": parquet(x=[1]), "b.parquet": parquet(x=[[1]])},
        "numbers (int64) in 'a.parquet' and other values (list<element: int64>) in 'b.parquet'.",
    ),
    "lists in all": (
        {"a.parquet": parquet(x=[[1]]), "b.parquet": parquet(x=[[1]])},
        "holds list<element: int64> values, which are",
    ),
    "dates in one file": ({"a.csv": "x\n1\n", "b.csv": "x\n2020-01-01\n"}, "and other values (DATE) in 'b.csv'"),
    "text late in one file": (
        {"s/a.csv": "x\n1\n", "t/a.csv": "x\n" + "1\n" * 30_000 + "oops\n"},
        "Column 'x' of t/a.csv holds text, not a number: 'oops' in data row 30,001",
    ),
    "words in a file of numbers": (
        {"a.jsonl": '{"x": 1}\n', "b.jsonl": '{"x": "a"}\n'},
        "numbers (INT64) in 'a.jsonl' and text (STRING)",
    ),
    "several kinds": (
        {"a.csv": "x\n1\n", "b.parquet": parquet(x=[1])},
        "are of different kinds: 'a.csv' is CSV and 'b.parquet' is Parquet. Give files of one kind",
    ),
    "an empty file": ({"a.csv": "x\n1\n", "s/b.csv": ""}, "The file 's/b.csv' is empty (0 bytes)."),
    "a file that is no Parquet": (
        {"a.parquet": parquet(x=[1]), "b.parquet": "x\n1\n"},
        "'b.parquet' is called .parquet, but its content",
    ),
    "a file cut short": (
        {"a.parquet": parquet(x=[1]), "s/b.parquet": parquet(x=[1])[:-9]},
        "The file 's/b.parquet' cannot be read as",
    ),
    "two columns with one name in one file": (
        {"a.csv": "x,y\n1,2\n", "b.csv": "x,y,x\n1,2,3\n"},
        "has two or more columns called 'x'. Rename all but one.",
    ),
    "nothing": ({}, "has no file whose name ends in one of .parquet, .pq, .arrow,"),
    "nothing of data": (
        {"notes.txt": "a", "_x.csv": "x\n1\n"},
        "only others, such as 'notes.txt'. Give another folder, or a pattern",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_together(name, tmp_path):
    files, message = BAD[name]
    with pytest.raises(DataError) as caught:
        values(open_source(write(tmp_path, files)), ["x"])
    assert message in str(caught.value)


def test_paths_that_name_nothing_or_too_much(tmp_path):
    write(tmp_path, {"a.csv": "x\n1\n", "s/b.txt": "x\n2\n", "t/u/c.csv": "x\n3\n"})
    (tmp_path / "again.csv").symlink_to(tmp_path / "a.csv")
    cases = {
        "n*.csv": "The pattern .*n\\*.csv' matches no file. Check its folders and name.",
        "t/*": "matches folders only. Give .*t/\\*/\\*' for the files in them.",
        "t*": "matches folders only",
        "no/*.csv": "matches no file",
        "*.csv": "'again.csv' is the same file as 'a.csv', and its rows would count twice. Give each file once.",
        "": "'again.csv' is the same file as 'a.csv'",
    }
    for name, message in cases.items():
        with pytest.raises(DataError, match=message):
            open_source(f"{tmp_path}/{name}")
    lists = {
        (
            tmp_path / "a.csv",
            tmp_path / "s" / "b.txt",
            tmp_path / "a.csv",
        ): "'a.csv' is given twice, and its rows would count twice.",
        (tmp_path / "a.csv", tmp_path / "no.csv"): "no.csv' does not exist",
        (tmp_path / "a.csv", "ftp://example.org/b.csv"): "begins with ftp://",
        (tmp_path / "a.csv", ""): "path of the data is empty",
    }
    for data, message in lists.items():
        with pytest.raises(DataError, match=message):
            open_source(list(data))
    with pytest.raises(DataError, match=r"It is empty\. Give the path"):
        open_source([])
    (tmp_path / "again.csv").unlink()
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(DataError, match="is the same file as"):
        open_source(tmp_path)


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path, monkeypatch):
    write(tmp_path, {"a.csv": "x\n1\n", "s/b.csv": "x\n2\n"})
    honest = os.scandir

    def refused(path):
        if os.fspath(path).endswith("s"):
            raise PermissionError(13, "Permission denied", path)
        return honest(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DataError, match=r"/s' cannot be read: Permission denied\. Check its permissions"):
        open_source(tmp_path)


def test_declared_levels_are_put_together(tmp_path):
    def levels(*names):
        return pd.DataFrame({"g": pd.Categorical(list(names), categories=list(names))})

    for name, frame in {
        "a": levels("low", "high"),
        "b": levels("low", "mid", "high"),
        "c": levels("none", "low"),
        "d": levels("x"),
    }.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
    pq.write_table(pa.table({"g": pa.nulls(2)}), tmp_path / "e.parquet")
    assert open_source(tmp_path).category_order("g") == ("none", "low", "mid", "high", "x")
    levels("high", "low").to_parquet(tmp_path / "f.parquet")
    with pytest.raises(DataError, match=r"'f.parquet' puts the level 'low' of column 'g' after 'high', and an earlier file"):
        open_source(tmp_path).category_order("g")
    pq.write_table(pa.table({"g": ["free"]}), tmp_path / "f.parquet")
    assert open_source(tmp_path).category_order("g") is None  # one file says nothing of an order


def test_whole_numbers_and_fractions_are_the_same_categories(tmp_path):
    whole, mixed = [1, 2, 1, 2], [1.0, 2.0, 3.0, 3.0, 1.0]
    y = [1.0, 3, 2, 4, 5, 9, 8, 7, 1]
    write(tmp_path, {"a.parquet": parquet(x=whole, y=y[:4]), "b.parquet": parquet(x=mixed, y=y[4:])})
    expected = sq.ols("y ~ C(x)", {"x": whole + mixed, "y": y})
    assert sq.ols("y ~ C(x)", tmp_path).params.tolist() == expected.params.tolist()


def test_large_integers_are_said_in_every_file(tmp_path):
    write(tmp_path, {"a.csv": f"x,y\n1,1\n2,3\n{2**53 + 1},9\n", "b.csv": "x,y\n0.5,2\n3,4\n"})
    write(tmp_path / "p", {"a.parquet": parquet(x=[1, 2, 2**53 + 1], y=[1, 3, 9]), "b.parquet": parquet(x=[0.5, 3], y=[2, 4])})
    for data in (tmp_path / "*.csv", tmp_path / "p"):
        assert sq.ols("y ~ x", data).rows.rounded == {"x": 1}


def test_one_file_is_open_at_a_time(tmp_path):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc here")
    for i in range(20):
        (tmp_path / f"{i:02}.parquet").write_bytes(parquet(x=np.full(1000, float(i))))
    source = open_source(tmp_path)

    def opened():
        links = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
        return [os.readlink(link) for link in links if os.path.islink(link) and str(tmp_path) in os.readlink(link)]

    scan = iter_batches(source, ["x"])
    for _ in range(5):
        next(scan)
        assert len(opened()) <= 1
    scan.close()
    assert opened() == []


def test_folders_may_be_changed(tmp_path, monkeypatch):
    parts(table(), tmp_path, "csv")
    monkeypatch.chdir(tmp_path.parent)
    sources = [open_source(tmp_path.name), open_source(f"{tmp_path.name}/*.csv"), open_source([f"{tmp_path.name}/part-0.csv"])]
    monkeypatch.chdir("/")
    assert [len(values(source, ["x"])[0][0]) for source in sources] == [300, 300, 100]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "feather", "arrows", "jsonl"])
@pytest.mark.parametrize("change", ["new", "gone", "other", "renamed"])
def test_files_that_come_go_or_change(suffix, change, tmp_path):
    folder, spare = tmp_path / "data", tmp_path / "spare"
    folder.mkdir()
    spare.mkdir()
    last = parts(table(), folder, suffix)[-1]
    (other,) = parts(table(300, seed=6), spare, suffix, cuts=(101, 300))

    def meddle():
        if change == "new":
            other.rename(folder / f"part-9.{suffix}")
        elif change == "gone":
            last.unlink()
        elif change == "other":
            other.replace(last)
        else:
            last.rename(folder / f"part-9.{suffix}")

    source = open_source(folder)
    scan = iter_batches(source, ["x"])
    next(scan)
    meddle()
    message = {"new": "was added to", "gone": "no longer exists", "other": "has changed", "renamed": "no longer exists"}[change]
    with pytest.raises(DataError, match=message):
        list(scan)
    with pytest.raises(DataError, match=message):
        list(iter_batches(source, ["x"]))


def test_predictions_do_not_take_the_place_of_a_file_that_is_read(tmp_path):
    paths = parts(table(), tmp_path, "csv")
    fit = sq.ols("y ~ x", tmp_path)
    for path in paths:
        with pytest.raises(DataError, match="is the file that the rows come from"):
            fit.write_predictions(tmp_path, path)
    assert fit.write_predictions(tmp_path, tmp_path / "out.jsonl") == 300
    plain = sq.ols(X=table()[["x"]].fillna(0), y=table()["y"])
    assert_close(plain.predict(paths), plain.predict(table()), rtol=1e-14)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl", "differing csv"])
def test_the_script_reads_the_same_files(suffix, tmp_path):
    need("torch")
    paths = parts(table(), tmp_path, suffix.split()[-1])
    if suffix == "differing csv":
        table()[100:101].to_csv(paths[1], index=False, sep=";", decimal=",")
    run = sq.train(f"y ~ x + g + `{NAMES[3]}`", tmp_path, epochs=5, dtype="float64")
    (tmp_path / "script.py").write_text(run.code() + '\nimport json\njson.dump(losses, open("losses.json", "w"))\n')
    done = run_script(tmp_path / "script.py", strict=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "losses.json").read_text()) == run.result.losses.tolist()
    ruff = need("ruff").find_ruff_bin()
    done = subprocess.run(
        [ruff, "format", "--isolated", "--line-length=100", "-"], input=run.code(), capture_output=True, text=True, check=True
    )
    assert done.stdout == run.code()


@pytest.mark.parametrize(
    "text", ["null\n", " null\r\nnull", '{"x": 1, "y": 2}\n\nnull\n', '{"x": null, "y": 2}\nnull \n{"x": 1, "y": 1}']
)
def test_a_line_of_null_is_no_row(text, tmp_path):
    """Arrow makes a row of it, and ends the process where there are no others."""
    (tmp_path / "a.jsonl").write_bytes(text.encode())
    row = 1 if text.lstrip().startswith("null") else 2
    with pytest.raises(DataError, match=f"row {row} is not an object with names and values"):
        open_source(tmp_path / "a.jsonl")


def test_two_copies_of_the_same_rows_are_noted(tmp_path):
    text = "x,y\n1,2\n2,4\n3,7\n"
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.csv", "a (1).csv"):
        (folder / name).write_text(text)
    (folder / "b.csv").write_text(text.replace("7", "8"))  # of the same size
    page = " ".join(str(sq.ols("y ~ x", folder).summary()).split())
    assert "Read with 'a (1).csv' and 'a.csv', which have the same content, so their rows count twice." in page
    assert page.count("count twice") == 1
    (folder / "a (1).csv").unlink()
    (folder / "b.csv.gz").write_bytes(gzip.compress(b"x,y\n5,6\n"))
    page = " ".join(str(sq.ols("y ~ x", [folder / "a.csv", folder / "b.csv", folder / "b.csv.gz"]).summary()).split())
    assert "Read with 'b.csv' and 'b.csv.gz', whose rows count twice if one is a compressed copy of the other." in page
    assert page.count("count twice") == 1


def test_equal_names_in_other_folders_are_no_copies(tmp_path):
    for year in (2020, 2021):
        (tmp_path / str(year)).mkdir()
        (tmp_path / str(year) / "data.csv").write_text(f"x,y\n1,2\n2,4\n3,{year}\n")
    assert "count twice" not in str(sq.ols("y ~ x", tmp_path).summary())
    for number in range(6):
        (tmp_path / f"{number}.csv").write_text("x,y\n1,2\n")
    page = " ".join(str(sq.ols("y ~ x", tmp_path).summary()).split())
    assert page.count("count twice") == 3
    assert "Read with 2 more such pairs." in page
