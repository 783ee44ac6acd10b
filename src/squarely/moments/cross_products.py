"""Moments: cross-products of the design's columns, the one thing about the rows that both roads share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from squarely.data import BATCH_ROWS, RowAccount, Source, scan_purpose
from squarely.design import Block, Design, IndicatorColumn, ScaledBlock, fold_blocks, scaled_blocks
from squarely.numerics import Array

_CELLS = 2**22  # of a piece, 32 megabytes: few long steps gain more than caches do
_MIN_ROWS = 1_024  # rows
_MAX_THREADED_COLUMNS = 64  # columns; wider products are shared out by BLAS itself, and threads of ours would fight its own
Fold = Callable[[Design, Source], tuple[Array, RowAccount]]  # what works out the products of rows


def rows_per_block(design: Design) -> int:
    """Tell how many rows of a design are worked on at once."""
    return max(_MIN_ROWS, min(BATCH_ROWS, _CELLS // (len(design.layout.dense) + 1)))


def fold_in_threads(design: Design) -> bool:
    """Tell whether the batches of a design are shared out to threads."""
    return len(design.layout.dense) < _MAX_THREADED_COLUMNS


@dataclass(frozen=True, eq=False, slots=True)
class _ProductSums:
    """What a fold of cross-products gathers: of the dense columns (d + 1, d + 1), and of the indicators."""

    dense: Array
    indicators: IndicatorSums | None
    account: RowAccount


@scan_purpose("cross-products")
def fold_products(design: Design, source: Source) -> tuple[Array, RowAccount]:
    """Fold the rows into the cross-products (k + 1, k + 1) of Moments and an account; there may be no row."""
    size, grouped = len(design.layout.dense) + 1, len(design.layout.grouped)

    def step(block: Block) -> _ProductSums:
        dense, indicators = np.zeros((size, size)), None
        with np.errstate(over="ignore", invalid="ignore"):
            for piece in scaled_blocks(design, block, rows_per_block(design)):
                dense += np.dot(piece.Z, piece.Z.T)  # np.dot and not @, which would keep other threads waiting
                if grouped:
                    indicators = _join_indicators(indicators, indicator_sums(piece, grouped))
        return _ProductSums(dense, indicators, block.account)

    start = _ProductSums(np.zeros((size, size)), None, RowAccount())
    total = fold_blocks(design, source, step, _add, start, threads=fold_in_threads(design))
    return _assemble_gram(design, total), total.account


def _assemble_gram(design: Design, total: _ProductSums) -> Array:
    """Put the cross-products into the order of the columns [1, x_1 ... x_p, y]."""
    if total.indicators is None:
        return total.dense
    layout = design.layout
    dense, grouped = np.concatenate([[0], layout.dense + 1]), layout.grouped + 1
    gram = np.zeros((len(dense) + len(grouped),) * 2)
    gram[np.ix_(dense, dense)] = total.dense
    gram[np.ix_(grouped, dense)] = total.indicators.dense_products
    gram[np.ix_(dense, grouped)] = total.indicators.dense_products.T
    total.indicators.put(gram, grouped)
    return gram


def _add(a: _ProductSums, b: _ProductSums) -> _ProductSums:
    return _ProductSums(a.dense + b.dense, _join_indicators(a.indicators, b.indicators), a.account + b.account)


def _join_indicators(a: IndicatorSums | None, b: IndicatorSums | None) -> IndicatorSums | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


@dataclass(frozen=True, eq=False, slots=True)
class IndicatorSums:
    """Sums over rows for the g grouped columns, scaled.

    Attributes
    ----------
    dense_products : (g, d + 1) their products with the dense columns [1, x, y].
    indicator_products : (g, g) their products with each other, a sparse matrix of SciPy.
    """

    dense_products: Array
    indicator_products: Any

    def __add__(self, other: IndicatorSums) -> IndicatorSums:
        return IndicatorSums(self.dense_products + other.dense_products, self.indicator_products + other.indicator_products)

    def put(self, gram: Array, at: np.ndarray) -> None:
        """Put the products with each other into a matrix whose rows and columns `at` (g,) are those of the grouped columns."""
        found = self.indicator_products.tocoo()
        gram[at[found.row], at[found.col]] = found.data


def indicator_sums(piece: ScaledBlock, g: int) -> IndicatorSums:
    """Sum the products of a piece's indicators with its dense columns and with each other."""
    S = sparse_indicators(piece.indicators, g, piece.Z.shape[1])
    return IndicatorSums(S.T @ piece.Z.T, S.T @ S)


def sparse_indicators(spread: Sequence[IndicatorColumn], g: int, m: int) -> Any:
    """Make a sparse matrix (m, g) of blocks of indicators on the same rows."""
    from scipy.sparse import csr_array  # a tenth of a second to import, for indicators alone

    places = np.stack([part.places for part in spread], axis=1)  # (m, blocks)
    there = places >= 0
    values = np.stack([np.ones(m) if part.values is None else part.values for part in spread], axis=1)
    ends = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    return csr_array((values[there], places[there], ends), shape=(m, g))
