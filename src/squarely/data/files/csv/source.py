"""CSV files through DuckDB, which may read that one file and nothing else.

DuckDB renames duplicate columns, ignores case in names and skips lines that do not fit. So the header is read as text first,
columns go by their position (c0, c1, ...), and no line is ever skipped.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property

import duckdb
import pyarrow as pa

from squarely.data.dtypes import Kind
from squarely.data.files.csv.connection import connect, quote_sql, struct_sql
from squarely.data.files.csv.decimal_commas import AMBIGUOUS_THOUSANDS, CommaValues, ambiguous_sign_error, detect_commas
from squarely.data.files.csv.diagnosis import LONG_LINE, unreadable_error
from squarely.data.files.csv.dialect import choose_names, describe_dialect, describe_numeric_names, detect_text, make_pandas_call
from squarely.data.files.csv.sql_expressions import null_sql, number_sql, odd_text_sql
from squarely.data.files.csv.text.byte_search import measure_longest_line
from squarely.data.files.csv.text.csv_text import PATTERN_SIGNS
from squarely.data.files.csv.text.line_ends import LineEnds
from squarely.data.files.csv.text.text_check import TextCheck, find_text_columns, iter_bytes
from squarely.data.files.csv.text.text_pipe import has_pipes
from squarely.data.files.local_file import LocalFile
from squarely.data.files.read_options import ReadOptions
from squarely.data.query import keyboard_interrupts
from squarely.data.source import BATCH_ROWS, DECIMAL_COMMA, Source, with_row_positions
from squarely.errors import DataError, option_hint, show_value

# The words for an empty field, as in R and pandas: each is counted as "null" in the row account.
NULL_WORDS = ("", "NA", "N/A", "NULL", "null", "#N/A")
# DuckDB reads 1_000 as 1000, +-5 as -5 and nan(1) as NaN; here a text with one of these signs is not a number.
_NOT_IN_NUMBERS = ("_", "+-", "(")
# DuckDB guesses types alone: no comment sign, no skipped line, no columns from the names of folders.
_DIALECT = "comment = '', skip = 0, strict_mode = true, hive_partitioning = false"
_USUAL_LINE, _MAX_LINE = 1_900_000, 2**28  # bytes: what DuckDB accepts, and what is accepted here
_BUFFER = 2**25  # bytes, as many as DuckDB reads at a time
_SAMPLE = 20_480  # rows, as many as DuckDB samples
_ENGINE_ERRORS = (duckdb.Error, OSError, pa.ArrowException, UnicodeError)  # DuckDB's errors come through Arrow as OSError
_OTHER_TYPES = ("BOOLEAN", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")


class CsvSource(Source):
    """A CSV file on this machine, gzipped or not, with a header line."""

    typed, is_file, is_parsed = False, True, True

    def __init__(self, file: LocalFile, options: ReadOptions) -> None:
        self.label, self._file = file.label, file
        if "\\" in str(file.path) and PATTERN_SIGNS.search(str(file.path)):
            raise DataError(
                f"The path {str(file.given_path)!r} has a backslash and one of * ? [ in it, which DuckDB takes for a pattern. "
                "Rename the file."
            )
        detected = detect_text(file, options)
        self._text, self._options, self.notes = detected.text, detected.options, detected.notes
        self._delimiter, self.thousands = detected.sign, options.thousands or ""
        self._comma_values = CommaValues()
        self._kinds: dict[str, Kind] = {}  # of the text columns that have been scanned
        self._longest_line = 0  # bytes, if it is longer than DuckDB expects
        self._detect_dialect()
        self.pandas_call = make_pandas_call(
            file,
            detected,
            self._names,
            self._null_words,
            is_decimal_comma=self._comma_values.is_decimal,
            has_extra_field=self._line_ends.has_extra_field,
        )
        self.null_words = self._null_words
        self.dialect = describe_dialect(self._options, detected.encoding, is_decimal=self._comma_values.is_decimal)
        self.duplicate_names = frozenset(name for name, count in Counter(self._names).items() if count > 1)
        self.columns = dict(zip(self._names, self._types, strict=True))
        if len(self._names) > 1 and self._names[0] == "" and "" not in self.duplicate_names:
            self.index_columns = frozenset([""])  # the row labels that pandas and R write

    def _detect_dialect(self) -> None:
        """Detect names, line ends, decimal sign and types; again with longer lines if DuckDB finds them too long."""
        notes = self.notes
        try:
            with keyboard_interrupts(), connect(self._text) as connection:
                self._detect_columns(connection)
        except _ENGINE_ERRORS as error:
            if LONG_LINE in str(error) and not self._longest_line:
                self._set_longest_line(measure_longest_line(iter_bytes(self._text)))
                if self._longest_line:
                    self.notes = notes
                    self._detect_dialect()
                    return
            raise unreadable_error(self._text, self._delimiter, error) from error

    def _set_longest_line(self, size: int) -> None:
        if max(_USUAL_LINE, self._longest_line) < size <= _MAX_LINE:
            self._longest_line = size + 2**20

    @property
    def _long_lines_sql(self) -> str:
        size = self._longest_line
        return f", max_line_size = {size}, buffer_size = {max(4 * size, _BUFFER)}" if size else ""

    def _detect_columns(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Detect names, line ends, decimal sign and types, in this order."""
        text, options = self._text, self._options
        self._compression_sql = f"compression = '{'gzip' if text.is_gzip else 'none'}'"
        quote = quote_sql(text.quotes.sign)
        self._dialect = f"delim = {quote_sql(self._delimiter)}, quote = {quote}, escape = {quote}, {_DIALECT}"
        how = f"{self._compression_sql}, {self._dialect}{self._long_lines_sql}"
        query = f"SELECT * FROM read_csv(?, header = false, all_varchar = true, {how}) LIMIT 1"
        first = connection.execute(query, [text.pattern]).fetchall()
        self._width = len(first[0]) if first else 0
        names = [name or "" for name in first[0]] if first else []
        if text.header:
            names = next(csv.reader(io.StringIO(text.header, newline=""), delimiter=self._delimiter, quotechar=text.quotes.sign))
        header = self._width if options.has_header else None
        self._line_ends = LineEnds(text.open, self._delimiter, self._width, header, text.quotes.sign)
        columns = self._width
        if header and columns > 1 and not names[-1]:
            shorter = LineEnds(text.open, self._delimiter, self._width - 1, header, text.quotes.sign)
            if shorter.has_extra_field:  # the header line ends so, too
                self._line_ends, columns = shorter, columns - 1
        self._names = choose_names(names, columns, options, self.label)
        self._check = TextCheck(text, self._line_ends, (*_NOT_IN_NUMBERS, *self._null_words))
        if self._line_ends.has_extra_field:
            self.notes += ("a delimiter at the end of every line, with nothing after it",)
        decimal = options.decimal or {".": ",", ",": "."}.get(options.thousands or "")
        if decimal or self._delimiter == ",":
            self._comma_values = CommaValues(is_decimal=decimal == ",")
        else:
            between = quote_sql(options.thousands or "")
            columns_sql = f"replace(COLUMNS(*), {between}, '')" if options.thousands else "*"
            self._comma_values = detect_commas(self._select(connection, columns_sql).limit(_SAMPLE).to_arrow_table())
        if self._comma_values.is_decimal:
            self._dialect += ", decimal_separator = ','"
            self.notes += (DECIMAL_COMMA,)
        self._types = [str(kind) for kind in self._select(connection, "*", {}).types[: len(self._names)]]
        self._number_types = [kind if kind in _OTHER_TYPES else "DOUBLE" for kind in self._types]
        if options.has_header and options.header is None:
            note, self.header_error = describe_numeric_names(names[:columns], self._types, self.label)
            self.notes += (note,) if note else ()

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        if self.header_error:
            raise DataError(self.header_error)
        places = [self._find_number_column(name) for name in numbers]
        texts = [self._names.index(name) for name in labels]
        self._file.require_unchanged()
        rows = 0
        if self._check.found is None and self._text.is_gzip and has_pipes():
            for signs in ((), _NOT_IN_NUMBERS):  # odd signs are rare, and take time
                with suppress(*_ENGINE_ERRORS):
                    for batch in _skip_rows(self._query_pipe(*self._write_query(places, texts, signs), is_final=bool(signs)), rows):
                        yield batch
                        rows += batch.num_rows
                if self._check.found is not None:
                    self._file.require_unchanged()
                    return
        self._check_bytes()
        try:
            yield from _skip_rows(self._query(*self._write_query(places, texts, self._odd_signs)), rows)
        except _ENGINE_ERRORS as error:
            self._file.require_unchanged()
            raise self._explain_error(error, places) from error
        self._file.require_unchanged()

    def _write_query(self, places: Sequence[int], texts: Sequence[int], signs: Sequence[str]) -> tuple[str, dict[str, str]]:
        """Return the SQL columns v0, v1, ... of numbers at `places` and then of `texts`, and the types to read them as."""
        # What may be numbers is read as DOUBLE whatever the first rows suggest: a 3.5 after a million integers is no error,
        # nor is a first number after a million empty fields. Truth values stay; the cast to double refuses dates.
        # Columns whose text must be inspected, or whose first rows are text or empty, are read as text and cast here.
        numeric = [i for i in places if self._number_types[i] == "DOUBLE"]
        cast = {*texts, *(i for i in numeric if self._types[i] == "VARCHAR" or self._odd_sql(i, signs))}
        types = {f"c{i}": "DOUBLE" for i in numeric} | {f"c{i}": "VARCHAR" for i in cast}
        columns = [f"CAST({self._number_sql(i, signs)} AS {self._number_types[i]})" if i in cast else f"c{i}" for i in places]
        numbers = self._options.na_numbers
        columns = [null_sql(column, numbers) if i in numeric else column for i, column in zip(places, columns, strict=True)]
        columns += [f"c{i}" for i in texts]
        return ", ".join(f"{column} AS v{j}" for j, column in enumerate(columns)) or "1", types

    def require_unchanged(self) -> None:
        self._file.require_unchanged()

    def head(self, names: Sequence[str], rows: int) -> pa.Table:
        places = {name: i for i, name in enumerate(self._names)}
        columns = ", ".join(f"c{places[name]} AS v{j}" for j, name in enumerate(names)) or "1 AS v0"
        try:
            with keyboard_interrupts(), connect(self._text) as connection:
                table = self._select(connection, columns, nulls=("",)).limit(rows).to_arrow_table()
        except _ENGINE_ERRORS as error:
            raise unreadable_error(self._text, self._delimiter, error) from error
        return table.rename_columns(list(names)) if names else table.select([])

    def kind(self, name: str) -> Kind:
        """Return what a column holds. Text is scanned to the end: a column that starts empty may still hold numbers."""
        place = self._find_number_column(name)
        kind = self._types[place]
        if kind != "VARCHAR":
            return "boolean" if kind == "BOOLEAN" else "other" if kind in _OTHER_TYPES else "number"
        if name not in self._kinds:
            self._kinds[name] = self._find_text_kind(place)
        return self._kinds[name]

    @cached_property
    def _text_places(self) -> frozenset[int]:
        return find_text_columns(self._text, self._delimiter, self._null_words)

    def _find_text_kind(self, place: int) -> Kind:
        if place in self._text_places:
            return "text"
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

    def _number_sql(self, place: int, signs: Sequence[str] | None = None) -> str:
        return number_sql(place, self._odd_sql(place, signs), self._comma_values, self._options.thousands or "")

    def _odd_sql(self, place: int, signs: Sequence[str] | None = None) -> list[str]:
        found = self._odd_signs if signs is None else signs
        return odd_text_sql(place, found, self._comma_values, self._options.thousands or "")

    def _find_number_column(self, name: str) -> int:
        """Return the place of a column; raise a DataError if its decimal sign is ambiguous, or differs from other columns."""
        place = self._names.index(name)
        if value := self._comma_values.mixed_values.get(place):
            raise DataError(
                f"Column {name!r} of {self.label} has values such as {show_value(value)} and another column has "
                "decimal points: some columns write 1,5 and others 1.5. Write one kind of decimal sign."
            )
        if value := self._comma_values.ambiguous_values.get(place):
            raise ambiguous_sign_error(name, self.label, value, f"values such as {show_value(value)}")
        return place

    @property
    def _odd_signs(self) -> list[str]:
        """The signs that only DuckDB reads as parts of numbers; for gzip all of them until it was read once."""
        if not self._text.is_gzip:
            self._check_bytes()
        return [sign for sign in _NOT_IN_NUMBERS if self._check.found is None or sign in self._check.found]

    def _check_bytes(self) -> None:
        """Search for odd signs and null words, once; raise a DataError if lines end differently, or a checksum is wrong."""
        self._check.run()
        self._set_longest_line(self._check.longest_line)

    def _query(self, columns: str, types: Mapping[str, str] | None = None) -> Iterator[pa.RecordBatch]:
        with keyboard_interrupts(), connect(self._text) as connection:
            yield from self._select(connection, columns, types).to_arrow_reader(BATCH_ROWS)

    def _query_pipe(self, columns: str, types: Mapping[str, str], *, is_final: bool) -> Iterator[pa.RecordBatch]:
        """Query a gzipped text that is decompressed and checked meanwhile: all of it, or up to the first odd sign in it."""
        last = None
        stops = () if is_final else _NOT_IN_NUMBERS
        with self._check.pipe(stops) as path, keyboard_interrupts(), connect(self._text, path) as connection:
            for batch in self._select(connection, columns, types, pipe=path).to_arrow_reader(BATCH_ROWS):
                if last is not None:
                    yield last
                last = batch
        if last is not None and self._check.found is not None:  # else the text may end in the middle of a line
            yield last

    @property
    def _null_words(self) -> tuple[str, ...]:
        words = [
            f"{before}{word}{behind}" for word in self._options.na_values or () for before in ("", " ") for behind in ("", " ")
        ]
        return tuple(dict.fromkeys((*NULL_WORDS, *(word for word in words if self._delimiter not in word))))

    def _select(
        self,
        connection: duckdb.DuckDBPyConnection,
        columns: str,
        types: Mapping[str, str] | None = None,
        nulls: Sequence[str] | None = None,
        pipe: str = "",
    ) -> duckdb.DuckDBPyRelation:
        """Select SQL columns of the file; all of it is text, or DuckDB detects the types but for those in `types`.

        DuckDB cannot detect anything in a `pipe`, which it reads once.
        """
        names = [f"c{i}" for i in range(self._width)]
        found = [word for word in self._null_words if not word or self._check.found is None or word in self._check.found]
        words = ", ".join(map(quote_sql, found if nulls is None else nulls))  # each word takes time
        if pipe:
            kinds = {**dict.fromkeys(names, "VARCHAR"), **dict(zip(names, self._types, strict=False)), **(types or {})}
            how = f"auto_detect = false, columns = {struct_sql(kinds)}, compression = 'none'"
        else:
            how = f"names = [{', '.join(map(quote_sql, names))}], {self._compression_sql}"
            how += ", all_varchar = true" if types is None else f", types = {struct_sql(types)}" if types else ""
        how = f"header = {self._options.has_header}, {how}, nullstr = [{words}], {self._dialect}{self._long_lines_sql}"
        return connection.sql(f"SELECT {columns} FROM read_csv(?, {how})", params=[pipe or self._text.pattern])

    def _explain_error(self, error: Exception, places: list[int]) -> DataError:
        """Return an error that names the first value that is not a number, if that stopped DuckDB."""
        for i in places:
            if found := self._find_first_text(i):
                row, value = found
                if i in self._comma_values.small_columns and re.fullmatch(AMBIGUOUS_THOUSANDS, value):
                    values = f"small whole numbers and {show_value(value)} in data row {row:,}"
                    return ambiguous_sign_error(self._names[i], self.label, value, values)
                kind = self._types[i]
                what = f"{kind.lower()} values, then something else" if kind in _OTHER_TYPES else "text, not a number"
                return DataError(
                    f"Column {self._names[i]!r} of {self.label} holds {what}: {show_value(value)} in data row {row:,}. "
                    "Correct or clear that value. Categories, as C(...), are for predictors, not for the response or arithmetic, "
                    f"and {option_hint('na_values', [value])} makes it missing."
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


def _skip_rows(batches: Iterable[pa.RecordBatch], count: int) -> Iterator[pa.RecordBatch]:
    """Yield consecutive batches without the first `count` rows."""
    for first, batch in with_row_positions(batches):
        if first + batch.num_rows > count:
            yield batch.slice(max(count - first, 0))
