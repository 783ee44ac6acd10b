"""R with R'R = X'X for the independent columns; which columns these are is decided once, here.

Cross-products serve while roundoff x condition squared leaves ten digits. Otherwise R is folded from the rows. Its diagonal
shows which columns the earlier ones span, up to the rounding of the stored values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from squarely.data import Source
from squarely.design import Block, Design, IndicatorColumn, scaled_blocks
from squarely.errors import DataError, changed_error, join_words
from squarely.exact.condition_number import MOST_SINGULAR_VALUES, condition_of, condition_of_cosines, condition_of_scaled
from squarely.exact.rank import (
    Dependency,
    absorption_noise,
    cholesky_in_order,
    constant_columns,
    describe_dependency,
    independent_columns,
)
from squarely.moments import Moments, fold_qr
from squarely.numerics import ROUNDOFF, Array, qr_r
from squarely.reprs import short_repr

TEN_DIGITS, SIX_DIGITS = 1e-10, 1e-6  # relative errors that leave so many digits
# Beyond so many operations (some seconds), a triangle of blocks of indicators is not folded if cross-products can decide rank;
# beyond so many more (minutes to hours), never.
_MANY_OPERATIONS, _MOST_OPERATIONS = 1e10, 5e12
_MIN_REMAINDER = 1e-10  # a remainder in cross-products is certain above what roundoff may be after ten thousand columns


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Factorization:
    """The triangular factor of the scaled columns that are selected.

    Attributes
    ----------
    columns : (q,) positions in Moments' columns [1, x_1 ... x_p, y] of the selected columns.
    selected : (p,) whether a coefficient is selected.
    R : (q, q) upper triangular.
    rhs : (q,) with R b = rhs at the solution b.
    condition : the 2-norm condition number of R with its columns scaled to length one.
    method : "moments" or "triangle".
    dropped : the dependency of each dropped column.
    triangle : (k + 1, k + 1) by that method, T of all columns [1, x, y] with T'T = Z'Z.
    error_factor : the error of the cross-products over that of plain sums over rows: above one after a removal.
    """

    __repr__ = short_repr

    columns: np.ndarray
    selected: np.ndarray
    R: Array
    rhs: Array
    condition: float
    method: str
    dropped: tuple[Dependency, ...] = ()
    triangle: Array | None = None
    error_factor: float = 1.0

    @property
    def unit_error(self) -> float:
        """The relative error, at worst, of a solve with R: p u kappa^2 from cross-products, p u kappa from a triangle."""
        power = 2 if self.method == "moments" else 1
        return min(1.0, len(self.columns) * ROUNDOFF * self.error_factor * self.condition**power)

    @property
    def dependencies(self) -> tuple[str, ...]:
        """A sentence for each dropped column."""
        return tuple(each.message for each in self.dropped)

    @property
    def remainders(self) -> Array:
        """The length of each dropped column (p - q,) that the selected ones may not span, in scaled units."""
        return np.array([each.remainder for each in self.dropped])

    @property
    def zeros(self) -> tuple[bool, ...]:
        """Whether each dropped column is zero in every row."""
        return tuple(each.is_zero for each in self.dropped)


def make_factorization(
    moments: Moments,
    columns: np.ndarray,
    R: Array,
    condition: float,
    *,
    dropped: tuple[Dependency, ...] = (),
    error_factor: float = 1.0,
) -> Factorization:
    """Return the factorization of some columns (q,) of Moments, by cross-products."""
    return Factorization(
        columns=columns,
        selected=np.isin(columns_of(moments), columns),
        R=R,
        rhs=solve_triangular(R, moments.gram[columns, -1], trans="T", check_finite=False),
        condition=condition,
        method="moments",
        dropped=dropped,
        error_factor=error_factor,
    )


def factorize(moments: Moments, source: Source) -> Factorization:
    """Factor the columns, from cross-products if that leaves ten digits, else from the rows.

    With thousands of indicators, whose cross-products are exact, rank is decided on these. Only a numeric column in doubt needs
    the rows, which show whether it is dependent or nearly so: a DataError if that would take hours.
    """
    constant, zero = constant_columns(moments, source)
    factor = None if constant.any() else factorize_moments(moments)
    operations = moments.n * len(moments.gram) ** 2
    if factor is None and moments.design.layout.blocks and operations > _MANY_OPERATIONS:
        factor, doubtful = _factorize_in_order(moments, constant, zero)
        if doubtful and operations <= _MOST_OPERATIONS:
            factor = None
        elif doubtful:
            raise DataError(
                f"Cross-products of {len(moments.gram) - 1:,} columns cannot tell whether {join_words([*map(repr, doubtful)])} of "
                f"{source.label} depends on the columns before, and a triangle of so many would take hours. Leave it out, or group "
                "levels."
            )
    if factor is not None:
        return factor
    T = fold_qr(moments.design, source)
    n = moments.n if moments.design.formula.weights else round(float(T[0, 0] ** 2))
    require_same_rows(source, moments, n, T[0, 0] * T[0])
    noise = None if moments.design.absorbed is None else absorption_noise(moments.design)
    return factorize_triangle(moments, T, constant, zero, noise)


def columns_of(moments: Moments) -> np.ndarray:
    """Return the positions of all coefficients in Moments' columns [1, x, y]."""
    design = moments.design
    return np.arange(0 if design.intercept else 1, len(design.columns) + 1)


