"""R with R'R = X'X for the columns that are independent; which ones are is decided once, here.

Cross-products serve while roundoff x condition squared leaves ten digits. Otherwise R is folded from the rows, and its
diagonal tells which columns the earlier ones already span, up to what the rounding of the stored values can explain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from squarely.data import Source
from squarely.errors import DataError
from squarely.exact.condition_number import MOST_SINGULAR_VALUES, condition_of, condition_of_cosines
from squarely.exact.rank import cholesky_in_order, constant_columns, describe_dependency, describe_zero_column, independent_columns
from squarely.moments import Moments, fold_qr
from squarely.numerics import ROUNDOFF, Array, qr_r

TEN_DIGITS, SIX_DIGITS = 1e-10, 1e-6  # relative errors that leave so many digits
# Beyond so many operations (some seconds) a triangle of blocks of indicators is not folded if cross-products can decide rank, and
# beyond so many more (minutes to hours) not at all. What they leave of a column is told from nothing while it is more than roundoff
# may be after ten thousand columns.
_MANY_OPERATIONS, _MOST_OPERATIONS = 1e10, 5e12
_MIN_REMAINDER = 1e-10


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Factorization:
    """The triangular factor of the scaled columns that are kept.

    Attributes
    ----------
    columns : (q,) positions in Moments' columns [1, x_1 ... x_p, y] of the kept columns.
    names : the names of all coefficients, kept or not.
    selected : (len(names),) whether a coefficient is kept.
    R : (q, q) upper triangular; `rhs` (q,) with R b = rhs at the solution b.
    condition : the 2-norm condition number of R with its columns scaled to length one.
    method : "moments" or "triangle".
    dependencies : a sentence for each dropped column.
    triangle : (k + 1, k + 1) on that road, T of all columns [1, x, y] with T'T = Z'Z; without an intercept that of 1 may be zero.
    remainders : (p - q,) the length of each dropped column that the kept ones may not span, in scaled units.
    error_factor : by how much cross-products are less exact than sums over rows, because others were taken out of them.
    """

    columns: np.ndarray
    names: tuple[str, ...]
    selected: np.ndarray
    R: Array
    rhs: Array
    condition: float
    method: str
    dependencies: tuple[str, ...] = ()
    triangle: Array | None = None
    remainders: tuple[float, ...] = ()
    error_factor: float = 1.0

    @property
    def unit_error(self) -> float:
        """The relative error, at worst, of a solve with R: p u kappa^2 from cross-products, p u kappa from a triangle."""
        power = 2 if self.method == "moments" else 1
        return min(1.0, len(self.columns) * ROUNDOFF * self.error_factor * self.condition**power)


def factorize(moments: Moments, source: Source) -> Factorization:
    """Factor the columns, from cross-products if that leaves ten digits, else from the rows.

    Where there are thousands of indicators, whose cross-products are exact, rank is decided on these, unless a column of numbers
    is in doubt: only the rows tell whether it is dependent or nearly so.

    Raises
    ------
    DataError : such a column among so many indicators that a triangle of the rows would take hours.
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
                f"Cross-products of {len(moments.gram) - 1:,} columns cannot tell whether {' and '.join(map(repr, doubtful))} of "
                f"{source.label} depends on the columns before, and a triangle of so many would take hours. Leave it out, or group "
                "levels."
            )
    return factor or _factorize_rows(moments, source, constant, zero)


def columns_of(moments: Moments) -> np.ndarray:
    """Give the positions of all coefficients in Moments' columns [1, x, y]."""
    design = moments.design
    return np.arange(0 if design.intercept else 1, len(design.columns) + 1)


def factorize_moments(moments: Moments) -> Factorization | None:
    """Factor the cross-products, or give None if that would not leave ten digits or a column depends on others."""
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
        R = np.asarray(np.linalg.cholesky(G).T) if small else _cholesky_in_place(G)
    except LinAlgError:
        return None
    condition = condition or condition_of(R, np.array([1 / length, np.zeros(len(R))]))
    return _make_factorization(moments, columns, R, condition) if ROUNDOFF * condition**2 <= TEN_DIGITS else None


