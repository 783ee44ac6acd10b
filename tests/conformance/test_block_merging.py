"""Blocks of partitions merged where they are: the same bits as merged here, the same errors, and little that comes back."""

import pickle

import numpy as np
import pandas as pd
import pytest

import squarely as sq
from squarely.data import open_source
from squarely.data.engines.partitions import merge_payloads, unpack_payload
from squarely.data.engines.spark import SparkSource
from squarely.data.tree_reduce import block_size, chunked, leaves, reduce_all
from squarely.errors import DataError, FormulaError
from tests.conformance.test_dask import cluster, scheduler
from tests.support.checks import need
from tests.support.spark import WARNINGS, numbered, session, stop

pytestmark = [
    *WARNINGS,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # sockets of Dask, left to the garbage collector
]
FORMULA = "y ~ scale(x) * C(g) + poly(z, 2)"  # the last one is merged by QRs


def table(rows):
    rng = np.random.default_rng(7)
    x, z = rng.normal(3, 1, rows), rng.uniform(size=rows)
    return pd.DataFrame({"x": x, "z": z, "g": rng.choice(["a", "b", "c"], rows), "y": x / 3 + z + rng.normal(size=rows)})


def packed(done, failed=None):
    return pickle.dumps((done, failed))


@pytest.mark.parametrize("parts", [1, 2, 7, 64, 65, 300])
@pytest.mark.parametrize("size", [1, 2, 8, 64, 512])
def test_blocks_change_no_bit(parts, size):
    sums = list(np.random.default_rng(parts).normal(size=(parts, 50)) * 10.0 ** np.arange(50))
    here = reduce_all(leaves(sums), np.add, np.zeros(50))
    there = [
        branch for block in chunked([packed(x) for x in sums], size) for branch in unpack_payload(merge_payloads(block, np.add))
    ]
    assert reduce_all(there, np.add, np.zeros(50)).tolist() == here.tolist()
    assert sum(count for count, _ in there) == parts


def test_a_block_holds_few_outcomes_at_a_time():
    living = []

    class Held:
        def __init__(self):
            living.append(1)

        def __del__(self):
            living.pop()

    def payloads():
        for _ in range(1_000):
            assert len(living) < 12  # log2 of them
            yield packed(None)

    def held(_):
        return Held()

    assert len(reduce_all(leaves(map(held, payloads())), lambda a, b: Held(), None).__dict__) == 0


def test_the_first_error_in_the_order_of_parts_wins():
    errors = [packed(None, (kind, f"{kind} of a part")) for kind in ("FormulaError", "DataError")]
    with pytest.raises(FormulaError, match=r"^FormulaError of a part$"):
        unpack_payload(merge_payloads([packed(1), *errors, packed(2)], int.__add__))

    def refused(a, b):
        raise DataError("these two do not go together")

    with pytest.raises(DataError, match="these two do not go together"):
        unpack_payload(merge_payloads([packed(1), packed(2), *errors], refused))


def test_the_size_of_a_block_is_a_power_of_two_about_the_square_root():
    for parts in (64, 65, 1_000, 20_000, 10**6):
        size = block_size(parts)
        assert size & (size - 1) == 0
        assert size / 2 < parts**0.5 <= size


def bits(fit):
    return [*fit.params.tolist(), *fit.bse.tolist(), fit.ssr, fit.rsquared]


@pytest.fixture(scope="module")
def client():
    with cluster(n_workers=2) as started:
        yield started


@pytest.mark.parametrize("parts", [5, 64, 70, 200])
def test_workers_of_a_cluster_merge_to_the_same_bits(parts, client, monkeypatch):
    frame = need("dask.dataframe").from_pandas(table(2_000), npartitions=parts, sort=False)
    assert frame.npartitions == parts
    seen, plain = [], unpack_payload
    monkeypatch.setattr("squarely.data.engines.dask.unpack_payload", lambda payload: (seen.append(1), plain(payload))[1])
    with scheduler(client):
        there = sq.ols(FORMULA, frame)
    arrived = len(seen)
    with scheduler("threads"):
        here = sq.ols(FORMULA, frame)
    assert bits(there) == bits(here)
    assert arrived == len(seen) - arrived if parts < 64 else arrived < (len(seen) - arrived) / 4


def test_a_cluster_says_what_is_wrong_in_the_first_part_that_has_it(client):
    rows = table(700)

    def spoilt(frame, partition_info=None):
        return frame.astype({"x": str}).assign(x="here") if partition_info["number"] in (65, 66) else frame

    frame = need("dask.dataframe").from_pandas(rows, npartitions=70, sort=False).map_partitions(spoilt, meta=rows.iloc[:0])
    with scheduler(client), pytest.raises(DataError, match=r"partition 65 holds text, not a number: 'here'"):
        sq.ols("y ~ x", frame)


@pytest.fixture(scope="module")
def spark():
    """Start a session that lets a megabyte come back at once."""
    yield session("local[2]", settings={"spark.driver.maxResultSize": "1m", "spark.sql.shuffle.partitions": "3"})
    stop()


@pytest.mark.parametrize("parts", [5, 70])
def test_executors_merge_to_the_same_bits(spark, parts, monkeypatch):
    frame, formula = numbered(spark, parts, 2), "y ~ x0 * x1 + g"
    few, fits = sq.data.tree._FEW, []
    assert few <= 64
    for least in (few if parts >= few else 1, parts + 1):  # with blocks and without
        monkeypatch.setattr("squarely.data.tree_reduce._MIN_PARTS", least)
        fits.append(bits(sq.ols(formula, frame, fold="batches")))
    assert fits[0] == fits[1]


def test_what_comes_back_has_room_where_all_outcomes_would_not(spark, monkeypatch):
    frame = numbered(spark, 70, 60)
    formula = "y ~ " + " + ".join(f"x{j}" for j in range(60))
    there = sq.ols(formula, frame, fold="batches")
    here = sq.ols(formula, frame.toArrow(), fold="batches")
    np.testing.assert_allclose(there.fittedvalues, here.fittedvalues, rtol=0, atol=1e-10)
    monkeypatch.setattr("squarely.data.tree_reduce._MIN_PARTS", 1_000)
    with pytest.raises(DataError, match="maxResultSize"):
        sq.ols(formula, frame, fold="batches")


def test_a_plan_that_spark_adapts_is_counted_as_it_turns_out(spark, monkeypatch):
    monkeypatch.setattr("squarely.data.tree_reduce._MIN_PARTS", 2)
    frame = numbered(spark, 4, 2).groupBy("g").agg({"x0": "sum", "x1": "sum", "y": "sum"}).toDF("g", "a", "b", "y")
    source = open_source(frame.repartition(5))
    assert source.partition_count is None
    assert np.isfinite(sq.ols("y ~ a", source, fold="batches").params).all()
    assert source._count == 5


def test_partitions_of_an_unknown_number_are_merged_and_counted(spark, monkeypatch):
    """As of Spark Connect, which does not tell it."""
    frame, formula = numbered(spark, 5, 1), "y ~ x0"
    here = bits(sq.ols(formula, frame, fold="batches"))
    monkeypatch.setattr(SparkSource, "_count_partitions", lambda self, frame: None)
    source = open_source(frame)
    assert bits(sq.ols(formula, source, fold="batches")) == here
    assert source._count == 5
