"""Learn a design inside an engine: each pass of the plan is a few queries, so that no row leaves the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import narwhals as nw

from squarely.data import Source
from squarely.design.design import Design
from squarely.design.encoding.learned_state import LearnedState
from squarely.design.engine.complete_rows import CompleteRows, complete_rows_query, row_account_in_engine
from squarely.design.engine.narwhals_expressions import require_doubles
from squarely.design.formula.formula import Formula
from squarely.design.formula.where import Where
from squarely.design.learning.engine_aggregates import Aggregates, Rows, aggregates_of
from squarely.design.learning.no_rows import no_rows_error
from squarely.design.learning.plan import DesignPlan, plan_design


def learn_in_engine(formula: Formula, source: Source, where: Where | None = None) -> Design:
    """Learn what the columns are as `learn_from_rows` does, by aggregates alone; centers and scales are left to the fold.

    Raises
    ------
    DataError, FormulaError : as `learn_from_rows`.
    """
    plan = plan_design(formula, source, where, read_rows=False)
    state, scans = LearnedState(), 0 if where is None else require_doubles(where.condition, source)
    for tasks in plan.passes:
        rows = complete_rows_query(
            source,
            plan.inputs.ready(plan.standardizations, state),
            state,
            where=plan.where,
            extra_columns=(plan.inputs.numbers, plan.inputs.labels),
        )
        waiting = {task.subject.text: aggregates_of(task, plan, state, rows, f"t{i}") for i, task in enumerate(tasks)}
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
