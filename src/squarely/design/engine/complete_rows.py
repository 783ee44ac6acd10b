"""The rows that a fit uses, inside an engine: as the stages of a Query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw

from squarely.data import CAUSES, Query, RowAccount, Source
from squarely.design.design import LearnedState, columns_needed
from squarely.design.engine.narwhals_expressions import ConditionColumns, condition_to_narwhals, to_narwhals
from squarely.design.formula.expression import Expression, Name
from squarely.design.formula.factors import Categorical, Factor, argument_of
from squarely.design.formula.where import Where, columns_compared_exactly
from squarely.errors import DataError
from squarely.numerics import EXACT_INTEGERS


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CompleteRows:
    """The rows that are complete in some columns and expressions.

    Attributes
    ----------
    filtered : the query of the rows that meet the condition. `query` that of those among them that are complete.
    numbers, labels : the columns in which rows must be complete, with their aliases.
    named_expressions : the expressions in which they must have a value, by the text under which gaps are counted, with their aliases.
    values : the aliases of the expressions' values. `learned` what is known of means and the like.
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
        """Say an expression of the columns."""
        if expression in self.values:
            return nw.col(self.values[expression])
        return to_narwhals(expression, self.columns, self.learned.standardizations)


def complete_rows_query(
    source: Source,
    factors: Sequence[Factor],
    named: Mapping[str, Expression],
    learnt: LearnedState,
    *,
    where: Where | None,
    extra_columns: tuple[Iterable[str], Iterable[str]] = ((), ()),
) -> CompleteRows:
    """Lay out the rows that meet a condition and are complete in factors, further expressions and further columns."""
    numbers, labels = columns_needed(factors, named.values())
    numbers, labels = list(dict.fromkeys((*numbers, *extra_columns[0]))), list(dict.fromkeys((*labels, *extra_columns[1])))
    read = tuple(dict.fromkeys((*numbers, *(where.numbers if where else ()))))
    exact = [name for name in columns_compared_exactly(where.condition) if source.column_info(name).is_wide] if where else []
    told = tuple(dict.fromkeys((*labels, *(where.labels if where else ()), *exact)))
    if half := [name for name in told if source.column_info(name).narrow_type == "float16"]:
        raise DataError(
            f"{half[0]!r} of {source.label} holds float16, whose values have no short names there. {source.alternative}."
        )
    met = Query(numbers=read, labels=told)
    at = {name: f"v{i}" for i, name in enumerate(read)}
    columns = {name: nw.col(alias) for name, alias in at.items()}
    if where:
        said = {name: (nw.col(f"l{i}"), nw.col(f"g{i}")) for i, name in enumerate(told)}
        held = {name: source.column_info(name) for name in (*where.numbers, *told)}
        columns_told = ConditionColumns(numbers=columns, labels=said, column_info=held, is_finite=source.require_engine().is_finite)
        met = met.with_stages({"w0": condition_to_narwhals(where.condition, columns_told)[0]}).with_stages(nw.col("w0"))
    flags = [*(f"f{read.index(name)}" for name in numbers), *(f"g{told.index(name)}" for name in labels)]
    kept = met.with_stages(nw.all_horizontal(*map(nw.col, flags), ignore_nulls=False)) if flags else met
    wanted = {f.text: argument_of(f) for f in factors if not isinstance(f, Categorical)} | dict(named)
    values: dict[Expression, str] = {}
    computed: dict[str, str] = {}
    for text, expression in wanted.items():
        if expression in values:
            continue
        values[expression] = at[expression.name] if isinstance(expression, Name) else f"e{len(computed)}"
        if not isinstance(expression, Name):
            computed[text] = values[expression]
    done = {alias: to_narwhals(e, columns, learnt.standardizations) for e, alias in values.items() if not isinstance(e, Name)}
    kept = kept.with_stages(done)
    if done:
        kept = kept.with_stages(nw.all_horizontal(*(is_finite(source, alias) for alias in done), ignore_nulls=False))
    return CompleteRows(
        filtered=met,
        query=kept,
        numbers={name: at[name] for name in numbers},
        labels={name: f"l{told.index(name)}" for name in labels},
        named_expressions=computed,
        values=values,
        learned=learnt,
    )


def is_finite(source: Source, alias: str) -> nw.Expr:
    """Tell whether a column is a number that is neither NaN nor infinite."""
    return source.require_engine().is_finite(nw.col(alias)).fill_null(value=False)


def row_account_in_engine(source: Source, page: CompleteRows, used: int) -> tuple[RowAccount, int]:
    """Account for the rows: those read, left out by the condition, `used`, and dropped for gaps; and say how many scans it took.

    The number of all rows is no scan: engines know it. What the gaps are is asked only if a row was dropped.
    """
    read = int(source.aggregate(Query(), {"n0": nw.len()})[0]["n0"])
    wide = {f"w{i}": alias for i, (name, alias) in enumerate(page.numbers.items()) if source.column_info(name).is_wide}
    left, scans = read, 0
    met: Mapping[str, Any] = {}
    if wide or page.filtered.stages:
        beyond = {
            key: _count_true(is_finite(source, alias) & (nw.col(alias).abs() >= float(EXACT_INTEGERS)))
            for key, alias in wide.items()
        }
        met = source.aggregate(page.filtered, {"n0": nw.len()} | beyond)[0]
        left, scans = int(met["n0"]), 1
    rounded = {name: int(met[f"w{i}"]) for i, name in enumerate(page.numbers) if met.get(f"w{i}")}
    casts = {name: cast for name in page.numbers if (cast := source.column_info(name).cast)}
    account = RowAccount(read=read, used=used, filtered=read - left, rounded=rounded, casts=casts)
    if used == left:
        return account, scans
    before = replace(page.query, stages=page.query.stages[:-1])  # rows that are complete in the columns, with their expressions
    dropped = _count_gaps(source, page.filtered, {**page.numbers, **page.labels}, _aliases_without_nan(source, page))
    if page.named_expressions:
        dropped |= _count_gaps(source, before, page.named_expressions, ())
    return replace(account, dropped=dropped), scans + 1 + bool(page.named_expressions)


def _aliases_without_nan(source: Source, page: CompleteRows) -> list[str]:
    """Give the aliases of labels that are neither NaN nor infinite, because they are no numbers with fractions."""
    return [alias for name, alias in page.labels.items() if not source.column_info(name).is_fractional]


def _count_gaps(source: Source, query: Query, columns: Mapping[str, str], plain: Iterable[str]) -> dict[str, dict[str, int]]:
    """Count the gaps of columns, given by their aliases, by cause. NaN is what is neither NULL nor finite nor infinite."""
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
