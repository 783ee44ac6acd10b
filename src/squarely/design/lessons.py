"""What rows teach, each a fold: levels, means and deviations, the bases of polynomials and splines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from squarely.data import Batch, Source
from squarely.design.basis import chebyshev, inner_knots, orthogonal, spline, varies
from squarely.design.categories import MOST_LEVELS, UNKNOWN_ROW, Found, coding, found_in, merged
from squarely.design.design import Learnt
from squarely.design.expression import Moved, Moving
from squarely.design.factor import Basis, Categorical
from squarely.design.quantiles import Counts, merged_counts
from squarely.design.rows import Evaluated
from squarely.errors import DataError
from squarely.numerics import Array, is_constant

Spread = tuple[int, float, float, float, float]  # of n values: n, their mean, the squares about it, the least and the largest
Extent = tuple[int, float, float]  # how many values there are, and the least and the largest


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Lesson:
    """One thing to learn: a fold over the rows, and what becomes of its total."""

    step: Callable[[Batch, Evaluated], Any]
    merge: Callable[[Any, Any], Any]
    finish: Callable[[Learnt, Any], Learnt]


def levels(factor: Categorical, source: Source, *, bare: bool) -> Lesson:
    """Learn the levels of a categorical factor; `bare` is for a column named alone."""
    name = factor.name.name

    def merge(a: Found, b: Found) -> Found:
        return a if len(a.rows) > MOST_LEVELS else merged(a, b)  # enough to be refused

    def finish(learnt: Learnt, found: Found) -> Learnt:
        if source.scattered:
            found = replace(found, rows=dict.fromkeys(found.rows, UNKNOWN_ROW))  # parts do not know how many rows are before them
        made = coding(factor, found, source, bare=bare)
        return replace(learnt, codings={**learnt.codings, factor.text: made})

    return Lesson(step=lambda batch, seen: found_in(batch.labels[name], seen.keep, batch.first), merge=merge, finish=finish)


def moving(part: Moved) -> Lesson:
    """Learn a mean and a deviation, merged by the formula of Chan, Golub and LeVeque (1983), doi:10.1080/00031305.1983.10483115."""

    def step(batch: Batch, seen: Evaluated) -> Spread:
        x = seen.numbers[part.argument][0]
        mean = float(x.mean())
        return len(x), mean, float(np.square(x - mean).sum()), float(x.min()), float(x.max())

    def merge(a: Spread, b: Spread) -> Spread:
        n, away = a[0] + b[0], b[1] - a[1]
        squares = a[2] + b[2] + away**2 * a[0] * b[0] / n
        return n, a[1] + away * b[0] / n, squares, min(a[3], b[3]), max(a[4], b[4])

    return Lesson(step=step, merge=merge, finish=lambda learnt, total: moved_by(part, learnt, total))


def moved_by(part: Moved, learnt: Learnt, total: Spread) -> Learnt:
    """Fix a mean and a deviation: zero for an argument that is constant up to rounding."""
    n, mean, squares, low, high = total
    deviation = float(np.sqrt(squares / (n - part.ddof))) if n > part.ddof else 0.0
    if is_constant(low, high, mean, deviation):
        deviation = 0.0
    return replace(learnt, moves={**learnt.moves, part.text: Moving(mean=mean, deviation=deviation)})


def limits(factor: Basis) -> Lesson:
    """Learn the range of the argument, which with knots makes a spline."""

    def step(batch: Batch, seen: Evaluated) -> tuple[float, float]:
        x = seen.numbers[factor.argument][0]
        return float(x.min()), float(x.max())

    def finish(learnt: Learnt, ends: tuple[float, float]) -> Learnt:
        if factor.kind != "poly":
            return with_spline(learnt, factor, np.array(factor.knots), ends)
        if not varies(*ends):
            raise too_few_values(factor)
        return replace(learnt, ranges={**learnt.ranges, factor.text: ends})

    return Lesson(step=step, merge=lambda a, b: (min(a[0], b[0]), max(a[1], b[1])), finish=finish)


def polynomial(factor: Basis, low: float, high: float) -> Lesson:
    """Learn the polynomials that are orthogonal over the rows, by a QR, on a range that is known."""

    def step(batch: Batch, seen: Evaluated) -> Array:
        return _qr(chebyshev(seen.numbers[factor.argument][0], low, high, factor.degree))

    def finish(learnt: Learnt, R: Array) -> Learnt:
        sizes = np.abs(np.diag(R))
        if len(R) <= factor.degree:
            raise too_few_values(factor)
        if sizes.min() <= 1e-13 * sizes.max() * len(R):
            raise too_near_values(factor)
        return replace(learnt, bases={**learnt.bases, factor.text: orthogonal(R, low, high)})

    return Lesson(step=step, merge=lambda a, b: _qr(np.vstack([a, b])), finish=finish)


def _qr(table: Array) -> Array:
    R: Array = np.linalg.qr(table, mode="r")  # type: ignore[assignment]  # with this mode it is R alone
    return R


def too_few_values(factor: Basis) -> DataError:
    """Say that a polynomial has too few different values to run through."""
    return DataError(
        f"{factor.text} wants more than {factor.degree} different values of its argument in the rows that are used, and there are "
        "not so many. Lower the degree."
    )


def too_near_values(factor: Basis) -> DataError:
    """Say that a polynomial has too few values that doubles tell apart: of their number, the columns say nothing."""
    return DataError(
        f"{factor.text} wants more than {factor.degree} different values of its argument in the rows that are used, far "
        "enough apart beside its range. There are too few, or some lie so far out that the others are as one. Lower the degree, "
        "or leave outlying rows out with where=."
    )


def knots(factor: Basis) -> Lesson:
    """Learn the knots of a spline with `df`: quantiles of all values."""

    def finish(learnt: Learnt, values: list[Array]) -> Learnt:
        x = np.concatenate(values)
        return with_spline(learnt, factor, inner_knots(x, factor), (float(x.min()), float(x.max())))

    return Lesson(
        step=lambda batch, seen: [seen.numbers[factor.argument][0]],
        merge=lambda a, b: [*a, *b],  # the quantiles are exact, and need all values of this one column
        finish=finish,
    )


def extent(factor: Basis) -> Lesson:
    """Learn how many values the argument has and between which ends, where the values are not to be moved."""

    def step(batch: Batch, seen: Evaluated) -> Extent:
        x = seen.numbers[factor.argument][0]
        return len(x), float(x.min()), float(x.max())

    def merge(a: Extent, b: Extent) -> Extent:
        return a[0] + b[0], min(a[1], b[1]), max(a[2], b[2])

    return Lesson(step=step, merge=merge, finish=lambda learnt, total: learnt)


def counting(factor: Basis, counter: Callable[[Array], Counts]) -> Lesson:
    """Learn how often the values of the argument begin so and so."""
    return Lesson(
        step=lambda batch, seen: counter(seen.numbers[factor.argument][0]),
        merge=merged_counts,
        finish=lambda learnt, total: learnt,
    )


def with_spline(learnt: Learnt, factor: Basis, inner: Array, ends: tuple[float, float]) -> Learnt:
    """Fix a spline by its inner knots and the ends of the values."""
    made = spline(
        text=factor.text,
        kind=factor.kind,
        inner=inner,
        low=ends[0],
        high=ends[1],
        degree=factor.degree,
        intercept=factor.intercept,
    )
    return replace(learnt, bases={**learnt.bases, factor.text: made})
