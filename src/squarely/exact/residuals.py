"""The scan of the residuals: one pass sums what refinement needs (X'r) and what the residual statistics need."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from squarely.data import Source, scan_purpose
from squarely.design import (
    Block,
    Design,
    ScaledBlock,
    dense_table,
    fold_response_blocks,
    iter_blocks,
    scaled_blocks,
    take_indicators,
)
from squarely.errors import DataError
from squarely.exact.factorization import SIX_DIGITS, require_same_rows, sum_by_group, sum_columns
from squarely.moments import Moments, fold_in_threads, rows_per_block
from squarely.numerics import (
    SLICED_ROWS,
    Array,
    Pair,
    dd_add,
    dd_multiply,
    low_part,
    power_of_two_above,
    powers_about_mean,
    slice_bits,
    slice_doubles,
    sliced_dot,
)
from squarely.reprs import short_repr


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ResidualSums:
    """Sums over the residuals r = y - X b, all in the scaled unit of the response.

    With weights, y and X are multiplied by the roots of the weights, so r is the weighted residual. With frequencies, r counts as
    often as its row does.

    Attributes
    ----------
    n, sums : the rows, and the sums of the scaled columns (k + 1,), which show whether these are the rows of the first scan.
    log_weights : the sum of the logarithms of the weights, zero without weights.
    gradient, gradient_low : (q,) X'r over the selected columns, as double-double: blocks cancel against each other.
    response_sums : (2,) sums of y - m and (y - m)^2 for the known mean m of the response.
    squares : sum of r^2.
    powers : (3,) sums of (r - m)^2, (r - m)^3, (r - m)^4 for the mean m of the residuals.
    sum_squared_differences : sum of (r_i - r_{i-1})^2 in the order of the rows.
    first_residual, last_residual : the residuals at both ends, to merge two consecutive scans.
    top : a bound of the scaled values and residuals; the error of sliced products is in proportion to it.
    """

    __repr__ = short_repr

    n: int
    sums: Array
    gradient: Array
    gradient_low: Array
    response_sums: Array
    squares: float
    powers: Array
    sum_squared_differences: float
    first_residual: float = math.nan
    last_residual: float = math.nan
    top: float = 0.0
    log_weights: float = 0.0


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ResidualScan:
    """What a scan of the residuals of `response` times the response needs: coefficients b (q,) of some columns.

    `extended` computes residuals and X'r in double-double, otherwise in plain doubles.
    """

    __repr__ = short_repr

    moments: Moments
    columns: np.ndarray
    b: Pair
    extended: bool
    response: float = 1.0


@scan_purpose("residuals")
def scan_all_residuals(scans: Sequence[ResidualScan], source: Source) -> list[tuple[ResidualSums, Array]]:
    """Scan the rows once for designs that differ in their responses alone, and return the sums of each.

    The second result (k + 1,) bounds the length, over the rows, of the rounding of each scaled column [1, x, y] before it was
    read. Rows other than those of the first scan are a DataError.
    """
    steps = [_residual_step(scan) for scan in scans]

    def step(blocks: Sequence[Block]) -> list[_ScanTotal]:
        return [each(block) for each, block in zip(steps, blocks, strict=True)]

    def merge(a: list[_ScanTotal], b: list[_ScanTotal]) -> list[_ScanTotal]:
        return [(_merge_sums(x[0], y[0]), x[1] + y[1]) for x, y in zip(a, b, strict=True)]

    designs = [scan.moments.design for scan in scans]
    start: list[_ScanTotal] = [(None, 0.0)] * len(scans)
    totals = fold_response_blocks(designs, source, step, merge, start, threads=fold_in_threads(designs[0]))
    return [_finish_scan(scan, source, *total) for scan, total in zip(scans, totals, strict=True)]


def _residual_step(scan: ResidualScan) -> Callable[[Block], _ScanTotal]:
    moments, columns, b, extended = scan.moments, scan.columns, scan.b, scan.extended
    design, coefficients = moments.design, _coefficients(moments.design, columns, b, scan.response)
    y_mean = float(moments.gram[0, -1] / moments.weight)
    is_weighted, has_frequencies = design.formula.weights is not None, design.formula.has_frequencies
    r_mean = scan.response * y_mean - float(moments.gram[0, columns] @ b[0]) / moments.weight
    r_mean = 0.0 if is_weighted and not has_frequencies else r_mean
    size = SLICED_ROWS if extended else rows_per_block(design)

    def step(block: Block) -> _ScanTotal:
        total = None
        for piece in scaled_blocks(design, block, size, low=extended):
            r, gradient, top = (_extended_gradient if extended else _plain_gradient)(piece, coefficients)
            roots = piece.Z[0] if is_weighted else None
            y, differences = piece.Z[-1] - (y_mean if roots is None else y_mean * roots), np.diff(r)
            if piece.low is not None:
                y = y + piece.low[-1]
            sums = ResidualSums(
                n=len(r),
                sums=coefficients.sum_columns(piece),
                gradient=gradient[0],
                gradient_low=gradient[1],
                response_sums=np.array([y.sum() if roots is None else np.dot(y, roots), np.dot(y, y)]),
                squares=float(np.dot(r, r)),
                powers=_powers(r, r_mean, roots if has_frequencies else None),
                sum_squared_differences=float(np.dot(differences, differences)),
                first_residual=float(r[0]),
                last_residual=float(r[-1]),
                top=top,
                log_weights=0.0 if roots is None else 2.0 * float(np.log(roots).sum()),
            )
            total = _merge_sums(total, sums)
        return total, block.rounding_squares() if block.rounding_squares else 0.0

    return step


def _finish_scan(
    scan: ResidualScan, source: Source, total: ResidualSums | None, rounding_squares: Array | float
) -> tuple[ResidualSums, Array]:
    moments, design = scan.moments, scan.moments.design
    if total is None:
        raise DataError(f"{source.label} changed while it was read: its rows are gone. Fit again when nothing writes to it.")
    coefficients = _coefficients(design, scan.columns, scan.b, scan.response)
    require_same_rows(source, moments, total.n, total.sums[coefficients.places])
    at = coefficients.selected_places
    if not source.ordered or design.formula.has_frequencies:
        total = replace(total, sum_squared_differences=math.nan)
    lengths = np.append(0.0, np.sqrt(rounding_squares) / design.scales)
    powers = powers_about_mean(moments.nobs, total.powers)
    return replace(total, gradient=total.gradient[at], gradient_low=total.gradient_low[at], powers=powers), lengths


def _powers(r: Array, center: float, roots: Array | None) -> Array:
    """Sum the powers 1 to 4 of residuals about a center; with the roots of frequencies, as often as a row counts."""
    if roots is None:
        centered = r - center
        square = centered * centered
        return np.array([centered.sum(), square.sum(), np.dot(square, centered), np.dot(square, square)])
    centered, frequencies = r / roots - center, roots * roots
    return np.array([np.dot(frequencies, centered**k) for k in (1, 2, 3, 4)])


_ScanTotal = tuple[ResidualSums | None, Array | float]


def without_shape(sums: ResidualSums, error: float) -> ResidualSums:
    """Set the shape and the order of the residuals to NaN if the `error` of their norm leaves fewer than six digits."""
    if error <= SIX_DIGITS * np.sqrt(sums.squares):
        return sums
    return replace(sums, powers=np.full(3, math.nan), sum_squared_differences=math.nan)


def iter_residuals(
    design: Design, block: Block, columns: np.ndarray, b: Pair, *, extended: bool, size: int
) -> Iterator[tuple[Array, Array]]:
    """Yield, for pieces of a block, the scaled columns [1, x, y] (k + 1, m) and the residuals (m,) of coefficients b (q,).

    The residuals are in the scaled unit of the response. A table is valid until the next one.
    """
    coefficients = _coefficients(design, columns, b)
    for piece in scaled_blocks(design, block, min(size, SLICED_ROWS) if extended else size, low=extended):
        if extended:
            hi, lo = _residuals(piece, coefficients)[0]
            r = hi + lo
        else:
            r = _plain_residuals(piece, coefficients)
        yield dense_table(piece, design.layout)[0], r


@scan_purpose("residuals")
def read_residuals(moments: Moments, source: Source, columns: np.ndarray, b: Pair) -> tuple[Array, Array, Array | None, Any]:
    """Read the rows again and return the response (n,), its residuals (n,), the weights (n,) and the labels of the rows used.

    The residuals of coefficients b (q,) are computed in double-double and rounded once. Other rows are a DataError.
    """
    design, sums = moments.design, np.zeros(len(moments.gram))
    coefficients = _coefficients(design, columns, b)
    response, residuals, weights, at = [np.empty(0)], [np.empty(0)], [np.empty(0)], [np.empty(0, dtype=int)]
    for block in iter_blocks(design, source):
        for piece in scaled_blocks(design, block, rows_per_block(design)):
            sums += coefficients.sum_columns(piece)[coefficients.places]
        for piece in scaled_blocks(design, block, SLICED_ROWS, low=True, weighted=False):
            hi, lo = _residuals(piece, coefficients)[0]
            residuals.append((hi + lo) * design.scales[-1])
        response.append(block.response + (0.0 if block.offset is None else block.offset))
        weights += [] if block.weights is None else [block.weights]
        at.append(block.rows)
    require_same_rows(source, moments, sum(map(len, at)), sums)
    every_weight = None if design.formula.weights is None else np.concatenate(weights)
    return np.concatenate(response), np.concatenate(residuals), every_weight, source.index(np.concatenate(at))


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Coefficients:
    """Coefficients of [1, dense x] (d,) and of the groups (g,) as double-double; zero for a dropped column.

    `places` (k + 1,) is where each column of [1, x_1 ... x_p, y] is in [1, dense x, y, grouped], and `selected_places` (q,) where
    each selected column is in [1, dense x, grouped].
    """

    dense: Pair
    grouped: Pair
    places: np.ndarray
    selected_places: np.ndarray
    response: float = 1.0

    def sum_columns(self, piece: ScaledBlock) -> Array:
        """Sum every column of a block, with its weights: [1, dense x, y, grouped]."""
        grouped = sum_by_group(piece.indicators, piece.Z[0], len(self.grouped[0]))
        return np.concatenate([sum_columns(piece.Z), grouped])


def _coefficients(design: Design, columns: np.ndarray, b: Pair, response: float = 1.0) -> _Coefficients:
    layout = design.layout
    d, g = len(layout.dense), len(layout.grouped)
    places = np.empty(d + g + 1, dtype=int)
    places[np.concatenate([[0], layout.dense + 1, layout.grouped + 1])] = np.arange(d + g + 1)
    at = places[columns] - (places[columns] > d)  # without the response
    hi, lo = np.zeros((2, d + g))
    hi[at], lo[at] = b
    return _Coefficients(dense=(hi[:d], lo[:d]), grouped=(hi[d:], lo[d:]), places=places, selected_places=at, response=response)


def _plain_residuals(piece: ScaledBlock, b: _Coefficients) -> Array:
    """Return r = y - X b (m,) in plain doubles."""
    r: Array = b.response * piece.Z[-1] - np.dot(b.dense[0] + b.dense[1], piece.Z[:-1])
    for column in piece.indicators:
        r -= take_indicators(b.grouped[0] + b.grouped[1], column)
    return r


def _plain_gradient(piece: ScaledBlock, b: _Coefficients) -> tuple[Array, Pair, float]:
    """Return r = y - X b (m,) and X'r in plain doubles, with a low part of zero."""
    r = _plain_residuals(piece, b)
    gradient = np.concatenate([np.dot(piece.Z[:-1], r), sum_by_group(piece.indicators, r, len(b.grouped[0]))])
    return r, (gradient, np.zeros_like(gradient)), 0.0


