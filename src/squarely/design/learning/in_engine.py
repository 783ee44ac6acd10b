"""Learning a design from an engine: levels, means, knots and ranges as aggregates, so that no row leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import narwhals as nw
import numpy as np

from squarely.data import Source, to_plain_level
from squarely.design.design import Design, LearnedState
from squarely.design.encoding.basis import inner_places, orthogonal_polynomials, require_varying
from squarely.design.encoding.categories import MOST_LEVELS, UNKNOWN_ROW, ObservedLevels, code_levels
from squarely.design.encoding.numbers_as_text import is_missing_word
from squarely.design.engine.complete_rows import CompleteRows, complete_rows_query, row_account_in_engine
from squarely.design.engine.narwhals_expressions import chebyshev_stages, require_digits, require_doubles
from squarely.design.formula.expression import Standardize
from squarely.design.formula.factors import Basis, Categorical, UntypedColumn, argument_of
from squarely.design.formula.formula import Formula
from squarely.design.formula.where import Where
from squarely.design.learning.aggregators import add_spline, add_standardization, too_near_values_error
from squarely.design.learning.from_rows import build_design, is_known, no_rows_error
from squarely.design.learning.plan import DesignPlan, plan_design, standardizations_in
from squarely.design.learning.quantiles import interpolate_quantiles, quantile_ranks
from squarely.numerics import Array, round_to_few_bits, two_sum


def learn_in_engine(formula: Formula, source: Source, where: Where | None = None) -> Design:
    """Learn what the columns are as `learn` does, by aggregates alone; centres and scales are left to the fold.

    Raises
    ------
    DataError, FormulaError : as `learn`.
    """
    outline = plan_design(formula, source, where, read_rows=False)
    moved = standardizations_in(outline.formula, outline.factors)
    learnt, scans = LearnedState(), 0 if where is None else require_doubles(where.condition, source)
    while means := [p for text, p in moved.items() if text not in learnt.standardizations and is_known(p.argument, learnt)]:
        learnt = _learn_means(outline, learnt, means)
        scans += 2
    for text, factor in outline.factors.items():
        if isinstance(factor, Categorical):
            learnt = _learn_levels(outline, learnt, text, factor)
            scans += 1
    bases = [f for f in outline.factors.values() if isinstance(f, Basis) and f.kind != "powers"]
    if bases:
        learnt, more = _learn_ranges(outline, learnt, bases)
        scans += more
    if polynomials := [factor for factor in bases if factor.kind == "poly"]:
        learnt = _learn_polynomials(outline, learnt, polynomials)
        scans += 1
    return build_design(outline, learnt, scans)


def _complete_rows(outline: DesignPlan, learnt: LearnedState) -> CompleteRows:
    """Lay out the rows that are complete as far as that is known: what waits for a mean has no value yet."""
    factors = outline.factors.values()
    ready = [f for f in factors if isinstance(f, Categorical) or is_known(argument_of(f), learnt)]
    inside = {part.text: part.argument for part in standardizations_in(outline.formula, outline.factors).values()}
    now = {text: e for text, e in {**outline.formula.response_and_offsets, **inside}.items() if is_known(e, learnt)}
    return complete_rows_query(
        outline.source, ready, now, learnt, where=outline.where, extra_columns=(outline.numbers, outline.labels)
    )


def _require_rows(outline: DesignPlan, page: CompleteRows, n: int) -> None:
    if not n:
        account, _ = row_account_in_engine(outline.source, page, 0)
        raise no_rows_error(outline.source, account, [*outline.numbers, *outline.labels], outline.where)


def _learn_means(outline: DesignPlan, learnt: LearnedState, parts: Sequence[Standardize]) -> LearnedState:
    """Learn means and deviations: first a mean, then both from what rows are away from a short number near it."""
    page = _complete_rows(outline, learnt)
    said = {f"m{i}": page.expression(part.argument) for i, part in enumerate(parts)}
    results = {"n0": nw.len()} | {f"a{alias}": e.mean() for alias, e in said.items()}
    results |= {f"c{alias}": e.min() for alias, e in said.items()} | {f"d{alias}": e.max() for alias, e in said.items()}
    row = outline.source.aggregate(page.query, results | {f"b{alias}": e.std(ddof=0) for alias, e in said.items()})[0]
    n = int(row["n0"])
    _require_rows(outline, page, n)
    ends = {alias: (float(row[f"c{alias}"]), float(row[f"d{alias}"])) for alias in said}
    near = {alias: round_to_few_bits(float(row[f"a{alias}"]), float(row[f"b{alias}"])) for alias in said}
    query = page.query.with_stages({alias: e - near[alias] for alias, e in said.items()})
    sums = {f"a{alias}": nw.col(alias).sum() for alias in said}
    row = outline.source.aggregate(query, sums | {f"b{alias}": (nw.col(alias) * nw.col(alias)).sum() for alias in said})[0]
    for alias, part in zip(said, parts, strict=True):
        away = np.asarray(row[f"a{alias}"], dtype=np.float64) / n
        squares = max(float(row[f"b{alias}"]) - n * float(away) ** 2, 0.0)
        learnt = add_standardization(part, learnt, (n, two_sum(np.asarray(near[alias]), away), squares, *ends[alias]))
    return learnt


def _learn_levels(outline: DesignPlan, learnt: LearnedState, text: str, factor: Categorical) -> LearnedState:
    page, source = _complete_rows(outline, learnt), outline.source
    alias = page.labels[factor.name.name]
    if source.column_info(factor.name.name).decimal_places is not None:
        require_digits([factor.name.name], source, text)
    few = replace(page.query, group_limit=MOST_LEVELS + 1)  # enough to be refused
    rows = source.aggregate(few, {"n0": nw.len()}, [alias])
    _require_rows(outline, page, len(rows))
    counts = {to_plain_level(row[alias]): int(row["n0"]) for row in rows}
    marks = {level: count for level, count in counts.items() if is_missing_word(level)}
    found = ObservedLevels(dict.fromkeys(counts, UNKNOWN_ROW), marks)
    made = code_levels(factor, found, source, is_untyped=isinstance(outline.formula.factors[text], UntypedColumn))
    return replace(learnt, contrasts={**learnt.contrasts, text: made})


def _learn_ranges(outline: DesignPlan, learnt: LearnedState, bases: Sequence[Basis]) -> tuple[LearnedState, int]:
    """Learn the ranges of the arguments of bases, and the knots of splines with `df`: quantiles of all values; tell the scans."""
    page, source = _complete_rows(outline, learnt), outline.source
    knows = source.require_engine().quantiles
    results = {"n0": nw.len()}
    for i, factor in enumerate(bases):
        x = page.expression(factor.argument)
        results |= {f"a{i}": x.min(), f"b{i}": x.max()}
        if knows:
            places = inner_places(factor).tolist()
            results |= {f"q{i}k{j}": x.quantile(place, interpolation="linear") for j, place in enumerate(places)}
    row, scans = source.aggregate(page.query, results)[0], 1
    n = int(row["n0"])
    _require_rows(outline, page, n)
    for i, factor in enumerate(bases):
        ends, places = (float(row[f"a{i}"]), float(row[f"b{i}"])), inner_places(factor)
        if factor.kind == "poly":
            require_varying(factor.text, *ends)
            learnt = replace(learnt, ranges={**learnt.ranges, factor.text: ends})
            continue
        if knows or not len(places):
            knots = np.array([float(row[f"q{i}k{j}"]) for j in range(len(places))])
        else:
            knots, more = _sorted_quantiles(source, page, page.expression(factor.argument), n, places)
            scans += more
        learnt = add_spline(learnt, factor, knots if factor.knots is None else np.array(factor.knots), ends)
    return learnt, scans


def _sorted_quantiles(source: Source, page: CompleteRows, x: nw.Expr, n: int, places: Array) -> tuple[Array, int]:
    """Give quantiles (type 7) of n values where an engine knows none: it sorts them, once for each value; tell the scans.

    The value of rank r is the largest of the first r + 1.
    """
    ranks = quantile_ranks(n, places)
    query = page.query.with_stages({"x0": x})
    firsts = {rank: replace(query, order_by="x0", row_limit=rank + 1) for rank in ranks}
    values = {rank: float(source.aggregate(first, {"m0": nw.col("x0").max()})[0]["m0"]) for rank, first in firsts.items()}
    return interpolate_quantiles(n, places, values), len(ranks)


def _learn_polynomials(outline: DesignPlan, learnt: LearnedState, factors: Sequence[Basis]) -> LearnedState:
    """Learn orthogonal polynomials from the cross-products of Chebyshev polynomials, which are far from collinear."""
    page = _complete_rows(outline, learnt)
    query, results, names = page.query, {"n0": nw.len()}, []
    for i, factor in enumerate(factors):
        low, high = learnt.ranges[factor.text]
        query = query.with_stages({f"x{i}": page.expression(factor.argument)})
        stages, chebyshev = chebyshev_stages(f"x{i}", f"t{i}d", low, high, factor.degree)
        query = query.with_stages(*stages)
        names.append(chebyshev)
        for a, left in enumerate(chebyshev):
            results |= {f"a{left}": nw.col(left).sum()}
            results |= {f"a{left}b{right}": (nw.col(left) * nw.col(right)).sum() for right in chebyshev[a:]}
    row = outline.source.aggregate(query, results)[0]
    for factor, chebyshev in zip(factors, names, strict=True):
        low, high = learnt.ranges[factor.text]
        G = np.zeros((factor.degree + 1, factor.degree + 1))
        G[0, 0] = row["n0"]
        for a, left in enumerate(chebyshev, start=1):
            G[0, a] = row[f"a{left}"]
            for b, right in enumerate(chebyshev[a - 1 :], start=a):
                G[a, b] = row[f"a{left}b{right}"]
        learnt = replace(
            learnt, bases={**learnt.bases, factor.text: orthogonal_polynomials(_cholesky_factor(G, factor), low, high)}
        )
    return learnt


def _cholesky_factor(G: Array, factor: Basis) -> Array:
    """Give R with R'R = G, of which the upper triangle is filled."""
    full = np.triu(G) + np.triu(G, 1).T
    try:
        R = np.asarray(np.linalg.cholesky(full).T, dtype=np.float64)
    except np.linalg.LinAlgError:
        raise too_near_values_error(factor) from None
    if np.diag(R).min() ** 2 <= 1e-13 * full[0, 0]:
        raise too_near_values_error(factor)
    return R
