"""Lake tables: folders in which only a log tells which files belong to the table."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from squarely.errors import DataError

_ICEBERG, _DUCKLAKE = "an Iceberg table", "a DuckLake table"
_MARKS = {  # kind of table -> the folders in it
    "a Delta table": ["_delta_log"],
    "a Hudi table": [".hoodie"],
    "the output of a Spark stream": ["_spark_metadata"],
    "a Paimon table": ["snapshot", "manifest"],
}
_ALTERNATIVES = {
    "a Delta table": "deltalake.DeltaTable({path!r}).to_pyarrow_table(), or duckdb.sql(\"FROM delta_scan('...')\")",
    "a Hudi table": "spark.read.format('hudi').load({path!r})",
    "the output of a Spark stream": "spark.read.parquet({path!r}), which reads its log",
    "a Paimon table": "spark.read.format('paimon').load({path!r})",
    _ICEBERG: "duckdb.sql(\"FROM iceberg_scan('...')\"), or the scan().to_arrow() of a table that pyiceberg has loaded",
    _DUCKLAKE: "duckdb.sql(\"FROM lake.table\"), after ATTACH 'ducklake:...' AS lake",
}


def require_no_lake_table(paths: Iterable[Path]) -> None:
    """Raise a DataError if a file lies in the folder of a lake table, at any depth."""
    detect = cache(_detect_table)
    for path in paths:
        for place in (path, path.resolve()):  # a link may lead into a table, or out of one
            for folder in place.parents:
                kind = _DUCKLAKE if place.name.startswith("ducklake-") else detect(folder)
                if kind is None:
                    continue
                shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
                raise DataError(
                    f"The folder {str(shown)!r} is {kind}, whose files can hold changed or deleted rows that only its log marks. "
                    f"Read it with {_ALTERNATIVES[kind].format(path=str(shown))}, and pass the result as the data."
                )


def _detect_table(folder: Path) -> str | None:
    for kind, marks in _MARKS.items():
        if all(os.path.isdir(folder / mark) for mark in marks):
            return kind
    try:
        names = os.listdir(folder / "metadata")
    except OSError:
        return None
    is_iceberg = any(name.endswith((".metadata.json", ".metadata.json.gz")) or name == "version-hint.text" for name in names)
    return _ICEBERG if is_iceberg else None
