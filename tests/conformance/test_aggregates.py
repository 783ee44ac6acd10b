"""The fold by aggregates: the same fit as from batches, the digits that it can have, and no row that leaves the engine."""

import json
import math
from fractions import Fraction

import duckdb
import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import squarely as sq
from squarely.data import Query, open_source
from squarely.data.engines.duckdb import DuckDBSource
from squarely.data.engines.polars_lazy import PolarsLazySource
from squarely.errors import DataError, FormulaError, OptionError
from tests.support.checks import (
    assert_close,
    assert_same_fit,
    digits,
    exact_normal_equations_of,
    exact_solution,
    exact_standard_errors,
    hand_over,
    need,
    nist,
    nist_columns,
)
from tests.support.parity import CONDITIONS, PARITY, wide_table

ENGINES = ("polars lazy", "duckdb")
engines = pytest.mark.parametrize("form", ENGINES)


@pytest.fixture(autouse=True)
def no_row_leaves(monkeypatch, request):
    """Let every read of rows fail, but where a test reads them on purpose."""
    if "rows_are_read" in request.fixturenames:
        return

    def refuse(self, numbers, labels=()):
        raise AssertionError("a row has left the engine")

    for source in (PolarsLazySource, DuckDBSource):
        monkeypatch.setattr(source, "read", refuse)


@pytest.fixture
def rows_are_read():
    """Mark a test that reads rows on purpose."""


reads = pytest.mark.usefixtures("rows_are_read")


def inside(formula, data, form, folder, **options):
    """Fit by aggregates."""
    return sq.ols(formula, hand_over(form, data, folder), fold="aggregates", **options)


# --- digits -----------------------------------------------------------------------------------------------------------------

FLOORS = {"Norris": 12.7, "Pontius": 12.3, "NoInt1": 14.5, "NoInt2": 14.9, "Filip": 12.0, "Longley": 13.0, "Wampler1": 10.0,
          "Wampler2": 12.5, "Wampler3": 9.3, "Wampler4": 9.0, "Wampler5": 8.5}  # fmt: skip
BSE_FLOORS = {"Filip": 9.5, "Longley": 12.5}  # the others have 12: cross-products square the condition


@engines
@pytest.mark.parametrize("written", ["poly", "I"])
@pytest.mark.parametrize("name", FLOORS)
def test_nist(name, written, form, tmp_path):
    problem = nist(name)
    formula, data = nist_columns(problem)
    k = problem["polynomial_degree"] or 1
    if k > 1:
        powers = " + ".join(f"I(x**{i})" for i in range(2, k + 1))
        formula = f"y ~ poly(x, {k}, raw=True)" if written == "poly" else f"y ~ x + {powers}"
    fit, certified = inside(formula, data, form, tmp_path), problem["certified"]
    found = digits(fit.params, certified["coefficients"])
    assert found.min() >= FLOORS[name]
    if float(certified["residual_sd"]) == 0:
        assert np.isnan(fit.mse_resid)  # doubles cannot tell it from zero
        assert fit.rsquared == 1.0
    else:
        assert digits(fit.bse, certified["std_errors"]).min() >= BSE_FLOORS.get(name, 12)
        assert digits(fit.rsquared, certified["r_squared"]) >= 12


@engines
@pytest.mark.parametrize(("name", "floor"), [("Pontius", 12.3), ("Wampler1", 10.0), ("Wampler2", 12.5), ("Wampler3", 9.3)])
def test_nist_with_powers_in_columns(name, floor, form, tmp_path):
    formula, data = nist_columns(nist(name))
    assert digits(inside(formula, data, form, tmp_path).params, nist(name)["certified"]["coefficients"]).min() >= floor


@engines
def test_columns_that_cannot_be_distinguished_are_refused(form, tmp_path):
    formula, data = nist_columns(nist("Filip"))
    with pytest.raises(DataError, match=r"cannot tell them apart\. Fit with fold='batches'"):
        inside(formula, data, form, tmp_path)


