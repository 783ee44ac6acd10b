"""Aggregators (update, merge, finish) for what a design learns from rows: levels, means, ranges, knots, polynomials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from squarely.data import Batch, Source
from squarely.design.design import LearnedState
from squarely.design.encoding.basis import (
    chebyshev_polynomials,
    inner_knots,
    inner_places,
    make_spline,
    orthogonal_polynomials,
    require_varying,
)
from squarely.design.encoding.categories import (
    MOST_LEVELS,
    UNKNOWN_ROW,
    ObservedLevels,
    code_levels,
    levels_in,
    merge_observed_levels,
)
from squarely.design.formula.expression import MeanAndDeviation, Standardize
from squarely.design.formula.factors import Basis, Categorical
from squarely.design.learning.quantiles import Search, merge_counts, quantiles_from_search, start_search
from squarely.design.matrix.model_matrix import EvaluatedBatch
from squarely.errors import DataError, pluralize
from squarely.numerics import ROUNDOFF, Array, Pair, dd_add, dd_divide, dd_multiply, dd_sum, is_constant, low_part, qr_r

# Of n values: n, their mean, the sum of squares about it, the smallest and the largest.
MeanAndSquares = tuple[int, Pair, float, float, float]
Extent = tuple[int, float, float]  # the number of values, the smallest and the largest


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Aggregator:
    """A fold over the rows that learns one thing.

    Attributes
    ----------
    update : makes a total of the complete rows of a batch. `merge` merges two totals.
    finish : makes the next state of the total of all rows, or an aggregator for one more pass.
    """

    update: Callable[[Batch, EvaluatedBatch], Any]
    merge: Callable[[Any, Any], Any]
    finish: Callable[[LearnedState, Any], LearnedState | Aggregator]


def levels_aggregator(factor: Categorical, source: Source, *, is_untyped: bool) -> Aggregator:
    """Learn the levels of a categorical factor; `is_untyped` is for a column named alone."""
    name = factor.name.name

    def merge(a: ObservedLevels, b: ObservedLevels) -> ObservedLevels:
        return a if len(a.rows) > MOST_LEVELS else merge_observed_levels(a, b)  # enough to be refused

    def finish(state: LearnedState, levels: ObservedLevels) -> LearnedState:
        if source.partitioned:  # a partition does not know how many rows come before it
            levels = replace(levels, rows=dict.fromkeys(levels.rows, UNKNOWN_ROW))
        return add_levels(state, factor, levels, source, is_untyped=is_untyped)

    return Aggregator(
        update=lambda batch, evaluated: levels_in(batch.labels[name], evaluated.row_mask, batch.start), merge=merge, finish=finish
    )


def add_levels(
    state: LearnedState, factor: Categorical, levels: ObservedLevels, source: Source, *, is_untyped: bool
) -> LearnedState:
    """Fix the levels of a categorical factor and its contrast."""
    coding = code_levels(factor, levels, source, is_untyped=is_untyped)
    return replace(state, contrasts={**state.contrasts, factor.text: coding})


def mean_aggregator(part: Standardize) -> Aggregator:
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

    return Aggregator(update=update, merge=merge, finish=lambda state, total: add_standardization(state, part, total))


def _pair(x: float) -> Pair:
    return np.asarray(x, dtype=np.float64), np.zeros(())


def add_standardization(state: LearnedState, part: Standardize, total: MeanAndSquares) -> LearnedState:
    """Fix a mean and a deviation: zero for an argument that is constant up to rounding."""
    n, (mean, rest), squares, low, high = total
    deviation = float(np.sqrt(squares / (n - part.ddof))) if n > part.ddof else 0.0
    if is_constant(low, high, float(mean), deviation):
        deviation = 0.0
    learned = MeanAndDeviation(mean=float(mean), deviation=deviation, rest=float(rest))
    return replace(state, standardizations={**state.standardizations, part.text: learned})


def range_aggregator(factor: Basis) -> Aggregator:
    """Learn the range of the argument, which with knots makes a spline."""

    def finish(state: LearnedState, extent: Extent) -> LearnedState:
        ends = extent[1:]
        return add_range(state, factor, ends) if factor.kind == "poly" else add_spline(state, factor, np.array(factor.knots), ends)

    return _extent_aggregator(factor, finish)


def add_range(state: LearnedState, factor: Basis, ends: tuple[float, float]) -> LearnedState:
    """Fix the range of the argument of a polynomial."""
    require_varying(factor.text, *ends)
    return replace(state, ranges={**state.ranges, factor.text: ends})


def _extent_aggregator(factor: Basis, finish: Callable[[LearnedState, Extent], LearnedState | Aggregator]) -> Aggregator:
    def update(batch: Batch, evaluated: EvaluatedBatch) -> Extent:
        x = evaluated.numbers[factor.argument][0]
        return len(x), float(x.min()), float(x.max())

    def merge(a: Extent, b: Extent) -> Extent:
        return a[0] + b[0], min(a[1], b[1]), max(a[2], b[2])

    return Aggregator(update=update, merge=merge, finish=finish)


def polynomial_aggregator(factor: Basis, low: float, high: float) -> Aggregator:
    """Learn the polynomials that are orthogonal over the rows, by a QR, on a range that is known."""

    def update(batch: Batch, evaluated: EvaluatedBatch) -> Array:
        return qr_r(chebyshev_polynomials(evaluated.numbers[factor.argument][0], low, high, factor.degree))

    def finish(state: LearnedState, R: Array) -> LearnedState:
        sizes = np.abs(np.diag(R))
        if len(R) <= factor.degree:
            raise DataError(
                f"{factor.text} needs more than {factor.degree} different values of its argument, and only "
                f"{pluralize(len(R), 'row')} are used. Lower the degree."
            )
        if sizes.min() <= 1e-13 * sizes.max() * len(R):
            raise too_near_values_error(factor)
        return replace(state, bases={**state.bases, factor.text: orthogonal_polynomials(R, low, high)})

    return Aggregator(update=update, merge=lambda a, b: qr_r(np.vstack([a, b])), finish=finish)


def too_near_values_error(factor: Basis) -> DataError:
    """Return the error for a polynomial with too few values that doubles can tell apart."""
    return DataError(
        f"{factor.text} needs more than {factor.degree} different values of its argument, far enough apart relative to its range, "
        "and the rows have too few of them. Lower the degree, or leave outlying rows out with where=."
    )


def knots_aggregator(factor: Basis) -> Aggregator:
    """Learn the knots of a spline with `df`: quantiles of all values, in one pass over rows of this process."""

    def finish(state: LearnedState, values: list[Array]) -> LearnedState:
        x = np.concatenate(values)
        inner, errors = inner_knots(x, factor)
        return add_spline(state, factor, inner, (float(x.min()), float(x.max())), errors)

    return Aggregator(
        update=lambda batch, evaluated: [evaluated.numbers[factor.argument][0]],
        merge=lambda a, b: [*a, *b],  # the quantiles are exact, and need all values of this one column
        finish=finish,
    )


def partitioned_knots_aggregator(factor: Basis) -> Aggregator:
    """Learn the knots of a spline with `df` from partitioned values: their extent, then quantiles by counting."""

    def finish(state: LearnedState, extent: Extent) -> LearnedState | Aggregator:
        places = inner_places(factor)
        if not len(places):
            return add_spline(state, factor, np.empty(0), extent[1:])
        return _rank_aggregator(factor, extent, start_search(extent[0], places))

    return _extent_aggregator(factor, finish)


def _rank_aggregator(factor: Basis, extent: Extent, search: Search) -> Aggregator:
    """Count the next few bits of the values of the ranks that are searched for."""
    counter = search.counter()

    def finish(state: LearnedState, counts: Any) -> LearnedState | Aggregator:
        narrowed = search.narrow(counts)
        if not narrowed.is_finished:
            return _rank_aggregator(factor, extent, narrowed)
        return add_spline(state, factor, quantiles_from_search(extent[0], inner_places(factor), narrowed), extent[1:])

    return Aggregator(
        update=lambda batch, evaluated: counter(evaluated.numbers[factor.argument][0]), merge=merge_counts, finish=finish
    )


def add_spline(
    state: LearnedState, factor: Basis, inner: Array, ends: tuple[float, float], errors: Array | None = None
) -> LearnedState:
    """Fix a spline by its inner knots and the ends of the values; `errors` bound the rounding of knots that are quantiles."""
    if errors is None and factor.df is not None:
        errors = 4 * ROUNDOFF * np.abs(inner)
    spline = make_spline(
        text=factor.text,
        kind=factor.kind,
        inner=inner,
        low=ends[0],
        high=ends[1],
        degree=factor.degree,
        intercept=factor.intercept,
        errors=errors,
    )
    return replace(state, bases={**state.bases, factor.text: spline})
