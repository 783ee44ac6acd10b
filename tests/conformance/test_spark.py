"""Spark DataFrames: the same fit as of the rows in memory, from executors in processes of their own that keep their rows."""

import os
import shutil
import signal
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import squarely as sq
from squarely.data import open_source
from squarely.data.engines.partitions import unpack_payload
from squarely.data.engines.spark import SparkSource
from squarely.data.engines.spark_executors import merge_udf
from squarely.errors import DataError, FormulaError, OptionError
from tests.support.checks import CARS, assert_close, assert_same_fit, need
from tests.support.parity import CONDITIONS, PARITY, wide_table
from tests.support.spark import WARNINGS, numbered, shared, spark_frame

pytestmark = [*WARNINGS]


@pytest.fixture
def spark():
    return shared()


@pytest.fixture(scope="module")
def wide():
    return spark_frame(shared(), wide_table()).cache()


@pytest.mark.parametrize("fold", ["batches", "aggregates"])
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.smoke) if name == "numeric" else name for name in PARITY])
def test_every_statistic_is_that_of_rows_in_memory(name, fold, wide):
    where = CONDITIONS.get(name)
    there, here = sq.ols(PARITY[name], wide, where=where, fold=fold), sq.ols(PARITY[name], wide_table(), where=where)
    assert_same_fit(there, here, ordered=False)


def test_double_double(wide):
    formula = "y ~ x + z + money"
    there, here = (sq.ols(formula, data, precision="extended") for data in (wide, wide_table()))
    assert there.as_dict()["precision"] == "extended"
    assert_close(there.params, here.params, rtol=1e-15)
    assert "Durbin-Watson needs an order of rows" in " ".join(str(there.summary()).split())


