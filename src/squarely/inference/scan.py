"""The scan of the rows after a fit: residuals and whitened columns, which every robust covariance folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TypeVar

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import CategoricalColumn, RowAccount, Source, scan_purpose
from squarely.design import Block, Design, fold_blocks, iter_blocks
from squarely.errors import DataError, pluralize
from squarely.exact import Solution, iter_residuals, require_same_rows, sum_columns
from squarely.moments import fold_in_threads
from squarely.numerics import Array

T = TypeVar("T")

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
    offset : (m,) the offset, in the unit of the response; None for none.
    columns : the columns (m,) of numbers of the data that the formula reads, by name.
    """

    V: Array
    residuals: Array
    positions: np.ndarray
    groups: Mapping[str, CategoricalColumn]
    frequencies: Array | None = None
    weights: Array | None = None
    offset: Array | None = None
    columns: Mapping[str, Array] = field(default_factory=dict)

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


@scan_purpose("standard errors")
def fold_whitened_rows(
    solution: Solution,
    source: Source,
    step: Callable[[WhitenedRows], T],
    merge: Callable[[T, T], T],
    *,
    groups: Sequence[str] = (),
    after_batch: Callable[[T], T] | None = None,
    shift: Callable[[T, int], T] | None = None,
) -> T:
    """Scan the rows once and merge, in their order, the results of `step` for pieces of them.

    `groups` are columns that each piece brings as labels. `after_batch` replaces the merged result so far, in this thread, after
    each batch; it is for rows that are not partitioned. `shift` adds a number to the positions in a result: with it they count
    over all partitions, and otherwise from the beginning of each.

    Raises
    ------
    DataError : the rows are not those of the fit, or a label is missing in a row that the fit used.
    """
    moments, W = solution.moments, whitening_matrix(solution)
    design = replace(moments.design, formula=replace(moments.design.formula, groups=tuple(groups)))

    def work(block: Block) -> _Total[T]:
        pieces = _whiten(design, block, solution, W, block.rows - (block.first_row if shift else 0))
        results, sums = zip(*((step(rows), total) for rows, total in pieces), strict=True) if block.size else ((), ())
        return block.account, sum(sums), [reduce(merge, results)] if results else []

    def join(a: _Total[T], b: _Total[T]) -> _Total[T]:
        results = [*a[2], *(b[2] if shift is None else [shift(each, a[0].read) for each in b[2]])]
        merged = [reduce(merge, results)] if results else []
        return a[0] + b[0], a[1] + b[1], merged if after_batch is None else [after_batch(each) for each in merged]

    start: _Total[T] = RowAccount(), 0.0, []
    account, sums, results = fold_blocks(design, source, work, join, start, threads=fold_in_threads(design))
    _require_labels(source, solution, account, groups)
    require_same_rows(source, moments, account.used, np.broadcast_to(sums, len(moments.gram)))
    return results[0]


def iter_whitened_rows(solution: Solution, source: Source) -> Iterator[list[WhitenedRows]]:
    """Yield the whitened rows of each batch, as pieces, in their order; at the end raise a DataError for rows not of the fit."""
    moments, W = solution.moments, whitening_matrix(solution)
    used, sums = 0, np.zeros(len(moments.gram))
    for block in iter_blocks(moments.design, source):
        if block.size:
            pieces, totals = zip(*_whiten(moments.design, block, solution, W, block.rows), strict=True)
            used, sums = used + block.size, sums + sum(totals)
            yield list(pieces)
    require_same_rows(source, moments, used, sums)


_Total = tuple[RowAccount, Array | float, list[T]]


def _whiten(
    design: Design, block: Block, solution: Solution, W: Array, positions: np.ndarray
) -> Iterator[tuple[WhitenedRows, Array]]:
    """Yield the pieces of a block at some positions (m,), whitened, with the sums of their scaled columns (k + 1,)."""
    columns, size = solution.factor.columns, min(max(_CELLS // (len(design.columns) + 2), _MIN_ROWS), _MAX_ROWS)
    start = 0
    tables = iter_residuals(design, block, columns, solution.scaled_params, extended=solution.precision == "extended", size=size)
    for table, residuals in tables:
        at = slice(start, start + len(residuals))
        start = at.stop
        groups = {name: replace(column, codes=column.codes[at]) for name, column in block.groups.items()}
        V = np.dot(W.T, table[:-1] if len(columns) == len(table) - 1 else table[columns])
        rows = WhitenedRows(
            V=V,
            residuals=residuals,
            positions=positions[at],
            groups=groups,
            offset=None if block.offset is None else block.offset[at],
            columns={name: column[at] for name, column in block.columns.items()},
        )
        if design.formula.has_frequencies:
            rows = replace(rows, V=V / table[0], residuals=residuals / table[0], frequencies=np.rint(table[0] ** 2))
        elif design.formula.weights is not None:
            rows = replace(rows, weights=table[0] ** 2)
        yield rows, sum_columns(table)


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
