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
from squarely.data.engines.partitions import outcome, part_columns
from squarely.data.engines.spark_errors import _told
from squarely.data.engines.spark_executors import adding, blending, packing, shipped, unpacked, working
from squarely.data.query import Engine, Held, Query, Row, aliased, asked, held_as, joined, staged, stepped
from squarely.data.source import Source, not_usable, require_certain, require_columns
from squarely.data.tree_reduce import Branch, alone, block_size
from squarely.errors import DataError
from squarely.numerics import Array

T = TypeVar("T")

_UNORDERED = ("map", "variant", "interval")  # types whose values Spark cannot put in order


def _is_finite(x: nw.Expr) -> nw.Expr:
    """Tell whether a number is finite: narwhals takes ten steps for it, each of which is a message to Spark's process."""
    return x - x == 0.0


class SparkSource(Source):
    """A Spark DataFrame, of a classic session or of Spark Connect. Its rows stay on the executors, partition by partition.

    The rows have no order among them, unless `sorted_by` gives them one, so there is no Durbin-Watson. The partitions are the same
    each time only if the plan says which rows they have: a plan that samples without a seed, or reads a table that is written to
    meanwhile, gives others. After a shuffle the rows of a partition come in another order each time, and the last bits differ.
    """

    scattered = True
    ordered = False
    # 20 million rows of Parquet on local[2], seconds in batches and by aggregates, for p columns: p = 1 8.7 1.8, 2 8.5 2.0,
    # 3 11.0 2.5, 4 10.9 2.5, 6 13.0 3.9, 9 17.4 5.6. Wider was not measured. No order of rows is lost by it: they have none.
    engine = Engine(name="Spark", bound=100, ordered=False, narrow=9, finite=_is_finite)

    def __init__(self, frame: Any, *, connect: bool = False, by: int | None = None) -> None:
        self.label = "the Spark DataFrame"
        self._given, self._connect, self._by = frame, connect, by
        self._count: int | None = None  # of the partitions, as far as it is known
        with _told():
            fields = list(frame.schema.fields)
            self._frame = frame.toDF(*(f"v{i}" for i in range(len(fields))))
            if by is not None:
                self._frame = self._frame.orderBy(f"v{by}")
                self.ordered, self.engine = True, replace(self.engine, ordered=True)
            self._endless = bool(frame.isStreaming)
        self._names = [field.name for field in fields]
        self._types = [_arrow_type(field.dataType) for field in fields]
        self.columns = {field.name: field.dataType.simpleString() for field in fields}
        self.twins = frozenset(name for name in self._names if self._names.count(name) > 1)

    def kind(self, name: str) -> Kind:
        """Tell what a column holds."""
        kind = self._types[self._names.index(name)]
        return "other" if kind is None else kind_of(kind)

    def mapped(self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], T]) -> Iterator[T]:
        """Let the executors work on their partitions, all at once, and yield what comes of each, in the order of the partitions."""
        yield from _collected(self._worked(numbers, labels, work))

    def folded(
        self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], T], merge: Callable[[T, T], T]
    ) -> Iterator[Branch[T]]:
        """Do as `mapped`; if the partitions are many, or of an unknown number, executors merge blocks of them."""
        frame = self._worked(numbers, labels, work)
        if self._count is None:
            self._count = self._counted(frame)
        size = block_size(self._count)
        if size == 1:
            yield from alone(_collected(frame))
            return
        with _told():
            rows = frame.selectExpr("*", f"part DIV {size} AS block").groupBy("block")
            frame = rows.applyInArrow(blending(merge), "part int, payload binary")
        count = 0
        for branches in _collected(frame):
            count += sum(parts for parts, _ in branches)
            yield from branches
        self._count = count

    def first_part(self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], T]) -> T | None:
        """Let one executor work on the first partition alone."""
        frame = self._worked(numbers, labels, work)
        for row in _running(frame.toLocalIterator):
            self._count = self._counted(frame)
            return cast(T, outcome(bytes(row["payload"])))
        return None

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Bring the rows here, one partition after the other."""
        shipped(self._frame.sparkSession, connect=self._connect)
        frame = self._selected([*numbers, *labels])
        for row in _running(lambda: frame.mapInArrow(packing, "payload binary").toLocalIterator(prefetchPartitions=True)):
            yield from unpacked(bytes(row["payload"]))

    def with_column(
        self, name: str, columns: tuple[Sequence[str], Sequence[str]], work: Callable[[Source], Iterator[Array]]
    ) -> Any:
        """Give the DataFrame with a further column of doubles, which is worked out when somebody asks for its rows."""
        if name.lower() in {known.lower() for known in self._names}:
            raise DataError(f"{self.label} has a column {name!r} already. Rename it: df.withColumnRenamed({name!r}, 'other').")
        from pyspark.sql.types import DoubleType, StructField, StructType

        self._require_carried(*columns)
        held, places = part_columns(self, *columns), [self._names.index(known) for names in columns for known in names]
        with _told():
            shipped(self._frame.sparkSession, connect=self._connect)
            schema = StructType([*self._frame.schema.fields, StructField("made", DoubleType())])
            return self._frame.mapInArrow(adding(held, places, work), schema).toDF(*self._names, name)

    def held(self, name: str) -> Held:
        """Tell what a column holds."""
        kind = self._types[self._names.index(name)]
        return held_as(pa.null() if kind is None else kind, self.columns[name])

    def aggregate(self, query: Query, results: Mapping[str, nw.Expr], keys: Sequence[str] = ()) -> list[Row]:
        """Work results out inside Spark."""
        with _told():
            frames = asked(staged(self._table(query), query, self.engine), query, results, keys, self.engine.bound)
            return joined(keys, [[row.asDict() for row in frame.to_native().collect()] for frame in frames])

    def steps(self, query: Query, column: str) -> float:
        """Sum the squared differences of a column of a query from row to row, once the rows are sorted."""
        if self._by is None:
            return math.nan
        with _told():
            return float(stepped(staged(self._table(query), query, self.engine), column, "o0").to_native().collect()[0]["s0"])

    def sorted_by(self, name: str) -> SparkSource:
        """Give the rows in the order of a column that differs in every one of them; each scan sorts them anew."""
        require_columns(self, [name])
        self._require_end()
        if self.columns[name].partition("<")[0] in _UNORDERED:
            raise DataError(
                f"{name!r} of {self.label} holds {self.columns[name]} values, which have no order, so order_by={name!r} says "
                "nothing. Order by a column of numbers, text or times."
            )
        place = self._names.index(name)
        with _told():
            counts = self._frame.selectExpr("count(1) AS n0", f"count(v{place}) AS n1", f"count(DISTINCT v{place}) AS n2")
            row = counts.collect()[0]
        require_certain(self, name, rows=row["n0"], values=row["n1"], different=row["n2"])
        return SparkSource(self._given, connect=self._connect, by=place)

    def _require_end(self) -> None:
        if self._endless:
            raise DataError(
                "The Spark DataFrame is a stream, whose rows have no end, and this needs all of them. Write them to a table first, "
                "with writeStream, and give what spark.read makes of that; predict(df) serves for a stream as it is."
            )

    def _require_carried(self, numbers: Sequence[str], labels: Sequence[str]) -> None:
        """Raise a DataError unless all columns can go through Python, and those that are needed are of use there."""
        for name, kind in zip(self._names, self._types, strict=True):
            if kind is None:
                raise DataError(
                    f"Column {name!r} of {self.label} holds {self.columns[name]} values, which Spark cannot take through Python, "
                    f"and every column goes through it to be given back. Leave it out, df.drop({name!r}), or cast it to a string."
                )
        for name in (*numbers, *labels):
            if self.kind(name) == "other":
                raise not_usable(self, name, self.columns[name])
        for name in numbers:
            if self.kind(name) == "text":
                raise DataError(
                    f"Column {name!r} of {self.label} holds text, and the predictions need a number there. Cast it to a double."
                )

    def _table(self, query: Query) -> nw.LazyFrame[Any]:
        self._require_end()
        numbers = [f"v{self._names.index(name)} AS v{i}" for i, name in enumerate(query.numbers)]
        labels = [f"v{self._names.index(name)} AS l{i}" for i, name in enumerate(query.labels)]
        order = [] if self._by is None else [f"v{self._by} AS o0"]
        frame = self._frame.selectExpr(*([*numbers, *labels, *order] or ["1 AS v0"]))
        return aliased(nw.from_native(frame), query, [self.held(name) for name in query.labels], self.engine)

    def _selected(self, names: Sequence[str]) -> Any:
        self._require_end()
        places = [self._names.index(name) for name in names]
        return self._frame.selectExpr(*([f"v{place} AS c{i}" for i, place in enumerate(places)] or ["1 AS c0"]))

    def _worked(self, numbers: Sequence[str], labels: Sequence[str], work: Callable[[Source], Any]) -> Any:
        with _told():
            shipped(self._frame.sparkSession, connect=self._connect)
            part = working(part_columns(self, numbers, labels), work)
            return self._selected([*numbers, *labels]).mapInArrow(part, "part int, payload binary")

    def _counted(self, frame: Any) -> int | None:
        """Count the partitions of a frame; no row is read, but what its plan shuffles, which its own collect() then has already.

        Spark Connect cannot tell. It is no more than an estimate of what the next pass will have, for a plan that Spark adapts may
        be cut otherwise there: so `partitions` stays None.
        """
        if not self._connect:
            with suppress(Exception):  # whatever hinders it hinders the work as well, which says so
                return int(frame.rdd.getNumPartitions())
        return None


def _collected(frame: Any) -> Iterator[Any]:
    """Bring what came of the parts, or of blocks of them, here at once, and yield it in their order."""
    with _told():
        rows = frame.collect()
    for row in sorted(rows, key=lambda row: row["part"]):
        yield outcome(bytes(row["payload"]))


def _arrow_type(kind: Any) -> pa.DataType | None:
    """Give the Arrow type of a Spark type, None where there is none."""
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import to_arrow_type

    try:
        return to_arrow_type(kind, timezone="UTC")
    except PySparkException:
        return None


def _running(start: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """Start a query and yield its rows; what goes wrong meanwhile is told."""
    with _told():
        rows = iter(start())
    while True:
        with _told():
            row = next(rows, None)
        if row is None:
            return
        yield row
