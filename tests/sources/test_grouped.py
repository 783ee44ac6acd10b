"""Sums by group against pandas: whatever the labels, the cuts, the parts and the memory are."""

import errno

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from squarely.data.scan import grouped
from squarely.errors import DataError
from tests.support.checks import assert_close

KINDS = {
    "integers": lambda codes: pa.array(codes * 10**12),
    "text": lambda codes: pa.array([f"Müller {code}" for code in codes], pa.large_string()),
    "booleans": lambda codes: pa.array(codes % 2 == 0),
}


def append_rows(store, kinds, rng, *, tables=12, rows=200, groups=150):
    """Append tables of random groups, each once in a table, and return what pandas sums."""
    frames = []
    for _ in range(tables):
        columns = {}
        for kind in kinds:
            columns[kind] = KINDS[kind](rng.integers(0, groups, rows))
        values = rng.normal(size=(rows, 3))
        names = {kind: column.to_pylist() for kind, column in columns.items()}
        frame = pd.DataFrame(values).assign(rows=rng.integers(1, 5, rows), **names).groupby(kinds).sum().reset_index()
        frames.append(frame)
        labels = tuple(pa.array(frame[kind], column.type) for kind, column in columns.items())
        store.append(labels, frame["rows"].to_numpy(), frame[[0, 1, 2]].to_numpy())
    return pd.concat(frames).groupby(kinds).sum()


def read_back(store, kinds):
    frames = []
    for labels, counts, sums in store.iter_groups():
        frames.append(
            pd.DataFrame(sums).assign(rows=counts, **{k: column.to_pylist() for k, column in zip(kinds, labels, strict=True)})
        )
    found = pd.concat(frames).set_index(kinds)
    assert not found.index.has_duplicates
    return found.sort_index()


@pytest.mark.parametrize("cache", ["0", "1e9"])
@pytest.mark.parametrize(
    "limits",
    [{}, {"_WAITING_CELLS": 700}, {"_WAITING_CELLS": 700, "_CHECKED_ROWS": 500}, {"_WAITING_CELLS": 700, "_LARGE_PART": 400}],
)
@pytest.mark.parametrize("kinds", [["integers"], ["text"], ["text", "integers"], ["booleans", "integers"]])
def test_groups_are_summed_once(kinds, limits, cache, monkeypatch):
    monkeypatch.setenv("SQUARELY_CACHE_BYTES", cache)
    for name, value in limits.items():
        monkeypatch.setattr(grouped, name, value)
    store = grouped.GroupedStore()
    assert not store
    expected = append_rows(store, kinds, np.random.default_rng(len(kinds) + len(limits)))
    assert store
    for _ in range(2):  # CR2 reads the groups twice
        found = read_back(store, kinds)
        assert found.index.equals(expected.index)
        assert_close(found[[0, 1, 2, "rows"]], expected[[0, 1, 2, "rows"]], rtol=0, atol=1e-12)


def test_the_file_grows_with_the_groups_and_not_with_the_rows(monkeypatch):
    monkeypatch.setenv("SQUARELY_CACHE_BYTES", "0")
    monkeypatch.setattr(grouped, "_WAITING_CELLS", 3_000)
    monkeypatch.setattr(grouped, "_CHECKED_ROWS", 4_000)
    sizes = []
    for tables in (50, 200):
        store = grouped.GroupedStore()
        append_rows(store, ["integers"], np.random.default_rng(1), tables=tables, rows=1_000, groups=1_000)
        sizes.append(store._store.file_bytes)
    assert sizes[1] < 2 * sizes[0]


def test_labels_that_turn_into_text_stay_the_same_groups(monkeypatch):
    """Whole numbers beyond 64 bits are text, so the numbers before them become text, too."""
    monkeypatch.setattr(grouped, "_WAITING_CELLS", 4)
    store = grouped.GroupedStore()
    store.append((pa.array([1, 2, 3]),), np.array([1, 1, 1]), np.array([[1.0], [2.0], [3.0]]))
    store.append((pa.array(["3", str(2**70)], pa.large_string()),), np.array([1, 1]), np.array([[10.0], [20.0]]))
    store.append((pa.array([1]),), np.array([5]), np.array([[100.0]]))
    found = read_back(store, ["label"])
    assert found[0].to_dict() == {"1": 101.0, "2": 2.0, "3": 13.0, str(2**70): 20.0}
    assert found["rows"].to_dict() == {"1": 6, "2": 1, "3": 2, str(2**70): 1}


@pytest.mark.parametrize("levels", [5, 1_000])
def test_only_labels_that_occur_are_kept(levels):
    """A dictionary may have many values that no row of the batch has."""
    dictionary = pa.array([f"level {i}" for i in range(levels)])
    codes = np.array([3, 1, 3, 3])
    column = grouped.CategoricalColumn(values=(), dictionary=dictionary, codes=codes, gaps=None)
    (labels,), places = grouped.encode_labels({"g": column})
    assert [labels[int(place)].as_py() for place in places] == ["level 3", "level 1", "level 3", "level 3"]
    assert len(labels) == 2


def test_a_full_disk_is_said_with_what_to_do(monkeypatch):
    def fail(self, batch):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(grouped.BatchStore, "append", fail)
    store = grouped.GroupedStore()
    store.append((pa.array([1, 2]),), np.array([1, 1]), np.array([[1.0], [2.0]]))
    with pytest.raises(DataError, match=r"No space left on device\. Set the environment variable TMPDIR .* SQUARELY_CACHE_BYTES"):
        list(store.iter_groups())
