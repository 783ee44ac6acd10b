"""Spark DataFrames: a plan that a cluster carries out; its partitions are worked on where they are.

Spark finds names without regard to case and reads dots and backticks in them, so columns go by their position.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar, cast

import narwhals as nw
import pyarrow as pa

from squarely.data.dtypes import Kind, kind_of
from squarely.data.engines.partitions import describe_columns, unpack_payload
from squarely.data.engines.spark_errors import translate_spark_errors
from squarely.data.engines.spark_executors import (
    add_py_files,
    from_arrow_rows,
    merge_udf,
    partition_udf,
    to_arrow_rows,
    with_column_udf,
)
from squarely.data.query import (
    ColumnInfo,
    Engine,
    Query,
    Row,
    aggregate_frames,
    apply_stages,
    column_info_of,
    join_answers,
    squared_differences,
    with_aliases,
)
from squarely.data.source import Source, require_columns, require_unique_order, unsupported_column_error
from squarely.data.tree_reduce import Branch, block_size, leaves
from squarely.errors import DataError
from squarely.numerics import Array

T = TypeVar("T")

_UNORDERED_TYPES = ("map", "variant", "interval")  # types whose values Spark cannot put in order


def _is_finite(x: nw.Expr) -> nw.Expr:
    """Tell whether a number is finite: narwhals takes ten steps for it, each of which is a message to Spark's process."""
    return x - x == 0.0


