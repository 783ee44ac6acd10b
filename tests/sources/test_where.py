"""Rows chosen by where=. Oracles: Python's own whole numbers and decimals, NumPy, pandas' query, DuckDB and Polars."""

from __future__ import annotations

import operator
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import squarely as sq
from squarely.errors import DataError, FormulaError
from tests.support.checks import assert_close
from tests.support.scripts import run_script

K, N = 2**53, 200
rng = np.random.default_rng(7)
EXTRA = {"x": rng.normal(size=N), "y": rng.normal(size=N)}
WIDE = pd.DataFrame(
    {
        "id": K + rng.integers(0, 4, N),
        "other": K + rng.integers(0, 4, N),
        "u": np.uint64(2**63) + rng.integers(0, 4, N).astype("uint64"),
        "small": rng.integers(0, 9, N),
        "f": (K + rng.integers(0, 4, N)).astype(float),
        **EXTRA,
    }
)
FEW = ("pandas", "csv", "lazy, aggregates", "duckdb, aggregates")  # one for each kind of comparison
SIGNS = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def forms(data: pd.DataFrame, folder) -> dict[str, tuple[object, str]]:
    table = pa.table({name: data[name].to_numpy() for name in data})
    frame = pl.from_arrow(table)
    pq.write_table(table, folder / "rows.parquet")
    data.to_csv(folder / "rows.csv", index=False)
    whole = [name for name in data if data[name].dtype.kind in "iu"]
    nullable = data.astype({name: "Int64" if data[name].dtype.kind == "i" else "UInt64" for name in whole})
    return {
        "pandas": (data, "batches"),
        "pandas, nullable": (nullable, "batches"),
        "pandas, Arrow": (table.to_pandas(types_mapper=pd.ArrowDtype), "batches"),
        "dict": ({name: data[name].to_numpy() for name in data}, "batches"),
        "arrow": (table, "batches"),
        "polars": (frame, "batches"),
        "csv": (str(folder / "rows.csv"), "batches"),
        "parquet": (str(folder / "rows.parquet"), "batches"),
        "lazy": (frame.lazy(), "batches"),
        "lazy, aggregates": (frame.lazy(), "aggregates"),
        "duckdb": (duckdb.from_arrow(table), "batches"),
        "duckdb, aggregates": (duckdb.from_arrow(table), "aggregates"),
    }


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return forms(WIDE, tmp_path_factory.mktemp("wide"))


def chosen(source, where, fold="batches"):
    return sq.ols("y ~ x", source, where=where, fold=fold).nobs


@pytest.mark.parametrize("sign", SIGNS)
def test_whole_numbers_are_compared_exactly(sign, wide):
    compare = SIGNS[sign]
    ids, others, us = (WIDE[name].tolist() for name in ("id", "other", "u"))
    expected = {
        f"id {sign} {K + 1}": sum(compare(i, K + 1) for i in ids),
        f"{K + 2} {sign} id": sum(compare(K + 2, i) for i in ids),
        f"id {sign} other": sum(map(compare, ids, others)),
        f"u {sign} {2**63 + 1}": sum(compare(i, 2**63 + 1) for i in us),
        f"not id {sign} {K + 1}": sum(not compare(i, K + 1) for i in ids),
        f"id {sign} {K + 1}.0": sum(compare(i, Decimal(f"{K + 1}.0")) for i in ids),
        f"id {sign} {K + 1}.5 or small == 3": sum(
            compare(i, Decimal(f"{K + 1}.5")) or s == 3 for i, s in zip(ids, WIDE["small"], strict=True)
        ),
        f"id {sign} f": sum(map(compare, ids, WIDE["f"].tolist())),
    }
    for i, (where, rows) in enumerate(expected.items()):
        for form, (source, fold) in wide.items():
            if i < 1 or form in FEW:
                assert chosen(source, where, fold) == rows, (where, form)
    assert duckdb.sql(f"SELECT * FROM WIDE WHERE id {sign.replace('==', '=')} {K + 1}").shape[0] == expected[f"id {sign} {K + 1}"]
    assert len(WIDE.query(f"id {sign} other")) == expected[f"id {sign} other"]


