"""The rows of a fit in planes of what the fit says of them: as points, or as counts if there are many; and the most influential."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from squarely.data import scan_purpose
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.figures.drawn_rows import GRID, MOST_POINTS
from squarely.inference.post_estimation.figures.histogram import Histogram, count_rows, merge_histograms
from squarely.inference.post_estimation.influence.influence import labels_of
from squarely.inference.post_estimation.influence.largest import LargestRows, largest_of, merge_largest, shift_largest
from squarely.inference.post_estimation.influence.measures import RowInfluence, influence_model, measure_rows
from squarely.inference.scan import WhitenedRows, fold_whitened_rows
from squarely.numerics import Array

_LARGEST = 20  # rows by Cook's distance, which are drawn one by one, and a tenth of the rows at most, but three
_LABELED = 3  # of these
_MARGIN = 0.06  # of the range of y
_MOST_GROUPS, _ROWS_PER_GROUP = 20, 12  # of neighboring rows whose mean is drawn

Coordinates = Callable[[WhitenedRows, RowInfluence], Sequence[Sequence[Array]]]  # x, y and other values (m,) for each plane


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Plane:
    """Rows in the plane of x and y. Those without a value of both are left out.

    Attributes
    ----------
    points : (2 + c, n) x, y and other values of each row; (2 + c, 0) if there are more than `MOST_POINTS`.
    frequencies : (n,) how many rows each point is.
    histogram : the counts of rows instead; None if there are points.
    totals : (2 + c) sums of x, y and the other values over the cells along x, in which all rows have one cell along y.
    """

    points: Array
    frequencies: Array
    histogram: Histogram | None = None
    totals: Sequence[Histogram] = ()

    @property
    def ends(self) -> Array:
        """The ends (2, 2) of x and y, of the cells if rows are counted; NaN without a row."""
        if self.histogram is not None:
            return np.array([self.histogram.edges(axis)[[0, -1]] for axis in (0, 1)]).T
        if not self.points.size:
            return np.full((2, 2), np.nan)
        return np.array([self.points[:2].min(axis=1), self.points[:2].max(axis=1)])

    def means(self, value: int = 0, *, in_groups: bool = True) -> tuple[Array, Array]:
        """Return the means of x and of y, or of another value, of groups of neighboring rows, or of each cell or point."""
        if self.histogram is not None:
            counts = self.histogram.counts.sum(axis=1)
            x, sums = (self.totals[at].counts[counts > 0, 0] for at in (0, 1 + value))
            counts = counts[counts > 0]
            x = x / counts
        else:
            order = np.argsort(self.points[0], kind="stable")
            x, counts = self.points[0, order], self.frequencies[order]
            sums = self.points[1 + value, order] * counts
        if not in_groups:
            return x, sums / counts
        return _group_means(x, counts, sums, max(min(_MOST_GROUPS, int(counts.sum()) // _ROWS_PER_GROUP), 1))

    def distribution(self) -> tuple[Array, Array]:
        """Return the values of x in ascending order, and how much of the distribution is before the middle of each."""
        if self.histogram is not None:
            counts, edges = self.histogram.counts.sum(axis=1), self.histogram.edges(0)
            x = (edges[:-1] + edges[1:]) / 2
            x, counts = x[counts > 0], counts[counts > 0]
        else:
            order = np.argsort(self.points[0], kind="stable")
            x, counts = self.points[0, order], self.frequencies[order]
        return x, (np.cumsum(counts) - counts / 2) / counts.sum()


def _group_means(x: Array, counts: Array, sums: Array, groups: int) -> tuple[Array, Array]:
    """Return the means of x and of the summed value over groups of nearly equally many rows; equal x are in one group."""
    places = np.minimum((np.cumsum(counts) - counts / 2) / counts.sum() * groups, groups - 1).astype(int)
    starts = np.flatnonzero(np.diff(x, prepend=np.nan) != 0)
    places = np.repeat(places[starts], np.diff(np.append(starts, len(x))))
    n = np.bincount(places, counts, groups)
    filled = n > 0
    return (
        np.bincount(places, x * counts, groups)[filled] / n[filled],
        np.bincount(places, sums, groups)[filled] / n[filled],
    )


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RowsInPlanes:
    """Planes of the rows of a fit, and the rows with the largest Cook's distances, whose coordinates are `largest.further`."""

    planes: Sequence[Plane]
    largest: LargestRows


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class PanelRows:
    """The rows of one panel.

    Attributes
    ----------
    plane : where they are.
    largest : (2 + c, k) x, y and other values of those with the largest Cook's distances.
    labels : of the first of these.
    has_legend : whether the panel has the legend, which is the same in all panels of a figure.
    """

    plane: Plane
    largest: Array
    labels: Sequence[str]
    has_legend: bool

    @property
    def y_limits(self) -> tuple[float, float] | None:
        """The ends of y with all rows and a margin; None if there are none."""
        values = np.array([*self.plane.ends[:, 1], *self.largest[1]])
        values = values[np.isfinite(values)]
        if not values.size:
            return None
        margin = _MARGIN * float(np.ptp(values)) or 0.5
        return float(values.min()) - margin, float(values.max()) + margin


