"""Learn a design from rows: each pass of the plan is one fold over the rows that are complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from squarely.data import Batch, RowAccount, Source, expect, fold_parts, iter_batches, scan_purpose
from squarely.design.design import Design
from squarely.design.encoding.basis import (
    chebyshev_polynomials,
    inner_knots,
    inner_places,
    make_spline,
    orthogonal_polynomials,
    range_or_spline,
    too_near_values_error,
)
from squarely.design.encoding.categories import UNKNOWN_ROW, ObservedLevels, code_levels, levels_in, merge_observed_levels
from squarely.design.encoding.learned_state import Learned, LearnedState, MeanAndSquares, mean_and_deviation
from squarely.design.formula.expression import Standardize, as_pair
from squarely.design.formula.factors import Basis, Categorical
from squarely.design.formula.formula import Formula
from squarely.design.formula.where import Where
from squarely.design.formula.where_mask import mask_of
from squarely.design.learning.pilot import centers_from_pilot
from squarely.design.learning.plan import DesignPlan, LearningTask, describe_pass, no_rows_error, plan_design
from squarely.design.learning.quantiles import Search, start_search
from squarely.design.matrix.evaluated_batch import EvaluatedBatch, evaluate_batch
from squarely.errors import DataError, pluralize
from squarely.numerics import Array, dd_add, dd_divide, dd_multiply, dd_sum, low_part, qr_r

_PassTotal = tuple[RowAccount, list[Any]]  # the account of the rows, and the totals of the aggregators, none if no row is complete
_Extent = tuple[int, float, float]  # the number of values, the smallest and the largest


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Aggregator:
    """A fold over the rows that learns one thing.

    `update` makes a total of the complete rows of a batch, and `merge` one of two. `finish` makes of the total of all rows what is
    learned, or an aggregator for one more pass.
    """

    update: Callable[[Batch, EvaluatedBatch], Any]
    merge: Callable[[Any, Any], Any]
    finish: Callable[[Any], Learned | Aggregator]


def learn_from_rows(formula: Formula, source: Source, where: Where | None = None) -> Design:
    """Learn what the columns are, and centers and scales from a pilot, the first rows that are complete.

    A center from a pilot serves as well as the mean; `moments` folds again when the pilot turns out to be far off.

    Raises DataError if a column is missing or cannot be used, or no row is complete, and FormulaError if a level is not there.
    """
    plan = plan_design(formula, source, where)
    state, scans = LearnedState(), 0
    purposes = [describe_pass(tasks) for tasks in plan.passes]
    expect(*purposes, *(["fixed effects"] if formula.effects else []), "cross-products")
    for tasks, purpose in zip(plan.passes, purposes, strict=True):
        aggregators = {task.subject.text: _aggregator_of(task, plan, state) for task in tasks}
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
        return replace(gaps, used=0, dropped={**gaps.dropped, **evaluated.account.dropped}), []

    def merge(a: _PassTotal, b: _PassTotal) -> _PassTotal:
        if not (a[1] and b[1]):
            return a[0] + b[0], a[1] or b[1]
        return a[0] + b[0], [each(x, y) for each, x, y in zip(merges, a[1], b[1], strict=True)]

    start: _PassTotal = RowAccount(), []

    def work(part: Source) -> _PassTotal:
        return reduce(merge, map(update, iter_batches(part, *columns)), start)

    account, totals = fold_parts(plan.source, columns, work, merge, start)
    if not totals:
        raise no_rows_error(plan.source, account, [*numbers, *labels], where)
    return totals


def _aggregator_of(task: LearningTask, plan: DesignPlan, state: LearnedState) -> Aggregator:
    if isinstance(task.subject, Standardize):
        return _mean_aggregator(task.subject)
    if isinstance(task.subject, Categorical):
        return _levels_aggregator(task.subject, plan.source)
    if task.kind == "polynomials":
        return _polynomial_aggregator(task.subject, *state.ranges[task.subject.text])
    return (_range_aggregator if task.kind == "ranges" or plan.source.partitioned else _knots_aggregator)(task.subject)


def _levels_aggregator(factor: Categorical, source: Source) -> Aggregator:
    name = factor.name.name

    def finish(levels: ObservedLevels) -> Learned:
        if source.partitioned:  # a partition does not know how many rows come before it
            levels = {level: (UNKNOWN_ROW, count) for level, (_, count) in levels.items()}
        return code_levels(factor, levels, source)

    return Aggregator(
        update=lambda batch, evaluated: levels_in(batch.labels[name], evaluated.row_mask, batch.start),
        merge=merge_observed_levels,
        finish=finish,
    )


def _mean_aggregator(part: Standardize) -> Aggregator:
    """Learn a mean and a deviation, merged by the formula of Chan, Golub and LeVeque (1983), doi:10.1080/00031305.1983.10483115.

    The mean is in double-double: far from zero a double has too few digits of it.
    """

    def update(batch: Batch, evaluated: EvaluatedBatch) -> MeanAndSquares:
        hi, lo = evaluated.numbers[part.argument]
        x = hi, low_part(hi, lo)
        mean = dd_divide(dd_sum(x), as_pair(len(hi)))
        squares = float(np.square(dd_add(x, (-mean[0], -mean[1]))[0]).sum())
        return len(hi), mean, squares, float(hi.min()), float(hi.max())

    def merge(a: MeanAndSquares, b: MeanAndSquares) -> MeanAndSquares:
        n = a[0] + b[0]
        difference, fraction = dd_add(b[1], (-a[1][0], -a[1][1])), dd_divide(as_pair(b[0]), as_pair(n))
        squares = a[2] + b[2] + float(difference[0]) ** 2 * a[0] * b[0] / n
        return n, dd_add(a[1], dd_multiply(difference, fraction)), squares, min(a[3], b[3]), max(a[4], b[4])

    return Aggregator(update=update, merge=merge, finish=lambda total: mean_and_deviation(part, total))


def _range_aggregator(factor: Basis) -> Aggregator:
    """Learn the range of the argument, and for a spline its knots: those in the formula, or quantiles by counting."""

    def update(batch: Batch, evaluated: EvaluatedBatch) -> _Extent:
        x = evaluated.numbers[factor.argument][0]
        return len(x), float(x.min()), float(x.max())

    def merge(a: _Extent, b: _Extent) -> _Extent:
        return a[0] + b[0], min(a[1], b[1]), max(a[2], b[2])

    def finish(extent: _Extent) -> Learned | Aggregator:
        n, low, high = extent
        if len(places := inner_places(factor)):
            return _rank_aggregator(factor, (low, high), start_search(n, places))
        return range_or_spline(factor, np.array(factor.knots or ()), low, high)

    return Aggregator(update=update, merge=merge, finish=finish)


def _polynomial_aggregator(factor: Basis, low: float, high: float) -> Aggregator:
    """Learn the polynomials that are orthogonal over the rows, by a QR, on a range that is known."""

    def update(batch: Batch, evaluated: EvaluatedBatch) -> Array:
        return qr_r(chebyshev_polynomials(evaluated.numbers[factor.argument][0], low, high, factor.degree))

    def finish(R: Array) -> Learned:
        sizes = np.abs(np.diag(R))
        if len(R) <= factor.degree:
            raise DataError(
                f"{factor.text} needs more than {factor.degree} different values of its argument, and only "
                f"{pluralize(len(R), 'row')} are used. Lower the degree."
            )
        if sizes.min() <= 1e-13 * sizes.max() * len(R):
            raise too_near_values_error(factor)
        return orthogonal_polynomials(R, low, high)

    return Aggregator(update=update, merge=lambda a, b: qr_r(np.vstack([a, b])), finish=finish)


def _knots_aggregator(factor: Basis) -> Aggregator:
    """Learn the knots of a spline with `df`: quantiles of all values, in one pass over rows of this process."""

    def finish(values: list[Array]) -> Learned:
        x = np.concatenate(values)
        inner, errors = inner_knots(x, factor)
        return make_spline(factor, inner, float(x.min()), float(x.max()), errors=errors)

    return Aggregator(
        update=lambda batch, evaluated: [evaluated.numbers[factor.argument][0]],
        merge=lambda a, b: [*a, *b],  # the quantiles are exact, and need all values of this one column
        finish=finish,
    )


def _rank_aggregator(factor: Basis, ends: tuple[float, float], search: Search) -> Aggregator:
    """Learn the knots of a spline with `df` from partitioned values: count the next few bits of the values at their ranks."""
    counter = search.counter()

    def finish(counts: Any) -> Learned | Aggregator:
        narrowed = search.narrow(counts)
        if narrowed.is_finished:
            return make_spline(factor, narrowed.quantiles(), *ends)
        return _rank_aggregator(factor, ends, narrowed)

    return Aggregator(
        update=lambda batch, evaluated: counter(evaluated.numbers[factor.argument][0]),
        merge=lambda a, b: {bits: counts + b[bits] for bits, counts in a.items()},
        finish=finish,
    )
