"""CSV files through DuckDB, which may touch that one file and nothing else.

DuckDB renames doubled columns, matches names without regard to case and skips lines that do not fit; so the header is
read as text first, every column then goes by its position (c0, c1, ...), and no line is ever skipped.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import duckdb
import pyarrow as pa

from squarely.data.source import BATCH_ROWS, Kind, Source
from squarely.errors import DataError, counted

# What counts as an empty field, as in R and pandas: each is counted as "null" in the row account.
NULL_WORDS = ("", "NA", "N/A", "NULL", "null", "#N/A")
# Nothing is guessed but the delimiter: no comment sign, no skipped line, no column made of the names of folders.
_DIALECT = "quote = '\"', escape = '\"', comment = '', skip = 0, strict_mode = true, hive_partitioning = false"
_DELIMITERS = ",;\t|"
_LONGEST_LINE = 1_000_000
_LONGEST_QUOTE = 300
_ENGINE_ERRORS = (duckdb.Error, OSError, pa.ArrowException)  # an error of the engine arrives through Arrow as an OSError
_OTHER = ("BOOLEAN", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")


class CsvSource(Source):
    """One CSV file on this machine, gzipped or not, with a header line."""

    def __init__(self, path: Path) -> None:
        self.label = path.name
        self._path = path.resolve()
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise DataError(f"The file {str(path)!r} {what}. Give the path of a CSV file.")
        if self._path.stat().st_size == 0:
            raise DataError(f"The file {self.label!r} is empty (0 bytes). It needs a header line and rows under it.")
        if any(sign in str(self._path) for sign in "*?["):
            raise DataError(f"The path {str(path)!r} has one of * ? [ in it, which DuckDB takes for a pattern. Rename the file.")
        with self._path.open("rb") as file:
            self._packed = file.read(2) == b"\x1f\x8b"  # gzip, whatever the name says
        self._compression = f"compression = '{'gzip' if self._packed else 'none'}'"
        self._delimiter = _DELIMITERS[0]  # until it is sniffed
        self._delimiter = self._sniff()
        self._dialect = f"delim = {_quoted(self._delimiter)}, {self._compression}, {_DIALECT}"
        self._names = self._header()
        self._types = self._sniff_types()
        self.twins = frozenset(name for name in self._names if self._names.count(name) > 1)
        self.columns = dict(zip(self._names, self._types, strict=True))

    typed = False

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order of the lines."""
        places = [self._names.index(name) for name in numbers]
        texts = [self._names.index(name) for name in labels]
        # What may be numbers is read as DOUBLE whatever the first rows suggest: a 3.5 after a million integers is no error,
        # nor is a first number after a million empty fields. True and false stay, dates are refused by the cast to double.
        kinds = {f"c{i}": "DOUBLE" for i in places if self._types[i] not in _OTHER} | {f"c{i}": "VARCHAR" for i in texts}
        columns = [f"CAST(c{i} AS DOUBLE)" if i in texts else f"c{i}" for i in places] + [f"c{i}" for i in texts]
        select = ", ".join(f"{column} AS v{j}" for j, column in enumerate(columns)) or "1"
        try:
            with self._connect() as connection:
                yield from self._relation(connection, select, types=kinds).to_arrow_reader(BATCH_ROWS)
        except _ENGINE_ERRORS as error:
            raise self._explain(error, places) from error

    def kind(self, name: str) -> Kind:
        """Tell what a column holds. Text is looked through to the end: a column that starts empty may be numbers after all."""
        place = self._names.index(name)
        kind = self._types[place]
        if kind != "VARCHAR":
            return "boolean" if kind == "BOOLEAN" else "other" if kind in _OTHER else "number"
        count = f"count(c{place}), count(TRY_CAST(c{place} AS DOUBLE))"
        try:
            with self._connect() as connection:
                ((filled, numbers),) = self._relation(connection, count, text=True).fetchall()
        except _ENGINE_ERRORS as error:
            raise self._unreadable(error) from error
        return "null" if filled == 0 else "number" if numbers == filled else "text"

    def _connect(self) -> duckdb.DuckDBPyConnection:
        """Open an embedded engine that loads no extension, sees no Python variable and reads no other file."""
        connection = duckdb.connect(
            ":memory:",
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
            },
        )
        connection.execute(f"SET allowed_paths = [{_quoted(str(self._path))}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return connection

    def _lines(self) -> IO[str]:
        """Open the file as text, for what the engine does not tell."""
        if self._packed:
            return gzip.open(self._path, "rt", encoding="utf-8-sig", errors="replace", newline="")
        return self._path.open(encoding="utf-8-sig", errors="replace", newline="")

    def _header_line(self) -> str:
        """Give the header without what is quoted in it, which may hold any sign and even line ends."""
        try:
            with self._lines() as file:
                first = file.read(_LONGEST_LINE)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"The file {self.label!r} cannot be read: {error}.") from error
        if "\0" in first:
            raise DataError(f"The file {self.label!r} has null bytes, as UTF-16 text and binary files have. Save it as UTF-8 text.")
        if not re.split(r"[\r\n]", first, maxsplit=1)[0].strip():
            raise DataError(f"The first line of {self.label!r} is blank. It needs a header line with the names of the columns.")
        return re.split(r"[\r\n]", re.sub(r'"(?:[^"]|"")*"', "", first), maxsplit=1)[0]

    def _sniff(self) -> str:
        """Let the engine guess the delimiter; where it sees a single column, the usual sign in the header tells better."""
        header = self._header_line()
        query = f"SELECT Delimiter FROM sniff_csv(?, {self._compression})"
        try:
            with self._connect() as connection:
                (guess,) = connection.execute(query, [str(self._path)]).fetchall()[0]
        except duckdb.Error as error:
            raise self._unreadable(error) from error
        usual = max(_DELIMITERS, key=header.count)
        return usual if usual in header and guess not in header else str(guess)

    def _header(self) -> list[str]:
        query = f"SELECT * FROM read_csv(?, header = false, all_varchar = true, {self._dialect}) LIMIT 1"
        try:
            with self._connect() as connection:
                lines = connection.execute(query, [str(self._path)]).fetchall()
        except duckdb.Error as error:
            raise self._unreadable(error) from error
        return [name or "" for name in lines[0]] if lines else []

    def _sniff_types(self) -> list[str]:
        try:
            with self._connect() as connection:
                return [str(kind) for kind in self._relation(connection, "*").types]
        except duckdb.Error as error:
            raise self._unreadable(error) from error

    def _relation(
        self, connection: duckdb.DuckDBPyConnection, select: str, *, types: dict[str, str] | None = None, text: bool = False
    ) -> duckdb.DuckDBPyRelation:
        names = ", ".join(f"'c{i}'" for i in range(len(self._names)))
        nulls = ", ".join(_quoted(word) for word in NULL_WORDS)
        cast = ", types = {" + ", ".join(f"{c}: '{kind}'" for c, kind in types.items()) + "}" if types else ""
        as_text = ", all_varchar = true" if text else ""
        query = (
            f"SELECT {select} FROM read_csv(?, header = true, names = [{names}], nullstr = [{nulls}], "
            f"{self._dialect}{cast}{as_text})"
        )
        return connection.sql(query, params=[str(self._path)])

    def _explain(self, error: Exception, places: list[int]) -> DataError:
        """Name the first value that is not a number, if that is what stopped the engine."""
        for i in places:
            if met := self._first_text(i):
                row, value = met
                kind = self._types[i]
                what = f"{kind.lower()} values, then something else" if kind in _OTHER else "text, not a number"
                return DataError(
                    f"Column {self._names[i]!r} of {self.label} holds {what}: {value!r} in data row {row:,}. "
                    "Correct or clear that value. Categories are for predictors, as C(...), and not for the response or arithmetic."
                )
        return self._unreadable(error)

    def _first_text(self, place: int) -> tuple[int, str] | None:
        kind = self._types[place] if self._types[place] in _OTHER else "DOUBLE"
        first = 1
        try:
            with self._connect() as connection:
                relation = self._relation(connection, f"c{place}, TRY_CAST(c{place} AS {kind}) IS NULL", text=True)
                for batch in relation.to_arrow_reader(BATCH_ROWS):
                    values, bad = batch.columns[0].to_pylist(), batch.columns[1].to_pylist()
                    for row, (value, is_bad) in enumerate(zip(values, bad, strict=True), start=first):
                        if is_bad and value is not None:
                            return row, value
                    first += batch.num_rows
        except _ENGINE_ERRORS:
            return None  # the file breaks for another reason, which the caller reports with the engine's own words
        return None

    def _unreadable(self, error: Exception) -> DataError:
        whole = str(error).replace(str(self._path), self.label)
        said = " ".join(whole.split("\n")[:2])[:_LONGEST_QUOTE]
        if "utf-8" in whole and "utf-8" not in said:
            said += " ... This file is not utf-8 encoded."
        return DataError(
            f"The file {self.label!r} cannot be read as CSV with a header line. {self._uneven(error)}DuckDB says: {said}"
        )

    def _uneven(self, error: Exception) -> str:
        """Name the first line with another number of fields than the header, if that is what the engine stumbled over."""
        if not any(sign in str(error) for sign in ("Number of Columns", "sniffing", "TOO MANY COLUMNS")):
            return ""
        try:
            with self._lines() as file:
                lines = csv.reader(file, delimiter=self._delimiter)
                header = len(next(lines, []))
                for fields in lines:
                    if fields and len(fields) != header:
                        return (
                            f"Line {lines.line_num:,} has {counted(len(fields), 'field')}, the header {header:,}. Mend that line. "
                        )
        except (csv.Error, OSError, EOFError, zlib.error):
            return ""  # the engine's own words have to do
        return ""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
