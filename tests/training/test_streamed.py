"""Rows streamed in batches: each of them once an epoch, in an order that seed and epoch decide, in bounded memory."""

import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import torch

from squarely.data import BATCH_ROWS, listen, open_source, shard_of
from squarely.data.scan.fold import iter_batches, map_batches
from squarely.descent import account_rows
from squarely.descent.batches.streamed import StreamedBatches
from squarely.design import learn_from_rows, parse_formula
from squarely.errors import DataError
from squarely.moments import gather_moments, standardize_moments
from tests.support.checks import FORMS, assert_close, hand_over

N = 2_000


def table(n=N):
    rng = np.random.default_rng(5)
    row = np.arange(n, dtype=float)
    return {"row": row, "x": rng.standard_normal(n), "y": 2.0 * row + rng.standard_normal(n)}


def streamed(data, formula="y ~ row + x", **options):
    source = open_source(data)
    moments = gather_moments(learn_from_rows(parse_formula(formula), source), source)
    options = {"dtype": torch.float64, "buffer": 500 * 3 * 8, **options}
    return StreamedBatches(design=moments.design, source=source, problem=standardize_moments(moments), **options)


def row_numbers(stream, batches):
    """Give the values of the column `row` in the order in which they come."""
    j = stream.design.labels.index("row")
    values = [X[:, j].double().numpy() for X, _ in batches]
    return np.rint(np.concatenate([np.empty(0), *values]) * stream.problem.scale[j] + stream.problem.shift[j]).astype(int)


def order(stream, epoch=1, size=64, skip=0):
    return row_numbers(stream, stream.batches(epoch, size, skip))


def written(path, data, group):
    pq.write_table(pa.table(data), path, row_group_size=group)
    return path


# Every row once


@pytest.mark.parametrize("form", FORMS)
def test_every_row_comes_once_an_epoch_through_every_form(form, tmp_path):
    stream = streamed(hand_over(form, table(), tmp_path))
    assert (stream.n, stream.features) == (N, 2)
    for epoch in (0, 1):
        found = order(stream, epoch)
        assert sorted(found) == list(range(N))
        assert (found != np.arange(N)).sum() > N / 2
    assert row_numbers(stream, stream.sequential()).tolist() == list(range(N))


@pytest.mark.parametrize("suffix", ["parquet", "csv", "feather", "jsonl"])
def test_every_row_of_a_folder_of_files_comes_once(suffix, tmp_path):
    data = table()
    for k, (a, b) in enumerate([(0, 700), (700, 701), (701, N)]):
        hand_over(suffix, {name: x[a:b] for name, x in data.items()}, tmp_path).rename(tmp_path / f"part-{k}.{suffix}")
    stream = streamed(tmp_path)
    assert sorted(order(stream)) == list(range(N))
    assert row_numbers(stream, stream.sequential()).tolist() == list(range(N))


def test_rows_are_those_of_the_table_standardized(tmp_path):
    data = table()
    stream = streamed(written(tmp_path / "a.parquet", data, 300))
    X = np.column_stack([data["row"], data["x"], data["y"]])
    expected = (X - X.mean(axis=0)) / X.std(axis=0)
    for X, y in stream.batches(3, 64):
        assert X.dtype == y.dtype == torch.float64
        assert X.shape[1:] == (2,)
        assert y.shape == (len(X), 1)
        at = row_numbers(stream, [(X, y)])
        assert_close(np.column_stack([X, y]), expected[at], rtol=1e-12, atol=1e-12)


def test_float32_is_rounded_from_float64(tmp_path):
    path = written(tmp_path / "a.parquet", table(), 300)
    wide = torch.cat([X for X, _ in streamed(path).sequential()])
    narrow = torch.cat([X for X, _ in streamed(path, dtype=torch.float32).sequential()])
    assert torch.equal(narrow, wide.to(torch.float32))


@pytest.mark.parametrize("levels", [4, 40])  # as dense columns, and as places of indicators
def test_a_categorical_column_is_spread_over_its_indicators(levels, tmp_path):
    data = table() | {"g": np.array([f"level {i % levels:02}" for i in range(N)])}
    stream = streamed(written(tmp_path / "a.parquet", data, 300), "y ~ row + g", buffer=2**16)
    indicators = np.arange(N)[:, None] % levels == np.arange(1, levels)
    expected = (indicators - indicators.mean(axis=0)) / indicators.std(axis=0)
    at, seen = [], []
    for X, y in stream.batches(1, 64):
        at += row_numbers(stream, [(X, y)]).tolist()
        seen.append(np.delete(X.numpy(), stream.design.labels.index("row"), axis=1))
    assert sorted(at) == list(range(N))
    assert_close(np.concatenate(seen), expected[at], rtol=1e-12, atol=1e-12)


