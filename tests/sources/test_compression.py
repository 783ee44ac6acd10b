"""Compressed files: the rows of the plain file to the bit, and an error for one that is damaged, cut short or too large."""

import bz2
import gzip
import io
import lzma
import resource
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import squarely as sq
from squarely.data import open_source
from squarely.data.files.staging import temporary_copy
from squarely.errors import DataError
from tests.support.scripts import run_script

RNG = np.random.default_rng(15)
TABLE = pd.DataFrame({"x": RNG.normal(size=4000), "g": np.tile(["a", "b b", "ü", "d"], 1000)})
TABLE["y"] = 3 * TABLE["x"] + RNG.normal(size=4000)
CSV = TABLE.to_csv(index=False).encode()
LINES = TABLE.to_json(orient="records", lines=True, double_precision=15).encode()


def zipped(content, *names):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("cars.csv",):
            archive.writestr(name, content)
    return out.getvalue()


def arrow_compressed(method):
    def compress(content):
        out = pa.BufferOutputStream()
        with pa.CompressedOutputStream(out, method) as stream:
            stream.write(content)
        return out.getvalue().to_pybytes()

    return compress


COMPRESS = {
    "zip": zipped,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": arrow_compressed("zstd"),
    "lz4": arrow_compressed("lz4"),
}


@pytest.mark.parametrize("method", COMPRESS)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_rows_are_those_of_the_plain_file_to_the_bit(method, kind, tmp_path):
    content = CSV if kind == "csv" else LINES
    plain, packed, other = tmp_path / f"t.{kind}", tmp_path / f"t.{kind}.{method}", tmp_path / f"data.{kind}"
    plain.write_bytes(content)
    name = {"names": f"t.{kind}"} if method == "zip" else {}
    packed.write_bytes(COMPRESS[method](content, *name.values()))
    other.write_bytes(packed.read_bytes())  # the content counts, not the name
    expected = sq.ols("y ~ x + g", plain)
    for path in (packed, other, [packed], tmp_path / f"t.*.{method}"):
        fit = sq.ols("y ~ x + g", path)
        assert (fit.params.to_numpy() == expected.params.to_numpy()).all()
        assert (fit.bse.to_numpy() == expected.bse.to_numpy()).all()
    assert_no_copy_is_left()


def assert_no_copy_is_left():
    import gc
    import tempfile
    from pathlib import Path

    gc.collect()
    assert not [path for path in Path(tempfile.gettempdir()).glob("squarely-*") if path.stat().st_size == len(CSV)]


@pytest.mark.parametrize("method", COMPRESS)
def test_several_streams_are_one_text(method, tmp_path):
    if method == "zip":
        return
    half = CSV.index(b"\n", len(CSV) // 2) + 1
    (tmp_path / "t.csv").write_bytes(CSV)
    (tmp_path / "t.csv.z").write_bytes(COMPRESS[method](CSV[:half]) + COMPRESS[method](CSV[half:]))
    assert sq.ols("y ~ x", tmp_path / "t.csv.z").nobs == 4000
    assert (sq.ols("y ~ x", tmp_path / "t.csv.z").params == sq.ols("y ~ x", tmp_path / "t.csv").params).all()


@pytest.mark.parametrize("method", COMPRESS)
def test_a_cut_or_damaged_file_is_an_error(method, tmp_path):
    whole = COMPRESS[method](CSV)
    path = tmp_path / f"t.csv.{method}"
    for cut in (len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"damaged or was cut short|cannot be read as CSV"):
            sq.ols("y ~ x", path)
    if method in ("zst", "lz4"):
        return  # Arrow writes neither with a checksum
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0x10
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"damaged or was cut short|cannot be read as CSV"):
        sq.ols("y ~ x", path)


