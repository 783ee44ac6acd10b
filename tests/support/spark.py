"""Spark of the tests' own: sessions, of which a process has one at a time, and tables handed over to them."""

import atexit
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.support.checks import need

SHARED = "local-cluster[2,1,1024]"  # two executors in processes of their own, which see no memory of this one
SETTINGS = {"spark.driver.maxResultSize": "1m", "spark.sql.shuffle.partitions": "3"}  # little may come back at once
WARNINGS = (
    # PySpark 4.3 says so of pandas 3 at each use of Arrow, here when the tests make their tables; squarely silences it for itself.
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    # Sockets to the JVM, which py4j leaves to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
)

_running: dict[str, Any] = {}


def require_java() -> None:
    """Skip where Spark cannot run, or fail where everything is required."""
    need("pyspark")
    if not any((Path(folder) / "java").exists() for folder in (os.environ.get("JAVA_HOME", "") + "/bin", *os.get_exec_path())):
        if os.environ.get("SQUARELY_REQUIRE_ALL") == "1":
            pytest.fail("needs Java")
        pytest.skip("needs Java, which Spark runs in")


def session(master: str, *, python: str = sys.executable, settings: Mapping[str, str] | None = None) -> Any:
    """Start a session of few threads, whose executors run a Python; the one before it ends."""
    require_java()
    stop()
    os.environ["PYSPARK_PYTHON"], os.environ["PYSPARK_DRIVER_PYTHON"] = python, sys.executable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of imports of PySpark's own
        sql = need("pyspark.sql")
        builder = sql.SparkSession.builder.master(master)
        quiet = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2", "spark.ui.showConsoleProgress": "false"}
        # Most of the time went into compiling for long runs what runs for a moment.
        quick = {f"spark.{who}.extraJavaOptions": "-XX:TieredStopAtLevel=1" for who in ("driver", "executor")}
        for name, value in (quiet | quick | dict(settings or {})).items():
            builder = builder.config(name, value)
        started = builder.getOrCreate()
    started.sparkContext.setLogLevel("OFF")
    _running[master] = started
    return started


def shared() -> Any:
    """Give the session that tests share unless they need another; it starts again where another one has run."""
    return _running.get(SHARED) or session(SHARED, settings=SETTINGS)


def stop() -> None:
    """End the session that runs, if there is one."""
    while _running:
        _running.popitem()[1].stop()


atexit.register(stop)


def spark_frame(spark: Any, data: pa.Table | Mapping[str, object], parts: int = 3) -> Any:
    """Make a DataFrame of some partitions from a table."""
    table = pa.table(data)
    names = table.column_names
    frame = spark.createDataFrame(table.rename_columns([f"c{i}" for i in range(len(names))]))
    return frame.repartition(parts).toDF(*names)


def numbered(spark: Any, parts: int, columns: int, rows: int = 3) -> Any:
    """Make a DataFrame with some rows in each partition, in one certain order: its plan has no shuffle.

    `spark_frame` has a shuffle (`repartition`). Spark fetches its pieces in the order of their arrival, so the rows of a partition
    come in another order each time that they are computed.
    """
    made = [f"sin(id * {j + 1}.37) AS x{j}" for j in range(columns)]
    return spark.range(0, rows * parts, 1, parts).selectExpr(*made, "concat('g', id % 3) AS g", "cos(id * id) AS y")