def _cholesky_in_place(G: Array) -> Array:
    """Factor a large matrix in the memory of one copy: ten thousand columns have most of a gigabyte.

    A small one is left to NumPy, whose BLAS has threads of its own that SciPy's would wait for.
    """
    R: Array = cholesky(G.T.copy(order="F"), lower=False, overwrite_a=True, check_finite=False)
    return R


def _factorize_in_order(moments: Moments, constant: np.ndarray, zero: np.ndarray) -> tuple[Factorization, list[str]]:
    """Decide rank on cross-products, in the order of the columns; name those left out that are neither constant nor categories."""
    design = moments.design
    columns = columns_of(moments)
    G = moments.gram[columns[0] : columns[-1] + 1, columns[0] : columns[-1] + 1]
    C, length = _cosines(G), np.sqrt(np.diag(G))
    np.fill_diagonal(C, np.where(constant[columns], 0.0, np.diag(C)))
    R, kept = cholesky_in_order(C, _MIN_REMAINDER)
    before = np.cumsum(kept)
    sentences = []
    for i in np.flatnonzero(~kept).tolist():
        earlier = columns[kept][: before[i]]
        d = solve_triangular(R[: before[i], : before[i]], C[:i, i][kept[:i]]) * length[i] / length[kept][: before[i]]
        name, j = moments.design.names[i], int(columns[i])
        sentences.append(describe_zero_column(name) if zero[j] else describe_dependency(moments, name, j, earlier.tolist(), d))
    factor = _make_factorization(moments, columns[kept], R * length[kept], condition_of(R))
    out = [design.columns[j - 1] for j in columns[~kept].tolist() if not constant[j]]
    doubtful = [column.name for column in out if not all(text in design.categories for text, _, _ in column.parts)]
    return replace(factor, dependencies=tuple(sentences)), doubtful


def _cosines(G: Array) -> Array:
    """Scale the columns of cross-products to length one."""
    length = np.sqrt(np.diag(G))
    unit = np.where(length > 0, length, 1.0)
    C = G / unit[:, None]
    C /= unit
    return C


def _make_factorization(moments: Moments, columns: np.ndarray, R: Array, condition: float) -> Factorization:
    dropped = np.setdiff1d(columns_of(moments), columns)
    return Factorization(
        columns=columns,
        names=moments.design.names,
        selected=np.isin(columns_of(moments), columns),
        R=R,
        rhs=solve_triangular(R, moments.gram[columns, -1], trans="T", check_finite=False),
        condition=condition,
        method="moments",
        remainders=tuple(np.sqrt(_MIN_REMAINDER * np.diag(moments.gram)[dropped]).tolist()),
    )


def _factorize_rows(moments: Moments, source: Source, constant: np.ndarray, zero: np.ndarray) -> Factorization:
    T = fold_qr(moments.design, source)
    require_same_rows(source, moments, round(float(T[0, 0] ** 2)), T[0, 0] * T[0])
    return factorize_triangle(moments, T, constant, zero=zero)


def factorize_triangle(
    moments: Moments, T: Array, constant: np.ndarray, noise: Array | None = None, *, zero: np.ndarray | None = None
) -> Factorization:
    """Factor the columns that are independent, from T (k + 1, k + 1) of all columns; the others are those of `independent_columns`."""
    columns = columns_of(moments)
    kept, dependencies, left = independent_columns(moments, T, columns, constant, noise, zero=zero)
    R = qr_r(T[:, [*columns[kept], len(T) - 1]])
    q = int(kept.sum())
    length = np.linalg.norm(R[:q, :q], axis=0)
    return Factorization(
        columns=columns[kept],
        names=moments.design.names,
        selected=kept,
        R=R[:q, :q],
        rhs=R[:q, q],
        condition=condition_of(R[:q, :q] / length),
        method="triangle",
        dependencies=tuple(dependencies),
        triangle=T,
        remainders=left,
    )


def require_same_rows(source: Source, moments: Moments, n: int, sums: Array) -> None:
    """Raise a DataError unless a scan that met n rows with these sums of the scaled columns (k + 1,) met those of Moments."""
    room = 1e-10 * np.sqrt(moments.n * np.diag(moments.gram))
    if n != moments.n or not (np.abs(sums - moments.gram[0]) <= room).all():
        raise DataError(
            f"{source.label} has changed since it was first read: {moments.n:,} complete rows then, {n:,} now, or other values "
            "in them. Fit again when nothing writes to it."
        )
