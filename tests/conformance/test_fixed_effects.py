"""Fixed effects on every engine are those of the same rows in memory."""

import functools

import pytest

import squarely as sq
from squarely.errors import OptionError
from tests.conformance.test_covariances import EACH_ENGINE, IBIS, engine_input, table
from tests.support.checks import assert_close

CASES = {
    "one effect, gaps": ("y ~ x + gaps | firm", {"vcov": "HC3"}),
    "two effects": ("y ~ x * when | firm + year", {"cluster": "year"}),
    "pairs of columns, weights": ("y ~ x + z | firm^when + year", {"weights": "w", "where": "z > -1", "vcov": "HC1"}),
    "three effects, frequencies": ("y ~ x + z | unit + year + when", {"frequencies": "k"}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("effects")


@functools.cache
def expected(name):
    formula, options = CASES[name]
    return sq.ols(formula, {column: table()[column].combine_chunks() for column in table().column_names}, **options)


@pytest.mark.parametrize("engine", EACH_ENGINE)
@pytest.mark.parametrize("name", CASES)
def test_fixed_effects_are_those_of_the_rows_in_memory(name, engine, folder):
    formula, options = CASES[name]
    here, order = expected(name), {"order_by": "time"} if engine in IBIS else {}
    data = engine_input(engine, folder)
    fit = sq.ols(formula, data, **order, **options)
    assert (fit.nobs, fit.df_resid, fit.rows.used) == (here.nobs, here.df_resid, here.rows.used)
    for statistic in ("params", "bse", "pvalues", "rsquared", "rsquared_within", "ssr", "fvalue"):
        assert_close(getattr(fit, statistic), getattr(here, statistic), rtol=1e-10, atol=1e-14)
    mine, theirs = fit.fixed_effects(), here.fixed_effects()
    assert mine[["effect", "level", "n"]].equals(theirs[["effect", "level", "n"]])
    assert_close(mine["estimate"], theirs["estimate"], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("engine", IBIS)
def test_rows_in_a_database_need_an_order_to_leave_it(engine, folder):
    with pytest.raises(OptionError, match=r"^Fixed effects read the rows, which stay in \w+: give ols order_by= .* Parquet file"):
        sq.ols("y ~ x | year", engine_input(engine, folder))


def test_aggregates_are_refused(folder):
    with pytest.raises(
        OptionError, match=r"^fold='aggregates' does not absorb fixed effects, which read the rows. Leave fold= out."
    ):
        sq.ols("y ~ x | year", engine_input("duckdb, batches", folder), fold="aggregates")
