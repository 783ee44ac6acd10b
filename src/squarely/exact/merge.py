"""Least squares from solutions alone: fits of several sets of rows put together, and taken out again, without a row.

Each solution knows its minimum: ||y - X b||^2 = ssr_s + ||X_s (b - b_s)||^2 on its rows, exactly. So nothing is taken from
y'y - b'X'y, which would lose the digits that refinement has gained: only differences of coefficients meet the cross-products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from squarely.errors import DataError, NumericalError, pluralize
from squarely.exact.condition_number import condition_of, no_digits_error, translate_singular_errors
from squarely.exact.factorization import TEN_DIGITS, Factorization, columns_of, factorize_moments, factorize_triangle
from squarely.exact.implicit_constant import Span, span_of_levels
from squarely.exact.rank import describe_zero_column, independent_columns, nearly_constant_columns
from squarely.exact.solution import MergeRecord, Shard, Solution, is_same_shard
from squarely.exact.units import expand_dropped, standard_error_scale, to_data_units, trusted_digits, unit_errors
from squarely.moments import CANCELLATION, ChangeOfBasis, MergedMoments, Moments
from squarely.numerics import ROUNDOFF, Array, Pair, dd_add, dd_multiply, dd_sum, qr_r, two_sum

_MOST_STEPS = 10
_UNIT = 8 * ROUNDOFF  # the relative error of sums over rows in blocks, as measured, with room
_DIFFERENCE = 16.0  # by how much a difference of sums is less exact than they are: their errors do not cancel, as measured
NOT_IN_MERGE = (
    "What is to be taken out was never in: {}. Take out a fit of rows that are in, with the same formula and condition, and once."
)


@translate_singular_errors
def solve_merged(merged: MergedMoments, solutions: Sequence[Solution], signs: Sequence[int]) -> Solution:
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
            f"There {'is' if moments.n == 1 else 'are'} {pluralize(moments.n, 'complete row')} for {pluralize(p, 'coefficient')} in "
            f"all: nothing is left to measure the errors with. {p + 1} are needed, or a formula with fewer columns."
        )
    if min(signs) < 0:
        merged = _clip_gram(merged)
        moments = merged.moments
    zero = _zeros(moments, solutions)
    constant = _constant_columns(moments, solutions) | zero
    factor = _factorize_remainder(merged, constant, zero) if min(signs) < 0 else _factorize_sum(merged, solutions, constant, zero)
    if factor.triangle is not None:
        merged = replace(merged, moments=_with_triangle_lengths(moments, factor.triangle))
    parts = _response_parts(merged, factor, solutions, signs)
    minimum = _minimum(merged, factor, parts, factor.rhs)
    if minimum.squares < -minimum.squares_error:
        raise DataError(NOT_IN_MERGE.format("the sum of squared residuals that would be left is below zero"))
    return _solution(merged, factor, minimum, parts, _span(merged, factor, parts))


def _span(merged: MergedMoments, factor: Factorization, parts: Sequence[_Part]) -> Span | None:
    moments = merged.moments
    if moments.design.intercept:
        return None
    levels = span_of_levels(moments, factor)
    if levels is not None:
        return levels
    rhs = solve_triangular(factor.R, moments.gram[factor.columns, 0], trans="T")
    least = _minimum(merged, factor, [_constant_part(part) for part in parts], rhs)
    return Span(
        b=least.b,
        remainder=float(np.sqrt(max(least.squares, 0.0))),
        remainder_error=least.fitted_error + float(np.sqrt(least.squares_error)),
    )


def _constant_columns(moments: Moments, solutions: Sequence[Solution]) -> np.ndarray:
    """Tell which columns (k + 1,) are constant up to rounding; one that a part has kept is of whole numbers, and varies."""
    constant: np.ndarray = nearly_constant_columns(moments) & ~_columns_selected_anywhere(moments, solutions)
    return constant


def _columns_selected_anywhere(moments: Moments, solutions: Sequence[Solution]) -> np.ndarray:
    """Tell which columns (k + 1,) some solution has kept."""
    kept = {name for s in solutions for name, is_kept in zip(s.factor.names, s.factor.selected.tolist(), strict=True) if is_kept}
    found: np.ndarray = np.isin(["", *moments.design.labels], list(kept))
    return found


def _zeros(moments: Moments, solutions: Sequence[Solution]) -> np.ndarray:
    """Tell which columns (k + 1,) every part has dropped as zero."""
    labels = moments.design.labels[:-1]
    return np.array(
        [False, *(all(describe_zero_column(name) in s.factor.dependencies for s in solutions) for name in labels), False]
    )


def _factorize_sum(merged: MergedMoments, solutions: Sequence[Solution], constant: np.ndarray, zero: np.ndarray) -> Factorization:
    """Factor the sum of cross-products if that leaves ten digits, else the triangles of all, stacked."""
    factor = None if constant.any() else factorize_moments(merged.moments)
    if factor is None:
        T = np.vstack(list(_triangles(merged, solutions)))
        noise = _UNIT * np.sqrt(merged.sizes) + _dropped_column_noise(merged, solutions)
        factor = factorize_triangle(merged.moments, _pad_to_square(qr_r(T)), constant, noise, zero=zero)
    doubt = float(merged.error_factors[factor.columns].max())
    if factor.method == "triangle":  # a triangle made of cross-products is off by their error times its condition
        doubt = max([doubt, *(s.factor.error_factor * _condition_number(s) for s in solutions if s.factor.triangle is None)])
    return replace(factor, error_factor=doubt)


def _dropped_column_noise(merged: MergedMoments, solutions: Sequence[Solution]) -> Array:
    """Bound the length (k + 1,) of what rounding leaves of columns that all have dropped, some on cross-products alone.

    Their combination of the kept ones is off by the error of the products times the condition.
    """
    noise = np.zeros(len(merged.moments.gram))
    for solution, transfer in zip(solutions, merged.basis_changes, strict=True):
        factor, gram = solution.factor, solution.moments.gram
        if factor.triangle is None:
            dropped = columns_of(solution.moments)[~factor.selected]
            lengths = np.sqrt(np.diag(gram)[dropped])
            noise += _UNIT * factor.error_factor * _condition_number(solution) * (np.abs(transfer.A[0][dropped]).T @ lengths)
    return np.where(_columns_selected_anywhere(merged.moments, solutions), 0.0, noise)


def _with_triangle_lengths(moments: Moments, T: Array) -> Moments:
    """Take the squares of the columns' lengths from T, which has them where cross-products cancel."""
    gram = moments.gram.copy()
    np.fill_diagonal(gram, np.maximum(np.diag(gram), np.square(T).sum(axis=0)))
    gram[0, 0] = moments.n
    return replace(moments, gram=gram)


