"""One scan of the rows of a fit for any number of sums over them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from squarely.data import DetachedSource, RowAccount, Source, is_aggregate_only, level_number, scan_purpose
from squarely.design import Block, Design, FactorValues, dense_table, fold_blocks, scaled_blocks
from squarely.errors import DataError, join_words, pluralize
from squarely.exact import Solution, require_same_rows, sum_columns
from squarely.inference.post_estimation.effects.row_sums import Label, RowSum, center_of, columns_of_part, levels_of
from squarely.moments import fold_in_threads, rows_per_block
from squarely.numerics import Array, low_part

_MOST_GROUPS = 1_000
_MOST_CELLS = 10_000_000

Sums = Mapping[RowSum, Mapping[Label, Array]]  # for each group of `others`, the sum in each cell


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Part:
    """What some rows give: their account, the sums of their scaled columns, and those that are wanted."""

    account: RowAccount = field(default_factory=RowAccount)
    check: Array | float = 0.0
    sums: Mapping[RowSum, Mapping[Label, Array]] = field(default_factory=dict)


@scan_purpose("effects")
def scan_sums(solution: Solution, source: Source, wanted: Sequence[RowSum]) -> Sums:
    """Read the rows once.

    Raises
    ------
    DataError : there are no rows to read, they are not those of the fit, or the columns of groups have too many values or gaps.
    """
    moments = solution.moments
    design = moments.design
    others = next((each.others for each in wanted if each.others), ())
    _require_rows(design, source, wanted)
    for each in wanted:
        if math.prod(map(len, levels_of(design, each.cells))) > _MOST_CELLS:
            raise DataError(
                f"{join_words([*map(repr, each.cells)])} have more than {_MOST_CELLS:,} cells. Leave out a column of by=."
            )
    groups = tuple(dict.fromkeys((*others, *(name for each in wanted for name in each.cells))))
    design = replace(design, formula=replace(design.formula, groups=tuple(dict.fromkeys((*design.formula.groups, *groups)))))
    work = partial(_sum_block, design=design, wanted=tuple(wanted), others=others)
    part = fold_blocks(design, source, work, partial(_merge, others=others), _Part(), threads=fold_in_threads(design))
    for name in others:
        missing = sum(part.account.dropped.get(name, {}).values())
        if missing and part.account.used < moments.n:
            raise DataError(
                f"{name!r} of {source.label} is missing in {pluralize(moments.n - part.account.used, 'row')} of the {moments.n:,} "
                "that the fit used, so they are in no group. Fill the gaps, or fit the rows without them."
            )
    require_same_rows(source, moments, part.account.used, np.broadcast_to(part.check, len(moments.gram)))
    return part.sums if source.typed or not others else _read_labels(part.sums)


def _require_rows(design: Design, source: Source, wanted: Sequence[RowSum]) -> None:
    """Raise a DataError if no rows can be read, which names the columns that would have to be set."""
    if not (isinstance(source, DetachedSource) or is_aggregate_only(source)):
        return
    read: dict[str, None] = {}
    for each in wanted:
        derived = () if each.derived is None else (each.derived[0],)
        free = frozenset().union(*(columns_of_part(design, part) for part in (*each.parts, *derived))) - dict(each.settings).keys()
        read |= dict.fromkeys([*sorted(free), *each.cells, *each.others])
    names = join_words([*map(repr, read)])
    why = "which a loaded or merged fit does not have" if isinstance(source, DetachedSource) else "which stay in their engine"
    raise DataError(
        f"This averages over {names or 'weights'} in the rows of {source.label}, {why}. Give their values in at=, or fit the rows "
        "from a file or a frame."
    )


def _sum_block(block: Block, *, design: Design, wanted: Sequence[RowSum], others: tuple[str, ...]) -> _Part:
    if block.size == 0:
        return _Part(account=block.account)
    weights = np.ones(block.size) if block.weights is None else block.weights
    labels, group = _group_rows(block, others)
    coded = {name for each in wanted for name in each.cells}
    codes = {}
    for coding in reversed(list(design.categories.values())):
        if coding.column in coded:
            codes[coding.column] = coding.codes(block.groups[coding.column])
    factors: dict[Any, FactorValues] = {}
    sums = {}
    for each in wanted:
        if each.settings not in factors:
            factors[each.settings] = FactorValues(design, block.columns, dict(each.settings), block.size)
        values = weights * _values(design, factors[each.settings], each)
        cell, size = np.zeros(block.size, dtype=np.int64), 1
        levels = levels_of(design, each.cells)
        for name, known in zip(each.cells, levels, strict=True):
            cell, size = cell * len(known) + codes[name], size * len(known)
        if each.others:
            cell = group * size + cell
        rows = len(labels) if each.others else 1
        total = np.bincount(cell, values, rows * size) if rows * size > 1 else np.array([values.sum()])
        tables = total.reshape(rows, *map(len, levels))
        sums[each] = dict(zip(labels if each.others else [()], tables, strict=True))
    pieces = scaled_blocks(design, block, rows_per_block(design))
    check = sum(sum_columns(dense_table(piece, design.layout)[0]) for piece in pieces)
    return _Part(account=block.account, check=check, sums=sums)


def _values(design: Design, factors: FactorValues, wanted: RowSum) -> Array:
    """Return what is summed (m,), without weights and about its center."""
    hi, lo = factors.product(wanted.parts)
    if wanted.derived is not None:
        return (hi if wanted.parts else 1.0) * factors.derivative(*wanted.derived)
    return (hi - center_of(design, wanted.parts)) + low_part(hi, lo) if wanted.parts else hi


def _group_rows(block: Block, others: Sequence[str]) -> tuple[list[Label], np.ndarray]:
    """Return the labels in some rows, and the place of each row's label (m,) among them."""
    joint, columns = np.zeros(block.size, dtype=np.int64), [block.groups[name] for name in others]
    for column in columns:
        joint = joint * len(column.values) + column.codes
    found, group = np.unique(joint, return_inverse=True)
    _require_few_groups(len(found), others)
    labels = []
    for code in found.tolist():
        label = []
        for column in reversed(columns):
            code, place = divmod(code, len(column.values))
            label.append(column.values[place])
        labels.append(tuple(reversed(label)))
    return labels, group


