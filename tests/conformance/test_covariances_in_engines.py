"""Robust covariances that an engine sums: what they refuse, and where they leave the engine."""

import dataclasses

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import squarely as sq
from squarely.data.engines.duckdb import DuckDBSource
from squarely.errors import DataError
from tests.support.checks import assert_close, need
from tests.support.engines import ibis_duckdb, ibis_postgres, ibis_sqlite

LIMIT = "squarely.inference.covariance.clustered.cluster_scores._MOST_GROUPS"


def rows(n=200):
    rng = np.random.default_rng(3)
    x, z = rng.normal(10, 2, size=(2, n))
    firm = rng.integers(0, 30, n)
    return pd.DataFrame(
        {
            "t": np.arange(n),
            "x": x,
            "z": z,
            "g": rng.choice(["a", "b", "c"], n),
            "firm": firm,
            "half": firm / 2,
            "gaps": pd.Series(firm).where(firm > 2).astype("Int64"),
            "one": "same",
            "y": 3 * x - z + rng.normal(size=30)[firm] + rng.normal(size=n) * x,
        }
    )


def relation(data):
    return duckdb.connect().from_arrow(pa.Table.from_pandas(data, preserve_index=False))


def lazy_frame(data):
    return need("polars").from_pandas(data).lazy()


def in_ibis(make):
    return lambda data: make(pa.Table.from_pandas(data, preserve_index=False), None)


ENGINES = {
    "duckdb": relation,
    "polars": lazy_frame,
    "ibis on duckdb": in_ibis(ibis_duckdb),
    "ibis on sqlite": in_ibis(ibis_sqlite),
    "ibis on postgres": in_ibis(ibis_postgres),
}
each_engine = pytest.mark.parametrize("make", ENGINES.values(), ids=ENGINES)


def fit_in_engine(make, data, formula="y ~ x + z", **options):
    return sq.ols(formula, make(data), fold="auto" if make in list(ENGINES.values())[2:] else "aggregates", **options)


@each_engine
def test_standard_errors_of_statsmodels(make):
    api, data = need("statsmodels.formula.api"), rows()
    fit = fit_in_engine(make, data, "y ~ x + z + g", order_by=None if make is lazy_frame else "t")
    peer = api.ols("y ~ x + z + g", data)
    for kind in ("HC0", "HC1", "HC2", "HC3"):
        assert_close(fit.vcov(kind).bse, peer.fit(cov_type=kind).bse, rtol=1e-10)
    for cluster in ("firm", "g"):
        kwds = {"groups": data[cluster].astype("category").cat.codes}
        assert_close(fit.vcov(cluster=cluster).bse, peer.fit(cov_type="cluster", cov_kwds=kwds).bse, rtol=1e-10)
    for lags in (0, 1, 7, 199):
        kwds = {"maxlags": lags, "use_correction": True}
        assert_close(fit.vcov("HAC", lags=lags).bse, peer.fit(cov_type="HAC", cov_kwds=kwds).bse, rtol=1e-10)


@each_engine
@pytest.mark.parametrize(
    "formula", ["y ~ 0 + g", "y ~ C(g, Sum) * firm - 1", "y ~ poly(x, 3) + z:g", "y ~ x + I(2 * x) + z", "y ~ 1"]
)
def test_columns_of_every_kind(make, formula):
    fit, here = fit_in_engine(make, rows(), formula), sq.ols(formula, rows())
    for options in ({"vcov": "HC3"}, {"cluster": "firm"}, {"vcov": "CR3", "cluster": "firm"}):
        assert_close(fit.vcov(**options).bse, here.vcov(**options).bse, rtol=1e-10)


@each_engine
@pytest.mark.parametrize("kind", ["HC2", "HC3", "HC4"])
def test_a_row_with_a_leverage_of_one(make, kind):
    data = rows()
    data.loc[17, "g"] = "alone"
    fit, here = (each.vcov(kind) for each in (fit_in_engine(make, data, "y ~ x + g"), sq.ols("y ~ x + g", data)))
    assert np.isnan(fit.bse["g[T.alone]"])
    assert_close(fit.bse, here.bse, rtol=1e-10)
    assert "A row alone determines a coefficient" in str(fit.summary())


