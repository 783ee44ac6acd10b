"""The scan of the residuals: it gathers what refinement needs (X'r) and what the residual statistics need, in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squarely.data import Block, Source, fold
from squarely.design import rows
from squarely.errors import DataError
from squarely.moments import Moments
from squarely.numerics import Array, dd_add, dd_multiply, dd_sum

_BLOCK_ROWS = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualSums:
    """Sums over the residuals r = y - X b, all in the scaled unit of the response.

    Attributes
    ----------
    n : rows met. `sums` (k + 1,) the sums of the scaled columns, to tell whether these are the rows of the first scan.
    gradient : (q,) X'r over the kept columns.
    squares : sum of r^2.
    powers : (3,) sums of (r - m)^2, (r - m)^3, (r - m)^4 for the known mean m of the residuals.
    steps : sum of (r_i - r_{i-1})^2 in the order of the rows.
    first, last : the residuals at both ends, by which two scans in a row are merged.
    """

    n: int
    sums: Array
    gradient: Array
    squares: float
    powers: Array
    steps: float
    first: float
    last: float


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
    mean = float((moments.gram[0, -1] - moments.gram[0, columns] @ b[0]) / moments.n)
    products = _extended if extended else _plain

    def step(block: Block) -> ResidualSums | None:
        total = None
        for start in range(0, len(block.values), _BLOCK_ROWS):
            hi, lo = design.scaled(block.values[start : start + _BLOCK_ROWS])
            r, gradient = products((hi[:, columns], lo[:, columns]), (hi[:, -1], lo[:, -1]), b)
            total = _merge(total, _sums(r, mean, gradient, hi.sum(axis=0)))
        return total

    total = fold(rows(design, source), step, _merge, None)
    if total is None or total.n != moments.n or not _same(total.sums, moments):
        met = 0 if total is None else total.n
        raise DataError(
            f"{source.label} changed while it was read: the first scan met {moments.n:,} complete rows and the second "
            f"{met:,}, or other values in them. Fit again when nothing writes to it."
        )
    return total


def _sums(r: Array, mean: float, gradient: Array, sums: Array) -> ResidualSums:
    centred = r - mean
    square = centred * centred
    return ResidualSums(
        n=len(r),
        sums=sums,
        gradient=gradient,
        squares=float(r @ r),
        powers=np.array([square.sum(), square @ centred, square @ square]),
        steps=float(np.square(np.diff(r)).sum()),
        first=float(r[0]),
        last=float(r[-1]),
    )


def _plain(X: tuple[Array, Array], y: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return r = y - X b (m,) and X'r (q,) in plain doubles."""
    r = y[0] - X[0] @ (b[0] + b[1])
    return r, X[0].T @ r


def _extended(X: tuple[Array, Array], y: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return r = y - X b (m,) and X'r (q,), each computed in double-double and rounded once."""
    r = y
    for j in range(X[0].shape[1]):
        minus = (np.full_like(y[0], -b[0][j]), np.full_like(y[0], -b[1][j]))
        r = dd_add(r, dd_multiply((X[0][:, j], X[1][:, j]), minus))
    hi, lo = dd_sum(dd_multiply(X, (r[0][:, None], r[1][:, None])))
    return r[0] + r[1], hi + lo


def _merge(a: ResidualSums | None, b: ResidualSums | None) -> ResidualSums | None:
    if a is None or b is None:
        return b if a is None else a
    return ResidualSums(
        n=a.n + b.n,
        sums=a.sums + b.sums,
        gradient=a.gradient + b.gradient,
        squares=a.squares + b.squares,
        powers=a.powers + b.powers,
        steps=a.steps + b.steps + (b.first - a.last) ** 2,
        first=a.first,
        last=b.last,
    )


def _same(sums: Array, moments: Moments) -> bool:
    room = 1e-10 * np.sqrt(moments.n * np.diag(moments.gram))
    return bool((np.abs(sums - moments.gram[0]) <= room).all())
