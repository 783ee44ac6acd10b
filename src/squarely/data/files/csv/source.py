"""CSV files through DuckDB, which may read that one file and nothing else.

DuckDB renames duplicate columns, ignores case in names and skips lines that do not fit. So the header is read as text first,
columns go by their position (c0, c1, ...), and no line is ever skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from squarely.data.dtypes import Kind
from squarely.data.files.csv.decimal_commas import AMBIGUOUS_THOUSANDS, CommaValues, detect_commas
from squarely.data.files.csv.diagnosis import read_header, unreadable_error
from squarely.data.files.csv.encoding import PATTERN_SIGNS, CsvText, copy_as_utf8, find_signs, iter_pieces, read_gzip, strip_padding
from squarely.data.files.csv.line_ends import LineEnds
from squarely.data.files.local_file import LocalFile
from squarely.data.files.read_options import ReadOptions
from squarely.data.pandas_io import pandas_read_csv_call
from squarely.data.query import keyboard_interrupts
from squarely.data.source import BATCH_ROWS, DECIMAL_COMMA, Source
from squarely.errors import DataError, pluralize

# The words for an empty field, as in R and pandas: each is counted as "null" in the row account.
NULL_WORDS = ("", "NA", "N/A", "NULL", "null", "#N/A")
# DuckDB reads 1_000 as 1000, +-5 as -5 and nan(1) as NaN; here a text with one of these signs is not a number.
_NOT_IN_NUMBERS = ("_", "+-", "(")
# Only the delimiter is guessed: no comment sign, no skipped line, no columns from the names of folders.
_DIALECT = "quote = '\"', escape = '\"', comment = '', skip = 0, strict_mode = true, hive_partitioning = false"
_DELIMITERS = ",;\t|"
_PIECE = 2**18  # bytes: what fits into a cache is counted faster
_SAMPLE = 20_480  # rows, as many as DuckDB samples
_ENGINE_ERRORS = (duckdb.Error, OSError, pa.ArrowException, UnicodeError)  # DuckDB's errors come through Arrow as OSError
_OTHER_TYPES = ("BOOLEAN", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}


class CsvSource(Source):
    """A CSV file on this machine, gzipped or not, with a header line."""

    typed, is_file = False, True

    def __init__(self, file: LocalFile, options: ReadOptions) -> None:
        self.label, self._file = file.label, file
        if "\\" in str(file.path) and PATTERN_SIGNS.search(str(file.path)):
            raise DataError(
                f"The path {str(file.given_path)!r} has a backslash and one of * ? [ in it, which DuckDB takes for a pattern. "
                "Rename the file."
            )
        utf8_copy = copy_as_utf8(file)
        self._text = utf8_copy or strip_padding(file) or CsvText(file, file.path, file.is_gzip)
        self.notes = ("UTF-16",) if utf8_copy else ()
        self._is_checked = False
        self._delimiter = _DELIMITERS[0]  # until it is detected
        self._comma_values = CommaValues()
        self._odd_signs: tuple[str, ...] | None = None  # until they are searched for
        self._kinds: dict[str, Kind] = {}  # of the text columns that have been scanned
        try:
            with keyboard_interrupts(), self._connection() as connection:
                self._detect_dialect(connection)
        except _ENGINE_ERRORS as error:
            raise unreadable_error(self._text, self._delimiter, error) from error
        self.pandas_call = pandas_read_csv_call(
            str(file.real_path),
            delimiter=self._delimiter,
            nulls=NULL_WORDS,
            decimal="," if self._comma_values.is_decimal else ".",
            encoding="utf-16" if utf8_copy else "utf-8",
            is_gzip=file.is_gzip,
            has_extra_field=self._line_ends.has_extra_field,
        )
        self.duplicate_names = frozenset(name for name in self._names if self._names.count(name) > 1)
        self.columns = dict(zip(self._names, self._types, strict=True))
        if len(self._names) > 1 and self._names[0] == "" and "" not in self.duplicate_names:
            self.index_columns = frozenset([""])  # the row labels that pandas and R write

    def _detect_dialect(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Detect delimiter, names, line ends, decimal sign and types, in this order."""
        text = self._text
        compression = f"compression = '{'gzip' if text.is_gzip else 'none'}'"
        # Where DuckDB sees a single column, the most frequent usual sign in the header is the better guess.
        header = read_header(text)
        (guess,) = connection.execute(f"SELECT Delimiter FROM sniff_csv(?, {compression})", [text.pattern]).fetchall()[0]
        usual = max(_DELIMITERS, key=header.count)
        self._delimiter = usual if usual in header and guess not in header else str(guess)
        self._dialect = f"delim = {_quote_sql(self._delimiter)}, {compression}, {_DIALECT}"
        query = f"SELECT * FROM read_csv(?, header = false, all_varchar = true, {self._dialect}) LIMIT 1"
        names = connection.execute(query, [text.pattern]).fetchall()
        self._names = [name or "" for name in names[0]] if names else []
        self._width = len(self._names)
        self._line_ends = LineEnds(text.open, self._delimiter, self._width, self._width)
        if len(self._names) > 1 and not self._names[-1]:
            shorter = LineEnds(text.open, self._delimiter, self._width - 1, self._width)
            if shorter.has_extra_field:  # the header line ends so, too
                self._line_ends, self._names = shorter, self._names[:-1]
        if self._line_ends.has_extra_field:
            self.notes += ("a delimiter at the end of every line, behind which nothing stands",)
        if self._delimiter != ",":
            self._comma_values = detect_commas(self._select(connection, "*").limit(_SAMPLE).to_arrow_table())
        if self._comma_values.is_decimal:
            self._dialect += ", decimal_separator = ','"
            self.notes += (DECIMAL_COMMA,)
        self._types = [str(kind) for kind in self._select(connection, "*", {}).types[: len(self._names)]]
        self._number_types = [kind if kind in _OTHER_TYPES else "DOUBLE" for kind in self._types]

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        places = [self._find_number_column(name) for name in numbers]
        texts = [self._names.index(name) for name in labels]
        # What may be numbers is read as DOUBLE whatever the first rows suggest: a 3.5 after a million integers is no error,
        # nor is a first number after a million empty fields. Truth values stay; the cast to double refuses dates.
        # Columns whose text must be inspected, or whose first rows are text or empty, are read as text and cast here.
        numeric = [i for i in places if self._number_types[i] == "DOUBLE"]
        cast = {*texts, *(i for i in numeric if self._types[i] == "VARCHAR" or self._odd_text_sql(i))}
        types = {f"c{i}": "DOUBLE" for i in numeric} | {f"c{i}": "VARCHAR" for i in cast}
        columns = [f"CAST({self._number_sql(i)} AS {self._number_types[i]})" if i in cast else f"c{i}" for i in places]
        columns += [f"c{i}" for i in texts]
        self._file.require_unchanged()
        self._require_uniform_lines()
        try:
            yield from self._query(", ".join(f"{column} AS v{j}" for j, column in enumerate(columns)) or "1", types)
        except _ENGINE_ERRORS as error:
            self._file.require_unchanged()
            raise self._explain_error(error, places) from error
        self._file.require_unchanged()

    def kind(self, name: str) -> Kind:
        """Return what a column holds. Text is scanned to the end: a column that starts empty may still hold numbers."""
        place = self._find_number_column(name)
        kind = self._types[place]
        if kind != "VARCHAR":
            return "boolean" if kind == "BOOLEAN" else "other" if kind in _OTHER_TYPES else "number"
        if name not in self._kinds:
            self._kinds[name] = self._find_text_kind(place)
        return self._kinds[name]

    def _find_text_kind(self, place: int) -> Kind:
        columns = f"c{place} AS text, TRY_CAST({self._number_sql(place)} AS DOUBLE) AS number"
        kind: Kind = "null"
        try:
            for batch in self._query(columns):
                texts, numbers = (len(column) - column.null_count for column in batch.columns)
                if numbers < texts:
                    return "text"
                kind = "number" if numbers else kind
        except _ENGINE_ERRORS as error:
            raise unreadable_error(self._text, self._delimiter, error) from error
        return kind

    def _number_sql(self, place: int) -> str:
        """Return SQL that writes the texts of a column with a decimal point, and makes those invalid that are not numbers."""
        text = f"translate(c{place}, '.,', '?.')" if self._comma_values.is_decimal else f"c{place}"
        odd = " OR ".join(self._odd_text_sql(place))
        return f"CASE WHEN {odd} THEN '?' || {text} ELSE {text} END" if odd else text

    def _odd_text_sql(self, place: int) -> list[str]:
        """Return SQL conditions for texts that only DuckDB reads as numbers, or 1.234 beside small integers in the sample."""
        if self._odd_signs is None:
            with self._file.reading("CSV"):
                self._odd_signs = _NOT_IN_NUMBERS if self._text.is_gzip else find_signs(self._text.path, _NOT_IN_NUMBERS)
        odd = [f"contains(c{place}, {_quote_sql(sign)})" for sign in self._odd_signs]
        if place in self._comma_values.small_columns:
            sign = "," if self._comma_values.is_decimal else "."
            odd.append(f"contains(c{place}, '{sign}') AND regexp_full_match(c{place}, {_quote_sql(AMBIGUOUS_THOUSANDS)})")
        return odd

    def _find_number_column(self, name: str) -> int:
        """Return the place of a column; raise a DataError if its decimal sign is ambiguous, or differs from other columns."""
        place = self._names.index(name)
        if value := self._comma_values.mixed_values.get(place):
            raise DataError(
                f"Column {name!r} of {self.label} has values such as {value!r} and another column has "
                "decimal points: some columns write 1,5 and others 1.5. Write one kind of decimal sign."
            )
        if value := self._comma_values.ambiguous_values.get(place):
            raise self._ambiguous_sign_error(place, value, f"values such as {value!r}")
        return place

    def _ambiguous_sign_error(self, place: int, value: str, values: str) -> DataError:
        sign, longer = ("comma", "1,2340") if "," in value else ("point", "1.2340")
        return DataError(
            f"Column {self._names[place]!r} of {self.label} has {values}, in which the {sign} may stand for a decimal point or "
            "separate thousands. Remove it if it separates thousands (1234), or add a zero to one value if it is "
            f"decimal ({longer})."
        )

    def _require_uniform_lines(self) -> None:
        """Raise a DataError if some lines end in an extra delimiter, or a checksum of gzip is wrong; check once."""
        if self._is_checked:
            return
        with self._file.reading("CSV"):
            path = self._text.path
            pieces = (piece for piece, _ in read_gzip(path)) if self._text.is_gzip else iter_pieces(path, _PIECE)
            other = self._line_ends.find_other_line(pieces)
        if other is not None:
            extra, fields = self._line_ends.has_extra_field, self._line_ends.fields
            others = f"the lines before it have {fields + 1:,}" if extra else f"the header has {fields:,}"
            raise DataError(
                f"Line {other[0]:,} of {self.label} has {pluralize(other[1], 'field')}, and {others}: a value may contain the "
                "delimiter, as in 1,250. Put such a value in quotes, or let all lines end alike."
            )
        self._is_checked = True

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open an embedded DuckDB that loads no extension, sees no Python variable and reads no other file."""
        with duckdb.connect(":memory:", config=_SETTINGS) as connection:
            connection.execute("SET enable_progress_bar = false")  # it would be printed among the results
            paths = f"{_quote_sql(str(self._text.path))}, {_quote_sql(self._text.pattern)}"
            connection.execute(f"SET allowed_paths = [{paths}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection

    def _query(self, columns: str, types: Mapping[str, str] | None = None) -> Iterator[pa.RecordBatch]:
        with keyboard_interrupts(), self._connection() as connection:
            yield from self._select(connection, columns, types).to_arrow_reader(BATCH_ROWS)

    def _select(
        self, connection: duckdb.DuckDBPyConnection, columns: str, types: Mapping[str, str] | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Select SQL columns of the file; all of it is text, or DuckDB detects the types but for those in `types`."""
        names, nulls = ", ".join(f"'c{i}'" for i in range(self._width)), ", ".join(map(_quote_sql, NULL_WORDS))
        chosen = ", ".join(f"{c}: '{kind}'" for c, kind in (types or {}).items())
        cast = ", all_varchar = true" if types is None else f", types = {{{chosen}}}" if types else ""
        query = f"SELECT {columns} FROM read_csv(?, header = true, names = [{names}], nullstr = [{nulls}], {self._dialect}{cast})"
        return connection.sql(query, params=[self._text.pattern])

    def _explain_error(self, error: Exception, places: list[int]) -> DataError:
        """Return an error that names the first value that is not a number, if that stopped DuckDB."""
        for i in places:
            if found := self._find_first_text(i):
                row, value = found
                if i in self._comma_values.small_columns and re.fullmatch(AMBIGUOUS_THOUSANDS, value):
                    return self._ambiguous_sign_error(i, value, f"small whole numbers and {value!r} in data row {row:,}")
                kind = self._types[i]
                what = f"{kind.lower()} values, then something else" if kind in _OTHER_TYPES else "text, not a number"
                return DataError(
                    f"Column {self._names[i]!r} of {self.label} holds {what}: {value!r} in data row {row:,}. "
                    "Correct or clear that value. Categories, as C(...), are for predictors, not for the response or arithmetic."
                )
        return unreadable_error(self._text, self._delimiter, error)

    def _find_first_text(self, place: int) -> tuple[int, str] | None:
        """Return the first text that is not a number, with its row counted from 1."""
        batches = self._query(f"c{place}, TRY_CAST({self._number_sql(place)} AS {self._number_types[place]}) IS NULL")
        values = (pair for batch in batches for pair in zip(*(column.to_pylist() for column in batch.columns), strict=True))
        try:
            return next(((row, text) for row, (text, is_bad) in enumerate(values, 1) if is_bad and text is not None), None)
        except _ENGINE_ERRORS:
            return None  # the file breaks for another reason, which the caller reports in the engine's own words


def _quote_sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
