"""Sums by group, asked of an engine in few queries."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import narwhals as nw
import numpy as np

from squarely.data import Level, Query
from squarely.errors import changed_error
from squarely.moments.engine.client import EngineClient
from squarely.numerics import Array

FactorTexts = frozenset[str]  # the categorical factors to group by
_FEW_GROUPS = 4_096  # these cost an engine little more than one group


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKey:
    """A categorical factor to group by: the alias of its labels, and its levels."""

    alias: str
    levels: tuple[Level, ...]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class GroupSums:
    """Sums (groups,) by name for each group that has rows, and by factor the position (groups,) of its level."""

    codes: Mapping[str, np.ndarray]
    sums: Mapping[str, Array]

    def flat_positions(self, factors: Iterable[str], keys: Mapping[str, GroupKey]) -> np.ndarray:
        """Return the position (groups,) of each group in the cells of some factors, the last of which varies fastest."""
        position = np.zeros(len(next(iter(self.sums.values()))), dtype=np.intp)
        for text in factors:
            position = position * len(keys[text].levels) + self.codes[text]
        return position


def query_group_sums(
    client: EngineClient, query: Query, results: Mapping[FactorTexts, Mapping[str, nw.Expr]], keys: Mapping[str, GroupKey]
) -> dict[FactorTexts, GroupSums]:
    """Compute the results of each set of factors by the groups of these factors.

    One query by all factors serves every set if it has few groups: sums over more factors add up to sums over fewer.

    Raises
    ------
    DataError : a row has a level that was not there before.
    """
    union = frozenset(text for factors in results for text in factors)
    if math.prod(len(keys[text].levels) for text in union) > _FEW_GROUPS:
        return {factors: _group_sums(client, query, keys, factors, exprs) for factors, exprs in results.items()}
    together = {name: expr for exprs in results.values() for name, expr in exprs.items()}
    return dict.fromkeys(results, _group_sums(client, query, keys, union, together))


def _group_sums(
    client: EngineClient, query: Query, keys: Mapping[str, GroupKey], factors: FactorTexts, results: Mapping[str, nw.Expr]
) -> GroupSums:
    grouping = {text: keys[text] for text in sorted(factors)}
    rows = client.aggregate(query, results, list(dict.fromkeys(key.alias for key in grouping.values())))
    codes = {}
    for text, key in grouping.items():
        positions = {level: i for i, level in enumerate(key.levels)}
        if not all(row[key.alias] in positions for row in rows):
            raise changed_error(client.source.label)
        codes[text] = np.array([positions[row[key.alias]] for row in rows], dtype=np.intp)
    sums = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in results}
    return GroupSums(codes=codes, sums=sums)
