"""Groups, responses, updates and windows on every engine are those of the same rows in memory."""

import pandas as pd
import pytest

import squarely as sq
from squarely.errors import DataError, OptionError
from tests.conformance.test_covariances import EACH_ENGINE, IBIS, engine_input, table
from tests.support.checks import assert_close
from tests.support.engines import ENGINES


def in_memory():
    return {column: table()[column].combine_chunks() for column in table().column_names}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("many_fits")


def options_of(engine):
    return {"order_by": "time"} if engine in IBIS else {}


@pytest.mark.parametrize("engine", EACH_ENGINE)
@pytest.mark.parametrize("by", ["firm", "unit", ["when", "year"]], ids=str)
def test_groups(engine, by, folder):
    options = {"vcov": "HC1", "where": "z > -2"}
    here = sq.ols("y ~ x + gaps", in_memory(), by=by, **options)
    there = sq.ols("y ~ x + gaps", engine_input(engine, folder), by=by, **options, **options_of(engine))
    assert list(there) == list(here)
    assert there.failed == here.failed
    one, other = here.frame(), there.frame()
    pd.testing.assert_frame_equal(other, one, rtol=1e-9, check_dtype=False)
    key = next(key for key in here if key not in here.failed)
    assert_close(there[key].params, here[key].params, rtol=1e-9)
    assert (there.rows.used, dict(there.rows.dropped).keys()) == (here.rows.used, dict(here.rows.dropped).keys())


@pytest.mark.parametrize("engine", EACH_ENGINE)
def test_several_responses(engine, folder):
    here = sq.ols("y + z ~ x * when", in_memory(), weights="w")
    there = sq.ols("y + z ~ x * when", engine_input(engine, folder), weights="w", **options_of(engine))
    for name in ("y", "z"):
        for statistic in ("params", "bse", "rsquared"):
            assert_close(getattr(there[name], statistic), getattr(here[name], statistic), rtol=1e-10)


@pytest.mark.parametrize("engine", [name for name in ENGINES if name not in IBIS and not name.startswith("spark")])
def test_new_rows(engine, folder):
    fit = sq.ols("y ~ x * when", pd.DataFrame(table().to_pandas()).head(40))
    updated = fit.update(engine_input(engine, folder), duplicates="keep")
    rows = pd.concat([table().to_pandas().head(40), table().to_pandas()])
    assert_close(updated.params, sq.ols("y ~ x * when", rows).params, rtol=1e-10)


@pytest.mark.parametrize("engine", EACH_ENGINE)
def test_windows(engine, folder):
    rows = engine_input(engine, folder)
    if ENGINES[engine].ordered and not engine.startswith("dask"):
        here = sq.rolling("y ~ x + when", in_memory(), window=40)
        assert_close(sq.rolling("y ~ x + when", rows, window=40).params, here.params, rtol=1e-10)
    elif not engine.startswith(("duckdb", "polars")):  # whose aggregates have no order, and whose rows have one
        with pytest.raises((OptionError, DataError), match=r"order_by=|in other processes"):
            sq.rolling("y ~ x + when", rows, window=40)


@pytest.mark.parametrize("engine", IBIS)
def test_rows_that_stay_in_a_database(engine, folder):
    rows = engine_input(engine, folder)
    for formula, options in (("y ~ x", {"by": "unit"}), ("y + z ~ x", {})):
        with pytest.raises(OptionError, match=r"read.* the rows, which stay in \w+: give ols order_by= .* Parquet file"):
            sq.ols(formula, rows, **options)
