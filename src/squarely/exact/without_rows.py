"""Least squares from solutions alone: fits of several sets of rows put together, and taken out again, without a row.

Each solution knows its minimum: ||y - X b||^2 = ssr_s + ||X_s (b - b_s)||^2 on its rows, exactly. So nothing is taken from
y'y - b'X'y, which would lose the digits that refinement has gained: only differences of coefficients meet the cross-products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from squarely.errors import DataError, counted
from squarely.exact.condition import condition_of, telling_singular
from squarely.exact.factor import Factor, columns_of, from_moments, from_triangle
from squarely.exact.least_squares import Merger, Solution, spread_of
from squarely.exact.rank import independent, still
from squarely.exact.units import digits_of, spread_out, to_units, unit_errors
from squarely.moments import CRUMBS, Merged, Moments, Transfer, qr_triangle
from squarely.numerics import ROUNDOFF, Array, Pair, dd_add, dd_multiply, dd_sum, two_sum

_MOST_STEPS = 10
_UNIT = 8 * ROUNDOFF  # the relative error of sums over rows in blocks, as measured, with room
_DIFFERENCE = 16.0  # by how much a difference of sums is less exact than they are: their errors do not cancel, as measured
NEVER_IN = (
    "What is to be taken out was never in: {}. Take out a fit of rows that are in, with the same formula and condition, and once."
)


@telling_singular
def solve_without_rows(merged: Merged, solutions: Sequence[Solution], signs: Sequence[int]) -> Solution:
    """Solve min sum_s sign_s (ssr_s + ||X_s (b - b_s)||^2) for the columns of `merged`, refined until a step cannot matter.

    `solutions` belong to the shares of `merged`, in their order; a sign of -1 takes one out.

    Raises
    ------
    DataError : too few rows are left, or what is taken out cannot have been in.
    """
    moments = merged.moments
    p = len(moments.design.names)
    if moments.n <= p:
        raise DataError(
            f"There {'is' if moments.n == 1 else 'are'} {counted(moments.n, 'complete row')} for {counted(p, 'coefficient')} in "
            f"all: nothing is left to measure the errors with. {p + 1} are needed, or a formula with fewer columns."
        )
    constant = _constants(moments, solutions)
    factor = _rest(merged, constant) if min(signs) < 0 else _whole(merged, solutions, constant)
    if factor.triangle is not None:
        merged = replace(merged, moments=_measured(moments, factor.triangle))
    parts = list(zip(solutions, merged.transfers, signs, strict=True))
    return _solution(merged, factor, _minimum(merged, factor, parts), parts)


_Parts = Sequence[tuple[Solution, Transfer, int]]


def _constants(moments: Moments, solutions: Sequence[Solution]) -> np.ndarray:
    """Tell which columns (k + 1,) are constant up to rounding; one that a part has kept is of whole numbers, and varies."""
    kept = {name for s in solutions for name, is_kept in zip(s.factor.names, s.factor.kept.tolist(), strict=True) if is_kept}
    constant: np.ndarray = still(moments) & ~np.isin(["", *moments.design.labels], list(kept))
    return constant


def _whole(merged: Merged, solutions: Sequence[Solution], constant: np.ndarray) -> Factor:
    """Factor the sum of cross-products if that leaves ten digits, else the triangles of all, stacked."""
    factor = None if constant.any() else from_moments(merged.moments)
    if factor is None:
        T = np.vstack(list(_triangles(merged, solutions)))
        factor = from_triangle(merged.moments, _square(qr_triangle(T)), constant, _UNIT * np.sqrt(merged.sizes))
    return replace(factor, doubt=float(merged.doubts[factor.columns].max()))


def _measured(moments: Moments, T: Array) -> Moments:
    """Take the squares of the columns' lengths from T, which has them where cross-products cancel."""
    gram = moments.gram.copy()
    np.fill_diagonal(gram, np.maximum(np.diag(gram), np.square(T).sum(axis=0)))
    gram[0, 0] = moments.n
    return replace(moments, gram=gram)


def _triangles(merged: Merged, solutions: Sequence[Solution]) -> Iterator[Array]:
    """Yield for each solution a T (m, k + 1) with T'T = Z'Z, in the columns of all."""
    for solution, transfer in zip(solutions, merged.transfers, strict=True):
        factor, T = solution.factor, solution.factor.triangle
        if T is None:
            q = len(factor.R)
            T = np.zeros((q + 1, len(solution.moments.gram)))
            others = np.setdiff1d(np.arange(T.shape[1] - 1), factor.columns)
            T[:q, factor.columns] = factor.R
            T[:q, others] = solve_triangular(factor.R, solution.moments.gram[np.ix_(factor.columns, others)], trans="T")
            T[:q, -1] = factor.R @ solution.b[0]
            T[q, -1] = np.sqrt(solution.ssr) / solution.moments.design.scales[-1]
        hi, lo = transfer.right((T, np.zeros_like(T)))
        yield hi + lo


def _square(R: Array) -> Array:
    return np.vstack([R, np.zeros((R.shape[1] - len(R), R.shape[1]))])


