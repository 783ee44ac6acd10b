"""`EngineClient`: ask an engine for sums over the rows, and count what it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import narwhals as nw

from squarely.data import Engine, Query, Row, Source


@dataclass(frozen=True, slots=True)
class QueryCost:
    """The scans of all rows, and the aggregate expressions."""

    scans: int = 0
    expressions: int = 0

    def __add__(self, other: QueryCost) -> QueryCost:
        return QueryCost(self.scans + other.scans, self.expressions + other.expressions)


@dataclass(slots=True, eq=False)
class EngineClient:
    """Ask the engine of a source for aggregates; `cost` is what has been asked so far. The first few rows cost nothing."""

    source: Source
    cost: QueryCost = field(default_factory=QueryCost)

    @property
    def engine(self) -> Engine:
        """The engine of the source."""
        return self.source.require_engine()

    def aggregate(self, query: Query, results: Mapping[str, nw.Expr], keys: Sequence[str] = ()) -> list[Row]:
        """Return one row of results for each combination of the keys, or a single row without keys."""
        if query.row_limit is None:
            self.cost += QueryCost(-(-len(results) // self.engine.max_aggregates), len(results))
        return self.source.aggregate(query, results, keys)

    def sum_squared_differences(self, query: Query, column: str) -> float:
        """Sum the squared differences of a column from row to row."""
        self.cost += QueryCost(1, 1)
        return self.source.sum_squared_differences(query, column)
