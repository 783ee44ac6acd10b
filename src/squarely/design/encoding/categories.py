"""Categorical columns: their levels, learned once, and the contrasts that make columns of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias
from unicodedata import normalize

import numpy as np

from squarely.data import TRUTH_WORDS, Batch, CategoricalColumn, Level, Source, level_number
from squarely.design.encoding.dates import is_date
from squarely.design.encoding.numbers_as_text import first_text, is_missing_word, numbers_hint, numbers_in
from squarely.design.formula.factors import Categorical
from squarely.errors import DataError, FormulaError, join_words, listed, option_hint, pluralize, show_value, suggest_name
from squarely.numerics import Array

MOST_LEVELS = 10_000
UNKNOWN_ROW = -1
_LINE_END, _FEW_LINES = "\n", 2  # a text of more line ends may be rows that a stray quote has made one
_NO_WIDTH = re.compile(r"[\u200b-\u200f\u2060\ufeff]")
ObservedLevels: TypeAlias = Mapping[Level, tuple[int, int]]  # level -> the position of a row that has it, and how many have it


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ContrastCoding:
    """The levels of a categorical factor and its contrast.

    Attributes
    ----------
    levels : the L levels, in order: all text, all numbers, or False and True.
    kind : "treatment" or "sum".
    position : the place of the reference level, or of the omitted one.
    marks : the levels that look like a missing value -> how many rows have them.
    """

    column: str
    levels: tuple[Level, ...]
    kind: str
    position: int
    marks: Mapping[Level, int] = field(default_factory=dict)

    def notes(self, *, is_untyped: bool) -> list[str]:
        """Describe levels that look like a missing value, that look the same or, in a column named alone, like dates or numbers."""
        name = self.column if self.column.isidentifier() else f"`{self.column}`"
        notes = [
            f"Level {show_value(level)} of {self.column} looks like a missing value: {pluralize(rows, 'row')}. "
            f"If it is one, give {option_hint('na_values', [level])} for a file of text, or leave such rows out with "
            f'where="{name} != {show_value(level)}".'
            for level, rows in self.marks.items()
        ]
        texts = [level for level in self.levels if isinstance(level, str)]
        notes += [
            f"Levels {join_words([ascii(level) for level in same])} of {self.column} differ only in blanks or in how their letters "
            "are stored. Write them alike if they mean the same."
            for same in _levels_that_look_the_same(texts)
        ]
        notes += [
            f"Level {show_value(level)} of {self.column} spans {level.count(_LINE_END) + 1:,} lines. If it has rows in it, the "
            "quote before it is a mistake in the file."
            for level in texts
            if level.count(_LINE_END) >= _FEW_LINES
        ]
        dates = [level for level in texts if is_untyped and level not in self.marks]
        if dates and all(map(is_date, dates)):
            return [
                *notes,
                f"The levels of {self.column} look like dates, such as {dates[0]!r}, and each is a category. For a trend, convert "
                f"them to a number, such as the months since the first; C({name}) says that they are categories.",
            ]
        numbers = numbers_in([level for level in texts if is_untyped]).all
        if numbers:
            notes.append(
                f"{pluralize(len(numbers), 'level')} of {self.column} can be read as a number, such as {min(numbers)!r}. "
                f"For one slope, write the numbers alone, as 1234.5; C({name}) says that they are categories."
            )
        return notes

    def names(self, *, full: bool) -> list[str]:
        """Return the text in brackets after the name of the factor, as statsmodels prints it; `full` codes all levels."""
        others = [str(level) for i, level in enumerate(self.levels) if i != self.position]
        if self.kind == "sum":
            return [*(["mean"] if full else []), *(f"S.{level}" for level in others)]
        return [str(level) for level in self.levels] if full else [f"T.{level}" for level in others]

    def columns(self, codes: np.ndarray, *, full: bool) -> Array:
        """Return the columns (m, L) or (m, L - 1) of rows with these codes (m,), none of which is a gap."""
        return self.matrix(full=full).take(codes, axis=0)

    def matrix(self, *, full: bool) -> Array:
        """Return the columns (L, L) or (L, L - 1) of each level."""
        unit = np.eye(len(self.levels))
        if self.kind == "treatment" and full:
            return unit
        contrast = np.delete(unit, self.position, axis=1)
        if self.kind == "sum":
            contrast[self.position] = -1.0
        return np.insert(contrast, 0, 1.0, axis=1) if full else contrast

    def codes(self, labels: CategoricalColumn) -> np.ndarray:
        """Return the place of the level of each row (m,): -1 for a gap, -2 for an unknown level."""
        place_of = {level: i for i, level in enumerate(self.levels)}
        places = [place_of.get(self.to_level(value), -2) for value in labels.values]
        if labels.narrow_type is not None:  # fits saved by version 0.1 have the digits of the double
            doubles = [value if value is None else float(labels.narrow_type.type(value)) for value in labels.values]
            places = [place_of.get(x, -2) if place == -2 else place for place, x in zip(places, doubles, strict=True)]
        return np.array([*places, -1]).take(labels.codes)

    def unknown_level_error(self, batch: Batch, row: int, source: Source) -> DataError:
        """Return the error that names the unknown level in a row of a batch, and the levels of the fit."""
        labels = batch.labels[self.column]
        value = self.to_level(labels.values[labels.codes[row]])
        return DataError(
            f"Column {self.column!r} of {source.label} has {show_value(value)}{row_phrase(source, batch.start + row)}, but the fit "
            f"has no such level; known levels: {listed(map(repr, self.levels))}. Leave such rows out, fit again with them, or "
            "predict with unseen='nan'."
        )

    def to_level(self, value: Level) -> Level:
        """Return a value of the data as a level: text of a file as the number that it is, if the levels are numbers."""
        return level_number(value) if isinstance(value, str) and not isinstance(self.levels[0], str) else value


def _levels_that_look_the_same(levels: Sequence[str]) -> list[list[str]]:
    """Group levels that differ only in blanks, in signs without width, or in how an accented letter is stored."""
    groups: dict[str, list[str]] = {}
    for level in levels:
        groups.setdefault(" ".join(normalize("NFC", _NO_WIDTH.sub("", level)).split()), []).append(level)
    return [group for group in groups.values() if len(group) > 1]


def levels_in(labels: CategoricalColumn, rows: np.ndarray, first: int) -> ObservedLevels:
    """Return the levels in some rows (m,) of a batch, each with its first row and how many rows have it.

    >>> import pyarrow as pa
    >>> labels = CategoricalColumn(values=["a", "b"], dictionary=pa.array(["a", "b"]), codes=np.array([1, -1, 0, 1, 0]), gaps=None)
    >>> levels_in(labels, np.array([True, True, True, False, True]), first=10)
    {'a': (12, 2), 'b': (10, 1)}
    """
    places = np.where(rows, labels.codes, -1) + 1  # 0 is a row without a level
    counts = np.bincount(places)
    firsts = np.empty(len(counts), dtype=int)
    firsts[places[::-1]] = np.arange(len(places))[::-1]  # the first row of a level is assigned last
    return {labels.values[i - 1]: (first + int(firsts[i]), int(counts[i])) for i in np.flatnonzero(counts).tolist() if i}


def merge_observed_levels(a: ObservedLevels, b: ObservedLevels) -> ObservedLevels:
    """Merge the levels of two batches; more than `MOST_LEVELS` are enough to be refused."""
    if len(a) > MOST_LEVELS:
        return a
    return {**b, **{level: (row, n + b.get(level, (row, 0))[1]) for level, (row, n) in a.items()}}


def code_levels(factor: Categorical, observed: ObservedLevels, source: Source) -> ContrastCoding:
    """Fix the levels of a factor: in the order that the formula or the data declare, else sorted.

    Levels that no used row has are dropped. In a column named alone, text among numbers counts as a mistake.

    Raises DataError for fewer than two levels, too many, or numbers and text mixed, and FormulaError if the reference or a listed
    level is not there.
    """
    column, found = factor.name.name, {level: row for level, (row, _) in observed.items()}
    are_truth_words = all(isinstance(level, str) and level.lower() in TRUTH_WORDS for level in found)
    if (
        factor.is_untyped and not are_truth_words and source.category_order(column) is None
    ):  # not declared, as by pandas.Categorical
        _require_text(column, found, source)
    if not source.typed:
        found = _infer_level_types(found)
    if long := [level for level in found if isinstance(level, Decimal)]:
        raise DataError(
            f"Column {column!r} of {source.label} holds decimals with more digits than doubles have, such as {str(long[0])!r}. "
            "Convert the column to text."
        )
    if len(found) > MOST_LEVELS:
        raise DataError(
            f"Column {column!r} of {source.label} has more than {MOST_LEVELS:,} different values: too many for categories. "
            "Group them, or leave the column out."
        )
    levels = _order_levels(factor, found, source)
    if len(levels) == 1:
        raise DataError(
            f"Column {column!r} of {source.label} is {levels[0]!r} in every row that is used, and one level cannot be compared. "
            "Leave the column out of the formula, or see whether gaps or where= remove the rows of others."
        )
    unlisted = set(levels).difference(factor.contrast.levels or ())
    marks = {level: observed[level][1] for level in levels if level in unlisted and is_missing_word(level, levels)}
    return ContrastCoding(
        column=column, levels=levels, kind=factor.contrast.kind, position=position_of(factor, levels), marks=marks
    )


def row_phrase(source: Source, row: int) -> str:
    """Describe a row, if it is known: an engine that counts levels does not name rows."""
    return "" if row == UNKNOWN_ROW else f" in data row {source.row_number(row):,}"


def _infer_level_types(found: Mapping[Level, int]) -> dict[Level, int]:
    """Convert the levels of a text file to numbers or booleans, if all of them can be and stay distinct."""
    values = {text: level_number(text) for text in found}
    kinds = {type(value) for value in values.values()}
    if len(set(values.values())) < len(values) or not (kinds == {bool} or kinds <= {int, float}):
        return dict(found)
    return {float(values[text]) if float in kinds else values[text]: row for text, row in found.items()}


def _require_text(column: str, found: Mapping[Level, int], source: Source) -> None:
    texts = {level: found[level] for level in sorted(level for level in found if isinstance(level, str))}
    numbers = numbers_in(texts, comma=source.decimal_comma)
    if not numbers.is_refused:
        return
    c = f"C({column})" if column.isidentifier() else f"C(`{column}`)"
    if len(numbers.plain_numbers) == len(texts):
        word, row, _ = first_text(source, column) if source.takes_na_values else ("0", 0, True)
        if not source.parses_as_number(word):  # where= or a gap leaves it out
            raise DataError(
                f"Column {column!r} of {source.label} holds numbers in every row that is used, and text in others: "
                f"{show_value(word)} in data row {row:,}. Give {option_hint('na_values', [word])} if it means a missing value, "
                f"or write {c} if its values are categories."
            )
        raise DataError(
            f"Column {column!r} of {source.label} is stored as text, although every value is a number. Convert it before the fit, "
            f"for example with pandas.to_numeric, or write {c} if its values are categories."
        )
    decorated = sorted(numbers.signed_numbers | numbers.numbers_with_unit, key=texts.__getitem__)
    others = sorted(texts.keys() - numbers.all, key=texts.__getitem__)
    if not others:
        odd = decorated[0]
        what = "with a unit or sign" if odd in numbers.numbers_with_unit else "with signs or separators"
        raise DataError(
            f"Column {column!r} of {source.label} holds numbers {what}: {show_value(odd)}{row_phrase(source, texts[odd])}. "
            f"{numbers_hint(odd, source) or 'Write them as 1234.5'}, or write {c} if the values are categories."
        )
    number, odd = min(sorted(numbers.all), key=texts.__getitem__), others[0]
    if numbers.plain_numbers and 2 * len(numbers.all) <= numbers.count:  # the kind that appears later is the exception
        odd = max(number, odd, key=texts.__getitem__)
        if texts[odd] == UNKNOWN_ROW:
            odd = number if len(numbers.all) < len(others) else others[0]  # or the kind with fewer levels, where no row is known
    what = "a number among text" if odd == number else "text among numbers"
    such, write = (
        (f" such as {show_value(decorated[0])}", ", and write numbers as 1234.5,") if decorated and odd != number else ("", ",")
    )
    clear = "Correct or clear that value"
    if odd != number and not decorated and source.takes_na_values:
        clear = f"Give {option_hint('na_values', [odd])} if it means a missing value, or correct it"
    raise DataError(
        f"Column {column!r} of {source.label} holds {what}{such}: {show_value(odd)}{row_phrase(source, texts[odd])}. "
        f"{clear}{write} or write {c} if its values are categories."
    )


def _order_levels(factor: Categorical, found: Mapping[Level, int], source: Source) -> tuple[Level, ...]:
    listed_levels = factor.contrast.levels
    if listed_levels is not None:
        for level in found:
            if level not in listed_levels:
                where = row_phrase(source, found[level]) or " there"
                raise FormulaError(
                    f"levels={list(listed_levels)!r} of {factor.text} lacks {show_value(level)}, which is{where}. "
                    "List every level, or leave such rows out with where=."
                )
    declared = listed_levels or source.category_order(factor.name.name)
    as_stored = {level: level for level in found}  # 1 finds True, and is shown as the data have it
    first = tuple(as_stored[level] for level in declared or () if level in as_stored)
    try:
        return first + tuple(sorted(level for level in found if level not in first))
    except TypeError:
        raise DataError(
            f"Column {factor.name.name!r} of {source.label} mixes kinds of values: {listed(map(repr, found))}. "
            "Make them all text or all numbers."
        ) from None


def position_of(factor: Categorical, levels: tuple[Level, ...]) -> int:
    """Return the place of the reference or omitted level; raises FormulaError if the formula names one that does not exist."""
    level = factor.contrast.level
    if factor.contrast.place is not None:
        if not 1 <= factor.contrast.place <= len(levels):
            raise FormulaError(f"{factor.text} has base={factor.contrast.place}; base is a place from 1 to {len(levels)}, as in R.")
        return factor.contrast.place - 1
    if level is None:
        return 0 if factor.contrast.kind == "treatment" else len(levels) - 1
    if level in levels:
        return levels.index(level)
    if isinstance(level, int) and -len(levels) <= level < len(levels) and isinstance(levels[0], str):
        return level % len(levels)  # as in patsy: a number that is not a level counts places
    column, many = factor.name.name, pluralize(len(levels), "level")
    raise FormulaError(
        f"{factor.text} names {show_value(level)}, not among the {many} of {column!r} in the rows that are used. "
        f"{_level_hint(level, levels)}"
    )


def _level_hint(name: Level, levels: tuple[Level, ...]) -> str:
    """Suggest a level: the same one with or without quotes, or one with a similar spelling."""
    same = [level for level in levels if isinstance(name, str) != isinstance(level, str) and str(level) == str(name)]
    if same:
        return f"Its levels are {'text' if isinstance(same[0], str) else 'not text'}: write {same[0]!r}."
    near = suggest_name(name, levels) if isinstance(name, str) and isinstance(levels[0], str) else ""
    return near if near.startswith("Did") else f"Known levels: {listed(map(repr, levels))}."