def test_serial_correlation(spark):
    rng = np.random.default_rng(3)
    x, e = np.cumsum(rng.normal(size=(2, 200)), axis=1)
    rows = pd.DataFrame({"t": np.arange(200), "year": np.arange(200) // 20, "x": x, "y": x + e}).sample(frac=1, random_state=0)
    there = spark_frame(spark, pa.Table.from_pandas(rows, preserve_index=False), parts=5)
    here = sq.ols("y ~ x", rows.sort_values("t"))
    assert_close(sq.ols("y ~ x", there, order_by="t", vcov="HAC").bse, here.vcov("HAC").bse, rtol=1e-10)
    expected = sq.ols("y ~ x", rows, vcov="DK", time="year")
    assert_close(sq.ols("y ~ x", there, vcov="DK", time="year").bse, expected.bse, rtol=1e-10)
    with pytest.raises(OptionError, match="the Spark DataFrame has no order"):
        sq.ols("y ~ x", there, vcov="HAC")


@pytest.mark.parametrize(("fold", "levels"), [("batches", 3_000), ("aggregates", 300)])  # Spark is slow to look many up
def test_many_levels(fold, levels, spark):
    rng = np.random.default_rng(8)
    n = 20_000
    data = {"g": [f"level {i}" for i in rng.integers(0, levels, n)], "h": rng.integers(0, 5, n), "x": rng.normal(size=n)}
    data["y"] = rng.normal(size=n) + data["x"]
    there = sq.ols("y ~ C(g) + C(h) * x", spark_frame(spark, data), fold=fold)
    here = sq.ols("y ~ C(g) + C(h) * x", data)
    assert_close(there.params, here.params, rtol=1e-9, atol=1e-10)
    assert_close(there.bse, here.bse, rtol=1e-9)


def test_a_first_partition_without_a_row_to_learn_from(spark):
    data = {name: wide_table()[name] for name in ("x", "z", "y")}
    frame = spark_frame(spark, data).repartitionByRange(3, "x")
    where = f"x > {float(np.quantile(data['x'], 0.7))}"
    there, here = (sq.ols("y ~ x + z", given, where=where) for given in (frame, data))
    assert there.rows == here.rows
    assert_close(there.params, here.params, rtol=1e-11)


def test_names_are_exact_and_kinds_are_known(spark):
    source = open_source(spark_frame(spark, {"a.b `c": [1.0], "x": [1], "X": ["a"], "d": pa.array([0], pa.date32()), "t": [True]}))
    assert isinstance(source, SparkSource)
    assert source.columns == {"a.b `c": "double", "x": "bigint", "X": "string", "d": "date", "t": "boolean"}
    assert [source.kind(name) for name in source.columns] == ["number", "number", "text", "other", "boolean"]
    with pytest.raises(DataError, match="no column 'A'"):
        sq.ols("y ~ A", spark_frame(spark, {"a": [1.0], "y": [1.0]}))
    with pytest.raises(DataError, match="two or more columns called 'x'"):
        sq.ols("y ~ x", spark_frame(spark, {"x": [1.0], "z": [1.0], "y": [1.0]}).toDF("x", "x", "y"))
    with pytest.raises(DataError, match="date"):
        sq.ols("x ~ d", spark_frame(spark, {"x": [1.0, 2.0], "d": pa.array([0, 1], pa.date32())}))


def test_what_is_wrong_in_a_partition_is_said_as_ever(spark):
    frame = spark_frame(spark, cars())
    with pytest.raises(DataError, match=r"None of the 398 rows of the Spark DataFrame is complete"):
        sq.ols("mpg ~ log(0 * weight)", frame)
    with pytest.raises(FormulaError, match="not among the 3 levels of 'origin'"):
        sq.ols("mpg ~ C(origin, Treatment('mars'))", frame)
    with pytest.raises(DataError, match="Columns depend on each other"):
        sq.ols("mpg ~ weight + I(2 * weight)", frame, collinear="raise")
    with pytest.raises(OptionError, match="precision"):
        sq.ols("mpg ~ weight", frame, fold="aggregates", precision="extended")


@pytest.mark.parametrize("options", [{"vcov": "CR2", "cluster": "g"}, {"cluster": ["g", "h"]}])
@pytest.mark.parametrize("fold", ["batches", "aggregates"])
def test_clusters_are_summed_in_the_partitions(options, fold, spark):
    rng = np.random.default_rng(4)
    n = 600
    g, h = rng.integers(0, 30, n), rng.integers(0, 9, n)
    data = {"g": [None if k == 7 else f"firm {k}" for k in g], "h": h, "x": rng.normal(size=n) + h}
    data["y"] = data["x"] + rng.normal(size=30)[g] + rng.normal(size=n)
    there = sq.ols("y ~ x", spark_frame(spark, data), fold=fold, **options)
    here = sq.ols("y ~ x", data, **options)
    assert there.rows.dropped == here.rows.dropped == {"g": {"null": int((g == 7).sum()), "nan": 0, "inf": 0}}
    assert_close(there.bse, here.bse, rtol=1e-9)
    assert_close(there.df_t, here.df_t, rtol=1e-8)
    assert there.cov_kwds["groups"] == here.cov_kwds["groups"]


def cars():
    """Give the cars as columns."""
    import duckdb

    return duckdb.read_csv(CARS).to_arrow_table()


# --- what travels ---------------------------------------------------------------------------------------------------------------


def test_nothing_but_sums_travels(spark, monkeypatch):
    """What comes back does not grow with the rows, and no row is read."""
    sent = []
    outcome = unpack_payload
    monkeypatch.setattr("squarely.data.engines.spark.unpack_payload", lambda packed: (sent.append(len(packed)), outcome(packed))[1])
    monkeypatch.setattr(SparkSource, "read", None)
    x = np.random.default_rng(0).normal(size=40_000)
    sizes = []
    for n in (4_000, 40_000):
        sent.clear()
        sq.ols("y ~ ns(x, df=4) + C(g)", spark_frame(spark, {"x": x[:n], "y": x[:n] ** 2, "g": np.where(x[:n] > 0, "a", "b")}))
        sizes.append(max(sent))
    assert sizes[1] < 1.01 * sizes[0]


def test_residuals_come_when_they_are_asked_for(wide):
    there, here = sq.ols("y ~ x + group", wide), sq.ols("y ~ x + group", wide_table())
    assert_close(np.sort(there.resid), np.sort(here.resid), rtol=0, atol=1e-12)
    assert_close(np.sort(there.fittedvalues), np.sort(here.fittedvalues), rtol=1e-12)


def test_training_on_cross_products_certificate_and_sweep(wide):
    formula = "y ~ x + small + group"
    options = {"engine": "moments", "dtype": "float64"}
    fits = [sq.ols(formula, data) for data in (wide, wide_table())]
    runs = [sq.train(formula, data, lr="auto", epochs=200, **options) for data in (wide, wide_table())]
    assert_close(runs[0].result.losses, runs[1].result.losses, rtol=1e-10)
    certificates = [sq.certify(fit, run) for fit, run in zip(fits, runs, strict=True)]
    assert certificates[0].verdict == certificates[1].verdict
    sweeps = [sq.sweep(formula, data, lr=[0.1, 0.3], epochs=20, **options) for data in (wide, wide_table())]
    assert_close(sweeps[0].best.result.losses, sweeps[1].best.result.losses, rtol=1e-10)
    with pytest.raises(DataError, match=r"engine='moments'"):
        sq.train(formula, wide, epochs=2)


@pytest.mark.parametrize("made", ["fit", "run"])
def test_predictions_are_a_column_of_the_dataframe(made, wide):
    data = wide_table()
    formula = 'y ~ x + gaps + C(dose) + Q("a.b `c")'
    here = sq.ols(formula, data) if made == "fit" else sq.train(formula, data, epochs=30, engine="moments")
    given = here.predict(wide)
    assert given.columns == [*wide.columns, "predicted"]
    assert [f.dataType for f in given.schema.fields[:-1]] == [f.dataType for f in wide.schema.fields]
    x, found = (np.array(given.toArrow().column(name)) for name in ("x", "predicted"))
    expected = np.asarray(here.predict(data))
    assert_close(found[np.argsort(x)], expected[np.argsort(data["x"])], rtol=1e-12)
    assert np.isnan(found).any()


def test_limits_are_columns_of_the_dataframe(spark):
    data = {"x": [1.0, 2, 3, 4, 5], "g": ["a", "b", "a", "b", "a"], "y": [1.0, 2, 4, 3, 6]}
    fit = sq.ols("y ~ x + C(g)", data, vcov="HC1")
    new = spark_frame(spark, {"x": [1.0, 2.0, None], "g": ["a", "b", "a"], "w": [1.0, 4.0, 1.0]})
    expected = fit.get_prediction(
        {"x": [1.0, 2.0, np.nan], "g": ["a", "b", "a"], "w": [1.0, 4.0, 1.0]}, weights="w"
    ).summary_frame()
    limits = fit.predict(new, interval="prediction", weights="w")
    frame = fit.get_prediction(new, weights="w").summary_frame()
    assert limits.columns == ["x", "g", "w", "predicted", "lower", "upper"]
    assert frame.columns == ["x", "g", "w", *expected.columns]
    for given, names in ((limits, ["mean", "obs_ci_lower", "obs_ci_upper"]), (frame, list(expected.columns))):
        found = given.toArrow().to_pandas().sort_values("x").iloc[:, 3:]  # the row with a gap is last
        assert_close(found.to_numpy(dtype=float), expected[names].to_numpy(), rtol=1e-12)


def test_predictions_refuse_what_they_cannot_do(spark):
    fit = sq.ols("y ~ x + C(g)", {"x": [1.0, 2, 3, 4], "g": ["a", "b", "a", "b"], "y": [1.0, 2, 4, 3]})
    new = spark_frame(spark, {"x": [1.0, 2.0], "g": ["a", "zebra"]})
    assert np.isnan(np.array(fit.predict(new, unseen="nan").toArrow().column("predicted"))).sum() == 1
    with pytest.raises(Exception, match=r"'g' of the Spark DataFrame.*has 'zebra'"):  # Spark's own: it works when it is asked
        fit.predict(new).collect()
    with pytest.raises(OptionError, match="unseen"):
        fit.predict(new, unseen="no")
    with pytest.raises(DataError, match="no column 'g'"):
        fit.predict(new.select("x"))
    with pytest.raises(DataError, match="column 'predicted' already"):
        fit.predict(new.selectExpr("x", "g", "x AS Predicted"))


# --- what goes wrong --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fold", ["batches", "aggregates"])
def test_a_column_that_puts_the_rows_in_order_gives_durbin_watson(spark, fold):
    table = wide_table()
    rows = {name: table[name] for name in ("x", "z", "y")} | {"time": np.arange(len(table["x"]))}
    shuffled = pa.table(rows).take(np.random.default_rng(3).permutation(len(rows["time"])))
    fit, here = sq.ols("y ~ x + z", spark_frame(spark, shuffled), fold=fold, order_by="time"), sq.ols("y ~ x + z", rows)
    assert_close(fit.durbin_watson, here.durbin_watson, rtol=1e-11)
    assert "Rows in the order of 'time'." in " ".join(str(fit.summary()).split())
    with pytest.raises(DataError, match="does not determine their order"):
        sq.ols("y ~ x", spark_frame(spark, {"x": [1.0, 2.0, 4.0], "y": [1.0, 3.0, 2.0], "t": [1, 1, 2]}), order_by="t")


def killing(marker):
    """Let the Python worker that comes first kill itself, once."""

    def through(batches):
        for batch in batches:
            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                yield batch
                continue
            os.kill(os.getpid(), signal.SIGKILL)

    return through


def test_a_worker_that_is_killed_changes_no_bit(spark, tmp_path):
    frame = numbered(spark, 3, 2, rows=2_000)
    calm = sq.ols("y ~ x0 + x1", frame)
    marker = tmp_path / "killed"
    struck = sq.ols("y ~ x0 + x1", frame.mapInArrow(killing(str(marker)), frame.schema))
    assert marker.exists()
    assert struck.params.tolist() == calm.params.tolist()
    assert struck.bse.tolist() == calm.bse.tolist()


def test_an_executor_that_is_killed_changes_no_bit(spark, monkeypatch):
    psutil = need("psutil")
    frame = numbered(spark, 3, 2, rows=2_000)
    calm = sq.ols("y ~ x0 + x1", frame)
    folded, killed = SparkSource.reduce_partitions, []

    def struck(self, *given):
        if not killed:
            living = [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
            executor = next(p for p in living if "CoarseGrainedExecutorBackend" in " ".join(p.cmdline()))
            executor.kill()
            killed.append(executor.pid)
        return folded(self, *given)

    monkeypatch.setattr(SparkSource, "reduce_partitions", struck)
    after = sq.ols("y ~ x0 + x1", frame)
    assert killed
    assert after.params.tolist() == calm.params.tolist()
    assert after.bse.tolist() == calm.bse.tolist()


def test_an_executor_that_is_killed_between_work_and_merging_changes_no_bit(spark, monkeypatch, tmp_path):
    need("psutil")
    frame = numbered(spark, 5, 2, rows=2_000).cache()  # what is cached on the executor goes with it and is computed again
    calm = sq.ols("y ~ x0 + x1", frame)
    marker, blending = str(tmp_path / "killed"), merge_udf

    def striking(merge):
        merging = blending(merge)

        def block(rows):
            import psutil

            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return merging(rows)
            worker = psutil.Process()
            next(p for p in worker.parents() if "CoarseGrainedExecutorBackend" in " ".join(p.cmdline())).kill()
            os._exit(1)

        return block

    monkeypatch.setattr("squarely.data.engines.spark.merge_udf", striking)
    monkeypatch.setattr("squarely.data.tree_reduce._MIN_PARTS", 2)  # so that blocks are merged there
    after = sq.ols("y ~ x0 + x1", frame)
    assert Path(marker).exists()
    assert after.params.tolist() == calm.params.tolist()
    assert after.bse.tolist() == calm.bse.tolist()


def test_a_shuffle_changes_the_order_of_rows_and_so_no_more_than_the_last_bits(spark):
    frame = numbered(spark, 5, 2, rows=2_000)
    calm = sq.ols("y ~ x0 + x1", frame)
    for _ in range(3):
        again = sq.ols("y ~ x0 + x1", frame.repartition(4))
        assert_close(again.params, calm.params, rtol=1e-13)
        assert_close(again.bse, calm.bse, rtol=1e-13)


def test_a_plan_that_fails_is_reported_with_sparks_own_words(spark):
    frame = spark_frame(spark, {"x": [1, 2, 3], "y": [1.0, 2.0, 4.0]}).selectExpr("y", "x / (x - 2) AS x")
    for fold in ("batches", "aggregates"):
        with pytest.raises(DataError, match=r"cannot be processed: .*DIVIDE_BY_ZERO") as actual:
            sq.ols("y ~ x", frame, fold=fold)
        assert "DIVIDE_BY_ZERO" in str(actual.value.__cause__)

    def raising(batches):
        raise ZeroDivisionError("division by zero")

    failing = spark_frame(spark, {"x": [1.0, 2, 3], "y": [1.0, 2, 4]}).mapInArrow(raising, "x double, y double")
    with pytest.raises(DataError, match="ZeroDivisionError: division by zero"):
        sq.ols("y ~ x", failing)


@pytest.mark.parametrize("fold", ["batches", "aggregates"])
def test_what_is_said_of_a_plan_is_one_line(fold, spark, tmp_path, capfd):
    """The first query of a fit is not the one that Spark tells the cause of, and Spark would log the stack of the JVM beside."""

    def raising(value):
        raise ValueError("no such thing")

    import pyspark.sql.functions as f

    rows = spark_frame(spark, {"x": [1.0, 2, 3, 4], "g": ["1", "2", "3", "a"], "y": [1.0, 2, 4, 3]}).cache()
    rows.write.parquet(str(tmp_path / "gone"))
    gone = spark.read.parquet(str(tmp_path / "gone"))
    shutil.rmtree(tmp_path / "gone")
    frames = {
        "ValueError: no such thing": rows.withColumn("x", f.udf(raising, "double")("x")),
        r"\[CAST_INVALID_INPUT\] The value 'a'": rows.selectExpr("y", "CAST(g AS double) AS x"),
        r"\[FAILED_READ_FILE.FILE_NOT_EXIST\]": gone,
    }
    for message, frame in frames.items():
        with pytest.raises(DataError, match=f"^The Spark DataFrame cannot be processed: {message}") as actual:
            sq.ols("y ~ x", frame, fold=fold)
        assert "\n" not in str(actual.value)
    assert "java" not in capfd.readouterr().err


# --- odd tables -------------------------------------------------------------------------------------------------------------------

X, Y = np.random.default_rng(4).normal(size=(2, 40))


@pytest.mark.parametrize("fold", ["batches", "aggregates"])
def test_tables_that_no_fit_can_come_of(fold, spark):
    rows = spark_frame(spark, {"x": X, "y": Y, "g": ["a", "b"] * 20}).cache()
    tables = {
        "column names but no rows": rows.limit(0),
        "no column 'y'": rows.select(),
        "1 complete row for 2": rows.limit(1),
        "'y' is empty in 40 rows": rows.selectExpr("x", "NULL AS y"),
        "'x' is infinite in 40 rows": rows.selectExpr("y", "double('Infinity') AS x"),
        "holds array<double> values": rows.selectExpr("y", "array(x) AS x"),
        "holds map<double,string> values": rows.selectExpr("y", "map(x, g) AS x"),
        "holds interval values": rows.selectExpr("y", "make_interval(1) AS x"),
        "holds timestamp values": rows.selectExpr("y", "timestamp_seconds(x) AS x"),
        "The response 'y' .* holds text": rows.selectExpr("x", "g AS y"),
        "is a stream": spark.readStream.format("rate").load().selectExpr("double(value) AS x", "double(value) AS y"),
    }
    for message, table in tables.items():
        with pytest.raises(DataError, match=message):
            sq.ols("y ~ x", table, fold=fold)


@pytest.mark.parametrize("fold", ["batches", "aggregates"])
def test_an_order_that_there_is_not(fold, spark):
    rows = spark_frame(spark, {"x": X, "y": Y}).cache()
    orders = {
        "is empty in 1 row": "nullif(x, double('{first!r}'))",
        "does not determine": "CASE WHEN x < 0 THEN double('NaN') ELSE x END",
        "holds map<double,double> values, which have no order": "map(x, x)",
    }
    for message, order in orders.items():
        with pytest.raises(DataError, match=message):
            sq.ols("y ~ x", rows.selectExpr("x", "y", f"{order.format(first=X[0].item())} AS t"), fold=fold, order_by="t")
    stream = spark.readStream.format("rate").load().selectExpr("double(value) AS x", "double(value) AS y", "value AS t")
    with pytest.raises(DataError, match="is a stream"):
        sq.ols("y ~ x", stream, fold=fold, order_by="t")


ODD_NAMES = ("a.b", "a`b", "a\"b'c", "a\nb", "😀", "v0", "c0", "l0", "f0", "part", "payload", "made", "predicted", "0", " ")


def test_no_name_is_in_the_way(spark):
    """All at once, in an order in which the numbers of places are not those of names."""
    data = dict(zip(ODD_NAMES, np.random.default_rng(5).normal(size=(len(ODD_NAMES), 60)), strict=True)) | {
        "y": np.arange(60.0) ** 2
    }
    formula = "y ~ " + " + ".join(f"Q({name!r})" for name in ODD_NAMES)
    frame, here = spark_frame(spark, data).cache(), sq.ols(formula, data)
    for fold in ("batches", "aggregates"):
        there = sq.ols(formula, frame, fold=fold)
        assert there.params.index.tolist() == here.params.index.tolist()
        assert_close(there.params / here.standard_errors, here.params / here.standard_errors, rtol=1e-10, atol=1e-10)


def test_values_at_the_edge(spark):
    money = [Decimal(i * i) + Decimal("0.123456789012345678") for i in range(60)]
    data = {"x": np.array([0.0, -0.0, np.inf, 1.5, np.nan, -np.inf] * 10), "y": np.sin(np.arange(60.0))}
    data["d"] = pa.array(money, pa.decimal128(38, 18))
    frame = spark_frame(spark, data).cache()
    for formula in ("y ~ C(x) + d", "y ~ x + d", "y ~ d"):
        here = sq.ols(formula, data)
        for fold in ("batches", "aggregates"):
            there = sq.ols(formula, frame, fold=fold)
            assert there.params.index.tolist() == here.params.index.tolist()
            assert_close(there.params, here.params, rtol=1e-10)
            assert there.rows.used == here.rows.used


def test_a_stream_and_odd_columns_are_given_back_with_predictions(spark):
    fit = sq.ols("y ~ x", {"x": X, "y": Y})
    rows = spark_frame(spark, {"x": X, "g": ["a", "b"] * 20})
    odd = rows.selectExpr("x", "map(g, x) AS m", "array(x) AS a", "struct(x, g) AS s", "timestamp_seconds(0) AS t", "NULL AS n")
    given = fit.predict(odd.withColumn("made", odd["x"]))
    there = given.collect()
    assert_close([row["predicted"] for row in there], fit.predict({"x": [row["x"] for row in there]}), rtol=1e-12)
    assert fit.predict(spark.readStream.format("rate").load().selectExpr("double(value) AS x")).isStreaming
    for kind in ("make_interval(1)", "make_ym_interval(1)"):
        with pytest.raises(DataError, match=r"Column 'i' .* cannot pass through Python.*df\.drop\('i'\)"):
            fit.predict(rows.selectExpr("x", f"{kind} AS i"))
    with pytest.raises(DataError, match=r"'x' .* holds array<double> values"):
        fit.predict(rows.selectExpr("array(x) AS x"))
    with pytest.raises(DataError, match=r"'x' .* holds text, and the predictions need a number"):
        fit.predict(rows.selectExpr("g AS x"))
