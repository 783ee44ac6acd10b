"""Cross-products of moving windows of rows, by adding rows alone: nothing is subtracted, so no digits cancel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from squarely.data import RowAccount, Source, scan_purpose
from squarely.design import Design, iter_blocks
from squarely.numerics import Array

_CELLS = 2**19  # numbers of one product that are summed at once, 4 MB


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class OrderedRows:
    """All complete rows, in their order.

    Attributes
    ----------
    columns : (n, k) the columns [x_1 ... x_p, y].
    weights : (n,) or None.
    positions : (n,) in the source, counted from 0.
    """

    columns: Array
    weights: Array | None
    positions: np.ndarray
    account: RowAccount


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class WindowSums:
    """Sums of m windows of rows.

    Attributes
    ----------
    starts, stops : (m,) the first row of each window, and the one after its last.
    weights : (m,) the sums of the weights; the numbers of rows without any.
    means : (m, k) of the columns.
    products : (m, k, k) about the means, or with no intercept about zero.
    loss : (m,) how much larger the products were before the shift to the means: so much larger is their relative error.
    """

    starts: np.ndarray
    stops: np.ndarray
    weights: Array
    means: Array
    products: Array
    loss: Array


@scan_purpose("windows")
def read_ordered_rows(design: Design, source: Source) -> OrderedRows:
    """Read all complete rows into memory."""
    blocks = [(b.values, b.weights, b.rows, b.account) for b in iter_blocks(design, source)]
    values, weights, positions, accounts = zip(*blocks, strict=True)
    return OrderedRows(
        columns=np.concatenate(values),
        weights=None if design.formula.weights is None else np.concatenate(weights),
        positions=np.concatenate(positions),
        account=sum(accounts, RowAccount()),
    )


def rolling_sums(rows: OrderedRows, window: int, step: int, *, intercept: bool) -> Iterator[WindowSums]:
    """Yield the sums of the windows that begin at rows 0, `step`, 2 `step`, ..., in order.

    Every window has one row whose number is a multiple of `window`, its center. Its sums are those from the center back to its
    first row and forth to its last one, which neighboring windows share. Products are about the center, which is a row of the
    window: so the shift to its mean costs at most log10(window) digits.
    """
    n, k = rows.columns.shape
    at_once, offsets = max(1, _CELLS // window), np.arange(window)
    centers = np.arange(0, n, window)
    for first in range(0, len(centers), at_once):
        c = centers[first : first + at_once, None]
        starts = c - (window - 1) + offsets  # (m, window)
        chosen = (starts >= 0) & (starts + window <= n) & (starts % step == 0)
        if not chosen.any():
            continue
        back, forth = (_take(rows, c, places, intercept=intercept) for places in (c - offsets, c + offsets))
        forth[0][:, 0] = forth[1][:, 0] = 0.0  # the center counts once

        def total(a: Array, b: Array, chosen: np.ndarray = chosen) -> Array:
            sums: Array = (np.cumsum(a, axis=1)[:, ::-1] + np.cumsum(b, axis=1))[chosen]
            return sums

        (X, v), (Z, w) = back, forth
        weights = total(v, w)
        means, products = np.empty((len(weights), k)), np.empty((len(weights), k, k))
        for i in range(k):
            x, z = X[:, :, i] * v, Z[:, :, i] * w
            means[:, i] = total(x, z) / weights
            for j in range(i, k):
                products[:, i, j] = products[:, j, i] = total(x * X[:, :, j], z * Z[:, :, j])
        places = starts[chosen], starts[chosen] + window
        if intercept:
            yield _about_means(places, rows.columns[np.repeat(c[:, 0], chosen.sum(axis=1))], weights, means, products)
        else:
            yield _about_zero(places, weights, means, products)


def _take(rows: OrderedRows, centers: np.ndarray, places: np.ndarray, *, intercept: bool) -> tuple[Array, Array]:
    """Return rows (m, w, k) less the centers, and their weights (m, w): zero for places that do not exist."""
    n = len(rows.columns)
    exists, places = (places >= 0) & (places < n), np.clip(places, 0, n - 1)
    values = rows.columns[places] - (rows.columns[centers] if intercept else 0.0)
    return values, np.where(exists, 1.0 if rows.weights is None else rows.weights[places], 0.0)


def _about_means(
    places: tuple[np.ndarray, np.ndarray], centers: Array, weights: Array, means: Array, products: Array
) -> WindowSums:
    """Shift products about `centers` (m, k) to the means (m, k), which are relative to these; `places` are starts and stops."""
    before = np.einsum("gjj->gj", products).copy()
    products = products - weights[:, None, None] * means[:, :, None] * means[:, None, :]
    squares = np.maximum(np.einsum("gjj->gj", products), 0.0)
    np.einsum("gjj->gj", products)[...] = squares
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = np.where(squares > 0, before / squares, 1.0).max(axis=1)
    starts, stops = places
    return WindowSums(starts=starts, stops=stops, weights=weights, means=centers + means, products=products, loss=loss)


def _about_zero(places: tuple[np.ndarray, np.ndarray], weights: Array, means: Array, products: Array) -> WindowSums:
    starts, stops = places
    return WindowSums(starts=starts, stops=stops, weights=weights, means=means, products=products, loss=np.ones(len(weights)))


def expanding_sums(rows: OrderedRows, min_rows: int, step: int, *, intercept: bool) -> Iterator[WindowSums]:
    """Yield the sums of the first `min_rows` rows, and of `step` more rows each time, in order.

    Products are about the mean of the rows before a block, and blocks grow, so that the shift to a mean costs few digits.
    """
    n, k = rows.columns.shape
    total, mean, products = 0.0, rows.columns[0] * float(intercept), np.zeros((k, k))
    start = 0
    while start < n:
        stop = min(n, start + min(max(start, 64), max(_CELLS // k**2, 64)))
        Z = rows.columns[start:stop] - mean
        w = np.ones(stop - start) if rows.weights is None else rows.weights[start:stop]
        weighted = Z * w[:, None]
        weights = total + np.cumsum(w)
        means = np.cumsum(weighted, axis=0) / weights[:, None]
        every = products + np.cumsum(weighted[:, :, None] * Z[:, None, :], axis=0)
        ends = np.arange(start + 1, stop + 1)
        chosen = (ends >= min_rows) & ((ends - min_rows) % step == 0)
        places = np.zeros(len(ends), dtype=int), ends
        sums = _about_means(places, mean, weights, means, every) if intercept else _about_zero(places, weights, means, every)
        if chosen.any():
            yield WindowSums(**{name: getattr(sums, name)[chosen] for name in WindowSums.__dataclass_fields__})
        total, start = float(weights[-1]), stop
        mean, products = (sums.means[-1], sums.products[-1]) if intercept else (mean, every[-1])
