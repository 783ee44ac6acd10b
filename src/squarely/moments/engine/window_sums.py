"""Sums over neighboring rows in an engine, in the order of its rows: what HAC and its automatic lag need."""

from __future__ import annotations

from dataclasses import replace

import narwhals as nw
import numpy as np

from squarely.data import Source
from squarely.moments.engine.linear_combination import sum_by_halves
from squarely.moments.engine.whitened_rows import (
    ScoreSums,
    WhitenedQuery,
    name_expressions,
    products_of,
    read_score_sums,
    read_values,
)
from squarely.numerics import Array

_ORDER = "o0"


def sum_windows(rows: WhitenedQuery, source: Source, lags: int) -> ScoreSums:
    """Sum m m' for the sums m of the scores in all windows of `lags` + 1 rows, with zeros beyond both ends.

    The engine has windows that end at a row; the others are made of the last rows, whose scores it returns.
    """
    q = len(rows.V)
    scores, sums = [f"s{j}" for j in range(q)], [f"m{j}" for j in range(q)]
    query = replace(rows.query, is_ordered=True).with_stages(dict(zip(scores, rows.scores, strict=True)))
    windows = {m: _sum_window(nw.col(s), lags) for m, s in zip(sums, scores, strict=True)}
    results = {**rows.gradient, **name_expressions("p", [product.sum() for product in products_of(sums)])}
    found = read_score_sums(source.aggregate(query.with_stages(windows), results)[0], q)
    if not lags:
        return found
    position = {"i1": nw.col("i0").cum_sum().over(order_by=_ORDER)}
    tail = query.with_stages({"i0": nw.col(rows.residuals) * 0.0 + 1.0}, position, nw.col("i1") > float(found.n - lags))
    last = source.aggregate(tail, {s: nw.col(s).sum() for s in scores}, ["i1"])
    last = sorted(last, key=lambda row: -row["i1"])
    ends = np.cumsum([read_values(row, "s", q) for row in last], axis=0)
    return replace(found, meat=found.meat + ends.T @ ends)


def _sum_window(x: nw.Expr, lags: int) -> nw.Expr:
    return x.rolling_sum(lags + 1, min_samples=1).over(order_by=_ORDER) if lags else x


def sum_lagged_products(rows: WhitenedQuery, source: Source, c: Array, lags: int) -> tuple[int, Array, Array]:
    """Return the sums (lags + 1,) of f_t f_(t-j) for f = c'v r, after n and the gradient as in `ScoreSums`."""
    f = sum_by_halves([nw.col(v) * float(x) for v, x in zip(rows.V, c, strict=True)]) * nw.col(rows.residuals)
    lagged = {f"m{j}": nw.col("s0").shift(j).over(order_by=_ORDER) for j in range(1, lags + 1)}
    query = replace(rows.query, is_ordered=True).with_stages({"s0": f}, lagged)
    products = [nw.col("s0") * nw.col(name) for name in ("s0", *lagged)]
    results = {**rows.gradient, **name_expressions("y", [product.sum() for product in products])}
    row = source.aggregate(query, results)[0]
    return int(row["n0"]), read_values(row, "g", len(rows.V)), read_values(row, "y", lags + 1)
