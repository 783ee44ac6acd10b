"""What a look at the first rows of data finds: columns, values, the dialect of a file, and what was taken for missing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from squarely.data import PreviewedColumn, Source, dialect_notes, examine_first_rows
from squarely.design import is_missing_word, needs_backticks, numbers_in
from squarely.errors import join_words, listed, option_hint, pluralize
from squarely.show import KeyValueTable, Page, Table

_SHOWN_ROWS, _SHOWN_COLUMNS = 3, 60
_MOST_WORDS, _MOST_LEVELS = 3, 1000
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}(?:([,. ']))\d{3}(?:\1\d{3})*")
_LONGEST = 10  # characters of a value on the page
_TOPICS = {
    "format": "Format:", "compression": "Compression:", "delimiter": "Delimiter:", "decimal": "Decimal sign:",
    "encoding": "Encoding:", "header": "Header:", "skip_rows": "Lines skipped:", "na_values": "Missing words:",
}  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class DataPreview:
    """The first rows of data as they are read, made by `squarely.preview(data=...)`.

    Attributes
    ----------
    source : the name of the data.
    rows : the number of rows, None if only a pass over the rows can tell.
    rows_examined : the number of rows that the columns, counts and notes are from.
    dialect : what was found about a file, such as "delimiter" or "encoding".
    columns : the columns in order.
    notes : what may be unexpected, in sentences.
    """

    source: str
    rows: int | None
    rows_examined: int
    dialect: Mapping[str, str]
    columns: tuple[PreviewedColumn, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> Mapping[str, Any]:
        """Return everything as plain Python values, as `--json` prints it."""
        names = ("name", "type", "kind", "missing")
        return {
            "source": self.source,
            "rows": self.rows,
            "rows_examined": self.rows_examined,
            "dialect": dict(self.dialect),
            "columns": [
                {name: getattr(column, name) for name in names}
                | {"missing_words": dict(column.missing_words), "values": [_to_plain(value) for value in column.values]}
                for column in self.columns
            ],
            "notes": list(self.notes),
        }

    def summary(self) -> Page:
        """Return the columns, each with its first values, as a page."""
        more = "unknown" if self.rows is None else f"{self.rows:,}"
        left = [("Data:", self.source), ("Rows:", more), ("Rows examined:", f"{self.rows_examined:,}")]
        left.append(("Columns:", f"{len(self.columns):,}"))
        right = [(_TOPICS.get(topic, f"{topic.capitalize()}:"), value) for topic, value in self.dialect.items()]
        count = min(_SHOWN_ROWS, self.rows_examined)
        header = ["Column", "Type", "Missing", *(f"Row {i}" for i in range(1, count + 1))]
        rows = [
            [
                column.name,
                _cut(column.kind),
                f"{column.missing:,}",
                *([_show(value) for value in column.values[:count]] or [""] * count),
            ]
            for column in self.columns[:_SHOWN_COLUMNS]
        ]
        return Page("Preview", [KeyValueTable(left, right), Table(header, rows)], footer=self._describe_missing(), notes=self.notes)

    def _describe_missing(self) -> list[str]:
        hidden = len(self.columns) - _SHOWN_COLUMNS
        lines = (
            [f"{pluralize(hidden, 'more column')}: {listed(c.name for c in self.columns[_SHOWN_COLUMNS:])}."] if hidden > 0 else []
        )
        counts: dict[str, dict[str, int]] = {}
        for column in self.columns:
            for word, count in column.missing_words.items():
                counts.setdefault(word, {})[column.name] = count
        for word, places in counts.items():
            what = f"The word {word!r} is" if word else "An empty field is"
            where = listed(f"{count:,} in {name!r}" for name, count in places.items())
            lines.append(f"{what} read as a missing value: {where}.")
        return lines

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        rows = "" if self.rows is None else f"{pluralize(self.rows, 'row')}, "
        return f"<DataPreview of {self.source}: {rows}{pluralize(len(self.columns), 'column')}; print(preview.summary())>"


def preview_data(source: Source, read: Mapping[str, object] | None = None) -> DataPreview:
    """Look at the first rows of a source that was opened with the options `read`, and at nothing else."""
    repeated = dialect_notes(read) if source.dialect else frozenset()
    notes = [f"{note[:1].upper()}{note[1:]}." for note in source.notes if note not in repeated]
    first = examine_first_rows(source)
    odd = [note for name, counts in first.texts.items() for note in _find_odd_texts(source, name, Counter(counts))]
    return DataPreview(
        source=source.label,
        rows=first.count if first.is_all else source.rows,
        rows_examined=first.count,
        dialect=dict(source.dialect),
        columns=first.columns,
        notes=(*notes, *_find_odd_names(source), *first.notes, *odd),
    )


def _find_odd_names(source: Source) -> Iterator[str]:
    """Yield what may be unexpected in the names of the columns."""
    if source.duplicate_names:
        yield f"There are two or more columns called {join_words(sorted(map(repr, source.duplicate_names)))}. Rename all but one."
    odd = [name for name in source.columns if name and needs_backticks(name)]
    if odd and not source.header_error:
        yield f"A formula takes these names in backticks: {listed(f'`{name}`' for name in odd)}."


def _find_odd_texts(source: Source, name: str, counts: Counter[str]) -> Iterator[str]:
    """Yield what may be unexpected in a column of text: words for a missing value, and numbers."""
    words = [text for text in counts if is_missing_word(text, counts)]
    numbers = numbers_in(dict(counts.most_common(_MOST_LEVELS)).keys() - words, comma=source.decimal_comma)
    others = Counter({text: count for text, count in counts.items() if text not in numbers.plain_numbers})
    plain = counts.total() - others.total()
    if not others:
        yield (
            f"Column {name!r} is stored as text, although every value is a number. Convert it before a fit, for example with "
            "pandas.to_numeric."
        )
    elif plain > others.total() and not others.keys() <= numbers.signed_numbers:
        found = listed((f"{text!r} ({count:,})" for text, count in others.most_common()), _MOST_WORDS)
        yield (
            f"Column {name!r} is text because of {found}; {plain:,} other values are numbers. If such a text means a missing "
            f"value, use {option_hint('na_values', [others.most_common(1)[0][0]])}."
        )
    elif numbers.is_refused:
        signed = sorted(numbers.signed_numbers | numbers.numbers_with_unit)
        grouped = next((match[1] for text in signed if (match := _GROUPED.fullmatch(text))), None)
        advice = f"use {option_hint('thousands', grouped)}" if grouped else "write the numbers alone"
        if all(map(_DECIMAL_COMMA.fullmatch, signed)) and not all(map(_GROUPED.fullmatch, signed)):
            advice = f"use {option_hint('decimal', ',')}"
        found = listed(map(repr, signed), _MOST_WORDS)
        yield f"Column {name!r} has numbers with signs or units, such as {found}. To use them as numbers, {advice}."
    elif words:
        yield (
            f"Column {name!r} has {listed(map(repr, words), _MOST_WORDS)} as a category. If it means a missing value, use "
            f"{option_hint('na_values', words[:_MOST_WORDS])}."
        )


def _show(value: Any) -> str:
    if value is None:
        return "missing"
    return _cut(f"{value:.6g}" if isinstance(value, float) else str(value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _to_plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
