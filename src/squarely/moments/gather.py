"""Which of the two folds serves a source: batches of its rows, or aggregates inside its engine."""

from __future__ import annotations

from dataclasses import replace

import narwhals as nw
import numpy as np

from squarely.data import Query, RowAccount, Source, is_aggregate_only
from squarely.design import (
    Basis,
    Categorical,
    Design,
    Formula,
    Name,
    argument_of,
    complete_rows_query,
    monomials_of,
    no_rows_error,
    row_account_in_engine,
    with_centers,
)
from squarely.errors import OptionError, require_one_of
from squarely.moments.cross_products import Fold, fold_products
from squarely.moments.engine.columns import plan_engine_columns
from squarely.moments.engine.gram import PILOT_ROWS, EngineGram, EngineRecord, columns_from_first_rows, gram_in_engine
from squarely.moments.engine.group_sums import QueryCost
from squarely.moments.moments import FAR_DEVIATIONS, Moments, require_range
from squarely.numerics import Array

FOLDS = ("auto", "batches", "aggregates")
_MANY_CELLS = 10_000_000  # cells; fewer are cheap in batches, which then keep residuals in double-double


def require_fold(fold: str) -> None:
    """Raise an OptionError if there is no such fold."""
    require_one_of("fold", fold, FOLDS)


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
    if is_aggregate_only(source):
        if fold == "batches":
            raise OptionError(
                f"fold='batches' would read the rows of {source.label}, which stay in {source.require_engine().name}. Leave fold= "
                "out: sums are worked out there. To have the rows read, write them to a Parquet file and give its path."
            )
        return "aggregates"
    if fold != "auto":
        return fold
    if not prefers_engine(source, formula):
        return "batches"
    rows = int(source.aggregate(Query(), {"n0": nw.len()})[0]["n0"])
    return "aggregates" if rows * (len(formula.terms) + 1) > _MANY_CELLS else "batches"


def prefers_engine(source: Source, formula: Formula) -> bool:
    """Tell whether aggregates are measured to be clearly faster if there are many rows: few columns, all of plain numbers."""
    return source.engine is not None and 0 < len(formula.terms) <= source.engine.preferred_up_to and _is_plain(formula, source)


def _is_plain(formula: Formula, source: Source) -> bool:
    """Tell whether a formula names nothing but columns of numbers, all of which are there: an engine rounds what it computes."""
    if formula.offsets:  # so it would round the response less these
        return False
    expressions = [*formula.response_and_offsets.values(), *map(argument_of, formula.factors.values())]
    bases = any(isinstance(factor, Basis | Categorical) for factor in formula.factors.values())
    names = [e.name for e in expressions if isinstance(e, Name) and e.name in source.columns]
    return not bases and len(names) == len(expressions) and all(source.kind(name) == "number" for name in names)


def fallback_remark(moments: Moments, error: Exception) -> str:
    """Say that aggregates were tried and did not serve."""
    engine = moments.engine_record.engine if moments.engine_record else ""
    return f"Read in batches: by aggregates in {engine}, {str(error).split('. ')[0]}."


def gather_in_engine(design: Design, source: Source) -> Moments:
    """Fold the rows into Moments by aggregates; fold again about better centres if the pilot's were far off."""
    page = complete_rows_query(source, design.inputs, design.learned, where=design.where)
    layout = plan_engine_columns(design, page, monomials_of(design))
    layout, effort = columns_from_first_rows(layout, source, first=None if layout.is_power else PILOT_ROWS)
    folded, spent = gram_in_engine(layout, source)
    effort, passes = effort + spent, 1
    if _is_far(folded):
        layout, spent = columns_from_first_rows(layout, source, first=None)
        folded, more = gram_in_engine(layout, source)
        effort, passes = effort + spent + more, 2
    account, scans = row_account_in_engine(source, page, round(float(folded.gram[0, 0])))
    return moments_of(folded, source, account, effort + QueryCost(scans), passes)


def moments_of(folded: EngineGram, source: Source, account: RowAccount, effort: QueryCost, passes: int) -> Moments:
    """Derive Moments of [1, (x - c) / s, (y - c) / s] from the cross-products of W, which are kept beside."""
    design, way = folded.columns.design, folded.to_data_columns
    n = float(folded.gram[0, 0])
    if not n:
        raise no_rows_error(source, account, [*folded.columns.rows.numbers, *folded.columns.rows.labels], design.where)
    lost = ~np.isfinite(np.diag(folded.gram))  # beyond all range; only the columns that are made of these are to be blamed
    sums = np.where(lost | lost[:, None], 0.0, folded.gram)
    with np.errstate(over="ignore", invalid="ignore"):  # the range of the columns tells what is not finite
        first = sums[0] / n
        mean = first @ way
        spread = np.sqrt(np.maximum(np.diag(way.T @ (sums / n - np.outer(first, first)) @ way), 0.0))
        better = with_centers(design, mean=mean[1:], deviation=spread[1:])
        centres, scales = better.centers.copy(), better.scales.copy()
        centres[-1], scales[-1] = folded.columns.shifts[-1], folded.columns.units[-1]
        better = replace(better, centers=centres, scales=scales)
        B = way.copy()
        B[0] -= better.column_centers
        B = B / better.column_scales
        gram = B.T @ sums @ B
        gram = (gram + gram.T) / 2
    gram[0, 0] = n
    np.fill_diagonal(gram, np.where((way[lost] != 0).any(axis=0), np.inf, np.diag(gram)))
    require_range(better, source, gram, account.used)
    kept = EngineRecord(engine=source.require_engine().name, scans=effort.scans, expressions=effort.expressions, engine_gram=folded)
    return Moments(design=better, gram=gram, account=account, passes=passes, engine_record=kept)


def _means_and_deviations(gram: Array) -> tuple[Array, Array]:
    """Give the means and standard deviations of the columns of W; what is not finite is told by the range of the columns."""
    with np.errstate(over="ignore", invalid="ignore"):
        first = gram[0] / gram[0, 0]
        return first, np.sqrt(np.maximum(np.diag(gram) / gram[0, 0] - first**2, 0.0))


def _is_far(folded: EngineGram) -> bool:
    """Tell whether a column that is centred has its mean many standard deviations off."""
    if not folded.columns.design.intercept:
        return False
    first, spread = _means_and_deviations(folded.gram)
    alone = np.array([True, *(not m.pattern for m in folded.columns.monomials), True])
    return bool((alone & (spread > 0) & (np.abs(first) > FAR_DEVIATIONS * spread)).any())


def fold_moments(design: Design, source: Source, fold: Fold | None = None) -> Moments:
    """Fold the rows into Moments, in the order of the batches, which fixes every bit of the result."""
    gram, account = (fold or fold_products)(design, source)
    require_range(design, source, gram, account.used)
    return Moments(design=design, gram=gram, account=account)


def gather_moments(design: Design, source: Source, fold: Fold | None = None) -> Moments:
    """Fold the rows into Moments; fold again about better centres if the pilot's were far off."""
    moments = fold_moments(design, source, fold)
    means, spreads = moments.means, np.sqrt(moments.variances)
    off = np.abs(means - design.centers) > FAR_DEVIATIONS * spreads
    off[design.layout.grouped] = False  # indicators are not centred
    if not design.intercept or not (off & (spreads > 0)).any():
        return moments
    better = with_centers(design, mean=means, deviation=spreads)
    return replace(fold_moments(better, source, fold), passes=2)
