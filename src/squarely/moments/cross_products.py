"""Sum rows into cross-products of the design's columns; sparse ones for columns of indicators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from squarely.data import BATCH_ROWS, RowAccount, Source, scan_purpose
from squarely.design import Block, Design, ScaledBlock, fold_blocks, scaled_blocks
from squarely.numerics import Array

_CELLS = 2**22  # of a block, 32 megabytes: a few large products are faster than many that fit a cache
_MIN_ROWS = 1_024
_MAX_THREADED_COLUMNS = 64  # BLAS shares out wider products itself, and our threads would compete with its own
Fold = Callable[[Design, Source], tuple[Array, RowAccount]]  # what `fold_products` does


def rows_per_block(design: Design) -> int:
    """Return the number of rows to multiply at once."""
    return max(_MIN_ROWS, min(BATCH_ROWS, _CELLS // (len(design.layout.dense) + 1)))


def fold_in_threads(design: Design) -> bool:
    """Return whether threads share out the batches of a design."""
    return len(design.layout.dense) < _MAX_THREADED_COLUMNS


@dataclass(frozen=True, eq=False, slots=True)
class _ProductSums:
    """Cross-products of the dense columns (d + 1, d + 1), of the g indicators with these (g, d + 1), and of the indicators.

    The last (g, g) are a sparse matrix of SciPy. Without indicators, both are zero.
    """

    dense: Array
    mixed: Array | float
    sparse: Any
    account: RowAccount

    def __add__(self, other: _ProductSums) -> _ProductSums:
        account = self.account + other.account
        return _ProductSums(self.dense + other.dense, self.mixed + other.mixed, self.sparse + other.sparse, account)


@scan_purpose("cross-products")
def fold_products(design: Design, source: Source) -> tuple[Array, RowAccount]:
    """Sum the rows into the cross-products (k + 1, k + 1) of Moments, and account for them; there may be no row."""
    size, grouped = len(design.layout.dense) + 1, len(design.layout.grouped)

    def step(block: Block) -> _ProductSums:
        total = np.zeros((size, size))
        mixed: Array | float = 0.0
        sparse: Any = 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            for piece in scaled_blocks(design, block, rows_per_block(design)):
                total += np.dot(piece.Z, piece.Z.T)  # np.dot and not @, which would block other threads
                if grouped:
                    S = _sparse_indicators(piece, grouped)
                    mixed, sparse = mixed + S.T @ piece.Z.T, sparse + S.T @ S
        return _ProductSums(total, mixed, sparse, block.account)

    start = _ProductSums(np.zeros((size, size)), 0.0, 0.0, RowAccount())
    total = fold_blocks(design, source, step, _ProductSums.__add__, start, threads=fold_in_threads(design))
    return _assemble_gram(design, total), total.account


def _sparse_indicators(piece: ScaledBlock, g: int) -> Any:
    """Return the indicators of a block as a sparse matrix (m, g)."""
    from scipy.sparse import csr_array  # takes a tenth of a second to import, and only indicators need it

    m = piece.Z.shape[1]
    places = np.stack([column.places for column in piece.indicators], axis=1)  # (m, blocks)
    present = places >= 0
    values = np.stack([np.ones(m) if column.values is None else column.values for column in piece.indicators], axis=1)
    ends = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    return csr_array((values[present], places[present], ends), shape=(m, g))


def _assemble_gram(design: Design, total: _ProductSums) -> Array:
    """Put the cross-products into the order of the columns [1, x_1 ... x_p, y]."""
    if isinstance(total.sparse, float):  # no indicators, or no rows
        return total.dense
    layout = design.layout
    dense, grouped = np.concatenate([[0], layout.dense + 1]), layout.grouped + 1
    gram = np.zeros((len(dense) + len(grouped),) * 2)
    gram[np.ix_(dense, dense)] = total.dense
    gram[np.ix_(grouped, dense)] = total.mixed
    gram[np.ix_(dense, grouped)] = np.asarray(total.mixed).T
    entries = total.sparse.tocoo()
    gram[grouped[entries.row], grouped[entries.col]] = entries.data
    return gram
