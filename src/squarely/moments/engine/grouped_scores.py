"""Scores summed by groups of rows in an engine: their products over the groups, or a table of the groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw
import numpy as np

from squarely.data import GroupBy, Source
from squarely.moments.engine.whitened_rows import ScoreSums, WhitenedQuery, name_expressions, products_of, read_score_sums
from squarely.numerics import EXACT_INTEGERS, Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class GroupedScores:
    """Products of the sums of scores, over all groups.

    Attributes
    ----------
    sums : the sums; the meat is that of s s' for the sum s of the scores of a group.
    groups, smallest, largest : the number of groups, and of rows in the smallest and the largest one.
    fractions : the columns of labels that are not whole numbers, with one of these.
    """

    sums: ScoreSums
    groups: int
    smallest: int
    largest: int
    fractions: dict[str, float]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class GroupTable:
    """Groups of rows: the Arrow columns of their labels, the rows (G,), these as often as frequencies say, and sums (G, w)."""

    labels: dict[str, Any]
    rows: Array
    counts: Array
    sums: Array


def sum_grouped_scores(rows: WhitenedQuery, source: Source, names: Sequence[str]) -> GroupedScores:
    """Sum the scores by the labels of some columns, and their products over all groups. No group leaves the engine."""
    keys, q = {name: rows.labels[name] for name in names}, len(rows.V)
    scores = [f"s{j}" for j in range(q)]
    by_group = {"m0": nw.len(), "c0": _count(rows), **name_expressions("s", [rows.sum(score) for score in rows.scores])}
    results = {"n0": nw.col("m0").sum(), "m0": nw.len(), "a0": nw.col("c0").min(), "b0": nw.col("c0").max()}
    results |= name_expressions("g", [nw.col(s).sum() for s in scores])
    results |= name_expressions("p", [product.sum() for product in products_of(scores)])
    fractional = {name: key for name, key in keys.items() if source.column_info(name).is_fractional}
    for i, key in enumerate(fractional.values()):
        label = nw.col(key)
        is_odd = (label.round() != label) | (label.abs() > float(EXACT_INTEGERS))
        results[f"d{i}"] = nw.when(is_odd).then(label).otherwise(nw.lit(None)).min()
    row = source.aggregate(rows.query.with_stages(GroupBy(keys=tuple(keys.values()), results=by_group)), results)[0]
    odd = {name: row[f"d{i}"] for i, name in enumerate(fractional)}
    return GroupedScores(
        sums=read_score_sums(row, q),
        groups=int(row["m0"]),
        smallest=round(float(row["a0"])),
        largest=round(float(row["b0"])),
        fractions={name: float(value) for name, value in odd.items() if value is not None and value == value},
    )


def table_of_groups(
    rows: WhitenedQuery,
    source: Source,
    names: Sequence[str],
    *,
    limit: int,
    scores: Iterable[int] = (0,),
    products: Iterable[int] = (),
) -> GroupTable | None:
    """Return for each group the sums of w^i v r for the powers i in `scores`, then those of w^i v v' for `products`.

    The products are upper triangles by rows. None if there are more than `limit` groups.
    """
    keys = [rows.labels[name] for name in names]
    columns = [_times_power(rows, score, i) for i in scores for score in rows.scores]
    columns += [_times_power(rows, product, i) for i in products for product in products_of(rows.V)]
    results = {"m0": nw.len(), "c0": _count(rows), **name_expressions("s", [rows.sum(column) for column in columns])}
    table = source.aggregate_table(replace(rows.query, group_limit=limit + 1), results, keys)
    if len(table) > limit:
        return None
    m, counts, *sums = (np.asarray(table[name], dtype=np.float64) for name in results)
    labels = {name: table[key].combine_chunks() for name, key in zip(names, keys, strict=True)}
    return GroupTable(labels=labels, rows=m, counts=counts, sums=np.column_stack(sums))


def _count(rows: WhitenedQuery) -> nw.Expr:
    return nw.len() if rows.frequencies is None else nw.col(rows.frequencies).sum()


def _times_power(rows: WhitenedQuery, x: nw.Expr, power: int) -> nw.Expr:
    if not power or rows.weights is None:
        return x
    return x * nw.col(rows.weights) if power > 0 else x / nw.col(rows.weights)
