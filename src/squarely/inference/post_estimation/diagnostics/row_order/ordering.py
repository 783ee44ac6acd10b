"""The orders in which tests take the rows: their own, that of a column of numbers, or that of their distance from the mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from squarely.data import is_aggregate_only, require_columns
from squarely.errors import DataError, OptionError, show_value
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.fixed_effects.refusal import require_no_effects
from squarely.inference.scan import WhitenedRows, fold_whitened_rows
from squarely.numerics import Array

_MOST_CELLS = 2**27  # that are sorted in memory: a gigabyte

Key = Callable[[WhitenedRows], Array]  # returns the key (m,) of each row


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Ordering:
    """An order of the rows: of a column of numbers, of their distance from the mean, or, without a key, that of the rows.

    `columns` are those to read beside the model, `key` returns the key of each row, and `along` says in words how it goes.
    """

    along: str
    columns: tuple[str, ...] = ()
    key: Key | None = None


def read_ordering(fit: CoefficientStatistics, name: str, order_by: object) -> Ordering:
    """Return the order of the rows, or that of the column `order_by`.

    Raises
    ------
    OptionError : `order_by` is not a name, or the rows have no order, are counted by frequencies or are in other processes.
    DataError : there is no such column.
    """
    if order_by is not None:
        return read_column_ordering(fit, name, order_by)
    require_order(fit, name)
    require_here(fit, name)
    return Ordering(along="from the first rows to the last")


def read_column_ordering(fit: CoefficientStatistics, name: str, order_by: object) -> Ordering:
    """Return the order of the column `order_by`; raises as `read_ordering`."""
    require_readable_rows(fit)
    if not isinstance(order_by, str):
        raise OptionError(f"order_by={show_value(order_by)} is not the name of a column. Name one of numbers.")
    require_countable(fit, name)
    require_columns(fit.source, [order_by])
    return Ordering(along=f"with {order_by}", columns=(order_by,), key=partial(_column_key, name=order_by))


def order_of_time(fit: CoefficientStatistics, name: str, order_by: object) -> Ordering | None:
    """Return the order of a column for a test of neighboring rows; None for the order of the rows. Raises as `read_ordering`."""
    if order_by is None:
        require_order(fit, name)
        return None
    ordering = read_column_ordering(fit, name, order_by)
    require_sortable(fit, name)
    return ordering


def order_by_distance(fit: CoefficientStatistics) -> Ordering:
    """Return the order of the Mahalanobis distance of the rows' predictors from their mean."""
    require_readable_rows(fit)
    require_countable(fit, "Rainbow")
    moments, columns = fit.solution.moments, fit.solution.factor.columns
    root = None
    center = np.zeros(len(columns))
    if not fit.k_constant:  # else the constant is among the columns, and the leverage has the same order
        R = fit.solution.factor.R
        center = np.linalg.solve(R.T, moments.gram[0, columns] / moments.weight)
        root = np.linalg.inv(np.linalg.cholesky(np.eye(len(R)) - moments.weight * np.outer(center, center)))
    return Ordering(along="away from the mean", key=partial(_distance_key, center=center, root=root))


def require_countable(fit: CoefficientStatistics, name: str) -> None:
    """Raise an OptionError for a fit with frequencies, whose copies of a row have no order."""
    if fit.design.formula.has_frequencies:
        raise OptionError(
            f"{name} needs rows in an order, and the copies of a row that frequencies= counts have none. Fit without frequencies."
        )


def require_here(fit: CoefficientStatistics, name: str) -> None:
    """Raise an OptionError if the rows are in other processes, which do not know their places."""
    if fit.source.partitioned:
        raise OptionError(
            f"{name} needs the place of each row among all of {fit.source.label}, which are in other processes. Name a column of "
            "numbers by order_by=, or write the rows to a Parquet file and fit that."
        )


def require_readable_rows(fit: CoefficientStatistics) -> None:
    """Raise an OptionError if the rows stay in a database without an order, or lack their fixed effects."""
    require_no_effects(fit, "A diagnostic test")
    if is_aggregate_only(fit.source) and not fit.source.ordered:
        raise OptionError(
            f"Diagnostics read the rows, which stay in {fit.source.require_engine().name}. Give ols order_by= a column that sorts "
            "them, or write them to a Parquet file and fit that."
        )


def require_order(fit: CoefficientStatistics, name: str) -> None:
    """Raise an OptionError if a test needs the order of the rows and they have none."""
    require_readable_rows(fit)
    require_countable(fit, name)
    if not fit.source.ordered:
        raise OptionError(
            f"{name} needs rows in an order, and {fit.source.label} has none. Give ols order_by= with a column that sorts them, "
            "such as order_by='time'."
        )


def has_order(fit: CoefficientStatistics) -> bool:
    """Return whether `require_order` passes."""
    return fit.source.ordered and not fit.design.formula.has_frequencies


def require_sortable(fit: CoefficientStatistics, name: str) -> None:
    """Raise an OptionError if the rows are in other processes, or a DataError if they are too many to be sorted in memory."""
    q, n = len(fit.solution.factor.columns), fit.solution.moments.n
    if fit.source.partitioned:
        raise OptionError(
            f"{name} would sort the rows of {fit.source.label} here, and they are in other processes. Write them to a Parquet file "
            "and fit that."
        )
    if n * (q + 3) > _MOST_CELLS:
        raise DataError(
            f"{name} sorts the rows of {fit.source.label} in memory, and {n:,} rows of {q:,} columns are too many. Sort them "
            "before the fit, and leave order_by= out."
        )


def sort_rows(fit: CoefficientStatistics, ordering: Ordering) -> tuple[Array, Array]:
    """Return the whitened rows (n, q) and the residuals (n,) in an order with a key; ties have the order of the rows."""
    pieces = fold_whitened_rows(
        fit.solution, fit.source, partial(_keep_rows, key=ordering.key), _join_pieces, numbers=ordering.columns
    )
    X, y, keys, positions = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    order = np.lexsort((positions, keys))
    return X[order], y[order]


_Piece = tuple[Array, Array, Array, np.ndarray]


def _keep_rows(rows: WhitenedRows, *, key: Key | None) -> list[_Piece]:
    keys = np.zeros(len(rows.positions)) if key is None else key(rows)
    return [(np.ascontiguousarray(rows.V.T), rows.residuals, keys, rows.positions)]


def _join_pieces(a: list[_Piece], b: list[_Piece]) -> list[_Piece]:
    return a + b


def root_weights(rows: WhitenedRows) -> Array | float:
    """Return the roots of the weights (m,), by which V and the residuals are multiplied; 1 without weights."""
    return 1.0 if rows.weights is None else np.sqrt(rows.weights)


def _column_key(rows: WhitenedRows, *, name: str) -> Array:
    return rows.columns[name]


def _distance_key(rows: WhitenedRows, *, center: Array, root: Array | None) -> Array:
    x = rows.V / root_weights(rows)
    if root is not None:
        x = root @ (x - center[:, None])
    distance: Array = np.einsum("jm,jm->m", x, x)
    return distance
