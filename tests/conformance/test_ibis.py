"""Ibis tables: sums are worked out in the database and no row leaves it, which Postgres itself is asked to bear witness of."""

import math
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import squarely as sq
from squarely.data import open_source
from squarely.errors import DataError, OptionError
from tests.support.checks import assert_close, need
from tests.support.engines import connected, ibis_duckdb, ibis_postgres, ibis_sqlite, relation

MAKERS = {"SQLite": ibis_sqlite, "DuckDB": ibis_duckdb, "Postgres": ibis_postgres}
databases = pytest.mark.parametrize("engine", MAKERS)
N = 3_000


def columns(n=N):
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=n), rng.gamma(2.0, size=n)
    return {
        "time": np.arange(n),
        "x": x,
        "z": z,
        "g": rng.choice(["a", "b", "c"], n),
        "h": rng.integers(0, 4, n),
        "y": 1 + x - z + rng.normal(size=n),
    }


def shuffled(data):
    return pa.table(data).take(np.random.default_rng(4).permutation(len(data["y"])))


def ibis_table(engine, data=None, folder=None):
    return MAKERS[engine](shuffled(columns() if data is None else data), folder)


# --- where the rows are -------------------------------------------------------------------------------------------------------


@databases
def test_a_fit_says_where_its_sums_were_worked_out(engine):
    fit = sq.ols("y ~ x + g", ibis_table(engine))
    page = " ".join(str(fit.summary()).split())
    assert fit.fold == "aggregates"
    assert f"from cross-products by aggregates in {engine}" in page
    assert f"Durbin-Watson needs an order of rows, which {engine} does not have. Give order_by=." in page
    assert sq.preview("y ~ x + z", ibis_table(engine)).fold == f"aggregates in {engine}"


def statements():
    """Give what Postgres has been sent since the last reset, be it by a cursor, but for its catalogues: statement, calls, rows."""
    connection = connected("postgres").con
    with connection.cursor() as cursor:
        cursor.execute("SELECT query, calls, rows FROM pg_stat_statements WHERE query NOT LIKE '%pg_%'")
        found = cursor.fetchall()
    connection.commit()
    return found


@pytest.fixture
def witness():
    """Let Postgres count the rows that each statement returns."""
    connection = connected("postgres").con
    connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    connection.commit()

    def begin():
        connection.execute("SELECT pg_stat_statements_reset()")
        connection.commit()

    return begin


def test_no_row_leaves_postgres(witness):
    table, cells = ibis_table("Postgres"), 3 * 4
    witness()
    fit = sq.ols("y ~ g * C(h) + bs(x, df=5) + poly(z, 2) + scale(z) + log(z)", table, where="x > -2 or g == 'a'", order_by="time")
    run = sq.train("y ~ x + z + g", table, engine="moments", lr="auto", epochs=50, dtype="float64")
    sq.sweep("y ~ x + z", table, engine="moments", lr=[0.1, 0.2], epochs=5)
    assert sq.certify(sq.ols("y ~ x + z + g", table), run).agree
    assert fit.nobs < N
    sent = statements()
    assert sum("held" in query for query, _, _ in sent) > 10
    assert max(rows / calls for _, calls, rows in sent) <= cells
    witness()
    assert len(fit.resid) == fit.nobs  # which the user asked for: the witness sees rows where rows leave
    assert max(rows for _, _, rows in statements()) >= fit.nobs


@databases
def test_what_would_read_rows_is_refused(engine):
    table = ibis_table(engine)
    with pytest.raises(OptionError, match=f"fold='batches' would read the rows of the Ibis table, which stay in {engine}"):
        sq.ols("y ~ x", table, fold="batches")
    with pytest.raises(
        OptionError, match=r"precision='extended' needs the rows.*Write the rows of the Ibis table to a Parquet file"
    ):
        sq.ols("y ~ x", table, precision="extended")
    with pytest.raises(DataError, match=f"stay in {engine}, and to train on them would bring them here. Use engine='moments'"):
        sq.train("y ~ x", table, epochs=2)
    fit = sq.ols("y ~ x", table)
    for ask in (lambda: fit.resid, lambda: fit.fittedvalues, lambda: fit.predict(table)):
        with pytest.raises(DataError, match=f"stay in {engine}, and they have no order .* give ols order_by="):
            ask()
    with pytest.raises(DataError, match=f"stay in {engine}, and to hold a fraction of them out would bring them here"):
        sq.train("y ~ x", table, engine="moments", epochs=2, validation=0.5)
    with pytest.raises(DataError, match=r"cannot tell them apart\. Write the rows of the Ibis table to a Parquet file"):
        sq.ols("y ~ x + I(x + 1e-8 * z)", table)


