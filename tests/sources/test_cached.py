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
import threading
from pathlib import Path

import numpy as np
import pytest

import squarely as sq
from squarely.data import CachedSource, open_source, read_cache_limit
from squarely.data.files.csv.source import CsvSource
from squarely.data.files.csv.text import csv_text
from squarely.data.files.json import json_lines
from squarely.data.files.json.json_lines import JsonLinesSource
from squarely.data.files.local_file import LocalFile
from squarely.data.scan.batch_store import BatchStore
from squarely.errors import DataError, OptionError
from tests.support.checks import assert_close, need

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


def test_a_preview_says_that_the_file_is_parsed_once_and_where_the_columns_are_stored(tmp_path, monkeypatch):
    monkeypatch.setenv("SQUARELY_CACHE_BYTES", "2.5e9")
    plan = sq.preview("y ~ x", write_csv(tmp_path))
    assert (plan.as_dict()["parses"], plan.storage_bytes) == (1, 2_500_000_000)
    assert "The file is parsed once: the columns that are read stay in memory" in " ".join(str(plan.summary()).split())
    assert "up to 2.5 GB, and beyond that in a temporary file" in " ".join(str(plan.summary()).split())
    frame = sq.preview("y ~ x", make_columns(10))
    assert (frame.parses, frame.storage_bytes) == (None, None)
    assert "parsed" not in str(frame.summary())


def test_the_blocks_of_json_lines_that_were_opened_are_limited_together_and_taken_once(tmp_path, monkeypatch):
    path = write_json(tmp_path)
    size = JsonLinesSource(LocalFile.open(path)).held_bytes
    monkeypatch.setenv("SQUARELY_CACHE_BYTES", str(int(1.5 * size)))
    parsed = []
    monkeypatch.setattr(
        "squarely.data.files.json.json_lines._parse_block", lambda *a, _=json_lines._parse_block: parsed.append(1) or _(*a)
    )
    first, second = JsonLinesSource(LocalFile.open(path)), JsonLinesSource(LocalFile.open(path))  # the second does not fit
    blocks = len(parsed) // 2
    rows = [sum(batch.num_rows for batch in source.read(["x"])) for source in (first, second, first)]
    assert rows == [N] * 3
    assert len(parsed) == 4 * blocks


LINES = "".join(f"{i % 7 + i * 0.5},{i},{'abc'[i % 3]}\n" for i in range(3000))
TEXTS = {
    "plain": LINES, "CRLF": LINES.replace("\n", "\r\n"), "no end": LINES.rstrip("\n"), "gaps": LINES + "NA,1,a\n2,NULL,b\n3,,\n",
    "an odd number late": LINES + "1_000,3,a\n", "a sign late": LINES + "+-5,3,a\n", "text late": LINES + "1,oops,a\n",
    "quotes": LINES.replace(",a", ',"a, ""b"""'), "a line end in quotes": LINES + '1,2,"a\nb"\n3,4,"a\nb"\n',
    "extra delimiters": LINES.replace("\n", ",\n"), "an extra delimiter late": LINES + "1,2,a,\n", "a short line": LINES + "1,2\n",
    "truth values": "".join(f"{i * 2.5},{i},{i % 2 == 0}\n" for i in range(100)), "not UTF-8": LINES + "1,2,\udce4\n",
    "empty for long": "1,,a\n" * 30_000 + LINES, "a long line": "1,2," + "z" * 3_000_000 + "\n" + LINES,
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("formula", ["y ~ x", "y ~ x + g"])
def test_a_gzipped_file_that_is_checked_while_it_is_parsed_is_read_as_the_plain_file(tmp_path, text, formula):
    content = ("y,x,g\n" + TEXTS[text]).encode(errors="surrogateescape")
    found = []
    for name, written in {"plain": content, "gzip": gzip.compress(content)}.items():
        (folder := tmp_path / name).mkdir()
        (path := folder / "a.csv").write_bytes(written)
        try:
            fit = sq.ols(formula, path)
            found.append((*bits(fit)[:3], fit.rows))
        except DataError as error:
            found.append(str(error))
    assert found[0] == found[1]


@pytest.mark.parametrize("cut", [slice(0, -30), slice(0, -6)])
def test_damage_behind_the_last_row_is_an_error_of_the_first_pass(tmp_path, cut):
    (path := tmp_path / "a.csv.gz").write_bytes(gzip.compress(("y,x,g\n" + LINES * 50).encode())[cut])
    with pytest.raises(DataError, match=r"damaged or was cut short"):
        sq.ols("y ~ x", path)


def test_a_gzipped_file_is_decompressed_once_and_leaves_no_thread_and_no_open_file(tmp_path, monkeypatch):
    path, calls = write_gzip(tmp_path), []
    read = csv_text.read_gzip
    monkeypatch.setattr("squarely.data.files.csv.text.text_check.read_gzip", lambda path: calls.append(path) or read(path))
    threads = threading.active_count()
    sq.ols("y ~ x + h", path)
    assert len(calls) == 1
    source = open_source(path)
    batches = source.read(["x"])
    next(batches)
    batches.close()  # before the end, as for a picture of the first rows
    assert threading.active_count() == threads
    assert sum(batch.num_rows for batch in source.read(["x"])) == N


@pytest.mark.parametrize("long", ["field", "header"])
def test_lines_longer_than_two_million_bytes_are_read_wherever_they_are(tmp_path, long):
    rows = [f"{i * 2.0},{i},a" for i in range(60_000)]
    text, name = ("z" * 3_000_000, "t") if long == "field" else ("b", "n" * 2_500_000)
    (path := tmp_path / "a.csv").write_text("\n".join([f"y,x,{name}", *rows, f"5,2.5,{text}"]) + "\n")
    fit = sq.ols("y ~ x", path)
    assert fit.nobs == 60_001
    assert_close(fit.params["x"], 2.0, rtol=1e-12)


def test_a_line_beyond_the_limit_is_named_with_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr("squarely.data.files.csv.source._MAX_LINE", 2_500_000)
    (path := tmp_path / "a.csv").write_text("y,x,t\n1,2,a\n2,3," + "z" * 3_000_000 + "\n")
    with pytest.raises(DataError, match=r"is at least 3,000,00\d bytes long"):
        sq.ols("y ~ x", path)


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
