"""The scan of the residuals: it gathers what refinement needs (X'r) and what the residual statistics need, in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.data import Source, fold, scanning
from squarely.design import Block, Design, rows
from squarely.errors import DataError
from squarely.exact.factor import require_same_rows
from squarely.moments import BLOCK_ROWS, Moments
from squarely.numerics import Array, dd_add, dd_multiply, dd_sum


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ResidualSums:
    """Sums over the residuals r = y - X b, all in the scaled unit of the response.

    Attributes
    ----------
    n : rows met. `sums` (k + 1,) the sums of the scaled columns, to tell whether these are the rows of the first scan.
    gradient, gradient_low : (q,) X'r over the kept columns, as double-double: blocks cancel against each other.
    spread : (2,) sums of y - m and (y - m)^2 for the known mean m of the response.
    squares : sum of r^2.
    powers : (3,) sums of (r - m)^2, (r - m)^3, (r - m)^4 for the known mean m of the residuals.
    steps : sum of (r_i - r_{i-1})^2 in the order of the rows.
    first, last : the residuals at both ends, by which two scans in a row are merged.
    """

    n: int
    sums: Array
    gradient: Array
    gradient_low: Array
    spread: Array
    squares: float
    powers: Array
    steps: float
    first: float
    last: float


@scanning("residuals")
def scan_residuals(
    moments: Moments, source: Source, columns: np.ndarray, b: tuple[Array, Array], *, extended: bool
) -> ResidualSums:
    """Scan the rows once with coefficients b (q,) given as double-double.

    `extended` keeps residual and X'r in double-double; otherwise both are plain doubles.

    Raises
    ------
    DataError : these are not the rows that the first scan met.
    """
    design = moments.design
    middle = float(moments.gram[0, -1] / moments.n)
    mean = middle - float(moments.gram[0, columns] @ b[0]) / moments.n
    products = _extended if extended else _plain

    def step(block: Block) -> ResidualSums | None:
        total = None
        for values, low in block.pieces(BLOCK_ROWS):
            hi, lo = design.scaled(values, low)
            y = hi[:, -1] - middle
            r, gradient, gradient_low = products((hi[:, columns], lo[:, columns]), (hi[:, -1], lo[:, -1]), b)
            centred = r - mean
            square = centred * centred
            sums = ResidualSums(
                n=len(r),
                sums=hi.sum(axis=0),
                gradient=gradient,
                gradient_low=gradient_low,
                spread=np.array([y.sum(), y @ y]),
                squares=float(r @ r),
                powers=np.array([square.sum(), square @ centred, square @ square]),
                steps=float(np.square(np.diff(r)).sum()),
                first=float(r[0]),
                last=float(r[-1]),
            )
            total = _merge(total, sums)
        return total

    total = fold(rows(design, source), step, _merge, None)
    if total is None:
        raise DataError(f"{source.label} changed while it was read: its rows are gone. Fit again when nothing writes to it.")
    require_same_rows(source, moments, total.n, total.sums)
    return total


def residuals_of(design: Design, columns: np.ndarray, b: tuple[Array, Array], block: Block) -> Array:
    """Compute the residuals (m,) of a block of rows, in double-double and rounded once, in the response's unit."""
    hi, lo = design.scaled(block.values, block.low)
    r = _residuals((hi[:, columns], lo[:, columns]), (hi[:, -1], lo[:, -1]), b)
    residuals: Array = (r[0] + r[1]) * design.scales[-1]
    return residuals


def _plain(X: tuple[Array, Array], y: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    """Return r = y - X b (m,) and X'r (q,) in plain doubles, with a low part of zero."""
    r = y[0] - X[0] @ (b[0] + b[1])
    return r, X[0].T @ r, np.zeros(X[0].shape[1])


def _extended(X: tuple[Array, Array], y: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    """Return r = y - X b (m,), rounded once, and X'r (q,) as double-double, both computed in double-double."""
    r = _residuals(X, y, b)
    hi, lo = dd_sum(dd_multiply(X, (r[0][:, None], r[1][:, None])))
    return r[0] + r[1], hi, lo


def _residuals(X: tuple[Array, Array], y: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
    r = y
    for j in range(X[0].shape[1]):
        minus = (np.full_like(y[0], -b[0][j]), np.full_like(y[0], -b[1][j]))
        r = dd_add(r, dd_multiply((X[0][:, j], X[1][:, j]), minus))
    return r


def _merge(a: ResidualSums | None, b: ResidualSums | None) -> ResidualSums | None:
    if a is None or b is None:
        return b if a is None else a
    gradient, gradient_low = dd_add((a.gradient, a.gradient_low), (b.gradient, b.gradient_low))
    return ResidualSums(
        n=a.n + b.n,
        sums=a.sums + b.sums,
        gradient=gradient,
        gradient_low=gradient_low,
        spread=a.spread + b.spread,
        squares=a.squares + b.squares,
        powers=a.powers + b.powers,
        steps=a.steps + b.steps + (b.first - a.last) ** 2,
        first=a.first,
        last=b.last,
    )
