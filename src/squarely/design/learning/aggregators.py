"""What rows teach, each a fold: levels, means and deviations, the bases of polynomials and splines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from squarely.data import Batch, Source
from squarely.design.design import LearnedState
from squarely.design.encoding.basis import chebyshev_polynomials, inner_knots, make_spline, orthogonal_polynomials, require_varying
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
from squarely.design.learning.quantiles import Counts, merge_counts
from squarely.design.matrix.model_matrix import EvaluatedBatch
from squarely.errors import DataError
from squarely.numerics import ROUNDOFF, Array, Pair, dd_add, dd_divide, dd_multiply, dd_sum, is_constant, low_part, qr_r

# Of n values: n, their mean, the sum of squares about it, the least and the largest.
MeanAndSquares = tuple[int, Pair, float, float, float]
Extent = tuple[int, float, float]  # how many values there are, and the least and the largest


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Aggregator:
    """One thing to learn: a fold over the rows, and what becomes of its total."""

    update: Callable[[Batch, EvaluatedBatch], Any]
    merge: Callable[[Any, Any], Any]
    finish: Callable[[LearnedState, Any], LearnedState]


def levels_aggregator(factor: Categorical, source: Source, *, is_untyped: bool) -> Aggregator:
    """Learn the levels of a categorical factor; `is_untyped` is for a column named alone."""
    name = factor.name.name

    def merge(a: ObservedLevels, b: ObservedLevels) -> ObservedLevels:
        return a if len(a.rows) > MOST_LEVELS else merge_observed_levels(a, b)  # enough to be refused

    def finish(learnt: LearnedState, found: ObservedLevels) -> LearnedState:
        if source.partitioned:
            found = replace(found, rows=dict.fromkeys(found.rows, UNKNOWN_ROW))  # parts do not know how many rows are before them
        made = code_levels(factor, found, source, is_untyped=is_untyped)
        return replace(learnt, contrasts={**learnt.contrasts, factor.text: made})

    return Aggregator(
        update=lambda batch, seen: levels_in(batch.labels[name], seen.row_mask, batch.start), merge=merge, finish=finish
    )


def mean_aggregator(part: Standardize) -> Aggregator:
    """Learn a mean and a deviation, merged by the formula of Chan, Golub and LeVeque (1983), doi:10.1080/00031305.1983.10483115.

    The mean is kept in double-double: far from zero a double has too few digits of it.
    """

    def step(batch: Batch, seen: EvaluatedBatch) -> MeanAndSquares:
        hi, lo = seen.numbers[part.argument]
        x = hi, low_part(hi, lo)
        mean = dd_divide(dd_sum(x), _pair(len(hi)))
        squares = float(np.square(dd_add(x, (-mean[0], -mean[1]))[0]).sum())
        return len(hi), mean, squares, float(hi.min()), float(hi.max())

    def merge(a: MeanAndSquares, b: MeanAndSquares) -> MeanAndSquares:
        n = a[0] + b[0]
        away, share = dd_add(b[1], (-a[1][0], -a[1][1])), dd_divide(_pair(b[0]), _pair(n))
        squares = a[2] + b[2] + float(away[0]) ** 2 * a[0] * b[0] / n
        return n, dd_add(a[1], dd_multiply(away, share)), squares, min(a[3], b[3]), max(a[4], b[4])

    return Aggregator(update=step, merge=merge, finish=lambda learnt, total: add_standardization(part, learnt, total))


def _pair(x: float) -> Pair:
    return np.asarray(x, dtype=np.float64), np.zeros(())


def add_standardization(part: Standardize, learnt: LearnedState, total: MeanAndSquares) -> LearnedState:
    """Fix a mean and a deviation: zero for an argument that is constant up to rounding."""
    n, (mean, rest), squares, low, high = total
    deviation = float(np.sqrt(squares / (n - part.ddof))) if n > part.ddof else 0.0
    if is_constant(low, high, float(mean), deviation):
        deviation = 0.0
    moving = MeanAndDeviation(mean=float(mean), deviation=deviation, rest=float(rest))
    return replace(learnt, standardizations={**learnt.standardizations, part.text: moving})


def range_aggregator(factor: Basis) -> Aggregator:
    """Learn the range of the argument, which with knots makes a spline."""

    def step(batch: Batch, seen: EvaluatedBatch) -> tuple[float, float]:
        x = seen.numbers[factor.argument][0]
        return float(x.min()), float(x.max())

    def finish(learnt: LearnedState, ends: tuple[float, float]) -> LearnedState:
        if factor.kind != "poly":
            return add_spline(learnt, factor, np.array(factor.knots), ends)
        require_varying(factor.text, *ends)
        return replace(learnt, ranges={**learnt.ranges, factor.text: ends})

    return Aggregator(update=step, merge=lambda a, b: (min(a[0], b[0]), max(a[1], b[1])), finish=finish)


def polynomial_aggregator(factor: Basis, low: float, high: float) -> Aggregator:
    """Learn the polynomials that are orthogonal over the rows, by a QR, on a range that is known."""

    def step(batch: Batch, seen: EvaluatedBatch) -> Array:
        return qr_r(chebyshev_polynomials(seen.numbers[factor.argument][0], low, high, factor.degree))

    def finish(learnt: LearnedState, R: Array) -> LearnedState:
        sizes = np.abs(np.diag(R))
        if len(R) <= factor.degree:
            raise too_few_values_error(factor)
        if sizes.min() <= 1e-13 * sizes.max() * len(R):
            raise too_near_values_error(factor)
        return replace(learnt, bases={**learnt.bases, factor.text: orthogonal_polynomials(R, low, high)})

    return Aggregator(update=step, merge=lambda a, b: qr_r(np.vstack([a, b])), finish=finish)


def too_few_values_error(factor: Basis) -> DataError:
    """Say that a polynomial has too few different values to run through."""
    return DataError(
        f"{factor.text} wants more than {factor.degree} different values of its argument in the rows that are used, and there are "
        "not so many. Lower the degree."
    )


def too_near_values_error(factor: Basis) -> DataError:
    """Say that a polynomial has too few values that doubles tell apart: of their number, the columns say nothing."""
    return DataError(
        f"{factor.text} wants more than {factor.degree} different values of its argument in the rows that are used, far "
        "enough apart beside its range. There are too few, or some lie so far out that the others are as one. Lower the degree, "
        "or leave outlying rows out with where=."
    )


def knots_aggregator(factor: Basis) -> Aggregator:
    """Learn the knots of a spline with `df`: quantiles of all values."""

    def finish(learnt: LearnedState, values: list[Array]) -> LearnedState:
        x = np.concatenate(values)
        inner, errors = inner_knots(x, factor)
        return add_spline(learnt, factor, inner, (float(x.min()), float(x.max())), errors)

    return Aggregator(
        update=lambda batch, seen: [seen.numbers[factor.argument][0]],
        merge=lambda a, b: [*a, *b],  # the quantiles are exact, and need all values of this one column
        finish=finish,
    )


def extent_aggregator(factor: Basis) -> Aggregator:
    """Learn how many values the argument has and between which ends, where the values are not to be moved."""

    def step(batch: Batch, seen: EvaluatedBatch) -> Extent:
        x = seen.numbers[factor.argument][0]
        return len(x), float(x.min()), float(x.max())

    def merge(a: Extent, b: Extent) -> Extent:
        return a[0] + b[0], min(a[1], b[1]), max(a[2], b[2])

    return Aggregator(update=step, merge=merge, finish=lambda learnt, total: learnt)


def rank_aggregator(factor: Basis, counter: Callable[[Array], Counts]) -> Aggregator:
    """Learn how often the values of the argument begin so and so."""
    return Aggregator(
        update=lambda batch, seen: counter(seen.numbers[factor.argument][0]),
        merge=merge_counts,
        finish=lambda learnt, total: learnt,
    )


def add_spline(
    learnt: LearnedState, factor: Basis, inner: Array, ends: tuple[float, float], errors: Array | None = None
) -> LearnedState:
    """Fix a spline by its inner knots and the ends of the values; `errors` bound the rounding of knots that are quantiles."""
    if errors is None and factor.df is not None:
        errors = 4 * ROUNDOFF * np.abs(inner)
    made = make_spline(
        text=factor.text,
        kind=factor.kind,
        inner=inner,
        low=ends[0],
        high=ends[1],
        degree=factor.degree,
        intercept=factor.intercept,
        errors=errors,
    )
    return replace(learnt, bases={**learnt.bases, factor.text: made})