def _triangles(merged: MergedMoments, solutions: Sequence[Solution]) -> Iterator[Array]:
    """Yield for each solution a T (m, k + 1) with T'T = Z'Z, in the columns of all."""
    for solution, transfer in zip(solutions, merged.basis_changes, strict=True):
        T = _triangle(solution)
        hi, lo = transfer.right_multiply((T, np.zeros_like(T)))
        yield hi + lo


def _triangle(solution: Solution) -> Array:
    """Give T (m, k + 1) with T'T = Z'Z."""
    factor, T = solution.factor, solution.factor.triangle
    if T is not None:
        return T
    q = len(factor.R)
    T = np.zeros((q + 1, len(solution.moments.gram)))
    others = np.setdiff1d(np.arange(T.shape[1] - 1), factor.columns)
    T[:q, factor.columns] = factor.R
    T[:q, others] = solve_triangular(factor.R, solution.moments.gram[np.ix_(factor.columns, others)], trans="T")
    T[:q, -1] = factor.R @ solution.scaled_params[0]
    T[q, -1] = np.sqrt(solution.ssr) / solution.moments.design.scales[-1]
    return T


def _needs_triangle(solution: Solution) -> bool:
    """Tell whether R has digits that the cross-products lack: it may come from columns that an engine has moved."""
    if solution.factor.triangle is not None or solution.moments.engine_record is None:
        return solution.factor.triangle is not None
    return ROUNDOFF * _condition_number(solution) ** 2 > TEN_DIGITS


