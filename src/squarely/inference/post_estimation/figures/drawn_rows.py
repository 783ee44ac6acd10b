"""The rows of a fit in the plane of one predictor and the response: as points, or as counts if there are many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from squarely.data import Source, is_aggregate_only, scan_purpose
from squarely.design import Block, Design, fold_blocks
from squarely.exact import Solution, require_same_rows, sum_block
from squarely.inference.post_estimation.figures.histogram import Histogram, cell_exponent, count_rows, merge_histograms
from squarely.moments import Moments, count_cells, ends_in_plane, fold_in_threads, rows_per_block
from squarely.numerics import Array

MOST_POINTS = 10_000
GRID = {200_000: 128, math.inf: 256}  # in each direction, up to so many rows: few rows leave small cells empty


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class DrawnRows:
    """The rows of a fit.

    Attributes
    ----------
    x_limits, y_limits : the ends of the predictor and of the response.
    points : (2, n) predictor and response of each row; None if there are more than `MOST_POINTS`.
    histogram : the counts of rows instead, over log2 of the predictor on a log axis; None if there are points.
    """

    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    points: Array | None
    histogram: Histogram | None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Part:
    """What some rows give: their number, sums of scaled columns, ends (2, 2) of x and y, and points or a histogram."""

    used: int = 0
    sums: Array | float = 0.0
    low: Array | float = np.inf
    high: Array | float = -np.inf
    points: Sequence[Array] = ()
    histogram: Histogram | None = None


@scan_purpose("figure")
def read_rows(solution: Solution, source: Source, name: str, *, log_x: bool) -> DrawnRows:
    """Scan the rows of a fit once, for the predictor `name` and the response; with `log_x` cells are equally wide on a log axis.

    Raises
    ------
    DataError : the rows are not those of the fit.
    """
    moments = solution.moments
    design = moments.design
    most = next(cells for rows, cells in GRID.items() if moments.n <= rows)
    if is_aggregate_only(source):
        return _count_in_engine(moments, source, name, most, log_x=log_x)
    cells = 0 if moments.n <= MOST_POINTS else most
    work = partial(_read_block, design=design, name=name, cells=cells, log_x=log_x)
    part = fold_blocks(design, source, work, _merge, _Part(), threads=fold_in_threads(design))
    require_same_rows(source, moments, part.used, np.broadcast_to(part.sums, len(moments.gram)))
    low, high = np.broadcast_to(part.low, 2).tolist(), np.broadcast_to(part.high, 2).tolist()
    points = np.concatenate(part.points, axis=1) if part.points else None
    return DrawnRows(x_limits=(low[0], high[0]), y_limits=(low[1], high[1]), points=points, histogram=part.histogram)


def _count_in_engine(moments: Moments, source: Source, name: str, most: int, *, log_x: bool) -> DrawnRows:
    """Let the engine find the ends of the rows, and count them: no row leaves it, however few there are."""
    n, ends = ends_in_plane(source, moments.design, name)
    require_same_rows(source, moments, n, moments.gram[0])
    low, high = ends.tolist()
    left, right = (np.log2(ends[:, 0]) if log_x else ends[:, 0]).tolist()
    exponents = cell_exponent(left, right, most), cell_exponent(low[1], high[1], most)
    i, j, counts = count_cells(source, moments.design, name, exponents, log_x=log_x).T
    table = np.zeros((np.ptp(i) + 1, np.ptp(j) + 1))
    table[i - i.min(), j - j.min()] = counts
    histogram = Histogram(counts=table, exponents=exponents, first=(int(i.min()), int(j.min())), most=most)
    return DrawnRows(x_limits=(low[0], high[0]), y_limits=(low[1], high[1]), points=None, histogram=histogram)


def _read_block(block: Block, *, design: Design, name: str, cells: int, log_x: bool) -> _Part:
    """Return the points of a block, or its histogram if there is a number of cells."""
    if block.size == 0:
        return _Part()
    y = block.response if block.offset is None else block.response + block.offset
    values = np.stack([block.columns[name], y])
    part = _Part(
        used=block.size,
        sums=sum_block(design, block, rows_per_block(design)),
        low=values.min(axis=1),
        high=values.max(axis=1),
    )
    if not cells:
        return replace(part, points=[values])
    frequencies = block.weights if design.formula.has_frequencies else None
    return replace(part, histogram=count_rows(np.log2(values[0]) if log_x else values[0], y, frequencies, most=cells))


def _merge(a: _Part, b: _Part) -> _Part:
    found = [each for each in (a.histogram, b.histogram) if each is not None]
    return _Part(
        used=a.used + b.used,
        sums=a.sums + b.sums,
        low=np.minimum(a.low, b.low),
        high=np.maximum(a.high, b.high),
        points=[*a.points, *b.points],
        histogram=merge_histograms(*found) if len(found) == 2 else next(iter(found), None),
    )
