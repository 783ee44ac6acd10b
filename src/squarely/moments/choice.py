"""Which of the two folds serves a source: batches of its rows, or aggregates inside its engine."""

from __future__ import annotations

import narwhals as nw

from squarely.data import Query, Source, keeps_rows
from squarely.design import Basis, Categorical, Formula, Name, expression_of
from squarely.errors import OptionError, require_word
from squarely.moments.cross_products import Moments

FOLDS = ("auto", "batches", "aggregates")
_MANY = 10_000_000  # cells; fewer are cheap in batches, which then keep residuals in double-double


def require_fold(fold: str) -> None:
    """Raise an OptionError if there is no such fold."""
    require_word("fold", fold, FOLDS)


def choose_fold(fold: str, source: Source, formula: Formula) -> str:
    """Choose "batches" or "aggregates" for a source.

    "auto" means batches, unless there are many rows, few columns, all of them plain numbers, and an engine that is measured to be
    clearly faster by itself; or an engine that keeps its rows.

    Raises
    ------
    OptionError : there is no such fold, or batches are wanted of an engine that keeps its rows.
    DataError : aggregates are wanted, and the source has none.
    """
    require_fold(fold)
    if fold == "aggregates":
        source.require_engine()
    if keeps_rows(source):
        if fold == "batches":
            raise OptionError(
                f"fold='batches' would read the rows of {source.label}, which stay in {source.require_engine().name}. Leave fold= "
                "out: sums are worked out there. To have the rows read, write them to a Parquet file and give its path."
            )
        return "aggregates"
    if fold != "auto":
        return fold
    if not suits_aggregates(source, formula):
        return "batches"
    rows = int(source.aggregate(Query(), {"n0": nw.len()})[0]["n0"])
    return "aggregates" if rows * (len(formula.terms) + 1) > _MANY else "batches"


def suits_aggregates(source: Source, formula: Formula) -> bool:
    """Tell whether aggregates are measured to be clearly faster if there are many rows: few columns, all of plain numbers."""
    return source.engine is not None and 0 < len(formula.terms) <= source.engine.narrow and _is_plain(formula, source)


def _is_plain(formula: Formula, source: Source) -> bool:
    """Tell whether a formula names nothing but columns of numbers, all of which are there: an engine rounds what it computes."""
    if formula.offsets:  # so it would round the response less these
        return False
    expressions = [*formula.outside.values(), *map(expression_of, formula.factors.values())]
    bases = any(isinstance(factor, Basis | Categorical) for factor in formula.factors.values())
    names = [e.name for e in expressions if isinstance(e, Name) and e.name in source.columns]
    return not bases and len(names) == len(expressions) and all(source.kind(name) == "number" for name in names)


def unserved(moments: Moments, error: Exception) -> str:
    """Say that aggregates were tried and did not serve."""
    engine = moments.aggregated.engine if moments.aggregated else ""
    return f"Read in batches: by aggregates in {engine}, {str(error).split('. ')[0]}."
