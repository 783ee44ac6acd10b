"""A Block: complete rows as the columns of a design, and the scaled pieces of it that every fold works on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from squarely.data import CategoricalColumn, RowAccount
from squarely.design.design import Design
from squarely.design.encoding.absorbed_effects import Codes, DenseColumn
from squarely.design.encoding.layout import ColumnLayout
from squarely.numerics import Array, dd_multiply, low_part, two_product, two_sum


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

    @property
    def nonzeros(self) -> Array:
        """The nonzeros (m,), ones included."""
        return np.ones(len(self.places)) if self.values is None else self.values


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Block:
    """Complete rows as the k columns of a design: those of X without the intercept, and the response.

    Attributes
    ----------
    dense : the dense columns, in the order of `layout.dense`, the response (minus the offset) last.
    indicators : the blocks of indicators, in the order of `layout.blocks`.
    size : the number of rows m. `offset` (m,) the offset with the absorbed effects of the response, or None.
    first_row : the position in the source of the first row of the batch.
    row_mask : which rows of the batch these are.
    account : the account of the rows of this batch.
    groups : the columns of `Formula.groups`, by name, in these rows; those of the effects, too.
    codes : the places (m,) of these rows among the levels of each effect that is absorbed.
    columns : the columns (m,) of numbers of the data that the formula reads, by name.
    weights : (m,) the weights or frequencies of these rows, all above zero; None for one each.
    rounding_squares : returns the sums of squares (k,) of bounds of the rounding of each column; None if there is no rounding.
    ends : returns for the f `Design.cancellation_factors` the ends (2, f) between which a constant value lies; None if f is 0.
    """

    dense: Sequence[DenseColumn]
    indicators: Sequence[IndicatorColumn]
    size: int
    layout: ColumnLayout
    offset: Array | None
    first_row: int
    row_mask: np.ndarray
    account: RowAccount
    groups: Mapping[str, CategoricalColumn] = field(default_factory=dict)
    codes: Codes = ()
    columns: Mapping[str, Array] = field(default_factory=dict)
    weights: Array | None = None
    rounding_squares: Callable[[], Array] | None = None
    ends: Callable[[], Array] | None = None

    @property
    def rows(self) -> np.ndarray:
        """The positions (m,) of these rows in the source, counted from 0."""
        return self.first_row + np.flatnonzero(self.row_mask)

    @property
    def columns_by_row(self) -> Array:
        """All columns as a table (k, m), one in each row of it."""
        nonzeros = [(each.places, each.nonzeros) for each in self.indicators]
        return _join_columns([x for x, _ in self.dense], nonzeros, self.layout.dense, self.layout.grouped)

    @property
    def values(self) -> Array:
        """All columns as a table (m, k)."""
        return np.ascontiguousarray(self.columns_by_row.T)

    @property
    def response(self) -> Array:
        """The response (m,), minus the offset and the absorbed effects."""
        return self.dense[-1][0]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class PartialBlock:
    """Some columns of X on m rows: the dense ones by position, and blocks of indicators at `grouped` positions."""

    dense: Mapping[int, DenseColumn]
    grouped: np.ndarray
    indicators: Sequence[IndicatorColumn]
    size: int


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ScaledBlock:
    """Some rows of a block, centered and scaled, one column in each row of the tables.

    Attributes
    ----------
    Z : (d + 1, m) the dense columns [1, (x - c) / s, (y - c) / s]. `low` (d + 1, m) their low parts, or None.
    indicators : the blocks of indicators, with scaled values.

    Weighted rows are multiplied by the roots of their weights, so that the first column has these roots.
    """

    Z: Array
    low: Array | None
    indicators: Sequence[IndicatorColumn]


def scaled_blocks(design: Design, block: Block, size: int, *, low: bool = False, weighted: bool = True) -> Iterator[ScaledBlock]:
    """Cut a block into scaled pieces of at most `size` rows; with `low` they are double-double.

    Scaling by a power of two is exact and the subtraction keeps its error, so nothing is lost. A piece reuses the memory of the
    piece before it: copy the tables to keep them.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # `moments` reports sums that are not finite
        for start in range(0, block.size, size):
            at = slice(start, min(start + size, block.size))
            Z, E = (_scaled_double_double if low else _scaled_doubles)(design, block, at)
            piece = ScaledBlock(Z=Z, low=E, indicators=_scaled_indicators(design, block, at))
            yield piece if block.weights is None or not weighted else _weigh(piece, block.weights[at])