def test_rows_with_gaps_are_left_out(tmp_path):
    data = table()
    data["x"][::7] = np.nan
    stream = streamed(written(tmp_path / "a.parquet", data, 300))
    whole = [i for i in range(N) if i % 7]
    assert stream.n == len(whole)
    assert sorted(order(stream)) == whole


# The order


@pytest.mark.parametrize("form", ["dict", "parquet", "csv"])
def test_seed_and_epoch_decide_the_order(form, tmp_path):
    data = hand_over(form, table(), tmp_path)
    first = order(streamed(data, seed=3), epoch=4)
    assert order(streamed(data, seed=3), epoch=4).tolist() == first.tolist()
    assert order(streamed(data, seed=3), epoch=5).tolist() != first.tolist()
    assert order(streamed(data, seed=-3), epoch=4).tolist() != first.tolist()


def test_threads_do_not_decide_the_order(tmp_path):
    stream = streamed(written(tmp_path / "a.parquet", table(), 300))
    before = torch.get_num_threads(), pa.cpu_count()
    try:
        orders = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            pa.set_cpu_count(threads)
            orders.append(order(stream).tolist())
    finally:
        torch.set_num_threads(before[0])
        pa.set_cpu_count(before[1])
    assert orders[0] == orders[1]


@pytest.mark.parametrize("size", [1, 64, 499, 700, N, 3 * N])
def test_only_the_last_batch_is_short(size, tmp_path):
    stream = streamed(written(tmp_path / "a.parquet", table(), 300))
    sizes = [len(X) for X, _ in stream.batches(1, size)]
    assert sum(sizes) == N
    assert set(sizes[:-1]) <= {size}
    assert 0 < sizes[-1] <= size


@pytest.mark.parametrize("size", [64, 499])
@pytest.mark.parametrize("skip", [1, 7, 8, 30])
def test_skipped_batches_leave_the_others_as_they_are(skip, size, tmp_path):
    stream = streamed(written(tmp_path / "a.parquet", table(), 300))
    whole = list(stream.batches(2, size))
    rest = list(stream.batches(2, size, skip=skip))
    assert len(rest) == max(len(whole) - skip, 0)
    for (X, y), (U, v) in zip(rest, whole[skip:], strict=True):
        assert torch.equal(X, U)
        assert torch.equal(y, v)


def test_a_buffer_may_be_smaller_than_a_part_and_than_a_batch(tmp_path):
    data = written(tmp_path / "a.parquet", table(), N)  # one row group
    found = order(streamed(data, buffer=100 * 24), size=10)
    assert sorted(found) == list(range(N))
    assert np.abs(found - np.arange(N)).max() < 100  # the shuffle is local
    assert sorted(order(streamed(data, buffer=1), size=64)) == list(range(N))


def test_without_a_shuffle_rows_come_in_their_order(tmp_path):
    path = written(tmp_path / "a.parquet", table(), 300)
    assert order(streamed(path, shuffle=False), size=64).tolist() == list(range(N))
    stream = streamed(path)
    assert row_numbers(stream, stream.sequential()).tolist() == list(range(N))


