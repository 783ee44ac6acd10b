"""Spark sessions of other kinds: one that is stopped, executors that have no squarely, and such as lack what they need."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import squarely as sq
from squarely.data.engines.spark import SparkSource
from squarely.errors import DataError
from tests.support.checks import CARS, assert_close, need
from tests.support.spark import WARNINGS, session, spark_frame, stop

pytestmark = [*WARNINGS]

X = np.random.default_rng(1).normal(size=2_000)
DATA = {"x": X, "g": np.where(X > 0, "a", "b"), "y": 2 * X + np.sin(9 * X)}


@pytest.fixture
def opened():
    """Open sessions that are stopped afterwards."""
    yield session
    stop()


def interpreter(folder, packages):
    """Write a program that runs this Python with some packages and nothing else: no .pth file is followed."""
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nexport PYTHONPATH="{packages}"\nexec "{sys.executable}" -S "$@"\n')
    program.chmod(0o755)
    return str(program)


def test_squarely_is_sent_to_executors_that_have_none(opened, tmp_path):
    python = interpreter(tmp_path, sysconfig.get_path("purelib"))
    spark = opened("local-cluster[2,1,1024]", python=python)

    def can_import(batches):
        try:
            import squarely

            found = squarely.__file__
        except ImportError:
            found = "no"
        yield pa.record_batch({"found": [found]})

    def found():
        return {row["found"] for row in spark.range(2).mapInArrow(can_import, "found string").collect()}

    assert found() == {"no"}
    path = list(sys.path)
    frame = spark_frame(spark, DATA)
    fit = sq.ols("y ~ bs(x, df=5) + C(g)", frame)
    assert sys.path == path
    assert_close(fit.params, sq.ols("y ~ bs(x, df=5) + C(g)", DATA).params, rtol=1e-10)
    assert all("squarely_modules.zip" in place for place in found())
    assert len(fit.predict(frame).collect()) == len(X)
    sent = spark.sparkContext.listFiles
    sq.ols("y ~ x", frame)
    assert spark.sparkContext.listFiles == sent  # once


def test_what_executors_lack_is_named(opened, tmp_path):
    packages = tmp_path / "packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith("scipy"):
            (packages / entry.name).symlink_to(entry)
    spark = opened("local-cluster[1,1,1024]", python=interpreter(tmp_path, packages))
    with pytest.raises(DataError, match=r"executors has no package 'scipy'.*Install it there"):
        sq.ols("y ~ x", spark_frame(spark, DATA))


def test_the_page_on_clusters_runs(opened, capsys):
    need("torch")
    spark = opened("local[2]")
    page = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    code = code.replace('"cars.csv"', repr(CARS))  # the JVM has another folder
    names = {}
    exec(compile(code, "clusters.md", "exec"), names)  # noqa: S102  # the page's own lines
    assert names["spark"].sparkContext is spark.sparkContext
    printed = " ".join(capsys.readouterr().out.split())
    assert all(promised in printed for promised in re.findall(r'# "(.*)"', code))
    assert_close(names["fit"].params, sq.ols("mpg ~ weight + C(origin)", CARS).params, rtol=1e-12)


def test_a_session_that_is_stopped_is_reported(opened, monkeypatch):
    spark = opened("local[2]")
    frame = spark_frame(spark, DATA)
    folded = SparkSource.reduce_partitions

    def stopped(self, *given):
        spark.stop()
        return folded(self, *given)

    monkeypatch.setattr(SparkSource, "reduce_partitions", stopped)
    with pytest.raises(DataError, match=r"cannot be processed: .*Check that its session is running") as actual:
        sq.ols("y ~ x", frame)
    assert type(actual.value.__cause__).__module__.startswith("pyspark")
    with pytest.raises(DataError, match="cannot be processed"):
        sq.ols("y ~ x", frame, fold="aggregates")


def test_a_process_prints_nothing_of_other_libraries(tmp_path):
    """Not even PySpark's warning of pandas, nor what is left at the end."""
    need("pyspark")
    script = """
import sys
import warnings
from pyspark.sql import SparkSession
import squarely as sq
quiet = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.sql.shuffle.partitions": "1"}
spark = SparkSession.builder.master("local[1]").config(map=quiet).getOrCreate()
spark.sparkContext.setLogLevel("OFF")
rows = [(float(i), 2.0 * i + i % 3, "abc"[i % 3]) for i in range(50)]
frame = spark.createDataFrame(rows, "x double, y double, g string")
print("begin", file=sys.stderr, flush=True)
preview = sq.preview(frame)
print([(column.kind, column.values[:2]) for column in preview.columns], preview.rows)
print(sq.ols("y ~ x + C(g)", frame).params.round(6).tolist())
print(sq.ols("y ~ x + C(g)", frame, fold="batches", order_by="x").resid.abs().max() < 1e-9)
print(sq.ols("y ~ x", frame).predict(frame).count())
"""
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr.partition("begin\n")[2] == ""
    shown = "[('number', (0.0, 1.0)), ('number', (0.0, 3.0)), ('text', ('a', 'b'))] 50"
    assert done.stdout.splitlines() == [shown, "[0.0, 1.0, 2.0, 2.0]", "True", "50"]
