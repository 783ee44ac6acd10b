"""Learning a design from rows: levels, means, knots and ranges, each by a fold, over the rows that the fit will use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from squarely.data import RowAccount, Source, batches, expect, scanning
from squarely.design.block import Block
from squarely.design.columns import columns_of
from squarely.design.condition import Where, met
from squarely.design.design import Design, Learnt, columns_needed, recentred
from squarely.design.expression import Expression, Moved, parts
from squarely.design.factor import Bare, Basis, Categorical, expression_of
from squarely.design.formula import Formula
from squarely.design.lessons import Lesson, knots, levels, limits, moving, polynomial
from squarely.design.outline import Outline, outlined
from squarely.design.rows import evaluated, rows, with_condition
from squarely.design.topics import Topic, moved_in, purpose
from squarely.errors import DataError, counted
from squarely.numerics import Array, power_of_two

_PILOT_ROWS = 8_192
_NO_VALUE = " An expression has no value where it divides by zero, or takes a root or logarithm of a number that is too small."
_GAPS = {"null": "empty", "nan": "not a number", "inf": "infinite"}


def learn(formula: Formula, source: Source, where: Where | None = None) -> Design:
    """Learn what the columns are, and centres and scales from a pilot, the first rows that are complete.

    A centre from a pilot serves as well as the mean; `moments` folds again when the pilot turns out to be far off.

    Raises
    ------
    DataError : a column is missing or cannot be used, there are no rows, or none is complete.
    FormulaError : the formula names a level that is not there.
    """
    outline = outlined(formula, source, where)
    learnt = Learnt()
    expect(*map(purpose, outline.rounds), "cross-products")
    for topics in outline.rounds:
        lessons = [_lesson(topic, outline, learnt) for topic in topics]
        with scanning(purpose(topics)):
            totals = _taught(lessons, outline, learnt)
        for lesson, total in zip(lessons, totals, strict=True):
            learnt = lesson.finish(learnt, total)
    return _piloted(designed(outline, learnt, len(outline.rounds)), source)


def designed(outline: Outline, learnt: Learnt, scans: int) -> Design:
    """Make a design of what is learnt, without centres and scales as yet."""
    columns = columns_of(outline.formula, outline.factors, learnt)
    k = len(columns) + 1
    return Design(
        formula=outline.formula,
        where=outline.where,
        factors=outline.factors,
        learnt=learnt,
        columns=columns,
        centres=np.zeros(k),
        scales=np.ones(k),
        scans=scans,
    )


def _lesson(topic: Topic, outline: Outline, learnt: Learnt) -> Lesson:
    """Make the lesson of a topic, given what the rounds before have taught."""
    if topic.kind == "means":
        return moving(moved_in(outline.formula, outline.factors)[topic.text])
    factor = outline.factors[topic.text]
    if not isinstance(factor, Basis):
        bare = isinstance(outline.formula.factors[topic.text], Bare)
        return levels(factor, outline.source, bare=bare)  # type: ignore[arg-type]  # levels are those of a Categorical
    if topic.kind == "polynomials":
        return polynomial(factor, *learnt.ranges[topic.text])
    return knots(factor) if topic.kind == "knots" else limits(factor)


def is_known(expression: Expression, learnt: Learnt) -> bool:
    """Tell whether every mean and deviation that an expression needs is learnt."""
    return all(part.text in learnt.moves for part in parts(expression) if isinstance(part, Moved))


def _taught(lessons: Sequence[Lesson], outline: Outline, learnt: Learnt) -> list[Any]:
    """Scan the rows once for several lessons, over the rows that are complete as far as that is known, and give their totals."""
    # What still waits for a mean cannot be evaluated yet; its columns must be complete all the same.
    ready = [f for f in outline.factors.values() if isinstance(f, Categorical) or is_known(expression_of(f), learnt)]
    inside = {text: part.argument for text, part in moved_in(outline.formula, outline.factors).items()}
    now = {text: e for text, e in {**outline.formula.outside, **inside}.items() if is_known(e, learnt)}
    where, numbers, labels = outline.where, outline.numbers, outline.labels
    totals: list[Any] = [None] * len(lessons)
    account = RowAccount()
    for batch in batches(outline.source, *with_condition(numbers, labels, where)):
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
        raise nothing(outline.source, account, [*numbers, *labels], where)
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
    for block in rows(design, source, size=_PILOT_ROWS):
        account += block.account
        if block.size:
            return recentred(design, **_spreads(block))
    numbers, labels = columns_needed(design.factors.values(), design.formula.outside.values())
    raise nothing(source, account, [*numbers, *labels], design.where)


def _spreads(block: Block) -> dict[str, Array]:
    """Give the mean and spread (k,) of each column over some rows."""
    layout = block.layout
    with np.errstate(over="ignore", invalid="ignore"):
        dense = np.array([_spread(x) for x, _ in block.held])
        grouped = np.zeros((len(layout.grouped), 2))
        for spread in block.spread:
            at = spread.places >= 0
            x = np.ones(at.sum()) if spread.values is None else spread.values[at]
            sums = [np.bincount(spread.places[at], power, len(grouped)) for power in (x, x * x)]
            mean = sums[0] / block.size
            grouped += np.column_stack([mean, np.sqrt(np.maximum(sums[1] / block.size - mean**2, 0.0))])
    return {"mean": layout.whole(dense[:, 0], grouped[:, 0]), "spread": layout.whole(dense[:, 1], grouped[:, 1])}


def _spread(x: Array) -> tuple[float, float]:
    unit = power_of_two(float(np.abs(x).max()))  # keeps the squares within range
    small = x / unit
    return float(small.mean()) * unit, float(small.std()) * unit
