"""The rows that a fit uses, inside an engine: as the stages of a Query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import narwhals as nw

from squarely.data import Query, Source
from squarely.design.condition import Where, exactly_compared
from squarely.design.design import Learnt, columns_needed
from squarely.design.expression import Expression, Name
from squarely.design.factor import Categorical, Factor, expression_of
from squarely.design.saying import Told, condition, translated
from squarely.errors import DataError


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Sheet:
    """The rows that are complete in some columns and expressions.

    Attributes
    ----------
    met : the query of the rows that meet the condition. `kept` that of those among them that are complete.
    numbers, labels : the columns in which rows must be complete, with their aliases.
    named : the expressions in which they must have a value, by the text under which gaps are counted, with their aliases.
    values : the aliases of the expressions' values. `learnt` what is known of means and the like.
    """

    met: Query
    kept: Query
    numbers: Mapping[str, str]
    labels: Mapping[str, str]
    named: Mapping[str, str]
    values: Mapping[Expression, str]
    learnt: Learnt

    @property
    def columns(self) -> dict[str, nw.Expr]:
        """The columns of doubles by their names."""
        return {name: nw.col(alias) for name, alias in self.numbers.items()}

    def said(self, expression: Expression) -> nw.Expr:
        """Say an expression of the columns."""
        if expression in self.values:
            return nw.col(self.values[expression])
        return translated(expression, self.columns, self.learnt.moves)


def sheet(
    source: Source,
    factors: Sequence[Factor],
    named: Mapping[str, Expression],
    learnt: Learnt,
    *,
    where: Where | None,
    also: tuple[Iterable[str], Iterable[str]] = ((), ()),
) -> Sheet:
    """Lay out the rows that meet a condition and are complete in factors, further expressions and further columns."""
    numbers, labels = columns_needed(factors, named.values())
    numbers, labels = list(dict.fromkeys((*numbers, *also[0]))), list(dict.fromkeys((*labels, *also[1])))
    read = tuple(dict.fromkeys((*numbers, *(where.numbers if where else ()))))
    exact = [name for name in exactly_compared(where.condition) if source.held(name).wide] if where else []
    told = tuple(dict.fromkeys((*labels, *(where.labels if where else ()), *exact)))
    if half := [name for name in told if source.held(name).narrow == "float16"]:
        raise DataError(f"{half[0]!r} of {source.label} holds float16, whose values have no short names there. {source.way_out}.")
    met = Query(numbers=read, labels=told)
    at = {name: f"v{i}" for i, name in enumerate(read)}
    columns = {name: nw.col(alias) for name, alias in at.items()}
    if where:
        said = {name: (nw.col(f"l{i}"), nw.col(f"g{i}")) for i, name in enumerate(told)}
        held = {name: source.held(name) for name in (*where.numbers, *told)}
        columns_told = Told(numbers=columns, labels=said, held=held, finite=source.require_engine().finite)
        met = met.then({"w0": condition(where.condition, columns_told)[0]}).then(nw.col("w0"))
    flags = [*(f"f{read.index(name)}" for name in numbers), *(f"g{told.index(name)}" for name in labels)]
    kept = met.then(nw.all_horizontal(*map(nw.col, flags), ignore_nulls=False)) if flags else met
    wanted = {f.text: expression_of(f) for f in factors if not isinstance(f, Categorical)} | dict(named)
    values: dict[Expression, str] = {}
    computed: dict[str, str] = {}
    for text, expression in wanted.items():
        if expression in values:
            continue
        values[expression] = at[expression.name] if isinstance(expression, Name) else f"e{len(computed)}"
        if not isinstance(expression, Name):
            computed[text] = values[expression]
    done = {alias: translated(e, columns, learnt.moves) for e, alias in values.items() if not isinstance(e, Name)}
    kept = kept.then(done)
    if done:
        kept = kept.then(nw.all_horizontal(*(finite(source, alias) for alias in done), ignore_nulls=False))
    return Sheet(
        met=met,
        kept=kept,
        numbers={name: at[name] for name in numbers},
        labels={name: f"l{told.index(name)}" for name in labels},
        named=computed,
        values=values,
        learnt=learnt,
    )


def finite(source: Source, alias: str) -> nw.Expr:
    """Tell whether a column is a number that is neither NaN nor infinite."""
    return source.require_engine().finite(nw.col(alias)).fill_null(value=False)
