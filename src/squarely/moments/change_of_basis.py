"""From the scaled columns of one design to those of another: the matrix between them, exact to double-double."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from squarely.design import Combination, Design
from squarely.numerics import Array, Pair, dd_add, dd_multiply, dd_sum


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ChangeOfBasis:
    """A with Z_target = Z_source A, where each Z is [1, (x - c) / s, (y - c) / s] with its design's own columns, c and s.

    Attributes
    ----------
    A : (k + 1, l + 1) as double-double; its first row is what centres and constants differ by.
    layers : (rows, columns) of the entries that are not zero, layer t with the t-th of every column that has so many.
    """

    A: Pair
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    @property
    def ratio(self) -> float:
        """The scale of the response in the source over that in the target: a power of two."""
        return float(self.A[0][-1, -1])

    def right_multiply(self, M: Pair) -> Pair:
        """Return M A (m, l + 1) for M (m, k + 1), at the cost of the entries of A that are not zero."""
        hi, lo = np.zeros((len(M[0]), self.A[0].shape[1])), np.zeros((len(M[0]), self.A[0].shape[1]))
        for at, columns in self.layers:
            term = dd_multiply((M[0][:, at], M[1][:, at]), (self.A[0][at, columns], self.A[1][at, columns]))
            hi[:, columns], lo[:, columns] = dd_add((hi[:, columns], lo[:, columns]), term)
        return hi, lo

    def gram(self, G: Array) -> Pair:
        """Return A'GA (l + 1, l + 1) for symmetric G (k + 1, k + 1)."""
        half = self.right_multiply((G, np.zeros_like(G)))
        hi, lo = self.right_multiply((half[0].T, half[1].T))
        return hi, lo

    def gram_diagonal(self, G: Array) -> Array:
        """Return the diagonal (l + 1,) of A'GA for symmetric G (k + 1, k + 1)."""
        hi, lo = dd_sum(dd_multiply(self.A, self.right_multiply((G, np.zeros_like(G)))))
        return hi + lo

    def error_lengths(self, G: Array) -> Array:
        """Return the lengths (l + 1,) of the target's columns that rounding in G is in proportion to: |A|' those of the source."""
        lengths: Array = np.abs(self.A[0]).T @ np.sqrt(np.diag(G))
        return lengths

    def apply(self, v: Pair) -> Pair:
        """Return A v (k + 1,)."""
        return dd_sum(dd_multiply((self.A[0].T, self.A[1].T), (v[0][:, None], v[1][:, None])))

    def apply_transpose(self, v: Pair) -> Pair:
        """Return A'v (l + 1,)."""
        hi, lo = self.right_multiply((v[0][None], v[1][None]))
        return hi[0], lo[0]


def make_change_of_basis(combinations: Sequence[Combination], source: Design, target: Design) -> ChangeOfBasis:
    """Make the matrix from the target's columns as combinations of the source's, in the units of the data.

    Centres are short and scales powers of two, so nearly always nothing is rounded; what is, is rounded to double-double.
    """
    centres, scales = _fractions(source.column_centers), _fractions(source.column_scales)
    wanted = zip(_fractions(target.column_centers), _fractions(target.column_scales), strict=True)
    k = len(centres) - 1
    raw: list[Combination] = [{0: Fraction(1)}, *combinations, {k: Fraction(1)}]
    hi, lo = np.zeros((k + 1, len(raw))), np.zeros((k + 1, len(raw)))
    layers: list[tuple[list[int], list[int]]] = []
    for j, (combination, (centre, scale)) in enumerate(zip(raw, wanted, strict=True)):
        column = {i: weight * scales[i] / scale for i, weight in combination.items()}
        moved = sum((weight * centres[i] for i, weight in combination.items()), -centre) / scale
        column[0] = column.get(0, Fraction(0)) + moved
        entries = [(i, value) for i, value in column.items() if value]
        for t, (i, value) in enumerate(entries):
            hi[i, j] = float(value)
            lo[i, j] = float(value - Fraction(float(value)))
            if t == len(layers):
                layers.append(([], []))
            layers[t][0].append(i)
            layers[t][1].append(j)
    return ChangeOfBasis(A=(hi, lo), layers=tuple((np.array(rows), np.array(columns)) for rows, columns in layers))


def _fractions(values: Array) -> list[Fraction]:
    return [Fraction(value) for value in values.tolist()]
