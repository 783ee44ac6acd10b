"""Learning a design from rows: levels, means, knots and ranges, each by a fold, over the rows that the fit will use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from squarely.data import RowAccount, Source, batches, not_usable, reads_as_number, require_columns
from squarely.design.columns import columns_of
from squarely.design.condition import Where, met, require_where
from squarely.design.design import Design, Learnt, columns_needed, recentred
from squarely.design.expression import Expression, Moved, Name, names, parts
from squarely.design.factor import Bare, Basis, Categorical, Contrast, Factor, Numeric, expression_of
from squarely.design.formula import Formula
from squarely.design.lessons import Lesson, basis, levels, moving
from squarely.design.reading import pointer
from squarely.design.rows import evaluated, rows, with_condition
from squarely.errors import DataError, counted
from squarely.numerics import power_of_two

_NO_VALUE = " An expression has no value where it divides by zero, or takes a root or logarithm of a number that is too small."
_GAPS = {"null": "empty", "nan": "not a number", "inf": "infinite"}


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Subject:
    """What is to be learnt of, and where its rows are; `numbers` and `labels` are the columns that it needs."""

    formula: Formula
    factors: Mapping[str, Factor]
    source: Source
    where: Where | None
    numbers: Sequence[str]
    labels: Sequence[str]

    @property
    def moved(self) -> dict[str, Moved]:
        """Every `center` and `scale`, by its text."""
        expressions = [expression_of(f) for f in self.factors.values() if not isinstance(f, Categorical)]
        inside = (part for e in (*expressions, *self.formula.outside.values()) for part in parts(e))
        return {part.text: part for part in inside if isinstance(part, Moved)}


def learn(formula: Formula, source: Source, where: Where | None = None) -> Design:
    """Learn what the columns are, and centres and scales from a pilot, the first rows that are complete.

    A centre from a pilot serves as well as the mean; `moments` folds again when the pilot turns out to be far off.

    Raises
    ------
    DataError : a column is missing or cannot be used, there are no rows, or none is complete.
    FormulaError : the formula names a level that is not there.
    """
    subject = subject_of(formula, source, where)
    learnt, scans = Learnt(), 0
    while lessons := list(_lessons(subject, learnt)):
        for lesson, total in zip(lessons, _taught(lessons, subject, learnt), strict=True):
            learnt = lesson.finish(learnt, total)
        scans += 1
    return _piloted(designed(subject, learnt, scans), source)


def subject_of(formula: Formula, source: Source, where: Where | None, *, reading: bool = True) -> Subject:
    """Say what is to be learnt of; what is wrong with the columns is an error. Without `reading` no row is looked at for it."""
    require_named(formula, source)
    if where:
        require_where(where, source)
    require_numeric_response(formula, source, reading=reading)
    factors = {text: told(factor, source) for text, factor in formula.factors.items()}
    numbers, labels = columns_needed(factors.values(), formula.outside.values())
    return Subject(formula=formula, factors=factors, source=source, where=where, numbers=numbers, labels=labels)


def designed(subject: Subject, learnt: Learnt, scans: int) -> Design:
    """Make a design of what is learnt, without centres and scales as yet."""
    columns = columns_of(subject.formula, subject.factors, learnt)
    k = len(columns) + 1
    return Design(
        formula=subject.formula,
        where=subject.where,
        factors=subject.factors,
        learnt=learnt,
        columns=columns,
        centres=np.zeros(k),
        scales=np.ones(k),
        scans=scans,
    )


def require_named(formula: Formula, source: Source) -> None:
    """Raise a DataError that points into the formula when a column that it names is not there."""
    for expression in [*formula.outside.values(), *map(expression_of, formula.factors.values())]:
        for name in names(expression):
            try:
                require_columns(source, [name.name])
            except DataError as error:
                raise DataError(f"{error}{pointer(formula.text, name.at) if name.at[1] else ''}") from None


def require_numeric_response(formula: Formula, source: Source, *, reading: bool = True) -> None:
    """Raise a DataError if the response is a column that does not hold numbers; rows are read to name the first value."""
    response = formula.response.expression
    if not isinstance(response, Name) or source.kind(response.name) not in ("text", "category", "other"):
        return
    if source.kind(response.name) == "other":
        raise not_usable(source, response.name, source.columns[response.name])
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
    for batch in batches(source, [], [name]):
        labels = batch.labels[name]
        odd = np.array([*(not reads_as_number(value) for value in labels.values), False])[labels.codes]
        at = np.flatnonzero(odd if odd.any() else labels.codes >= 0)
        if len(at) and (odd.any() or first is None):
            first = labels.values[labels.codes[at[0]]], batch.first + int(at[0]) + 1
        if odd.any():
            break
    return first or (None, 0)


def told(factor: Factor, source: Source) -> Factor:
    """Let the data say whether a column named alone holds numbers or categories."""
    if not isinstance(factor, Bare):
        return factor
    kind = source.kind(factor.name.name)
    if kind == "other":
        raise not_usable(source, factor.name.name, source.columns[factor.name.name])
    if kind in ("text", "boolean", "category"):
        return Categorical(text=factor.text, name=factor.name, contrast=Contrast())
    return Numeric(text=factor.text, expression=factor.name)


def _lessons(subject: Subject, learnt: Learnt) -> Iterator[Lesson]:
    """Yield what can be learnt next, given what is learnt."""
    means = [p for text, p in subject.moved.items() if text not in learnt.moves and is_known(p.argument, learnt)]
    if means:  # first: what holds a mean may have no value in some rows, which the other lessons must leave out
        yield from map(moving, means)
        return
    for text, factor in subject.factors.items():
        if isinstance(factor, Categorical) and text not in learnt.codings:
            yield levels(factor, subject.source, bare=isinstance(subject.formula.factors[text], Bare))
    for text, factor in subject.factors.items():
        waits = isinstance(factor, Basis) and factor.kind != "powers" and text not in learnt.bases
        if isinstance(factor, Basis) and waits and is_known(factor.argument, learnt):
            yield basis(factor, learnt)


def is_known(expression: Expression, learnt: Learnt) -> bool:
    """Tell whether every mean and deviation that an expression needs is learnt."""
    return all(part.text in learnt.moves for part in parts(expression) if isinstance(part, Moved))


def _taught(lessons: Sequence[Lesson], subject: Subject, learnt: Learnt) -> list[Any]:
    """Scan the rows once for several lessons, over the rows that are complete as far as that is known, and give their totals."""
    # What still waits for a mean cannot be evaluated yet; its columns must be complete all the same.
    ready = [f for f in subject.factors.values() if isinstance(f, Categorical) or is_known(expression_of(f), learnt)]
    inside = {part.text: part.argument for part in subject.moved.values()}
    now = {text: e for text, e in {**subject.formula.outside, **inside}.items() if is_known(e, learnt)}
    where, numbers, labels = subject.where, subject.numbers, subject.labels
    totals: list[Any] = [None] * len(lessons)
    account = RowAccount()
    for batch in batches(subject.source, *with_condition(numbers, labels, where)):
        among = met(where, batch) if where else None
        complete = batch.complete(numbers, labels, among)
        seen = evaluated(batch, ready, now, learnt, complete)
        if not account.used:  # the gaps are told only if no row is left
            gaps = batch.account(numbers, labels, among)
            account += replace(gaps, used=int(seen.keep.sum()), dropped={**gaps.dropped, **seen.account.dropped})
        if seen.keep.any():
            for i, lesson in enumerate(lessons):
                new = lesson.step(batch, seen)
                totals[i] = new if totals[i] is None else lesson.merge(totals[i], new)
    if not account.used:
        raise nothing(subject.source, account, [*numbers, *labels], where)
    return totals


def nothing(source: Source, account: RowAccount, columns: Sequence[str], where: Where | None) -> DataError:
    """Say why no row is left."""
    if account.read == 0:
        return DataError(f"There are column names but no rows in {source.label}. Give at least {len(columns) + 1} rows.")
    left = account.read - account.filtered
    if where and not left:
        return DataError(
            f"None of the {counted(account.read, 'row')} of {source.label} meets where={where.text!r}. Mend the condition."
        )
    causes = "; ".join(
        f"{name!r} is {' or '.join(_GAPS[cause] for cause, met in causes.items() if met)} in {counted(sum(causes.values()), 'row')}"
        for name, causes in list(account.dropped.items())[:12]
    )
    meeting = f" that meet where={where.text!r}" if where else ""
    return DataError(
        f"None of the {counted(left, 'row')} of {source.label}{meeting} is complete in the columns {_listed(columns)}: {causes}. "
        "Fill these gaps, or leave out what has them." + (_NO_VALUE if account.dropped.keys() - columns else "")
    )


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(repr, columns[:12])) + (", ..." if len(columns) > 12 else "")  # enough to see which


def _piloted(design: Design, source: Source) -> Design:
    """Give the design centres and scales from the first block that has complete rows."""
    account = RowAccount()
    for block in rows(design, source):
        account += block.account
        if len(block.values):
            with np.errstate(over="ignore", invalid="ignore"):
                peak = np.abs(block.values).max(axis=0)
                unit = np.array([power_of_two(x) for x in peak])  # keeps the squares within range
                small = block.values / unit
                return recentred(design, mean=small.mean(axis=0) * unit, spread=small.std(axis=0) * unit)
    numbers, labels = columns_needed(design.factors.values(), design.formula.outside.values())
    raise nothing(source, account, [*numbers, *labels], design.where)
