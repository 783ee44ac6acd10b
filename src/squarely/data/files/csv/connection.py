"""Connections to an embedded DuckDB that reads one CSV file and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import duckdb

from squarely.data.files.csv.text.csv_text import CsvText

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}


@contextmanager
def connect(text: CsvText, pipe: str = "") -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an embedded DuckDB that loads no extension, sees no Python variable and reads nothing but a text, or a pipe."""
    paths = [pipe] if pipe else [str(text.path), text.pattern]
    with duckdb.connect(":memory:", config=_SETTINGS) as connection:
        with suppress(duckdb.InvalidInputException):  # a notebook without ipywidgets has no bar, and refuses the setting
            connection.execute("SET enable_progress_bar = false")  # it would be printed among the results
        # With 1 MB, the default, the other threads wait for the one that takes the rows.
        connection.execute("SET streaming_buffer_size = '32MB'")
        connection.execute(f"SET allowed_paths = [{', '.join(map(quote_sql, paths))}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def quote_sql(text: str) -> str:
    """Return a text as a literal of SQL.

    >>> quote_sql("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def struct_sql(values: Mapping[str, str]) -> str:
    """Return names and texts as a struct of SQL.

    >>> struct_sql({"c0": "DOUBLE"})
    "{c0: 'DOUBLE'}"
    """
    return "{" + ", ".join(f"{name}: {quote_sql(value)}" for name, value in values.items()) + "}"
