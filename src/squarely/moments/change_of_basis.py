"""The matrix from the scaled columns of one design to those of another, exact to double-double."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest

import numpy as np

from squarely.design import Combination, Design
from squarely.numerics import Array, Pair, dd_add, dd_multiply, dd_sum


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ChangeOfBasis:
    """A with Z_target = Z_source A, where each Z is [1, (x - c) / s, (y - c) / s] with the columns, c and s of its design.

    A (k + 1, l + 1) is double-double; its first row is the difference of centers and constants. `layers` has (rows, columns) of
    the entries that are not zero; layer t has the t-th such entry of every column.
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
        for rows, columns in self.layers:
            term = dd_multiply((M[0][:, rows], M[1][:, rows]), (self.A[0][rows, columns], self.A[1][rows, columns]))
            hi[:, columns], lo[:, columns] = dd_add((hi[:, columns], lo[:, columns]), term)
        return hi, lo

    def gram(self, G: Array) -> Pair:
        """Return A'GA (l + 1, l + 1) for symmetric G (k + 1, k + 1)."""
        half = self.right_multiply((G, np.zeros_like(G)))
        return self.right_multiply((half[0].T, half[1].T))

    def gram_diagonal(self, G: Array) -> Array:
        """Return the diagonal (l + 1,) of A'GA for symmetric G (k + 1, k + 1)."""
        hi, lo = dd_sum(dd_multiply(self.A, self.right_multiply((G, np.zeros_like(G)))))
        return hi + lo

    def error_lengths(self, G: Array) -> Array:
        """Return |A|' times the lengths of the source's columns (l + 1,): rounding in G is in proportion to them."""
        return np.abs(self.A[0]).T @ np.sqrt(np.diag(G))

    def apply(self, v: Pair) -> Pair:
        """Return A v (k + 1,)."""
        return dd_sum(dd_multiply((self.A[0].T, self.A[1].T), (v[0][:, None], v[1][:, None])))

    def apply_transpose(self, v: Pair) -> Pair:
        """Return A'v (l + 1,)."""
        hi, lo = self.right_multiply((v[0][None], v[1][None]))
        return hi[0], lo[0]


def make_change_of_basis(combinations: Sequence[Combination], source: Design, target: Design) -> ChangeOfBasis:
    """Return the matrix, given the target's columns as combinations of the source's in the units of the data.

    Centers are short and scales powers of two, so entries are nearly always exact; others are rounded to double-double.
    """
    centers, scales, target_centers, target_scales = (
        [Fraction(value) for value in values.tolist()]
        for values in (source.column_centers, source.column_scales, target.column_centers, target.column_scales)
    )
    k = len(centers) - 1
    raw: list[Combination] = [{0: Fraction(1)}, *combinations, {k: Fraction(1)}]
    hi, lo = np.zeros((k + 1, len(raw))), np.zeros((k + 1, len(raw)))
    entries: list[list[tuple[int, int]]] = []  # those of each column that are not zero
    for j, (combination, center, scale) in enumerate(zip(raw, target_centers, target_scales, strict=True)):
        column = {i: weight * scales[i] / scale for i, weight in combination.items()}
        shift = sum((weight * centers[i] for i, weight in combination.items()), -center) / scale
        column[0] = column.get(0, Fraction(0)) + shift
        entries.append([(i, j) for i, value in column.items() if value])
        for i, value in column.items():
            hi[i, j] = float(value)
            lo[i, j] = float(value - Fraction(float(value)))
    layers = [np.array([entry for entry in layer if entry is not None]).T for layer in zip_longest(*entries)]
    return ChangeOfBasis(A=(hi, lo), layers=tuple((rows, columns) for rows, columns in layers))
