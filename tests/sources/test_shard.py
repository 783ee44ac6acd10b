"""Shares of the rows, one for each of several processes: they are the rows in their order, and each is read alone."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from squarely.data import Source, open_source, shard_of, split_source
from squarely.data.files import parquet
from squarely.data.scan.fold import iter_batches
from squarely.errors import DataError
from tests.support.checks import FORMS, hand_over


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_shares_are_the_rows_in_their_order(form, size, tmp_path):
    row = np.arange(1_001.0)
    source = open_source(hand_over(form, {"row": row, "x": row**2}, tmp_path))
    shares = [shard_of(source, number, size) for number in range(size)]
    found = [np.concatenate([batch.numbers["row"].values for batch in iter_batches(share, ["row"])]) for share in shares]
    assert np.concatenate(found).tolist() == row.tolist()
    assert [share.rows for share in shares] == [len(rows) for rows in found]
    assert max(map(len, found)) - min(map(len, found)) <= 1
    first = 0
    for share, rows in zip(shares, found, strict=True):
        assert share.row_number(3) == source.row_number(first + 3)
        parts = share.parts()
        assert [part.start for part in parts] == np.cumsum([0, *(part.rows for part in parts)])[:-1].tolist()
        backwards = list(share.read_parts(["row"], [], range(len(parts))[::-1]))
        by_place = sorted(backwards, key=lambda placed: placed[0])
        assert np.concatenate([batch.column(0).to_numpy() for _, batch in by_place]).tolist() == rows.tolist()
        assert by_place[0][0] == 0
        first += len(rows)


def test_a_share_of_a_split_knows_the_rows_of_the_whole(tmp_path):
    row = np.arange(500.0)
    training, _ = split_source(open_source(hand_over("parquet", {"row": row}, tmp_path)), 0.3, seed=1)
    whole = [batch.numbers["row"].values for batch in iter_batches(training, ["row"])]
    share = shard_of(training, 1, 2)
    rows = np.concatenate([batch.numbers["row"].values for batch in iter_batches(share, ["row"])])
    assert rows.tolist() == np.concatenate(whole)[175:].tolist()
    assert [share.row_number(i) for i in range(share.rows)] == (rows + 1).astype(int).tolist()
    assert share.index(np.arange(share.rows)).tolist() == rows.astype(int).tolist()


def test_a_folder_of_parquet_files_is_shared_out_file_by_file(tmp_path, monkeypatch):
    folder = tmp_path / "part"  # as Spark and Dask write one, marker included
    folder.mkdir()
    for number in range(6):
        row = np.arange(100.0) + 100 * number
        pq.write_table(pa.table({"row": row}), folder / f"part-{number:05}.snappy.parquet")
    (folder / "_SUCCESS").write_text("")
    opened, decoded = [], parquet._decode_columns
    monkeypatch.setattr(parquet, "_decode_columns", lambda file, *rest: opened.append(file) or decoded(file, *rest))
    found = []
    for number in range(3):
        opened.clear()
        share = shard_of(open_source(folder), number, 3)
        found += np.concatenate([batch.numbers["row"].values for batch in iter_batches(share, ["row"])]).tolist()
        assert len(set(opened)) == 2
    assert found == np.arange(600.0).tolist()


def test_more_shares_than_rows_leave_some_empty():
    source = open_source({"x": [1.0, 2.0]})
    assert [shard_of(source, number, 3).rows for number in range(3)] == [0, 1, 1]
    assert not list(shard_of(source, 0, 3).read(["x"]))


class ReadThrough(Source):
    """Ten batches of a hundred rows, which can only be read from the first one on."""

    label, columns, typed = "a stream", {"x": "DOUBLE"}, True
    given = 0

    def read(self, numbers, labels=()):
        for i in range(10):
            self.given += 1
            yield pa.RecordBatch.from_arrays([pa.array(100.0 * i + np.arange(100.0))], names=["0"])

    def kind(self, name):
        return "number"


def test_a_source_that_is_read_through_is_read_no_further_than_its_share():
    source = ReadThrough()
    shares = [shard_of(source, number, 4) for number in range(4)]
    for share, stop in zip(shares, (3, 5, 8, 10), strict=True):
        source.given = 0
        assert next(iter_batches(share, ["x"])).numbers["x"].values[0] == 250 * shares.index(share)
        found = [batch.numbers["x"].values for batch in iter_batches(share, ["x"])]
        assert len(np.concatenate(found)) == 250
        source.given = 0
        list(share.read(["x"]))
        assert source.given == stop


def test_a_file_that_has_lost_rows_is_noticed(tmp_path):
    path = tmp_path / "short.csv"
    path.write_text("x\n" + "1\n" * 100)
    share = shard_of(open_source(str(path)), 1, 2)
    path.write_text("x\n" + "1\n" * 60)
    with pytest.raises(DataError, match="changed"):
        list(share.read(["x"]))
