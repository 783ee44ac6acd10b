"""Learn a design inside an engine: each pass of the plan is a few queries, so that no row leaves the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import narwhals as nw
import numpy as np

from squarely.data import Query, Row, Source, to_plain_level
from squarely.design.design import Design
from squarely.design.encoding.basis import inner_places, make_spline, orthogonal_polynomials, range_or_spline, too_near_values_error
from squarely.design.encoding.categories import MOST_LEVELS, UNKNOWN_ROW, code_levels
from squarely.design.encoding.learned_state import Learned, LearnedState, mean_and_deviation
from squarely.design.engine.complete_rows import CompleteRows, complete_rows_query, row_account_in_engine
from squarely.design.engine.narwhals_expressions import chebyshev_stages, require_digits, require_doubles
from squarely.design.formula.expression import Standardize
from squarely.design.formula.factors import Basis, Categorical
from squarely.design.formula.formula import Formula
from squarely.design.formula.where import Where
from squarely.design.learning.plan import DesignPlan, LearningTask, no_rows_error, plan_design
from squarely.design.learning.quantiles import interpolate_quantiles, quantile_ranks
from squarely.numerics import round_to_few_bits, two_sum

Rows = Sequence[Row]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Aggregates:
    """What one task asks about the complete rows, with the `stages` that make further columns for it.

    `finish` makes of the answer what is learned, or the next question. A task that cannot share the query of the complete rows has
    a `query`, and the `keys` by which it groups rows.
    """

    results: Mapping[str, nw.Expr]
    finish: Callable[[Rows], Learned | Aggregates]
    stages: Sequence[Mapping[str, nw.Expr]] = ()
    query: Query | None = None
    keys: Sequence[str] = ()


def learn_in_engine(formula: Formula, source: Source, where: Where | None = None) -> Design:
    """Learn what the columns are as `learn_from_rows` does, by aggregates alone; centers and scales are left to the fold.

    Raises DataError and FormulaError as `learn_from_rows`.
    """
    plan = plan_design(formula, source, where, read_rows=False)
    state, scans = LearnedState(), 0 if where is None else require_doubles(where.condition, source)
    for tasks in plan.passes:
        # rows are complete in all columns, whatever this pass reads
        inputs = replace(plan.ready(state), numbers=plan.inputs.numbers, labels=plan.inputs.labels)
        rows = complete_rows_query(source, inputs, state, where=plan.where)
        waiting = {task.subject.text: _aggregates_of(task, plan, state, rows, f"t{i}") for i, task in enumerate(tasks)}
        while waiting:
            asked = next(({text: each} for text, each in waiting.items() if each.query is not None), dict(waiting))
            answer = _ask(plan, rows, [*asked.values()])
            for text, each in asked.items():
                del waiting[text]
                result = each.finish(answer)
                if isinstance(result, Aggregates):
                    waiting[text] = result
                else:
                    state = state.learn(text, result)
            scans += 1
    return plan.design(state, scans)


def _ask(plan: DesignPlan, rows: CompleteRows, asked: Sequence[Aggregates]) -> Rows:
    """Answer aggregates that share one query; raises DataError if no row is complete."""
    query, keys = asked[0].query or rows.query, asked[0].keys
    for stages in zip_longest(*(each.stages for each in asked), fillvalue={}):
        query = query.with_stages({alias: x for stage in stages for alias, x in stage.items()})
    results: Mapping[str, nw.Expr] = {alias: x for each in asked for alias, x in each.results.items()}
    answer = plan.source.aggregate(query, {"n0": nw.len(), **results}, keys)
    if not answer or not int(answer[0]["n0"]):
        account, _ = row_account_in_engine(plan.source, rows, 0)
        raise no_rows_error(plan.source, account, [*plan.inputs.numbers, *plan.inputs.labels], plan.where)
    return answer


def _aggregates_of(task: LearningTask, plan: DesignPlan, state: LearnedState, rows: CompleteRows, alias: str) -> Aggregates:
    """Return what an engine is asked for a task, given what the passes before have learned; its columns begin with `alias`."""
    if isinstance(task.subject, Standardize):
        return _mean_aggregates(task.subject, rows, alias)
    if isinstance(task.subject, Categorical):
        return _level_aggregates(task.subject, plan.source, rows)
    if task.kind == "polynomials":
        return _polynomial_aggregates(task.subject, state, rows, alias)
    return _basis_aggregates(task.subject, rows, alias, quantiles=plan.source.require_engine().quantiles)


def _mean_aggregates(part: Standardize, rows: CompleteRows, alias: str) -> Aggregates:
    """Ask for a mean and a deviation: first roughly, then both from the differences to a number of few bits near the mean."""
    x, z = rows.expression(part.argument), nw.col(alias)

    def ask_again(answer: Rows) -> Aggregates:
        mean, deviation, low, high = (float(answer[0][f"{alias}{name}"]) for name in "abcd")
        near = round_to_few_bits(mean, deviation)

        def finish(answer: Rows) -> Learned:
            n = int(answer[0]["n0"])
            difference = np.asarray(answer[0][f"{alias}a"], dtype=np.float64) / n
            squares = max(float(answer[0][f"{alias}b"]) - n * float(difference) ** 2, 0.0)
            return mean_and_deviation(part, (n, two_sum(np.asarray(near), difference), squares, low, high))

        return Aggregates(results={f"{alias}a": z.sum(), f"{alias}b": (z * z).sum()}, stages=({alias: x - near},), finish=finish)

    results = {f"{alias}a": x.mean(), f"{alias}b": x.std(ddof=0), f"{alias}c": x.min(), f"{alias}d": x.max()}
    return Aggregates(results=results, finish=ask_again)


def _level_aggregates(factor: Categorical, source: Source, rows: CompleteRows) -> Aggregates:
    name = factor.name.name
    alias = rows.labels[name]
    if source.column_info(name).decimal_places is not None:
        require_digits([name], source, factor.text)

    def finish(answer: Rows) -> Learned:
        return code_levels(factor, {to_plain_level(row[alias]): (UNKNOWN_ROW, int(row["n0"])) for row in answer}, source)

    few = replace(rows.query, group_limit=MOST_LEVELS + 1)  # enough to be refused
    return Aggregates(results={}, query=few, keys=[alias], finish=finish)


def _basis_aggregates(factor: Basis, rows: CompleteRows, alias: str, *, quantiles: bool) -> Aggregates:
    """Ask for the range of the argument, and for the knots of a spline with `df`; without `quantiles`, the engine sorts values."""
    x, places = rows.expression(factor.argument), inner_places(factor)

    def finish(answer: Rows) -> Learned | Aggregates:
        ends = float(answer[0][f"{alias}a"]), float(answer[0][f"{alias}b"])
        if not quantiles and len(places):
            return _sorted_quantiles(factor, ends, int(answer[0]["n0"]), rows.query.with_stages({"x0": x}), {})
        knots = [float(answer[0][f"{alias}q{j}"]) for j in range(len(places))]
        return range_or_spline(factor, np.array(factor.knots or knots), *ends)

    results = {f"{alias}a": x.min(), f"{alias}b": x.max()}
    if quantiles:
        results |= {f"{alias}q{j}": x.quantile(place, interpolation="linear") for j, place in enumerate(places.tolist())}
    return Aggregates(results=results, finish=finish)


def _sorted_quantiles(factor: Basis, ends: tuple[float, float], n: int, query: Query, values: Mapping[int, float]) -> Aggregates:
    """Ask for quantiles (type 7) of n sorted values, one rank at a time: the value of rank r is the largest of the first r + 1."""
    ranks = quantile_ranks(n, inner_places(factor))
    rank = ranks[len(values)]

    def finish(answer: Rows) -> Learned | Aggregates:
        found = {**values, rank: float(answer[0]["m0"])}
        if len(found) < len(ranks):
            return _sorted_quantiles(factor, ends, n, query, found)
        return make_spline(factor, interpolate_quantiles(n, inner_places(factor), found), *ends)

    first = replace(query, order_by="x0", row_limit=rank + 1)
    return Aggregates(results={"m0": nw.col("x0").max()}, query=first, finish=finish)


def _polynomial_aggregates(factor: Basis, state: LearnedState, rows: CompleteRows, alias: str) -> Aggregates:
    """Ask for the cross-products of Chebyshev polynomials, which are far from collinear."""
    low, high = state.ranges[factor.text]
    stages, names = chebyshev_stages(f"{alias}x", f"{alias}d", low, high, factor.degree)
    columns = [nw.lit(1.0), *map(nw.col, names)]
    pairs = [(a, b) for a in range(len(columns)) for b in range(a, len(columns)) if b]

    def finish(answer: Rows) -> Learned:
        G = np.zeros((len(columns), len(columns)))
        G[0, 0] = answer[0]["n0"]
        for a, b in pairs:
            G[a, b] = G[b, a] = answer[0][f"{alias}g{a}b{b}"]
        try:
            R = np.asarray(np.linalg.cholesky(G).T, dtype=np.float64)
        except np.linalg.LinAlgError:
            raise too_near_values_error(factor) from None
        if np.diag(R).min() ** 2 <= 1e-13 * G[0, 0]:
            raise too_near_values_error(factor)
        return orthogonal_polynomials(R, low, high)

    results = {f"{alias}g{a}b{b}": (columns[a] * columns[b] if a else columns[b]).sum() for a, b in pairs}
    return Aggregates(results=results, stages=[{f"{alias}x": rows.expression(factor.argument)}, *stages], finish=finish)