def _extended_gradient(piece: ScaledBlock, b: _Coefficients) -> tuple[Array, Pair, float]:
    """Return r = y - X b (m,), rounded once, and X'r as double-double, both computed by products without error."""
    (hi, lo), X, top = _residuals(piece, b)
    size, bits = power_of_two_above(hi), slice_bits(max(piece.Z.shape))
    r = slice_doubles(hi, lo, size, bits)
    dense = sliced_dot(X, r[:, :, None])
    grouped = np.zeros_like(b.grouped[0]), np.zeros_like(b.grouped[0])
    for column in piece.indicators:
        products = r
        if column.values is not None:
            products_hi, products_lo = dd_multiply((column.values, low_part(column.values, column.low)), (r[0] + r[1], r[2]))
            products = slice_doubles(products_hi, products_lo, power_of_two_above(products_hi), bits)
        for x in products:  # sums of slices have no error
            sums: Array = np.bincount(column.places + 1, x, len(grouped[0]) + 1)[1:].astype(np.float64)
            grouped = dd_add(grouped, (sums, np.zeros_like(sums)))
    gradient = np.concatenate([dense[0][:, 0], grouped[0]]), np.concatenate([dense[1][:, 0], grouped[1]])
    return hi + lo, gradient, max(top, size)


def _residuals(piece: ScaledBlock, b: _Coefficients) -> tuple[Pair, Array, float]:
    """Return r = y - X b (m,) as double-double, and the sliced dense X with its bound."""
    low = None if piece.low is None else piece.low[:-1]
    top, bits = power_of_two_above(piece.Z[:-1]), slice_bits(max(piece.Z.shape))
    X = slice_doubles(piece.Z[:-1], low, top, bits)
    fitted = sliced_dot(slice_doubles(b.dense[0][None, :], b.dense[1][None, :], power_of_two_above(b.dense[0]), bits), X)
    y_low = low_part(piece.Z[-1], None if piece.low is None else piece.low[-1])
    r = dd_add((b.response * piece.Z[-1], b.response * y_low), (-fitted[0][0], -fitted[1][0]))
    for column in piece.indicators:
        present = column.places >= 0
        effect = (np.where(present, b.grouped[0][column.places], 0.0), np.where(present, b.grouped[1][column.places], 0.0))
        if column.values is not None:
            effect = dd_multiply(effect, (column.values, low_part(column.values, column.low)))
        r = dd_add(r, (-effect[0], -effect[1]))
    return r, X, top


def _merge_sums(a: ResidualSums | None, b: ResidualSums | None) -> ResidualSums | None:
    if a is None or b is None:
        return a or b
    gradient, gradient_low = dd_add((a.gradient, a.gradient_low), (b.gradient, b.gradient_low))
    names = ("n", "sums", "response_sums", "squares", "powers", "log_weights")
    added = {name: getattr(a, name) + getattr(b, name) for name in names}
    return replace(
        a,
        **added,
        gradient=gradient,
        gradient_low=gradient_low,
        sum_squared_differences=a.sum_squared_differences + b.sum_squared_differences + (b.first_residual - a.last_residual) ** 2,
        last_residual=b.last_residual,
        top=max(a.top, b.top),
    )
