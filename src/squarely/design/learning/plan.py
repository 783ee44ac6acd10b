"""What a design is going to be, as far as that can be told without reading rows: which factors, from what, in which scans."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from squarely.data import Source, iter_batches, parses_as_number, require_columns, unsupported_column_error
from squarely.design.design import Learnt, columns_needed
from squarely.design.formula.expression import Expression, Moved, Name, names, parts
from squarely.design.formula.factors import Bare, Basis, Categorical, Contrast, Factor, Numeric, expression_of
from squarely.design.formula.formula import INTERCEPT, Formula
from squarely.design.formula.source_text import pointer
from squarely.design.formula.where import Where, bound
from squarely.design.learning.aggregators import knots, limits
from squarely.design.matrix.columns import columns_of
from squarely.design.matrix.model_matrix import with_condition
from squarely.errors import DataError


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Outline:
    """What is to be learnt, of what, and where its rows are.

    Attributes
    ----------
    factors : text -> factor; columns named alone have become numbers or categories.
    numbers, labels : the columns of the data that the formula needs.
    rounds : what each scan has to teach.
    """

    formula: Formula
    factors: Mapping[str, Factor]
    source: Source
    where: Where | None
    numbers: Sequence[str]
    labels: Sequence[str]
    rounds: tuple[Round, ...]

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The columns of the data that are read, those of the condition included."""
        numbers, labels = with_condition(self.numbers, self.labels, self.where)
        return tuple(dict.fromkeys((*numbers, *labels)))

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the coefficients, the intercept first if there is one; None where they wait for levels."""
        if any(isinstance(factor, Categorical) for factor in self.factors.values()):
            return None
        columns = columns_of(self.formula, self.factors, _presumed(self.factors))
        return (*((INTERCEPT,) if self.formula.intercept else ()), *(column.name for column in columns))


def outlined(formula: Formula, source: Source, where: Where | None = None, *, reading: bool = True) -> Outline:
    """Outline a design. Of the rows it reads at most what tells a column of text from one of numbers, where `reading` is wished.

    Raises
    ------
    DataError : a column is missing or cannot be used.
    """
    _require_named(formula, source)
    if where:
        where = bound(where, source)
    _require_numeric_response(formula, source, reading=reading and not source.partitioned)
    factors = {text: _told(factor, source) for text, factor in formula.factors.items()}
    numbers, labels = columns_needed(factors.values(), formula.outside.values())
    return Outline(
        formula=formula,
        factors=factors,
        source=source,
        where=where,
        numbers=numbers,
        labels=labels,
        rounds=rounds(formula, factors),
    )


def _presumed(factors: Mapping[str, Factor]) -> Learnt:
    """Make splines of values that nobody has read: how many columns they have depends on the number of their knots alone."""
    learnt = Learnt()
    for factor in factors.values():
        if isinstance(factor, Basis) and factor.kind in ("bs", "ns"):
            if factor.df is not None:
                learnt = knots(factor).finish(learnt, [np.linspace(0.0, 1.0, 1_000)])
            else:
                at = factor.knots or (0.0,)
                learnt = limits(factor).finish(learnt, (min(at) - 1.0, max(at) + 1.0))
    return learnt


def _require_named(formula: Formula, source: Source) -> None:
    """Raise a DataError that points into the formula when a column that it names is not there."""
    for expression in [*formula.outside.values(), *map(expression_of, formula.factors.values())]:
        for name in names(expression):
            try:
                require_columns(source, [name.name])
            except DataError as error:
                raise DataError(f"{error}{pointer(formula.text, name.at) if name.at[1] else ''}") from None


def _require_numeric_response(formula: Formula, source: Source, *, reading: bool) -> None:
    """Raise a DataError if the response is a column that does not hold numbers; rows are read to name the first value."""
    response = formula.response.expression
    if not isinstance(response, Name) or source.kind(response.name) not in ("text", "category", "other"):
        return
    if source.kind(response.name) == "other":
        raise unsupported_column_error(source, response.name, source.columns[response.name])
    value, row = _first_text(source, response.name) if reading else ("", 0)
    held = "text" if isinstance(value, str) else "categories"
    met = f", {value!r} in data row {row:,}" if reading else ""
    at = pointer(formula.text, response.at) if response.at[1] else ""
    raise DataError(
        f"The response {response.name!r} of {source.label} holds {held}{met}, and a regression explains "
        f"numbers. Correct or clear such values, or make numbers of two groups, such as 0 and 1.{at}"
    )


def _first_text(source: Source, name: str) -> tuple[Any, int]:
    """Give the first value that is not a number and its row, counted from 1; the first value at all if every one is."""
    first = None
    for batch in iter_batches(source, [], [name]):
        labels = batch.labels[name]
        comma = source.decimal_comma
        odd = np.array([*(not parses_as_number(value, decimal_comma=comma) for value in labels.values), False])[labels.codes]
        at = np.flatnonzero(odd if odd.any() else labels.codes >= 0)
        if len(at) and (odd.any() or first is None):
            first = labels.values[labels.codes[at[0]]], source.row_number(batch.start + int(at[0]))
        if odd.any():
            break
    return first or (None, 0)


def _told(factor: Factor, source: Source) -> Factor:
    """Let the data say whether a column named alone holds numbers or categories."""
    if not isinstance(factor, Bare):
        return factor
    kind = source.kind(factor.name.name)
    if kind == "other":
        raise unsupported_column_error(source, factor.name.name, source.columns[factor.name.name])
    if kind in ("text", "boolean", "category"):
        return Categorical(text=factor.text, name=factor.name, contrast=Contrast())
    return Numeric(text=factor.text, expression=factor.name)


_SAID = {"means": "mean", "levels": "levels", "ranges": "range", "knots": "knots", "polynomials": "orthogonal polynomials"}


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing to learn.

    Attributes
    ----------
    kind : "means" (and deviations), "levels", "ranges", "knots" or "polynomials".
    text : what it is learnt of, as the formula writes it.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return f"the {_SAID[self.kind]} of {self.text}"


Round = tuple[Topic, ...]


def rounds(formula: Formula, factors: Mapping[str, Factor]) -> tuple[Round, ...]:
    """Plan the scans: the topics of each, given the factors with columns named alone told apart.

    A mean comes first: what holds one may have no value in some rows, which everything else must leave out.
    """
    moved = moved_in(formula, factors)
    planned: list[Round] = []
    while here := _next(factors, moved, {topic for topics in planned for topic in topics}):
        planned.append(here)
    return tuple(planned)


def purpose(topics: Round) -> str:
    """Say in a word or two what one scan is for.

    >>> purpose((Topic("levels", "a"), Topic("levels", "b"), Topic("knots", "ns(x, df=3)")))
    'levels, knots'
    """
    return ", ".join(dict.fromkeys(topic.kind for topic in topics))


def moved_in(formula: Formula, factors: Mapping[str, Factor]) -> dict[str, Moved]:
    """Give every `center` and `scale`, by its text."""
    expressions = [expression_of(f) for f in factors.values() if not isinstance(f, Categorical)]
    inside = (part for e in (*expressions, *formula.outside.values()) for part in parts(e))
    return {part.text: part for part in inside if isinstance(part, Moved)}


def _next(factors: Mapping[str, Factor], moved: Mapping[str, Moved], done: Collection[Topic]) -> Round:
    def is_known(expression: Expression) -> bool:
        return all(Topic("means", part.text) in done for part in parts(expression) if isinstance(part, Moved))

    means = [Topic("means", text) for text, part in moved.items() if is_known(part.argument)]
    levels = [Topic("levels", text) for text, factor in factors.items() if isinstance(factor, Categorical)]
    bases = [
        _of_basis(factor, done)
        for factor in factors.values()
        if isinstance(factor, Basis) and factor.kind != "powers" and is_known(factor.argument)
    ]
    return _new(means, done) or _new([*levels, *bases], done)


def _of_basis(factor: Basis, done: Collection[Topic]) -> Topic:
    """Tell what is learnt next of a basis: a range, unless quantiles are its knots; a polynomial then needs a QR of the rows."""
    if factor.kind != "poly" and factor.df is not None:
        return Topic("knots", factor.text)
    limits = Topic("ranges", factor.text)
    return Topic("polynomials", factor.text) if factor.kind == "poly" and limits in done else limits


def _new(topics: list[Topic], done: Collection[Topic]) -> Round:
    return tuple(topic for topic in topics if topic not in done)
