"""Aggregators (update, merge, finish) for what a design learns from rows: levels, means, ranges, knots, polynomials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from squarely.data import Batch, Source
from squarely.design.encoding.basis import (
    chebyshev_polynomials,
    inner_knots,
    inner_places,
    make_spline,
    orthogonal_polynomials,
    require_varying,
)
from squarely.design.encoding.categories import (
    UNKNOWN_ROW,
    ContrastCoding,
    ObservedLevels,
    code_levels,
    levels_in,
    merge_observed_levels,
)
from squarely.design.encoding.learned_state import Learned, LearnedState
from squarely.design.formula.expression import MeanAndDeviation, Standardize
from squarely.design.formula.factors import Basis, Categorical
from squarely.design.learning.plan import DesignPlan, LearningTask
from squarely.design.learning.quantiles import Search, merge_counts, start_search
from squarely.design.matrix.model_matrix import EvaluatedBatch
from squarely.errors import DataError, pluralize
from squarely.numerics import Array, Pair, dd_add, dd_divide, dd_multiply, dd_sum, is_constant, low_part, qr_r

# Of n values: n, their mean, the sum of squares about it, the smallest and the largest.
MeanAndSquares = tuple[int, Pair, float, float, float]
Extent = tuple[int, float, float]  # the number of values, the smallest and the largest


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Aggregator:
    """A fold over the rows that learns one thing.

    Attributes
    ----------
    update : makes a total of the complete rows of a batch. `merge` merges two totals.
    finish : makes of the total of all rows what is learned, or an aggregator for one more pass.
    """

    update: Callable[[Batch, EvaluatedBatch], Any]
    merge: Callable[[Any, Any], Any]
    finish: Callable[[Any], Learned | Aggregator]


def aggregator_of(task: LearningTask, plan: DesignPlan, state: LearnedState) -> Aggregator:
    """Return the fold of rows for a task, given what the passes before have learned."""
    if isinstance(task.subject, Standardize):
        return _mean_aggregator(task.subject)
    if isinstance(task.subject, Categorical):
        return _levels_aggregator(task.subject, plan.source)
    if task.kind == "polynomials":
        return _polynomial_aggregator(task.subject, *state.ranges[task.subject.text])
    return (_range_aggregator if task.kind == "ranges" or plan.source.partitioned else _knots_aggregator)(task.subject)


def _levels_aggregator(factor: Categorical, source: Source) -> Aggregator:
    name = factor.name.name

    def finish(levels: ObservedLevels) -> ContrastCoding:
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

    The mean is kept in double-double: far from zero a double has too few digits of it.
    """

    def update(batch: Batch, evaluated: EvaluatedBatch) -> MeanAndSquares:
        hi, lo = evaluated.numbers[part.argument]
        x = hi, low_part(hi, lo)
        mean = dd_divide(dd_sum(x), _pair(len(hi)))
        squares = float(np.square(dd_add(x, (-mean[0], -mean[1]))[0]).sum())
        return len(hi), mean, squares, float(hi.min()), float(hi.max())

    def merge(a: MeanAndSquares, b: MeanAndSquares) -> MeanAndSquares:
        n = a[0] + b[0]
        difference, fraction = dd_add(b[1], (-a[1][0], -a[1][1])), dd_divide(_pair(b[0]), _pair(n))
        squares = a[2] + b[2] + float(difference[0]) ** 2 * a[0] * b[0] / n
        return n, dd_add(a[1], dd_multiply(difference, fraction)), squares, min(a[3], b[3]), max(a[4], b[4])

    return Aggregator(update=update, merge=merge, finish=lambda total: mean_and_deviation(part, total))


def _pair(x: float) -> Pair:
    return np.asarray(x, dtype=np.float64), np.zeros(())


def mean_and_deviation(part: Standardize, total: MeanAndSquares) -> MeanAndDeviation:
    """Return a mean and a deviation: zero for an argument that is constant up to rounding."""
    n, (mean, rest), squares, low, high = total
    deviation = float(np.sqrt(squares / (n - part.ddof))) if n > part.ddof else 0.0
    if is_constant(low, high, float(mean), deviation):
        deviation = 0.0
    return MeanAndDeviation(mean=float(mean), deviation=deviation, rest=float(rest))


def _range_aggregator(factor: Basis) -> Aggregator:
    """Learn the range of the argument, and for a spline its knots: those in the formula, or quantiles by counting."""

    def update(batch: Batch, evaluated: EvaluatedBatch) -> Extent:
        x = evaluated.numbers[factor.argument][0]
        return len(x), float(x.min()), float(x.max())

    def merge(a: Extent, b: Extent) -> Extent:
        return a[0] + b[0], min(a[1], b[1]), max(a[2], b[2])

    def finish(extent: Extent) -> Learned | Aggregator:
        n, low, high = extent
        if len(places := inner_places(factor)):
            return _rank_aggregator(factor, (low, high), start_search(n, places))
        return range_or_spline(factor, np.array(factor.knots or ()), low, high)

    return Aggregator(update=update, merge=merge, finish=finish)


def range_or_spline(factor: Basis, inner: Array, low: float, high: float) -> Learned:
    """Return the range of the argument of a polynomial, or the spline with these inner knots."""
    if factor.kind != "poly":
        return make_spline(factor, inner, low, high)
    require_varying(factor.text, low, high)
    return low, high


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


def too_near_values_error(factor: Basis) -> DataError:
    """Return the error for a polynomial with too few values that doubles can tell apart."""
    return DataError(
        f"{factor.text} needs more than {factor.degree} different values of its argument, far enough apart relative to its range, "
        "and the rows have too few of them. Lower the degree, or leave outlying rows out with where=."
    )


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
        update=lambda batch, evaluated: counter(evaluated.numbers[factor.argument][0]), merge=merge_counts, finish=finish
    )