def _scaled_doubles(design: Design, block: Block, at: slice) -> tuple[Array, None]:
    Z, _ = _tables(len(block.dense) + 1, at.stop - at.start, 1)
    Z[0] = 1.0
    for z, k, (x, e) in zip(Z[1:], design.layout.dense.tolist(), block.dense, strict=True):
        np.subtract(x[at], design.centers[k], out=z)
        if e is not None:
            z += e[at]
        if design.scales[k] != 1.0:
            z *= 1.0 / design.scales[k]
    return Z, None


def _scaled_double_double(design: Design, block: Block, at: slice) -> tuple[Array, Array]:
    """Return the high and low parts; all columns at once, in place."""
    dense = design.layout.dense
    Z, E = _tables(len(block.dense) + 1, at.stop - at.start, 2)
    Z[0], E[0] = 1.0, 0.0
    for z, (x, _) in zip(Z[1:], block.dense, strict=True):
        z[:] = x[at]
    Z[1:], E[1:] = two_sum(Z[1:], -design.centers[dense][:, None])
    for j, (_, e) in enumerate(block.dense, start=1):
        if e is not None:
            Z[j], E[j] = two_sum(Z[j], E[j] + e[at])
    units = 1.0 / design.scales[dense][:, None]
    Z[1:] *= units
    E[1:] *= units
    return Z, E


def _scaled_indicators(design: Design, block: Block, at: slice) -> list[IndicatorColumn]:
    indicators = []
    for each, group in zip(block.indicators, block.layout.blocks, strict=True):
        unit = 1.0 / design.scales[block.layout.grouped[group.lookup.max()]]
        values, low = (None if x is None else x[at] * unit for x in (each.values, each.low))
        indicators.append(IndicatorColumn(places=each.places[at], values=values, low=low))
    return indicators


def _weigh(piece: ScaledBlock, weights: Array) -> ScaledBlock:
    """Multiply the rows of a piece by the roots of their weights."""
    root = np.sqrt(weights)
    if piece.low is None:
        piece.Z[...] *= root
        indicators = [IndicatorColumn(places=each.places, values=each.nonzeros * root) for each in piece.indicators]
        return ScaledBlock(Z=piece.Z, low=None, indicators=indicators)
    square, error = two_product(root, root)
    exact_root = root, ((weights - square) - error) / (2 * root)
    piece.Z[...], piece.low[...] = dd_multiply((piece.Z, piece.low), exact_root)
    indicators = []
    for each in piece.indicators:
        hi, lo = dd_multiply((each.nonzeros, low_part(each.nonzeros, each.low)), exact_root)
        indicators.append(IndicatorColumn(places=each.places, values=hi, low=lo))
    return ScaledBlock(Z=piece.Z, low=piece.low, indicators=indicators)


_MEMORY = threading.local()


def _tables(rows: int, columns: int, count: int) -> tuple[Array, Array]:
    """Return two tables, or one twice, in memory that each thread reuses: threads wait for each other to get fresh memory."""
    size = rows * columns
    if getattr(_MEMORY, "tables", np.empty(0)).size < count * size:
        _MEMORY.tables = np.empty(count * size)
    first, last = _MEMORY.tables[:size], _MEMORY.tables[(count - 1) * size : count * size]
    return first.reshape(rows, columns), last.reshape(rows, columns)


def dense_table(piece: ScaledBlock, layout: ColumnLayout) -> tuple[Array, Array | None]:
    """Return all columns of a piece as one table [1, (x - c) / s, (y - c) / s] (k + 1, m), and its low parts if any."""
    if not piece.indicators:
        return piece.Z, piece.low
    positions, grouped = np.append(0, layout.dense + 1), layout.grouped + 1
    table = _join_columns(piece.Z, [(each.places, each.nonzeros) for each in piece.indicators], positions, grouped)
    if piece.low is None:
        return table, None
    lows = [(each.places, each.low) for each in piece.indicators if each.low is not None]
    return table, _join_columns(piece.low, lows, positions, grouped)


def _join_columns(
    dense: Sequence[Array] | Array, nonzeros: Sequence[tuple[np.ndarray, Array]], positions: np.ndarray, grouped: np.ndarray
) -> Array:
    """Write dense columns (m,) at their positions, and nonzeros (m,) of indicators at those of the grouped columns."""
    table = np.zeros((len(positions) + len(grouped), len(dense[0])))
    for j, x in zip(positions.tolist(), dense, strict=True):
        table[j] = x
    for places, x in nonzeros:
        at = np.flatnonzero(places >= 0)
        table[grouped[places[at]], at] = x[at]
    return table


def take_indicators(weights: Array, indicator: IndicatorColumn) -> Array:
    """Multiply a block of indicators with the weights (g,) of all grouped columns: (m,)."""
    total: Array = np.append(weights, 0.0)[indicator.places]
    return total if indicator.values is None else total * indicator.values
