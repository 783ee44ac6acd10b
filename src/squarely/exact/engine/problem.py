"""What is solved where rows stay in an engine, and its way back to the units of the data, in fractions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.linalg import solve_triangular

from squarely.exact.engine.rank import RankResult
from squarely.exact.factorization import Factorization
from squarely.exact.whitening import InverseRoot
from squarely.moments import EngineGram, Moments, to_data_columns
from squarely.numerics import ROUNDOFF, Array, Pair, qr_r


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EngineProblem:
    """The columns of W = [1, w_1 ... w_p, y] that are kept, and what they stand for.

    Attributes
    ----------
    moments : of [1, X, y], which W was derived into. `engine_gram` those of W, without the columns that had to go for good.
    rank_result : the q columns of W that are kept, with R'R = W'W.
    places : (k + 1,) which of [1, X, y] each column of W stands for.
    condition : the condition number of the columns kept, scaled to length one.
    """

    moments: Moments
    engine_gram: EngineGram
    rank_result: RankResult
    places: np.ndarray
    condition: float

    @property
    def rounding(self) -> float:
        """The relative error of a sum over the rows: engines add them up one after the other, in some threads."""
        return float(4 + np.sqrt(self.moments.n)) * ROUNDOFF

    @property
    def unit_error(self) -> float:
        """The relative error, at worst, of a solve with R."""
        return min(1.0, (len(self.rank_result.columns) * ROUNDOFF + self.rounding) * self.condition**2)

    @property
    def columns(self) -> np.ndarray:
        """Which of [1, X, y] (q,) the kept columns stand for."""
        columns: np.ndarray = self.places[self.rank_result.columns]
        return columns

    @property
    def is_selected(self) -> np.ndarray:
        """Whether a coefficient (p,) is kept."""
        design = self.moments.design
        kept: np.ndarray = np.isin(np.arange(0 if design.intercept else 1, len(design.columns) + 1), self.columns)
        return kept

    def to_data_columns(self) -> list[dict[int, Fraction]]:
        """Write each kept column of W in terms of [1, X], by their places."""
        way = to_data_columns(self.engine_gram.columns)
        return [{int(self.places[j]): weight for j, weight in way[i].items()} for i in self.rank_result.columns.tolist()]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ErrorBound:
    """What rounding leaves of an error of b, where R'R b = W'y.

    Attributes
    ----------
    R : (q, q). `rows` the length of the error of the residuals. `sums` (q,) the errors of the sums W'r.
    """

    R: Array
    rows: float
    sums: Array

    def error_of(self, A: Array) -> Array:
        """Give the error (m,) of A b at most, A (m, q): ||A R^-1|| rows + |A (R'R)^-1| sums."""
        half = solve_triangular(self.R, A.T, trans="T").T
        error: Array = np.linalg.norm(half, axis=1) * self.rows + np.abs(solve_triangular(self.R, half.T).T) @ self.sums
        return error


def params_in_data_units(work: EngineProblem, b: Pair, left: ErrorBound) -> tuple[dict[int, Fraction], Array]:
    """Give the coefficients of [1, X] that W b makes for b (q,), exactly and by place, and their errors (q,) at most."""
    layout = work.engine_gram.columns
    scale = Fraction(float(layout.units[-1]))
    total: dict[int, Fraction] = dict.fromkeys(work.columns.tolist(), Fraction(0))
    at = {place: i for i, place in enumerate(total)}
    A = np.zeros((len(at), len(at)))
    if 0 in total:
        total[0] = Fraction(float(layout.shifts[-1]))
    for i, (x, e, row) in enumerate(zip(b[0].tolist(), b[1].tolist(), work.to_data_columns(), strict=True)):
        for place, weight in row.items():
            total[place] += (Fraction(x) + Fraction(e)) * scale * weight
            A[at[place], i] = float(scale * weight)
    return total, left.error_of(A)


def natural_sizes(work: EngineProblem) -> Array:
    """Give the size (q,) that each coefficient would have if its column alone made up the response."""
    moments, design, columns = work.moments, work.moments.design, work.columns
    centres, scales = design.column_centers, design.column_scales
    sizes: Array = scales[-1] / scales[columns] * np.sqrt(moments.gram[-1, -1] / np.diag(moments.gram)[columns])
    if design.intercept:
        sizes[0] += abs(centres[-1]) + np.abs(centres[columns[1:]]) @ sizes[1:]
    return sizes


def to_scaled(work: EngineProblem, total: dict[int, Fraction]) -> Pair:
    """Give the coefficients of the scaled columns of Moments as double-double (q,)."""
    design = work.moments.design
    centres, scales = [[Fraction(x) for x in row.tolist()] for row in (design.column_centers, design.column_scales)]
    exact = {j: beta * scales[j] / scales[-1] for j, beta in total.items()}
    if 0 in total:
        level = total[0] - centres[-1] + sum((beta * centres[j] for j, beta in total.items() if j), Fraction(0))
        exact[0] = level / scales[-1]
    hi = [float(exact[j]) for j in work.columns.tolist()]
    lo = [float(exact[j] - Fraction(x)) for j, x in zip(work.columns.tolist(), hi, strict=True)]
    return np.array(hi), np.array(lo)


def to_factorization(work: EngineProblem) -> Factorization:
    """Give R of the scaled columns of Moments, from that of W."""
    moments, columns = work.moments, work.columns
    R = qr_r(work.rank_result.R @ np.linalg.inv(scaled_column_matrix(work)))
    R = R * np.sign(np.diag(R))[:, None]
    return Factorization(
        columns=columns,
        names=moments.design.names,
        selected=work.is_selected,
        R=R,
        rhs=solve_triangular(R, moments.gram[columns, -1], trans="T"),
        condition=work.condition,
        method="moments",
        dependencies=work.rank_result.dependencies,
        remainders=work.rank_result.remainders,
    )


def to_inverse_root(work: EngineProblem, U: Array, error: float) -> InverseRoot:
    """Give A with A A' = (X'X)^-1 for the scaled columns of Moments: the way back times U^-1, with U'U = W'W.

    It is kept apart from R: their product would be rounded.
    """
    return InverseRoot(P=scaled_column_matrix(work), U=U, error=error)


def scaled_column_matrix(work: EngineProblem) -> Array:
    """Write the kept columns of W in terms of the scaled columns of Moments: (q, q), exact but for one rounding."""
    design = work.moments.design
    centres, scales = [[Fraction(x) for x in row.tolist()] for row in (design.column_centers, design.column_scales)]
    at = {place: i for i, place in enumerate(work.columns.tolist())}
    P = np.zeros((len(at), len(at)))
    for i, row in enumerate(work.to_data_columns()):
        level = row.get(0, Fraction(0)) + sum((weight * centres[j] for j, weight in row.items() if j), Fraction(0))
        for place, weight in row.items():
            if place:
                P[at[place], i] = float(weight * scales[place])
        if 0 in at:
            P[at[0], i] = float(level)
    return P
