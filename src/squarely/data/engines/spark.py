"""Spark DataFrames: a plan that a cluster runs; each partition is processed where it is.

Spark ignores case in names and parses dots and backticks in them, so columns go by their position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import Any, TypeVar, cast

import narwhals as nw
import pyarrow as pa

from squarely.data.dtypes import unsupported_column_error
from squarely.data.engines.partitions import describe_columns, unpack_payload
from squarely.data.engines.query_source import QuerySource
from squarely.data.engines.spark_errors import translate_spark_errors
from squarely.data.engines.spark_executors import (
    BatchIterator,
    add_py_files,
    merge_udf,
    partition_udf,
    to_arrow_rows,
    with_columns_udf,
)
from squarely.data.query import Engine, Row
from squarely.data.source import Columns, Source, require_columns
from squarely.data.tree_reduce import Branch, block_size, leaves
from squarely.errors import DataError
from squarely.numerics import Array

T = TypeVar("T")

_UNORDERED_TYPES = ("map", "variant", "interval")  # types whose values Spark cannot sort


def _is_finite(x: nw.Expr) -> nw.Expr:
    """Return whether a number is finite; narwhals takes ten steps for it, each of them a message to Spark's process."""
    return x - x == 0.0


class SparkSource(QuerySource):
    """A Spark DataFrame, of a classic session or of Spark Connect. Its rows stay on the executors, in partitions.

    The rows have no order unless `sort_by` sorts them, so there is no Durbin-Watson. The partitions are the same in each scan only
    if the plan determines their rows. A plan that samples without a seed, or reads a table while it is written, does not. After a
    shuffle the order of rows in a partition varies, and the last bits of results with it.
    """

    partitioned = True
    ordered = False
    # 20 million rows of Parquet on local[2], seconds in batches and by aggregates, for p columns: p = 1 8.7 1.8, 2 8.5 2.0,
    # 3 11.0 2.5, 4 10.9 2.5, 6 13.0 3.9, 9 17.4 5.6. Wider was not measured. Aggregates lose no order: the rows have none.
    engine = Engine(name="Spark", max_aggregates=100, ordered=False, preferred_up_to=9, is_finite=_is_finite)

    def __init__(self, frame: Any, *, is_connect: bool = False, order_by: str | None = None) -> None:
        self.label = "the Spark DataFrame"
        self._original_frame, self._is_connect, self._order_by = frame, is_connect, order_by
        self._partition_count: int | None = None  # an estimate, see `_count_partitions`
        with translate_spark_errors():
            fields = list(frame.schema.fields)
            self._names = [field.name for field in fields]
            self._frame = frame.toDF(*(f"v{i}" for i in range(len(fields))))
            if order_by is not None:
                self._frame = self._frame.orderBy(f"v{self._names.index(order_by)}")
                self.ordered, self.engine = True, replace(self.engine, ordered=True)
            self._is_streaming = bool(frame.isStreaming)
        self._types = [_arrow_type(field.dataType) for field in fields]
        self.columns = {field.name: field.dataType.simpleString() for field in fields}
        self.duplicate_names = frozenset(name for name in self._names if self._names.count(name) > 1)

    def reduce_partitions(self, columns: Columns, work: Callable[[Source], T], merge: Callable[[T, T], T]) -> Iterator[Branch[T]]:
        """Run `work` in the executors; if the partitions are many, or of unknown number, they merge blocks of results."""
        frame = self._run_work(columns, work)
        if self._partition_count is None:
            self._partition_count = self._count_partitions(frame)
        size = block_size(self._partition_count)
        if size == 1:
            yield from leaves(_collect_results(frame))
            return
        with translate_spark_errors():
            rows = frame.selectExpr("*", f"part DIV {size} AS block").groupBy("block")
            frame = rows.applyInArrow(merge_udf(merge), "part int, payload binary")
        count = 0
        for branches in _collect_results(frame):
            count += sum(parts for parts, _ in branches)
            yield from branches
        self._partition_count = count

    def map_first_partition(self, columns: Columns, work: Callable[[Source], T]) -> T | None:
        frame = self._run_work(columns, work)
        for row in _iter_rows(frame.toLocalIterator):
            self._partition_count = self._count_partitions(frame)
            return cast(T, unpack_payload(bytes(row["payload"])))
        return None

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Transfer the rows to this process, one partition after the other."""
        frame = self._map_in_arrow((numbers, labels), to_arrow_rows, "payload binary")
        for row in _iter_rows(lambda: frame.toLocalIterator(prefetchPartitions=True)):
            with pa.ipc.open_stream(bytes(row["payload"])) as stream:
                yield from stream

    def head(self, names: Sequence[str], rows: int) -> pa.Table:
        with translate_spark_errors():
            columns = [f"v{self._names.index(name)}" for name in names]
            return self._frame.select(columns).limit(rows).toArrow().rename_columns(list(names))

    def with_columns(self, names: Sequence[str], columns: Columns, work: Callable[[Source], Iterator[Array]]) -> Any:
        """Return the DataFrame with further columns of doubles, which are computed when its rows are."""
        if taken := [name for name in names if name.lower() in {other.lower() for other in self._names}]:
            raise DataError(
                f"{self.label} has a column {taken[0]!r} already. Rename it: df.withColumnRenamed({taken[0]!r}, 'other')."
            )
        from pyspark.sql.types import DoubleType, StructField, StructType

        self._require_python_types(*columns)
        described, places = describe_columns(self, columns), [self._names.index(each) for each in (*columns[0], *columns[1])]
        with translate_spark_errors():
            add_py_files(self._frame.sparkSession, is_connect=self._is_connect)
            made = [f"made{i}" for i in range(len(names))]
            schema = StructType([*self._frame.schema.fields, *(StructField(each, DoubleType()) for each in made)])
            return self._frame.mapInArrow(with_columns_udf(described, places, work, made), schema).toDF(*self._names, *names)

    def sort_by(self, name: str) -> Source:
        """Return the rows in the order of a column that is different in every row; each scan sorts them again."""
        require_columns(self, [name])
        if self.columns[name].partition("<")[0] in _UNORDERED_TYPES:
            raise DataError(
                f"{name!r} of {self.label} holds {self.columns[name]} values, which have no order. Use order_by= with a column of "
                "numbers, text or times."
            )
        return super().sort_by(name)

    def _require_python_types(self, numbers: Sequence[str], labels: Sequence[str]) -> None:
        """Raise a DataError unless all columns can pass through Python, and `numbers` and `labels` have usable kinds."""
        for name, kind in zip(self._names, self._types, strict=True):
            if kind is None:
                raise DataError(
                    f"Column {name!r} of {self.label} holds {self.columns[name]} values, which cannot pass through Python, as "
                    f"predictions require of every column. Drop it, df.drop({name!r}), or cast it to a string."
                )
        for name in (*numbers, *labels):
            if self.kind(name) == "other":
                raise unsupported_column_error(self.label, name, self.columns[name])
        for name in numbers:
            if self.kind(name) == "text":
                raise DataError(
                    f"Column {name!r} of {self.label} holds text, and the predictions need a number there. Cast it to a double."
                )

    def _arrow_type(self, name: str) -> pa.DataType:
        return self._types[self._names.index(name)] or pa.binary()

    def _project(self, aliases: Mapping[str, str]) -> Any:
        if self._is_streaming:
            raise DataError(
                "The Spark DataFrame is a stream, and this needs all rows. Write them to a table with writeStream and give the "
                "DataFrame that reads it; predict(df) accepts a stream."
            )
        return self._frame.selectExpr(*[f"v{self._names.index(name)} AS {alias}" for alias, name in aliases.items()] or ["1 AS v0"])

    def _select(self, aliases: Mapping[str, str]) -> nw.LazyFrame[Any]:
        return nw.from_native(self._project(aliases))

    def _fetch_rows(self, frame: nw.LazyFrame[Any], keys: Sequence[str] = ()) -> list[Row]:
        return [row.asDict() for row in frame.to_native().collect()]

    def _fetch_table(self, frame: nw.LazyFrame[Any]) -> pa.Table:
        return frame.to_native().toArrow()

    def _sorted(self, name: str) -> SparkSource:
        return SparkSource(self._original_frame, is_connect=self._is_connect, order_by=name)

    def _translate_errors(self) -> AbstractContextManager[None]:
        return translate_spark_errors()

    def _run_work(self, columns: Columns, work: Callable[[Source], Any]) -> Any:
        return self._map_in_arrow(columns, partition_udf(describe_columns(self, columns), work), "part int, payload binary")

    def _map_in_arrow(self, columns: Columns, function: Callable[[BatchIterator], BatchIterator], schema: str) -> Any:
        """Return the lazy frame of what a function makes of the columns of each partition."""
        aliases = {f"c{i}": name for i, name in enumerate((*columns[0], *columns[1]))}
        with translate_spark_errors():
            add_py_files(self._frame.sparkSession, is_connect=self._is_connect)
            return self._project(aliases).mapInArrow(function, schema)

    def _count_partitions(self, frame: Any) -> int | None:
        """Return the number of partitions of a frame, None in Spark Connect. Only rows that its plan shuffles are read.

        It is an estimate: Spark may cut an adaptive plan differently in the next pass, so `partition_count` stays None.
        """
        if not self._is_connect:
            with suppress(Exception):  # the same error comes again with the work itself
                return int(frame.rdd.getNumPartitions())
        return None


def _collect_results(frame: Any) -> Iterator[Any]:
    """Collect the results of partitions, or of blocks of them, and yield them in order."""
    with translate_spark_errors():
        rows = frame.collect()
    for row in sorted(rows, key=lambda row: row["part"]):
        yield unpack_payload(bytes(row["payload"]))


def _arrow_type(kind: Any) -> pa.DataType | None:
    """Return the Arrow type of a Spark type, None if Arrow lacks it."""
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import to_arrow_type

    try:
        return to_arrow_type(kind, timezone="UTC")
    except PySparkException:
        return None


def _iter_rows(start: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """Start a query and yield its rows; translate the errors of both."""
    with translate_spark_errors():
        rows = iter(start())
    while True:
        with translate_spark_errors():
            row = next(rows, None)
        if row is None:
            return
        yield row
