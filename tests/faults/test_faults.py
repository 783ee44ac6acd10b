"""What goes wrong while rows are read: a scan that stops early, an interrupt, a file that is damaged or changes under it."""

import gzip
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from squarely.data import iter_batches, open_source
from squarely.data.query import keyboard_interrupts
from squarely.data.scan.prefetch import prefetch_items
from squarely.errors import DataError
from tests.support.checks import running


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("squarely")]


class Counter:
    """A generator of numbers that notes how far it has come, and that it was closed."""

    def __init__(self, many, breaks=False):
        self.made, self.closed, self.breaks, self.many = 0, False, breaks, many

    def items(self):
        try:
            for i in range(self.many):
                self.made += 1
                yield i
            if self.breaks:
                raise DataError("the end is missing")
        finally:
            self.closed = True


def test_reading_ahead_keeps_order_and_bound():
    counter = Counter(1000)
    for i, found in enumerate(prefetch_items(counter.items(), depth=3)):
        assert found == i
        assert counter.made <= i + 4
    assert i == 999
    assert counter.closed
    assert threads() == []
    assert list(prefetch_items(iter([]))) == []
    assert list(prefetch_items(iter([0, 1, 2]))) == [0, 1, 2]


def test_an_error_comes_where_the_next_item_would_have():
    reading, found = prefetch_items(Counter(5, breaks=True).items()), []
    with pytest.raises(DataError, match="the end is missing"):
        found.extend(reading)
    assert found == [0, 1, 2, 3, 4]
    assert threads() == []


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_a_consumer_that_stops_leaves_nothing_behind(error):
    counter = Counter(1000)
    reading = prefetch_items(counter.items())
    next(reading)
    if error is None:
        reading.close()
    else:
        with pytest.raises(error):
            reading.throw(error)
    assert counter.closed
    assert counter.made <= 4
    assert threads() == []


def test_a_consumer_that_stops_does_not_wait_for_a_request_that_the_thread_has_taken():
    """Closing must not hang, whenever the two threads take turns."""

    def close_many():
        for _ in range(5_000):
            reading = prefetch_items(iter(range(9)))
            next(reading)
            reading.close()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        closing = threading.Thread(target=close_many, daemon=True)  # pytest could not end a thread that hangs
        closing.start()
        closing.join(60)
    finally:
        sys.setswitchinterval(before)
    assert not closing.is_alive()


def test_a_reader_that_is_collected_as_garbage_in_its_own_thread_does_not_wait_for_itself():
    held = []

    def items():
        yield 1
        held.clear()  # drops the last reference to the reader, which then ends here, in the thread that it owns
        yield 2

    held.append(prefetch_items(items(), depth=1))
    assert next(held[0]) == 1
    deadline = time.monotonic() + 60
    while (held or threads()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert held == []
    assert threads() == []


def test_an_interpreter_ends_in_the_middle_of_a_scan(tmp_path):
    pq.write_table(pa.table({"x": np.arange(1e6)}), tmp_path / "a.parquet")
    code = "from squarely.data import *; scan = iter_batches(open_source('a.parquet'), ['x']); next(scan)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# Files that take minutes to read and no time to write: one block of rows, again and again.
BLOCK = "".join(f"{i % 97}.5,{i % 89}\n" for i in range(200_000))
PACKED = gzip.compress(BLOCK.encode(), 1)


def long_csv(path):
    path.write_bytes(gzip.compress(b"x,y\n") + PACKED * 1500)


def long_utf16(path):
    path.write_bytes(gzip.compress(b"\xff\xfe" + "x,y\n".encode("utf-16-le")) + gzip.compress(BLOCK.encode("utf-16-le"), 1) * 500)


def long_jsonl(path):
    rows = "".join(f'{{"x": {i % 97}.5, "y": {i % 89}}}\n' for i in range(50_000))
    path.write_bytes(gzip.compress(rows.encode(), 1) * 1000)


def long_parquet(path):
    rows = pa.table({"x": np.zeros(1_000_000), "y": np.ones(1_000_000)})
    with pq.ParquetWriter(path, rows.schema) as file:
        for _ in range(150):
            file.write_table(rows)


LONG = {
    "data/a.csv.gz": long_csv,
    "data/b.csv.gz": long_utf16,
    "data/c.jsonl.gz": long_jsonl,
    "data/d.parquet": long_parquet,
    "data": lambda folder: long_csv(folder / "e.csv.gz"),
}
COMMAND = """
import sys
import squarely.cli
sys.argv = ["squarely", "ols", "y ~ x", sys.argv[1]]
print("on", flush=True)
squarely.cli.main()
"""


@pytest.mark.kill
@pytest.mark.parametrize("name", LONG)
def test_an_interrupt_stops_a_scan_and_leaves_nothing_behind(name, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "temporary").mkdir()
    LONG[name](tmp_path / name)
    words = [sys.executable, "-W", "error", "-c", COMMAND, name]
    with running(words, cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path / "temporary")}) as process:
        assert process.stdout.readline() == "on\n"
        time.sleep(2)  # into the sniffing, the copying or the scan, wherever it has come: an interrupt may come at any time
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=60)
    assert (process.returncode, message) == (130, "squarely: interrupted\n")
    assert os.listdir(tmp_path / "temporary") == []