def test_lists_of_whole_numbers_and_arithmetic_with_them(wide):
    ids, others = WIDE["id"].tolist(), WIDE["other"].tolist()
    for where, rows in {
        f"id in [{K + 1}, {K + 3}]": sum(i in (K + 1, K + 3) for i in ids),
        f"id not in [{K + 1}]": sum(i != K + 1 for i in ids),
        f"u in [{2**63 + 2}]": sum(i == 2**63 + 2 for i in WIDE["u"].tolist()),
    }.items():
        for form, (source, fold) in wide.items():
            assert chosen(source, where, fold) == rows, (where, form)
    for where, rows in {
        f"id - {K} == 1": sum(i - K == 1 for i in ids),
        "id - other >= 1": sum(i - j >= 1 for i, j in zip(ids, others, strict=True)),
        f"2 * id < {2 * K + 3}": sum(2 * i < 2 * K + 3 for i in ids),
    }.items():
        for form, (source, fold) in wide.items():
            if form in ("pandas", "csv", "polars"):
                assert chosen(source, where, fold) == rows, (where, form)
            elif fold == "aggregates":
                with pytest.raises(DataError, match=r"where= needs more digits of 'id' than doubles have"):
                    chosen(source, where, fold)
    lazy = wide["lazy, aggregates"][0]
    assert chosen(lazy, "small + 1 > 4 and small < x + 100", "aggregates") == (WIDE["small"] > 3).sum()


def test_ids_in_a_csv_have_a_way_that_works(wide):
    path = wide["csv"][0]
    assert chosen(path, f"id in [{K + 1}]") == (WIDE["id"] == K + 1).sum()
    with pytest.raises(DataError, match=r"is compared with text\. Leave the quotes out"):
        chosen(path, f"id in ['{K + 1}']")


def test_the_condition_of_a_saved_fit_stays_as_it_was(wide, tmp_path):
    fit = sq.ols("y ~ x", wide["csv"][0], where=f"id > {K}")
    fit.save(tmp_path / "fit.json")
    assert sq.load(tmp_path / "fit.json").design.where.text == fit.design.where.text


DECIMALS = [Decimal("12345678901234567890.10") + Decimal(int(i)) / 100 for i in rng.integers(0, 3, N)]
PRICES = [Decimal(int(i)) / 10 for i in rng.integers(0, 5, N)]
MONEY = pa.table(
    {"d": pa.array(DECIMALS, pa.decimal128(38, 2)), "p": pa.array(PRICES, pa.decimal128(18, 3)), **EXTRA, "q": PRICES[::-1]}
)


def test_decimals_are_compared_as_decimals():
    wished = Decimal("12345678901234567890.11")
    for where, rows in {
        f"d == {wished}": sum(d == wished for d in DECIMALS),
        f"d > {wished}": sum(d > wished for d in DECIMALS),
        f"d in [{wished}]": sum(d == wished for d in DECIMALS),
        f"d not in [{wished}]": sum(d != wished for d in DECIMALS),
        "p == 0.1": sum(p == Decimal("0.1") for p in PRICES),
        "p <= 0.3": sum(p <= Decimal("0.3") for p in PRICES),
        "p in [0.1, 0.3]": sum(p in (Decimal("0.1"), Decimal("0.3")) for p in PRICES),
        "p == q": sum(p == q for p, q in zip(PRICES, PRICES[::-1], strict=True)),
    }.items():
        for source in (MONEY, pl.from_arrow(MONEY), duckdb.from_arrow(MONEY)):
            assert chosen(source, where) == rows, where
        inside = pl.from_arrow(MONEY).lazy()
        if "d" in where.split():
            with pytest.raises(DataError, match="more digits of 'd' than doubles have"):
                chosen(inside, where, "aggregates")
        else:
            assert chosen(inside, where, "aggregates") == rows
            assert pl.from_arrow(MONEY).sql(f"SELECT * FROM self WHERE {_sql(where)}").height == rows


def _sql(where: str) -> str:
    return where.replace("==", "=").replace("[", "(").replace("]", ")")


