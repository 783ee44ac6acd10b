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
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import duckdb
import pyarrow as pa

from squarely.data.dtypes import Kind
from squarely.data.files.csv.dialect import AMBIGUOUS_THOUSANDS, CommaValues, copy_as_utf8, detect_commas, find_signs
from squarely.data.files.csv.gzip import read_gzip, strip_padding
from squarely.data.files.csv.line_ends import LineEnds
from squarely.data.files.local_file import LocalFile
from squarely.data.pandas_io import pandas_read_csv_call
from squarely.data.query import keyboard_interrupts
from squarely.data.source import BATCH_ROWS, DECIMAL_COMMA, Source
from squarely.errors import DataError, pluralize

# What counts as an empty field, as in R and pandas: each is counted as "null" in the row account.
NULL_WORDS = ("", "NA", "N/A", "NULL", "null", "#N/A")
# The engine takes 1_000 for 1000, +-5 for -5 and nan(1) for NaN; a text with one of these signs is no number here.
_NOT_IN_NUMBERS = ("_", "+-", "(")
# Nothing is guessed but the delimiter: no comment sign, no skipped line, no column made of the names of folders.
_DIALECT = "quote = '\"', escape = '\"', comment = '', skip = 0, strict_mode = true, hive_partitioning = false"
_DELIMITERS = ",;\t|"
_LONGEST_LINE = 1_000_000
_LONGEST_QUOTE = 300
_PIECE = 2**18  # bytes: what fits into a cache is counted faster
_SIGNS = re.compile(r"[*?[]")
_QUOTED_PART = re.compile(r'"(?:[^"]|"")*"')
_SAMPLE = 20_480  # rows, as many as the engine looks at
_ENGINE_ERRORS = (
    duckdb.Error,
    OSError,
    pa.ArrowException,
    UnicodeError,
)  # an error of the engine arrives through Arrow as an OSError
_OTHER_TYPES = ("BOOLEAN", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")


class CsvSource(Source):
    """One CSV file on this machine, gzipped or not, with a header line."""

    typed, is_file = False, True

    def __init__(self, file: LocalFile) -> None:
        self._file, self._path = file, file.path
        self.label = file.label
        if "\\" in str(self._path) and _SIGNS.search(str(self._path)):
            raise DataError(
                f"The path {str(file.given_path)!r} has a backslash and one of * ? [ in it, which DuckDB takes for a pattern. "
                "Rename the file."
            )
        self._is_gzip = packed = file.head(2) == b"\x1f\x8b"  # gzip, whatever the name says
        if copy := copy_as_utf8(self._path, is_gzip=self._is_gzip):
            self._copy, self._path, self._is_gzip, self.notes = copy, copy.path, False, ("UTF-16",)
        elif self._is_gzip:
            with self._read_errors():
                if unpadded_copy := strip_padding(self._path):
                    self._copy, self._path = unpadded_copy, unpadded_copy.path
        self._is_checked = False
        self._compression = f"compression = '{'gzip' if self._is_gzip else 'none'}'"
        self._delimiter = _DELIMITERS[0]  # until it is sniffed
        self._odd_signs: tuple[str, ...] | None = None  # until they are looked for
        self._kinds: dict[str, Kind] = {}  # of the columns of text that have been looked through
        try:
            with keyboard_interrupts(), self._connection() as connection:
                self._detect_dialect(connection)
        except _ENGINE_ERRORS as error:
            raise self._unreadable_error(error) from error
        self.pandas_call = pandas_read_csv_call(
            str(file.real_path),
            delimiter=self._delimiter,
            nulls=NULL_WORDS,
            decimal="," if self._comma_values.is_decimal else ".",
            encoding="utf-16" if copy else "utf-8",
            is_gzip=packed,
            has_extra_field=self._line_ends.has_extra_field,
        )
        self.duplicate_names = frozenset(name for name in self._names if self._names.count(name) > 1)
        self.columns = dict(zip(self._names, self._types, strict=True))
        if len(self._names) > 1 and self._names[0] == "" and "" not in self.duplicate_names:
            self.index_columns = frozenset([""])  # pandas and R write the labels of rows so

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order of the lines."""
        places = [self._find_number_column(name) for name in numbers]
        texts = [self._names.index(name) for name in labels]
        # What may be numbers is read as DOUBLE whatever the first rows suggest: a 3.5 after a million integers is no error,
        # nor is a first number after a million empty fields. True and false stay, dates are refused by the cast to double.
        # What needs a look at its text, and what the first rows show to be text, or empty, is cast here.
        numeric = [i for i in places if self._types[i] not in _OTHER_TYPES]
        cast = {*texts, *(i for i in numeric if self._types[i] == "VARCHAR" or self._odd_text_sql(i))}
        kinds = {f"c{i}": "DOUBLE" for i in numeric} | {f"c{i}": "VARCHAR" for i in cast}
        kept = {i: self._types[i] if self._types[i] in _OTHER_TYPES else "DOUBLE" for i in places}
        columns = [f"CAST({self._number_sql(i)} AS {kept[i]})" if i in cast else f"c{i}" for i in places] + [f"c{i}" for i in texts]
        self._file.require_unchanged()
        self._require_uniform_lines()
        select = ", ".join(f"{column} AS v{j}" for j, column in enumerate(columns)) or "1"
        try:
            with keyboard_interrupts(), self._connection() as connection:
                yield from self._select(connection, select, types=kinds).to_arrow_reader(BATCH_ROWS)
        except _ENGINE_ERRORS as error:
            self._file.require_unchanged()
            raise self._explain_error(error, places) from error
        self._file.require_unchanged()

    def _require_uniform_lines(self) -> None:
        """Raise a DataError where some lines end in one delimiter too many, or a checksum of gzip's is wrong; look once."""
        if self._is_checked:
            return
        with self._read_errors():
            pieces = (text for text, _ in read_gzip(self._path)) if self._is_gzip else self._iter_pieces()
            met = self._line_ends.find_other_line(pieces)
        if met is not None:
            line, fields = met
            others = (
                f"the lines before it have {self._line_ends.fields + 1:,}"
                if self._line_ends.has_extra_field
                else f"the header has {self._line_ends.fields:,}"
            )
            raise DataError(
                f"Line {line:,} of {self.label} has {pluralize(fields, 'field')}, the last one empty where it is one too many, and "
                f"{others}. Perhaps a value has the delimiter in it, such as 1,250 in place of 1250. Put such a value in quotes, "
                "or let all lines end alike."
            )
        self._is_checked = True

    def _iter_pieces(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    @contextmanager
    def _read_errors(self) -> Iterator[None]:
        """Say what is wrong where the bytes of the file cannot be read to the end."""
        try:
            yield
        except (OSError, EOFError, zlib.error) as error:
            self._file.require_unchanged()
            raise DataError(
                f"The gzipped file {self.label!r} cannot be read: it is damaged or was cut short ({error}). Copy or pack it again."
                if self._is_gzip
                else f"The file {self.label!r} cannot be read: {error}."
            ) from error

    def kind(self, name: str) -> Kind:
        """Tell what a column holds. Text is looked through to the end: a column that starts empty may be numbers after all."""
        place = self._find_number_column(name)
        kind = self._types[place]
        if kind != "VARCHAR":
            return "boolean" if kind == "BOOLEAN" else "other" if kind in _OTHER_TYPES else "number"
        if name not in self._kinds:
            self._kinds[name] = self._find_text_kind(place)
        return self._kinds[name]

    def _find_text_kind(self, place: int) -> Kind:
        look = f"c{place} AS text, TRY_CAST({self._number_sql(place)} AS DOUBLE) AS number"
        kind: Kind = "null"
        try:
            with keyboard_interrupts(), self._connection() as connection:
                for batch in self._select(connection, look, text=True).to_arrow_reader(BATCH_ROWS):
                    texts, numbers = (len(column) - column.null_count for column in batch.columns)
                    if numbers < texts:
                        return "text"
                    kind = "number" if numbers else kind
        except _ENGINE_ERRORS as error:
            self._file.require_unchanged()
            raise self._unreadable_error(error) from error
        return kind

    def _number_sql(self, place: int) -> str:
        """Give the SQL that writes the texts of a column with a decimal point, and makes none of what is no number."""
        text = f"translate(c{place}, '.,', '?.')" if self._comma_values.is_decimal else f"c{place}"
        odd = " OR ".join(self._odd_text_sql(place))
        return f"CASE WHEN {odd} THEN '?' || {text} ELSE {text} END" if odd else text

    def _odd_text_sql(self, place: int) -> list[str]:
        """Give SQL that tells texts which are no numbers from those that are, where the engine would read both.

        They have a sign that only the engine takes for a part of a number. In a column that has shown small whole numbers alone, a
        point or comma that may part thousands is another such sign.
        """
        if self._odd_signs is None:
            try:
                self._odd_signs = _NOT_IN_NUMBERS if self._is_gzip else find_signs(self._path, _NOT_IN_NUMBERS)
            except OSError as error:
                self._file.require_unchanged()
                raise self._unreadable_error(error) from error
        odd = [f"contains(c{place}, {_quote_sql(sign)})" for sign in self._odd_signs]
        if place in self._comma_values.small_columns:
            sign = "," if self._comma_values.is_decimal else "."
            odd.append(f"contains(c{place}, '{sign}') AND regexp_full_match(c{place}, {_quote_sql(AMBIGUOUS_THOUSANDS)})")
        return odd

    def _find_number_column(self, name: str) -> int:
        """Find a column; refuse one of which nobody can say whether its commas are decimal, or whose decimal sign is its own."""
        place = self._names.index(name)
        if place in self._comma_values.mixed_values:
            raise DataError(
                f"Column {name!r} of {self.label} has values such as {self._comma_values.mixed_values[place]!r} and another column has decimal "
                "points: some columns write 1,5 and others 1.5. Write one kind of decimal sign."
            )
        if place in self._comma_values.ambiguous_values:
            raise self._ambiguous_sign_error(
                place, value := self._comma_values.ambiguous_values[place], f"values such as {value!r}"
            )
        return place

    def _ambiguous_sign_error(self, place: int, value: str, values: str) -> DataError:
        sign, longer = ("comma", "1,2340") if "," in value else ("point", "1.2340")
        return DataError(
            f"Column {self._names[place]!r} of {self.label} has {values}, in which the {sign} may stand for a decimal point or "
            "part the thousands, and no other value tells. Where it parts thousands, take it out: 1234. Where it is decimal, add a "
            f"zero to one value: {longer}."
        )

    def _detect_dialect(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Find out how the file is written: delimiter, names, decimal sign and types, each with the help of those before."""
        self._delimiter = self._sniff(connection)
        self._dialect = f"delim = {_quote_sql(self._delimiter)}, {self._compression}, {_DIALECT}"
        query = f"SELECT * FROM read_csv(?, header = false, all_varchar = true, {self._dialect}) LIMIT 1"
        header = connection.execute(query, [self._pattern]).fetchall()
        self._names = [name or "" for name in header[0]] if header else []
        self._width = len(self._names)
        lines = partial(_open_text, self._path, packed=self._is_gzip)  # not a method: no cycle keeps a copy of the file
        self._line_ends = LineEnds(lines, self._delimiter, self._width, self._width)
        if len(self._names) > 1 and not self._names[-1]:
            shorter = LineEnds(lines, self._delimiter, self._width - 1, self._width)
            if shorter.has_extra_field:  # the header's line ends so too
                self._line_ends, self._names = shorter, self._names[:-1]
        if self._line_ends.has_extra_field:
            self.notes += ("a delimiter at the end of every line, behind which nothing stands",)
        self._comma_values = CommaValues()
        if self._delimiter != ",":
            self._comma_values = detect_commas(self._select(connection, "*", text=True).limit(_SAMPLE).to_arrow_table())
        if self._comma_values.is_decimal:
            self._dialect += ", decimal_separator = ','"
            self.notes += (DECIMAL_COMMA,)
        self._types = [str(kind) for kind in self._select(connection, "*").types[: len(self._names)]]

    @property
    def _pattern(self) -> str:
        """The path as the engine reads it: a pattern that only this path fits."""
        return _SIGNS.sub(r"[\g<0>]", str(self._path))

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open an embedded engine that loads no extension, sees no Python variable and reads no other file."""
        with duckdb.connect(
            ":memory:",
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
            },
        ) as connection:
            connection.execute("SET enable_progress_bar = false")  # it would be printed among the results
            connection.execute(f"SET allowed_paths = [{_quote_sql(str(self._path))}, {_quote_sql(self._pattern)}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection

    def _read_header(self) -> str:
        """Give the header without what is quoted in it, which may hold any sign and even line ends."""
        try:
            with _open_text(self._path, packed=self._is_gzip) as file:
                first = file.read(_LONGEST_LINE)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"The file {self.label!r} cannot be read: {error}.") from error
        if "\0" in first:
            raise DataError(f"The file {self.label!r} has null bytes, as UTF-16 text and binary files have. Save it as UTF-8 text.")
        if not re.split(r"[\r\n]", first, maxsplit=1)[0].strip():
            raise DataError(f"The first line of {self.label!r} is blank. It needs a header line with the names of the columns.")
        return re.split(r"[\r\n]", _QUOTED_PART.sub("", first), maxsplit=1)[0]

    def _sniff(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Let the engine guess the delimiter; where it sees a single column, the usual sign in the header tells better."""
        header = self._read_header()
        query = f"SELECT Delimiter FROM sniff_csv(?, {self._compression})"
        (guess,) = connection.execute(query, [self._pattern]).fetchall()[0]
        usual = max(_DELIMITERS, key=header.count)
        return usual if usual in header and guess not in header else str(guess)

    def _select(
        self, connection: duckdb.DuckDBPyConnection, select: str, *, types: dict[str, str] | None = None, text: bool = False
    ) -> duckdb.DuckDBPyRelation:
        names = ", ".join(f"'c{i}'" for i in range(self._width))
        nulls = ", ".join(_quote_sql(word) for word in NULL_WORDS)
        cast = ", types = {" + ", ".join(f"{c}: '{kind}'" for c, kind in types.items()) + "}" if types else ""
        as_text = ", all_varchar = true" if text else ""
        query = (
            f"SELECT {select} FROM read_csv(?, header = true, names = [{names}], nullstr = [{nulls}], "
            f"{self._dialect}{cast}{as_text})"
        )
        return connection.sql(query, params=[self._pattern])

    def _explain_error(self, error: Exception, places: list[int]) -> DataError:
        """Name the first value that is not a number, if that is what stopped the engine."""
        for i in places:
            if met := self._find_first_text(i):
                row, value = met
                if i in self._comma_values.small_columns and re.fullmatch(AMBIGUOUS_THOUSANDS, value):
                    return self._ambiguous_sign_error(i, value, f"small whole numbers and {value!r} in data row {row:,}")
                kind = self._types[i]
                what = f"{kind.lower()} values, then something else" if kind in _OTHER_TYPES else "text, not a number"
                return DataError(
                    f"Column {self._names[i]!r} of {self.label} holds {what}: {value!r} in data row {row:,}. "
                    "Correct or clear that value. Categories are for predictors, as C(...), and not for the response or arithmetic."
                )
        return self._unreadable_error(error)

    def _find_first_text(self, place: int) -> tuple[int, str] | None:
        kind = self._types[place] if self._types[place] in _OTHER_TYPES else "DOUBLE"
        first = 1
        try:
            with keyboard_interrupts(), self._connection() as connection:
                relation = self._select(connection, f"c{place}, TRY_CAST({self._number_sql(place)} AS {kind}) IS NULL", text=True)
                for batch in relation.to_arrow_reader(BATCH_ROWS):
                    values, bad = batch.columns[0].to_pylist(), batch.columns[1].to_pylist()
                    for row, (value, is_bad) in enumerate(zip(values, bad, strict=True), start=first):
                        if is_bad and value is not None:
                            return row, value
                    first += batch.num_rows
        except _ENGINE_ERRORS:
            return None  # the file breaks for another reason, which the caller reports with the engine's own words
        return None

    def _unreadable_error(self, error: Exception) -> DataError:
        whole = str(error).replace(self._pattern, self.label).replace(str(self._path), self.label)
        said = " ".join(whole.split("\n")[:2])[:_LONGEST_QUOTE]
        return DataError(
            f"The file {self.label!r} cannot be read as CSV with a header line. {self._describe_uneven_line(error)}{self._describe_encoding()}"
            f"DuckDB says: {said}"
        )

    def _describe_encoding(self) -> str:
        """Say what is odd about the beginning of the text, which the engine takes for a hundred other things."""
        try:
            with _open_text(self._path, packed=self._is_gzip, errors="strict") as file:
                first = file.read(_LONGEST_LINE)
        except UnicodeError:
            return "It is not utf-8 encoded: save it as UTF-8 text. "
        except (OSError, EOFError, zlib.error):
            return ""
        ends = set(re.findall(r"\r\n|\r|\n", _QUOTED_PART.sub("", first)))
        return "Its lines do not all end in the same way: save it with one kind of line end. " if len(ends) > 1 else ""

    def _describe_uneven_line(self, error: Exception) -> str:
        """Name the first line with another number of fields than the header, if that is what the engine stumbled over."""
        if not any(sign in str(error) for sign in ("Number of Columns", "sniffing", "TOO MANY COLUMNS")):
            return ""
        try:
            with _open_text(self._path, packed=self._is_gzip) as file:
                lines = csv.reader(file, delimiter=self._delimiter)
                header, wanted = len(next(lines, [])), 0
                for fields in lines:
                    wanted = wanted or (header + 1 if len(fields) == header + 1 and not fields[-1] else header)
                    if fields and len(fields) != wanted:
                        met = "the header" if wanted == header else "the lines before it"
                        return f"Line {lines.line_num:,} has {pluralize(len(fields), 'field')}, {met} {wanted:,}. Mend that line. "
        except (csv.Error, OSError, EOFError, zlib.error):
            return ""  # the engine's own words have to do
        return ""


def _open_text(path: Path, *, packed: bool, errors: str = "replace") -> IO[str]:
    """Open a file as text, for what the engine does not tell."""
    if packed:
        return gzip.open(path, "rt", encoding="utf-8-sig", errors=errors, newline="")
    return path.open(encoding="utf-8-sig", errors=errors, newline="")


def _quote_sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
