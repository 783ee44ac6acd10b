"""The account of rows that stay in an engine: how many, and why some are not used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import narwhals as nw

from squarely.data import CAUSES, Query, RowAccount, Source
from squarely.design.sheet import Sheet, finite
from squarely.numerics import EXACT_INTEGERS


def counted_rows(source: Source, page: Sheet, used: int) -> tuple[RowAccount, int]:
    """Account for the rows: those read, left out by the condition, `used`, and dropped for gaps; and say how many scans it took.

    The number of all rows is no scan: engines know it. What the gaps are is asked only if a row was dropped.
    """
    read = int(source.aggregate(Query(), {"n0": nw.len()})[0]["n0"])
    wide = {f"w{i}": alias for i, (name, alias) in enumerate(page.numbers.items()) if source.held(name).wide}
    left, scans = read, 0
    met: Mapping[str, Any] = {}
    if wide or page.met.stages:
        beyond = {key: _many(finite(source, alias) & (nw.col(alias).abs() >= EXACT_INTEGERS)) for key, alias in wide.items()}
        met = source.aggregate(page.met, {"n0": nw.len()} | beyond)[0]
        left, scans = int(met["n0"]), 1
    rounded = {name: int(met[f"w{i}"]) for i, name in enumerate(page.numbers) if met.get(f"w{i}")}
    casts = {name: cast for name in page.numbers if (cast := source.held(name).cast)}
    account = RowAccount(read=read, used=used, filtered=read - left, rounded=rounded, casts=casts)
    if used == left:
        return account, scans
    before = replace(page.kept, stages=page.kept.stages[:-1])  # rows that are complete in the columns, with their expressions
    dropped = _dropped(source, page.met, {**page.numbers, **page.labels}, _without_nan(source, page))
    if page.named:
        dropped |= _dropped(source, before, page.named, ())
    return replace(account, dropped=dropped), scans + 1 + bool(page.named)


def _without_nan(source: Source, page: Sheet) -> list[str]:
    """Give the aliases of labels that are neither NaN nor infinite, because they are no numbers with fractions."""
    return [alias for name, alias in page.labels.items() if not source.held(name).fraction]


def _dropped(source: Source, query: Query, columns: Mapping[str, str], plain: Iterable[str]) -> dict[str, dict[str, int]]:
    """Count the gaps of columns, given by their aliases, by cause. NaN is what is neither NULL nor finite nor infinite."""
    results = {"n0": nw.len()}
    for i, alias in enumerate(columns.values()):
        x = nw.col(alias)
        results[f"a{i}"] = _many(x.is_null())
        if alias not in plain:
            results |= {f"b{i}": _many(finite(source, alias)), f"c{i}": _many((x == float("inf")) | (x == float("-inf")))}
    row = source.aggregate(query, results)[0]
    counts = {name: _causes(row, i) for i, name in enumerate(columns)}
    return {name: causes for name, causes in counts.items() if sum(causes.values())}


def _causes(row: Mapping[str, Any], i: int) -> dict[str, int]:
    null = int(row[f"a{i}"])
    infinite = int(row.get(f"c{i}", 0))
    nan = int(row["n0"]) - null - int(row[f"b{i}"]) - infinite if f"b{i}" in row else 0
    return dict(zip(CAUSES, (null, nan, infinite), strict=True))


def _many(flag: nw.Expr) -> nw.Expr:
    return nw.when(flag.fill_null(value=False)).then(nw.lit(1)).otherwise(nw.lit(0)).sum()
