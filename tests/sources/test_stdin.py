"""Rows that can be read only once: standard input, pipes and open files are copied, and are what they are as a file."""

import bz2
import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import squarely as sq
from squarely.cli import app
from squarely.data import open_source
from squarely.errors import DataError

RNG = np.random.default_rng(18)
TABLE = pd.DataFrame({"x": RNG.normal(size=500), "g": np.tile(["a", "b b", "ü", "d"], 125)})
TABLE["y"] = 3 * TABLE["x"] + RNG.normal(size=500)
CSV = TABLE.to_csv(index=False).encode()


def parquet():
    out = io.BytesIO()
    TABLE.to_parquet(out)
    return out.getvalue()


def arrow_stream():
    out, table = io.BytesIO(), pa.Table.from_pandas(TABLE)
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


LINES = TABLE.to_json(orient="records", lines=True, double_precision=15).encode()
CONTENTS = {
    "csv": CSV,
    "csv.gz": gzip.compress(CSV),
    "csv.bz2": bz2.compress(CSV),
    "jsonl": LINES,
    "jsonl.gz": gzip.compress(LINES),
    "parquet": parquet(),
    "arrows": arrow_stream(),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_an_open_file_is_what_it_is_as_a_file(kind, tmp_path):
    path = tmp_path / f"t.{kind}"
    path.write_bytes(CONTENTS[kind])
    expected = sq.ols("y ~ x + g", path)
    with path.open("rb") as opened, tempfile.NamedTemporaryFile() as named:
        named.write(CONTENTS[kind])
        named.seek(0)
        for data in (io.BytesIO(CONTENTS[kind]), opened, named, pa.BufferReader(CONTENTS[kind])):
            fit = sq.ols("y ~ x + g", data)
            assert (fit.params.to_dict(), fit.bse.to_dict()) == (expected.params.to_dict(), expected.bse.to_dict())


def test_text_that_is_open(tmp_path):
    (tmp_path / "t.csv").write_bytes(CSV)
    expected = sq.ols("y ~ x + g", tmp_path / "t.csv").params.to_dict()
    assert sq.ols("y ~ x + g", io.StringIO(CSV.decode())).params.to_dict() == expected
    with (tmp_path / "t.csv").open(encoding="utf-8") as opened:
        assert sq.ols("y ~ x + g", opened).params.to_dict() == expected
        with pytest.raises(DataError, match=r"the open file 't.csv' has nothing behind its position. Go back with seek\(0\)"):
            sq.ols("y ~ x + g", opened)
    with pytest.raises(DataError, match=r"the open file 't.csv' cannot be read: I/O operation on closed file"):
        sq.ols("y ~ x + g", opened)
    text = CSV.decode().replace(",", ";").replace("x;", "x;", 1)
    assert sq.ols("y ~ x + g", io.StringIO(text), read={"delimiter": ";"}).params.to_dict() == expected


def test_standard_input_on_the_command_line():
    """`certify` reads its data twice."""
    for kind in ("csv", "csv.gz", "jsonl.gz", "parquet"):
        expected = sq.ols("y ~ x", io.BytesIO(CONTENTS[kind]))
        done = CliRunner().invoke(app, ["ols", "y ~ x", "-", "--json"], input=CONTENTS[kind])
        assert json.loads(done.output)["params"] == expected.params.to_dict()
    done = CliRunner().invoke(app, ["certify", "y ~ x", "-", "--lr", "0.1", "--epochs", "300"], input=CSV)
    assert done.exit_code == 0
    assert "yes (500)" in done.output


def bash(words, folder):
    script = words.replace("squarely", f"{sys.executable} -m squarely")
    return subprocess.run(["/bin/bash", "-c", script], capture_output=True, cwd=folder, check=False)


def test_the_pipes_of_a_shell(tmp_path):
    (tmp_path / "t.csv").write_bytes(CSV)
    expected = sq.ols("y ~ x", tmp_path / "t.csv").params.to_dict()
    for words in (
        "squarely ols 'y ~ x' - --json < t.csv",
        "cat t.csv | squarely ols 'y ~ x' /dev/stdin --json",
        "squarely ols 'y ~ x' <(gzip -c t.csv) --json",
    ):
        done = bash(words, tmp_path)
        assert json.loads(done.stdout)["params"] == expected, (words, done.stderr)


def test_a_pipe_without_a_name_gives_the_same_rows_again():
    reader, writer = os.pipe()
    thread = threading.Thread(target=lambda: (os.write(writer, CSV), os.close(writer)))
    thread.start()
    assert [sq.ols("y ~ x", f"/dev/fd/{reader}").nobs for _ in range(2)] == [500, 500]
    thread.join()
    os.close(reader)


def test_a_named_pipe_gives_what_is_written_each_time(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for rows in (500, 300):
        content = TABLE[:rows].to_csv(index=False).encode()
        writer = threading.Thread(target=(tmp_path / "pipe.csv").write_bytes, args=(content,))
        writer.start()
        assert sq.ols("y ~ x", tmp_path / "pipe.csv").nobs == rows
        writer.join()


def test_nothing_on_standard_input(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(DataError, match="There are no bytes in standard input"):
        sq.ols("y ~ x", "-")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match="'-' stands for standard input, and nothing is piped into it"):
        sq.ols("y ~ x", "-")


def test_a_file_called_minus_has_a_path(tmp_path, monkeypatch):
    (tmp_path / "-").write_bytes(CSV)
    monkeypatch.chdir(tmp_path)
    assert sq.ols("y ~ x", "./-").nobs == 500


def test_a_copy_goes_even_if_the_process_is_killed(tmp_path):
    code = (
        "import io, os, signal; from squarely.data import open_source\n"
        "source = open_source(io.BytesIO(b'x,y\\n1,2\\n'))\nassert source.rows is None\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    assert done.returncode == -9
    assert not sys.platform.startswith("linux") or list(tmp_path.iterdir()) == []


def test_damage_is_an_error_that_names_the_source():
    with pytest.raises(DataError, match=r"'the open file' cannot be read as a compressed file, because it is damaged or was cut"):
        open_source(io.BytesIO(bz2.compress(CSV)[:-20]))
    with pytest.raises(DataError, match="'the open file' is a PDF document"):
        open_source(io.BytesIO(b"%PDF-1.7\n"))
    pq.read_table(io.BytesIO(CONTENTS["parquet"]))
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        open_source(io.BytesIO(CONTENTS["parquet"][:-30]))