def _require_few_groups(count: int, others: Sequence[str]) -> None:
    if count > _MOST_GROUPS:
        raise DataError(
            f"by={join_words([*map(repr, others)])} makes more than {_MOST_GROUPS:,} groups of rows. Name a column with fewer "
            "values, such as one of ranges."
        )


def _merge(a: _Part, b: _Part, *, others: Sequence[str]) -> _Part:
    sums: dict[RowSum, dict[Label, Array]] = {key: dict(tables) for key, tables in a.sums.items()}
    for key, tables in b.sums.items():
        mine = sums.setdefault(key, {})
        for label, table in tables.items():
            mine[label] = mine[label] + table if label in mine else table
        _require_few_groups(len(mine), others)
    return _Part(account=a.account + b.account, check=a.check + b.check, sums=sums)


def _read_labels(sums: Sums) -> Sums:
    """Read the labels of a source of text as numbers, column by column, if all of a column can be."""
    labels = {label for tables in sums.values() for label in tables if label}
    read = []
    for column in zip(*labels, strict=True):
        numbers = {text: level_number(text) for text in column}
        plain = all(type(value) in (int, float) for value in numbers.values()) and len(set(numbers.values())) == len(numbers)
        read.append(numbers if plain else {text: text for text in column})
    renamed = {label: tuple(each[text] for each, text in zip(read, label, strict=True)) for label in labels} | {(): ()}
    return {key: {renamed[label]: table for label, table in tables.items()} for key, tables in sums.items()}
