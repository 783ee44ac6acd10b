"""One scan of the rows of a fit for any number of sums over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from squarely.data import DetachedSource, RowAccount, Source, is_aggregate_only, level_number, scan_purpose
from squarely.design import Block, Design, FactorValues, fold_blocks
from squarely.errors import DataError, join_words, pluralize
from squarely.exact import Solution, require_same_rows, sum_block
from squarely.inference.post_estimation.effects.row_sums import Label, RowSum, center_of, columns_of_part, levels_of
from squarely.moments import fold_in_threads, rows_per_block
from squarely.numerics import Array, low_part

_MOST_GROUPS = 1_000
_MOST_FRACTIONS = 30  # different numbers with fractions, beyond which a column is a measurement
_MOST_CELLS = 10_000_000

Sums = Mapping[Any, Mapping[Label, Array]]  # of what is summed: for each group of rows, the sums


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LabeledRows:
    """Some rows of a fit, m of them.

    Attributes
    ----------
    block : the rows. `weights` (m,) theirs.
    codes : (m,) the codes of the levels of columns that are categories.
    labels : the values of the columns of groups. `group` (m,) the place of each row's among them.
    """

    block: Block
    weights: Array
    codes: Mapping[str, np.ndarray]
    labels: Sequence[Label]
    group: np.ndarray


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _RowSums:
    """What some rows give: their account, the sums of their scaled columns, and those that are wanted."""

    account: RowAccount = field(default_factory=RowAccount)
    check: Array | float = 0.0
    sums: Sums = field(default_factory=dict)


def scan_sums(solution: Solution, source: Source, wanted: Sequence[RowSum]) -> Mapping[RowSum, Mapping[Label, Array]]:
    """Read the rows once for sums in cells.

    Raises
    ------
    DataError : there are no rows to read, they are not those of the fit, or the columns of groups have too many values or gaps.
    """
    design = solution.moments.design
    for each in wanted:
        if math.prod(map(len, levels_of(design, each.cells))) > _MOST_CELLS:
            raise DataError(
                f"{join_words([*map(repr, each.cells)])} have more than {_MOST_CELLS:,} cells. Leave out a column of by=."
            )
    others = next((each.others for each in wanted if each.others), ())
    require_rows(design, source, wanted)
    cells = dict.fromkeys(name for each in wanted for name in each.cells)
    return fold_labeled_rows(solution, source, partial(_sum_cells, design=design, wanted=tuple(wanted)), (*cells,), others)


@scan_purpose("effects")
def fold_labeled_rows(
    solution: Solution, source: Source, work: Callable[[LabeledRows], Sums], categories: tuple[str, ...], others: tuple[str, ...]
) -> Sums:
    """Scan the rows once and add up what `work` returns; `categories` are columns whose levels it needs, `others` groups of rows.

    Raises
    ------
    DataError : the rows are not those of the fit, or the columns of groups have too many values or gaps.
    """
    moments = solution.moments
    groups = tuple(dict.fromkeys((*moments.design.formula.groups, *others, *categories)))
    design = replace(moments.design, formula=replace(moments.design.formula, groups=groups))
    step = partial(_work_on_block, design=design, work=work, categories=categories, others=others)
    part = fold_blocks(design, source, step, partial(_merge, others=others), _RowSums(), threads=fold_in_threads(design))
    for name in others:
        missing = sum(part.account.dropped.get(name, {}).values())
        if missing and part.account.used < moments.n:
            raise DataError(
                f"{name!r} of {source.label} is missing in {pluralize(moments.n - part.account.used, 'row')} of the {moments.n:,} "
                "that the fit used, so they are in no group. Fill the gaps, or fit the rows without them."
            )
    require_same_rows(source, moments, part.account.used, np.broadcast_to(part.check, len(moments.gram)))
    sums = part.sums if source.typed or not others else _read_labels(part.sums)
    _require_groups(sums, others)
    return sums


def require_rows(design: Design, source: Source, wanted: Sequence[RowSum]) -> None:
    """Raise a DataError if no rows can be read, which names the columns that would have to be set."""
    if not (isinstance(source, DetachedSource) or is_aggregate_only(source)):
        return
    free: dict[str, None] = {}
    for each in wanted:
        parts = (*each.parts, *(() if each.derived is None else (each.derived[0],)))
        columns = {name for part in parts for name in columns_of_part(design, part)} - dict(each.settings).keys()
        free |= dict.fromkeys([*sorted(columns), *each.cells])
    others = next((each.others for each in wanted if each.others), ())
    over = f"groups of {join_words([*map(repr, others)])}" if others else join_words([*map(repr, free)])
    advice = "Leave by= out" if others else "Give their values in at="
    why, how = "which stay in their engine", "give ols order_by= or a Parquet file of the rows"
    if isinstance(source, DetachedSource):
        why, how = "which a loaded or merged fit does not have", "fit the rows again"
    raise DataError(f"This averages over {over} in the rows of {source.label}, {why}. {advice}, or {how}.")


def _work_on_block(
    block: Block,
    *,
    design: Design,
    work: Callable[[LabeledRows], Sums],
    categories: tuple[str, ...],
    others: tuple[str, ...],
) -> _RowSums:
    if block.size == 0:
        return _RowSums(account=block.account)
    codings = {coding.column: coding for coding in reversed(list(design.categories.values()))}
    labels, group = _group_rows(block, others)
    rows = LabeledRows(
        block=block,
        weights=np.ones(block.size) if block.weights is None else block.weights,
        codes={name: codings[name].codes(block.groups[name]) for name in categories},
        labels=labels,
        group=group,
    )
    return _RowSums(account=block.account, check=sum_block(design, block, rows_per_block(design)), sums=work(rows))


def _sum_cells(rows: LabeledRows, *, design: Design, wanted: Sequence[RowSum]) -> Sums:
    block, labels = rows.block, rows.labels
    factors: dict[Any, FactorValues] = {}
    sums = {}
    for each in wanted:
        if each.settings not in factors:
            factors[each.settings] = FactorValues(design, block.columns, dict(each.settings), block.size)
        values = rows.weights * _values(design, factors[each.settings], each)
        cell, size = np.zeros(block.size, dtype=np.int64), 1
        levels = levels_of(design, each.cells)
        for name, known in zip(each.cells, levels, strict=True):
            cell, size = cell * len(known) + rows.codes[name], size * len(known)
        if each.others:
            cell = rows.group * size + cell
        count = len(labels) if each.others else 1
        total = np.bincount(cell, values, count * size) if count * size > 1 else np.array([values.sum()])
        tables = total.reshape(count, *map(len, levels))
        sums[each] = dict(zip(labels if each.others else [()], tables, strict=True))
    return sums


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
    if len(found) > _MOST_GROUPS:
        raise _too_many_groups(others)
    labels = []
    for code in found.tolist():
        label = []
        for column in reversed(columns):
            code, place = divmod(code, len(column.values))
            label.append(column.values[place])
        labels.append(tuple(reversed(label)))
    return labels, group


def _too_many_groups(others: Sequence[str]) -> DataError:
    by = repr(others[0]) if len(others) == 1 else list(others)
    return DataError(
        f"by={by} has too many different values for groups of rows. Name a column with fewer values, such as one of ranges."
    )


def _merge(a: _RowSums, b: _RowSums, *, others: Sequence[str]) -> _RowSums:
    sums: dict[Any, dict[Label, Array]] = {key: dict(tables) for key, tables in a.sums.items()}
    for key, tables in b.sums.items():
        mine = sums.setdefault(key, {})
        for label, table in tables.items():
            mine[label] = mine[label] + table if label in mine else table
        if len(mine) > _MOST_GROUPS:
            raise _too_many_groups(others)
    return _RowSums(account=a.account + b.account, check=a.check + b.check, sums=sums)


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


def _require_groups(sums: Sums, others: Sequence[str]) -> None:
    """Raise a DataError for a column of many numbers with fractions, which is a measurement."""
    labels = {label for tables in sums.values() for label in tables if label}
    for name, column in zip(others, zip(*labels, strict=True), strict=False):
        values = set(column)
        if len(values) > _MOST_FRACTIONS and any(isinstance(value, float) and not value.is_integer() for value in values):
            raise _too_many_groups([name])
