"""Learn a design from rows: each pass of the plan is one fold over the rows that are complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from squarely.data import Batch, RowAccount, Source, expect, fold_parts, iter_batches, scan_purpose
from squarely.design.design import Design
from squarely.design.encoding.learned_state import LearnedState
from squarely.design.formula.formula import Formula
from squarely.design.formula.where import Where
from squarely.design.formula.where_mask import mask_of
from squarely.design.learning.aggregators import Aggregator, aggregator_of
from squarely.design.learning.no_rows import no_rows_error
from squarely.design.learning.pilot import centers_from_pilot
from squarely.design.learning.plan import DesignPlan, describe_pass, plan_design
from squarely.design.matrix.model_matrix import evaluate_batch

_PassTotal = tuple[RowAccount, list[Any] | None]  # the account of the rows, and the totals of the aggregators if a row is complete


def learn_from_rows(formula: Formula, source: Source, where: Where | None = None) -> Design:
    """Learn what the columns are, and centers and scales from a pilot, the first rows that are complete.

    A center from a pilot serves as well as the mean; `moments` folds again when the pilot turns out to be far off.

    Raises
    ------
    DataError : a column is missing or cannot be used, there are no rows, or none is complete.
    FormulaError : the formula names a level that is not there.
    """
    plan = plan_design(formula, source, where)
    state, scans = LearnedState(), 0
    purposes = [describe_pass(tasks) for tasks in plan.passes]
    expect(*purposes, "cross-products")
    for tasks, purpose in zip(plan.passes, purposes, strict=True):
        aggregators = {task.subject.text: aggregator_of(task, plan, state) for task in tasks}
        while aggregators:
            with scan_purpose(purpose):
                totals = _aggregate([*aggregators.values()], plan, state)
            for (text, aggregator), total in zip([*aggregators.items()], totals, strict=True):
                del aggregators[text]
                result = aggregator.finish(total)
                if isinstance(result, Aggregator):
                    aggregators[text] = result
                else:
                    state = state.learn(text, result)
            purpose = "knots"
            scans += 1
    return centers_from_pilot(plan.design(state, scans), source)


def _aggregate(aggregators: Sequence[Aggregator], plan: DesignPlan, state: LearnedState) -> list[Any]:
    """Scan once the rows that are complete as far as that is known, and return the total of each aggregator.

    An expression that waits for a mean cannot be evaluated yet, but its columns must be complete all the same.
    """
    # What goes to other processes holds these and not the plan.
    where, numbers, labels = plan.where, plan.inputs.numbers, plan.inputs.labels
    ready = plan.ready(state)
    columns = plan.inputs.columns(where)
    updates, merges = [each.update for each in aggregators], [each.merge for each in aggregators]

    def update(batch: Batch) -> _PassTotal:
        among = mask_of(where, batch) if where else None
        evaluated = evaluate_batch(batch, ready, state, batch.complete_mask(numbers, labels, among))
        if evaluated.row_mask.any():
            return RowAccount(used=int(evaluated.row_mask.sum())), [each(batch, evaluated) for each in updates]
        gaps = batch.count_gaps(numbers, labels, among)  # reported only if no row is left
        return replace(gaps, used=0, dropped={**gaps.dropped, **evaluated.account.dropped}), None

    def merge(a: _PassTotal, b: _PassTotal) -> _PassTotal:
        if a[1] is None or b[1] is None:
            return a[0] + b[0], b[1] if a[1] is None else a[1]
        return a[0] + b[0], [each(x, y) for each, x, y in zip(merges, a[1], b[1], strict=True)]

    start: _PassTotal = RowAccount(), None

    def work(part: Source) -> _PassTotal:
        return reduce(merge, map(update, iter_batches(part, *columns)), start)

    account, totals = fold_parts(plan.source, columns, work, merge, start)
    if totals is None:
        raise no_rows_error(plan.source, account, [*numbers, *labels], where)
    return totals
