"""Learning a design from rows: levels, means, knots and ranges, each by a fold, over the rows that the fit will use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from squarely.data import Batch, RowAccount, Source, expect, fold, fold_parts, fold_until, iter_batches, scan_purpose
from squarely.design.design import Design, LearnedState, columns_needed, with_centers
from squarely.design.encoding.basis import inner_places
from squarely.design.formula.expression import Expression, Standardize, subexpressions
from squarely.design.formula.factors import Basis, Categorical, Factor, UntypedColumn, argument_of
from squarely.design.formula.formula import Formula
from squarely.design.formula.where import Where, mask_of
from squarely.design.learning.aggregators import (
    Aggregator,
    Extent,
    add_spline,
    extent_aggregator,
    knots_aggregator,
    levels_aggregator,
    mean_aggregator,
    polynomial_aggregator,
    range_aggregator,
    rank_aggregator,
)
from squarely.design.learning.plan import DesignPlan, LearningTask, describe_pass, plan_design, standardizations_in
from squarely.design.learning.quantiles import quantiles_from_search, start_search
from squarely.design.matrix.block import Block
from squarely.design.matrix.columns import columns_of
from squarely.design.matrix.model_matrix import evaluate_batch, iter_blocks, with_condition
from squarely.errors import DataError, pluralize
from squarely.numerics import Array, power_of_two

_PILOT_ROWS = 8_192
_NO_VALUE = " An expression has no value where it divides by zero, or takes a root or logarithm of a number that is too small."
_PassTotal = tuple[RowAccount, list[Any] | None]  # the rows met, and what they have taught, if there were any
T = TypeVar("T")
_GAPS = {"null": "empty", "nan": "not a number", "inf": "infinite"}


def learn_from_rows(formula: Formula, source: Source, where: Where | None = None) -> Design:
    """Learn what the columns are, and centres and scales from a pilot, the first rows that are complete.

    A centre from a pilot serves as well as the mean; `moments` folds again when the pilot turns out to be far off.

    Raises
    ------
    DataError : a column is missing or cannot be used, there are no rows, or none is complete.
    FormulaError : the formula names a level that is not there.
    """
    outline = plan_design(formula, source, where)
    learnt, scans = LearnedState(), len(outline.passes)
    expect(*map(describe_pass, outline.passes), "cross-products")
    for topics in outline.passes:
        lessons = [_aggregator_for(topic, outline, learnt) for topic in topics]
        with scan_purpose(describe_pass(topics)):
            totals = _run_pass(lessons, outline, learnt)
        extents: dict[Factor, Extent] = {}
        for topic, lesson, total in zip(topics, lessons, totals, strict=True):
            if topic.kind == "knots" and source.partitioned:
                extents[outline.factors[topic.text]] = total
            else:
                learnt = lesson.finish(learnt, total)
        learnt, more = _search_knots(outline, learnt, extents)
        scans += more
    return _centers_from_first_rows(build_design(outline, learnt, scans), source)


def _search_knots(outline: DesignPlan, learnt: LearnedState, extents: Mapping[Factor, Extent]) -> tuple[LearnedState, int]:
    """Learn the knots of splines with `df` from scattered values, of which the number and the ends are known; tell the scans."""
    splines = {factor: (*extent, inner_places(factor)) for factor, extent in extents.items() if isinstance(factor, Basis)}
    seen = {factor: start_search(n, places) for factor, (n, _, _, places) in splines.items() if len(places)}
    scans = 0
    while any(not one.is_finished for one in seen.values()):
        lessons = [rank_aggregator(factor, one.counter()) for factor, one in seen.items()]
        with scan_purpose("knots"):
            totals, scans = _run_pass(lessons, outline, learnt), scans + 1
        seen = {factor: one.narrow(counts) for (factor, one), counts in zip(seen.items(), totals, strict=True)}
    for factor, (n, low, high, places) in splines.items():
        inner = quantiles_from_search(n, places, seen[factor]) if factor in seen else np.empty(0)
        learnt = add_spline(learnt, factor, inner, (low, high))
    return learnt, scans


def build_design(outline: DesignPlan, learnt: LearnedState, scans: int) -> Design:
    """Make a design of what is learnt, without centres and scales as yet."""
    columns = columns_of(outline.formula, outline.factors, learnt)
    k = len(columns) + 1
    return Design(
        formula=outline.formula,
        where=outline.where,
        factors=outline.factors,
        learned=learnt,
        columns=columns,
        centers=np.zeros(k),
        scales=np.ones(k),
        scans=scans,
    )


def _aggregator_for(topic: LearningTask, outline: DesignPlan, learnt: LearnedState) -> Aggregator:
    """Make the lesson of a topic, given what the rounds before have taught."""
    if topic.kind == "means":
        return mean_aggregator(standardizations_in(outline.formula, outline.factors)[topic.text])
    factor = outline.factors[topic.text]
    if not isinstance(factor, Basis):
        bare = isinstance(outline.formula.factors[topic.text], UntypedColumn)
        return levels_aggregator(factor, outline.source, is_untyped=bare)  # type: ignore[arg-type]  # levels are those of a Categorical
    if topic.kind == "polynomials":
        return polynomial_aggregator(factor, *learnt.ranges[topic.text])
    if topic.kind == "knots":
        return extent_aggregator(factor) if outline.source.partitioned else knots_aggregator(factor)
    return range_aggregator(factor)


def is_known(expression: Expression, learnt: LearnedState) -> bool:
    """Tell whether every mean and deviation that an expression needs is learnt."""
    return all(part.text in learnt.standardizations for part in subexpressions(expression) if isinstance(part, Standardize))


def _run_pass(lessons: Sequence[Aggregator], outline: DesignPlan, learnt: LearnedState) -> list[Any]:
    """Scan the rows once for several lessons, over the rows that are complete as far as that is known, and give their totals."""
    # What still waits for a mean cannot be evaluated yet; its columns must be complete all the same.
    ready = [f for f in outline.factors.values() if isinstance(f, Categorical) or is_known(argument_of(f), learnt)]
    inside = {text: part.argument for text, part in standardizations_in(outline.formula, outline.factors).items()}
    now = {text: e for text, e in {**outline.formula.response_and_offsets, **inside}.items() if is_known(e, learnt)}
    where, numbers, labels = outline.where, outline.numbers, outline.labels
    columns = with_condition(numbers, labels, where)
    steps, merges = [lesson.update for lesson in lessons], [lesson.merge for lesson in lessons]

    def taught(batch: Batch) -> _PassTotal:
        among = mask_of(where, batch) if where else None
        seen = evaluate_batch(batch, ready, now, learnt, batch.complete_mask(numbers, labels, among))
        if seen.row_mask.any():
            return RowAccount(used=int(seen.row_mask.sum())), [step(batch, seen) for step in steps]
        gaps = batch.count_gaps(numbers, labels, among)  # they are told only if no row is left
        return replace(gaps, used=0, dropped={**gaps.dropped, **seen.account.dropped}), None

    def merged(a: _PassTotal, b: _PassTotal) -> _PassTotal:
        if a[1] is None or b[1] is None:
            return a[0] + b[0], b[1] if a[1] is None else a[1]
        return a[0] + b[0], [merge(x, y) for merge, x, y in zip(merges, a[1], b[1], strict=True)]

    start: _PassTotal = RowAccount(), None

    def work(part: Source) -> _PassTotal:
        return fold(map(taught, iter_batches(part, *columns)), merged, start)

    account, totals = fold_parts(outline.source, columns, work, merged, start)
    if totals is None:
        raise no_rows_error(outline.source, account, [*numbers, *labels], where)
    return totals


def no_rows_error(source: Source, account: RowAccount, columns: Sequence[str], where: Where | None) -> DataError:
    """Say why no row is left."""
    if account.read == 0:
        return DataError(f"There are column names but no rows in {source.label}. Give at least {len(columns) + 1} rows.")
    left = account.read - account.filtered
    if where and not left:
        return DataError(
            f"None of the {pluralize(account.read, 'row')} of {source.label} meets where={where.text!r}. Mend the condition."
        )
    causes = "; ".join(
        f"{name!r} is {' or '.join(_GAPS[cause] for cause, met in causes.items() if met)} in {pluralize(sum(causes.values()), 'row')}"
        for name, causes in list(account.dropped.items())[:12]
    )
    meeting = f" that meet where={where.text!r}" if where else ""
    return DataError(
        f"None of the {pluralize(left, 'row')} of {source.label}{meeting} is complete in the columns {_list_columns(columns)}: {causes}. "
        "Fill these gaps, or leave out what has them." + (_NO_VALUE if account.dropped.keys() - columns else "")
    )


def _list_columns(columns: Sequence[str]) -> str:
    return ", ".join(map(repr, columns[:12])) + (", ..." if len(columns) > 12 else "")  # enough to see which


def _centers_from_first_rows(design: Design, source: Source) -> Design:
    """Give the design centres and scales from the first block that has complete rows."""
    account, spreads = map_first_block(design, source, _means_and_deviations)
    if spreads is None:
        numbers, labels = columns_needed(design.factors.values(), design.formula.response_and_offsets.values())
        raise no_rows_error(source, account, [*numbers, *labels], design.where)
    return with_centers(design, **spreads)


def map_first_block(design: Design, source: Source, look: Callable[[Block], T]) -> tuple[RowAccount, T | None]:
    """Look at the first block that has complete rows; None if there is none."""
    nobody: tuple[RowAccount, T | None] = RowAccount(), None

    def work(part: Source) -> tuple[RowAccount, T | None]:
        account = RowAccount()
        for block in iter_blocks(design, part, size=_PILOT_ROWS):
            account += block.account
            if block.size:
                return account, look(block)
        return account, None

    def first(a: tuple[RowAccount, T | None], b: tuple[RowAccount, T | None]) -> tuple[RowAccount, T | None]:
        return a[0] + b[0], b[1] if a[1] is None else a[1]

    columns = with_condition(*columns_needed(design.factors.values(), design.formula.response_and_offsets.values()), design.where)
    return fold_until(source, columns, work, first, nobody, is_enough=lambda met: met[1] is not None)


def _means_and_deviations(block: Block) -> dict[str, Array]:
    """Give the mean and spread (k,) of each column over some rows."""
    layout = block.layout
    with np.errstate(over="ignore", invalid="ignore"):
        dense = np.array([_deviation(x) for x, _ in block.dense])
        grouped = np.zeros((len(layout.grouped), 2))
        for spread in block.indicators:
            at = spread.places >= 0
            x = np.ones(at.sum()) if spread.values is None else spread.values[at]
            sums = [np.bincount(spread.places[at], power, len(grouped)) for power in (x, x * x)]
            mean = sums[0] / block.size
            grouped += np.column_stack([mean, np.sqrt(np.maximum(sums[1] / block.size - mean**2, 0.0))])
    return {"mean": layout.join_columns(dense[:, 0], grouped[:, 0]), "deviation": layout.join_columns(dense[:, 1], grouped[:, 1])}


def _deviation(x: Array) -> tuple[float, float]:
    unit = power_of_two(float(np.abs(x).max()))  # keeps the squares within range
    small = x / unit
    return float(small.mean()) * unit, float(small.std()) * unit
