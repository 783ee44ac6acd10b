"""Sums by group: what is asked of one engine, in as few queries as serve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import narwhals as nw
import numpy as np

from squarely.data import Engine, Level, Query, Source
from squarely.errors import DataError
from squarely.numerics import Array

FactorTexts = frozenset[str]  # by their texts
_FEW_CELLS = 4_096  # so many groups cost an engine little more than one


@dataclass(frozen=True, slots=True)
class QueryCost:
    """What was asked: scans of the rows, and aggregate expressions."""

    scans: int = 0
    expressions: int = 0

    def __add__(self, other: QueryCost) -> QueryCost:
        return QueryCost(self.scans + other.scans, self.expressions + other.expressions)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKey:
    """A categorical factor to group by: the alias of its labels, and its levels."""

    alias: str
    levels: tuple[Level, ...]

    def map_values(self, values: Sequence[float], engine: Engine) -> nw.Expr:
        """Give each row the value that belongs to its level, none if it has another one."""
        return engine.map_values(nw.col(self.alias), self.levels, values)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class GroupSums:
    """Sums for each group that has rows.

    Attributes
    ----------
    codes : factor -> (cells,) the place of its level. `sums` name -> (cells,).
    """

    codes: Mapping[str, np.ndarray]
    sums: Mapping[str, Array]

    def flat_positions(self, factors: Iterable[str], keys: Mapping[str, GroupKey]) -> np.ndarray:
        """Give the place (cells,) of each group among all those of some factors, the last of which varies fastest."""
        place = np.zeros(len(next(iter(self.sums.values()))), dtype=np.intp)
        for text in factors:
            place = place * len(keys[text].levels) + self.codes[text]
        return place


def query_group_sums(
    source: Source, query: Query, wanted: Mapping[FactorTexts, Mapping[str, nw.Expr]], keys: Mapping[str, GroupKey]
) -> tuple[dict[FactorTexts, GroupSums], QueryCost]:
    """Work out sums by the groups that each set of factors makes.

    One query by all factors serves every set while it has few groups: sums over more factors add up to sums over fewer.

    Raises
    ------
    DataError : a row has a level that was not there before.
    """
    every = frozenset(text for some in wanted for text in some)
    together = math.prod(len(keys[text].levels) for text in every) <= _FEW_CELLS
    asked: dict[FactorTexts, dict[str, nw.Expr]] = {}
    for some, results in wanted.items():
        asked.setdefault(every if together else some, {}).update(results)
    effort = QueryCost()
    answers: dict[FactorTexts, GroupSums] = {}
    for some, results in asked.items():
        answers[some] = _answer(source, query, {text: keys[text] for text in sorted(some)}, results)
        effort += QueryCost(-(-len(results) // source.require_engine().max_aggregates), len(results))
    return {some: answers[every if together else some] for some in wanted}, effort


def _answer(source: Source, query: Query, keys: Mapping[str, GroupKey], results: Mapping[str, nw.Expr]) -> GroupSums:
    rows = source.aggregate(query, results, list(dict.fromkeys(key.alias for key in keys.values())))
    codes = {}
    for text, key in keys.items():
        place = {level: i for i, level in enumerate(key.levels)}
        if not all(row[key.alias] in place for row in rows):
            raise changed_error(source)
        codes[text] = np.array([place[row[key.alias]] for row in rows], dtype=np.intp)
    sums = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in results}
    return GroupSums(codes=codes, sums=sums)


def changed_error(source: Source) -> DataError:
    """Say that the rows are not those that were met before."""
    return DataError(f"{source.label} has changed since it was first read. Fit again when nothing writes to it.")