def _condition_number(solution: Solution) -> float:
    """Give the condition of R: that of the factor is of the columns that an engine has moved, where it has."""
    factor = solution.factor
    if solution.moments.engine_record is None:
        return factor.condition
    return condition_of(factor.R / np.linalg.norm(factor.R, axis=0))


def _pad_to_square(R: Array) -> Array:
    return np.vstack([R, np.zeros((R.shape[1] - len(R), R.shape[1]))])


def _clip_gram(merged: MergedMoments) -> MergedMoments:
    """Cut what is left of products to the lengths of their columns: what exceeds these is rounding.

    Raises a DataError if rounding does not explain it.
    """
    gram, D = merged.moments.gram, np.sqrt(np.where(merged.sizes > 0, merged.sizes, 1.0))
    try:
        cholesky(gram / np.outer(D, D) + len(gram) * CANCELLATION * np.eye(len(gram)))
    except LinAlgError:
        raise DataError(NOT_IN_MERGE.format("the cross-products that would be left are those of no rows")) from None
    squares = np.maximum(np.diag(gram), 0.0)
    lengths = np.sqrt(squares)
    most = np.outer(lengths, lengths)
    cut = np.clip(gram, -most, most)
    np.fill_diagonal(cut, squares)
    return replace(merged, moments=replace(merged.moments, gram=cut))


def _factorize_remainder(merged: MergedMoments, constant: np.ndarray, zero: np.ndarray) -> Factorization:
    """Factor what is left of cross-products, without the columns of which only rounding is left.

    Differences have the rounding of what was taken away, so a column counts as dependent where the share of its square that others
    do not span is below CRUMBS of what it was.
    """
    moments, sizes = merged.moments, merged.sizes
    D = np.sqrt(np.where(sizes > 0, sizes, 1.0))
    S = moments.gram / np.outer(D, D)
    columns = columns_of(moments)
    T = np.zeros_like(S)
    T[np.ix_(columns, columns)] = _cholesky_of_remainder(S[np.ix_(columns, columns)]) * D[columns]
    found: tuple[np.ndarray, list[str], tuple[float, ...]] = (np.diag(T) > 0)[columns] & ~constant[columns], [], ()
    kept, dependencies, left = (
        found if found[0].all() else independent_columns(moments, T, columns, constant, np.sqrt(CANCELLATION * sizes), zero=zero)
    )
    columns = columns[kept]
    R = qr_r(T[:, columns])
    return Factorization(
        columns=columns,
        names=moments.design.names,
        selected=kept,
        R=R,
        rhs=solve_triangular(R, moments.gram[columns, -1], trans="T"),
        condition=condition_of(R / np.linalg.norm(R, axis=0)),
        method="moments",
        dependencies=tuple(dependencies),
        remainders=left,
        error_factor=_DIFFERENCE * float(merged.error_factors[columns].max()),
    )


def _cholesky_of_remainder(S: Array) -> Array:
    """Return upper triangular T (m, m) with T'T = S, its row zero where nothing but rounding is left of a column."""
    T = np.zeros_like(S)
    for j in range(len(S)):
        kept = np.flatnonzero(np.diag(T)[:j])
        R = T[np.ix_(kept, kept)]
        inside = solve_triangular(R, S[kept, j], trans="T")
        T[kept, j] = inside
        left = S[j, j] - inside @ inside
        if left > CANCELLATION * (1.0 + float(np.abs(solve_triangular(R, inside)).sum())) ** 2:
            T[j, j] = np.sqrt(left)
    return T


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Part:
    """What one solution says about least squares for one target, a column of [1, x_1 ... x_p, y].

    Attributes
    ----------
    solution, basis_change, sign : as they came.
    target : the position of the target, 0 for the ones and -1 for the response.
    b : (q,) its coefficients; `ratio` brings them to the unit of all.
    squares : the sum of squares that is left there, and `fitted_error` the norm of the error of the fitted values, in the unit of all.
    error_growth : by how much such an error may grow beside what is left, where rows are taken out that were larger.
    """

    solution: Solution
    basis_change: ChangeOfBasis
    sign: int
    target: int
    b: Pair
    ratio: float
    squares: float
    fitted_error: float
    error_growth: float


