"""Gather Moments: from batches of rows, or from aggregates in the engine that has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import narwhals as nw
import numpy as np

from squarely import types
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
    require_finite_weights,
    require_weights_in_engine,
    row_account_in_engine,
    with_centers,
)
from squarely.errors import OptionError, require_one_of
from squarely.moments.cross_products import Fold, fold_products, fold_response_products
from squarely.moments.engine.client import EngineClient
from squarely.moments.engine.columns import EngineColumns
from squarely.moments.engine.gram import PILOT_ROWS, EngineGram, EngineRecord, gram_in_engine
from squarely.moments.moments import FAR_DEVIATIONS, Moments, require_range

CHEAP_CELLS = 10_000_000  # batches are cheap up to so many: double-double costs about 8 ns a cell, a tenth of a second here


def require_fold(fold: str) -> None:
    """Raise an OptionError if there is no such fold."""
    require_one_of("fold", fold, get_args(types.Fold))


def choose_fold(fold: str, source: Source, formula: Formula) -> str:
    """Choose "batches" or "aggregates" for a source.

    "auto" means batches, with two exceptions: an engine whose rows cannot be read; and many rows with few plain numeric columns
    in an engine that is measured to be clearly faster.

    Raises
    ------
    OptionError : there is no such fold, or the engine does not give its rows and `fold` is "batches".
    DataError : `fold` is "aggregates", and the source has no engine.
    """
    require_fold(fold)
    if fold == "aggregates":
        source.require_engine()
    if is_aggregate_only(source):
        if fold == "batches":
            raise OptionError(
                f"fold='batches' would read the rows of {source.label}, which stay in {source.require_engine().name}. Leave fold= "
                "out to compute sums there, or write the rows to a Parquet file and give its path."
            )
        return "aggregates"
    if fold != "auto":
        return fold
    if not prefers_engine(source, formula):
        return "batches"
    rows = int(source.aggregate(Query(), {"n0": nw.len()})[0]["n0"])
    return "aggregates" if rows * (len(formula.terms) + 1) > CHEAP_CELLS else "batches"


def prefers_engine(source: Source, formula: Formula) -> bool:
    """Return whether the engine is measured to be clearly faster for many rows: few terms, all of them plain numeric columns.

    An engine rounds what it computes, such as a response less offsets.
    """
    if formula.offsets or formula.weights or formula.effects:
        return False
    if source.engine is None or not 0 < len(formula.terms) <= source.engine.preferred_up_to:
        return False
    expressions = [*formula.response_and_offsets.values(), *map(argument_of, formula.factors.values())]
    bases = any(isinstance(factor, Basis | Categorical) for factor in formula.factors.values())
    names = [e.name for e in expressions if isinstance(e, Name) and e.name in source.columns]
    return not bases and len(names) == len(expressions) and all(source.kind(name) == "number" for name in names)


def fallback_remark(moments: Moments, error: Exception) -> str:
    """Return the remark that aggregates were too inexact."""
    engine = moments.engine_record.engine if moments.engine_record else ""
    return f"Read in batches: by aggregates in {engine}, {str(error).split('. ')[0]}."


def gather_in_engine(design: Design, source: Source) -> Moments:
    """Compute Moments by aggregates; sum again with better centers if those of the first rows are far from the means."""
    rows = complete_rows_query(source, design.inputs, design.learned, where=design.where)
    client = EngineClient(source)
    client.scans += require_weights_in_engine(source, rows, design.formula)
    plan = EngineColumns(design=design, rows=rows, monomials=tuple(monomials_of(design)))
    engine_gram = gram_in_engine(plan, client, first=None if plan.is_power else PILOT_ROWS)
    passes = 1
    if _is_far(engine_gram):
        engine_gram = gram_in_engine(engine_gram.columns, client)
        passes = 2
    account, scans = row_account_in_engine(source, rows, engine_gram.n)
    require_finite_weights(design.formula, account, source.label)
    client.scans += scans
    return _moments_of(engine_gram, client, account, passes)


def _moments_of(engine_gram: EngineGram, client: EngineClient, account: RowAccount, passes: int) -> Moments:
    """Derive Moments of [1, (x - c) / s, (y - c) / s] from the cross-products of W."""
    columns, M, source = engine_gram.columns, engine_gram.to_data_columns, client.source
    n = float(engine_gram.gram[0, 0])  # the sum of the weights, if there are any
    if not engine_gram.n:
        raise no_rows_error(source, account, [*columns.rows.numbers, *columns.rows.labels], columns.design.where)
    infinite = ~np.isfinite(np.diag(engine_gram.gram))  # set aside, so that only the columns made of these are out of range
    sums = np.where(infinite | infinite[:, None], 0.0, engine_gram.gram)
    with np.errstate(over="ignore", invalid="ignore"):  # `require_range` reports what is not finite
        first = sums[0] / n
        mean = first @ M
        deviation = np.sqrt(np.maximum(np.diag(M.T @ (sums / n - np.outer(first, first)) @ M), 0.0))
        design = with_centers(columns.design, mean=mean[1:], deviation=deviation[1:])
        centers, scales = design.centers.copy(), design.scales.copy()
        centers[-1], scales[-1] = columns.shifts[-1], columns.units[-1]
        design = replace(design, centers=centers, scales=scales)
        B = M.copy()
        B[0] -= design.column_centers
        B = B / design.column_scales
        gram = B.T @ sums @ B
        gram = (gram + gram.T) / 2
    gram[0, 0] = n
    np.fill_diagonal(gram, np.where((M[infinite] != 0).any(axis=0), np.inf, np.diag(gram)))
    require_range(design, source, gram)
    record = EngineRecord(engine=client.engine.name, scans=client.scans, expressions=client.expressions, engine_gram=engine_gram)
    return Moments(design=design, gram=gram, account=account, passes=passes, engine_record=record)


def _is_far(engine_gram: EngineGram) -> bool:
    """Return whether a centered column has its mean many standard deviations from zero."""
    columns, gram = engine_gram.columns, engine_gram.gram
    if not columns.design.intercept:
        return False
    with np.errstate(over="ignore", invalid="ignore"):  # `require_range` reports what is not finite
        mean = gram[0] / gram[0, 0]
        deviation = np.sqrt(np.maximum(np.diag(gram) / gram[0, 0] - mean**2, 0.0))
    numeric = np.array([True, *(not m.pattern for m in columns.monomials), True])
    return bool((numeric & (deviation > 0) & (np.abs(mean) > FAR_DEVIATIONS * deviation)).any())


def fold_moments(design: Design, source: Source, fold: Fold | None = None) -> Moments:
    """Sum the rows into Moments. The order of the batches fixes every bit of the result."""
    gram, account = (fold or fold_products)(design, source)
    require_range(design, source, gram)
    return Moments(design=design, gram=gram, account=account)


def gather_moments(design: Design, source: Source, fold: Fold | None = None) -> Moments:
    """Sum the rows into Moments; sum again with better centers if those of the first rows are far from the means."""
    moments = fold_moments(design, source, fold)
    if not _has_far_centers(moments):
        return moments
    return replace(fold_moments(_recenter(moments), source, fold), passes=2)


def gather_response_moments(designs: Sequence[Design], source: Source) -> list[Moments]:
    """Do as `gather_moments` for designs that differ in their responses alone; all of them are summed in one scan."""
    every = _fold_responses(designs, source)
    if not any(map(_has_far_centers, every)):
        return every
    return [replace(moments, passes=2) for moments in _fold_responses([_recenter(moments) for moments in every], source)]


def _fold_responses(designs: Sequence[Design], source: Source) -> list[Moments]:
    grams, account = fold_response_products(designs, source)
    for design, gram in zip(designs, grams, strict=True):
        require_range(design, source, gram)
    return [Moments(design=design, gram=gram, account=account) for design, gram in zip(designs, grams, strict=True)]


def _has_far_centers(moments: Moments) -> bool:
    design, deviations = moments.design, np.sqrt(moments.variances)
    far = np.abs(moments.means - design.centers) > FAR_DEVIATIONS * deviations
    far[design.layout.grouped] = False  # indicators are not centered
    return design.intercept and bool((far & (deviations > 0)).any())


def _recenter(moments: Moments) -> Design:
    return with_centers(moments.design, mean=moments.means, deviation=np.sqrt(moments.variances))
