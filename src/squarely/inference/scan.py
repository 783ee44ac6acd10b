"""The scan of the rows after a fit: residuals and whitened columns, which every robust covariance folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TypeVar

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import CategoricalColumn, RowAccount, Source, scan_purpose
from squarely.design import Block, Design, fold_blocks
from squarely.errors import DataError, pluralize
from squarely.exact import Solution, iter_residuals, require_same_rows, sum_columns
from squarely.moments import fold_in_threads
from squarely.numerics import ROUNDOFF, Array

T = TypeVar("T")

_TWELVE_DIGITS = 1e-12  # of the norm of the residuals: standard errors then have more than enough
_CELLS = 2**17  # of a piece, a megabyte: it stays in a cache
_MIN_ROWS, _MAX_ROWS = 64, 8_192


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class WhitenedRows:
    """Some rows of a fit. With weights, V and the residuals are multiplied by the roots of the weights.

    Attributes
    ----------
    V : (q, m) the whitened columns v = R^-T z of the scaled, selected columns z; v v' sums to the identity over all rows.
    residuals : (m,) in the scaled unit of the response.
    positions : (m,) of the rows in the source, counted from 0.
    groups : the columns of labels that were asked for, by name.
    frequencies : (m,) how many rows each stands for, with V and residuals of one of them; None for one.
    weights : (m,) the weights, which V and residuals have in them; None for none.
    """

    V: Array
    residuals: Array
    positions: np.ndarray
    groups: Mapping[str, CategoricalColumn]
    frequencies: Array | None = None
    weights: Array | None = None

    @property
    def leverage(self) -> Array:
        """The diagonal (m,) of the hat matrix."""
        leverage: Array = np.einsum("jm,jm->m", self.V, self.V)
        return leverage

    @property
    def scores(self) -> Array:
        """The whitened scores v r (q, m)."""
        return self.V * self.residuals


def whitening_matrix(solution: Solution) -> Array:
    """Return W (q, q) with W W' = (X'X)^-1 for the scaled, selected columns: v = W'z."""
    root, R = solution.inverse_root, solution.factor.R
    if root is not None:
        return np.ascontiguousarray(solve_triangular(root.U, root.P.T, trans="T").T)
    return np.asarray(solve_triangular(R, np.eye(len(R))))


def fold_whitened_rows(
    solution: Solution,
    source: Source,
    step: Callable[[WhitenedRows], T],
    merge: Callable[[T, T], T],
    *,
    groups: Sequence[str] = (),
) -> T:
    """Scan the rows once and merge, in their order, the results of `step` for pieces of them.

    `groups` are columns that each piece brings as labels.

    Raises
    ------
    DataError : the rows are not those of the fit, or a label is missing in a row that the fit used.
    """

    def fold_batch(pieces: Iterator[WhitenedRows], _rows: int) -> T:
        return reduce(merge, map(step, pieces))

    return fold_whitened_batches(solution, source, fold_batch, merge, groups=groups)


@scan_purpose("standard errors")
def fold_whitened_batches(
    solution: Solution,
    source: Source,
    fold_batch: Callable[[Iterator[WhitenedRows], int], T],
    merge: Callable[[T, T], T],
    *,
    groups: Sequence[str] = (),
    most_rows: int | None = None,
    after_batch: Callable[[T], T] | None = None,
) -> T:
    """Do as `fold_whitened_rows`, where `fold_batch` takes the pieces of a batch and the number of their rows.

    `most_rows` limits the rows of a batch. `after_batch` replaces the merged result so far, in this thread, after each batch; it is
    for rows that are not partitioned.
    """
    moments, W = solution.moments, whitening_matrix(solution)
    design, groups = moments.design, tuple(groups)
    if groups != design.formula.groups:
        design = replace(design, formula=replace(design.formula, groups=groups))

    def work(block: Block) -> _Total[T]:
        if not block.size:
            return block.account, 0.0, []
        sums: list[Array] = []
        result = fold_batch(_whiten(design, block, solution, W, sums), block.size)
        return block.account, sum(sums), [result]

    def join(a: _Total[T], b: _Total[T]) -> _Total[T]:
        results = [*a[2], *b[2]]
        merged = [reduce(merge, results)] if results else []
        return a[0] + b[0], a[1] + b[1], merged if after_batch is None else [after_batch(each) for each in merged]

    start: _Total[T] = RowAccount(), 0.0, []
    threads = fold_in_threads(design)
    account, sums, results = fold_blocks(design, source, work, join, start, threads=threads, size=most_rows)
    _require_labels(source, solution, account, groups)
    require_same_rows(source, moments, account.used, np.broadcast_to(sums, len(moments.gram)))
    return results[0]


_Total = tuple[RowAccount, Array | float, list[T]]


def _whiten(design: Design, block: Block, solution: Solution, W: Array, sums: list[Array]) -> Iterator[WhitenedRows]:
    """Yield the pieces of a block, whitened, and append the sums of their scaled columns (k + 1,) to `sums`."""
    columns, extended = solution.factor.columns, _needs_extended(solution)
    size = min(max(_CELLS // (len(design.columns) + 2), _MIN_ROWS), _MAX_ROWS)
    positions, start = block.rows, 0
    tables = iter_residuals(design, block, columns, solution.scaled_params, extended=extended, size=size)
    for table, residuals in tables:
        at = slice(start, start + len(residuals))
        start = at.stop
        groups = {name: replace(column, codes=column.codes[at]) for name, column in block.groups.items()}
        V = np.dot(W.T, table[:-1] if len(columns) == len(table) - 1 else table[columns])
        rows = WhitenedRows(V=V, residuals=residuals, positions=positions[at], groups=groups)
        if design.formula.has_frequencies:
            rows = replace(rows, V=V / table[0], residuals=residuals / table[0], frequencies=table[0] ** 2)
        elif design.formula.weights is not None:
            rows = replace(rows, weights=table[0] ** 2)
        sums.append(sum_columns(table))
        yield rows


def _needs_extended(solution: Solution) -> bool:
    """Return whether the fit has residuals in double-double, and doubles would leave less than twelve digits of their norm."""
    if solution.precision != "extended":
        return False
    lengths = np.sqrt(np.diag(solution.moments.gram))
    terms = float(lengths[solution.factor.columns] @ np.abs(solution.scaled_params[0]) + lengths[-1])
    norm = np.sqrt(solution.ssr) / solution.moments.design.scales[-1]
    return not 4 * ROUNDOFF * terms <= _TWELVE_DIGITS * norm


def _require_labels(source: Source, solution: Solution, account: RowAccount, groups: Sequence[str]) -> None:
    """Raise a DataError if rows of the fit lack a label."""
    moments = solution.moments
    for name in groups:
        missing = sum(account.dropped.get(name, {}).values())
        if missing and account.used < moments.n and name not in moments.design.formula.groups:
            raise DataError(
                f"{name!r} of {source.label} is missing in {pluralize(moments.n - account.used, 'row')} of the {moments.n:,} that "
                f"the fit used. Fit again with {name!r} in the call of ols, which leaves such rows out."
            )