# --- both roads ------------------------------------------------------------------------------------------------------------------


@databases
@pytest.mark.parametrize("formula", ["y ~ x + g", "y ~ poly(z, 2, raw=True) + x:g", "y ~ x + z - 1"])
def test_training_and_the_certificate(engine, formula):
    table, data = ibis_table(engine), columns()
    options = {"engine": "moments", "lr": "auto", "epochs": 40, "dtype": "float64"}
    there, here = sq.train(formula, table, **options), sq.train(formula, data, **options)
    assert_close(there.result.losses, here.result.losses, rtol=1e-11)
    mine, theirs = sq.certify(sq.ols(formula, table), there), sq.certify(sq.ols(formula, data), here)
    assert mine.verdict == theirs.verdict
    assert_close(mine.slope.loss, theirs.slope.loss, rtol=1e-12)
    assert_close(mine.slope.gradient, theirs.slope.gradient, rtol=1e-9, atol=1e-12)
    assert mine.as_dict()["gradient_on"] == f"rows in {engine}"
    assert theirs.as_dict()["gradient_on"] == "rows"
    closed = sq.train(formula, table, **{**options, "engine": "closed_form", "lr": 0.01})
    assert_close(closed.params, sq.train(formula, data, **{**options, "engine": "closed_form", "lr": 0.01}).params, rtol=1e-10)


# --- what databases know and do not know -----------------------------------------------------------------------------------------


@databases
@pytest.mark.parametrize("n", [7, 8, 400])
def test_knots_are_quantiles_of_all_values(engine, n):
    """SQLite knows no quantiles: it sorts."""
    rng = np.random.default_rng(n)
    data = {"x": rng.normal(size=n), "y": rng.normal(size=n)}
    fit = sq.ols("y ~ bs(x, df=5, degree=2)", ibis_table(engine, data))
    basis = next(iter(fit.design.learned.bases.values()))
    found = np.unique(basis.knots)
    assert_close(found[1:-1], np.quantile(data["x"], [0.25, 0.5, 0.75]), rtol=1e-15)


@databases
def test_a_category_of_many_levels(engine):
    rng = np.random.default_rng(9)
    n = 4_000
    data = {"g": [f"level {i}" for i in rng.integers(0, 150, n)], "x": rng.normal(size=n), "y": rng.normal(size=n)}
    fit, here = sq.ols("y ~ C(g) + x", ibis_table(engine, data)), sq.ols("y ~ C(g) + x", data)
    assert_close(fit.params / here.standard_errors, here.params / here.standard_errors, rtol=1e-10, atol=1e-10)
    assert_close(fit.bse, here.bse, rtol=1e-10)


def test_nan_that_the_statistics_of_parquet_leave_out(tmp_path):
    """DuckDB takes isnan for false there, and a comparison with a bound for true."""
    pq.write_table(pa.table({"x": [1.0, np.nan, None, 2, 3, 4], "y": [1.5, 1, 1, 3, 2, 5]}), tmp_path / "a.parquet")
    connection = connected("duckdb")
    connection.con.execute(f"CREATE OR REPLACE VIEW nans AS FROM '{tmp_path}/a.parquet'")
    fit = sq.ols("y ~ x", connection.table("nans"))
    assert fit.rows.dropped == {"x": {"null": 1, "nan": 1, "inf": 0}}
    assert_close(fit.params, sq.ols("y ~ x", {"x": [1.0, 2, 3, 4], "y": [1.5, 3, 2, 5]}).params, rtol=1e-13)


def test_a_division_by_zero_is_said_and_leaves_the_connection_well():
    data = {"x": [0.0, 1.0, 2.0, 4.0], "y": [1.0, 2.0, 4.0, 4.5]}
    table = ibis_table("Postgres", data)
    with pytest.raises(DataError, match=r"cannot be aggregated in Postgres: division by zero.*leave them out with where="):
        sq.ols("y ~ I(1 / x)", table)
    fit = sq.ols("y ~ I(1 / x)", table, where="x > 0")
    assert_close(fit.params, sq.ols("y ~ I(1 / x)", data, where="x > 0").params, rtol=1e-12)


def test_what_a_database_cannot_do_is_named():
    """Without what stands in for quantiles SQLite is asked for one."""
    source = open_source(ibis_table("SQLite"))
    source.engine = replace(source.engine, quantiles=True)
    with pytest.raises(
        DataError,
        match=r"SQLite lacks an operation that the Ibis table needs.*Quantile.* Write the rows of the Ibis table to a Parquet",
    ):
        sq.ols("y ~ bs(x, df=5)", source)


