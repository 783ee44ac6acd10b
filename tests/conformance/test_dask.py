"""Dask DataFrames: the answers of the frame in memory, from whatever scheduler, with the partitions left where they are."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

import squarely as sq
from squarely.data import open_source
from squarely.data.engines.partitions import unpack_payload
from squarely.errors import DataError, FormulaError
from tests.support.checks import CARS, assert_close, assert_same_fit, need
from tests.support.dask import WARNINGS, cars, dask_frame, scheduler, wide

pytestmark = [*WARNINGS]
HERE = ["synchronous", "threads"]


@pytest.fixture(params=HERE)
def here(request):
    with scheduler(request.param):
        yield


def odd_types():
    rng = np.random.default_rng(5)
    n = 600
    frame = pd.DataFrame({"x": rng.normal(size=n)})
    frame["whole"] = pd.array([None if i % 50 == 7 else i % 9 for i in range(n)], dtype="Int64")
    frame["nullable"] = pd.array([None if i % 61 == 9 else v for i, v in enumerate(rng.normal(size=n))], dtype="Float64")
    frame["truth"] = pd.array([None if i % 71 == 3 else i % 3 == 0 for i in range(n)], dtype="boolean")
    frame["text"] = pd.array(rng.choice(["a", "b", "ü"], n), dtype="string[pyarrow]")
    frame["grade"] = pd.Categorical(rng.choice(["low", "mid", "high"], n), categories=["low", "mid", "high", "top"], ordered=True)
    frame["dose"] = pd.Categorical(rng.integers(1, 4, n))
    frame["y"] = frame.x + rng.normal(size=n)
    return frame


@pytest.mark.parametrize("formula", ["y ~ x + whole + nullable", "y ~ truth * x + text", "y ~ grade + dose:x", "y ~ C(whole)"])
def test_nullable_columns_and_known_categories(formula, here):
    data = odd_types()
    assert_same_fit(sq.ols(formula, dask_frame(data)), sq.ols(formula, data))


def test_categories_that_only_the_partitions_know(here):
    data = odd_types()
    unknown = dask_frame(data)
    for name in ("grade", "dose"):
        unknown[name] = unknown[name].cat.as_unknown()
    source = open_source(unknown)
    assert (source.kind("grade"), source.category_order("grade"), source.kind("dose")) == ("text", None, "category")
    data = data.assign(grade=data["grade"].astype(str), dose=data["dose"].astype(int))  # without an order of their own
    assert_same_fit(sq.ols("y ~ grade + C(dose)", unknown), sq.ols("y ~ grade + C(dose)", data))


def test_objects_are_what_they_turn_out_to_be(here):
    decimals = pa.array([None, *range(1, 40)]).cast(pa.decimal128(22, 2)).to_pandas()
    data = pd.DataFrame({"price": decimals, "day": [pd.Timestamp("2026-01-01").date()] * 40, "y": np.arange(40.0) ** 2})
    with need("dask").config.set({"dataframe.convert-string": False}):
        frame = dask_frame(data, 40)  # nothing but a gap in the first of them
        source = open_source(frame)
        assert [source.kind(name) for name in data.columns] == ["number", "other", "number"]
        assert_same_fit(sq.ols("y ~ price", frame), sq.ols("y ~ price", data))
        with pytest.raises(DataError, match="'day' of the Dask DataFrame holds date32"):
            sq.ols("y ~ day", frame)


def test_double_double(here):
    data = wide()
    there, memory = (sq.ols("y ~ x + z + money", given, precision="extended") for given in (dask_frame(data), data))
    assert there.solution.precision == "extended"
    assert_close(there.params, memory.params, rtol=1e-15)


def test_partitions_without_rows_and_a_single_one(here):
    data = wide()
    filtered = data[data["x"] > 5].reset_index(drop=True)
    first = dask_frame(data.sort_values("x").reset_index(drop=True), 6)  # the first ones are empty after the filter
    assert_same_fit(sq.ols("y ~ z + group", first[first["x"] > 5]), sq.ols("y ~ z + group", filtered.sort_values("x")))
    assert_same_fit(sq.ols("y ~ z + group", dask_frame(data, 1)), sq.ols("y ~ z + group", data))
    nobody = first[first["x"] > 1e9]
    with pytest.raises(DataError, match="no rows in the Dask DataFrame"):
        sq.ols("y ~ z", nobody)


def test_names_are_exact_and_twins_are_refused(here):
    dd = need("dask.dataframe")
    twins = dd.from_pandas(
        pd.DataFrame([[1.0, 2.0, 3.0], [2.0, 1.0, 4.0], [3.0, 5.0, 5.0]], columns=["x", "x", "y"]), npartitions=2
    )
    with pytest.raises(DataError, match="two or more columns called 'x'"):
        sq.ols("y ~ x", twins)
    assert sq.ols("y ~ 1", twins).nobs == 3
    numbered = dd.from_pandas(pd.DataFrame({0: [1.0, 2.0], "y": [1.0, 2.0]}), npartitions=1)
    assert list(open_source(numbered).columns) == ["y"]
    with pytest.raises(DataError, match="no column 'Y'"):
        sq.ols("Y ~ 1", numbered)


def test_only_the_columns_of_the_formula_are_read(tmp_path, here):
    data = cars()
    dask_frame(data).to_parquet(tmp_path / "cars")
    for file in (tmp_path / "cars").glob("*.parquet"):
        table = pa.parquet.read_table(file)
        assert "horsepower" in table.column_names
        pa.parquet.write_table(table.drop_columns(["horsepower"]), file)
    frame = need("dask.dataframe").read_parquet(tmp_path / "cars")
    with pytest.raises(DataError, match="horsepower"):
        sq.ols("mpg ~ horsepower", frame)
    assert_same_fit(sq.ols("mpg ~ weight + C(origin)", frame), sq.ols("mpg ~ weight + C(origin)", data))


def test_the_second_road_and_the_certificate(here):
    formula, frame = "mpg ~ weight + C(origin)", dask_frame(cars())
    fit = sq.ols(formula, frame)
    run, memory = (sq.train(formula, data, engine="moments", lr="auto", epochs=200, dtype="float64") for data in (frame, cars()))
    assert_close(run.result.losses, memory.result.losses, rtol=1e-11)
    assert sq.certify(fit, run).verdict == sq.certify(sq.ols(formula, cars()), memory).verdict
    swept = sq.sweep("mpg ~ weight", frame, lr=[0.1, 0.3], epochs=20, engine="moments", dtype="float64")
    assert_close(
        swept.best.result.losses, sq.train("mpg ~ weight", CARS, lr=0.3, epochs=20, dtype="float64").result.losses, rtol=1e-11
    )
    with pytest.raises(DataError, match="engine='moments'"):
        sq.train(formula, frame, epochs=2)


def test_residuals_are_brought_when_they_are_asked_for(here, monkeypatch):
    data = wide()
    data.index = np.arange(len(data))[::-1]
    frame = dask_frame(data)
    source = open_source(frame)
    monkeypatch.setattr(type(source), "read", lambda *_: pytest.fail("rows travelled"))
    fit = sq.ols("y ~ x * group", source)
    monkeypatch.undo()
    memory = sq.ols("y ~ x * group", data)
    pd.testing.assert_series_equal(fit.resid, memory.resid, rtol=1e-9, check_index_type=False)
    pd.testing.assert_series_equal(fit.fittedvalues, memory.fittedvalues, rtol=1e-9, check_index_type=False)


def test_what_travels_does_not_grow_with_the_rows(monkeypatch):
    sizes = []
    outcome = unpack_payload
    monkeypatch.setattr("squarely.data.engines.dask.unpack_payload", lambda packed: sizes.append(len(packed)) or outcome(packed))
    largest = []
    for n in (4_000, 400_000):
        x = np.random.default_rng(0).normal(size=n)
        sizes.clear()
        with scheduler("synchronous"):
            sq.ols("y ~ bs(x, df=6) * g", dask_frame(pd.DataFrame({"x": x, "y": x**2 + x, "g": np.where(x > 0, "a", "b")}), 2))
        largest.append(max(sizes))
    assert largest[1] < 1.01 * largest[0]


def test_what_is_wrong_in_a_partition_is_said_as_ever(here):
    data = cars()
    with pytest.raises(DataError, match="None of the 398 rows of the Dask DataFrame is complete"):
        sq.ols("mpg ~ log(0 * weight)", dask_frame(data))
    with pytest.raises(FormulaError, match="not among the 3 levels of 'origin'"):
        sq.ols("mpg ~ C(origin, Treatment('mars'))", dask_frame(data))
    with pytest.raises(DataError, match="holds text"):
        sq.ols("origin ~ weight", dask_frame(data))


def as_text(frame):
    return frame.assign(weight=frame["weight"].astype(str) + " kg") if frame["weight"].iloc[0] > 3500 else frame


def as_numbers(frame):
    return frame.assign(origin=1.0)


def without(frame):
    return frame.drop(columns="weight")


def failing(frame):
    raise ZeroDivisionError("of the user's own\nand more")


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        (as_text, r"'weight' of the Dask DataFrame, partition \d holds text, not a number: '\d+ kg'"),
        (
            as_numbers,
            r"'origin' of the Dask DataFrame, partition 0 holds values of kind 'number', and Dask declares 'text' for the column",
        ),
        (without, r"one of its tasks failed.*KeyError.*'weight'"),
    ],
)
def test_a_meta_that_lies(lie, message, here):
    frame = dask_frame(cars())
    lying = frame.map_partitions(lie, meta=frame._meta, enforce_metadata=False)
    with pytest.raises(DataError, match=message):
        sq.ols("mpg ~ weight + origin", lying)


def test_arrays_are_not_made_of_partitions_in_silence(here):
    frame = dask_frame(cars())
    with pytest.raises(DataError, match="table of dask, whose rows are not in memory"):
        sq.ols(X=frame[["weight"]], y=frame["mpg"])


def test_a_graph_that_fails(here):
    frame = dask_frame(cars())
    with pytest.raises(DataError, match=r"ZeroDivisionError: of the user's own\.$") as found:
        sq.ols("mpg ~ weight", frame.map_partitions(failing, meta=frame._meta))
    assert isinstance(found.value.__cause__, ZeroDivisionError)


def given_up(frame):
    """Fail as Dask does with a task whose workers have died too often; to kill them for it would leave it to Dask when that is."""
    from distributed.scheduler import KilledWorker

    raise KilledWorker("a partition", SimpleNamespace(address="tcp://10.0.0.1:1"), 3)


def test_workers_that_die_again_and_again(here):
    frame = dask_frame(cars())
    with pytest.raises(DataError, match=r"ended again and again.*Dask says: KilledWorker") as found:
        sq.ols("mpg ~ weight", frame.map_partitions(given_up, meta=frame._meta))
    assert type(found.value.__cause__).__name__ == "KilledWorker"