def factorize_moments(moments: Moments) -> Factorization | None:
    """Factor the cross-products; return None if that would not leave ten digits or a column depends on others."""
    columns = columns_of(moments)
    G = moments.gram[columns[0] : columns[-1] + 1, columns[0] : columns[-1] + 1]
    length = np.sqrt(np.diag(G))
    if not (length > 0).all():
        return None
    small = len(G) <= MOST_SINGULAR_VALUES
    condition = condition_of_cosines(_cosines(G)) if small else 0.0
    if ROUNDOFF * condition**2 > TEN_DIGITS:
        return None
    try:
        if small:  # by NumPy: SciPy has other BLAS threads, and each would wait for the other's
            R = np.asarray(np.linalg.cholesky(G).T)
        else:  # in the memory of one copy: ten thousand columns take most of a gigabyte
            R = cholesky(G.T.copy(order="F"), lower=False, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    condition = condition or condition_of(R, np.array([1 / length, np.zeros(len(R))]))
    return make_factorization(moments, columns, R, condition) if ROUNDOFF * condition**2 <= TEN_DIGITS else None


def _factorize_in_order(moments: Moments, constant: np.ndarray, zero: np.ndarray) -> tuple[Factorization, list[str]]:
    """Decide rank on cross-products, in the order of the columns; name dropped ones that are neither constant nor categorical."""
    design = moments.design
    columns = columns_of(moments)
    G = moments.gram[columns[0] : columns[-1] + 1, columns[0] : columns[-1] + 1]
    C, length = _cosines(G), np.sqrt(np.diag(G))
    np.fill_diagonal(C, np.where(constant[columns], 0.0, np.diag(C)))
    R, selected = cholesky_in_order(C, _MIN_REMAINDER)
    before = np.cumsum(selected)
    dropped = []
    for i in np.flatnonzero(~selected).tolist():
        earlier, j = columns[selected][: before[i]], int(columns[i])
        d = solve_triangular(R[: before[i], : before[i]], C[:i, i][selected[:i]]) * length[i] / length[selected][: before[i]]
        remainder = float(np.sqrt(_MIN_REMAINDER * moments.gram[j, j]))
        dropped.append(describe_dependency(moments, j, earlier.tolist(), d, remainder, is_zero=bool(zero[j])))
    factor = make_factorization(moments, columns[selected], R * length[selected], condition_of(R), dropped=tuple(dropped))
    varying = [design.columns[j - 1] for j in columns[~selected].tolist() if not constant[j]]
    return factor, [column.name for column in varying if not all(text in design.categories for text, _, _ in column.parts)]


def _cosines(G: Array) -> Array:
    """Scale the columns of cross-products to length one."""
    length = np.sqrt(np.diag(G))
    unit = np.where(length > 0, length, 1.0)
    C = G / unit[:, None]
    C /= unit
    return C


def factorize_triangle(
    moments: Moments, T: Array, constant: np.ndarray, zero: np.ndarray, noise: Array | None = None
) -> Factorization:
    """Factor the independent columns, from T (k + 1, k + 1) of all columns; see `independent_columns` for the others."""
    columns = columns_of(moments)
    selected, dropped = independent_columns(moments, T, columns, constant, zero, noise=noise)
    columns, q = columns[selected], int(selected.sum())
    R = qr_r(T[:, [*columns, len(T) - 1]])
    factor = make_factorization(moments, columns, R[:q, :q], condition_of_scaled(R[:q, :q]), dropped=dropped)
    return replace(factor, rhs=R[:q, q], method="triangle", triangle=T)


def require_same_rows(source: Source, moments: Moments, n: int, sums: Array) -> None:
    """Raise a DataError unless a scan has the number of rows and the sums of the scaled columns (k + 1,) of Moments."""
    tolerance = 1e-10 * np.sqrt(moments.weight * np.diag(moments.gram))
    if n != moments.n or not (np.abs(sums - moments.gram[0]) <= tolerance).all():
        raise changed_error(
            source.label, f"{moments.n:,} complete rows", f"{n:,}" + (" with other values" if n == moments.n else "")
        )


def sum_columns(table: Array) -> Array:
    """Sum the columns of a table [1, ...] (k, m); weighted rows have the roots of their weights in the first, not ones."""
    total: Array = table.sum(axis=1) if (table[0] == 1.0).all() else np.dot(table, table[0])
    return total


def sum_block(design: Design, block: Block, size: int) -> Array:
    """Sum the scaled columns [1, x, y] of a block (k + 1,), with its weights, in pieces of at most `size` rows."""
    layout, total = design.layout, np.zeros(len(design.columns) + 2)
    dense, grouped = np.append(0, layout.dense + 1), layout.grouped + 1
    for piece in scaled_blocks(design, block, size):
        total[dense] += sum_columns(piece.Z)
        total[grouped] += sum_by_group(piece.indicators, piece.Z[0], len(grouped))
    return total


def sum_by_group(indicators: Sequence[IndicatorColumn], r: Array, g: int) -> Array:
    """Sum r (m,) times the indicators, by group: (g,)."""
    total = np.zeros(g)
    for column in indicators:
        weights = r if column.values is None else r * column.values
        total += np.bincount(column.places + 1, weights, g + 1)[1:]
    return total
