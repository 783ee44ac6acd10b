"""Centers and scales from a pilot: the first block of rows that has complete rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from squarely.data import RowAccount, Source, fold_parts
from squarely.design.design import Design, with_centers
from squarely.design.learning.odd_values import describe_odd_values
from squarely.design.learning.plan import no_rows_error
from squarely.design.matrix.block import Block
from squarely.design.matrix.model_matrix import iter_blocks
from squarely.numerics import Array, power_of_two

_PILOT_ROWS = 8_192
T = TypeVar("T")


def centers_from_pilot(design: Design, source: Source) -> Design:
    """Set the centers and scales of a design, with notes on odd values; raises DataError if no row is complete."""
    account, pilot = map_first_block(design, source, partial(_summarize, design))
    if pilot is None:
        raise no_rows_error(source, account, [*design.inputs.numbers, *design.inputs.labels], design.where)
    moments, notes = pilot
    design = replace(design, learned=replace(design.learned, value_notes=notes))
    return with_centers(design, mean=moments[:, 0], deviation=moments[:, 1])


def _summarize(design: Design, block: Block) -> tuple[Array, tuple[str, ...]]:
    return _means_and_deviations(block), describe_odd_values(design, block)


def map_first_block(design: Design, source: Source, function: Callable[[Block], T]) -> tuple[RowAccount, T | None]:
    """Apply a function to the first block that has complete rows; the result is None if there is no such block."""
    start: tuple[RowAccount, T | None] = RowAccount(), None

    def work(part: Source) -> tuple[RowAccount, T | None]:
        account = RowAccount()
        for block in iter_blocks(design, part, size=_PILOT_ROWS):
            account += block.account
            if block.size:
                return account, function(block)
        return account, None

    def first(a: tuple[RowAccount, T | None], b: tuple[RowAccount, T | None]) -> tuple[RowAccount, T | None]:
        return a[0] + b[0], b[1] if a[1] is None else a[1]

    return fold_parts(source, design.columns_read, work, first, start, is_enough=lambda total: total[1] is not None)


def _means_and_deviations(block: Block) -> Array:
    """Return the mean and the standard deviation of each column over some rows: (k, 2)."""
    dense, grouped = block.layout.dense, block.layout.grouped
    moments = np.zeros((len(dense) + len(grouped), 2))
    with np.errstate(over="ignore", invalid="ignore"):
        moments[dense] = [_mean_and_deviation(x) for x, _ in block.dense]
        for indicator in block.indicators:
            at = indicator.places >= 0
            x = indicator.nonzeros[at]
            mean, square = (np.bincount(indicator.places[at], power, len(grouped)) / block.size for power in (x, x * x))
            moments[grouped] += np.column_stack([mean, np.sqrt(np.maximum(square - mean**2, 0.0))])
    return moments


def _mean_and_deviation(x: Array) -> tuple[float, float]:
    unit = power_of_two(float(np.abs(x).max()))  # keeps the squares within range
    small = x / unit
    return float(small.mean()) * unit, float(small.std()) * unit