def test_a_wrong_checksum_of_zstd_is_an_error(tmp_path):
    """The frame is written by hand after RFC 8878: one raw block, so that only the checksum can notice a changed digit."""
    text = b"x,y\n1,2\n2,4\n3,7\n4,8\n"
    header = b"\x28\xb5\x2f\xfd" + bytes([0b00100100, len(text)])  # single segment, with a checksum
    block = (1 | len(text) << 3).to_bytes(3, "little") + text
    path = tmp_path / "t.csv.zst"
    path.write_bytes(header + block + b"\0\0\0\0")
    with pytest.raises(DataError, match="damaged or was cut short"):
        sq.ols("y ~ x", path)


def test_a_zip_file_with_several_tables_names_them(tmp_path):
    path = tmp_path / "t.zip"
    path.write_bytes(zipped(CSV, "train.csv", "test.csv", "README.md"))
    with pytest.raises(DataError, match=r"The zip file 't.zip' has 2 tables: 'train.csv', 'test.csv'. Unpack it \(unzip t.zip\)"):
        open_source(path)


def test_what_a_zip_file_has_beside_one_table_is_left_out_and_noted(tmp_path):
    path = tmp_path / "t.zip"
    path.write_bytes(zipped(CSV, "a/", "a/cars.csv", "README.md", "__MACOSX/a/._cars.csv", "a/.DS_Store"))
    source = open_source(path)
    assert source.notes == ("1 file of the zip file left out, such as 'README.md'",)
    assert sq.ols("y ~ x", path).nobs == 4000


def test_compressed_files_inside_one_another(tmp_path):
    path = tmp_path / "t.csv.gz.zip"
    for content in (gzip.compress(gzip.compress(CSV)), bz2.compress(gzip.compress(CSV)), zipped(zipped(CSV), "in.zip")):
        path.write_bytes(zipped(content, "in"))
        source = open_source(path)
        assert sum(batch.num_rows for batch in source.read([])) == 4000
    path.write_bytes(zipped(b""))
    with pytest.raises(DataError, match="has changed"):
        list(source.read([]))
    content = CSV
    for _ in range(5):
        content = bz2.compress(content)
    path.write_bytes(content)
    with pytest.raises(DataError, match="is compressed many times over"):
        open_source(path)


def test_the_name_in_a_zip_file_says_that_tabs_are_delimiters(tmp_path):
    path = tmp_path / "t.zip"
    path.write_bytes(zipped(b"freq,unit\t2019\nA,PC\t4.5\nB,PC\t1.5\nC,PC\t2.5\n", "t.tsv"))
    assert list(open_source(path).columns) == ["freq,unit", "2019"]


def test_a_zip_file_without_a_file_or_with_a_password_is_refused(tmp_path):
    path = tmp_path / "t.zip"
    path.write_bytes(zipped(b"", "a/"))
    with pytest.raises(DataError, match="has no file in it"):
        open_source(path)
    locked = bytearray(zipped(CSV))
    for place in (locked.index(b"PK\x03\x04") + 6, locked.index(b"PK\x01\x02") + 8):
        locked[place] |= 1
    path.write_bytes(locked)
    with pytest.raises(DataError, match="is a zip file with a password"):
        open_source(path)


