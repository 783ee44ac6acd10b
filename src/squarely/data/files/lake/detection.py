"""Detect lake tables, and refuse their single files and those that no package here reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from squarely.errors import DataError

DELTA, ICEBERG, _DUCKLAKE = "a Delta table", "an Iceberg table", "a DuckLake table"
_MARKS = {  # kind of table -> the folders in it
    DELTA: ["_delta_log"],
    "a Hudi table": [".hoodie"],
    "the output of a Spark stream": ["_spark_metadata"],
    "a Paimon table": ["snapshot", "manifest"],
}
_ALTERNATIVES = {
    DELTA: "deltalake.DeltaTable({path!r}).to_pyarrow_table(), or duckdb.sql(\"FROM delta_scan('...')\")",
    "a Hudi table": "spark.read.format('hudi').load({path!r})",
    "the output of a Spark stream": "spark.read.parquet({path!r}), which reads its log",
    "a Paimon table": "spark.read.format('paimon').load({path!r})",
    ICEBERG: "duckdb.sql(\"FROM iceberg_scan('...')\"), or the scan().to_arrow() of a table that pyiceberg has loaded",
    _DUCKLAKE: "duckdb.sql(\"FROM lake.table\"), after ATTACH 'ducklake:...' AS lake",
}


def alternative(kind: str, folder: str) -> str:
    """Return the code that reads a table."""
    return _ALTERNATIVES[kind].format(path=folder)


def detect_readable_table(folder: Path) -> str | None:
    """Return `DELTA` or `ICEBERG` if a folder is such a table itself, else None."""
    kind = _detect_table(folder) if os.path.isdir(folder) else None
    return kind if kind in (DELTA, ICEBERG) else None


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
                whole = f" Give {str(shown)!r} itself for all of it, or read" if kind in (DELTA, ICEBERG) else " Read"
                raise DataError(
                    f"The folder {str(shown)!r} is {kind}, whose files can hold changed or deleted rows that only its log marks."
                    f"{whole} it with {alternative(kind, str(shown))}, and pass the result as the data."
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
    return ICEBERG if is_iceberg else None
