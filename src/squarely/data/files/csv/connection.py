"""An embedded DuckDB for one CSV file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from squarely.data.files.csv.encoding import CsvText

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}


@contextmanager
def connect(text: CsvText) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an embedded DuckDB that loads no extension, sees no Python variable and reads no other file."""
    with duckdb.connect(":memory:", config=_SETTINGS) as connection:
        connection.execute("SET enable_progress_bar = false")  # it would be printed among the results
        connection.execute(f"SET allowed_paths = [{quote_sql(str(text.path))}, {quote_sql(text.pattern)}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def quote_sql(text: str) -> str:
    """Write a text as a constant of SQL."""
    return "'" + text.replace("'", "''") + "'"