def test_a_query_is_a_table_and_an_unbound_one_is_refused():
    table = ibis_table("SQLite")
    fit = sq.ols("double ~ x", table.filter(table.z < 2).mutate(double=table.y * 2))
    data = columns()
    here = {name: np.asarray(values)[data["z"] < 2] for name, values in data.items()}
    assert_close(fit.params, 2 * sq.ols("y ~ x", here).params, rtol=1e-12)
    with pytest.raises(DataError, match="Ibis table"):
        sq.ols("y ~ x", need("ibis").table({"x": "float64", "y": "float64"}, name="nowhere"))


def test_enumerations_keep_their_order_in_duckdb():
    connection = connected("duckdb")
    values = "('mid', 3.0), ('lo', 1.0), ('hi', 2.0), ('mid', 4.0), ('lo', 1.5), ('hi', 2.5)"
    connection.con.execute(
        f"CREATE OR REPLACE TABLE enums AS SELECT g::ENUM('lo', 'mid', 'hi') AS g, y FROM (VALUES {values}) t(g, y)"
    )
    assert sq.ols("y ~ g", connection.table("enums")).params.index.tolist() == ["Intercept", "g[T.mid]", "g[T.hi]"]


# --- an order of rows ------------------------------------------------------------------------------------------------------------


def made_lazy(table, folder):
    return need("polars").from_arrow(table).lazy()


SORTED = {**MAKERS, "relation": relation, "polars": made_lazy}


@pytest.mark.parametrize("fold", ["batches", "aggregates"])
@pytest.mark.parametrize("engine", SORTED)
def test_order_by_gives_durbin_watson_and_residuals(engine, fold, tmp_path):
    if fold == "batches" and engine in MAKERS:
        pytest.skip("rows of an Ibis table are not read in batches")
    data = {**columns(300), "x": pa.array([None if i % 50 == 7 else v for i, v in enumerate(columns(300)["x"].tolist())])}
    here = sq.ols("y ~ x + g", data)
    fit = sq.ols("y ~ x + g", SORTED[engine](shuffled(data), tmp_path), order_by="time", fold=fold)
    assert_close(fit.durbin_watson, here.durbin_watson, rtol=1e-12)
    assert_close(fit.resid, here.resid, rtol=1e-9, atol=1e-11)
    assert "Rows in the order of 'time'." in " ".join(str(fit.summary()).split())


@pytest.mark.parametrize("engine", SORTED)
def test_an_order_that_is_not_certain_is_refused(engine, tmp_path):
    data = {**columns(20), "tied": [1, 1, *range(2, 20)], "empty": pa.array([None, *range(1, 20)])}
    table = SORTED[engine](pa.table(data), tmp_path)
    with pytest.raises(DataError, match=r"'tied' of .* has 19 distinct values in 20 rows, so order_by='tied' does not determine"):
        sq.ols("y ~ x", table, order_by="tied")
    with pytest.raises(DataError, match=r"'empty' of .* is empty in 1 row, so order_by='empty' does not place"):
        sq.ols("y ~ x", table, order_by="empty")
    with pytest.raises(DataError, match=r"no column 'tme' in .*Did you mean 'time'"):
        sq.ols("y ~ x", table, order_by="tme")
    with pytest.raises(OptionError, match=r"order_by=3 is not the name of a column"):
        sq.ols("y ~ x", table, order_by=3)


def test_rows_with_an_order_of_their_own_are_not_sorted(tmp_path):
    data = columns(20)
    pq.write_table(pa.table(data), tmp_path / "a.parquet")
    for given in (data, pa.table(data), pa.table(data).to_pandas(), tmp_path / "a.parquet"):
        with pytest.raises(DataError, match=r"have an order already.*Sort them by 'time' first"):
            sq.ols("y ~ x", given, order_by="time")


def test_a_time_stamp_may_be_the_order():
    stamp = "TIMESTAMP '2024-01-01' + INTERVAL (i * 37 % 100) HOUR"
    stamps = duckdb.sql(f"SELECT {stamp} AS t, i::DOUBLE AS x, (i * i % 17)::DOUBLE AS y FROM range(100) r(i)")
    table = stamps.to_arrow_table()
    here = table.sort_by("t")
    fit = sq.ols("y ~ x", stamps, order_by="t", fold="aggregates")
    expected = sq.ols("y ~ x", {name: here[name].to_numpy() for name in ("x", "y")})
    assert_close(fit.durbin_watson, expected.durbin_watson, rtol=1e-12)
    assert not math.isnan(fit.durbin_watson)
