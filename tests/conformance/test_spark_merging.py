"""Spark executors merge blocks of partitions: the same bits as merged here, and little that comes back."""

import numpy as np
import pytest

import squarely as sq
from squarely.data import open_source, tree_reduce
from squarely.data.engines.spark import SparkSource
from squarely.errors import DataError
from tests.support.spark import WARNINGS, numbered, shared

pytestmark = [*WARNINGS]


def bits(fit):
    return [*fit.params.tolist(), *fit.bse.tolist(), fit.ssr, fit.rsquared]


@pytest.fixture
def spark():
    return shared()


@pytest.mark.parametrize("parts", [5, 70])
def test_executors_merge_to_the_same_bits(spark, parts, monkeypatch):
    frame, formula = numbered(spark, parts, 2), "y ~ x0 * x1 + g"
    few, fits = tree_reduce._MIN_PARTS, []
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
    assert source._partition_count == 5


def test_partitions_of_an_unknown_number_are_merged_and_counted(spark, monkeypatch):
    """As of Spark Connect, which does not tell it."""
    frame, formula = numbered(spark, 5, 1), "y ~ x0"
    here = bits(sq.ols(formula, frame, fold="batches"))
    monkeypatch.setattr(SparkSource, "_count_partitions", lambda self, frame: None)
    source = open_source(frame)
    assert bits(sq.ols(formula, source, fold="batches")) == here
    assert source._partition_count == 5
