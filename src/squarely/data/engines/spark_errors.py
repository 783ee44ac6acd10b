"""What Spark says of a failure: the one line that matters, and its log of the same, a page each time, kept quiet meanwhile."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from squarely.errors import DataError, SquarelyError, first_line

_SKIPPED_PREFIXES = ("An error occurred while calling", "\t")  # what py4j says before what has happened, and the stack of the JVM
_AWAIT_MESSAGE = "Exception thrown in awaitResult"  # what waited for a query says only that the query has failed
_CLASS = re.compile(r"^org\.apache\.spark\.[\w.$]+: (?=\[)")
_TRACEBACK = "Traceback (most recent call last)"
_LOGS = ("DataFrameQueryContextLogger", "SQLQueryContextLogger")


def spark_message(error: Exception) -> str:
    r"""Give the line of an error that says what has happened: what a traceback of Python's ends in, else the first one.

    >>> spark_message(Exception("An error occurred while calling o1.f.\n: org.apache.spark.E: Exception thrown in awaitResult: \n"
    ...                     "\tat F.f(F.java)\nCaused by: org.apache.spark.E: [BAD_FILE] It is gone.\n\tat F.f(F.java)"))
    '[BAD_FILE] It is gone'
    """
    said = [line.removeprefix(": ").removeprefix("Caused by: ") for line in str(error).splitlines()]
    lines = [line for line in said if line.strip() and not line.startswith(_SKIPPED_PREFIXES) and _AWAIT_MESSAGE not in line]
    begins = next((i for i, line in enumerate(lines) if _TRACEBACK in line), None)
    if begins is not None:
        lines = [line for line in lines[begins + 1 :] if not line.startswith(" ")] or lines
    return first_line(Exception(_CLASS.sub("", lines[0]))) if lines else type(error).__name__


@contextmanager
def mute_spark_log() -> Iterator[None]:
    """Keep Spark from logging, as JSON with the stack of the JVM, an error that is about to be told."""
    from pyspark.logger import PySparkLogger

    def refuse(record: object) -> bool:
        return False

    with ExitStack() as after:
        for name in _LOGS:
            logger = PySparkLogger.getLogger(name)
            logger.addFilter(refuse)
            after.callback(logger.removeFilter, refuse)
        yield


MISSING_MODULE = re.compile(r"No module named '(numpy|scipy|pandas|pyarrow|narwhals|threadpoolctl|squarely)\b")


@contextmanager
def translate_spark_errors() -> Iterator[None]:
    """Say what Spark could not do. The user's own plan runs here and may raise anything."""
    try:
        with warnings.catch_warnings(), mute_spark_log():
            # Spark says so at each use of Arrow; nothing of pandas is used here.
            warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
            yield
    except SquarelyError:
        raise
    except Exception as error:
        raise engine_error(error) from error


def engine_error(error: Exception) -> DataError:
    """Return the error to raise for a failure in Spark."""
    missing = MISSING_MODULE.search(str(error))
    if missing:
        return DataError(
            f"The Python of Spark's executors has no package {missing[1]!r}, which work on their rows needs: numpy, "
            "scipy, pandas and pyarrow. Install it there, or let PYSPARK_PYTHON name a Python that has it."
        )
    return DataError(
        f"The Spark DataFrame cannot be worked on: {spark_message(error)}. See that its session is running and that "
        f"its count() works."
    )