@engines
@pytest.mark.parametrize("seed", range(12))
def test_claimed_digits_are_there(seed, form, tmp_path):
    """The truth is exact, for the doubles that are stored; columns range from orthogonal to nearly collinear."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(8, 60)), int(rng.integers(1, 4))
    X = rng.normal(size=(n, p)) * 10.0 ** rng.integers(-6, 6, p) + 10.0 ** rng.integers(-3, 6, p)
    if p > 1:
        X[:, 1] = X[:, 0] * 3 + 10.0 ** -rng.integers(0, 4) * np.abs(X[:, 0]).std() * rng.normal(size=n)
    y = X @ rng.normal(size=p) + 10.0 ** rng.integers(-8, 3) * rng.normal(size=n)
    data = {**{f"x{j}": X[:, j] for j in range(p)}, "y": y}
    fit = inside("y ~ " + " + ".join(data).removesuffix(" + y"), data, form, tmp_path)
    with_one = np.column_stack([np.ones(n), X])
    true = digits(fit.params, exact_solution(with_one, y))
    assert (fit.digits.fillna(0) <= true + 1).all()
    assert (fit.digits_bse <= digits(fit.bse, exact_standard_errors(with_one, y)) + 1).all()
    assert (fit.digits.fillna(15) >= true - 5).all()  # and claims are worth having


@engines
def test_a_polynomial_keeps_the_digits_of_its_stored_argument(form, tmp_path):
    x = 1.334e9 + 3.6e3 * np.arange(60)
    y = 1e-12 * (x - 1.334e9) ** 2 + np.sin(x)
    fit = inside("y ~ x + I(x**2)", {"x": x, "y": y}, form, tmp_path)
    truth = exact_normal_equations_of([[Fraction(1), Fraction(v), Fraction(v) ** 2] for v in x.tolist()], y)[0]
    found = digits(fit.params, [float(b) for b in truth])
    assert found.min() >= 9
    assert (fit.digits <= found + 1).all()


# --- the everyday traps -------------------------------------------------------------------------------------------------------


@engines
def test_a_and_g_unix_time(form, tmp_path):
    """Raw moments in SQL give 3.3 digits here."""
    t = 1.334e9 + 3.6 * np.arange(1000)
    y = 0.5 * t + 1e-4 * np.random.default_rng(0).normal(size=1000)
    fit = inside("y ~ t", {"t": t, "y": y}, form, tmp_path)
    found = digits(fit.params, exact_solution(np.column_stack([np.ones(1000), t]), y))
    assert found[1] >= 13
    assert found[0] >= 9  # the intercept, 5.9, is what two terms of 6.7e8 leave
    assert (fit.digits <= found + 1).all()
    assert fit.rsquared > 0.9999


@engines
def test_b_tiny_scale(form, tmp_path):
    x = 1e-7 * np.arange(100.0)
    assert_close(inside("y ~ x", {"x": x, "y": 3e7 * x + 1}, form, tmp_path).params, [1, 3e7], rtol=1e-12)


@engines
def test_c_income_and_a_rate(form, tmp_path):
    rng = np.random.default_rng(1)
    income, rate = rng.normal(6e4, 2e4, 500), rng.normal(0.03, 0.01, 500)
    data = {"income": income, "rate": rate, "y": 0.001 * income + 50 * rate + 2}
    assert_close(inside("y ~ income + rate", data, form, tmp_path).params, [2, 0.001, 50], rtol=1e-10)


@engines
def test_d_collinear_columns_are_named(form, tmp_path):
    rng = np.random.default_rng(2)
    a = rng.normal(size=200)
    data = {"a": a, "b": 2 * a, "g": np.where(a > 0, "up", "down"), "up": (a > 0).astype(int), "y": a + rng.normal(size=200)}
    fit = inside("y ~ a + b + g + up", data, form, tmp_path)
    assert fit.dropped_columns == ("b = 2 a", "up = g[T.up]")
    assert fit.params.isna().tolist() == [False, False, False, True, True]
    with pytest.raises(DataError, match="b = 2 a"):
        inside("y ~ a + b", data, form, tmp_path, collinear="raise")


@engines
def test_d_powers_without_one_that_is_dropped_are_centered_again(form, tmp_path):
    """The square is there before: the cube cannot be moved to a center by what is dropped."""
    x = np.arange(30.0) + 1
    z, y = x**2, np.sqrt(x)
    fit = inside("y ~ z + x + I(x**2) + I(x**3)", {"x": x, "z": z, "y": y}, form, tmp_path)
    assert fit.dropped_columns == ("I(x ** 2) = z",)
    truth = exact_solution(np.column_stack([np.ones(30), z, x, x**3]), y)
    assert_close(fit.params.dropna(), truth, rtol=1e-9)


@engines
def test_e_missing_rows_are_counted_by_column_and_cause(form, tmp_path):
    x = pa.array([None if i in (7, 9) else {3: math.nan, 5: math.inf}.get(i, float(i)) for i in range(20)], from_pandas=False)
    y = pa.array([None if i == 9 else 2.0 * i + 1 for i in range(20)])
    group = pa.array([None if i == 11 else "ab"[i % 2] for i in range(20)])
    fit = inside("y ~ x + g", {"x": x, "y": y, "g": group}, form, tmp_path)
    dropped = {"x": {"null": 2, "nan": 1, "inf": 1}, "y": {"null": 1, "nan": 0, "inf": 0}, "g": {"null": 1, "nan": 0, "inf": 0}}
    assert fit.rows.as_dict() == {"read": 20, "filtered": 0, "weightless": 0, "used": 15, "dropped": dropped}
    assert_close(fit.params[["Intercept", "x", "g[T.b]"]], [1, 2, 0], rtol=1e-12, atol=1e-12)
    with pytest.raises(DataError, match=r"missing='raise' refuses them.*Rows dropped for x"):
        inside("y ~ x + g", {"x": x, "y": y, "g": group}, form, tmp_path, missing="raise")


def test_e_nan_that_the_statistics_of_parquet_leave_out(tmp_path):
    """DuckDB takes isnan for false there."""
    pq.write_table(pa.table({"x": [1.0, np.nan, None, np.inf, 2, 3, 4], "y": [1.5, 1, 1, 1, 3, 2, 5]}), tmp_path / "a.parquet")
    fit = sq.ols("y ~ x", duckdb.connect().read_parquet(str(tmp_path / "a.parquet")), fold="aggregates")
    assert fit.rows.dropped == {"x": {"null": 1, "nan": 1, "inf": 1}}
    assert_close(fit.params, exact_solution(np.array([[1, 1], [1, 2], [1, 3], [1, 4]]), np.array([1.5, 3, 2, 5])), rtol=1e-12)


@engines
def test_h_integers_do_not_overflow(form, tmp_path):
    x = np.arange(1, 2001, dtype=np.int32) * 1_000_000
    data = {"x": x, "z": (np.arange(2000) ** 2 % 1000).astype(np.int16), "y": 3 * x.astype(np.int64) + 2}
    fit = inside("y ~ x + I(x * x) + x:z", data, form, tmp_path)
    assert_close(fit.params["x"], 3, rtol=1e-14)
    assert_close(fit.params["Intercept"], 2, rtol=0, atol=1e-6)  # a double has no more of 6e9
    assert (fit.digits["Intercept"] <= digits(fit.params["Intercept"], 2.0) + 1).all()
    assert_close(fit.params[["I(x * x)", "x:z"]], [0, 0], rtol=0, atol=1e-14)


@engines
def test_j_float32_columns(form, tmp_path):
    rng = np.random.default_rng(4)
    x = (1e4 + rng.normal(size=1000)).astype(np.float32)
    y = 2.0 * x.astype(float) + rng.normal(size=1000)
    fit = inside("y ~ x", {"x": x, "y": y}, form, tmp_path)
    assert digits(fit.params, exact_solution(np.column_stack([np.ones(1000), x.astype(float)]), y)).min() >= 12


# --- the same as from batches -------------------------------------------------------------------------------------------------


# What differs on purpose: how the numbers were reached; and an order of rows, which DuckDB has not.


def held(form, data):
    """Hand a table over; DuckDB would rename columns of a registered table that differ by case alone."""
    table = pa.table(data)
    if form != "duckdb":
        return need("polars").from_arrow(table).lazy()
    connection = duckdb.connect()
    connection.register("held", table.rename_columns([f"c{i}" for i in range(table.num_columns)]))
    names = ", ".join(f'c{i} AS "{name.replace(chr(34), 2 * chr(34))}"' for i, name in enumerate(table.column_names))
    return connection.sql(f"SELECT {names} FROM held")  # a test's own names


@reads
@engines
@pytest.mark.parametrize("name", PARITY)
def test_every_statistic_is_that_of_batches(name, form):
    data, where = wide_table(), CONDITIONS.get(name)
    read, asked = (sq.ols(PARITY[name], held(form, data), where=where, fold=fold) for fold in ("batches", "aggregates"))
    assert_same_fit(asked, read, ordered=form != "duckdb")
    if not where:
        assert_close(asked.predict(data), read.predict(data), rtol=1e-9, atol=1e-9)
    assert_close(asked.resid, read.resid, rtol=1e-8, atol=1e-9)


@reads
@engines
def test_many_levels_go_by_groups(form, tmp_path):
    rng = np.random.default_rng(8)
    n = 30_000
    data = {"g": [f"level {i}" for i in rng.integers(0, 700, n)], "h": rng.integers(0, 12, n), "x": rng.normal(size=n)}
    data["y"] = rng.normal(size=n) + data["x"]
    asked = inside("y ~ C(g) + C(h) * x", data, form, tmp_path)
    read = sq.ols("y ~ C(g) + C(h) * x", hand_over(form, data, tmp_path), fold="batches")
    assert_close(asked.params, read.params, rtol=1e-9, atol=1e-11)
    assert_close(asked.bse, read.bse, rtol=1e-9)
    assert asked.solution.moments.engine_record.expressions < 200  # and not 700 squared


@engines
def test_an_order_of_rows(form, tmp_path):
    y = np.array([1.0, 2, 4, 3, 6, 5, 9, 7])
    fit = inside("y ~ x", {"x": np.arange(8.0), "y": y}, form, tmp_path)
    b = np.polyfit(np.arange(8.0), y, 1)
    r = y - np.polyval(b, np.arange(8.0))
    page = " ".join(str(fit.summary()).split())
    if form == "duckdb":
        assert math.isnan(fit.durbin_watson)
        assert "Durbin-Watson needs an order of rows, which DuckDB does not have. Give order_by=." in page
    else:
        assert_close(fit.durbin_watson, np.square(np.diff(r)).sum() / (r @ r), rtol=1e-12)
        assert "needs an order" not in page


@engines
def test_a_pilot_that_is_far_off_is_folded_again(form, tmp_path, monkeypatch):
    monkeypatch.setattr("squarely.moments.gather.PILOT_ROWS", 100)
    x = np.concatenate([np.arange(100) * 1e-6, 1e6 + np.arange(9_900.0)])
    y = 0.25 * x + np.sin(np.arange(10_000.0))
    fit = inside("y ~ x", {"x": x, "y": y}, form, tmp_path)
    assert fit.solution.moments.passes == 2
    truth = exact_solution(np.column_stack([np.ones(10_000), x]), y)
    assert digits(fit.params, truth).min() >= 8
    once = inside("y ~ x", {"x": x[::-1].copy(), "y": y[::-1].copy()}, form, tmp_path)
    assert once.solution.moments.passes == 1


# --- the contract ---------------------------------------------------------------------------------------------------------------


@engines
def test_a_source_aggregates(form, tmp_path):
    """Names are exact, counts are of rows, and groups come with their labels."""
    data = {"x": pa.array([1.0, None, math.nan, 4.0], from_pandas=False), "X": [1, 2, 3, 4], "g": ["a", "b", "a", None]}
    source = open_source(hand_over(form, data, tmp_path))
    query = Query(numbers=("x",), labels=("g",))
    total = {"s": nw.col("v0").sum(), "n": nw.len()}
    assert source.aggregate(query.with_stages(nw.col("f0")), total) == [{"s": 5.0, "n": 2}]
    groups = {row["l0"]: row["n"] for row in source.aggregate(query.with_stages(nw.col("g0")), {"n": nw.len()}, ["l0"])}
    assert groups == {"a": 2, "b": 1}
    assert source.aggregate(Query(), {"n": nw.len()}) == [{"n": 4}]


@engines
def test_more_aggregates_than_a_query_takes_are_asked_in_several(form, tmp_path, monkeypatch):
    kind = PolarsLazySource if form == "polars lazy" else DuckDBSource
    data = {k: v for k, v in wide_table().items() if k in ("x", "z", "when", "small", "y")}
    whole = inside("y ~ x * when + z + small", data, form, tmp_path)
    monkeypatch.setattr(kind, "engine", type(kind.engine)(name="bounded", max_aggregates=7, ordered=kind.engine.ordered))
    parts = inside("y ~ x * when + z + small", data, form, tmp_path)
    assert_close(parts.params, whole.params, rtol=1e-12)
    assert parts.solution.scans > whole.solution.scans


@reads
@pytest.mark.parametrize("form", ["dict", "pandas", "arrow", "csv", "parquet"])
def test_sources_of_batches_alone_refuse(form, tmp_path):
    with pytest.raises(DataError, match=r"Open it as a Polars LazyFrame.*or as a DuckDB relation"):
        inside("y ~ x", {"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 4.0]}, form, tmp_path)
    with pytest.raises(OptionError, match="Use 'auto', 'batches' or 'aggregates'"):
        sq.ols("y ~ x", {"x": [1.0], "y": [1.0]}, fold="rows")


@reads
@engines
def test_a_fit_says_how_its_rows_were_summed_up(form, tmp_path):
    data = {"x": np.arange(9.0), "y": np.arange(9.0) ** 2}
    fit = inside("y ~ x", data, form, tmp_path)
    engine = "DuckDB" if form == "duckdb" else "Polars"
    page = " ".join(str(fit.summary()).split())
    asked = fit.solution.moments.engine_record
    assert f"from cross-products by aggregates in {engine}" in page
    assert f"{fit.solution.scans} scans and {asked.expressions} expressions over the rows" in page
    assert fit.as_dict()["fold"] == "aggregates"
    assert sq.ols("y ~ x", data).as_dict()["fold"] == "batches"
    fit.save(tmp_path / "fit.json")
    loaded = sq.load(tmp_path / "fit.json")
    assert loaded.fold == "aggregates"
    assert_close(loaded.params, fit.params, rtol=0)
    assert_close(loaded.predict({"x": [10.0]}), fit.predict({"x": [10.0]}), rtol=0)
    assert json.loads((tmp_path / "fit.json").read_text())["aggregated"]["engine"] == engine


@engines
def test_no_rows_and_no_values_are_said(form, tmp_path):
    with pytest.raises(DataError, match=r"None of the 3 rows of .* is complete in the columns 'y', 'x'|'x', 'y'"):
        inside("y ~ x", {"x": pa.array([1.0, None, None]), "y": pa.array([None, 1.0, 2.0])}, form, tmp_path)
    with pytest.raises(DataError, match=r"None of the 3 rows of .* meets where='x > 5'"):
        inside("y ~ x", {"x": [1.0, 2, 3], "y": [1.0, 2, 3]}, form, tmp_path, where="x > 5")
    with pytest.raises(DataError, match=r"log\(x\)' is not a number in 3 rows"):
        inside("y ~ log(x)", {"x": [-1.0, -2, -3], "y": [1.0, 2, 3]}, form, tmp_path)
    with pytest.raises(DataError, match=r"'g' of .* is 'a' in every row"):
        inside("y ~ g", {"g": ["a", "a", "a"], "y": [1.0, 2, 3]}, form, tmp_path)
    with pytest.raises(DataError, match=r"The response 'g' of .* holds text, and a regression explains numbers"):
        inside("g ~ y", {"g": ["a", "a", "a"], "y": [1.0, 2, 3]}, form, tmp_path)
    with pytest.raises(DataError, match=r"squares leave the range"):
        inside("y ~ x", {"x": [1e200, 2e200, 3e200, 1e200], "y": [1.0, 2, 3, 5]}, form, tmp_path)
    with pytest.raises(DataError, match=r"needs more than 3 different values"):
        inside("y ~ poly(x, 3)", {"x": [1.0, 2, 3, 3, 2, 1], "y": [1.0, 2, 3, 5, 6, 7]}, form, tmp_path)


@engines
@pytest.mark.parametrize("name", ["x", "z", "y"])
def test_a_column_beyond_all_range_is_the_one_that_is_named(name, form, tmp_path):
    rng = np.random.default_rng(2)
    data = {each: rng.normal(size=60) * (1e300 if each == name else 1) for each in ("x", "z", "y")}
    with pytest.raises(DataError, match=f"values of column '{name}'.* are too large, and their squares leave"):
        inside("y ~ x + z", data, form, tmp_path)


@engines
def test_a_data_that_lies_on_a_line(form, tmp_path):
    """Doubles cannot tell residuals of zero from those below their rounding: what rests on these is unknown, and said to be."""
    fit = inside("y ~ x", {"x": np.arange(20.0), "y": 2 * np.arange(20.0)}, form, tmp_path)
    assert np.isnan([fit.ssr, *fit.bse, fit.fvalue, fit.llf]).all()
    assert fit.rsquared == 1.0
    assert_close(fit.params, [0.0, 2.0], rtol=1e-14, atol=1e-14)
    assert "residuals are smaller than the rounding" in " ".join(str(fit.summary()).split())


def test_a_plan_whose_rows_change_is_noticed():
    polars = need("polars")
    rng = np.random.default_rng(0)
    frame = polars.DataFrame({"x": np.arange(50.0), "y": np.arange(50.0)}).lazy()
    moving = frame.map_batches(lambda f: f.with_columns(y=polars.Series(rng.normal(size=50))), streamable=False)
    with pytest.raises(DataError, match="has changed since it was first read"):
        sq.ols("y ~ x", moving, fold="aggregates")


@reads
def test_auto_takes_aggregates_where_they_are_clearly_better(monkeypatch):
    """Many rows, few plain columns, Polars: measured; anything else is read in batches."""
    rng = np.random.default_rng(5)
    data = {f"x{i}": rng.normal(size=100) for i in range(6)} | {"g": ["a", "b"] * 50, "y": rng.normal(size=100)}
    assert sq.ols("y ~ x1", held("polars lazy", data)).fold == "batches"
    monkeypatch.setattr("squarely.moments.gather.CHEAP_CELLS", 50)
    assert sq.ols("y ~ x1 + x2", held("polars lazy", data)).fold == "aggregates"
    for formula in (
        "y ~ x1 + g",
        "y ~ poly(x1, 2)",
        "y ~ I(x1**2)",
        "y ~ x0 + x1 + x2 + x3 + x4 + x5",
        "log(y + 9) ~ x1",
        "y ~ x1 + offset(x2)",
        "y ~ 1",
    ):
        assert sq.ols(formula, held("polars lazy", data)).fold == "batches"
    assert sq.ols("y ~ x1", held("duckdb", data)).fold == "batches"
    assert sq.ols("y ~ x1", held("polars lazy", data), fold="batches").fold == "batches"
    with pytest.raises(DataError, match="no column 'x7'"):
        sq.ols("y ~ x7", held("polars lazy", data))


@reads
def test_auto_falls_back_on_batches_and_says_so(monkeypatch):
    monkeypatch.setattr("squarely.moments.gather.CHEAP_CELLS", 50)
    rng = np.random.default_rng(6)
    x = rng.normal(size=100)
    data = {"x": x, "z": x + 1e-9 * rng.normal(size=100), "y": rng.normal(size=100)}
    fit = sq.ols("y ~ x + z", held("polars lazy", data))
    assert fit.fold == "batches"
    assert not fit.dropped_columns
    assert "Read in batches: by aggregates in Polars, z is so near to a combination" in " ".join(str(fit.summary()).split())
    with pytest.raises(DataError, match="fold='batches'"):
        sq.ols("y ~ x + z", held("polars lazy", data), fold="aggregates")


@engines
def test_too_many_levels_are_refused_without_fetching_them(form, tmp_path):
    data = {"g": np.arange(20_000), "y": np.arange(20_000) % 7}
    source = open_source(hand_over(form, data, tmp_path))
    assert len(source.aggregate(Query(labels=("g",), group_limit=5), {"n": nw.len()}, ["l0"])) == 5
    with pytest.raises(DataError, match=r"'g' of .* has more than 10,000 different values"):
        sq.ols("y ~ C(g)", source, fold="aggregates")


@engines
def test_mistakes_in_a_column_are_said_without_their_row(form, tmp_path):
    with pytest.raises(DataError, match=r"'g' of .* holds text among numbers: '\?'\. Correct or clear that value"):
        inside("y ~ g", {"g": ["1", "2", "?", "2"], "y": [1.0, 2, 3, 4]}, form, tmp_path)
    with pytest.raises(FormulaError, match=r"lacks 'c', which is there\. List every level"):
        inside("y ~ C(g, levels=['a', 'b'])", {"g": ["a", "b", "c", "a"], "y": [1.0, 2, 3, 4]}, form, tmp_path)
    with pytest.raises(DataError, match=r"where= compares 'g', which holds text, with 1\. .* as in == '1'"):
        inside("y ~ x", {"g": ["1", "2", "2"], "x": [1.0, 2, 4], "y": [1.0, 2, 3]}, form, tmp_path, where="g in [1, 2]")


@engines
def test_declared_orders_of_levels_hold(form, tmp_path):
    """An enumeration has its own order in both engines."""
    y = [3.0, 1.0, 2.0, 4.0, 1.5, 2.5]
    if form == "duckdb":
        values = ", ".join(f"('{g}', {v})" for g, v in zip(["mid", "lo", "hi"] * 2, y, strict=True))
        data = duckdb.connect().sql(f"select g::enum('lo', 'mid', 'hi') as g, y from (values {values}) t(g, y)")
    else:
        pl = need("polars")
        data = pl.LazyFrame({"g": pl.Series(["mid", "lo", "hi"] * 2, dtype=pl.Enum(["lo", "mid", "hi"])), "y": y})
    fit = sq.ols("y ~ g", data, fold="aggregates")
    assert list(fit.params.index) == ["Intercept", "g[T.mid]", "g[T.hi]"]
    assert_close(fit.params, [1.25, 2.25, 1.0], rtol=1e-13)