def _rest(merged: Merged, constant: np.ndarray) -> Factor:
    """Factor what is left of cross-products, without the columns of which only rounding is left.

    Differences have the rounding of what was taken away, so a column counts as dependent where the share of its square that others
    do not span is below CRUMBS of what it was.
    """
    moments, sizes = merged.moments, merged.sizes
    D = np.sqrt(np.where(sizes > 0, sizes, 1.0))
    S = moments.gram / np.outer(D, D)
    try:
        cholesky(S + len(S) * CRUMBS * np.eye(len(S)))
    except LinAlgError:
        raise DataError(NEVER_IN.format("the cross-products that would be left are those of no rows")) from None
    columns = columns_of(moments)
    T = np.zeros_like(S)
    T[np.ix_(columns, columns)] = _root(S[np.ix_(columns, columns)]) * D[columns]
    found: tuple[np.ndarray, list[str], tuple[float, ...]] = (np.diag(T) > 0)[columns] & ~constant[columns], [], ()
    kept, dependencies, left = found if found[0].all() else independent(moments, T, columns, constant, np.sqrt(CRUMBS * sizes))
    columns = columns[kept]
    R = qr_triangle(T[:, columns])
    return Factor(
        columns=columns,
        names=moments.design.names,
        kept=kept,
        R=R,
        rhs=solve_triangular(R, moments.gram[columns, -1], trans="T"),
        condition=condition_of(R / np.linalg.norm(R, axis=0)),
        road="moments",
        dependencies=tuple(dependencies),
        left=left,
        doubt=_DIFFERENCE * float(merged.doubts[columns].max()),
    )


def _root(S: Array) -> Array:
    """Return upper triangular T (m, m) with T'T = S, its row zero where nothing but rounding is left of a column."""
    T = np.zeros_like(S)
    for j in range(len(S)):
        kept = np.flatnonzero(np.diag(T)[:j])
        R = T[np.ix_(kept, kept)]
        inside = solve_triangular(R, S[kept, j], trans="T")
        T[kept, j] = inside
        left = S[j, j] - inside @ inside
        if left > CRUMBS * (1.0 + float(np.abs(solve_triangular(R, inside)).sum())) ** 2:
            T[j, j] = np.sqrt(left)
    return T


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Sums:
    """What all parts say about coefficients b.

    Attributes
    ----------
    gradient : (l + 1,) Z'(y - X b), summed in double-double. `squares` the sum of squared residuals.
    off : (l + 1,) the error of the gradient at most; `by_fit` the norm of a further error of the fitted values.
    fuzz : the error of `squares`. `blur` the norm of the parts' own errors.
    """

    gradient: Array
    squares: float
    off: Array
    by_fit: float
    fuzz: float
    blur: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Minimum:
    """The solution b (q,) in scaled columns, its error (q,) at most, the sum of squares there and the error of that.

    `blur` is the norm by which the fitted values may be off.
    """

    b: Pair
    error: Array
    squares: float
    fuzz: float
    blur: float
    settled: bool


def _minimum(merged: Merged, factor: Factor, parts: _Parts) -> _Minimum:
    R, q = factor.R, len(factor.R)
    P = solve_triangular(R, np.eye(q))
    spread = np.linalg.norm(P, axis=1)  # roots of the diagonal of (R'R)^-1
    inverse = np.abs(P @ P.T)
    hi, lo = solve_triangular(R, factor.rhs), np.zeros(q)
    sums = _sums(merged, factor, parts, (hi, lo))
    settled, steps = False, 0
    while not settled and steps < _MOST_STEPS:
        d = solve_triangular(R, solve_triangular(R, sums.gradient[factor.columns], trans="T"))
        hi, e = two_sum(hi, d)
        lo = lo + e
        steps += 1
        sums = _sums(merged, factor, parts, (hi, lo))
        off = sums.off[factor.columns]
        noise = spread * (sums.blur + sums.by_fit) + inverse @ off
        settled = bool((np.abs(d) <= ROUNDOFF * np.abs(hi) + noise).all())
    step = factor.unit_error * float(np.linalg.norm(R @ d))
    squares = sums.squares
    if not any(solution.ssr for solution, _, _ in parts) and squares <= sums.fuzz:  # all lie on one line exactly
        squares = 0.0
    if squares < -sums.fuzz:
        raise DataError(NEVER_IN.format("the sum of squared residuals that would be left is below zero"))
    return _Minimum(
        b=(hi, lo),
        error=spread * step + noise + (0.0 if settled else np.abs(d)),
        squares=max(squares, 0.0),
        fuzz=sums.fuzz,
        blur=step + sums.blur + sums.by_fit + float(np.linalg.norm(np.abs(P.T) @ off)),
        settled=settled,
    )