@each_engine
def test_groups_that_a_fit_cannot_have(make):
    data, fit = rows(), fit_in_engine(make, rows())
    missing = int(data["gaps"].isna().sum())
    for options in ({"cluster": "gaps"}, {"vcov": "CR2", "cluster": "gaps"}, {"vcov": "DK", "time": "gaps"}):
        with pytest.raises(DataError, match=rf"^'gaps' of .* is missing in {missing} rows of the 200 .* Fit again with 'gaps'"):
            fit.vcov(**options)
    for options in ({"cluster": "half"}, {"cluster": ["firm", "half"]}, {"vcov": "CR3", "cluster": "half"}):
        with pytest.raises(DataError, match=r"^Column 'half' has \d*\.5 among its labels, which is not a whole number"):
            fit.vcov(**options)
    for options in ({"cluster": "one"}, {"vcov": "CR2", "cluster": "one"}, {"vcov": "DK", "time": "one"}):
        with pytest.raises(DataError, match=r"one value in all rows of the fit"):
            fit.vcov(**options)
    assert fit.vcov("DK", time="half").cov_kwds["groups"] == {"half": 30}


@pytest.mark.parametrize("make", [relation, lazy_frame])
def test_a_column_without_labels(make):
    fit = fit_in_engine(make, rows(20).assign(odd=[[1, 2]] * 20))
    with pytest.raises(DataError, match=r"'odd' of .* holds .* values, which are neither numbers nor categories"):
        fit.vcov(cluster="odd")


@pytest.mark.parametrize("change", ["y = y + 1", "y = y * 1.5 WHERE firm = 3", "x = -x", "DELETE"])
def test_data_that_have_changed(change):
    connection, data = duckdb.connect(), rows()  # noqa: F841  # DuckDB finds the frame by its name
    connection.execute("CREATE TABLE t AS SELECT * FROM data")
    fit = sq.ols("y ~ x + z", connection.table("t"), fold="aggregates")
    connection.execute("DELETE FROM t WHERE firm = 3" if change == "DELETE" else f"UPDATE t SET {change}")
    for options in ({"vcov": "HC3"}, {"cluster": "firm"}, {"vcov": "CR2", "cluster": "firm"}, {"vcov": "DK", "time": "firm"}):
        with pytest.raises(DataError, match=r"has changed since it was first read: 200 complete rows then"):
            fit.vcov(**options)


@pytest.mark.parametrize(
    "options", [{"vcov": "CR2", "cluster": "firm"}, {"vcov": "CR3", "cluster": "firm"}, {"vcov": "DK", "time": "firm"}]
)
def test_more_groups_than_a_table_has(options, monkeypatch):
    here = sq.ols("y ~ x + z", rows()).vcov(**options)
    monkeypatch.setattr(LIMIT, 30)
    assert_close(fit_in_engine(relation, rows()).vcov(**options).bse, here.bse, rtol=1e-10)
    monkeypatch.setattr(LIMIT, 29)
    assert_close(fit_in_engine(relation, rows()).vcov(**options).bse, here.bse, rtol=1e-10)
    table = in_ibis(ibis_duckdb)(rows())
    assert_close(sq.ols("y ~ x + z", table, order_by="t").vcov(**options).bse, here.bse, rtol=1e-10)
    fit = sq.ols("y ~ x + z", table)
    with pytest.raises(
        DataError, match=r"^There are more than 29 groups of 'firm', and DuckDB would .* write the rows to a Parquet"
    ):
        fit.vcov(**options)
    assert fit.vcov(cluster="firm").cov_kwds["groups"] == {"firm": 30}


@pytest.mark.parametrize("options", [{"vcov": "HC3"}, {"cluster": "firm"}, {"vcov": "CR2", "cluster": "g"}])
def test_more_sums_than_one_query_has(options, monkeypatch):
    here = sq.ols("y ~ x + z * g", rows()).vcov(**options)
    monkeypatch.setattr(DuckDBSource, "engine", dataclasses.replace(DuckDBSource.engine, max_aggregates=7))
    assert_close(fit_in_engine(relation, rows(), "y ~ x + z * g").vcov(**options).bse, here.bse, rtol=1e-10)


@each_engine
def test_rows_on_a_line_have_no_standard_errors(make):
    data = rows().assign(y=lambda table: 2 * table["x"] + 1)
    fit = fit_in_engine(make, data)
    for options in ({"vcov": "HC3"}, {"cluster": "firm"}):
        assert fit.vcov(**options).bse.isna().all()


@each_engine
def test_digits_hold_where_residuals_are_small(make):
    """Residuals are a billionth of the response: doubles leave them few digits, and `digits_bse` says how many."""
    data = rows().assign(y=lambda table: 1000 + table["x"] + 1e-9 * table["z"] ** 2)
    fit, here = fit_in_engine(make, data), sq.ols("y ~ x + z", data)
    assert fit.digits_bse.max() < 8
    for options in ({"vcov": "HC3"}, {"cluster": "firm"}):
        assert_close(fit.vcov(**options).bse, here.vcov(**options).bse, rtol=10.0 ** -fit.digits_bse.min())