def test_compressed_files_of_other_kinds(tmp_path):
    TABLE.to_parquet(tmp_path / "t.parquet")
    packed = tmp_path / "t.parquet.gz"
    packed.write_bytes(gzip.compress((tmp_path / "t.parquet").read_bytes()))
    assert sq.ols("y ~ x", packed).nobs == 4000
    with tarfile.open(tmp_path / "t.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "t.parquet", "t.parquet")
    with pytest.raises(DataError, match=r"'.*t.tar.gz' is a tar archive. Unpack it with: tar -xf"):
        open_source(tmp_path / "t.tar.gz")


def test_a_column_called_as_a_compressed_file_begins(tmp_path):
    for name in ("BZh9", "ORC", "RDX2", "GIF", "7z"):
        (tmp_path / "t.csv").write_text(f"{name},y\n1,2\n2,4\n3,7\n")
        assert list(open_source(tmp_path / "t.csv").columns) == [name, "y"]


def test_a_change_of_the_compressed_file_is_noticed(tmp_path):
    path = tmp_path / "t.csv.bz2"
    path.write_bytes(bz2.compress(CSV))
    source = open_source(path)
    path.write_bytes(bz2.compress(CSV[:1000]))
    with pytest.raises(DataError, match=r"'t.csv.bz2' has changed since it was opened"):
        list(source.read(["x"]))


def test_what_does_not_fit_on_the_disk_is_refused(tmp_path, monkeypatch):
    """A bomb: a zip file of 100 kB with 100 MB in it."""
    path = tmp_path / "t.zip"
    path.write_bytes(zipped(b"0" * 10**8))
    usage = temporary_copy.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(temporary_copy.shutil, "disk_usage", lambda path: usage._replace(free=10**8))
    with pytest.raises(DataError, match=r"The temporary copy of 't.zip' cannot .* it takes 100,000,000 bytes, and 100,000,000 are"):
        open_source(path)
    path.write_bytes(bz2.compress(b"0" * 10**6))
    monkeypatch.setattr(temporary_copy.shutil, "disk_usage", lambda path: usage._replace(free=10**6))
    with pytest.raises(DataError, match=r"The temporary copy of 't.zip' cannot .* TMPDIR to a folder with enough space"):
        open_source(path)


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    path = tmp_path / "t.csv.xz"
    path.write_bytes(lzma.compress(CSV))

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    command = [
        sys.executable,
        "-c",
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); import squarely.cli as c; c.main()",
    ]
    ended = subprocess.run(
        [*command, "ols", "y ~ x", str(path)],
        capture_output=True, text=True, preexec_fn=limit, env={**__import__("os").environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert ended.returncode == 2
    assert "The temporary copy of 't.csv.xz' cannot be written to" in " ".join(ended.stderr.split())
    assert [each.name for each in tmp_path.iterdir()] == ["t.csv.xz"]


def test_a_copy_with_a_name_is_deleted_with_its_source(tmp_path, monkeypatch):
    monkeypatch.setattr(temporary_copy, "_MAX_DESCRIPTOR", 0)  # as with hundreds of files
    monkeypatch.setattr(temporary_copy.tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    path = tmp_path / "t.csv.bz2"
    path.write_bytes(bz2.compress(CSV))
    source = open_source(path)
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    assert sum(batch.num_rows for batch in source.read(["x"])) == 4000
    del source
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("method", ["zip", "bz2", "xz"])
def test_a_script_decompresses_too(method, tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(COMPRESS[method](CSV))
    run = sq.train("y ~ x", path, epochs=3, lr=0.1)
    (tmp_path / "script.py").write_text(run.code())
    assert run_script(tmp_path / "script.py").stdout.startswith(f"Epoch 3: loss {run.history['loss'].iloc[-1]:.8g}")


def test_an_empty_zip_file_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(DataError, match=r"zip file '.*empty.zip' has no file in it"):
        sq.ols("y ~ x", tmp_path / "empty.zip")


@pytest.mark.parametrize(("method", "module"), [("bz2", bz2), ("xz", lzma)])
def test_a_python_without_the_module_of_a_compressed_file_says_so(method, module, tmp_path):
    """Python is often built without _bz2 and _lzma, and reads every other file."""
    (tmp_path / "t.csv").write_bytes(CSV)
    (tmp_path / f"t.csv.{method}").write_bytes(module.compress(CSV))
    code = (
        "import sys; sys.modules['_bz2'] = sys.modules['_lzma'] = None\n"
        "import squarely as sq; print(sq.ols('y ~ x', 't.csv').nobs)\n"
        f"try: sq.ols('y ~ x', 't.csv.{method}')\nexcept sq.errors.DataError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    rows, message = done.stdout.splitlines()
    assert rows == "4000"
    assert f"is compressed by {method}, which this Python was built without. Decompress it first" in message
