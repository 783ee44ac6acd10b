"""The scan of the residuals of all groups: what refines their coefficients, and the meats of HC0 to HC4."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.data import LabelPlaces, Source, scan_purpose
from squarely.design import Block, Design, fold_blocks
from squarely.errors import changed_error
from squarely.inference.multiple_fits.group_moments import GroupedRows, sort_by_group, sum_products
from squarely.numerics import ROUNDOFF, Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class GroupModel:
    """The coefficients of all groups, whose residuals a scan sums.

    Attributes
    ----------
    places : the place of each label.
    centers : (G, k) that are subtracted from the columns: the means, or zeros without an intercept.
    slopes : (G, p) the coefficients of the columns.
    root : (G, p, p) P with P P' = (X'X)^-1.
    weights, nobs, rank : (G,) the sums of the weights, and for HC4 the numbers of observations and of coefficients.
    kind : "HC0" to "HC4" for the meat, or "nonrobust".
    """

    places: LabelPlaces
    centers: Array
    slopes: Array
    root: Array
    weights: Array
    nobs: np.ndarray
    rank: np.ndarray
    intercept: bool
    has_frequencies: bool
    kind: str


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class GroupResiduals:
    """Sums of all groups over their residuals r.

    Attributes
    ----------
    gradient : (G, p) X'r. `totals` (G,) sum of r, `squares` (G,) of r^2.
    meat : (G, q (q + 1) / 2) of the whitened columns [1, x_1 ... x_p], as upper triangles by rows; no columns if nonrobust.
    singular : likewise, the products of the whitened rows that have a leverage of one.
    """

    gradient: Array
    totals: Array
    squares: Array
    meat: Array
    singular: Array


@scan_purpose("residuals")
def read_group_residuals(design: Design, source: Source, model: GroupModel, rows: int) -> GroupResiduals:
    """Scan the rows once; a DataError says that they are not the `rows` of the first scan."""
    size, p = model.slopes.shape
    label = source.label  # the source does not go to other processes

    def work(block: Block) -> _Total:
        if not block.size:
            return 0, None
        grouped = sort_by_group(block)
        at = model.places.find(grouped.labels)
        if (at < 0).any():
            raise changed_error(label)
        return block.size, (at, _sum_rows(model, grouped, at))

    def merge(a: _Total, b: _Total) -> _Total:
        if a[1] is None or b[1] is None:
            return a[0] + b[0], a[1] or b[1]
        total = a[1][1]
        if len(a[1][0]) < size:
            total = np.zeros((size, total.shape[1]))
            total[a[1][0]] = a[1][1]
        total[b[1][0]] += b[1][1]
        return a[0] + b[0], (np.arange(size), total)

    start: _Total = 0, None
    n, found = fold_blocks(design, source, work, merge, start)
    if n != rows or found is None:
        raise changed_error(label, f"{rows:,} complete rows", f"{n:,}")
    at, sums = found
    total = np.zeros((size, sums.shape[1]))
    total[at] = sums
    width = (sums.shape[1] - p - 2) // 2
    gradient, totals, squares, meat, singular = np.split(total, [p, p + 1, p + 2, p + 2 + width], axis=1)
    return GroupResiduals(gradient=gradient, totals=totals[:, 0], squares=squares[:, 0], meat=meat, singular=singular)


_Total = tuple[int, tuple[np.ndarray, Array] | None]  # rows, and the places of groups with their sums


def _sum_rows(model: GroupModel, rows: GroupedRows, at: np.ndarray) -> Array:
    columns = rows.columns
    if model.intercept:
        columns = np.stack([x - rows.spread(center) for x, center in zip(columns, model.centers[at].T, strict=True)])
    r = columns[-1].copy()
    for x, slope in zip(columns[:-1], model.slopes[at].T, strict=True):
        r -= x * rows.spread(slope)
    weighted = rows.weigh(r)
    sums = [rows.sum(weighted * x) for x in columns[:-1]] + [rows.sum(weighted), rows.sum(weighted * r)]
    table = np.stack(sums, axis=1)
    return table if model.kind == "nonrobust" else np.hstack([table, *_sum_meat(model, rows, at, columns[:-1], r)])


def _sum_meat(model: GroupModel, rows: GroupedRows, at: np.ndarray, X: Array, r: Array) -> tuple[Array, Array]:
    """Sum g(r, h) v v' of the whitened rows, and v v' of those with a leverage of one."""
    V = _whiten(model, rows, at, X)
    weights = np.ones(len(r)) if rows.weights is None else rows.weights
    h = np.einsum("jm,jm->m", V, V) * (1.0 if model.has_frequencies else weights)
    rest, rank = 1 - h, rows.spread(model.rank[at])
    is_singular = (rest <= 64 * rank * ROUNDOFF) & (model.kind not in ("HC0", "HC1"))
    power = {"HC0": 0.0, "HC1": 0.0, "HC2": 1.0, "HC3": 2.0}.get(model.kind)
    exponent = np.minimum(4.0, rows.spread(model.nobs[at]) * h / rank) if power is None else power
    squares = np.where(is_singular, 0.0, r * r / np.where(is_singular, 1.0, rest) ** exponent)
    squares *= weights if model.has_frequencies else weights**2
    meat = sum_products(rows, V, squares)
    return meat, sum_products(rows, V, is_singular.astype(float)) if is_singular.any() else np.zeros_like(meat)


def _whiten(model: GroupModel, rows: GroupedRows, at: np.ndarray, X: Array) -> Array:
    """Return the whitened columns (q, m), that of the intercept first."""
    root, p = model.root[at], len(X)
    V = np.zeros((p + model.intercept, X.shape[1]))
    if model.intercept:
        V[0] = rows.spread(1 / np.sqrt(model.weights[at]))
    for j in range(p):
        for i in range(j + 1):
            V[j + model.intercept] += rows.spread(root[:, i, j]) * X[i]
    return V