def _response_parts(
    merged: MergedMoments, factor: Factorization, solutions: Sequence[Solution], signs: Sequence[int]
) -> list[_Part]:
    unit = float(merged.moments.design.scales[-1])

    def grown(solution: Solution, transfer: ChangeOfBasis) -> float:
        """Give the norm of X_s R^-1, which is at most one where nothing is taken out."""
        if min(signs) > 0:
            return 1.0
        hi, lo = transfer.right_multiply((T := _triangle(solution), np.zeros_like(T)))
        return max(1.0, float(np.linalg.norm(solve_triangular(factor.R, (hi + lo)[:, factor.columns].T, trans="T"), 2)))

    return [
        _Part(
            solution=s,
            basis_change=t,
            sign=sign,
            target=-1,
            b=s.scaled_params,
            ratio=t.ratio,
            squares=s.ssr / unit**2,
            fitted_error=s.fitted_error * t.ratio,
            error_growth=grown(s, t),
        )
        for s, t, sign in zip(solutions, merged.basis_changes, signs, strict=True)
    ]


def _constant_part(part: _Part) -> _Part:
    """Ask the same solution for the combination that is nearest to a constant."""
    span = part.solution.span
    assert span is not None  # noqa: S101  # all fits are of one formula, here without an intercept
    return replace(part, target=0, b=span.b, ratio=1.0, squares=span.remainder**2, fitted_error=span.remainder_error)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _MergeSums:
    """What all parts say about coefficients b.

    Attributes
    ----------
    gradient : (l + 1,) Z'(y - X b), summed in double-double. `squares` the sum of squared residuals.
    gradient_error : (l + 1,) the error of the gradient at most; `fit_error` the norm of a further error of the fitted values.
    squares_error : the error of `squares`. `fitted_error` the norm of the parts' own errors.
    """

    gradient: Array
    squares: float
    gradient_error: Array
    fit_error: float
    squares_error: float
    fitted_error: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Minimum:
    """The solution b (q,) in scaled columns, its error (q,) at most, the sum of squares there and the error of that.

    `fitted_error` is the norm by which the fitted values may be off.
    """

    b: Pair
    error: Array
    squares: float
    squares_error: float
    fitted_error: float
    converged: bool


def _minimum(merged: MergedMoments, factor: Factorization, parts: Sequence[_Part], rhs: Array) -> _Minimum:
    """Solve for the target of the parts, from b with R b = `rhs`."""
    R, q = factor.R, len(factor.R)
    P = solve_triangular(R, np.eye(q))
    spread = np.linalg.norm(P, axis=1)  # roots of the diagonal of (R'R)^-1
    inverse = np.abs(P @ P.T)
    hi, lo = solve_triangular(R, rhs), np.zeros(q)
    sums = _sums(merged, factor, parts, (hi, lo))
    settled, steps = False, 0
    while not settled and steps < _MOST_STEPS:
        d = solve_triangular(R, solve_triangular(R, sums.gradient[factor.columns], trans="T"))
        hi, e = two_sum(hi, d)
        lo = lo + e
        steps += 1
        sums = _sums(merged, factor, parts, (hi, lo))
        off = sums.gradient_error[factor.columns]
        noise = spread * (sums.fitted_error + sums.fit_error) + inverse @ off
        settled = bool((np.abs(d) <= ROUNDOFF * np.abs(hi) + noise).all())
    step = factor.unit_error * float(np.linalg.norm(R @ d))
    return _Minimum(
        b=(hi, lo),
        error=spread * step + noise + (0.0 if settled else np.abs(d)),
        squares=sums.squares,
        squares_error=sums.squares_error,
        fitted_error=step + sums.fitted_error + sums.fit_error + float(np.linalg.norm(np.abs(P.T) @ off)),
        converged=settled,
    )


