"""Recursive residuals: how far each row is from the fit to the rows before it (Brown, Durbin and Evans 1975)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from squarely.data import scan_purpose
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.diagnostics.row_order.ordering import read_ordering, require_sortable, sort_rows
from squarely.inference.scan import WhitenedRows, fold_whitened_rows
from squarely.numerics import Array, qr_r

_BLOCK = 64  # rows that are worked on at once
_DEPENDENT = 1e-9  # of a row: what is left beside the rows before it is rounding

Rows = tuple[Array, Array]  # whitened rows (m, q) and residuals (m,)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Recursion:
    """The fit to the rows so far, and the sums of their recursive residuals.

    Attributes
    ----------
    basis : (q, r) an orthonormal basis of the whitened rows so far.
    R : (r, r + 1) the triangle of these rows in this basis, and of their residuals beside it.
    count, total, squares : the number of recursive residuals, their sum and that of their squares.
    pending : rows that follow and are not worked on yet.
    """

    basis: Array
    R: Array
    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    pending: tuple[Rows, ...] = field(default=())

    @classmethod
    def start(cls, q: int, pending: Sequence[Rows] = ()) -> Recursion:
        """Return the recursion before its first row."""
        return cls(basis=np.zeros((q, 0)), R=np.zeros((0, 1)), pending=tuple(pending))

    def __add__(self, other: Recursion) -> Recursion:
        return replace(self, pending=(*self.pending, *other.pending))

    def advance(self) -> Recursion:
        """Work on the rows that are pending."""
        state = replace(self, pending=())
        q = len(state.basis)
        for X, y in self.pending:
            at = 0
            while at < len(y) and state.basis.shape[1] < q:
                known = state._count_spanned(X[at : at + _BLOCK])
                if known:
                    state = state._add_block(X[at : at + known], y[at : at + known])
                    at += known
                else:
                    state = state._add_direction(X[at], float(y[at]))
                    at += 1
            size = max(_BLOCK, q)
            for start in range(at, len(y), size):
                state = state._add_block(X[start : start + size], y[start : start + size])
        return state

    def _count_spanned(self, X: Array) -> int:
        """Return how many rows (m, q) come before the first one that the rows before them do not span."""
        is_new = np.linalg.norm(self._outside(X), axis=1) > _DEPENDENT * np.linalg.norm(X, axis=1)
        return int(np.argmax(is_new)) if is_new.any() else len(X)

    def _outside(self, X: Array) -> Array:
        """Return the parts of rows (m, q) outside the span of the rows before them."""
        rest = X - (X @ self.basis) @ self.basis.T
        outside: Array = rest - (rest @ self.basis) @ self.basis.T
        return outside

    def _add_direction(self, x: Array, y: float) -> Recursion:
        """Add a row with a direction that the rows before it lack: it has no residual."""
        r = self.basis.shape[1]
        outside = self._outside(x[None])[0]
        length = float(np.linalg.norm(outside))
        R = np.zeros((r + 1, r + 2))
        R[:r, :r], R[:r, -1] = self.R[:, :r], self.R[:, -1]
        R[r, :r], R[r, r], R[r, -1] = self.basis.T @ x, length, y
        return replace(self, basis=np.column_stack([self.basis, outside / length]), R=qr_r(R))

    def _add_block(self, X: Array, y: Array) -> Recursion:
        """Add rows (m, q) that the directions of the rows before them span."""
        X = X @ self.basis
        r = X.shape[1]
        w = y
        if r:
            R, z = self.R[:, :r], self.R[:, r]
            G = solve_triangular(R, X.T, trans="T")
            L = cholesky(np.eye(len(y)) + G.T @ G, lower=True)
            w = solve_triangular(L, y - G.T @ z, lower=True)
        R = qr_r(np.vstack([self.R, np.column_stack([X, y])]))[:r]
        return replace(self, R=R, count=self.count + len(w), total=self.total + float(w.sum()), squares=self.squares + float(w @ w))


@scan_purpose("diagnostics")
def fold_recursive_residuals(fit: CoefficientStatistics, name: str, order_by: object) -> tuple[Recursion, str]:
    """Go through the rows in their order or in that of a column; return the recursion, and the order in words.

    Raises
    ------
    OptionError : the rows have no order or are in other processes.
    DataError : too many rows would be sorted in memory.
    """
    if order_by is not None or fit.source.partitioned:
        require_sortable(fit, name)
    ordering = read_ordering(fit, name, order_by)
    q = len(fit.solution.factor.columns)
    if ordering.key is not None:
        return Recursion.start(q, [sort_rows(fit, ordering)]).advance(), ordering.along

    def step(rows: WhitenedRows) -> Recursion:
        return Recursion.start(q, [(np.ascontiguousarray(rows.V.T), rows.residuals)])

    result = fold_whitened_rows(fit.solution, fit.source, step, Recursion.__add__, after_batch=Recursion.advance)
    return result.advance(), ordering.along
