"""The rows that a fit uses, inside an engine: as the stages of a Query, with the account of those that it leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import narwhals as nw

from squarely.data import CAUSES, EXACT_INTEGERS, Query, RowAccount, Source
from squarely.design.condition import Where
from squarely.design.design import Learnt, columns_needed
from squarely.design.expression import Expression, Name
from squarely.design.factor import Categorical, Factor, expression_of
from squarely.design.translation import condition, translated


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
    told = tuple(dict.fromkeys((*labels, *(where.labels if where else ()))))
    met = Query(numbers=read, labels=told)
    at = {name: f"v{i}" for i, name in enumerate(read)}
    columns = {name: nw.col(alias) for name, alias in at.items()}
    if where:
        kinds = {name: (nw.col(f"l{i}"), nw.col(f"g{i}"), source.held(name).kind) for i, name in enumerate(told)}
        met = met.then({"w0": condition(where.condition, columns, kinds)[0]}).then(nw.col("w0"))
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
        kept = kept.then(nw.all_horizontal(*(_finite(alias) for alias in done), ignore_nulls=False))
    return Sheet(
        met=met,
        kept=kept,
        numbers={name: at[name] for name in numbers},
        labels={name: f"l{told.index(name)}" for name in labels},
        named=computed,
        values=values,
        learnt=learnt,
    )


def _finite(alias: str) -> nw.Expr:
    return nw.col(alias).is_finite().fill_null(value=False)


def counted_rows(source: Source, page: Sheet, used: int | None = None) -> RowAccount:
    """Account for the rows: those read, left out by the condition, used, and dropped for gaps.

    What the gaps are is asked only if there are any. `used` may be given by who has counted.
    """
    read = int(source.aggregate(Query(), {"n0": nw.len()})[0]["n0"])
    whole = {name: alias for name, alias in page.numbers.items() if source.held(name).wide}
    results = {"n0": nw.len()} | {
        f"r{i}": nw.when(_finite(alias) & (nw.col(alias).abs() >= EXACT_INTEGERS)).then(nw.lit(1)).otherwise(nw.lit(0)).sum()
        for i, alias in enumerate(whole.values())
    }
    row = source.aggregate(page.met, results)[0]
    left = int(row["n0"])
    if used is None:
        used = int(source.aggregate(page.kept, {"n0": nw.len()})[0]["n0"])
    rounded = {name: int(row[f"r{i}"]) for i, name in enumerate(whole) if row[f"r{i}"]}
    casts = {name: cast for name in page.numbers if (cast := source.held(name).cast)}
    account = RowAccount(read=read, used=used, filtered=read - left, rounded=rounded, casts=casts)
    return account if used == left else replace(account, dropped=_causes(source, page, left))


def _causes(source: Source, page: Sheet, left: int) -> dict[str, dict[str, int]]:
    """Count the gaps by column and cause; the expressions among the rows that are complete in the columns."""
    columns = {name: (alias, page.met) for name, alias in page.numbers.items()}
    before = Query(numbers=page.met.numbers, labels=page.met.labels, stages=page.kept.stages[:-1])
    expressions = {text: (alias, before) for text, alias in page.named.items()}
    fractions = {name: alias for name, alias in page.labels.items() if source.held(name).fraction}
    dropped = {}
    for group in (columns, {name: (alias, page.met) for name, alias in fractions.items()}, expressions):
        if not group:
            continue
        query = next(iter(group.values()))[1]
        results = {"n": nw.len()}
        for i, (alias, _) in enumerate(group.values()):
            x = nw.col(alias)
            counts = {"a": x.is_null(), "b": _finite(alias), "c": (x == float("inf")) | (x == float("-inf"))}
            results |= {f"{letter}{i}": _many(flag) for letter, flag in counts.items()}
        row = source.aggregate(query, results)[0]
        for i, name in enumerate(group):
            null, finite, infinite = (int(row[f"{letter}{i}"]) for letter in "abc")
            dropped[name] = dict(zip(CAUSES, (null, int(row["n"]) - null - finite - infinite, infinite), strict=True))
    others = {n: a for n, a in page.labels.items() if n not in fractions}
    if others:
        row = source.aggregate(page.met, {f"a{i}": _many(nw.col(a).is_null()) for i, a in enumerate(others.values())})[0]
        dropped |= {name: {"null": int(row[f"a{i}"]), "nan": 0, "inf": 0} for i, name in enumerate(others)}
    order = [*page.numbers, *page.labels, *page.named]
    return {name: dropped[name] for name in order if sum(dropped[name].values())}


def _many(flag: nw.Expr) -> nw.Expr:
    return nw.when(flag.fill_null(value=False)).then(nw.lit(1)).otherwise(nw.lit(0)).sum()
