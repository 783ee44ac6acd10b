"""What a design is going to be, as far as that can be told without reading rows: which factors, from what, in which scans."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from squarely.data import Source, iter_batches, parses_as_number, require_columns, unsupported_column_error
from squarely.design.design import LearnedState, columns_needed
from squarely.design.formula.expression import Expression, Name, Standardize, column_names, subexpressions
from squarely.design.formula.factors import Basis, Categorical, Contrast, Factor, Numeric, UntypedColumn, argument_of
from squarely.design.formula.formula import INTERCEPT, Formula
from squarely.design.formula.source_text import caret_line
from squarely.design.formula.where import Where, bind_where
from squarely.design.learning.aggregators import knots_aggregator, range_aggregator
from squarely.design.matrix.columns import columns_of
from squarely.design.matrix.model_matrix import with_condition
from squarely.errors import DataError


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class DesignPlan:
    """What is to be learnt, of what, and where its rows are.

    Attributes
    ----------
    factors : text -> factor; columns named alone have become numbers or categories.
    numbers, labels : the columns of the data that the formula needs.
    passes : what each scan has to teach.
    """

    formula: Formula
    factors: Mapping[str, Factor]
    source: Source
    where: Where | None
    numbers: Sequence[str]
    labels: Sequence[str]
    passes: tuple[LearningPass, ...]

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
        columns = columns_of(self.formula, self.factors, _placeholder_state(self.factors))
        return (*((INTERCEPT,) if self.formula.intercept else ()), *(column.name for column in columns))


def plan_design(formula: Formula, source: Source, where: Where | None = None, *, read_rows: bool = True) -> DesignPlan:
    """Outline a design. Of the rows it reads at most what tells a column of text from one of numbers, where `read_rows` is wished.

    Raises
    ------
    DataError : a column is missing or cannot be used.
    """
    _require_named(formula, source)
    if where:
        where = bind_where(where, source)
    _require_numeric_response(formula, source, reading=read_rows and not source.partitioned)
    factors = {text: _resolve_type(factor, source) for text, factor in formula.factors.items()}
    numbers, labels = columns_needed(factors.values(), formula.response_and_offsets.values())
    return DesignPlan(
        formula=formula,
        factors=factors,
        source=source,
        where=where,
        numbers=numbers,
        labels=labels,
        passes=plan_passes(formula, factors),
    )


def _placeholder_state(factors: Mapping[str, Factor]) -> LearnedState:
    """Make splines of values that nobody has read: how many columns they have depends on the number of their knots alone."""
    learnt = LearnedState()
    for factor in factors.values():
        if isinstance(factor, Basis) and factor.kind in ("bs", "ns"):
            if factor.df is not None:
                learnt = knots_aggregator(factor).finish(learnt, [np.linspace(0.0, 1.0, 1_000)])
            else:
                at = factor.knots or (0.0,)
                learnt = range_aggregator(factor).finish(learnt, (min(at) - 1.0, max(at) + 1.0))
    return learnt


def _require_named(formula: Formula, source: Source) -> None:
    """Raise a DataError that points into the formula when a column that it names is not there."""
    for expression in [*formula.response_and_offsets.values(), *map(argument_of, formula.factors.values())]:
        for name in column_names(expression):
            try:
                require_columns(source, [name.name])
            except DataError as error:
                raise DataError(f"{error}{caret_line(formula.text, name.span) if name.span[1] else ''}") from None


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
    at = caret_line(formula.text, response.span) if response.span[1] else ""
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


def _resolve_type(factor: Factor, source: Source) -> Factor:
    """Let the data say whether a column named alone holds numbers or categories."""
    if not isinstance(factor, UntypedColumn):
        return factor
    kind = source.kind(factor.name.name)
    if kind == "other":
        raise unsupported_column_error(source, factor.name.name, source.columns[factor.name.name])
    if kind in ("text", "boolean", "category"):
        return Categorical(text=factor.text, name=factor.name, contrast=Contrast())
    return Numeric(text=factor.text, expression=factor.name)


_KIND_TEXTS = {"means": "mean", "levels": "levels", "ranges": "range", "knots": "knots", "polynomials": "orthogonal polynomials"}


@dataclass(frozen=True, slots=True)
class LearningTask:
    """One thing to learn.

    Attributes
    ----------
    kind : "means" (and deviations), "levels", "ranges", "knots" or "polynomials".
    text : what it is learnt of, as the formula writes it.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return f"the {_KIND_TEXTS[self.kind]} of {self.text}"


LearningPass = tuple[LearningTask, ...]


def plan_passes(formula: Formula, factors: Mapping[str, Factor]) -> tuple[LearningPass, ...]:
    """Plan the scans: the topics of each, given the factors with columns named alone told apart.

    A mean comes first: what holds one may have no value in some rows, which everything else must leave out.
    """
    moved = standardizations_in(formula, factors)
    planned: list[LearningPass] = []
    while here := _next_pass(factors, moved, {topic for topics in planned for topic in topics}):
        planned.append(here)
    return tuple(planned)


def describe_pass(topics: LearningPass) -> str:
    """Say in a word or two what one scan is for.

    >>> describe_pass((LearningTask("levels", "a"), LearningTask("levels", "b"), LearningTask("knots", "ns(x, df=3)")))
    'levels, knots'
    """
    return ", ".join(dict.fromkeys(topic.kind for topic in topics))


def standardizations_in(formula: Formula, factors: Mapping[str, Factor]) -> dict[str, Standardize]:
    """Give every `center` and `scale`, by its text."""
    expressions = [argument_of(f) for f in factors.values() if not isinstance(f, Categorical)]
    inside = (part for e in (*expressions, *formula.response_and_offsets.values()) for part in subexpressions(e))
    return {part.text: part for part in inside if isinstance(part, Standardize)}


def _next_pass(factors: Mapping[str, Factor], moved: Mapping[str, Standardize], done: Collection[LearningTask]) -> LearningPass:
    def is_known(expression: Expression) -> bool:
        return all(LearningTask("means", part.text) in done for part in subexpressions(expression) if isinstance(part, Standardize))

    means = [LearningTask("means", text) for text, part in moved.items() if is_known(part.argument)]
    levels = [LearningTask("levels", text) for text, factor in factors.items() if isinstance(factor, Categorical)]
    bases = [
        _basis_task(factor, done)
        for factor in factors.values()
        if isinstance(factor, Basis) and factor.kind != "powers" and is_known(factor.argument)
    ]
    return _new_tasks(means, done) or _new_tasks([*levels, *bases], done)


def _basis_task(factor: Basis, done: Collection[LearningTask]) -> LearningTask:
    """Tell what is learnt next of a basis: a range, unless quantiles are its knots; a polynomial then needs a QR of the rows."""
    if factor.kind != "poly" and factor.df is not None:
        return LearningTask("knots", factor.text)
    limits = LearningTask("ranges", factor.text)
    return LearningTask("polynomials", factor.text) if factor.kind == "poly" and limits in done else limits


def _new_tasks(topics: list[LearningTask], done: Collection[LearningTask]) -> LearningPass:
    return tuple(topic for topic in topics if topic not in done)
