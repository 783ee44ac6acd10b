"""R with R'R = X'X for the columns that are independent; which ones are is decided once, here.

Cross-products serve while roundoff x condition squared leaves ten digits. Otherwise R is folded from the rows, and its
diagonal tells which columns the earlier ones already span, up to what the rounding of the stored values can explain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from squarely.data import Source
from squarely.design import derivations
from squarely.errors import DataError
from squarely.moments import Moments, fold_triangle, qr_triangle
from squarely.numerics import ROUNDOFF, Array

TEN_DIGITS = 1e-10  # a relative error that leaves ten digits
# How much larger than the roundoff of one value a residual may be and still count as rounding: sums over p columns and
# the blocks of the fold add a few units each; measured on exact dependencies of 2 to 50 columns it stays below 4.
ROUNDING = 32.0
_NOTHING = 1e-12  # the share of a column below which a term of its dependency is rounding


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Factor:
    """The triangular factor of the scaled columns that are kept.

    Attributes
    ----------
    columns : (q,) positions in Moments' columns [1, x_1 ... x_p, y] of the kept columns.
    names : the names of all coefficients, kept or not.
    kept : (len(names),) whether a coefficient is kept.
    R : (q, q) upper triangular; `rhs` (q,) with R b = rhs at the solution b.
    condition : the 2-norm condition number of R with its columns scaled to length one.
    road : "moments" or "triangle".
    dependencies : a sentence for each dropped column.
    """

    columns: np.ndarray
    names: tuple[str, ...]
    kept: np.ndarray
    R: Array
    rhs: Array
    condition: float
    road: str
    dependencies: tuple[str, ...] = ()

    @property
    def unit_error(self) -> float:
        """The relative error, at worst, of a solve with R: p u kappa^2 from cross-products, p u kappa from a triangle."""
        power = 2 if self.road == "moments" else 1
        return min(1.0, len(self.columns) * ROUNDOFF * self.condition**power)


def factorise(moments: Moments, source: Source) -> Factor:
    """Factor the columns, from cross-products if that leaves ten digits, else from the rows."""
    return _from_moments(moments) or _from_rows(moments, source)


def _columns(moments: Moments) -> np.ndarray:
    design = moments.design
    return np.arange(0 if design.intercept else 1, len(design.columns) + 1)


def _from_moments(moments: Moments) -> Factor | None:
    columns = _columns(moments)
    G = moments.gram[np.ix_(columns, columns)]
    length = np.sqrt(np.diag(G))
    if not (length > 0).all():
        return None
    try:
        C = cholesky(G / np.outer(length, length), lower=False)
    except LinAlgError:
        return None
    condition = _condition(C)
    if ROUNDOFF * condition**2 > TEN_DIGITS:
        return None
    R = C * length
    return Factor(
        columns=columns,
        names=moments.design.names,
        kept=np.ones(len(columns), dtype=bool),
        R=R,
        rhs=solve_triangular(R, moments.gram[columns, -1], trans="T"),
        condition=condition,
        road="moments",
    )


def _from_rows(moments: Moments, source: Source) -> Factor:
    T = fold_triangle(moments.design, source)
    require_same_rows(source, moments, round(float(T[0, 0] ** 2)), T[0, 0] * T[0])
    columns = _columns(moments)
    kept, dependencies = _independent(moments, T, columns)
    if not kept.any():
        raise DataError(f"No column is left to fit: {'; '.join(dependencies)}. Name a column that varies.")
    R = qr_triangle(T[:, [*columns[kept], len(T) - 1]])
    q = int(kept.sum())
    length = np.linalg.norm(R[:q, :q], axis=0)
    return Factor(
        columns=columns[kept],
        names=moments.design.names,
        kept=kept,
        R=R[:q, :q],
        rhs=R[:q, q],
        condition=_condition(R[:q, :q] / length),
        road="triangle",
        dependencies=tuple(dependencies),
    )


def _independent(moments: Moments, T: Array, columns: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Go through the columns in order and drop each that the kept ones before it span, up to rounding."""
    design = moments.design
    centres, scales = design.column_centres, design.column_scales
    # Lengths of the *stored* columns in scaled units: rounding is relative to these, not to the centred columns. A column that
    # is computed without rounding has none of its own, nor does what it is computed from count against it.
    centred = np.linalg.norm(T, axis=0)
    stored = centred + np.abs(centres / scales) * np.sqrt(moments.n)
    made = [(False, frozenset[str]()), *derivations(design), (False, frozenset[str]())]
    kept: list[int] = []
    sentences = []
    for name, j in zip(design.names, columns.tolist(), strict=True):
        R = qr_triangle(T[:, [*kept, j]])
        q = len(kept)
        d = solve_triangular(R[:q, :q], R[:q, q]) if q else np.zeros(0)
        left = abs(R[q, q])
        exact, of = made[j]
        unit = [centred[k] if exact and made[k][1] and made[k][1] <= of else stored[k] for k in kept]
        if left > ROUNDING * ROUNDOFF * ((centred if exact else stored)[j] + np.abs(d) @ np.array(unit)):
            kept.append(j)
        else:
            sentences.append(dependency(moments, name, j, kept, d))
    return np.isin(columns, kept), sentences


def dependency(moments: Moments, name: str, j: int, kept: list[int], d: Array) -> str:
    """Write a dropped column in terms of the kept ones, in the units of the data."""
    design = moments.design
    labels = ["", *design.labels]
    centres, scales = design.column_centres, design.column_scales
    weights = d * scales[j] / scales[kept]
    constant = centres[j] - weights @ centres[kept] if design.intercept else 0.0
    sizes = np.sqrt(np.diag(moments.gram)[kept] / moments.n) * scales[kept]
    size = np.sqrt(moments.gram[j, j] / moments.n) * scales[j]
    terms, rounded = [], False
    for k, weight, s in zip(kept, weights.tolist(), sizes.tolist(), strict=True):
        if k == 0:
            constant += weight
        elif abs(weight) * s > _NOTHING * size:
            plain = {1.0: "", -1.0: "-"}.get(round(weight, 12), f"{weight:.10g} ")
            rounded |= plain not in ("", "-") and abs(float(plain) - weight) > 1e-12 * abs(weight)
            terms.append(plain + labels[k])
    if not terms:
        return f"{name} is constant ({constant:.6g})"
    if abs(constant) > _NOTHING * (size + abs(centres[j])):
        terms.append(f"{constant:.10g}")
        rounded |= abs(float(terms[-1]) - constant) > 1e-12 * (size + abs(centres[j]))
    return f"{name} {'≈' if rounded else '='} {' + '.join(terms)}".replace("+ -", "- ")


def require_same_rows(source: Source, moments: Moments, n: int, sums: Array) -> None:
    """Raise a DataError unless a scan that met n rows with these sums of the scaled columns (k + 1,) met those of Moments."""
    room = 1e-10 * np.sqrt(moments.n * np.diag(moments.gram))
    if n != moments.n or not (np.abs(sums - moments.gram[0]) <= room).all():
        raise DataError(
            f"{source.label} has changed since it was first read: {moments.n:,} complete rows then, {n:,} now, or other values "
            "in them. Fit again when nothing writes to it."
        )


def _condition(R: Array) -> float:
    values = np.linalg.svd(R, compute_uv=False)
    return float(values[0] / values[-1]) if values[-1] > 0 else float("inf")
