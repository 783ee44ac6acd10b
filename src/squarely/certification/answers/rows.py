"""Find the rows that an answer is of, from the gradients of the rows at the answer.

At the least squares answer of some rows, the gradients of these rows add up to zero. So one scan of the rows decides for each
subset below whether the answer is that of the subset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from squarely.certification.answers.mismatch import Mismatch
from squarely.data import DetachedSource, is_aggregate_only, scan_purpose
from squarely.design import iter_blocks
from squarely.errors import pluralize
from squarely.numerics import Array

_MOST_CELLS = 10**7  # of the rows that are searched: 80 MB
_CHANCE = 1e-4  # that another answer is near that of some subset


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Rows:
    """The complete rows of a fit: values (n, k + 1) of the columns and the response, their places in the data, and weights (n,)."""

    values: Array
    places: np.ndarray
    weights: Array | None


@scan_purpose("rows of the answer")
def read_rows(case: Mismatch) -> Rows | None:
    """Read the rows of the fit, if they are here and not too many."""
    fit = case.fit
    cells = fit.solution.moments.n * len(fit.design.labels)
    if isinstance(fit.source, DetachedSource) or is_aggregate_only(fit.source) or fit.source.partitioned or cells > _MOST_CELLS:
        return None
    blocks = list(iter_blocks(fit.design, fit.source))
    weights = [block.weights for block in blocks if block.weights is not None]
    return Rows(
        values=np.concatenate([block.values for block in blocks]),
        places=np.concatenate([block.rows for block in blocks]),
        weights=np.concatenate(weights) if weights else None,
    )


class SubsetSearch:
    """How far each row moves the answer: gradients (n, p) of the rows times (X'X)^-1, in standard errors."""

    def __init__(self, case: Mismatch, rows: Rows) -> None:
        problem, w, first = case.problem, case.standardized, int(case.has_intercept)
        table = problem.columns(rows.values)
        Z = np.column_stack([np.ones(len(table)), table[:, :-1]]) if first else table[:, :-1]
        residuals = table[:, -1] - Z @ w
        self.case, self.rows, self.n = case, rows, len(table)
        gradients = Z * (residuals if rows.weights is None else residuals * problem.relative_weights(rows.weights))[:, None]
        se = case.unit / (problem.scale[-1] / np.concatenate([np.ones(first), problem.scale[:-1]]))
        if first:  # of the mean of the fitted values, since the intercept of standardized columns is that
            se[0] = np.sqrt(case.fit.mse_resid / problem.weight) / problem.scale[-1]
        self.moves: Array = gradients @ np.linalg.pinv(problem.H / 2.0) / self.n / np.maximum(se, np.finfo(float).tiny)
        self.total = self.moves.sum(axis=0)
        subsets = self.n * (len(rows.values[0]) + 3)  # the chance of each is near ** p
        self.tolerance = case.tolerance(float(np.clip((_CHANCE / subsets) ** (1.0 / len(w)), 1e-7, 1e-3)))

    def find_zeros(self, sums: Array, counts: np.ndarray | int) -> np.ndarray:
        """Return which sums (m, p) of the moves of so many rows are zero: the answer is near that of these rows."""
        return np.asarray(np.abs(sums).max(axis=1) <= self.tolerance * np.maximum(counts, 1) / self.n)


def find_rows(case: Mismatch, rows: Rows) -> str:
    """Describe the subset of the rows that the answer is of, "" if none is found."""
    search = SubsetSearch(case, rows)
    return _find_single(search) or _find_part(search)


def _find_single(search: SubsetSearch) -> str:
    """Return the row without which, or with which twice, the gradients of all rows add up to zero."""
    n, place = search.n, search.rows.places + 1
    for sign, text in ((-1.0, "without row {} of the data"), (1.0, "with row {} of the data counted twice")):
        zeros = search.find_zeros(search.total + sign * search.moves, n)
        moving = np.abs(search.moves).max(axis=1) > 0
        if (found := np.flatnonzero(zeros & moving)).size:
            return text.format(f"{place[found[0]]:,}")
    return ""


def _find_part(search: SubsetSearch) -> str:
    """Return the first or last rows, or those above or below a value of a column, whose gradients add up to zero."""
    n, p = search.moves.shape
    for order, values, name in _orders(search):
        counts = np.arange(1, n)
        enough = (counts > p) if values is None else (counts > p) & (values[1:] > values[:-1])
        for rest, what in ((False, "first"), (True, "last")):
            used = n - counts if rest else counts
            zeros = enough & (used > p)
            for first in (slice(0, 2), slice(2, p)):  # two coefficients rule out nearly all orders
                if zeros.any() and first.start < p:
                    sums = np.cumsum(search.moves[order, first], axis=0)[:-1]
                    zeros &= search.find_zeros(search.total[first] - sums if rest else sums, used)
            if not zeros.any():
                continue
            m = int(counts[zeros][0])
            kept = n - m if rest else m
            if values is None:
                return f"for the {what} {pluralize(kept, 'row')} of {n:,}"
            side = f"at least {values[m]:.6g}" if rest else f"at most {values[m - 1]:.6g}"
            return f"for the {pluralize(kept, 'row')} of {n:,} with {name} {side}"
    return ""


def _orders(search: SubsetSearch) -> Iterator[tuple[np.ndarray, Array | None, str]]:
    """Yield the order of the rows, and the orders by each column with its sorted values."""
    yield np.arange(search.n), None, ""
    for j, name in enumerate(search.case.fit.design.labels):
        order = np.argsort(search.rows.values[:, j], kind="stable")
        yield order, search.rows.values[order, j], name


def fit_unweighted(case: Mismatch, rows: Rows) -> Array:
    """Return the least squares coefficients (p,) of the rows without their weights."""
    table = case.problem.columns(rows.values)
    Z = np.column_stack([np.ones(len(table)), table[:, :-1]]) if case.has_intercept else table[:, :-1]
    w = np.asarray(np.linalg.lstsq(Z, table[:, -1], rcond=None)[0], dtype=np.float64)
    return case.problem.to_data_units(w)