def _sums(merged: Merged, factor: Factor, parts: _Parts, b: Pair) -> _Sums:
    size, unit = len(merged.moments.gram), float(merged.moments.design.scales[-1])
    v = np.zeros(size), np.zeros(size)  # y - X b = Z v
    v[0][factor.columns], v[1][factor.columns] = -b[0], -b[1]
    v[0][-1] = 1.0
    gradient = np.zeros(size), np.zeros(size)
    off = np.zeros(size)
    squares = by_fit = fuzz = blur = 0.0
    for solution, transfer, sign in parts:
        e = _difference(solution, transfer, v)
        lengths = transfer.lengths(solution.moments.gram)
        reach = float(np.abs(e[0]) @ np.sqrt(np.diag(solution.moments.gram)))
        T, G = solution.factor.triangle, solution.moments.gram
        if T is None:
            g = _product(G, e)
            square = max(float(e[0] @ g[0]), 0.0)
            off += _UNIT * solution.factor.doubt * reach * lengths
            fuzz += _UNIT * solution.factor.doubt * reach**2
        else:
            h = _product(T, e)
            g = _product(T.T, h)
            square = float(h[0] @ h[0])
            by_fit += _UNIT * reach
            off += _UNIT * np.sqrt(square) * lengths
            fuzz += 2 * _UNIT * reach * np.sqrt(square) + (_UNIT * reach) ** 2
        # The part's minimum says nothing about columns that it has dropped: what is left of them may meet its residuals.
        dropped = columns_of(solution.moments)[~solution.factor.kept]
        left = np.array(solution.factor.left)
        own, unsure = solution.ssr / unit**2, solution.blur * transfer.ratio
        off += np.abs(transfer.A[0][dropped]).T @ left * np.sqrt(own)
        fuzz += 2 * float(np.abs(e[0][dropped]) @ left) * np.sqrt(own)
        back = transfer.back(g)
        gradient = dd_add(gradient, (sign * back[0], sign * back[1]))
        squares += sign * (own + square)
        fuzz += 2 * np.sqrt(own) * unsure + unsure**2 + 4 * ROUNDOFF * (own + square)
        blur += unsure
    return _Sums(gradient=gradient[0] + gradient[1], squares=squares, off=off, by_fit=by_fit, fuzz=fuzz, blur=blur)


def _difference(solution: Solution, transfer: Transfer, v: Pair) -> Pair:
    """Return v less the part's own minimum, (k + 1,) in the part's columns and the unit of all."""
    hi, lo = transfer.times(v)
    own = np.zeros_like(hi), np.zeros_like(lo)
    own[0][solution.factor.columns], own[1][solution.factor.columns] = solution.b
    own[0][-1] = -1.0
    return dd_add((hi, lo), (transfer.ratio * own[0], transfer.ratio * own[1]))


def _product(M: Array, x: Pair) -> Pair:
    """Return M x (m,) for M (m, k) as it is stored, in double-double."""
    return dd_sum(dd_multiply((M.T, np.zeros_like(M.T)), (x[0][:, None], x[1][:, None])))


def _solution(merged: Merged, factor: Factor, minimum: _Minimum, parts: _Parts) -> Solution:
    moments, squares = merged.moments, minimum.squares
    params, error, natural = to_units(moments, factor, minimum.b, minimum.error)
    if squares == 0.0 and not _takes_out(parts):
        params = np.where(np.abs(params) <= error, 0.0, params)
    unit = float(moments.design.scales[-1])
    rough = factor.doubt * float(np.linalg.norm([solution.rough for solution, _, _ in parts]))
    relative = (
        factor.unit_error + rough + 16 * ROUNDOFF + (minimum.fuzz / (2 * squares) if squares > 0 else float(_takes_out(parts)))
    )
    ones = np.ones(len(params))
    solutions = [solution for solution, _, _ in parts]
    within = sum(sign * solution.centered_tss for solution, _, sign in parts)
    return Solution(
        moments=moments,
        factor=factor,
        root=None,
        b=minimum.b,
        params=spread_out(params, factor.kept),
        residuals=None,
        unit_bse=spread_out(unit_errors(moments, factor, spread_of(moments, factor), None), factor.kept),
        ssr=squares * unit**2,
        centered_tss=max(within + merged.between * unit**2, 0.0),
        digits=spread_out(digits_of(params, error, natural), factor.kept),
        digits_bse=spread_out(digits_of(ones, relative * ones, 0 * ones), factor.kept),
        precision="extended" if all(solution.precision == "extended" for solution in solutions) else "double",
        scans=max(solution.scans for solution in solutions),
        settled=minimum.settled and all(solution.settled for solution in solutions),
        blur=minimum.blur + (minimum.fuzz / (2 * np.sqrt(squares)) if squares > 0 else np.sqrt(minimum.fuzz)),
        rough=rough,
        merged=_merger(parts),
    )


def _takes_out(parts: _Parts) -> bool:
    """Tell whether something is taken out: then a sum of squares of zero is what cancellation left, and no certainty."""
    return any(sign < 0 for _, _, sign in parts)


def _merger(parts: _Parts) -> Merger:
    """Say which fits are in and which were taken out, those inside merged ones by themselves."""
    rows: list[int] = []
    taken_out: list[int] = []
    for solution, _, sign in parts:
        inside = solution.merged or Merger(rows=(solution.moments.n,))
        if sign > 0:
            rows += inside.rows
            taken_out += inside.taken_out
        else:
            rows += inside.taken_out
            taken_out += inside.rows
    return Merger(rows=tuple(rows), taken_out=tuple(taken_out))
