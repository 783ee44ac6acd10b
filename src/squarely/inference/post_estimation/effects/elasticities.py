"""Average elasticities: slopes relative to the prediction or to the column, with their gradient in the coefficients.

With the prediction y = X b and the slope d = D b in a row, x d / y has the gradient x (D / y - d X / y^2). It is not linear in b,
so the rows are read, unless all columns are set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from squarely.data import Level
from squarely.design import FactorValues
from squarely.errors import DataError
from squarely.exact import Solution
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.effects.averages import Average
from squarely.inference.post_estimation.effects.row_sums import Label, RowSum, levels_of
from squarely.inference.post_estimation.effects.scan import LabeledRows, Sums, fold_labeled_rows, require_rows
from squarely.inference.post_estimation.effects.settings import coding_of, find_level
from squarely.inference.post_estimation.effects.terms import Request, Term, Terms
from squarely.moments import rows_per_block
from squarely.numerics import Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Elasticity:
    """How to compute an elasticity in a row: the terms of its prediction and of its slope, and what is set."""

    prediction: Sequence[Term]
    slope: Sequence[Term]
    variable: str
    settings: Mapping[str, float]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Piece:
    """Some rows: columns of numbers (m,) of the data, and codes (m,) of levels."""

    numbers: Mapping[str, Array]
    codes: Mapping[str, np.ndarray]
    size: int


def average_elasticities(
    fit: CoefficientStatistics, requests: Sequence[Request], by: tuple[str, ...], slope: str
) -> list[list[Average]]:
    """Return for each request, which has a variable, the average in each group; `slope` is "eyex", "eydx" or "dyex".

    Raises
    ------
    DataError : there are no rows to read, or a row has no elasticity, because its prediction is zero.
    """
    terms = Terms(fit.design, ())
    wanted = [
        _Elasticity(
            prediction=list(terms.of(Request(point=request.point))),
            slope=list(terms.of(request)),
            variable=str(request.variable),
            settings=request.point.numbers,
        )
        for request in requests
    ]
    sums = [term.sum for each in wanted for term in (*each.prediction, *each.slope)]
    are_set = all(each.variable in each.settings for each in wanted) and not any(s.parts or s.derived or s.cells for s in sums)
    if are_set and not by:
        table = _elasticities(_Piece(numbers={}, codes={}, size=1), fit.solution, wanted, slope)
        return [[_average((), each[:, 0])] for each in table]
    require_rows(fit.design, fit.source, [*sums, RowSum(others=by)])
    categories = tuple(name for name in terms.categories if any(name in each.cells for each in sums))
    work = partial(_sum_rows, solution=fit.solution, wanted=wanted, slope=slope)
    found = fold_labeled_rows(fit.solution, fit.source, work, categories, by)
    groups = sorted(found[0], key=lambda label: _order(fit, by, label))
    values = {label: tuple(_level(fit, name, value) for name, value in zip(by, label, strict=True)) for label in groups}
    return [[_average(values[label], found[i][label] / found[0][label]) for label in groups] for i in range(1, len(wanted) + 1)]


def _average(group: Label, row: Array) -> Average:
    return Average(group=group, z=row[1:], offset=0.0, value=float(row[0]))


def _level(fit: CoefficientStatistics, name: str, value: Level) -> Level:
    """Return the level of the fit that a label of the rows is."""
    coding = coding_of(fit, name)
    found = None if coding is None else find_level(coding, value)
    return value if found is None else found[0]


def _order(fit: CoefficientStatistics, by: Sequence[str], label: Label) -> list[tuple[object, ...]]:
    """Return what the groups are sorted by: the places of levels, and the values of other columns."""
    order: list[tuple[object, ...]] = []
    for name, value in zip(by, label, strict=True):
        coding = coding_of(fit, name)
        order.append((isinstance(value, str), value) if coding is None else (coding.levels.index(_level(fit, name, value)),))
    return order


def _sum_rows(rows: LabeledRows, *, solution: Solution, wanted: Sequence[_Elasticity], slope: str) -> Sums:
    """Sum the weights, as 0, and each elasticity with its gradient (1 + p + 1,), as 1, 2, ..., in each group."""
    design, count = solution.moments.design, len(rows.labels)
    totals = np.zeros((count, len(wanted), len(design.columns) + 2))
    step = rows_per_block(design)
    for start in range(0, rows.block.size, step):
        at = slice(start, min(start + step, rows.block.size))
        numbers = {name: x[at] for name, x in rows.block.columns.items()}
        piece = _Piece(numbers=numbers, codes={name: x[at] for name, x in rows.codes.items()}, size=at.stop - at.start)
        table = _elasticities(piece, solution, wanted, slope) * rows.weights[at]
        for g in np.unique(rows.group[at]).tolist():
            totals[g] += table[:, :, rows.group[at] == g].sum(axis=2)
    weights = np.bincount(rows.group, rows.weights, count)
    sums = {0: dict(zip(rows.labels, weights, strict=True))}
    return sums | {i + 1: dict(zip(rows.labels, totals[:, i], strict=True)) for i in range(len(wanted))}


def _elasticities(piece: _Piece, solution: Solution, wanted: Sequence[_Elasticity], slope: str) -> Array:
    """Return for each elasticity its value and its gradient over the scale of the response (w, 1 + p + 1, m)."""
    design = solution.moments.design
    scale, (hi, lo) = float(design.scales[-1]), solution.scaled_params
    b = np.zeros(len(design.columns) + 1)
    b[solution.factor.columns] = hi + lo
    table = np.empty((len(wanted), len(b) + 1, piece.size))
    for row, each in zip(table, wanted, strict=True):
        D, offset_slope = _scaled_rows(piece, solution, each, is_slope=True)
        d = scale * (b @ D) + offset_slope
        x = piece.numbers[each.variable] if each.variable not in each.settings else each.settings[each.variable]
        if slope == "dyex":
            row[0], row[1:] = x * d, x * D
            continue
        X, offset = _scaled_rows(piece, solution, each, is_slope=False)
        y = design.centers[-1] + scale * (b @ X) + offset
        factor = x if slope == "eyex" else 1.0
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            row[0], row[1:] = factor * d / y, factor * (D / y - d / y**2 * X)
        if not np.isfinite(row[0]).all():
            raise DataError(
                f"slope={slope!r} is relative to the prediction, which is zero in some rows. Use slope='dydx', or set other values "
                "in at=."
            )
    return table


def _scaled_rows(piece: _Piece, solution: Solution, wanted: _Elasticity, *, is_slope: bool) -> tuple[Array, Array]:
    """Return the rows of [1, (x - center) / scale] or of their derivatives (p + 1, m), and the offset or its derivative (m,)."""
    design = solution.moments.design
    p = len(design.columns)
    table = np.zeros((p + 1, piece.size))
    factors: dict[tuple[tuple[str, float], ...], FactorValues] = {}
    for term in wanted.slope if is_slope else wanted.prediction:
        settings = term.sum.settings
        if settings not in factors:
            factors[settings] = FactorValues(design, piece.numbers, dict(settings), piece.size)
        hi, lo = factors[settings].product(term.sum.parts)
        values = term.scalar * (hi if lo is None else hi + lo)
        if term.sum.derived is not None:
            values = values * factors[settings].derivative(*term.sum.derived)
        for name, function in term.functions.items():
            (levels,) = levels_of(design, [name])
            values = values * np.array([function.get(level, 0.0) for level in levels])[piece.codes[name]]
        table[term.column] += values
    level = 0.0 if is_slope else 1.0
    z = (table[:p] - level * design.centers[:-1, None]) / design.scales[:-1, None]
    return np.vstack([np.full((1, piece.size), level), z]), table[p]
