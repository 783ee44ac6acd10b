"""The Triangle: R of a QR of the design's columns, folded from rows. Its error grows with the condition number, not its square."""

from __future__ import annotations

import numpy as np

from squarely.data import Source, scanning
from squarely.design import Block, Design, fold_rows, pieces, whole_table
from squarely.moments.cross_products import in_threads
from squarely.numerics import Array

_ROWS = 8_192


@scanning("triangle")
def fold_triangle(design: Design, source: Source) -> Array:
    """Return R (k + 1, k + 1), upper triangular, with R'R = Z'Z for the Z of Moments; stacking and factoring again merges two."""
    size = len(design.labels) + 1

    def step(block: Block) -> Array:
        R = np.zeros((0, size))
        for piece in pieces(design, block, max(_ROWS, 2 * size)):
            R = _merge(R, whole_table(piece, design.layout)[0].T)
        return R

    R = fold_rows(design, source, step, _merge, np.zeros((0, size)), threads=in_threads(design))
    return np.vstack([R, np.zeros((size - len(R), size))])  # fewer rows than columns leave the rest zero


def qr_triangle(Z: Array) -> Array:
    """Return R of the QR of Z (m, q): upper triangular or trapezoidal, min(m, q) rows."""
    R: Array = np.linalg.qr(Z, mode="r")  # type: ignore[assignment]  # with this mode it is R alone
    return R


def _merge(a: Array, b: Array) -> Array:
    return qr_triangle(np.vstack([a, b]))
