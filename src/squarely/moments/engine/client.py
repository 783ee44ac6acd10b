"""`EngineClient`: ask an engine for sums over the rows, and count what it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import narwhals as nw

from squarely.data import Engine, Query, Row, Source


@dataclass(slots=True, eq=False)
class EngineClient:
    """Ask the engine of a source for aggregates, and count the scans of all rows and the expressions; the first rows cost none."""

    source: Source
    scans: int = 0
    expressions: int = 0

    @property
    def engine(self) -> Engine:
        """The engine of the source."""
        return self.source.require_engine()

    def aggregate(self, query: Query, results: Mapping[str, nw.Expr], keys: Sequence[str] = ()) -> list[Row]:
        """Return one row of results for each combination of the keys, or a single row without keys."""
        if query.row_limit is None:
            self.scans += -(-len(results) // self.engine.max_aggregates)
            self.expressions += len(results)
        return self.source.aggregate(query, results, keys)

    def sum_squared_differences(self, query: Query, column: str) -> float:
        """Sum the squared differences of a column from row to row."""
        self.scans += 1
        self.expressions += 1
        return self.source.sum_squared_differences(query, column)
