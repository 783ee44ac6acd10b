"""One design for several: whether they describe one model, the union of their levels, and a design without some levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

import numpy as np

from squarely.data import Level
from squarely.design.design import Design
from squarely.design.encoding.basis import Polynomial, Spline
from squarely.design.encoding.categories import ContrastCoding, position_of
from squarely.design.formula.factors import Categorical
from squarely.design.formula.formula import Formula
from squarely.errors import DataError, listed
from squarely.numerics import Array

_ALL_ROWS = "or fit all rows at once"


def require_compatible(one: Design, other: Design, who: str) -> None:
    """Raise a DataError that names the first difference of two designs other than levels, centers and scales.

    `who` is what the message calls the fit that `other` belongs to.
    """
    texts = one.formula.text, other.formula.text
    if one.formula.weights_option != other.formula.weights_option:
        weights = [", ".join(f"{k}={text!r}" for k, text in d.formula.weights_option.items()) or "no weights" for d in (one, other)]
        raise DataError(
            f"The fits weigh rows differently: {weights[0]} in the first, {weights[1]} in {who}. Fit them with the same weights."
        )
    if _without_text(one.formula) != _without_text(other.formula):
        raise DataError(
            f"The first fit is of {texts[0]!r} and {who} of {texts[1]!r}"
            + (", where '.' stands for other columns" if texts[0] == texts[1] else "")
            + ". Only fits of one formula can be merged: fit them again with the same one."
        )
    rows = [f"where={design.where.text!r}" if design.where else "no condition" for design in (one, other)]
    if rows[0] != rows[1]:
        raise DataError(f"The fits use different rows: {rows[0]} in the first, {rows[1]} in {who}. Fit them with the same where=.")
    for text in one.factors:
        kinds = ["categories" if isinstance(design.factors[text], Categorical) else "numbers" for design in (one, other)]
        if kinds[0] != kinds[1]:
            raise DataError(
                f"Column {text!r} holds {kinds[0]} in the first fit and {kinds[1]} in {who}. Give it one type in all shards, or "
                f"write C({text}) if its values are categories."
            )
    _require_same_numbers(one, other, who)


def _without_text(formula: Formula) -> Formula:
    return replace(formula, text="", names=None, required=())


def _require_same_numbers(one: Design, other: Design, who: str) -> None:
    for text, first in one.learned.standardizations.items():
        second = other.learned.standardizations[text]
        if first != second:
            raise DataError(
                f"{text} has the mean {first.mean:g} in the first fit and {second.mean:g} in {who}, so it is another column in "
                f"each. Write numbers in its place, such as I(x - 30) or I((x - 30) / 5), {_ALL_ROWS}."
            )
    for text, basis in one.learned.bases.items():
        if np.array_equal(_numbers(basis), _numbers(other.learned.bases[text])):
            continue
        what = "knots, with those at the ends, from"
        hint = "Write knots=[...] and give every shard the same smallest and largest value, use poly(x, 3, raw=True)"
        if isinstance(basis, Polynomial):
            what, hint = "orthogonal columns from", f"Write poly(x, {len(basis.weights) - 1}, raw=True)"
        raise DataError(f"{text} has {what} the rows of the first fit, and others from those of {who}. {hint}, {_ALL_ROWS}.")


def _numbers(basis: Polynomial | Spline) -> Array:
    return np.array([basis.low, basis.high, *basis.weights.flat]) if isinstance(basis, Polynomial) else basis.knots


def union_of(designs: Sequence[Design], removed: Sequence[Design] = ()) -> Design:
    """Return the design of a fit of all rows, with centers of zero and scales of one.

    The rows of the `removed` designs are subtracted from those of levels that look like a missing value; their levels stay.

    Raises DataError if the levels of a category have different kinds, or orders that do not determine a common one.
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
            present = {level: rows for level, rows in sorted(marks.items()) if rows > 0}
            codings[text] = replace(first.categories[text], levels=levels, position=position_of(factor, levels), marks=present)
    merged = _with_contrasts(first, codings)
    notes = tuple(dict.fromkeys(note for design in designs for note in design.learned.value_notes))
    return replace(merged, learned=replace(merged.learned, value_notes=notes), scans=max(design.scans for design in designs))


def without_levels(design: Design, absent: Mapping[str, Collection[Level]]) -> Design:
    """Return the design of a fit without the rows of some levels, with centers of zero and scales of one.

    Raises DataError if only one level remains, and FormulaError if the formula names one that is removed.
    """
    codings = {}
    for text, coding in design.categories.items():
        factor = design.factors[text]
        assert isinstance(factor, Categorical)  # noqa: S101  # only categorical factors have a coding
        levels = tuple(level for level in coding.levels if level not in absent.get(text, ()))
        if len(levels) < 2:
            raise DataError(
                f"Column {coding.column!r} is {listed(map(repr, levels)) or 'nothing'} in every row that remains, and one level "
                "cannot be compared. Leave the column out of the formula and fit the remaining rows again."
            )
        marks = {level: rows for level, rows in coding.marks.items() if level in levels}
        codings[text] = replace(coding, levels=levels, position=position_of(factor, levels), marks=marks)
    return _with_contrasts(design, codings)


def _with_contrasts(design: Design, codings: Mapping[str, ContrastCoding]) -> Design:
    learned = replace(design.learned, contrasts=codings)
    return Design(formula=design.formula, where=design.where, factors=design.factors, learned=learned, scans=design.scans)


def _merge_orders(text: str, factor: Categorical, orders: Sequence[tuple[Level, ...]]) -> tuple[Level, ...]:
    """Merge the levels of several fits into one order that keeps that of each: sorted, declared, or as the formula lists them."""
    kinds = {type(level) for order in orders for level in order}
    if len(kinds - {int, float}) + bool(kinds & {int, float}) > 1:
        examples = ", ".join(listed(map(repr, order[:2])) for order in orders[:4])
        raise DataError(
            f"The levels of {text} have different kinds, such as {examples}. Give {factor.name.name!r} one type in all shards."
        )
    if float in kinds:
        orders = [tuple(float(level) for level in order) for order in orders]
    if factor.contrast.levels is not None:
        present = {level for order in orders for level in order}
        return tuple(level for level in factor.contrast.levels if level in present)
    some = " and ".join(f"[{listed(map(repr, order))}]" for order in list(dict.fromkeys(orders))[:4])
    hint = f"List them in the formula, C({factor.name.name}, levels=[...]), and fit the shards again."
    try:
        merged, is_unique = _topological_sort(orders)
    except CycleError:
        raise DataError(f"The levels of {text} have orders that contradict each other: {some}. {hint}") from None
    if not is_unique and any(list(order) != sorted(order) for order in orders):
        raise DataError(f"The levels of {text} have orders that do not determine a common one: {some}. {hint}")
    return merged


def _topological_sort(orders: Sequence[tuple[Level, ...]]) -> tuple[tuple[Level, ...], bool]:
    """Sort levels so that each order is kept, the smallest first if there is a choice; return also whether there was none."""
    sorter = TopologicalSorter[Level]()
    for order in orders:
        sorter.add(order[0])
        for a, b in pairwise(order):
            sorter.add(b, a)
    sorter.prepare()
    ready: list[Level] = []
    merged, is_unique = [], True
    while sorter.is_active():
        ready = sorted((*ready, *sorter.get_ready()))
        is_unique &= len(ready) == 1
        merged.append(ready.pop(0))
        sorter.done(merged[-1])
    return tuple(merged), is_unique