def test_an_interrupt_during_a_finalizer_is_not_lost():
    code = f"""
import time, squarely.cli
class Finalized:
    def __del__(self):
        time.sleep(60)
def app(prog_name):
    Finalized()
    time.sleep(60)
squarely.cli.app = app
{COMMAND}"""
    with running([sys.executable, "-c", code, "-"]) as process:
        assert process.stdout.readline() == "on\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=30)
    assert (process.returncode, message) == (130, "squarely: interrupted\n")


def test_what_duckdb_makes_of_an_interrupt_is_one():
    with pytest.raises(KeyboardInterrupt), keyboard_interrupts():
        raise RuntimeError("Query interrupted")
    with pytest.raises(RuntimeError, match="another"), keyboard_interrupts():
        raise RuntimeError("another error")


def rows_of(n, seed):
    rng = np.random.default_rng(seed)
    return pa.table({"x": rng.integers(0, 9, n).astype(float), "y": rng.standard_normal(n)})


def ipc_stream(rows, path):
    with pa.ipc.new_stream(path, rows.schema) as file:
        file.write_table(rows, max_chunksize=10_000)


def jsonl(rows, path):
    rows.to_pandas().to_json(path, orient="records", lines=True)


WRITE = {
    "csv": lambda rows, path: rows.to_pandas().to_csv(path, index=False),
    "parquet": lambda rows, path: pq.write_table(rows, path, row_group_size=50_000),
    "feather": lambda rows, path: pyarrow.feather.write_feather(rows, path, chunksize=10_000),
    "arrows": ipc_stream,
    "jsonl": jsonl,
}


@pytest.mark.parametrize("suffix", WRITE)
def test_a_file_that_is_replaced_during_a_scan_is_noticed(suffix, tmp_path):
    path, other = str(tmp_path / f"a.{suffix}"), str(tmp_path / f"b.{suffix}")
    WRITE[suffix](rows_of(300_000, 1), path)
    WRITE[suffix](rows_of(300_000, 2), other)
    scan = iter_batches(open_source(path), ["x", "y"])
    next(scan)
    os.replace(other, path)
    with pytest.raises(DataError, match="has changed since it was opened"):
        list(scan)
    assert threads() == []


@pytest.mark.parametrize("suffix", ["parquet", "feather", "arrows"])
def test_a_file_that_is_cut_anywhere_is_damaged(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    WRITE[suffix](rows_of(100_000, 1), str(path))
    whole = path.read_bytes()
    for place in (*np.linspace(5, len(whole) - 1, 12, dtype=int).tolist(), len(whole) - 4, len(whole) - 8):
        path.write_bytes(whole[:place])
        with pytest.raises(DataError, match=r"damaged|its content is") as caught:
            list(iter_batches(open_source(path), ["x", "y"]))
        assert place < 9 or caught.value.__cause__ is not None  # the engine's own error is shown under ours


def test_a_column_chunk_of_zeros_is_no_column(tmp_path):
    """A download with a hole in it: the length and the end are right, some pages in the middle are not."""
    path = tmp_path / "a.parquet"
    WRITE["parquet"](rows_of(100_000, 1), str(path))
    whole = bytearray(path.read_bytes())
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(1)
    first = chunk.dictionary_page_offset or chunk.data_page_offset
    whole[first : first + 1000] = bytes(1000)
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"damaged or was cut short: .*Write or copy it again"):
        list(iter_batches(open_source(path), ["x", "y"]))
    assert sum(batch.size for batch in iter_batches(open_source(path), ["x"])) == 100_000  # the other column is whole
    assert threads() == []