def _sums(merged: MergedMoments, factor: Factorization, parts: Sequence[_Part], b: Pair) -> _MergeSums:
    size = len(merged.moments.gram)
    v = np.zeros(size), np.zeros(size)  # y - X b = Z v, with the target for y
    v[0][factor.columns], v[1][factor.columns] = -b[0], -b[1]
    v[0][parts[0].target] = 1.0
    gradient = np.zeros(size), np.zeros(size)
    off = np.zeros(size)
    squares = by_fit = fuzz = blur = 0.0
    for part in parts:
        solution, transfer, sign = part.solution, part.basis_change, part.sign
        e = _difference(part, v)
        lengths = transfer.error_lengths(solution.moments.gram)
        reach = float(np.abs(e[0]) @ np.sqrt(np.diag(solution.moments.gram)))
        if not _needs_triangle(solution):
            g = _product(solution.moments.gram, e)
            square = max(float(e[0] @ g[0]), 0.0)
            off += _UNIT * solution.factor.error_factor * reach * lengths
            fuzz += _UNIT * solution.factor.error_factor * reach**2
        else:
            T, factor = _triangle(solution), solution.factor
            unit = _UNIT * (factor.error_factor * factor.condition if factor.triangle is None else 1.0)
            h = _product(T, e)
            g = _product(T.T, h)
            square = float(h[0] @ h[0])
            by_fit += part.error_growth * unit * reach
            off += unit * np.sqrt(square) * lengths
            fuzz += 2 * unit * reach * np.sqrt(square) + (unit * reach) ** 2
        # The part's minimum says nothing about columns that it has dropped: what is left of them may meet its residuals.
        dropped = columns_of(solution.moments)[~solution.factor.selected]
        left = np.array(solution.factor.remainders)
        own, unsure = part.squares, part.fitted_error
        off += np.abs(transfer.A[0][dropped]).T @ left * np.sqrt(own)
        fuzz += 2 * float(np.abs(e[0][dropped]) @ left) * np.sqrt(own)
        back = transfer.apply_transpose(g)
        gradient = dd_add(gradient, (sign * back[0], sign * back[1]))
        squares += sign * (own + square)
        fuzz += 2 * (np.sqrt(own) + np.sqrt(square)) * unsure + unsure**2 + 4 * ROUNDOFF * (own + square)
        blur += part.error_growth * unsure
    return _MergeSums(
        gradient=gradient[0] + gradient[1],
        squares=squares,
        gradient_error=off,
        fit_error=by_fit,
        squares_error=fuzz,
        fitted_error=blur,
    )


def _difference(part: _Part, v: Pair) -> Pair:
    """Return v less the part's own minimum, (k + 1,) in the part's columns and the unit of all."""
    hi, lo = part.basis_change.apply(v)
    own = np.zeros_like(hi), np.zeros_like(lo)
    columns = part.solution.factor.columns
    own[0][columns], own[1][columns] = part.b
    own[0][part.target] = -1.0
    return dd_add((hi, lo), (part.ratio * own[0], part.ratio * own[1]))


def _product(M: Array, x: Pair) -> Pair:
    """Return M x (m,) for M (m, k) as it is stored, in double-double."""
    return dd_sum(dd_multiply((M.T, np.zeros_like(M.T)), (x[0][:, None], x[1][:, None])))


