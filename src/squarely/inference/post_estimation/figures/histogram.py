"""`Histogram`: how many rows are in each cell of a plane, counted in one scan that does not know the ends beforehand.

The width of a cell is a power of two. A histogram that becomes too wide joins two cells to one, so that any cut of the rows into
batches and any order of merges gives the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from squarely.numerics import Array

_MOST_BITS = 51  # of the number of a cell, counted from zero: it is exact in a double


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Histogram:
    """Counts of rows.

    Attributes
    ----------
    counts : (a, b) for a cells along x and b cells along y, `most` of them at most.
    exponents : the widths of a cell along x and y are two to these.
    first : the first cell along x and y begins at this multiple of its width.
    """

    counts: Array
    exponents: tuple[int, int]
    first: tuple[int, int]
    most: int

    def edges(self, axis: int) -> Array:
        """Return the edges (a + 1,) of the cells along an axis."""
        places = np.arange(self.first[axis], self.first[axis] + self.counts.shape[axis] + 1)
        edges: Array = np.ldexp(places.astype(float), self.exponents[axis])
        return edges


def count_rows(x: Array, y: Array, frequencies: Array | None, *, most: int) -> Histogram:
    """Count rows (m,), m > 0, each as often as its frequency, with the finest cells that are at most `most` along an axis."""
    exponents = tuple(cell_exponent(float(values.min()), float(values.max()), most) for values in (x, y))
    i, j = (_cells_of(values, exponent) for values, exponent in zip((x, y), exponents, strict=True))
    first, size = (int(i.min()), int(j.min())), (int(np.ptp(i)) + 1, int(np.ptp(j)) + 1)
    counts = np.bincount((i - first[0]) * size[1] + j - first[1], frequencies, size[0] * size[1])
    return Histogram(counts=counts.reshape(size).astype(float), exponents=(exponents[0], exponents[1]), first=first, most=most)


def merge_histograms(a: Histogram, b: Histogram) -> Histogram:
    """Return the histogram of the rows of both."""
    for axis in (0, 1):
        exponent = max(a.exponents[axis], b.exponents[axis])
        a, b = _coarsen(a, axis, exponent), _coarsen(b, axis, exponent)
        while _end(a, b, axis) - min(a.first[axis], b.first[axis]) > a.most:
            exponent += 1
            a, b = _coarsen(a, axis, exponent), _coarsen(b, axis, exponent)
    first = min(a.first[0], b.first[0]), min(a.first[1], b.first[1])
    counts = np.zeros((_end(a, b, 0) - first[0], _end(a, b, 1) - first[1]))
    for each in (a, b):
        row, column = each.first[0] - first[0], each.first[1] - first[1]
        counts[row : row + each.counts.shape[0], column : column + each.counts.shape[1]] += each.counts
    return Histogram(counts=counts, exponents=a.exponents, first=first, most=a.most)


def cell_exponent(low: float, high: float, most: int) -> int:
    """Return the smallest exponent with which the values from low to high are in at most `most` cells."""
    exponent = math.frexp(max(abs(low), abs(high)))[1] - _MOST_BITS
    if high > low:
        exponent = max(exponent, math.frexp(high - low)[1] - most.bit_length() - 1)
    while _cell_of(high, exponent) - _cell_of(low, exponent) >= most:
        exponent += 1
    return exponent


def _cell_of(value: float, exponent: int) -> int:
    return math.floor(math.ldexp(value, -exponent))


def _cells_of(values: Array, exponent: int) -> np.ndarray:
    return np.floor(np.ldexp(values, -exponent)).astype(np.int64)


def _end(a: Histogram, b: Histogram, axis: int) -> int:
    ends = [each.first[axis] + each.counts.shape[axis] for each in (a, b)]
    return int(max(ends))


def _coarsen(histogram: Histogram, axis: int, exponent: int) -> Histogram:
    """Join the cells along an axis until their width is two to an exponent."""
    shift = exponent - histogram.exponents[axis]
    if shift == 0:
        return histogram
    places = np.arange(histogram.first[axis], histogram.first[axis] + histogram.counts.shape[axis]) >> min(shift, 62)
    starts = np.flatnonzero(np.diff(places, prepend=places[0] - 1))
    first, exponents = list(histogram.first), list(histogram.exponents)
    first[axis], exponents[axis] = int(places[0]), exponent
    counts = np.add.reduceat(histogram.counts, starts, axis=axis)
    return replace(histogram, counts=counts, exponents=(exponents[0], exponents[1]), first=(first[0], first[1]))
