"""The Triangle: R of a QR of the design's columns, folded from rows. Its error grows with the condition number, not its square."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from squarely.data import Source, scan_purpose
from squarely.design import Block, Design, dense_table, fold_blocks, scaled_blocks
from squarely.moments.cross_products import fold_in_threads
from squarely.numerics import Array, qr_r

_ROWS = 256  # of a leaf: within one the roundings of equal rows add up
_Tree = Mapping[int, Array]  # how often the leaves were merged in pairs -> the triangle of so many leaves, as the digits of a count


@scan_purpose("triangle")
def fold_qr(design: Design, source: Source) -> Array:
    """Return R (k + 1, k + 1), upper triangular, with R'R = Z'Z for the Z of Moments; stacking and factoring again merges two.

    Triangles of few rows are merged as a binary tree: a row goes through log2 of their number of merges, and so does its rounding.
    """
    size = len(design.labels) + 1

    def step(block: Block) -> _Tree:
        tree: _Tree = {}
        for piece in scaled_blocks(design, block, max(_ROWS, 4 * size)):
            tree = _merge_trees(tree, {0: qr_r(dense_table(piece, design.layout)[0].T)})
        return tree

    nothing: _Tree = {}
    tree = fold_blocks(design, source, step, _merge_trees, nothing, threads=fold_in_threads(design))
    R = qr_r(np.vstack([np.zeros((0, size)), *(tree[depth] for depth in sorted(tree))]))
    return np.vstack([R, np.zeros((size - len(R), size))])  # fewer rows than columns leave the rest zero


def _merge_trees(a: _Tree, b: _Tree) -> _Tree:
    """Merge two trees as binary numbers are added: two triangles of one depth make one of the next."""
    total = dict(a)
    for depth in sorted(b):
        R, at = b[depth], depth
        while at in total:
            R, at = qr_r(np.vstack([total.pop(at), R])), at + 1
        total[at] = R
    return total
