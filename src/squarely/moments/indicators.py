"""Cross-products of blocks of many indicators, as sums by group: no dense column of them is ever made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from squarely.design import Piece, Spread
from squarely.numerics import Array


@dataclass(frozen=True, eq=False, slots=True)
class IndicatorSums:
    """Sums over rows for the g grouped columns, scaled.

    Attributes
    ----------
    across : (g, d + 1) their products with the dense columns [1, x, y].
    among : (g, g) their products with each other, a sparse matrix of SciPy.
    """

    across: Array
    among: Any

    def __add__(self, other: IndicatorSums) -> IndicatorSums:
        return IndicatorSums(self.across + other.across, self.among + other.among)

    def put(self, gram: Array, at: np.ndarray) -> None:
        """Put the products with each other into a matrix whose rows and columns `at` (g,) are those of the grouped columns."""
        found = self.among.tocoo()
        gram[at[found.row], at[found.col]] = found.data


def indicator_sums(piece: Piece, g: int) -> IndicatorSums:
    """Sum the products of a piece's indicators with its dense columns and with each other."""
    S = sparse(piece.spread, g, piece.Z.shape[1])
    return IndicatorSums(S.T @ piece.Z.T, S.T @ S)


def sparse(spread: Sequence[Spread], g: int, m: int) -> Any:
    """Make a sparse matrix (m, g) of blocks of indicators on the same rows."""
    from scipy.sparse import csr_array  # a tenth of a second to import, for indicators alone

    places = np.stack([part.places for part in spread], axis=1)  # (m, blocks)
    there = places >= 0
    values = np.stack([np.ones(m) if part.values is None else part.values for part in spread], axis=1)
    ends = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    return csr_array((values[there], places[there], ends), shape=(m, g))
