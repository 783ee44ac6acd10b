"""A Block: complete rows as the columns of a design, and the scaled pieces of it that every fold works on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from squarely.data import RowAccount
from squarely.design.design import Design
from squarely.design.encoding.layout import ColumnLayout
from squarely.numerics import Array, two_sum

DenseColumn = tuple[Array, Array | None]  # a column (m,), and its low part if it is not plain doubles


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class IndicatorColumn:
    """A block of indicators on some rows.

    Attributes
    ----------
    places : (m,) the place of the nonzero of each row among the grouped columns, -1 where there is none.
    values : (m,) the nonzeros, with their low part `low`; None for ones.
    """

    places: np.ndarray
    values: Array | None = None
    low: Array | None = None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Block:
    """Complete rows as the k columns of a design: those of X without the intercept, and the response.

    Attributes
    ----------
    dense : the dense columns, in the order of `layout.dense`, the response (minus the offset) last.
    indicators : the blocks of indicators, in the order of `layout.blocks`.
    size : the number of rows m. `offset` (m,) the offset, or None.
    first_row : the position in the source of the first row of the batch.
    row_mask : which rows of the batch these are, None for all.
    account : the account of the rows of this batch.
    rounding_squares : returns the sums of squares (k,) of bounds of the rounding of each column; None if there is no rounding.
    ends : returns for the f `Design.cancellation_factors` the ends (2, f) between which a constant value lies; None if f is 0.
    """

    dense: Sequence[DenseColumn]
    indicators: Sequence[IndicatorColumn]
    size: int
    layout: ColumnLayout
    offset: Array | None
    first_row: int
    row_mask: np.ndarray | None
    account: RowAccount
    rounding_squares: Callable[[], Array] | None = None
    ends: Callable[[], Array] | None = None

    @property
    def rows(self) -> np.ndarray:
        """The positions (m,) of these rows in the source, counted from 0."""
        return self.first_row + (np.arange(self.size) if self.row_mask is None else np.flatnonzero(self.row_mask))

    @property
    def values(self) -> Array:
        """All columns as a table (m, k)."""
        table = np.zeros((len(self.dense) + len(self.layout.grouped), self.size))
        for j, (x, _) in zip(self.layout.dense.tolist(), self.dense, strict=True):
            table[j] = x
        for each in self.indicators:
            at = np.flatnonzero(each.places >= 0)
            table[self.layout.grouped[each.places[at]], at] = 1.0 if each.values is None else each.values[at]
        return np.ascontiguousarray(table.T)

    @property
    def response(self) -> Array:
        """The response (m,), minus the offset."""
        return self.dense[-1][0]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ScaledBlock:
    """Some rows of a block, centered and scaled, one column in each row of the tables.

    Attributes
    ----------
    Z : (d + 1, m) the dense columns [1, (x - c) / s, (y - c) / s]. `low` (d + 1, m) their low parts, or None.
    indicators : the blocks of indicators, with scaled values.
    """

    Z: Array
    low: Array | None
    indicators: Sequence[IndicatorColumn]


def scaled_blocks(design: Design, block: Block, size: int, *, low: bool = False) -> Iterator[ScaledBlock]:
    """Cut a block into scaled pieces of at most `size` rows; with `low` they are double-double.

    Scaling by a power of two is exact and the subtraction keeps its error, so nothing is lost. A piece reuses the memory of the
    piece before it: copy the tables to keep them.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # `moments` reports sums that are not finite
        for start in range(0, block.size, size):
            yield _scaled_block(design, block, slice(start, min(start + size, block.size)), low=low)


def _scaled_block(design: Design, block: Block, at: slice, *, low: bool) -> ScaledBlock:
    layout = block.layout
    Z, E = _tables(len(block.dense) + 1, at.stop - at.start, 2 if low else 1)
    Z[0] = 1.0
    for j, k in enumerate(layout.dense.tolist()):
        x, e = block.dense[j]
        if low:
            Z[j + 1] = x[at]
            continue
        np.subtract(x[at], design.centers[k], out=Z[j + 1])
        if e is not None:
            Z[j + 1] += e[at]
        if design.scales[k] != 1.0:
            Z[j + 1] *= 1.0 / design.scales[k]
    if low:
        _center_and_scale(design, block, at, Z, E)
    indicators = [_scale_indicators(design, block, i, at) for i in range(len(block.indicators))]
    return ScaledBlock(Z=Z, low=E if low else None, indicators=indicators)


_MEMORY = threading.local()


def _tables(rows: int, columns: int, count: int) -> tuple[Array, Array]:
    """Return two tables, or one twice, in memory that each thread reuses: threads wait for each other to get fresh memory."""
    size = rows * columns
    if getattr(_MEMORY, "tables", np.empty(0)).size < count * size:
        _MEMORY.tables = np.empty(count * size)
    first, last = _MEMORY.tables[:size], _MEMORY.tables[(count - 1) * size : count * size]
    return first.reshape(rows, columns), last.reshape(rows, columns)


def _center_and_scale(design: Design, block: Block, at: slice, Z: Array, E: Array) -> None:
    """Subtract the centers and scale high and low parts; all columns at once, in place."""
    dense = design.layout.dense
    E[0] = 0.0
    Z[1:], E[1:] = two_sum(Z[1:], -design.centers[dense][:, None])
    for j, (_, e) in enumerate(block.dense, start=1):
        if e is not None:
            Z[j], E[j] = two_sum(Z[j], E[j] + e[at])
    units = 1.0 / design.scales[dense][:, None]
    Z[1:] *= units
    E[1:] *= units


def _scale_indicators(design: Design, block: Block, i: int, at: slice) -> IndicatorColumn:
    indicator, lookup = block.indicators[i], block.layout.blocks[i].lookup
    unit = 1.0 / design.scales[block.layout.grouped[lookup.max()]]
    values, low = indicator.values, indicator.low
    return IndicatorColumn(
        places=indicator.places[at],
        values=None if values is None else values[at] * unit,
        low=None if low is None else low[at] * unit,
    )


def dense_table(piece: ScaledBlock, layout: ColumnLayout) -> tuple[Array, Array | None]:
    """Return all columns of a piece as one table [1, (x - c) / s, (y - c) / s] (k + 1, m), and its low parts if any."""
    if not piece.indicators:
        return piece.Z, piece.low
    m = piece.Z.shape[1]
    rows = np.concatenate([[0], layout.dense + 1])
    table = np.zeros((len(rows) + len(layout.grouped), m))
    table[rows] = piece.Z
    low = None if piece.low is None else np.zeros_like(table)
    if low is not None:
        low[rows] = piece.low
    for each in piece.indicators:
        at = np.flatnonzero(each.places >= 0)
        column = layout.grouped[each.places[at]] + 1
        table[column, at] = 1.0 if each.values is None else each.values[at]
        if low is not None and each.low is not None:
            low[column, at] = each.low[at]
    return table, low


def take_indicators(weights: Array, indicator: IndicatorColumn) -> Array:
    """Multiply a block of indicators with the weights (g,) of all grouped columns: (m,)."""
    total: Array = np.append(weights, 0.0)[indicator.places]
    return total if indicator.values is None else total * indicator.values
