"""The means and the ends of columns of numbers over the rows of a fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from squarely.data import Source, scan_purpose
from squarely.design import Block, Design, fold_blocks
from squarely.exact import Solution, require_same_rows, sum_block
from squarely.moments import fold_in_threads, rows_per_block
from squarely.numerics import Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ColumnRanges:
    """Of v columns in some rows: weighted sums, the smallest and the largest values, (v,) each; and the sum of the weights.

    `used` is the number of rows, and `check` has the sums of the scaled columns of the design.
    """

    weight: float = 0.0
    sums: Array | float = 0.0
    low: Array | float = np.inf
    high: Array | float = -np.inf
    used: int = 0
    check: Array | float = 0.0


@scan_purpose("figure")
def read_ranges(solution: Solution, source: Source, names: tuple[str, ...]) -> ColumnRanges:
    """Scan the rows of a fit once.

    Raises
    ------
    DataError : the rows are not those of the fit.
    """
    moments = solution.moments
    design = moments.design
    work = partial(_read_block, design=design, names=names)
    ranges = fold_blocks(design, source, work, _merge, ColumnRanges(), threads=fold_in_threads(design))
    require_same_rows(source, moments, ranges.used, np.broadcast_to(ranges.check, len(moments.gram)))
    return ranges


def _read_block(block: Block, *, design: Design, names: tuple[str, ...]) -> ColumnRanges:
    if block.size == 0:
        return ColumnRanges()
    values = np.stack([block.columns[name] for name in names])
    weights = np.ones(block.size) if block.weights is None else block.weights
    return ColumnRanges(
        weight=float(weights.sum()),
        sums=values @ weights,
        low=values.min(axis=1),
        high=values.max(axis=1),
        used=block.size,
        check=sum_block(design, block, rows_per_block(design)),
    )


def _merge(a: ColumnRanges, b: ColumnRanges) -> ColumnRanges:
    return ColumnRanges(
        weight=a.weight + b.weight,
        sums=a.sums + b.sums,
        low=np.minimum(a.low, b.low),
        high=np.maximum(a.high, b.high),
        used=a.used + b.used,
        check=a.check + b.check,
    )