class SparkSource(Source):
    """A Spark DataFrame, of a classic session or of Spark Connect. Its rows stay on the executors, partition by partition.

    The rows have no order among them, unless `sorted_by` gives them one, so there is no Durbin-Watson. The partitions are the same
    each time only if the plan says which rows they have: a plan that samples without a seed, or reads a table that is written to
    meanwhile, gives others. After a shuffle the rows of a partition come in another order each time, and the last bits differ.
    """

    partitioned = True
    ordered = False
    # 20 million rows of Parquet on local[2], seconds in batches and by aggregates, for p columns: p = 1 8.7 1.8, 2 8.5 2.0,
    # 3 11.0 2.5, 4 10.9 2.5, 6 13.0 3.9, 9 17.4 5.6. Wider was not measured. No order of rows is lost by it: they have none.
    engine = Engine(name="Spark", max_aggregates=100, ordered=False, preferred_up_to=9, is_finite=_is_finite)

    def __init__(self, frame: Any, *, is_connect: bool = False, by: int | None = None) -> None:
        self.label = "the Spark DataFrame"
        self._original_frame, self._is_connect, self._order_by = frame, is_connect, by
        self._partition_count: int | None = None  # of the partitions, as far as it is known
        with translate_spark_errors():
            fields = list(frame.schema.fields)
            self._frame = frame.toDF(*(f"v{i}" for i in range(len(fields))))
            if by is not None:
                self._frame = self._frame.orderBy(f"v{by}")
                self.ordered, self.engine = True, replace(self.engine, ordered=True)
            self._is_streaming = bool(frame.isStreaming)
        self._names = [field.name for field in fields]
        self._types = [_arrow_type(field.dataType) for field in fields]
        self.columns = {field.name: field.dataType.simpleString() for field in fields}
        self.duplicate_names = frozenset(name for name in self._names if self._names.count(name) > 1)

    def kind(self, name: str) -> Kind:
        """Tell what a column holds."""
        kind = self._types[self._names.index(name)]
        return "other" if kind is None else kind_of(kind)

    def map_partitions(self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], T]) -> Iterator[T]:
        """Let the executors work on their partitions, all at once, and yield what comes of each, in the order of the partitions."""
        yield from _collect_outcomes(self._map_in_arrow(numbers, labels, work))

    def reduce_partitions(
        self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], T], merge: Callable[[T, T], T]
    ) -> Iterator[Branch[T]]:
        """Do as `mapped`; if the partitions are many, or of an unknown number, executors merge blocks of them."""
        frame = self._map_in_arrow(numbers, labels, work)
        if self._partition_count is None:
            self._partition_count = self._count_partitions(frame)
        size = block_size(self._partition_count)
        if size == 1:
            yield from leaves(_collect_outcomes(frame))
            return
        with translate_spark_errors():
            rows = frame.selectExpr("*", f"part DIV {size} AS block").groupBy("block")
            frame = rows.applyInArrow(merge_udf(merge), "part int, payload binary")
        count = 0
        for branches in _collect_outcomes(frame):
            count += sum(parts for parts, _ in branches)
            yield from branches
        self._partition_count = count

    def map_first_partition(self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], T]) -> T | None:
        """Let one executor work on the first partition alone."""
        frame = self._map_in_arrow(numbers, labels, work)
        for row in _iter_rows(frame.toLocalIterator):
            self._partition_count = self._count_partitions(frame)
            return cast(T, unpack_payload(bytes(row["payload"])))
        return None

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Bring the rows here, one partition after the other."""
        add_py_files(self._frame.sparkSession, is_connect=self._is_connect)
        frame = self._select_columns([*numbers, *labels])
        for row in _iter_rows(lambda: frame.mapInArrow(to_arrow_rows, "payload binary").toLocalIterator(prefetchPartitions=True)):
            yield from from_arrow_rows(bytes(row["payload"]))

    def with_column(
        self, name: str, columns: tuple[Sequence[str], Sequence[str]], work: Callable[[Source], Iterator[Array]]
    ) -> Any:
        """Give the DataFrame with a further column of doubles, which is worked out when somebody asks for its rows."""
        if name.lower() in {known.lower() for known in self._names}:
            raise DataError(f"{self.label} has a column {name!r} already. Rename it: df.withColumnRenamed({name!r}, 'other').")
        from pyspark.sql.types import DoubleType, StructField, StructType

        self._require_python_types(*columns)
        held, places = describe_columns(self, *columns), [self._names.index(known) for names in columns for known in names]
        with translate_spark_errors():
            add_py_files(self._frame.sparkSession, is_connect=self._is_connect)
            schema = StructType([*self._frame.schema.fields, StructField("made", DoubleType())])
            return self._frame.mapInArrow(with_column_udf(held, places, work), schema).toDF(*self._names, name)

    def column_info(self, name: str) -> ColumnInfo:
        """Tell what a column holds."""
        kind = self._types[self._names.index(name)]
        return column_info_of(pa.null() if kind is None else kind, self.columns[name])

    def aggregate(self, query: Query, results: Mapping[str, nw.Expr], keys: Sequence[str] = ()) -> list[Row]:
        """Work results out inside Spark."""
        with translate_spark_errors():
            frames = aggregate_frames(
                apply_stages(self._build_frame(query), query, self.engine), query, results, keys, self.engine.max_aggregates
            )
            return join_answers(keys, [[row.asDict() for row in frame.to_native().collect()] for frame in frames])

    def sum_squared_differences(self, query: Query, column: str) -> float:
        """Sum the squared differences of a column of a query from row to row, once the rows are sorted."""
        if self._order_by is None:
            return math.nan
        with translate_spark_errors():
            return float(
                squared_differences(apply_stages(self._build_frame(query), query, self.engine), column, "o0")
                .to_native()
                .collect()[0]["s0"]
            )

    def sort_by(self, name: str) -> SparkSource:
        """Give the rows in the order of a column that differs in every one of them; each scan sorts them anew."""
        require_columns(self, [name])
        self._require_not_streaming()
        if self.columns[name].partition("<")[0] in _UNORDERED_TYPES:
            raise DataError(
                f"{name!r} of {self.label} holds {self.columns[name]} values, which have no order, so order_by={name!r} says "
                "nothing. Order by a column of numbers, text or times."
            )
        place = self._names.index(name)
        with translate_spark_errors():
            counts = self._frame.selectExpr("count(1) AS n0", f"count(v{place}) AS n1", f"count(DISTINCT v{place}) AS n2")
            row = counts.collect()[0]
        require_unique_order(self, name, rows=row["n0"], values=row["n1"], distinct_values=row["n2"])
        return SparkSource(self._original_frame, is_connect=self._is_connect, by=place)

    def _require_not_streaming(self) -> None:
        if self._is_streaming:
            raise DataError(
                "The Spark DataFrame is a stream, whose rows have no end, and this needs all of them. Write them to a table first, "
                "with writeStream, and give what spark.read makes of that; predict(df) serves for a stream as it is."
            )

    def _require_python_types(self, numbers: Sequence[str], labels: Sequence[str]) -> None:
        """Raise a DataError unless all columns can go through Python, and those that are needed are of use there."""
        for name, kind in zip(self._names, self._types, strict=True):
            if kind is None:
                raise DataError(
                    f"Column {name!r} of {self.label} holds {self.columns[name]} values, which Spark cannot take through Python, "
                    f"and every column goes through it to be given back. Leave it out, df.drop({name!r}), or cast it to a string."
                )
        for name in (*numbers, *labels):
            if self.kind(name) == "other":
                raise unsupported_column_error(self, name, self.columns[name])
        for name in numbers:
            if self.kind(name) == "text":
                raise DataError(
                    f"Column {name!r} of {self.label} holds text, and the predictions need a number there. Cast it to a double."
                )

    def _build_frame(self, query: Query) -> nw.LazyFrame[Any]:
        self._require_not_streaming()
        numbers = [f"v{self._names.index(name)} AS v{i}" for i, name in enumerate(query.numbers)]
        labels = [f"v{self._names.index(name)} AS l{i}" for i, name in enumerate(query.labels)]
        order = [] if self._order_by is None else [f"v{self._order_by} AS o0"]
        frame = self._frame.selectExpr(*([*numbers, *labels, *order] or ["1 AS v0"]))
        return with_aliases(nw.from_native(frame), query, [self.column_info(name) for name in query.labels], self.engine)

    def _select_columns(self, names: Sequence[str]) -> Any:
        self._require_not_streaming()
        places = [self._names.index(name) for name in names]
        return self._frame.selectExpr(*([f"v{place} AS c{i}" for i, place in enumerate(places)] or ["1 AS c0"]))

    def _map_in_arrow(self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], Any]) -> Any:
        with translate_spark_errors():
            add_py_files(self._frame.sparkSession, is_connect=self._is_connect)
            part = partition_udf(describe_columns(self, numbers, labels), work)
            return self._select_columns([*numbers, *labels]).mapInArrow(part, "part int, payload binary")

    def _count_partitions(self, frame: Any) -> int | None:
        """Count the partitions of a frame; no row is read, but what its plan shuffles, which its own collect() then has already.

        Spark Connect cannot tell. It is no more than an estimate of what the next pass will have, for a plan that Spark adapts may
        be cut otherwise there: so `partitions` stays None.
        """
        if not self._is_connect:
            with suppress(Exception):  # whatever hinders it hinders the work as well, which says so
                return int(frame.rdd.getNumPartitions())
        return None


def _collect_outcomes(frame: Any) -> Iterator[Any]:
    """Bring what came of the parts, or of blocks of them, here at once, and yield it in their order."""
    with translate_spark_errors():
        rows = frame.collect()
    for row in sorted(rows, key=lambda row: row["part"]):
        yield unpack_payload(bytes(row["payload"]))


def _arrow_type(kind: Any) -> pa.DataType | None:
    """Give the Arrow type of a Spark type, None where there is none."""
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import to_arrow_type

    try:
        return to_arrow_type(kind, timezone="UTC")
    except PySparkException:
        return None


def _iter_rows(start: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """Start a query and yield its rows; what goes wrong meanwhile is told."""
    with translate_spark_errors():
        rows = iter(start())
    while True:
        with translate_spark_errors():
            row = next(rows, None)
        if row is None:
            return
        yield row
