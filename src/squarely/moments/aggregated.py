"""The record that cross-products were made by aggregates inside an engine, and not from batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from squarely.moments.aggregates import Folded


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Aggregated:
    """How an engine was asked.

    Attributes
    ----------
    engine : what it is called.
    scans, expressions : how often the rows were read for the cross-products, and how many sums were asked for.
    folded : the columns that it worked with, to ask it again; None for a loaded fit.
    """

    engine: str
    scans: int
    expressions: int
    folded: Folded | None = None
