"""Which columns of X are dense: a block of many indicators, with one nonzero a row, is stored as the places of its nonzeros."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from squarely.design.encoding.categories import ContrastCoding
from squarely.design.encoding.columns import Column, FactorColumn
from squarely.numerics import Array

MIN_INDICATORS = 16  # of one block; fewer are as fast as dense columns


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class IndicatorGroup:
    """A block of columns of which every row has one nonzero at most: the levels of one or more treatment-coded factors.

    Attributes
    ----------
    factors : the texts of the categorical factors. `shape` their numbers of levels.
    numeric_columns : the other parts of these columns, which multiply the indicator.
    lookup : the joint code of the levels -> the place among the grouped columns of the layout, -1 where all of them are zero.
    """

    factors: tuple[str, ...]
    shape: tuple[int, ...]
    numeric_columns: tuple[FactorColumn, ...]
    lookup: np.ndarray

    def places(self, codes: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the place of the nonzero of each row (m,), from the codes (m,) of its levels."""
        joint = codes[self.factors[0]]
        for text, levels in zip(self.factors[1:], self.shape[1:], strict=True):
            joint = joint * levels + codes[text]
        places: np.ndarray = self.lookup[joint]
        return places


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ColumnLayout:
    """How the k columns are stored: those of X without the intercept, and the response last.

    Attributes
    ----------
    dense : (d,) positions of the dense columns, the response last.
    grouped : (g,) positions of those in blocks of indicators. `blocks` these blocks.
    tables : the (factor, full) whose dense dummies are needed.
    """

    dense: np.ndarray
    grouped: np.ndarray
    blocks: tuple[IndicatorGroup, ...]
    tables: frozenset[tuple[str, bool]]

    @property
    def cells(self) -> int:
        """How many numbers one row has with the response: a block of indicators counts as one."""
        return len(self.dense) + len(self.blocks)

    def join_columns(self, dense: Array, grouped: Array) -> Array:
        """Put values of the dense columns (d,) and of the grouped ones (g,) in the order of all (k,)."""
        values = np.empty(len(self.dense) + len(self.grouped))
        values[self.dense], values[self.grouped] = dense, grouped
        return values


def layout_of(columns: Sequence[Column], codings: Mapping[str, ContrastCoding]) -> ColumnLayout:
    """Find the blocks of many indicators among the columns of X."""
    families: dict[tuple[tuple[str, bool, int | None], ...], list[int]] = {}
    for j, column in enumerate(columns):
        key = tuple((text, full, None if text in codings else i) for text, full, i in column.parts)
        families.setdefault(key, []).append(j)
    blocks: list[IndicatorGroup] = []
    grouped: list[int] = []
    for key, members in families.items():
        factors = tuple((text, full) for text, full, i in key if i is None)
        if len(members) >= MIN_INDICATORS and factors and all(codings[text].kind == "treatment" for text, _ in factors):
            blocks.append(_indicator_group(columns, members, factors, codings, first=len(grouped)))
            grouped += members
    dense = np.setdiff1d(np.arange(len(columns) + 1), grouped)
    needed = (part[:2] for j in dense[:-1].tolist() for part in columns[j].parts)
    return ColumnLayout(dense=dense, grouped=np.array(grouped, dtype=int), blocks=tuple(blocks), tables=frozenset(needed))


def _indicator_group(
    columns: Sequence[Column],
    members: list[int],
    factors: tuple[tuple[str, bool], ...],
    codings: Mapping[str, ContrastCoding],
    *,
    first: int,
) -> IndicatorGroup:
    shape = tuple(len(codings[text].levels) for text, _ in factors)
    lookup = np.full(math.prod(shape), -1)
    for place, j in enumerate(members, start=first):
        at = 0
        for text, full, i in columns[j].parts:
            if text in codings:
                position = codings[text].position
                level = i if full or i < position else i + 1
                at = at * len(codings[text].levels) + level
        lookup[at] = place
    numeric = tuple(part for part in columns[members[0]].parts if part[0] not in codings)
    return IndicatorGroup(factors=tuple(text for text, _ in factors), shape=shape, numeric_columns=numeric, lookup=lookup)
