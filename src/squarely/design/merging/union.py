"""One design for several: the union of the levels that each has met, and the same design without some levels."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from squarely.data import Level
from squarely.design.design import Design
from squarely.design.encoding.categories import ContrastCoding, list_levels, position_of
from squarely.design.formula.factors import Categorical
from squarely.design.matrix.columns import columns_of
from squarely.errors import DataError


def union_of(designs: Sequence[Design], removed: Sequence[Design] = ()) -> Design:
    """Give the design that a fit of all rows would have, but for its centres (zero) and scales (one).

    The rows of those `removed` no longer count among the rows of levels that look like a missing value; their levels stay.

    Raises DataError if levels of a category are of different kinds, or in orders that leave open which one all have.
    """
    first = designs[0]
    codings = {}
    for text, factor in first.factors.items():
        if isinstance(factor, Categorical):
            levels = _merge_orders(text, factor, [design.categories[text].levels for design in designs])
            marks = Counter[Level]()
            for design in designs:
                marks.update(design.categories[text].marks)
            for design in removed:
                marks.subtract(design.categories[text].marks)
            left = {level: rows for level, rows in sorted(marks.items()) if rows > 0}
            codings[text] = replace(first.categories[text], levels=levels, position=position_of(factor, levels), marks=left)
    return replace(_with_contrasts(first, codings), scans=max(design.scans for design in designs))


def without_levels(design: Design, absent: Mapping[str, Collection[Level]]) -> Design:
    """Give the design that a fit without any row of the absent levels would have, but for its centres and scales.

    Raises DataError if a single level is left, and FormulaError if the formula names one that is gone.
    """
    codings = {}
    for text, coding in design.categories.items():
        factor = design.factors[text]
        assert isinstance(factor, Categorical)  # noqa: S101  # what has a coding is one
        levels = tuple(level for level in coding.levels if level not in absent.get(text, ()))
        if len(levels) < 2:
            raise DataError(
                f"Column {coding.column!r} is {list_levels(levels) or 'nothing'} in every row that is left: a single level has nothing "
                "to be compared with. Leave the column out of the formula, and fit the rows that are left again."
            )
        marks = {level: rows for level, rows in coding.marks.items() if level in levels}
        codings[text] = replace(coding, levels=levels, position=position_of(factor, levels), marks=marks)
    return _with_contrasts(design, codings)


def _with_contrasts(design: Design, codings: Mapping[str, ContrastCoding]) -> Design:
    learnt = replace(design.learned, contrasts=codings)
    columns = columns_of(design.formula, design.factors, learnt)
    k = len(columns) + 1
    return replace(design, learned=learnt, columns=columns, centers=np.zeros(k), scales=np.ones(k))


def _merge_orders(text: str, factor: Categorical, orders: Sequence[tuple[Level, ...]]) -> tuple[Level, ...]:
    """Put the levels of several fits into one order that keeps that of each: sorted, declared, or as the formula lists them."""
    kinds = {type(level) for order in orders for level in order}
    if len(kinds - {int, float}) + bool(kinds & {int, float}) > 1:
        met = ", ".join(list_levels(order[:2]) for order in orders[:4])
        raise DataError(
            f"The levels of {text} are of different kinds, such as {met}: text, numbers or truth values. Give column "
            f"{factor.name.name!r} one type in all shards."
        )
    if float in kinds:
        orders = [tuple(float(level) for level in order) for order in orders]
    if factor.contrast.levels is not None:
        found = {level for order in orders for level in order}
        return tuple(level for level in factor.contrast.levels if level in found)
    merged, unique = _topological_sort(orders)
    if len(merged) < len({level for order in orders for level in order}):
        raise DataError(
            f"The levels of {text} stand in orders that contradict each other: {_orders(orders)}. {_list_levels_hint(factor)}"
        )
    if not unique and any(list(order) != sorted(order) for order in orders):
        raise DataError(
            f"The levels of {text} stand in orders that leave open which one they have together: {_orders(orders)}. "
            f"{_list_levels_hint(factor)}"
        )
    return merged


def _topological_sort(orders: Sequence[tuple[Level, ...]]) -> tuple[tuple[Level, ...], bool]:
    """Sort levels so that each order is kept, the smallest first where there is a choice; tell whether there was none.

    Levels in orders that contradict each other are left out.
    """
    after: dict[Level, set[Level]] = {level: set() for order in orders for level in order}
    for order in orders:
        for a, b in pairwise(order):
            after[a].add(b)
    before = dict.fromkeys(after, 0)
    for followers in after.values():
        for level in followers:
            before[level] += 1
    ready = [level for level, count in before.items() if not count]
    heapq.heapify(ready)
    merged, unique = [], True
    while ready:
        unique &= len(ready) == 1
        merged.append(heapq.heappop(ready))
        for level in after[merged[-1]]:
            before[level] -= 1
            if not before[level]:
                heapq.heappush(ready, level)
    return tuple(merged), unique


def _orders(orders: Sequence[tuple[Level, ...]]) -> str:
    return " and ".join(f"[{list_levels(order)}]" for order in list(dict.fromkeys(orders))[:4])


def _list_levels_hint(factor: Categorical) -> str:
    return f"List them in the formula, C({factor.name.name}, levels=[...]), and fit the shards again."
