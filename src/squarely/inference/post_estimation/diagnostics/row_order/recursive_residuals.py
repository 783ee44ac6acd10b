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
        for X, y in self.pending:
            at = 0
            while at < len(y) and state.basis.shape[1] < len(state.basis):
                state = state._add_row(X[at], float(y[at]))
                at += 1
            for start in range(at, len(y), _BLOCK):
                state = state._add_block(X[start : start + _BLOCK], y[start : start + _BLOCK])
        return state

    def _add_row(self, x: Array, y: float) -> Recursion:
        """Add a row that may have a direction that the rows before it lack; then it has no residual."""
        r = self.basis.shape[1]
        c = self.basis.T @ x
        rest = x - self.basis @ c
        rest -= self.basis @ (self.basis.T @ rest)
        length = float(np.linalg.norm(rest))
        if length <= _DEPENDENT * float(np.linalg.norm(x)):
            return self._add_block(x[None], np.array([y]))
        R = np.zeros((r + 1, r + 2))
        R[:r, :r], R[:r, -1] = self.R[:, :r], self.R[:, -1]
        R[r, :r], R[r, r], R[r, -1] = c, length, y
        return replace(self, basis=np.column_stack([self.basis, rest / length]), R=qr_r(R))

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
