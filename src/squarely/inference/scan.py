"""The scan of the rows after a fit: residuals and whitened columns, which every robust covariance folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from typing import TypeVar

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import CategoricalColumn, RowAccount, Source, scan_purpose
from squarely.design import Block, Design, fold_blocks, iter_blocks
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
    table : (k + 1, m) the scaled columns [1, x, y], valid until the next rows are made.
    groups : the columns of labels that were asked for, by name.
    frequencies : (m,) how many rows each stands for, with V and residuals of one of them; None for one.
    weights : (m,) the weights, which V and residuals have in them; None for none.
    offset : (m,) the offset, in the unit of the response; None for none.
    columns : the columns (m,) of numbers of the data that the formula reads, and those that were asked for, by name.
    effects_leverage : (m,) the part of the leverage that fixed effects have, computed when it is asked for.
    """

    V: Array
    residuals: Array
    positions: np.ndarray
    table: Array
    groups: Mapping[str, CategoricalColumn] = field(default_factory=dict)
    frequencies: Array | None = None
    weights: Array | None = None
    offset: Array | None = None
    columns: Mapping[str, Array] = field(default_factory=dict)
    effects_leverage: Callable[[], Array] | None = None

    @property
    def leverage(self) -> Array:
        """The diagonal (m,) of the hat matrix."""
        leverage: Array = np.einsum("jm,jm->m", self.V, self.V)
        if self.effects_leverage is not None:
            leverage += self.effects_leverage() * (1.0 if self.weights is None else self.weights)
        return leverage

    @property
    def scores(self) -> Array:
        """The whitened scores v r (q, m)."""
        return self.V * self.residuals


def is_leverage_one(leverage: Array, q: int) -> Array:
    """Return which rows (m,) have a leverage of one up to rounding: a fit of q columns passes through them, whatever they hold."""
    return np.asarray(1 - leverage <= 64 * q * ROUNDOFF)


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
    numbers: Sequence[str] = (),
    shift: Callable[[T, int], T] | None = None,
    after_batch: Callable[[T], T] | None = None,
) -> T:
    """Scan the rows once and merge, in their order, the results of `step` for pieces of them.

    `groups` are columns that each piece brings as labels, and `numbers` as numbers. `shift` adds a number to the positions in a
    result: with it they count over all partitions, and otherwise from the beginning of each. `after_batch` replaces the merged
    result so far, in this thread, after each batch; it is for rows that are not partitioned.

    Raises
    ------
    DataError : the rows are not those of the fit, or a label is missing in a row that the fit used.
    """

    def fold_batch(pieces: Iterator[WhitenedRows], _rows: int) -> T:
        return reduce(merge, map(step, pieces))

    return fold_whitened_batches(
        solution, source, fold_batch, merge, groups=groups, numbers=numbers, shift=shift, after_batch=after_batch
    )


@scan_purpose("standard errors")
def fold_whitened_batches(
    solution: Solution,
    source: Source,
    fold_batch: Callable[[Iterator[WhitenedRows], int], T],
    merge: Callable[[T, T], T],
    *,
    groups: Sequence[str] = (),
    numbers: Sequence[str] = (),
    shift: Callable[[T, int], T] | None = None,
    most_rows: int | None = None,
    after_batch: Callable[[T], T] | None = None,
) -> T:
    """Do as `fold_whitened_rows`, where `fold_batch` takes the pieces of a batch and the number of their rows.

    `most_rows` limits the rows of a batch.
    """
    moments, W = solution.moments, whitening_matrix(solution)
    formula = moments.design.formula
    every = tuple(dict.fromkeys((*formula.groups, *groups)))  # rows without a label that the fit needed are not in it
    design = moments.design
    if (every, tuple(numbers)) != (formula.groups, formula.numbers):
        design = replace(design, formula=replace(formula, groups=every, numbers=tuple(numbers)))

    def work(block: Block) -> _Total[T]:
        if not block.size:
            return block.account, 0.0, []
        sums: list[Array] = []
        result = fold_batch(_whiten(design, block, solution, W, sums, first_row=block.first_row if shift else 0), block.size)
        return block.account, sum(sums), [result]

    def join(a: _Total[T], b: _Total[T]) -> _Total[T]:
        results = [*a[2], *(b[2] if shift is None else [shift(each, a[0].read) for each in b[2]])]
        merged = [reduce(merge, results)] if results else []
        return a[0] + b[0], a[1] + b[1], merged if after_batch is None else [after_batch(each) for each in merged]

    start: _Total[T] = RowAccount(), 0.0, []
    threads = fold_in_threads(design)
    account, sums, results = fold_blocks(design, source, work, join, start, threads=threads, size=most_rows)
    _require_complete(source, solution, account, groups, numbers)
    require_same_rows(source, moments, account.used, np.broadcast_to(sums, len(moments.gram)))
    return results[0]


