"""The complete rows that a fit uses, as a query of an engine, and their account."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import narwhals as nw

from squarely.data import CAUSES, Query, Row, RowAccount, Source
from squarely.design.design import RowInputs
from squarely.design.encoding.learned_state import LearnedState
from squarely.design.engine.narwhals_expressions import condition_to_narwhals, is_finite, to_narwhals
from squarely.design.formula.expression import Expression, Name
from squarely.design.formula.formula import Formula
from squarely.design.formula.where import Where, columns_compared_exactly
from squarely.design.weights import weights_error
from squarely.errors import DataError, pluralize
from squarely.numerics import EXACT_INTEGERS


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CompleteRows:
    """The rows that are complete in some columns and expressions.

    Attributes
    ----------
    filtered : the query of the rows that meet the condition. `complete` that of the complete ones among them, and `query` that of
        the complete ones whose weight is not zero.
    numbers, labels : the columns in which rows must be complete, with their aliases.
    named_expressions : the texts, under which gaps are counted, and aliases of expressions in which rows must have a value.
    values : the aliases of the values of the expressions. `learned` the means and deviations that they use.
    weights : the alias of the weights or frequencies, or None.
    """

    filtered: Query
    complete: Query
    query: Query
    numbers: Mapping[str, str]
    labels: Mapping[str, str]
    named_expressions: Mapping[str, str]
    values: Mapping[Expression, str]
    learned: LearnedState
    weights: str | None = None

    def expression(self, expression: Expression) -> nw.Expr:
        """Translate an expression of the columns for the engine."""
        if expression in self.values:
            return nw.col(self.values[expression])
        return to_narwhals(expression, self.numbers, self.learned.standardizations)


def complete_rows_query(source: Source, inputs: RowInputs, state: LearnedState, *, where: Where | None) -> CompleteRows:
    """Return the rows that meet a condition and are complete in the inputs."""
    filtered = _filtered_rows(source, inputs, where)  # the columns of the inputs come first
    numbers = {name: f"v{i}" for i, name in enumerate(inputs.numbers)}
    labels = {name: f"l{i}" for i, name in enumerate(inputs.labels)}
    flags = [nw.col(f"f{i}") for i in range(len(numbers))] + [nw.col(f"g{i}") for i in range(len(labels))]
    query = filtered.with_stages(nw.all_horizontal(*flags, ignore_nulls=False)) if flags else filtered
    texts: dict[Expression, str] = {}
    for text, expression in inputs.expressions.items():
        if not isinstance(expression, Name):
            texts.setdefault(expression, text)
    values = {expression: f"e{i}" for i, expression in enumerate(texts)}
    if values:
        stage = {alias: to_narwhals(expression, numbers, state.standardizations) for expression, alias in values.items()}
        are_finite = [is_finite(source, nw.col(alias)) for alias in stage]
        query = query.with_stages(stage, nw.all_horizontal(*are_finite, ignore_nulls=False))
    weights = None
    if inputs.weights is not None:
        expression = inputs.weights.expression
        weights = numbers[expression.name] if isinstance(expression, Name) else values[expression]
    return CompleteRows(
        filtered=filtered,
        complete=query,
        query=query if weights is None else query.with_stages(nw.col(weights) != 0),
        weights=weights,
        numbers=numbers,
        labels=labels,
        named_expressions={text: values[expression] for expression, text in texts.items()},
        values=values,
        learned=state,
    )


def _filtered_rows(source: Source, inputs: RowInputs, where: Where | None) -> Query:
    """Return the query that reads the columns of the inputs and those of a condition, in the rows that meet it."""
    numbers, labels = inputs.numbers, inputs.labels
    if where:
        exact = [name for name in columns_compared_exactly(where.condition) if source.column_info(name).is_wide]
        numbers, labels = (*numbers, *where.numbers), (*labels, *where.labels, *exact)
    query = Query(numbers=tuple(dict.fromkeys(numbers)), labels=tuple(dict.fromkeys(labels)))
    if half := [name for name in query.labels if source.column_info(name).narrow_type == "float16"]:
        raise DataError(
            f"{half[0]!r} of {source.label} holds float16, whose values have no short names there. {source.alternative}."
        )
    return query.with_stages({"w0": condition_to_narwhals(where.condition, query, source)}, nw.col("w0")) if where else query


def row_account_in_engine(source: Source, rows: CompleteRows, used: int) -> tuple[RowAccount, int]:
    """Account for all rows (read, filtered, `used`, dropped for gaps), and return the number of scans too.

    The number of all rows is not a scan: engines know it. The causes of gaps are asked for only if a row was dropped.
    """
    read = int(source.aggregate(Query(), {"n0": nw.len()})[0]["n0"])
    wide = {name: nw.col(alias) for name, alias in rows.numbers.items() if source.column_info(name).is_wide}
    answer: Row = {}
    if wide or rows.filtered.stages:
        inexact = [_count_true(is_finite(source, x) & (x.abs() >= EXACT_INTEGERS)) for x in wide.values()]
        answer = source.aggregate(rows.filtered, {"n0": nw.len()} | {f"w{i}": count for i, count in enumerate(inexact)})[0]
    remaining, scans = int(answer.get("n0", read)), int(bool(answer))
    rounded = {name: int(answer[f"w{i}"]) for i, name in enumerate(wide) if answer[f"w{i}"]}
    casts = {name: cast for name in rows.numbers if (cast := source.column_info(name).cast)}
    account = RowAccount(read=read, used=used, filtered=read - remaining, rounded=rounded, casts=casts)
    if rows.weights is not None:
        weightless = int(source.aggregate(rows.complete, {"n0": _count_true(nw.col(rows.weights) == 0)})[0]["n0"] or 0)
        account, scans = replace(account, weightless=weightless), scans + 1
    if used + account.weightless == remaining:
        return account, scans
    # Labels without fractions are neither NaN nor infinite.
    plain = [alias for name, alias in rows.labels.items() if not source.column_info(name).is_fractional]
    dropped = _count_gaps(source, rows.filtered, {**rows.numbers, **rows.labels}, plain)
    if rows.named_expressions:  # among the rows that are complete in the columns, before the last stage
        evaluated = replace(rows.complete, stages=rows.complete.stages[:-1])
        dropped |= _count_gaps(source, evaluated, rows.named_expressions, ())
    return replace(account, dropped=dropped), scans + 1 + bool(rows.named_expressions)


def require_weights_in_engine(source: Source, rows: CompleteRows, formula: Formula) -> int:
    """Raise a DataError if a complete row has a weight that `weights_error` refuses; return the number of scans."""
    if rows.weights is None:
        return 0
    w = nw.col(rows.weights)
    is_wrong = w < 0
    if formula.has_frequencies:
        is_wrong = is_wrong | (w.round() != w)
    results = {"n0": _count_true(is_wrong), "a0": nw.when(is_wrong).then(w).otherwise(nw.lit(None)).min()}
    row = source.aggregate(rows.complete, results)[0]
    if row["n0"]:
        raise weights_error(formula, float(row["a0"]), pluralize(int(row["n0"]), "row"), source.label)
    return 1


def _count_gaps(source: Source, query: Query, columns: Mapping[str, str], plain: Collection[str]) -> dict[str, dict[str, int]]:
    """Count the gaps of columns, which map to their aliases, by cause; `plain` ones can only be NULL."""
    results = {"n0": nw.len()}
    for i, alias in enumerate(columns.values()):
        x = nw.col(alias)
        results[f"a{i}"] = _count_true(x.is_null())
        if alias not in plain:
            results[f"b{i}"] = _count_true(is_finite(source, x))
            results[f"c{i}"] = _count_true((x == float("inf")) | (x == float("-inf")))
    row = source.aggregate(query, results)[0]
    counts: dict[str, dict[str, int]] = {}
    for i, name in enumerate(columns):
        null, infinite = int(row[f"a{i}"]), int(row.get(f"c{i}", 0))
        missing = int(row["n0"]) - int(row[f"b{i}"]) if f"b{i}" in row else null
        if missing:  # NaN is what is neither NULL nor finite nor infinite
            counts[name] = dict(zip(CAUSES, (null, missing - null - infinite, infinite), strict=True))
    return counts


def _count_true(flag: nw.Expr) -> nw.Expr:
    return nw.when(flag.fill_null(value=False)).then(nw.lit(1)).otherwise(nw.lit(0)).sum()
