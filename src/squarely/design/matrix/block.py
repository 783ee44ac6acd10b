"""A Block: complete rows as the design's columns, and the scaled pieces of it that every fold works on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from squarely.data import RowAccount
from squarely.design.design import Design
from squarely.design.encoding.layout import ColumnLayout
from squarely.numerics import Array, two_sum

DenseColumn = tuple[Array, Array | None]  # a column (m,), and what rounding took from it if it is not plain doubles


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class IndicatorColumn:
    """A block of indicators on some rows.

    Attributes
    ----------
    places : (m,) the place of each row's nonzero among the grouped columns, -1 where there is none.
    values : (m,) what stands there, with its low part `low`; None for ones.
    """

    places: np.ndarray
    values: Array | None = None
    low: Array | None = None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Block:
    """Rows that are complete, as the design's k columns: those of X without the intercept, and the response.

    Attributes
    ----------
    dense : the dense columns, in the order of `layout.dense`, the response (less the offset) last.
    indicators : the blocks of indicators, in the order of `layout.blocks`.
    size : the number of rows m. `offset` (m,) the offset, or None.
    first_row : the position in the source of the first row of the batch; `row_mask` which rows of the batch these are, None for all.
    account : the account of the rows of this batch, those left out among them.
    rounding_squares : gives the sums of squares (k,) of bounds of what rounding has done to each column; None where it has done nothing.
    ends : gives for each factor in `Design.cancellation_factors` between which ends (2, f) a constant may be: see `rows`. None if there are none.
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
        """The positions of these rows (m,) in the source, counted from 0: what is aligned with the source is taken by them."""
        return self.first_row + (np.arange(self.size) if self.row_mask is None else np.flatnonzero(self.row_mask))

    @property
    def values(self) -> Array:
        """All columns as a table (m, k)."""
        table = np.zeros((len(self.dense) + len(self.layout.grouped), self.size))
        for j, (x, _) in zip(self.layout.dense.tolist(), self.dense, strict=True):
            table[j] = x
        for spread in self.indicators:
            at = np.flatnonzero(spread.places >= 0)
            table[self.layout.grouped[spread.places[at]], at] = 1.0 if spread.values is None else spread.values[at]
        return np.ascontiguousarray(table.T)

    @property
    def response(self) -> Array:
        """The response (m,), less the offset."""
        return self.dense[-1][0]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ScaledBlock:
    """Some rows of a block, scaled by powers of two about short centres, one column in each row of the tables.

    Attributes
    ----------
    Z : (d + 1, m) the columns [1, (x - c) / s, (y - c) / s] that are held densely.
    low : (d + 1, m) what rounding took from Z, None if nothing or if it was not asked for.
    indicators : the blocks of indicators; their values are scaled too.
    """

    Z: Array
    low: Array | None
    indicators: Sequence[IndicatorColumn]


def scaled_blocks(design: Design, block: Block, size: int, *, low: bool = False) -> Iterator[ScaledBlock]:
    """Cut a block into scaled pieces of at most `size` rows; with `low` what rounding takes is kept.

    Scaling by a power of two is exact and the subtraction is kept with its error, so nothing is lost: double-double. The tables of
    a piece lie where those of the piece before lay: whoever wants to keep them copies them.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a sum that is not finite is an error of its own, in moments
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
    spread = [_scale_indicators(design, block, i, at) for i in range(len(block.indicators))]
    return ScaledBlock(Z=Z, low=E if low else None, indicators=spread)


_MEMORY = threading.local()


def _tables(rows: int, columns: int, count: int) -> tuple[Array, Array]:
    """Give two tables (the second is the first again if one is enough), each thread its own, in the memory it used before.

    Fresh memory would have to be asked for and cleared by the system each time, for which threads wait for each other.
    """
    size = rows * columns
    if getattr(_MEMORY, "tables", np.empty(0)).size < count * size:
        _MEMORY.tables = np.empty(count * size)
    first, last = _MEMORY.tables[:size], _MEMORY.tables[(count - 1) * size : count * size]
    return first.reshape(rows, columns), last.reshape(rows, columns)


def _center_and_scale(design: Design, block: Block, at: slice, Z: Array, E: Array) -> None:
    """Subtract the centres from columns and scale both what is left and what rounding takes; all columns at once, in place."""
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
    spread, lookup = block.indicators[i], block.layout.blocks[i].lookup
    unit = 1.0 / design.scales[block.layout.grouped[lookup.max()]]
    values, low = spread.values, spread.low
    return IndicatorColumn(
        places=spread.places[at],
        values=None if values is None else values[at] * unit,
        low=None if low is None else low[at] * unit,
    )


def dense_table(piece: ScaledBlock, layout: ColumnLayout) -> tuple[Array, Array | None]:
    """Put a piece's columns, indicators too, into one table [1, (x - c) / s, (y - c) / s] (k + 1, m), with its low parts if any."""
    if not piece.indicators:
        return piece.Z, piece.low
    m = piece.Z.shape[1]
    rows = np.concatenate([[0], layout.dense + 1])
    table = np.zeros((len(rows) + len(layout.grouped), m))
    table[rows] = piece.Z
    low = None if piece.low is None else np.zeros_like(table)
    if low is not None:
        low[rows] = piece.low
    for spread in piece.indicators:
        at = np.flatnonzero(spread.places >= 0)
        column = layout.grouped[spread.places[at]] + 1
        table[column, at] = 1.0 if spread.values is None else spread.values[at]
        if low is not None and spread.low is not None:
            low[column, at] = spread.low[at]
    return table, low


def take_indicators(weights: Array, spread: IndicatorColumn) -> Array:
    """Multiply indicators on some rows with the weights (g,) of all grouped columns: (m,)."""
    total: Array = np.append(weights, 0.0)[spread.places]
    return total if spread.values is None else total * spread.values