def test_decimals_that_doubles_merge_are_no_categories():
    for source, fold in ((MONEY, "batches"), (pl.from_arrow(MONEY).lazy(), "aggregates")):
        with pytest.raises(DataError, match="more digits"):
            sq.ols("y ~ C(d)", source, fold=fold)
        assert sq.ols("y ~ C(p)", source, fold=fold).rank == 5
    huge = duckdb.sql("SELECT (9007199254740992 + (i % 3))::HUGEINT AS h, i % 7 AS y FROM range(60) t(i)")
    for fold in ("batches", "aggregates"):
        assert sq.ols("y ~ C(h)", huge, fold=fold).design.categories["C(h)"].levels == (K, K + 1, K + 2)
        assert sq.ols("y ~ 1", huge, where=f"h > {K}", fold=fold).nobs == 40


NARROW = [
    "p <= 0.2",
    "p == 0.3",
    "p != 0.3",
    "0.1 < p",
    "p < 0.1 + 0.2",
    "p*2 <= 0.4",
    "p + 0.1 >= 0.3",
    "p/3 >= 0.1",
    "p**2 <= 0.04",
    "-p < -0.3",
    "p <= r",
    "p <= q",
    "p*i < 0.6",
    "p < 1e300",
    "abs(p - 0.5) <= 0.2",
]


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_narrow_floats_meet_a_number_in_their_own_type(kind, tmp_path):
    data = pd.DataFrame({name: (rng.integers(0, 10, N) / 10).astype(kind) for name in ("p", "r")})
    data = data.assign(q=rng.integers(0, 10, N) / 10, i=rng.integers(0, 5, N), **EXTRA)
    arrays = {name: data[name].to_numpy() for name in data}
    frame = pl.DataFrame({name: pl.Series(values) for name, values in arrays.items()})
    sources = {"pandas": (data, "batches"), "polars": (frame, "batches"), "lazy": (frame.lazy(), "aggregates")}
    if kind == "float32":
        sources = {form: each for form, each in forms(data, tmp_path).items() if form in (*FEW, "parquet") and form != "csv"}
    for where in NARROW:
        with np.errstate(over="ignore"):
            expected = eval(where, {}, arrays).sum()  # noqa: S307
        for form, (source, fold) in sources.items():
            assert chosen(source, where, fold) == expected, (where, form)
    for where in NARROW[:4]:
        inside = frame.filter(eval(where, {}, {"p": pl.col("p")})).height  # noqa: S307
        assert len(data.query(where)) == inside == chosen(data, where)
        if kind == "float32":
            assert duckdb.sql(f"SELECT * FROM data WHERE {_sql(where)}").shape[0] == chosen(data, where)
    listed = np.isin(arrays["p"], np.array([0.1, 0.3], kind)).sum()
    for form, (source, fold) in sources.items():
        if (kind, fold) != ("float16", "aggregates"):
            assert chosen(source, "p in [0.1, 0.3]", fold) == listed, form
            assert chosen(source, "p not in [0.1, 0.30000000001]", fold) == N - listed, form


def test_levels_of_narrow_floats_have_short_names(tmp_path):
    data = pd.DataFrame({"p": (rng.integers(0, 4, N) / 10).astype("float32"), **EXTRA})
    means = data.groupby("p").y.mean().to_numpy()
    for form, (source, fold) in forms(data, tmp_path).items():
        if form == "csv":
            continue
        fit = sq.ols("y ~ C(p, Treatment(0.1))", source, fold=fold)
        assert fit.design.categories["C(p, Treatment(0.1))"].levels == (0.0, 0.1, 0.2, 0.3), form
        assert_close(fit.params["Intercept"], means[1], rtol=1e-9)
        assert_close(fit.predict({"p": np.float32([0.3, 0.1])}), means[[3, 1]], rtol=1e-9)
        assert_close(fit.predict({"p": [0.3, 0.1]}), means[[3, 1]], rtol=1e-9)
    category = data.assign(p=data.p.astype(pd.CategoricalDtype(np.float32([0.3, 0.1, 0.2, 0.0]))))
    assert sq.ols("y ~ p", category).design.categories["p"].levels == (0.3, 0.1, 0.2, 0.0)