def test_sorted_rows_are_mixed(tmp_path):
    """A uniform shuffle moves a row by n / 3 on average, and neighbours then have nothing to do with each other."""
    n = 20_000
    stream = streamed(written(tmp_path / "a.parquet", table(n), 400), buffer=n // 5 * 24)  # 50 parts, ten in a buffer
    moved, spread, alike = [], [], []
    for epoch in range(8):
        found = order(stream, epoch)
        moved.append(np.abs(found - np.arange(n)).mean() / (n / 3))
        batches = found[: n // 64 * 64].reshape(-1, 64).mean(axis=1)
        spread.append(batches.std() / (n / 12**0.5))  # in order: 1; drawn uniformly: 1 / 8
        alike.append(np.corrcoef(found[1:], found[:-1])[0, 1])  # in order: 1
    assert_close(np.mean(moved), 1.0, rtol=0.1)
    assert np.mean(spread) < 0.4
    assert np.abs(alike).max() < 0.25


# Parts


@pytest.mark.parametrize("form", FORMS)
def test_parts_follow_each_other_and_know_where_they_are(form, tmp_path):
    n = 2 * BATCH_ROWS + 5 if form in ("dict", "pandas", "polars", "arrow") else N
    source = open_source(hand_over(form, table(n), tmp_path))
    parts = source.parts()
    assert len(parts) == {"parquet": 7, "csv": 1, "jsonl": 1, "polars lazy": 1, "duckdb": 1, "feather": 1}.get(form, 3)
    assert parts[0].start == 0
    for one, other in pairwise(parts):
        assert other.start == one.start + one.rows
    for numbers in (["row"], []):
        seen = list(map_batches(source, numbers, [], lambda batch: batch, parts=range(len(parts))[::-1]))
        firsts = [batch.start for batch in seen]
        assert sum(batch.size for batch in seen) == n
        assert [part.start for part in parts[::-1]] == [first for first in firsts if first in {part.start for part in parts}]
        assert all((batch.numbers["row"].values == batch.start + np.arange(batch.size)).all() for batch in seen if numbers)


def test_small_row_groups_are_read_together_but_a_file_keeps_many_parts(tmp_path):
    source = open_source(written(tmp_path / "a.parquet", table(20_000), 50))
    parts = source.parts()
    assert 50 < len(parts) <= 64  # of 400 row groups
    assert {part.rows for part in parts[:-1]} == {350}
    found = [batch.numbers["row"].values for batch in map_batches(source, ["row"], [], lambda batch: batch, parts=[3, 1])]
    assert np.concatenate(found).tolist() == [*range(1050, 1400), *range(350, 700)]


def test_record_batches_of_a_feather_file_are_parts(tmp_path):
    pyarrow.feather.write_feather(pa.table(table()), str(tmp_path / "a.feather"), chunksize=300)
    source = open_source(tmp_path / "a.feather")
    assert [(part.start, part.rows) for part in source.parts()][-2:] == [(1500, 300), (1800, 200)]
    assert sorted(order(streamed(tmp_path / "a.feather"))) == list(range(N))


def test_an_arrow_stream_is_one_part(tmp_path):
    with pa.ipc.new_stream(tmp_path / "a.arrows", pa.table(table()).schema) as writer:
        writer.write_table(pa.table(table()), max_chunksize=300)
    assert [part.rows for part in open_source(tmp_path / "a.arrows").parts()] == [None]
    assert sorted(order(streamed(tmp_path / "a.arrows"))) == list(range(N))


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_parts_of_several_files_are_placed_behind_each_other(suffix, tmp_path):
    for k in range(2):
        data = {"row": np.arange(k * 400, (k + 1) * 400, dtype=float)}
        hand_over(suffix, data, tmp_path).rename(tmp_path / f"part-{k}.{suffix}")
    source = open_source(tmp_path)
    found = [(part.start, part.rows) for part in source.parts()]
    assert found == ([(0, 300), (300, 100), (400, 300), (700, 100)] if suffix == "parquet" else [(0, 400), (400, 400)])
    for batch in map_batches(source, ["row"], [], lambda batch: batch, parts=[1, 0]):
        assert batch.numbers["row"].values.tolist() == list(range(batch.start, batch.start + batch.size))


def test_a_key_that_one_file_of_json_lines_lacks_is_a_gap_in_its_part(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"x": 1, "y": 2}\n' * 3)
    (tmp_path / "b.jsonl").write_text('{"x": 5}\n' * 2)
    seen = list(map_batches(open_source(tmp_path), ["y", "x"], [], lambda batch: batch, parts=[1, 0]))
    assert [batch.start for batch in seen] == [3, 0]
    assert np.isnan(seen[0].numbers["y"].values).all()
    assert seen[0].numbers["x"].values.tolist() == [5, 5]


@pytest.mark.parametrize("gaps", [False, True])
def test_shares_of_ranks_have_every_row_once(gaps, tmp_path):
    data = table()
    data["x"][::7] = np.nan if gaps else 0.0
    path = written(tmp_path / "a.parquet", data, 300)
    stream = streamed(path)
    sources = [shard_of(stream.source, number, 2) for number in range(2)]
    shares = [replace(stream, source=part, complete_count=account_rows(stream.design, part).used) for part in sources]
    found = [order(share) for share in shares]
    assert [share.n for share in shares] == list(map(len, found))
    assert sorted(np.concatenate(found)) == [i for i in range(N) if i % 7 or not gaps]
    assert max(found[0]) < N // 2 <= min(found[1])
    assert row_numbers(shares[1], shares[1].sequential()).tolist() == sorted(found[1])
    assert order(replace(stream, source=shard_of(stream.source, 0, N + 1), complete_count=0)).tolist() == []


def test_other_rows_than_those_of_the_problem_are_standardized_as_they_were(tmp_path):
    data = table()
    stream = streamed(data)
    some = {name: x[:100] for name, x in data.items()}
    other = StreamedBatches(
        design=stream.design, source=open_source(some), problem=stream.problem, dtype=torch.float64, complete_count=100
    )
    assert other.n == 100
    assert row_numbers(other, other.sequential()).tolist() == list(range(100))


def test_a_scan_of_parts_is_watched(tmp_path):
    source = open_source(written(tmp_path / "a.parquet", table(), 300))
    events = []
    with listen(events.append):
        list(map_batches(source, ["x"], [], lambda batch: batch, parts=[6, 0]))
        list(iter_batches(source, ["x"]))
    assert [(e.count, e.rows, e.is_over) for e in events[:4]] == [
        (0, 500, False),
        (200, 500, False),
        (500, 500, False),
        (500, 500, True),
    ]
    assert events[4].rows == N


# What goes wrong


def test_an_error_names_the_row_of_the_file_though_parts_are_out_of_order(tmp_path):
    data = table() | {"g": np.array(["a", "b"])[np.arange(N) % 2]}
    good = streamed(written(tmp_path / "good.parquet", data, 300), "y ~ row + g")
    data["g"][677] = "c"  # in the third row group
    bad = open_source(written(tmp_path / "bad.parquet", data, 300))
    stream = StreamedBatches(design=good.design, source=bad, problem=good.problem, seed=1)
    with pytest.raises(DataError, match=r"'g' of bad\.parquet has 'c' in data row 678"):
        list(stream.batches(1, 64))


@pytest.mark.parametrize("when", ["between epochs", "before the next part"])
def test_a_file_that_is_replaced_is_an_error(when, tmp_path):
    path = written(tmp_path / "a.parquet", table(), 300)
    stream = streamed(path)
    assert len(order(stream)) == N
    left = stream.batches(2, 64)
    if when != "between epochs":
        next(left)
    written(tmp_path / "b.parquet", table(), 200).replace(path)
    with pytest.raises(DataError, match="has changed since it was opened"):
        list(left)


@pytest.mark.parametrize("rows", [N - 1, N + 64])
def test_another_number_of_rows_is_an_error(rows):
    stream = streamed(table())
    other = StreamedBatches(design=stream.design, source=open_source(table(rows)), problem=stream.problem)
    for left in (other.batches(1, 64), other.sequential()):
        with pytest.raises(DataError, match=f"changed while it was read: 2,000 complete rows at first, then {rows:,}"):
            list(left)


def test_an_epoch_that_is_left_half_way_leaves_no_thread(tmp_path):
    stream = streamed(written(tmp_path / "a.parquet", table(), 300))
    before = threading.active_count()
    left = stream.batches(1, 64)
    next(left)
    left.close()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_batches_take_part_in_gradients_whatever_the_mode(tmp_path):
    stream = streamed(written(tmp_path / "a.parquet", table(), 300))
    with torch.inference_mode():
        seen = [X for X, _ in stream.batches(1, 64)]
    assert not any(X.is_inference() for X in seen)


MEMORY = """
import resource, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from squarely.data import open_source
from squarely.descent.batches.streamed import StreamedBatches
from squarely.design import learn_from_rows, parse_formula
from squarely.moments import gather_moments, standardize_moments
source = open_source(sys.argv[1])
moments = gather_moments(learn_from_rows(parse_formula("y ~ a + b + c"), source), source)
stream = StreamedBatches(design=moments.design, source=source, problem=standardize_moments(moments), buffer=2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = sum(len(X) for X, _ in stream.batches(1, 4096)) + sum(len(X) for X, _ in stream.sequential())
print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_memory_does_not_grow_with_the_rows(tmp_path):
    """4 million rows are 128 MB in the file, in one row group, and 64 MB in float32."""
    n = 4_000_000
    rng = np.random.default_rng(0)
    written(tmp_path / "a.parquet", {name: rng.standard_normal(n) for name in "abcy"}, n)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "a.parquet")], capture_output=True, text=True, check=True, timeout=300
    )
    rows, grown = done.stdout.split()
    assert int(rows) == 2 * n
    assert float(grown) < 60  # MiB: three buffers of 8, and what the reader holds
