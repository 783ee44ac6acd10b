"""Road one where rows stay in an engine: solve from its cross-products and refine on its sums, in plain doubles."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import Source
from squarely.errors import DataError, IllConditionedError
from squarely.exact.condition_number import no_digits_error, unit_standard_errors
from squarely.exact.engine.problem import (
    EngineProblem,
    ErrorBound,
    natural_sizes,
    params_in_data_units,
    scaled_column_matrix,
    to_factorization,
    to_inverse_root,
    to_scaled,
)
from squarely.exact.engine.rank import RankResult, select_columns
from squarely.exact.factorization import TEN_DIGITS, Factorization
from squarely.exact.implicit_constant import Span, span_by_scans, span_by_sums
from squarely.exact.rank import canceled_columns, nearly_constant_columns
from squarely.exact.residuals import ResidualSums, without_shape
from squarely.exact.solution import Solution
from squarely.exact.units import expand_dropped, totals_of, trusted_digits, unit_errors
from squarely.moments import (
    CombinationSums,
    EngineGram,
    EngineRecord,
    Moments,
    QueryCost,
    combination_sums,
    constant_atoms,
    ends_in_engine,
    gram_of_columns,
    rounding_in_engine,
    to_data_columns,
)
from squarely.numerics import ROUNDOFF, Array, Pair, two_sum

_MOST_SCANS = 6
_MAX_ERROR = 1e-2  # the relative error of a solve beyond which refinement would not close in


def solve_in_engine(moments: Moments, source: Source, *, collinear: str = "drop") -> Solution:
    """Solve min ||y - X beta||_2 as `solve` does, by aggregates alone.

    Each step of refinement is one scan of r = y - W b and W'r. Rank is decided on the cross-products; where these cannot tell,
    on a scan of what the columns before leave.

    Raises
    ------
    DataError : a dependency and `collinear="raise"`; the cross-products cannot tell columns apart; or no coefficient has a digit.
    """
    asked = moments.engine_record
    folded = asked.engine_gram if asked else None
    if asked is None or folded is None:
        raise DataError("A loaded fit has no rows to solve again. Fit again with the data at hand.")
    first = 0 if moments.design.intercept else 1
    constant, effort = _constant_columns(moments, folded, source)
    ends, spent = ends_in_engine(folded, source)
    gone, zero = canceled_columns(moments.design, ends)
    effort += spent
    kept = select_columns(moments, folded, source, np.arange(first, len(folded.gram) - 1), constant | gone, zero=zero)
    kept = replace(kept, cost=kept.cost + effort)
    if kept.dependencies and collinear == "raise":
        raise DataError(f"Columns depend on each other: {'; '.join(kept.dependencies)}. Leave one of them out.")
    if not len(kept.columns):
        raise DataError(f"No column is left to fit: {'; '.join(kept.dependencies)}. Name a column that varies.")
    places = np.arange(len(folded.gram))
    if kept.dependencies and not _is_closed(folded, kept):
        folded, places, again = _without_dropped(moments, folded, source, kept)
        kept = replace(again, dependencies=kept.dependencies, remainders=kept.remainders, cost=kept.cost + again.cost)
    work = EngineProblem(moments=moments, engine_gram=folded, rank_result=kept, places=places, condition=_condition_number(kept))
    _require_well_conditioned(work, source)
    solution = _solution(work, _refine(work, source), source, asked)
    if not solution.converged and (solution.digits[solution.factor.selected] == 0).all():
        raise no_digits_error()
    return solution


def _constant_columns(moments: Moments, folded: EngineGram, source: Source) -> tuple[np.ndarray, QueryCost]:
    """Tell which columns (k + 1,) are constant up to rounding; those of whole numbers are not, which their ends tell."""
    constant, spreads = nearly_constant_columns(moments), {}
    means, deviations = moments.means.tolist(), np.sqrt(moments.variances).tolist()
    for j in np.flatnonzero(constant).tolist():
        m = folded.columns.monomials[j - 1]
        if m.powers and not m.pattern and m.powers == ((m.powers[0][0], 1),):
            size = abs(float(m.coefficient))
            spreads[m.powers[0][0]] = means[j - 1] / size, deviations[j - 1] / size
    found, effort = constant_atoms(folded.columns, source, spreads)
    for j in np.flatnonzero(constant).tolist():
        atoms = [atom for atom, _ in folded.columns.monomials[j - 1].powers]
        constant[j] = not (len(atoms) == 1 and atoms[0] in spreads.keys() - found)
    return constant, effort


def _condition_number(kept: RankResult) -> float:
    values = np.linalg.svd(kept.R / np.linalg.norm(kept.R, axis=0), compute_uv=False)
    return float(values[0] / values[-1])


def _is_closed(folded: EngineGram, kept: RankResult) -> bool:
    """Tell whether no column that is kept is made of one that is dropped."""
    way, there = to_data_columns(folded.columns), {0, *kept.columns.tolist()}
    return all(there.issuperset(way[i]) for i in kept.columns.tolist())


def _without_dropped(
    moments: Moments, folded: EngineGram, source: Source, kept: RankResult
) -> tuple[EngineGram, np.ndarray, RankResult]:
    """Fold once more without the columns that are dropped: what the others are moved by may have been among them."""
    left = [j for j in kept.columns.tolist() if j]
    again, effort = gram_of_columns(folded, source, [folded.columns.monomials[j - 1] for j in left])
    places = np.array([0, *left, len(folded.gram) - 1])
    first = 0 if moments.design.intercept else 1
    solved = select_columns(moments, again, source, np.arange(first, len(again.gram) - 1))
    return again, places, replace(solved, cost=effort + solved.cost)


def _require_well_conditioned(work: EngineProblem, source: Source) -> None:
    if work.unit_error > _MAX_ERROR:
        raise IllConditionedError(
            f"The columns are so near to depending on each other (condition number {work.condition:.1g}) that sums of products in "
            f"double precision cannot tell them apart. {source.alternative}."
        )


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _EngineRefinement:
    """The solution b (q,) for W, what is left of its error, and the last scan; `squares`, `rounding`, `input_rounding` as in `least_squares`.

    `step_norm` is the norm by which the last step changed the residuals.
    """

    b: Pair
    error_bound: ErrorBound
    sums: CombinationSums
    is_exact: bool
    squares: float
    rounding: float
    input_rounding: float
    step_norm: float
    cost: QueryCost
    scans: int
    converged: bool


def _refine(work: EngineProblem, source: Source) -> _EngineRefinement:
    R, columns, gram = work.rank_result.R, work.rank_result.columns, work.engine_gram.gram
    length = np.linalg.norm(R, axis=0)
    hi, lo = solve_triangular(R, solve_triangular(R, gram[columns, -1], trans="T")), np.zeros(len(R))
    size = float(np.abs(hi) @ length + np.sqrt(gram[-1, -1]))  # the residuals are computed from terms of this size
    fuzz, scans, settled = 4 * ROUNDOFF * size, 0, False
    rounded, effort = rounding_in_engine(work.engine_gram, source)
    before = math.inf
    while not settled and scans < _MOST_SCANS:
        hi, lo = hi + lo, np.zeros(len(R))  # what the engine is told are plain doubles
        a = np.zeros(len(gram))
        a[columns], a[-1] = -hi, 1.0
        seen, spent = combination_sums(work.engine_gram, source, a)
        effort, scans = effort + spent, scans + 1
        gradient = seen.gradient[columns]
        d = solve_triangular(R, solve_triangular(R, gradient, trans="T"))
        hi, lo = two_sum(hi, d)
        # What the step leaves: the error of r, that of W'r, and its own.
        sums = (work.rounding * length + rounded[columns]) * np.sqrt(seen.squares)
        rows = fuzz + float(rounded[-1] + rounded[columns] @ np.abs(hi))
        noise = ErrorBound(R=R, rows=rows, sums=sums)
        left = ErrorBound(R=R, rows=rows + work.unit_error * float(length @ np.abs(d)), sums=sums)
        moved = float(np.linalg.norm(R @ d))
        exact = seen.squares <= fuzz**2 <= ROUNDOFF * gram[-1, -1]  # nothing but rounding, as in `least_squares`
        still = moved <= TEN_DIGITS * np.sqrt(seen.squares)
        own = np.eye(len(R))
        settled = bool(exact or (still and (left.error_of(own) <= ROUNDOFF * np.abs(hi) + 2 * noise.error_of(own)).all()))
        if moved > before / 2:
            break  # rounding in the scans is all that is left: further ones would not help
        before = moved
    return _EngineRefinement(
        b=(hi, lo),
        error_bound=left,
        sums=seen,
        is_exact=exact,
        squares=0.0 if exact else max(seen.squares - float(d @ gradient), 0.0),
        rounding=rows,
        input_rounding=float(rounded[columns] @ unit_standard_errors(R)),
        step_norm=moved,
        cost=effort,
        scans=scans,
        converged=settled,
    )


def _solution(work: EngineProblem, refined: _EngineRefinement, source: Source, asked: EngineRecord) -> Solution:
    """Turn the solution into the units of the data, exactly, round once, and count the digits."""
    moments, columns, kept = work.moments, work.columns, work.is_selected
    total, error = params_in_data_units(work, refined.b, refined.error_bound)
    params = np.array([float(total[place]) for place in columns.tolist()])
    error = error + ROUNDOFF * np.abs(params)
    ordered = source.require_engine().ordered
    steps = source.sum_squared_differences(refined.sums.query, "r0") if ordered and not refined.is_exact else math.nan
    factor, root = to_factorization(work), to_inverse_root(work, work.rank_result.R, work.unit_error)
    span, looked = (None, QueryCost()) if moments.design.intercept else _span(work, factor, source)
    done = work.rank_result.cost + refined.cost + looked + QueryCost(int(ordered), int(ordered))
    squares, fuzz, layout = refined.squares, refined.rounding, work.engine_gram.columns
    relative = work.unit_error + refined.input_rounding + 16 * ROUNDOFF + (fuzz / np.sqrt(squares) if squares > 0 else 1.0)
    place = layout.shifts[-1], layout.units[-1], work.engine_gram.gram[0, -1] / moments.n
    centered, tss_off, mean = totals_of(moments.n, place, refined.sums.response_sums, work.rounding)
    scale = float(moments.design.scales[-1])
    ones = np.ones(len(params))
    now = replace(asked, scans=asked.scans + done.scans, expressions=asked.expressions + done.expressions)
    unordered = f"Durbin-Watson needs an order of rows, which {asked.engine} has not. Give order_by=."
    return Solution(
        moments=replace(moments, engine_record=now, remarks=moments.remarks if ordered else (*moments.remarks, unordered)),
        factor=factor,
        inverse_root=root,
        scaled_params=to_scaled(work, total),
        params=expand_dropped(params, kept),
        residuals=_sums(work, refined, steps),
        unit_bse=expand_dropped(unit_errors(moments, factor, np.empty(0), root), kept),
        ssr=squares * scale**2,
        ssr_error=(work.rounding * squares + 2 * fuzz * np.sqrt(squares) + fuzz**2) * scale**2,
        centered_tss=centered,
        tss_error=tss_off,
        mean=mean,
        span=span,
        digits=expand_dropped(trusted_digits(params, error, natural_sizes(work)), kept),
        digits_bse=expand_dropped(trusted_digits(ones, relative * ones, 0 * ones), kept),
        precision="double",
        scans=moments.design.scans + now.scans,
        converged=refined.converged,
        fitted_error=refined.error_bound.rows + refined.input_rounding * float(np.sqrt(refined.squares)),
        input_rounding=refined.input_rounding,
    )


def _span(work: EngineProblem, factor: Factorization, source: Source) -> tuple[Span, QueryCost]:
    """Give the combination of columns nearest to a constant, by scans in the engine where cross-products cannot tell."""
    moments, effort = work.moments, QueryCost()
    told = span_by_sums(moments, factor)
    if told is not None:
        return told, effort
    T = scaled_column_matrix(work)
    inverse = np.linalg.inv(T)

    def seen(hi: Array, lo: Array) -> tuple[float, Array]:
        nonlocal effort
        a = np.zeros(len(work.engine_gram.gram))
        a[0], a[work.rank_result.columns] = 1.0, -(inverse @ (hi + lo))
        met, spent = combination_sums(work.engine_gram, source, a)
        effort += spent
        return met.squares, np.asarray(inverse.T @ met.gradient[work.rank_result.columns])

    return span_by_scans(moments, factor, seen)[0], effort


def _sums(work: EngineProblem, refined: _EngineRefinement, steps: float) -> ResidualSums:
    """Give the sums over the residuals in the scaled columns of Moments."""
    seen, q = refined.sums, len(work.columns)
    sums = ResidualSums(
        n=work.moments.n,
        sums=work.moments.gram[0],
        gradient=seen.gradient[work.rank_result.columns],
        gradient_low=np.zeros(q),
        response_sums=seen.response_sums,
        squares=0.0 if refined.is_exact else seen.squares,
        powers=0 * seen.powers if refined.is_exact else seen.powers,
        sum_squared_differences=0.0 if refined.is_exact else steps,
        first_residual=math.nan,
        last_residual=math.nan,
    )
    return without_shape(sums, refined.rounding + refined.step_norm)
