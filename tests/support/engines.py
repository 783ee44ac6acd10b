"""Every engine that a table can be handed over in, and what each cannot give and why: the conformance suite runs over these."""

import atexit
import functools
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa

from tests.support.checks import hand_over, need
from tests.support.postgres import server
from tests.support.spark import shared, spark_frame
from tests.support.workbooks import write_xlsx

_numbers = itertools.count()


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form in which a user hands a table over.

    Attributes
    ----------
    make : a function of a table and a folder to write in; it returns what a user hands over.
    fold : the option of `ols`.
    aggregates : whether the engine computes sums, and keeps its rows.
    ordered : whether its rows have an order; if not they are handed over shuffled, and `order_by` says which it is.
    lacks : what it cannot give, by the name of a case or a statistic, and why.
    """

    make: Callable[[pa.Table, Path], object]
    fold: str = "auto"
    ordered: bool = True
    lacks: Mapping[str, str] = field(default_factory=dict)

    @property
    def aggregates(self) -> bool:
        return self.fold == "aggregates" or self.make in (ibis_duckdb, ibis_sqlite, ibis_postgres)


def _form(name: str) -> Callable[[pa.Table, Path], object]:
    return lambda table, folder: hand_over(name, {n: table[n].combine_chunks() for n in table.column_names}, folder)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def relation(table: pa.Table, folder: Path) -> object:
    """Make a relation; DuckDB would rename columns of a registered table that differ by case alone."""
    return _selected(duckdb.connect(), table)


def _selected(connection: duckdb.DuckDBPyConnection, table: pa.Table) -> duckdb.DuckDBPyRelation:
    held = f"arrow{next(_numbers)}"
    connection.register(held, table.rename_columns([f"c{i}" for i in range(table.num_columns)]))
    names = ", ".join(f"c{i} AS {quoted(name)}" for i, name in enumerate(table.column_names))
    return connection.sql(f"SELECT {names} FROM {held}")


@functools.cache
def connected(backend: str) -> object:
    """Connect Ibis to a backend, once."""
    ibis = need("ibis")
    if backend == "postgres":
        need("psycopg")
        connection = ibis.postgres.connect(host="127.0.0.1", port=server(), user="postgres", database="postgres")
    else:
        connection = getattr(ibis, backend).connect()
    atexit.register(connection.disconnect)
    return connection


def ibis_duckdb(table: pa.Table, folder: Path) -> object:
    """Make an Ibis table; Ibis 12 cannot create one from Arrow with the sqlglot of today, so its connection does."""
    connection, name = connected("duckdb"), f"held{next(_numbers)}"
    _selected(connection.con, table).create(name)
    return connection.table(name)


def _declared(table: pa.Table, words: Mapping[str, str]) -> str:
    def word(kind: pa.DataType) -> str:
        if pa.types.is_decimal(kind) and "decimal" in words:
            return f"{words['decimal']}({kind.precision}, {kind.scale})"
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return words["float" if kind == pa.float32() else "double"]
        return words["boolean" if pa.types.is_boolean(kind) else "integer" if pa.types.is_integer(kind) else "text"]

    return ", ".join(f"{quoted(name)} {word(kind)}" for name, kind in zip(table.column_names, table.schema.types, strict=True))


def _rows(table: pa.Table) -> list[tuple[object, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def ibis_sqlite(table: pa.Table, folder: Path) -> object:
    connection, name = connected("sqlite"), f"held{next(_numbers)}"
    words = {"float": "REAL", "double": "REAL", "integer": "INTEGER", "boolean": "BOOLEAN", "text": "TEXT"}
    connection.con.execute(f"CREATE TABLE {name} ({_declared(table, words)})")
    rows = [[float(v) if isinstance(v, Decimal) else v for v in row] for row in _rows(table)]
    connection.con.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * table.num_columns)})", rows)
    connection.con.commit()
    return connection.table(name)


def ibis_postgres(table: pa.Table, folder: Path) -> object:
    connection, name = connected("postgres"), f"held{next(_numbers)}"
    words = {"float": "real", "double": "double precision", "integer": "bigint", "boolean": "boolean", "text": "text",
             "decimal": "numeric"}  # fmt: skip
    with connection.con.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} ({_declared(table, words)})")
        with cursor.copy(f"COPY {name} FROM STDIN") as copy:
            for row in _rows(table):
                copy.write_row(row)
    connection.con.commit()
    return connection.table(name)


def dask(table: pa.Table, folder: Path) -> object:
    """Make partitions of pandas frames that keep Arrow's types."""
    frames = need("dask.dataframe")
    import pandas as pd

    return frames.from_pandas(table.to_pandas(types_mapper=pd.ArrowDtype), npartitions=3)


def spark(table: pa.Table, folder: Path) -> object:
    """Make a DataFrame whose rows three partitions keep."""
    return spark_frame(shared(), table).cache()


def orc(table: pa.Table, folder: Path) -> object:
    from pyarrow import orc

    orc.write_table(table, folder / "t.orc")
    return folder / "t.orc"


def arrow_dataset(table: pa.Table, folder: Path) -> object:
    from pyarrow import dataset

    dataset.write_dataset(table, folder / "dataset", format="parquet", max_rows_per_file=150, max_rows_per_group=150)
    return dataset.dataset(folder / "dataset")


def workbook(table: pa.Table, folder: Path) -> object:
    def cell(value: object) -> object:
        if isinstance(value, Decimal):
            return float(value)
        return None if isinstance(value, float) and not math.isfinite(value) else value

    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    write_xlsx(folder / "t.xlsx", {"rows": [table.column_names, *([cell(value) for value in row] for row in rows)]})
    return folder / "t.xlsx"


ENGINES = {
    "pandas": Form(make=_form("pandas"), lacks={"causes": "pandas takes NULL for NaN"}),
    "polars": Form(make=_form("polars")),
    "polars lazy, batches": Form(make=_form("polars lazy"), fold="batches"),
    "polars lazy, aggregates": Form(make=_form("polars lazy"), fold="aggregates"),
    "arrow": Form(make=_form("arrow")),
    "csv": Form(make=_form("csv"), lacks={"causes": "an empty field is a gap, whatever it was"}),
    "parquet": Form(make=_form("parquet")),
    "orc": Form(make=orc),
    "arrow dataset": Form(make=arrow_dataset),
    "workbook": Form(make=workbook, lacks={"causes": "a cell has neither NaN nor an infinity"}),
    "duckdb, batches": Form(make=relation, fold="batches"),
    "duckdb, aggregates": Form(make=relation, fold="aggregates", ordered=False),
    "dask": Form(make=dask),
    "spark, batches": Form(make=spark, fold="batches", ordered=False),
    "spark, aggregates": Form(make=spark, fold="aggregates", ordered=False),
    "ibis on duckdb": Form(
        make=ibis_duckdb, ordered=False, lacks={"twins but for case": "a stored table's names have no case in DuckDB"}
    ),
    "ibis on sqlite": Form(
        make=ibis_sqlite,
        ordered=False,
        lacks={"twins but for case": "names have no case in SQLite", "causes": "SQLite stores NaN as NULL"},
    ),
    "ibis on postgres": Form(make=ibis_postgres, ordered=False),
}
