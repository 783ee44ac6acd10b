"""The complete rows that a fit uses, as a query of an engine, and their account."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw

from squarely.data import CAUSES, Query, RowAccount, Source
from squarely.design.design import RowInputs
from squarely.design.encoding.learned_state import LearnedState
from squarely.design.engine.narwhals_expressions import ConditionColumns, condition_to_narwhals, to_narwhals
from squarely.design.formula.expression import Expression, Name
from squarely.design.formula.where import Where, columns_compared_exactly
from squarely.errors import DataError
from squarely.numerics import EXACT_INTEGERS


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CompleteRows:
    """The rows that are complete in some columns and expressions.

    Attributes
    ----------
    filtered : the query of the rows that meet the condition. `query` that of the complete ones among them.
    numbers, labels : the columns in which rows must be complete, with their aliases.
    named_expressions : the texts, under which gaps are counted, and aliases of expressions in which rows must have a value.
    values : the aliases of the values of the expressions. `learned` the means and deviations that they use.
    """

    filtered: Query
    query: Query
    numbers: Mapping[str, str]
    labels: Mapping[str, str]
    named_expressions: Mapping[str, str]
    values: Mapping[Expression, str]
    learned: LearnedState

    @property
    def columns(self) -> dict[str, nw.Expr]:
        """The columns of doubles by their names."""
        return {name: nw.col(alias) for name, alias in self.numbers.items()}

    def expression(self, expression: Expression) -> nw.Expr:
        """Translate an expression of the columns for the engine."""
        if expression in self.values:
            return nw.col(self.values[expression])
        return to_narwhals(expression, self.columns, self.learned.standardizations)


def complete_rows_query(
    source: Source,
    inputs: RowInputs,
    state: LearnedState,
    *,
    where: Where | None,
    extra_columns: tuple[Iterable[str], Iterable[str]] = ((), ()),
) -> CompleteRows:
    """Return the rows that meet a condition and are complete in the inputs and in further columns."""
    numbers = tuple(dict.fromkeys((*inputs.numbers, *extra_columns[0])))
    labels = tuple(dict.fromkeys((*inputs.labels, *extra_columns[1])))
    filtered = _filtered_rows(source, numbers, labels, where)
    aliases = {name: f"v{i}" for i, name in enumerate(filtered.numbers)}
    columns = {name: nw.col(alias) for name, alias in aliases.items()}
    flags = [f"f{filtered.numbers.index(name)}" for name in numbers] + [f"g{filtered.labels.index(name)}" for name in labels]
    query = filtered.with_stages(nw.all_horizontal(*map(nw.col, flags), ignore_nulls=False)) if flags else filtered
    values: dict[Expression, str] = {}
    computed: dict[str, str] = {}
    for text, expression in inputs.expressions.items():
        if expression not in values:
            values[expression] = aliases[expression.name] if isinstance(expression, Name) else f"e{len(computed)}"
            if not isinstance(expression, Name):
                computed[text] = values[expression]
    stage = {a: to_narwhals(e, columns, state.standardizations) for e, a in values.items() if not isinstance(e, Name)}
    if stage:
        query = query.with_stages(stage, nw.all_horizontal(*(is_finite(source, alias) for alias in stage), ignore_nulls=False))
    return CompleteRows(
        filtered=filtered,
        query=query,
        numbers={name: aliases[name] for name in numbers},
        labels={name: f"l{filtered.labels.index(name)}" for name in labels},
        named_expressions=computed,
        values=values,
        learned=state,
    )


def _filtered_rows(source: Source, numbers: Iterable[str], labels: Iterable[str], where: Where | None) -> Query:
    """Return the query that reads some columns and those of a condition, in the rows that meet it."""
    if where:
        exact = [name for name in columns_compared_exactly(where.condition) if source.column_info(name).is_wide]
        numbers, labels = (*numbers, *where.numbers), (*labels, *where.labels, *exact)
    query = Query(numbers=tuple(dict.fromkeys(numbers)), labels=tuple(dict.fromkeys(labels)))
    if half := [name for name in query.labels if source.column_info(name).narrow_type == "float16"]:
        raise DataError(
            f"{half[0]!r} of {source.label} holds float16, whose values have no short names there. {source.alternative}."
        )
    if not where:
        return query
    columns = ConditionColumns(
        numbers={name: nw.col(f"v{i}") for i, name in enumerate(query.numbers)},
        labels={name: (nw.col(f"l{i}"), nw.col(f"g{i}")) for i, name in enumerate(query.labels)},
        column_info={name: source.column_info(name) for name in (*where.numbers, *query.labels)},
        is_finite=source.require_engine().is_finite,
    )
    return query.with_stages({"w0": condition_to_narwhals(where.condition, columns)[0]}, nw.col("w0"))


def is_finite(source: Source, alias: str) -> nw.Expr:
    """Tell whether a column holds a number that is neither NaN nor infinite."""
    return source.require_engine().is_finite(nw.col(alias)).fill_null(value=False)


def row_account_in_engine(source: Source, rows: CompleteRows, used: int) -> tuple[RowAccount, int]:
    """Account for all rows (read, filtered, `used`, dropped for gaps), and return the number of scans too.

    The number of all rows is not a scan: engines know it. The causes of gaps are asked for only if a row was dropped.
    """
    read = int(source.aggregate(Query(), {"n0": nw.len()})[0]["n0"])
    wide = {f"w{i}": alias for i, (name, alias) in enumerate(rows.numbers.items()) if source.column_info(name).is_wide}
    remaining, scans = read, 0
    answer: Mapping[str, Any] = {}
    if wide or rows.filtered.stages:
        inexact = {
            key: _count_true(is_finite(source, alias) & (nw.col(alias).abs() >= EXACT_INTEGERS)) for key, alias in wide.items()
        }
        answer = source.aggregate(rows.filtered, {"n0": nw.len()} | inexact)[0]
        remaining, scans = int(answer["n0"]), 1
    rounded = {name: int(answer[f"w{i}"]) for i, name in enumerate(rows.numbers) if answer.get(f"w{i}")}
    casts = {name: cast for name in rows.numbers if (cast := source.column_info(name).cast)}
    account = RowAccount(read=read, used=used, filtered=read - remaining, rounded=rounded, casts=casts)
    if used == remaining:
        return account, scans
    # Labels without fractions are neither NaN nor infinite.
    plain = [alias for name, alias in rows.labels.items() if not source.column_info(name).is_fractional]
    dropped = _count_gaps(source, rows.filtered, {**rows.numbers, **rows.labels}, plain)
    if rows.named_expressions:  # among the rows that are complete in the columns, before the last stage
        evaluated = replace(rows.query, stages=rows.query.stages[:-1])
        dropped |= _count_gaps(source, evaluated, rows.named_expressions, ())
    return replace(account, dropped=dropped), scans + 1 + bool(rows.named_expressions)


def _count_gaps(source: Source, query: Query, columns: Mapping[str, str], plain: Collection[str]) -> dict[str, dict[str, int]]:
    """Count the gaps of columns, which map to their aliases, by cause; `plain` ones can only be NULL.

    NaN is what is neither NULL nor finite nor infinite.
    """
    results = {"n0": nw.len()}
    for i, alias in enumerate(columns.values()):
        x = nw.col(alias)
        results[f"a{i}"] = _count_true(x.is_null())
        if alias not in plain:
            results |= {
                f"b{i}": _count_true(is_finite(source, alias)),
                f"c{i}": _count_true((x == float("inf")) | (x == float("-inf"))),
            }
    row = source.aggregate(query, results)[0]
    counts = {name: _causes(row, i) for i, name in enumerate(columns)}
    return {name: causes for name, causes in counts.items() if sum(causes.values())}


def _causes(row: Mapping[str, Any], i: int) -> dict[str, int]:
    null = int(row[f"a{i}"])
    infinite = int(row.get(f"c{i}", 0))
    nan = int(row["n0"]) - null - int(row[f"b{i}"]) - infinite if f"b{i}" in row else 0
    return dict(zip(CAUSES, (null, nan, infinite), strict=True))


def _count_true(flag: nw.Expr) -> nw.Expr:
    return nw.when(flag.fill_null(value=False)).then(nw.lit(1)).otherwise(nw.lit(0)).sum()
