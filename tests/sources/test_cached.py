"""A text file is parsed once: its columns are stored between the passes, and nothing else changes."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

import squarely as sq
from squarely.data import CachedSource, open_source, read_cache_limit
from squarely.data.files.csv.source import CsvSource
from squarely.data.files.json_lines import JsonLinesSource
from squarely.data.scan.batch_store import BatchStore
from squarely.errors import DataError, OptionError
from tests.support.checks import need

N = 150_000  # three batches
FORMULA = "y ~ poly(x, 2) + C(g) * h + k"
WHERE = "x > -2 and h != 'c'"


def make_columns(n=N):
    rng = np.random.default_rng(5)
    x = rng.standard_normal(n).round(4)
    y = (1 + x + rng.standard_normal(n)).round(3)
    columns = {"y": y, "x": x, "g": rng.integers(0, 4, n), "h": np.array(list("abc"))[rng.integers(0, 3, n)], "k": rng.random(n)}
    return {name: values.tolist() for name, values in columns.items()}


def to_csv(columns, empty=True):
    lines = [",".join(columns)]
    for i, row in enumerate(zip(*columns.values(), strict=True)):
        fields = ["NA" if empty and (i * 7 + j) % 100 == 0 else str(value) for j, value in enumerate(row)]
        lines.append(",".join(fields))
    return "\n".join(lines) + "\n"


def write_csv(folder):
    (path := folder / "a.csv").write_text(to_csv(make_columns()))
    return path


def write_gzip(folder):
    path = folder / "a.csv.gz"
    path.write_bytes(gzip.compress(to_csv(make_columns()).encode(), 1))
    return path


def write_json(folder):
    columns, path = make_columns(), folder / "a.jsonl"
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for i in range(0, N, 50):
        rows[i]["x"] = None
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def write_folders(folder):
    columns = make_columns(N // 3)
    k = columns.pop("k")
    for number in (1, 2, 3):
        (part := folder / "all" / f"k={number}").mkdir(parents=True)
        (part / "a.csv").write_text(to_csv(columns | {"z": k}))
    return folder / "all"


WRITERS = {"csv": write_csv, "gzip": write_gzip, "json": write_json, "folders": write_folders}
LIMITS = {"memory": "1e9", "both": "3e6", "disk": "0"}


def count_reads(monkeypatch):
    """Count how often each file is parsed."""
    counts = []
    for kind in (CsvSource, JsonLinesSource):

        def read(self, numbers, labels=(), *, read=kind.read):
            counts.append(self.label)
            return read(self, numbers, labels)

        monkeypatch.setattr(kind, "read", read)
    return counts


def bits(fit):
    summary = re.sub(r"Time: +\S+", "", str(fit.summary()))
    return fit.params.to_numpy().tobytes(), fit.bse.to_numpy().tobytes(), fit.resid.to_numpy().tobytes(), summary


@pytest.fixture(params=WRITERS)
def path(request, tmp_path):
    return WRITERS[request.param](tmp_path)


def test_a_fit_has_the_same_bits_wherever_its_columns_are_stored(path, monkeypatch):
    found = {}
    for name, limit in LIMITS.items():
        monkeypatch.setenv("SQUARELY_CACHE_BYTES", limit)
        found[name] = bits(sq.ols(FORMULA, path, where=WHERE))
    monkeypatch.setattr(CachedSource, "_has_columns", lambda *_: False)
    found["parsed in each pass"] = bits(sq.ols(FORMULA, path, where=WHERE))
    assert len(set(found.values())) == 1
    assert "parsed again" not in found["memory"][-1]


def test_a_fit_parses_each_file_once_and_the_residuals_parse_it_again(path, monkeypatch):
    counts = count_reads(monkeypatch)
    fit = sq.ols(FORMULA, path, where=WHERE)
    assert fit.solution.scans == 4
    once = sorted(counts)
    assert len(once) == len(set(once)) if path.is_file() else len(once) == 3
    assert len(fit.resid) == fit.nobs
    assert len(counts) == 2 * len(once)


def test_training_parses_once_with_a_split_and_streamed_rows(tmp_path, monkeypatch):
    need("torch")
    path, counts = write_csv(tmp_path), count_reads(monkeypatch)
    options = {"epochs": 3, "lr": 0.1, "validation": 0.2, "dtype": "float64", "batch_size": 1000}
    held = sq.train("y ~ x + h", path, **options)
    assert counts == ["a.csv"]
    streamed = sq.train("y ~ x + h", path, stream=True, **options)
    assert counts == ["a.csv"] * 2
    assert abs(streamed.params - held.params).max() < 0.1
    monkeypatch.setenv("SQUARELY_CACHE_BYTES", "0")
    again = sq.train("y ~ x + h", path, stream=True, **options)
    assert again.params.to_numpy().tobytes() == streamed.params.to_numpy().tobytes()
    sq.sweep("y ~ x + h", path, lr=[0.1, 0.2], epochs=3)
    assert counts == ["a.csv"] * 4


def test_parts_of_stored_files_are_those_of_the_files(tmp_path):
    source = open_source(write_folders(tmp_path))
    stored = CachedSource(source, ["x", "k"], ["h"], 10**6)
    assert stored.parts() == source.parts()
    order = [2, 0, 1]
    for columns in ((["k", "x"], ["h"]), ([], []), (["y"], [])):  # the last is not stored
        found, expected = (list(each.read_parts(*columns, order)) for each in (stored, source))
        assert [first for first, _ in found] == [first for first, _ in expected]
        for (_, one), (_, other) in zip(found, expected, strict=True):
            assert one.num_rows == other.num_rows
            if columns[0]:
                assert one.to_pydict() == other.to_pydict()
    stored.release()
    assert [batch.num_rows for batch in stored.read(["x"])] == [batch.num_rows for batch in source.read(["x"])]


def test_passes_that_end_early_continue_where_they_ended(tmp_path):
    source = open_source(write_csv(tmp_path))
    stored = CachedSource(source, ["x"], [], 0)
    for stop in (1, 2, 5):
        batches = [batch for batch, _ in zip(stored.read(["x"]), range(stop), strict=False)]
        assert len(batches) == min(stop, 3)
    assert stored.rows == N
    assert np.array_equal(
        np.concatenate([b.column(0) for b in stored.read(["x"])]), np.concatenate([b.column(0) for b in source.read(["x"])]),
        equal_nan=True,
    )  # fmt: skip


def test_a_file_that_changes_between_passes_is_refused(tmp_path):
    path = write_csv(tmp_path)
    stored = CachedSource(open_source(path), ["x"], [], 10**9)
    assert sum(batch.num_rows for batch in stored.read(["x"])) == N
    with path.open("a") as file:
        file.write("1,2,3,a,4\n")
    with pytest.raises(DataError, match="has changed since it was opened"):
        next(stored.read(["x"]))


def test_an_error_of_the_file_is_the_same_in_each_pass(tmp_path):
    (path := tmp_path / "a.csv").write_text(to_csv({"y": [1.0] * N, "x": [2.0] * (N - 1) + ["odd"]}, empty=False))
    stored = CachedSource(open_source(path), ["x"], [], 10**9)
    for _ in range(2):
        with pytest.raises(DataError, match="'odd' in data row 150,000"):
            list(stored.read(["x"]))


def test_a_full_disk_means_that_each_pass_parses_and_the_summary_says_so(path, monkeypatch):
    expected = bits(sq.ols(FORMULA, path, where=WHERE))
    if not Path("/dev/full").exists():
        pytest.skip("there is no device that is always full")
    monkeypatch.setenv("SQUARELY_CACHE_BYTES", "3e6")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: open("/dev/full", "w+b"))  # noqa: SIM115
    fit = sq.ols(FORMULA, path, where=WHERE)
    assert bits(fit)[:3] == expected[:3]
    summary = " ".join(str(fit.summary()).split())
    assert "did not fit into the temporary folder (No space left on device)" in summary


def test_the_limit_is_a_number_of_bytes(monkeypatch):
    monkeypatch.delenv("SQUARELY_CACHE_BYTES", raising=False)
    assert read_cache_limit() == 10**9
    monkeypatch.setenv("SQUARELY_CACHE_BYTES", "2.5e6")
    assert read_cache_limit() == 2_500_000
    for wrong in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv("SQUARELY_CACHE_BYTES", wrong)
        with pytest.raises(OptionError, match="is not a number of bytes"):
            read_cache_limit()


def test_batches_beyond_the_limit_are_in_the_file_and_come_back(tmp_path):
    batches = list(open_source(write_csv(tmp_path)).read(["x", "y"], ["h"]))
    store = BatchStore(batches[0].nbytes + 1)
    for batch in batches:
        store.append(batch)
    assert store.memory_bytes == batches[0].nbytes <= store.file_bytes
    assert all(store[i].equals(batch) for i, batch in enumerate(batches))
    store.clear()
    assert (len(store), store.memory_bytes, store.file_bytes) == (0, 0, 0)


# The file is gone, however the process ends.

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
import squarely as sq
from squarely.data.scan.batch_store import BatchStore

append, how = BatchStore.append, sys.argv[2]

def files():
    links = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if os.path.islink(entry)]
    return [link for link in links if "squarely" in link or os.environ["TMPDIR"] in link]

def end(self, batch):
    append(self, batch)
    assert self.file_bytes and files()
    if how == "error":
        raise ValueError("odd")
    if how == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)

BatchStore.append = end
try:
    fit = sq.ols("y ~ x + h", sys.argv[1])
except (ValueError, KeyboardInterrupt) as error:
    print(type(error).__name__, end=" ")
print(files())
"""


@pytest.mark.parametrize(("how", "code", "printed"), [
    ("normal", 0, "[]"), ("error", 0, "ValueError []"), ("interrupt", 0, "KeyboardInterrupt []"), ("kill", -signal.SIGKILL, ""),
])  # fmt: skip
def test_the_temporary_file_is_gone_however_the_process_ends(tmp_path, how, code, printed):
    if not Path("/proc/self/fd").exists():
        pytest.skip("the system does not list the open files")
    path = write_csv(tmp_path)
    (folder := tmp_path / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(folder), "SQUARELY_CACHE_BYTES": "0"}
    words = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(path), how]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout.strip()) == (code, printed), done.stderr
    assert not list(folder.iterdir())