def panel_rows(fit: CoefficientStatistics, rows: RowsInPlanes) -> list[PanelRows]:
    """Return the rows of each panel."""
    labels = labels_of(fit.source, rows.largest.positions[:_LABELED])
    every = np.split(rows.largest.further, len(rows.planes))
    return [
        PanelRows(plane=plane, largest=largest, labels=labels, has_legend=i == 0)
        for i, (plane, largest) in enumerate(zip(rows.planes, every, strict=True))
    ]


@scan_purpose("figure")
def read_planes(fit: CoefficientStatistics, coordinates: Coordinates, cells: Sequence[int | None]) -> RowsInPlanes:
    """Scan the rows of a fit once. `cells` is how many there are at most in each direction of each plane, None for the usual grid.

    Raises
    ------
    DataError : the rows are not those of the fit.
    """
    n, model = fit.solution.moments.n, influence_model(fit.solution)
    usual = next(most for rows, most in GRID.items() if n <= rows)
    k = min(_LARGEST, max(_LABELED, n // 10))
    numbers = [0 if n <= MOST_POINTS else each or usual for each in cells]

    def step(rows: WhitenedRows) -> RowsInPlanes:
        measured = measure_rows(rows, model)
        values = coordinates(rows, measured)
        further = np.concatenate([np.stack(each) for each in values])
        planes = [_count(np.stack(each), rows.frequencies, most) for each, most in zip(values, numbers, strict=True)]
        return RowsInPlanes(planes=planes, largest=largest_of(rows, model, "cooks_d", k, further))

    def merge(a: RowsInPlanes, b: RowsInPlanes) -> RowsInPlanes:
        planes = [_merge(*pair) for pair in zip(a.planes, b.planes, strict=True)]
        return RowsInPlanes(planes=planes, largest=merge_largest(a.largest, b.largest, k))

    def shift(rows: RowsInPlanes, by: int) -> RowsInPlanes:
        return replace(rows, largest=shift_largest(rows.largest, by))

    return fold_whitened_rows(fit.solution, fit.source, step, merge, shift=shift)


def _count(values: Array, frequencies: Array | None, most: int) -> Plane:
    """Return the plane of values (2 + c, m), with at most some cells, or with points if that is 0."""
    defined = np.isfinite(values).all(axis=0)
    counts = np.ones(values.shape[1]) if frequencies is None else frequencies
    if not defined.all():
        values, counts = values[:, defined], counts[defined]
    if not most or not values.size:
        return Plane(points=values, frequencies=counts)
    x, y = values[:2]
    nothing = np.zeros_like(x)
    totals = [count_rows(x, nothing, each * counts, most=most) for each in values]
    histogram = count_rows(x, y, frequencies if frequencies is None else counts, most=most)
    return Plane(points=values[:, :0], frequencies=counts[:0], histogram=histogram, totals=totals)


def _merge(a: Plane, b: Plane) -> Plane:
    if a.histogram is not None and b.histogram is not None:
        totals = [merge_histograms(*pair) for pair in zip(a.totals, b.totals, strict=True)]
        return replace(a, histogram=merge_histograms(a.histogram, b.histogram), totals=totals)
    if a.histogram is not None or b.histogram is not None:
        return a if a.histogram is not None else b  # the other has no row with a value
    return Plane(points=np.concatenate([a.points, b.points], axis=1), frequencies=np.concatenate([a.frequencies, b.frequencies]))


def fitted_values(rows: WhitenedRows, image: Array, scale: float, center: float) -> Array:
    """Return z'b (m,) of scaled columns z in the unit of the response, without weights; `image` is W^-1 b for v = W'z."""
    values = scale * (image @ rows.V)
    return values / roots_of(rows) + center


def roots_of(rows: WhitenedRows) -> Array | float:
    """Return the roots of the weights (m,), one without weights."""
    return 1.0 if rows.weights is None else np.sqrt(rows.weights)
