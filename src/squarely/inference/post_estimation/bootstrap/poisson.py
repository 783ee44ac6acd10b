"""The Poisson bootstrap: weighted cross-products of all draws from one scan, and the coefficients of each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from operator import iadd

import numpy as np

from squarely.data import DetachedSource
from squarely.errors import OptionError, show_value
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.covariance.clustered.cluster_sums import read_clusters
from squarely.inference.covariance.clustered.one_way import require_clusters
from squarely.inference.covariance.root import covariance_root
from squarely.inference.post_estimation.bootstrap.random_weights import keys_of_labels, poisson, uniform_bits
from squarely.inference.post_estimation.fixed_effects.refusal import require_no_effects
from squarely.inference.scan import WhitenedRows, fold_whitened_batches
from squarely.numerics import ROUNDOFF, Array

_CELLS = 2**20  # of weights, or of matrices that are solved at once
_MOST_SUMS = 2**26  # of all draws in one scan, half a gigabyte


def draw_coefficients(fit: CoefficientStatistics, draws: int, cluster: object, seed: int) -> Array:
    """Return the selected coefficients (draws, q) of each draw, NaN where its rows do not determine them."""
    require_no_effects(fit, "A bootstrap")
    if cluster is not None and not isinstance(cluster, str):
        raise OptionError(f"cluster={show_value(cluster)} is not the name of a column. Name one column of clusters, or none.")
    solution = fit.solution
    q = len(solution.factor.columns)
    step = max(_MOST_SUMS // (q + q * (q + 1) // 2 + 1) // 2 * 2, 2)  # even: a number of 64 bits makes two draws
    blocks = [range(start, min(start + step, draws)) for start in range(0, draws, step)]
    if cluster is None:
        _require_positions(fit)
        parts = [_fold_rows(fit, block, seed) for block in blocks]
    else:
        keys, sums = _read_clusters(fit, cluster)
        parts = [_add_weighted(sums, keys, block, seed) for block in blocks]
    A, params = covariance_root(solution), solution.params[solution.factor.selected]
    changes = np.concatenate([_solve(part, q) for part in parts])
    if solution.has_hidden_residuals:
        changes[:] = np.nan
    drawn: Array = params + changes @ A.T
    return drawn


def _fold_rows(fit: CoefficientStatistics, draws: range, seed: int) -> Array:
    """Return the weighted sums (d, q + q(q+1)/2) of the rows, from one scan."""
    q = len(fit.solution.factor.columns)
    fold = partial(_fold_batch, draws=draws, seed=seed, width=q + q * (q + 1) // 2)
    return fold_whitened_batches(fit.solution, fit.source, fold, iadd)


def _fold_batch(pieces: Iterator[WhitenedRows], _rows: int, *, draws: range, seed: int, width: int) -> Array:
    total = np.zeros((len(draws), width))
    for rows in pieces:
        i, j = np.triu_indices(len(rows.V))
        values = np.concatenate([rows.scores, rows.V[i] * rows.V[j]])
        _add_weighted(values.T, rows.positions, draws, seed, out=total)
    return total


def _add_weighted(values: Array, keys: np.ndarray, draws: range, seed: int, out: Array | None = None) -> Array:
    """Add to (d, w), for each draw, the sum of the values (m, w) times their weights."""
    total = np.zeros((len(draws), values.shape[1])) if out is None else out
    m = max(_CELLS // len(draws), 64)
    for first in range(0, len(keys), m):
        at = slice(first, first + m)
        total += poisson(uniform_bits(seed, draws, keys[at])) @ values[at]
    return total


def _read_clusters(fit: CoefficientStatistics, cluster: str) -> tuple[np.ndarray, Array]:
    """Return the keys (G,) of the clusters and their sums (G, q + q(q+1)/2)."""
    (groups,) = read_clusters(fit.solution, fit.source, [(cluster,)], "plain")
    tables = list(groups)
    require_clusters(groups.cluster_counts, (cluster,), fit.source)
    keys = np.concatenate([keys_of_labels(table.labels[0].to_pylist()) for table in tables])
    sums = np.concatenate([table.sums for table in tables])
    order = np.argsort(keys, kind="stable")  # an order that no cut of the rows changes
    return keys[order], sums[order]


def _solve(sums: Array, q: int) -> Array:
    """Return the changes (d, q) of the whitened coefficients: (sum w v v')^-1 (sum w v u)."""
    changes = np.full((len(sums), q), np.nan)
    if not q:
        return changes
    i, j = np.triu_indices(q)
    m = max(_CELLS // q**2, 1)
    for first in range(0, len(sums), m):
        part = sums[first : first + m]
        M = np.empty((len(part), q, q))
        M[:, i, j] = M[:, j, i] = part[:, q:]
        values = np.linalg.eigvalsh(M)
        regular = values[:, 0] > 64 * q * ROUNDOFF * values[:, -1]
        changes[first : first + m][regular] = np.linalg.solve(M[regular], part[regular, :q, None])[..., 0]
    return changes


def _require_positions(fit: CoefficientStatistics) -> None:
    """Raise an OptionError if rows have no numbers by which they could be drawn."""
    source = fit.source
    if isinstance(source, DetachedSource):
        return  # the scan says that there are no rows
    if fit.design.formula.has_frequencies:
        raise OptionError(
            "A bootstrap draws each row alone, and frequencies= counts several as one. Repeat the rows, or name clusters by "
            "cluster=."
        )
    if source.partitioned or not source.ordered:
        why = "are in other processes" if source.partitioned else "have no order"
        raise OptionError(
            f"A bootstrap draws rows by their numbers, and the rows of {source.label} {why}. Name a column that tells rows or "
            "clusters apart by cluster=, or write the rows to a Parquet file and fit that."
        )