def test_a_script_chooses_the_same_rows(tmp_path):
    table = pa.table({"p": (rng.integers(0, 4, N) / 10).astype("float32"), **EXTRA})
    pq.write_table(table, tmp_path / "rows.parquet")
    run = sq.train("y ~ C(p) + x", str(tmp_path / "rows.parquet"), where="p <= 0.2 and p in [0.1, 0.2]", lr=0.1, epochs=20)
    (tmp_path / "script.py").write_text(run.code())
    done = run_script(tmp_path / "script.py")
    assert f"loss {run.result.losses[-1]:.8f}" in done.stdout


def test_an_infinity_takes_part_in_arithmetic(tmp_path):
    (tmp_path / "rows.csv").write_text("x,y,z\ninf,-1,1\n4,0.4,2\n4,0.6,4\n1,1,3\n-inf,0,7\n")
    assert sq.ols("y ~ z", str(tmp_path / "rows.csv"), where="y <= 2 / x").nobs == 4


def test_every_double_may_be_written():
    assert chosen(EXTRA, "x > -1e300 and x < 1.7e308") == N
    with pytest.raises(FormulaError, match="beyond the range of double precision"):
        chosen(EXTRA, "x > -1e309")


def test_what_is_said_of_quotes_and_levels():
    data = {"k": [0, 5, 10] * 10, "g": list("123") * 10, "t": [True, False] * 15, "y": np.arange(30.0) ** 0.5}
    for formula, message in {
        "y ~ C(k, Treatment('5'))": "Its levels are not text: write 5",
        "y ~ C(t, Treatment('True'))": "Its levels are not text: write True",
        "y ~ C(g, Treatment(3.0))": "Known levels: '1', '2', '3'",
        "y ~ C(k, Treatment(1))": "Known levels: 0, 5, 10",
        "y ~ `k``g`": "Nothing separates `k` from the text after it",
        "y ~ `k`g": "Nothing separates `k` from the text after it",
        "y ~ g`k`": "Nothing separates g from `k`",
    }.items():
        with pytest.raises((DataError, FormulaError)) as caught:
            sq.ols(formula, data)
        assert message in str(caught.value)
        assert max(map(ord, str(caught.value))) < 0x20000
    with pytest.raises(FormulaError, match=r"Nothing separates b from '1'"):
        sq.ols("y ~ k", data, where="g == b'1'")
    with pytest.raises(DataError, match=r"'g' holds text, and this compares numbers"):
        sq.ols("y ~ k", data, where="g == g")
    with pytest.raises(DataError, match="see whether gaps or where= remove the rows of others"):
        sq.ols("y ~ C(g)", data, where="g == '1'")
    few = sq.ols("y ~ t", {name: values[:6] for name, values in data.items()})
    assert "it may be a name" not in str(few.summary())


def test_a_polynomial_of_values_that_lie_far_apart_is_not_said_to_have_few():
    x = np.append(np.linspace(0, 1, 59), 1e4)
    with pytest.raises(DataError, match="far enough apart relative to its range"):
        sq.ols("y ~ poly(x, 5)", {"x": x, "y": rng.normal(size=60)})


def test_an_end_that_is_one_ulp_away_is_written_in_full():
    x = rng.normal(size=50)
    fit = sq.ols("y ~ bs(x, df=4)", {"x": x, "y": rng.normal(size=50)})
    beyond = float(np.nextafter(x.max(), 9))
    with pytest.raises(DataError, match=rf"and {x.max()!r} and is not defined at {beyond!r}".replace("np.float64", "")):
        fit.predict({"x": [beyond]})


def test_a_folder_of_the_null_partition_meets_no_comparison_with_text(tmp_path):
    towns = {"New%20York": 0.0, "Rome": 5.0, "__HIVE_DEFAULT_PARTITION__": 9.0}
    for town, shift in towns.items():
        (tmp_path / f"city={town}").mkdir()
        x = np.arange(4.0)
        pq.write_table(
            pa.table({"x": x, "y": [shift, shift + 1.0, shift + 2.5, shift + 3.0]}), tmp_path / f"city={town}" / "a.parquet"
        )
    assert sq.ols("y ~ x", tmp_path, where="city == 'New York'").params["Intercept"] == pytest.approx(0.05)
    assert sq.ols("y ~ x", tmp_path, where="city != 'New York'").nobs == 4
