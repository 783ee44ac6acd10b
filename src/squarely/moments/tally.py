"""Sums by group: what is asked of one engine, in as few queries as serve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import narwhals as nw
import numpy as np

from squarely.data import Query, Source
from squarely.errors import DataError
from squarely.numerics import Array

Keys = frozenset[str]
_FEW_CELLS = 4_096  # so many groups cost an engine little more than one


@dataclass(frozen=True, slots=True)
class Effort:
    """What was asked: scans of the rows, and aggregate expressions."""

    scans: int = 0
    expressions: int = 0

    def __add__(self, other: Effort) -> Effort:
        return Effort(self.scans + other.scans, self.expressions + other.expressions)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Cells:
    """Sums for each group that has rows.

    Attributes
    ----------
    codes : key -> (cells,) the place of its level. `sums` name -> (cells,).
    """

    codes: Mapping[str, np.ndarray]
    sums: Mapping[str, Array] = field(default_factory=dict)

    def table(self, name: str, places: Mapping[str, int]) -> Array:
        """Give sums (levels, ...) by the places of some keys, in their order; `places` has the number of levels of each."""
        total = np.zeros(tuple(places.values()))
        if not places:
            return total + self.sums[name].sum()
        np.add.at(total, tuple(self.codes[key] for key in places), self.sums[name])
        return total


def tally(
    source: Source, query: Query, wanted: Mapping[Keys, Mapping[str, nw.Expr]], levels: Mapping[str, int]
) -> tuple[dict[Keys, Cells], Effort]:
    """Work out sums by the groups that each set of keys makes; `levels` has the number of levels of each key.

    One query by all keys serves every set while it has few groups: sums over more keys add up to sums over fewer.

    Raises
    ------
    DataError : a sum is not finite, or a row has a level that was not there before.
    """
    keys = list(dict.fromkeys(key for some in wanted for key in sorted(some)))
    cells = math.prod(levels[key] for key in keys)
    together = cells <= _FEW_CELLS
    asked: dict[Keys, dict[str, nw.Expr]] = {}
    for some, results in wanted.items():
        asked.setdefault(frozenset(keys) if together else some, {}).update(results)
    effort = Effort()
    answers: dict[Keys, Cells] = {}
    for some, results in asked.items():
        answers[some] = _answer(source, query, sorted(some), results)
        bound = source.require_engine().bound
        effort += Effort(-(-len(results) // bound), len(results))
    return {some: answers[frozenset(keys) if together else some] for some in wanted}, effort


def _answer(source: Source, query: Query, keys: Iterable[str], results: Mapping[str, nw.Expr]) -> Cells:
    keys = list(keys)
    rows = source.aggregate(query, results, keys)
    codes = {}
    for key in keys:
        values = np.array([row[key] for row in rows], dtype=np.float64)
        if not np.isfinite(values).all():
            raise changed(source)
        codes[key] = values.astype(np.intp)
    sums = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in results}
    return Cells(codes=codes, sums=sums)


def changed(source: Source) -> DataError:
    """Say that the rows are not those that were met before."""
    return DataError(f"{source.label} has changed since it was first read. Fit again when nothing writes to it.")
