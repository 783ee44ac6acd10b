"""Extract the line of a Spark error that names its cause, and silence Spark's own log of it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from squarely.data.engines.query_source import translate_errors
from squarely.errors import DataError, first_line

_SKIPPED_PREFIXES = ("An error occurred while calling", "\t")  # py4j's introduction, and the stack of the JVM
_AWAIT_MESSAGE = "Exception thrown in awaitResult"  # says only that a query has failed
_CLASS = re.compile(r"^org\.apache\.spark\.[\w.$]+: (?=\[)")
_TRACEBACK = "Traceback (most recent call last)"
_LOGS = ("DataFrameQueryContextLogger", "SQLQueryContextLogger")
_MISSING_MODULE = re.compile(r"No module named '(numpy|scipy|pandas|pyarrow|narwhals|threadpoolctl|squarely)\b")


def spark_message(error: Exception) -> str:
    r"""Return the line of an error that names its cause: the last of a Python traceback, otherwise the first.

    >>> spark_message(Exception("An error occurred while calling o1.f.\n: org.apache.spark.E: Exception thrown in awaitResult: \n"
    ...                     "\tat F.f(F.java)\nCaused by: org.apache.spark.E: [BAD_FILE] It is gone.\n\tat F.f(F.java)"))
    '[BAD_FILE] It is gone'
    """
    texts = [line.removeprefix(": ").removeprefix("Caused by: ") for line in str(error).splitlines()]
    lines = [line for line in texts if line.strip() and not line.startswith(_SKIPPED_PREFIXES) and _AWAIT_MESSAGE not in line]
    begins = next((i for i, line in enumerate(lines) if _TRACEBACK in line), None)
    if begins is not None:
        lines = [line for line in lines[begins + 1 :] if not line.startswith(" ")] or lines
    return first_line(Exception(_CLASS.sub("", lines[0]))) if lines else type(error).__name__


@contextmanager
def translate_spark_errors() -> Iterator[None]:
    """Turn the errors of Spark into a DataError, and mute its log and its warning about pandas."""
    from pyspark.logger import PySparkLogger

    def refuse(record: object) -> bool:
        return False

    with translate_errors(_spark_error), warnings.catch_warnings(), ExitStack() as after:
        # Spark warns at each use of Arrow, although no pandas is involved.
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        for name in _LOGS:  # it logs an error, as JSON with the stack of the JVM, that becomes an exception anyway
            logger = PySparkLogger.getLogger(name)
            logger.addFilter(refuse)
            after.callback(logger.removeFilter, refuse)
        yield


def _spark_error(error: Exception) -> DataError:
    if missing := _MISSING_MODULE.search(str(error)):
        return DataError(
            f"The Python of Spark's executors has no package {missing[1]!r}, and needs numpy, scipy, pandas and pyarrow. "
            "Install it there, or set PYSPARK_PYTHON to a Python that has it."
        )
    return DataError(
        f"The Spark DataFrame cannot be processed: {spark_message(error)}. Check that its session is running and its count() works."
    )
