"""The scores of clusters, summed by the engine that solved by aggregates, or from a scan of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from squarely.data import Source, decode_categories, fractional_label_error, is_aggregate_only
from squarely.errors import DataError
from squarely.exact import Solution
from squarely.inference.covariance.clustered.cluster_sums import (
    ClusterCounts,
    ClusterGroups,
    ClusterSums,
    ClusterTable,
    Products,
    Way,
    merge_sums,
    read_clusters,
    sum_batch,
)
from squarely.inference.engine_rows import is_in_engine, require_rows_of_fit, whiten_rows_in_engine
from squarely.inference.scan import fold_whitened_batches
from squarely.moments import sum_grouped_scores, table_of_groups
from squarely.numerics import Array

_MOST_GROUPS, _MOST_CELLS = 1_000_000, 2**26  # of a table that an engine returns, 512 MB
_SCORES: dict[Products, tuple[int, ...]] = {"none": (0,), "plain": (0,), "weighted": (0, -1)}  # powers of the weights
_PRODUCTS: dict[Products, tuple[int, ...]] = {"none": (), "plain": (0,), "weighted": (0, -1, 1)}


def sum_cluster_scores(solution: Solution, source: Source, ways: Sequence[Way]) -> list[tuple[Array, ClusterCounts]]:
    """Return for each way of clustering the meat (q, q), the sum over clusters of s s', and the counts of clusters."""
    if not is_in_engine(solution, source):
        q = len(solution.factor.columns)
        return [(_sum_products(groups, q), groups.cluster_counts) for groups in read_clusters(solution, source, ways)]
    rows = whiten_rows_in_engine(solution, source, list(dict.fromkeys(name for way in ways for name in way)))
    meats = []
    for way in ways:
        found = sum_grouped_scores(rows, source, way)
        require_rows_of_fit(solution, source, rows, found.sums.n, found.sums.gradient)
        for name, value in found.fractions.items():
            raise fractional_label_error(name, value)
        meats.append((found.sums.meat, ClusterCounts(found.groups, found.smallest, found.largest)))
    return meats


def _sum_products(groups: ClusterGroups, q: int) -> Array:
    meat = np.zeros((q, q))
    for table in groups:
        meat += table.sums.T @ table.sums
    return meat


def read_cluster_products(solution: Solution, source: Source, way: Way, products: Products) -> ClusterGroups:
    """Return the sums of each cluster as `read_clusters` does for one way; an engine returns a table of at most a million.

    Raises
    ------
    DataError : the clusters are more, and the rows stay in the engine.
    """
    if is_in_engine(solution, source):
        table = _read_groups_in_engine(solution, source, way, products)
        if table is not None:
            return ClusterGroups().complete(ClusterSums((table,)))
        _require_readable_rows(solution, source, way, products)
    return read_clusters(solution, source, [way], products)[0]


def _read_groups_in_engine(
    solution: Solution, source: Source, names: Way, products: Products = "none", *, fractions: bool = False
) -> ClusterTable | None:
    """Return the groups of an engine with their sums, None if they are too many; labels may be numbers with fractions."""
    rows = whiten_rows_in_engine(solution, source, names)
    scores, of_products, limit = _SCORES[products], _PRODUCTS[products], _group_limit(solution, products)
    found = table_of_groups(rows, source, names, limit=limit, scores=scores, products=of_products)
    if found is None:
        return None
    q = len(solution.factor.columns)
    require_rows_of_fit(solution, source, rows, int(found.rows.sum()), found.sums[:, :q].sum(axis=0))
    columns = {name: decode_categories(source, name, labels) for name, labels in found.labels.items()}
    return ClusterSums.of_rows(columns, found.sums, found.counts, fractions=fractions).to_table()


def sum_groups(solution: Solution, source: Source, name: str) -> ClusterTable:
    """Return the sums of scores by the labels of a column, which may be numbers with fractions."""
    if is_in_engine(solution, source):
        table = _read_groups_in_engine(solution, source, (name,), fractions=True)
        if table is not None:
            return table
        _require_readable_rows(solution, source, (name,), "none")
    step = partial(sum_batch, [(name,)], "none", True)
    (sums,) = fold_whitened_batches(solution, source, step, merge_sums, groups=[name])
    return sums.to_table()


def _require_readable_rows(solution: Solution, source: Source, names: Way, products: Products) -> None:
    """Raise a DataError if an engine has too many groups for a table, and its rows cannot be read."""
    if not is_aggregate_only(source) or source.ordered:
        return
    raise DataError(
        f"There are more than {_group_limit(solution, products):,} groups of {' and '.join(map(repr, names))}, and "
        f"{source.require_engine().name} would return a table of them. Use vcov='CR1', which it sums itself, or write the rows to "
        "a Parquet file and fit that."
    )


def _group_limit(solution: Solution, products: Products) -> int:
    q = len(solution.factor.columns)
    return min(_MOST_GROUPS, _MOST_CELLS // (q * len(_SCORES[products]) + q * (q + 1) // 2 * len(_PRODUCTS[products])))
