"""Files that are not read are named, with what reads them; datasets and readers of pyarrow and pandas."""

import gzip
import io
import pickle
import zipfile

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
import scipy.io

import squarely as sq
from squarely.data import open_source
from squarely.errors import DataError

RNG = np.random.default_rng(22)
TABLE = pd.DataFrame({"x": RNG.normal(size=600), "k": np.repeat([1, 2, 3], 200), "g": np.tile(["a", "b b", None], 200)})
TABLE["y"] = 3 * TABLE["x"] + TABLE["k"] + RNG.normal(size=600)
ROWS = pa.Table.from_pandas(TABLE, preserve_index=False)


def written(write):
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def archive(*names):
    def write(out):
        with zipfile.ZipFile(out, "w") as file:
            for name in names:
                file.writestr(name, "content")

    return written(write)


# name of the file -> its content and what the message must have; contents without a writer here are the first bytes of the format
KINDS = {
    "t.npy": (written(lambda out: np.save(out, np.eye(3))), r"is a NumPy file. Load it with numpy.load\('.*t.npy'\)"),
    "t.npz": (written(lambda out: np.savez(out, x=np.eye(3))), r"archive of NumPy arrays.*dict\(numpy.load\('.*t.npz'\)\)"),
    "t.mat": (written(lambda out: scipy.io.savemat(out, {"x": np.eye(3)})), r"is a MATLAB file.*scipy.io.loadmat\('"),
    "t.pkl": (pickle.dumps(TABLE), r"is a pickle.*pandas.read_pickle\('.*a pickle runs code"),
    "t.pickle": (pickle.dumps({"x": [1]}, protocol=2), "is a pickle"),
    "t.h5": (b"\x89HDF\r\n\x1a\n\0\0", r"is an HDF5 file.*pandas.read_hdf"),
    "t.avro": (b"Obj\x01\x04\x14avro.codec", r"is an Avro file.*polars.read_avro"),
    "t.rds": (gzip.compress(b"X\n\0\0\0\3\0\4\2\1"), r"is an R object. Write it in R: write.csv\(readRDS\('.*t.rds'\)"),
    "t.RData": (b"RDX3\nX\n\0\0\0\3", r"is an R workspace.*write.csv"),
    "t.db": (b"SQLite format 3\0\x10\0", r"is a SQLite database.*pandas.read_sql\('SELECT \* FROM t', sqlite3.connect\('"),
    "t.pdf": (b"%PDF-1.7\n%", "is a PDF document"),
    "t.docx": (archive("[Content_Types].xml", "word/document.xml"), "is a Word document"),
    "t.csv": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", r"pointer of Git LFS.*git lfs pull"),
    "t.html": (b"\xef\xbb\xbf\n  <!doctype HTML><html>", r"is a web page \(HTML\)"),
    "t.xml": (b'<?xml version="1.0"?><rows/>', r"is an XML file.*pandas.read_xml"),
    "t.geojson": (b'{ "type": "FeatureCollection", "features": []}', r"is a GeoJSON file.*geopandas.read_file"),
    "t.ipynb": (b'{\n "cells": []\n}', "is a Jupyter notebook"),
    "t.7z": (b"7z\xbc\xaf\x27\x1c\0\4", "is a 7z archive. Unpack it with: 7z x"),
    "t.rar": (b"Rar!\x1a\x07\x01\0", "is a RAR archive. Unpack it with: unrar x"),
    "t.Z": (b"\x1f\x9d\x90", "Unpack it with: uncompress"),
    "t.mdb": (b"\0\1\0\0Standard Jet DB\0", "is an Access database.*mdb-export"),
    "t.sav": (b"SR\0\4\0\1", r"is a file of IDL.*scipy.io.readsav"),
    "t.png": (b"\x89PNG\r\n\x1a\n", "is a picture"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_not_read_is_named_with_what_reads_it(name, tmp_path):
    content, message = KINDS[name]
    for path in (tmp_path / name, tmp_path / "other.txt"):  # the content counts
        path.write_bytes(content)
        with pytest.raises(DataError, match=message.replace("t\\.", "t.").replace(name, path.name)):
            open_source(path)


def test_the_code_for_a_database_works(tmp_path):
    path = tmp_path / "t.db"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE t AS SELECT range AS x, 2 * range + (range % 3) AS y FROM range(20)")
    with pytest.raises(
        DataError, match=r"is a DuckDB database. Load it .* duckdb.connect\('.*t.db', read_only=True\).table\('t'\)"
    ):
        open_source(path)
    with duckdb.connect(path, read_only=True) as connection:
        assert sq.ols("y ~ x", connection.table("t")).nobs == 20


@pytest.mark.filterwarnings("ignore:Feather V1:DeprecationWarning")
def test_a_file_of_feather_1_is_named(tmp_path):
    pyarrow.feather.write_feather(ROWS, tmp_path / "t.feather", version=1)
    with pytest.raises(DataError, match=r"is a file of Feather 1. Load it in Python with pyarrow.feather.read_table\('"):
        open_source(tmp_path / "t.feather")


def test_orc_has_the_rows_of_parquet(tmp_path):
    pyarrow.orc.write_table(ROWS, tmp_path / "t.orc")
    pq.write_table(ROWS, tmp_path / "t.parquet")
    for formula in ("y ~ x + g + C(k)", "y ~ ."):
        ours, expected = (sq.ols(formula, tmp_path / f"t.{kind}") for kind in ("orc", "parquet"))
        assert (ours.params.to_dict(), ours.bse.to_dict()) == (expected.params.to_dict(), expected.bse.to_dict())
    assert sq.ols("y ~ x", [tmp_path / "t.orc"]).nobs == 600
    whole = (tmp_path / "t.orc").read_bytes()
    source = open_source(tmp_path / "t.orc")
    (tmp_path / "t.orc").write_bytes(whole[:-100])
    with pytest.raises(DataError, match="has changed"):
        list(source.read(["x"]))
    with pytest.raises(DataError, match="cannot be read as ORC"):
        sq.ols("y ~ x", tmp_path / "t.orc")
    (tmp_path / "t.csv").write_text("ORC,y\n1,2\n3,4\n5,5\n")
    assert sq.ols("y ~ ORC", tmp_path / "t.csv").nobs == 3


def test_a_dataset_of_arrow(tmp_path):
    TABLE.to_parquet(tmp_path / "t", partition_cols=["k"])
    dataset = pyarrow.dataset.dataset(tmp_path / "t", partitioning="hive")
    for formula in ("y ~ x + g + C(k)", "y ~ ."):
        ours, expected = sq.ols(formula, dataset), sq.ols(formula, TABLE)
        assert ours.rows.used == expected.rows.used
        np.testing.assert_allclose(ours.params[expected.params.index], expected.params, rtol=1e-10)
    assert sq.ols("y ~ x", dataset, where="k == 2").nobs == 200
    assert sq.ols("y ~ x", pyarrow.dataset.dataset(ROWS)).nobs == 600
    assert len(sq.ols("y ~ x", TABLE).predict(dataset)) == 600
    run = sq.train("y ~ x", dataset, epochs=2, lr=0.1, batch_size=50)
    assert run.history["epoch"].tolist() == [0, 1, 2]


def test_readers_of_arrow_and_pandas(tmp_path):
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    assert sq.ols("y ~ x", ROWS.to_reader()).nobs == 600
    with pytest.raises(DataError, match=r"gives its rows once: pass the dataset itself, or scanner.to_table\(\)"):
        sq.ols("y ~ x", pyarrow.dataset.dataset(ROWS).scanner())
    with (
        pd.read_csv(tmp_path / "t.csv", chunksize=100) as reader,
        pytest.raises(DataError, match=r"gives its rows once: pass the path of the file, or pandas.concat\(reader\)"),
    ):
        sq.ols("y ~ x", reader)
