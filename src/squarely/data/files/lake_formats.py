"""Tables of a lake format: folders whose files are not all part of the table, which only a log beside them tells."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from squarely.errors import DataError

_DELTA, _ICEBERG, _HUDI, _PAIMON, _STREAM, _DUCKLAKE = (
    "a Delta table", "an Iceberg table", "a Hudi table", "a Paimon table", "what a Spark stream writes", "a DuckLake table"
)  # fmt: skip
_ALTERNATIVES = {
    _DELTA: "deltalake.DeltaTable({path!r}).to_pyarrow_table(), or duckdb.sql(\"FROM delta_scan('...')\")",
    _ICEBERG: "duckdb.sql(\"FROM iceberg_scan('...')\"), or the scan().to_arrow() of a table that pyiceberg has loaded",
    _HUDI: "spark.read.format('hudi').load({path!r})",
    _PAIMON: "spark.read.format('paimon').load({path!r})",
    _STREAM: "spark.read.parquet({path!r}), which reads its log",
    _DUCKLAKE: "duckdb.sql(\"FROM lake.table\"), after ATTACH 'ducklake:...' AS lake",
}


def require_no_lake_table(paths: Iterable[Path]) -> None:
    """Raise a DataError if one of the files lies in the folder of such a table, at any depth."""

    @cache
    def kind_at(folder: Path) -> str | None:
        return _detect_table(folder)

    @cache
    def table_above(folder: Path) -> tuple[Path, str] | None:
        kind = kind_at(folder)
        if kind is not None:
            return folder, kind
        return None if folder == folder.parent else table_above(folder.parent)

    for path in paths:
        for place in (path, path.resolve()):  # a link may lead into a table, or out of one
            found = (place.parent, _DUCKLAKE) if place.name.startswith("ducklake-") else table_above(place.parent)
            if found is not None:
                folder, kind = _shorten(found[0]), found[1]
                raise DataError(
                    f"The folder {folder!r} is {kind}. It can also hold files with rows that were changed or deleted, and only the "
                    f"table's own log tells them apart. Read it with {_ALTERNATIVES[kind].format(path=folder)}, and pass the result as "
                    "the data."
                )


def _shorten(folder: Path) -> str:
    """Give a path as a user would write it here."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)


def _detect_table(folder: Path) -> str | None:
    if os.path.isdir(folder / "_delta_log"):
        return _DELTA
    if os.path.isdir(folder / ".hoodie"):
        return _HUDI
    if os.path.isdir(folder / "_spark_metadata"):
        return _STREAM
    if os.path.isdir(folder / "snapshot") and os.path.isdir(folder / "manifest"):
        return _PAIMON
    try:
        names = os.listdir(folder / "metadata")
    except OSError:
        return None
    is_iceberg = any(name.endswith((".metadata.json", ".metadata.json.gz")) or name == "version-hint.text" for name in names)
    return _ICEBERG if is_iceberg else None
