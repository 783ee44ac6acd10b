"""Sum rows into cross-products of the design's columns; sparse ones for columns of indicators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from squarely.data import BATCH_ROWS, RowAccount, Source, scan_purpose
from squarely.design import Block, Design, ScaledBlock, fold_response_blocks, scaled_blocks
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


def add_each(one: Sequence[Any], other: Sequence[Any]) -> tuple[Any, ...]:
    """Add sums over some rows, one by one, to those over other rows."""
    return tuple(a + b for a, b in zip(one, other, strict=True))


@scan_purpose("cross-products")
def fold_products(design: Design, source: Source) -> tuple[Array, RowAccount]:
    """Sum the rows into the cross-products (k + 1, k + 1) of Moments, and account for them; there may be no row."""
    (gram,), account = fold_response_products([design], source)
    return gram, account


@scan_purpose("cross-products")
def fold_response_products(designs: Sequence[Design], source: Source) -> tuple[list[Array], RowAccount]:
    """Sum the rows once into the cross-products of designs that differ in their responses alone."""

    def step(blocks: Sequence[Block]) -> tuple[Any, ...]:
        products = [_sum_products(design, block) for design, block in zip(designs, blocks, strict=True)]
        return *(part for each in products for part in each), blocks[0].account

    size = len(designs[0].layout.dense) + 1
    start: tuple[Any, ...] = (*(np.zeros((size, size)), 0.0, 0.0) * len(designs), RowAccount())
    *sums, account = fold_response_blocks(designs, source, step, add_each, start, threads=fold_in_threads(designs[0]))
    return [_assemble_gram(design, *sums[3 * i : 3 * i + 3]) for i, design in enumerate(designs)], account


def _sum_products(design: Design, block: Block) -> tuple[Any, Any, Any]:
    """Return the products of the dense columns, of the indicators with these, and of the indicators."""
    size, grouped = len(design.layout.dense) + 1, len(design.layout.grouped)
    dense, mixed, sparse = np.zeros((size, size)), 0.0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for piece in scaled_blocks(design, block, rows_per_block(design)):
            dense += np.dot(piece.Z, piece.Z.T)  # np.dot and not @, which would block other threads
            if grouped:
                S = _sparse_indicators(piece, grouped)
                mixed, sparse = mixed + S.T @ piece.Z.T, sparse + S.T @ S
    return dense, mixed, sparse


def _sparse_indicators(piece: ScaledBlock, g: int) -> Any:
    """Return the indicators of a block as a sparse matrix (m, g + 1), whose last column has the rows without an indicator."""
    from scipy.sparse import csr_array  # takes a tenth of a second to import, and only indicators need it

    m, blocks = piece.Z.shape[1], len(piece.indicators)
    places = np.stack([np.where(column.places < 0, g, column.places) for column in piece.indicators], axis=1)  # (m, blocks)
    values = np.stack([np.ones(m) if column.values is None else column.values for column in piece.indicators], axis=1)
    return csr_array((values.ravel(), places.ravel(), np.arange(0, m * blocks + 1, blocks)), shape=(m, g + 1))


def _assemble_gram(design: Design, products: Array, mixed: Any, sparse: Any) -> Array:
    """Put cross-products into the order of the columns [1, x_1 ... x_p, y].

    `products` (d + 1, d + 1) are those of the dense columns, `mixed` (g + 1, d + 1) those of the indicators with these, and
    `sparse` (g + 1, g + 1) those of the indicators: a matrix of SciPy, or zero.
    """
    if isinstance(sparse, float):  # no indicators, or no rows
        return products
    layout = design.layout
    dense, grouped = np.concatenate([[0], layout.dense + 1]), layout.grouped + 1
    gram = np.zeros((len(dense) + len(grouped),) * 2)
    gram[np.ix_(dense, dense)] = products
    gram[np.ix_(grouped, dense)] = mixed[:-1]
    gram[np.ix_(dense, grouped)] = mixed[:-1].T
    entries = sparse[:-1, :-1].tocoo()
    gram[grouped[entries.row], grouped[entries.col]] = entries.data
    return gram
