"""Which of the two folds serves a source: batches of its rows, or aggregates inside its engine."""

from __future__ import annotations

from squarely.data import Source
from squarely.design import Formula
from squarely.errors import OptionError
from squarely.moments.cross_products import Moments

FOLDS = ("auto", "batches", "aggregates")


def choose_fold(fold: str, source: Source, formula: Formula) -> str:
    """Choose "batches" or "aggregates" for a source.

    Raises
    ------
    OptionError : there is no such fold.
    DataError : aggregates are wanted, and the source has none.
    """
    if fold not in FOLDS:
        raise OptionError(f"fold={fold!r} is not understood. Use 'auto', 'batches' or 'aggregates'.")
    if fold == "aggregates":
        source.require_engine()
        return fold
    return "batches"


def unserved(moments: Moments, error: Exception) -> str:
    """Say that aggregates were tried and did not serve."""
    engine = moments.aggregated.engine if moments.aggregated else ""
    return f"Read in batches: by aggregates in {engine}, {str(error).split('. ')[0]}."