def _solution(
    merged: MergedMoments, factor: Factorization, minimum: _Minimum, parts: Sequence[_Part], span: Span | None
) -> Solution:
    moments, squares, fuzz = merged.moments, max(minimum.squares, 0.0), minimum.squares_error
    solutions = [part.solution for part in parts]
    params, error, natural = to_data_units(moments, factor, minimum.b, minimum.error)
    # All lie on one line exactly; but where something was taken out, a zero is what cancellation left.
    line = squares <= fuzz and not _has_removal(parts) and not any(s.ssr or s.ssr_error for s in solutions)
    if line:
        squares = fuzz = 0.0
        params = np.where(np.abs(params) <= error, 0.0, params)
    unit = float(moments.design.scales[-1])
    rough = factor.error_factor * float(np.linalg.norm([solution.input_rounding for solution in solutions]))
    relative = (
        np.nan if line else factor.unit_error + rough + 16 * ROUNDOFF + min(fuzz / (2 * squares) if squares > 0 else 1.0, 1.0)
    )
    ones = np.ones(len(params))
    digits = trusted_digits(params, error, natural)
    unit_bse = unit_errors(moments, factor, standard_error_scale(moments, factor), None)
    bse = unit_bse * unit * np.sqrt((squares if squares > fuzz else 0.0) / (moments.n - len(params)))
    lost, merger = (digits == 0) & (error > bse), _merge_record(parts)
    if not minimum.converged and not digits.any():
        raise no_digits_error()
    lost |= _suspicious_coefficients(factor, unit_bse, parts)
    if merger.removed_rows and lost.any():
        raise NumericalError(
            "So much was taken out that only its rounding is left: "
            f"{' and '.join(np.array(factor.names)[factor.selected][lost][:3])} would have no digit. Take out less, or fit the rows "
            "that are left."
        )
    centered, tss_off, mean = _totals(moments.n, parts)
    return Solution(
        moments=moments,
        factor=factor,
        inverse_root=None,
        scaled_params=minimum.b,
        params=expand_dropped(params, factor.selected),
        residuals=None,
        unit_bse=expand_dropped(unit_bse, factor.selected),
        ssr=squares * unit**2,
        ssr_error=fuzz * unit**2,
        centered_tss=centered,
        tss_error=tss_off,
        mean=mean,
        span=span,
        digits=expand_dropped(digits, factor.selected),
        digits_bse=expand_dropped(trusted_digits(ones, relative * ones, 0 * ones), factor.selected),
        precision="extended" if all(solution.precision == "extended" for solution in solutions) else "double",
        scans=max(solution.scans for solution in solutions),
        converged=minimum.converged and all(solution.converged for solution in solutions),
        fitted_error=minimum.fitted_error
        + (minimum.squares_error / (2 * np.sqrt(squares)) if squares > 0 else np.sqrt(minimum.squares_error)),
        input_rounding=rough,
        merge_record=merger,
    )


def _suspicious_coefficients(factor: Factorization, unit_bse: Array, parts: Sequence[_Part]) -> np.ndarray:
    """Tell which coefficients (q,) seem to be better determined without the rows taken out than with them: by rounding alone."""
    whole = [part.solution for part in parts if part.sign > 0]
    sure = np.zeros(len(unit_bse), dtype=bool)
    names = np.array(factor.names)[factor.selected].tolist()
    if len(whole) == 1 and np.array(whole[0].factor.names)[whole[0].factor.selected].tolist() == names:
        sure = unit_bse < whole[0].unit_bse[whole[0].factor.selected] / 2
    return sure


def _totals(n: int, parts: Sequence[_Part]) -> tuple[float, float, tuple[float, float, float]]:
    """Give the sum of squares of all responses about their mean, its error at most, and the mean as `Solution` has it.

    The means are exact sums of doubles: their differences lose nothing, however far from zero they are.
    """
    each = [(part.sign, part.solution.moments.n, part.solution) for part in parts]
    means = [Fraction(s.mean[0]) + Fraction(s.mean[1]) for _, _, s in each]
    mean = sum((sign * m * one for (sign, m, _), one in zip(each, means, strict=True)), Fraction(0)) / n
    off = sum(m * s.mean[2] for _, m, s in each) / n
    centered = fuzz = 0.0
    for (sign, m, s), one in zip(each, means, strict=True):
        away, unsure = float(one - mean), s.mean[2] + off
        centered += sign * (s.centered_tss + m * away**2)
        fuzz += s.tss_error + m * (2 * abs(away) + unsure) * unsure + 4 * ROUNDOFF * (s.centered_tss + m * away**2)
    high = float(mean)
    return max(centered, 0.0), fuzz, (high, float(mean - Fraction(high)), off)


def _has_removal(parts: Sequence[_Part]) -> bool:
    """Tell whether something is taken out."""
    return any(part.sign < 0 for part in parts)


def _merge_record(parts: Sequence[_Part]) -> MergeRecord:
    """Say which fits are in and which were taken out, those inside merged ones by themselves."""
    rows: list[int] = []
    taken_out: list[int] = []
    shards: list[Shard] = []
    for part in parts:
        inside = part.solution.included_fits
        if part.sign > 0:
            rows += inside.rows
            taken_out += inside.removed_rows
            shards += inside.shards
        else:
            rows += inside.removed_rows
            taken_out += inside.rows
            for gone in inside.shards:
                same = [shard for shard in shards if is_same_shard(shard, gone)]
                shards = [shard for shard in shards if shard is not same[0]] if same else shards
    return MergeRecord(rows=tuple(rows), removed_rows=tuple(taken_out), shards=tuple(shards))
