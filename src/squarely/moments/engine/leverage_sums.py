"""Products of scores divided by powers of 1 - h, summed by an engine: what HC0 to HC4 need."""

from __future__ import annotations

import narwhals as nw
import numpy as np

from squarely.data import Query, Source
from squarely.moments.engine.linear_combination import sum_by_halves
from squarely.moments.engine.whitened_rows import ScoreSums, WhitenedQuery, name_expressions, products_of, read_score_sums
from squarely.numerics import ROUNDOFF, Array


def sum_adjusted_scores(rows: WhitenedQuery, source: Source, *, power: float | None, nobs: float) -> tuple[ScoreSums, float, Array]:
    """Sum products of v r / (1 - h)^power, with the leverage h = |v|^2; power None is min(4, n h / q) / 2, that of HC4.

    With a power, a row with a leverage of one counts zero. The smallest 1 - h of the others and an orthonormal basis (q, m) of the
    v of such rows are returned, too.
    """
    q = len(rows.V)
    names = [f"s{j}" for j in range(q)]
    query, r = (rows.query, rows.residuals) if power == 0 else _adjust_residuals(rows, power, nobs)
    query = query.with_stages({name: nw.col(v) * nw.col(r) for name, v in zip(names, rows.V, strict=True)})
    results = {**rows.gradient, **name_expressions("p", [rows.sum(product) for product in products_of(names)])}
    if power != 0:
        results |= {"m0": nw.col("i0").sum(), "d0": nw.col("h1").min()}
    row = source.aggregate(query, results)[0]
    basis = np.empty((q, 0))
    if row.get("m0"):
        at = query.with_stages(nw.col("i0") > 0.5)
        v = {**rows.gradient, **name_expressions("p", [product.sum() for product in products_of(rows.V)])}
        values, Q = np.linalg.eigh(read_score_sums(source.aggregate(at, v)[0], q).meat)
        basis = Q[:, values > 0.5]
    return read_score_sums(row, q), float(row.get("d0", 1.0)), basis


def _adjust_residuals(rows: WhitenedQuery, power: float | None, nobs: float) -> tuple[Query, str]:
    """Return the query with r / (1 - h)^power as a column, and its alias; i0 is about one where the leverage is, else zero."""
    q, h, r = len(rows.V), nw.col("h0"), nw.col(rows.residuals)
    is_one = 1.0 - h <= max(64 * q, 4 + float(np.sqrt(nobs))) * ROUNDOFF  # R has the rounding of sums over the rows
    rest = nw.when(is_one).then(h).otherwise(1.0 - h)
    if power is None:
        exponent = nw.when(h < 4.0 * q / nobs).then(h * (0.5 * nobs / q)).otherwise(h * 0.0 + 2.0)
        adjusted = r * (-(exponent * rest.log())).exp()
    else:
        adjusted = r / (rest if power == 1 else rest.sqrt())
    query = rows.query.with_stages(
        {"h0": sum_by_halves([nw.col(v) * nw.col(v) for v in rows.V])},
        {
            "i0": nw.when(is_one).then(h).otherwise(h * 0.0),
            "h1": rest,
            "r3": nw.when(is_one).then(r * 0.0).otherwise(adjusted),
        },
    )
    return query, "r3"