def iter_whitened_rows(solution: Solution, source: Source) -> Iterator[list[WhitenedRows]]:
    """Yield the whitened rows of each batch, as pieces, in their order; at the end raise a DataError for rows not of the fit."""
    moments, W = solution.moments, whitening_matrix(solution)
    used, sums = 0, np.zeros(len(moments.gram))
    for block in iter_blocks(moments.design, source):
        if block.size:
            totals: list[Array] = []
            pieces = list(_whiten(moments.design, block, solution, W, totals))
            used, sums = used + block.size, sums + sum(totals)
            yield pieces
    require_same_rows(source, moments, used, sums)


_Total = tuple[RowAccount, Array | float, list[T]]


def _whiten(
    design: Design, block: Block, solution: Solution, W: Array, sums: list[Array], *, first_row: int = 0
) -> Iterator[WhitenedRows]:
    """Yield the pieces of a block, whitened, and append the sums of their scaled columns (k + 1,) to `sums`.

    Positions of rows count from `first_row`.
    """
    columns, extended = solution.factor.columns, _needs_extended(solution)
    size = min(max(_CELLS // (len(design.columns) + 2), _MIN_ROWS), _MAX_ROWS)
    positions, start = block.rows - first_row, 0
    tables = iter_residuals(design, block, columns, solution.scaled_params, extended=extended, size=size)
    for table, residuals in tables:
        at = slice(start, start + len(residuals))
        start = at.stop
        groups = {name: replace(column, codes=column.codes[at]) for name, column in block.groups.items()}
        V = np.dot(W.T, table[:-1] if len(columns) == len(table) - 1 else table[columns])
        rows = WhitenedRows(
            V=V,
            residuals=residuals,
            positions=positions[at],
            table=table,
            groups=groups,
            offset=None if block.offset is None else block.offset[at],
            columns={name: column[at] for name, column in block.columns.items()},
        )
        if design.formula.has_frequencies:
            roots = table[0]
            rows = replace(rows, V=V / roots, residuals=residuals / roots, table=table / roots, frequencies=np.rint(roots**2))
        elif design.formula.weights is not None:
            rows = replace(rows, weights=table[0] ** 2)
        if design.absorbed is not None:
            codes = tuple(code[at] for code in block.codes)
            rows = replace(rows, effects_leverage=partial(design.absorbed.system.leverage, codes))
        sums.append(sum_columns(table))
        yield rows


def _needs_extended(solution: Solution) -> bool:
    """Return whether the fit has residuals in double-double, and doubles would leave less than twelve digits of their norm."""
    design = solution.moments.design
    if solution.precision != "extended" or design.absorbed is not None:
        return solution.precision == "extended"
    return not _double_error(solution) <= _TWELVE_DIGITS * np.sqrt(solution.ssr) / design.scales[-1]


def _double_error(solution: Solution) -> float:
    """Return the norm of the errors of residuals in double, in the scaled unit of the response."""
    lengths = np.sqrt(np.diag(solution.moments.gram))
    return 4 * ROUNDOFF * float(lengths[solution.factor.columns] @ np.abs(solution.scaled_params[0]) + lengths[-1])


def residual_error(solution: Solution) -> float:
    """Return the norm of the errors of the residuals of whitened rows, in the scaled unit of the response."""
    return solution.fitted_error + (0.0 if _needs_extended(solution) else _double_error(solution))


def _require_complete(
    source: Source, solution: Solution, account: RowAccount, groups: Sequence[str], numbers: Sequence[str]
) -> None:
    """Raise a DataError if rows of the fit lack a label or a number."""
    moments = solution.moments
    beside = [name for name in (*groups, *numbers) if name not in moments.design.formula.groups]
    missing = [name for name in beside if any(account.dropped.get(name, {}).values())]
    if missing and account.used < moments.n:
        names = " and ".join(map(repr, missing))
        again = f"Fit again with {names} in the call of ols, which leaves such rows out."
        rows = pluralize(moments.n - account.used, "row")
        raise DataError(
            f"{' or '.join(map(repr, missing))} of {source.label} is missing in {rows} of the {moments.n:,} that the fit used. "
            f"{'Leave such rows out, and fit again.' if numbers else again}"
        )
