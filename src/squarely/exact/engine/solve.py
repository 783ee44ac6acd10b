"""Solve the least squares problem from an engine's cross-products, and refine it on the engine's sums, in plain doubles."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import Source
from squarely.errors import DataError, IllConditionedError
from squarely.exact.condition_number import unit_standard_errors
from squarely.exact.engine.problem import (
    EngineProblem,
    ErrorBound,
    params_in_data_units,
    scaled_column_matrix,
    to_factorization,
    to_scaled,
)
from squarely.exact.engine.rank import select_columns
from squarely.exact.factorization import TEN_DIGITS, Factorization
from squarely.exact.implicit_constant import Span, span_by_scans, span_by_sums
from squarely.exact.rank import canceled_columns, nearly_constant_columns, require_columns, require_independent
from squarely.exact.residuals import ResidualSums, without_shape
from squarely.exact.solution import UNORDERED, Refinement, Solution, make_solution, require_digits
from squarely.exact.units import totals_of
from squarely.exact.whitening import InverseRoot
from squarely.moments import (
    EngineClient,
    EngineGram,
    EngineRecord,
    Moments,
    combination_sums,
    constant_atoms,
    ends_in_engine,
    gram_in_engine,
    rounding_in_engine,
    to_data_columns,
)
from squarely.numerics import ROUNDOFF, Array, two_sum

_MOST_SCANS = 6
_MAX_ERROR = 1e-2  # the relative error of a solve beyond which refinement would not converge


def solve_in_engine(moments: Moments, source: Source, *, collinear: str) -> Solution:
    """Solve min ||y - X beta||_2 as `solve_least_squares` does, by aggregates alone.

    Each step of refinement is one scan of r = y - W b and W'r. Rank is decided on the cross-products, or on a scan of what the
    columns before leave. Errors are those of `solve_least_squares`, or that cross-products cannot tell columns apart.
    """
    record = moments.engine_record
    engine_gram = record.engine_gram if record else None
    if record is None or engine_gram is None:
        raise DataError("A loaded fit has no rows to solve again. Fit again with the data at hand.")
    client = EngineClient(source)
    constant = _constant_columns(moments, engine_gram, client)
    canceled, zero = canceled_columns(moments.design, ends_in_engine(engine_gram, client))
    selected, R, dropped = select_columns(moments, engine_gram, client, constant | canceled, zero)
    if collinear == "raise":
        require_independent(dropped)
    require_columns(selected.tolist(), dropped)
    places, rows = np.arange(len(engine_gram.gram)), to_data_columns(engine_gram.columns)
    if dropped and not all({0, *selected.tolist()}.issuperset(rows[i]) for i in selected.tolist()):
        # Selected columns are made of dropped ones: sum once more, without what others were centered with.
        remaining = [j for j in selected.tolist() if j]
        places = np.array([0, *remaining, len(places) - 1])
        monomials = tuple(engine_gram.columns.monomials[j - 1] for j in remaining)
        engine_gram = gram_in_engine(replace(engine_gram.columns, monomials=monomials), client)
        none = np.zeros(len(places), dtype=bool)
        selected, R, _ = select_columns(moments, engine_gram, client, none, none)
        rows = to_data_columns(engine_gram.columns)
    values = np.linalg.svd(R / np.linalg.norm(R, axis=0), compute_uv=False)
    problem = EngineProblem(
        moments=moments,
        engine_gram=engine_gram,
        selected=selected,
        columns=places[selected],
        rows=[{int(places[j]): weight for j, weight in rows[i].items()} for i in selected.tolist()],
        R=R,
        condition=float(values[0] / values[-1]),
        dropped=dropped,
    )
    if problem.unit_error > _MAX_ERROR:
        raise IllConditionedError(
            f"The columns are so near to depending on each other (condition number {problem.condition:.1g}) that sums of products "
            f"in double precision cannot tell them apart. {source.alternative}."
        )
    return require_digits(_solution(problem, client, record))


def _constant_columns(moments: Moments, engine_gram: EngineGram, client: EngineClient) -> np.ndarray:
    """Return which columns (k + 1,) are constant up to rounding; whole numbers with different ends are not."""
    constant, pairs = nearly_constant_columns(moments), {}
    means, deviations = moments.means.tolist(), np.sqrt(moments.variances).tolist()
    for j in np.flatnonzero(constant).tolist():
        m = engine_gram.columns.monomials[j - 1]
        if m.powers and not m.pattern and m.powers == ((m.powers[0][0], 1),):
            size = abs(float(m.coefficient))
            pairs[m.powers[0][0]] = means[j - 1] / size, deviations[j - 1] / size
    found = constant_atoms(engine_gram.columns, client, pairs)
    for j in np.flatnonzero(constant).tolist():
        atoms = [atom for atom, _ in engine_gram.columns.monomials[j - 1].powers]
        constant[j] = not (len(atoms) == 1 and atoms[0] in pairs.keys() - found)
    return constant


def _refine(problem: EngineProblem, client: EngineClient) -> tuple[Refinement, ResidualSums, ErrorBound]:
    """Refine b (q,) for the selected columns of W; return also the residuals of the last scan and the bound of the error of b."""
    R, columns, gram = problem.R, problem.selected, problem.engine_gram.gram
    length, identity = np.linalg.norm(R, axis=0), np.eye(len(R))
    hi, lo = solve_triangular(R, solve_triangular(R, gram[columns, -1], trans="T")), np.zeros(len(R))
    size = float(np.abs(hi) @ length + np.sqrt(gram[-1, -1]))  # of the terms from which the residuals are computed
    scan_error, scans, converged = 4 * ROUNDOFF * size, 0, False
    rounding = rounding_in_engine(problem.engine_gram, client)
    before = math.inf
    while not converged and scans < _MOST_SCANS:
        hi, lo = hi + lo, np.zeros(len(R))  # the engine gets plain doubles
        a = np.zeros(len(gram))
        a[columns], a[-1] = -hi, 1.0
        sums = combination_sums(problem.engine_gram, client, a)
        scans += 1
        gradient = sums.gradient[columns]
        d = solve_triangular(R, solve_triangular(R, gradient, trans="T"))
        hi, lo = two_sum(hi, d)
        # What the step leaves: the error of r, that of W'r, and its own.
        sums_error = (problem.rounding * length + rounding[columns]) * np.sqrt(sums.squares)
        r_error = scan_error + float(rounding[-1] + rounding[columns] @ np.abs(hi))
        noise = ErrorBound(R=R, residuals=r_error, sums=sums_error)
        bound = ErrorBound(R=R, residuals=r_error + problem.unit_error * float(length @ np.abs(d)), sums=sums_error)
        step = float(np.linalg.norm(R @ d))
        exact = sums.squares <= scan_error**2 <= ROUNDOFF * gram[-1, -1]  # nothing but rounding, as in `exact/solve.py`
        small = step <= TEN_DIGITS * np.sqrt(sums.squares)
        settled = bound.error_of(identity) <= ROUNDOFF * np.abs(hi) + 2 * noise.error_of(identity)
        converged = bool(exact or (small and settled.all()))
        if step > before / 2:
            break  # only rounding in the scans is left: further ones would not help
        before = step
    ordered = client.engine.ordered and not exact and not problem.moments.design.formula.has_frequencies
    residuals = ResidualSums(
        n=problem.moments.n,
        sums=problem.moments.gram[0],
        gradient=gradient,
        gradient_low=np.zeros(len(R)),
        response_sums=sums.response_sums,
        squares=0.0 if exact else sums.squares,
        powers=0 * sums.powers if exact else sums.powers,
        sum_squared_differences=client.sum_squared_differences(sums.query, sums.residuals)
        if ordered
        else 0.0
        if exact
        else math.nan,
        log_weights=sums.log_weights,
    )
    squares = 0.0 if exact else max(sums.squares - float(d @ gradient), 0.0)
    input_rounding = float(rounding[columns] @ unit_standard_errors(R))
    refined = Refinement(
        b=(hi, lo),
        squares=squares,
        squares_error=float(problem.rounding * squares + 2 * r_error * np.sqrt(squares) + r_error**2),
        bse_error=float(r_error / np.sqrt(squares)) if squares > 0 else 1.0,
        fitted_error=bound.residuals + input_rounding * float(np.sqrt(squares)),
        converged=converged,
        input_rounding=input_rounding,
    )
    return refined, without_shape(residuals, r_error + step), bound


def _solution(problem: EngineProblem, client: EngineClient, record: EngineRecord) -> Solution:
    """Refine, turn the solution into the units of the data, exactly, round once, and count the digits."""
    moments, columns = problem.moments, problem.columns
    refined, residuals, bound = _refine(problem, client)
    total, error = params_in_data_units(problem, refined.b, bound)
    params = np.array([float(total[place]) for place in columns.tolist()])
    factor = to_factorization(problem)
    # P U^-1 and not R^-1: A A' = (X'X)^-1 for A = P U^-1, whose product would be rounded.
    root = InverseRoot(P=scaled_column_matrix(problem), U=problem.R, error=problem.unit_error)
    span = None if moments.design.intercept else _span(problem, factor, client)
    made = problem.engine_gram.columns
    place = made.shifts[-1], made.units[-1], problem.engine_gram.gram[0, -1] / moments.weight
    scans, expressions = record.scans + client.scans, record.expressions + client.expressions
    record = replace(record, scans=scans, expressions=expressions, solution=problem.to_solution(refined.b))
    remarks = moments.remarks if client.engine.ordered else (*moments.remarks, UNORDERED.format(record.engine))
    return make_solution(
        replace(moments, engine_record=record, remarks=remarks),
        factor,
        replace(refined, b=to_scaled(problem, total), scans=moments.design.scans + scans),
        params=params,
        error=error + ROUNDOFF * np.abs(params),
        scale=np.empty(0),
        totals=totals_of(moments.weight, place, residuals.response_sums, problem.rounding),
        span=span,
        residuals=residuals,
        inverse_root=root,
    )


def _span(problem: EngineProblem, factor: Factorization, client: EngineClient) -> Span:
    """Return the combination of columns nearest to a constant, by scans in the engine unless cross-products decide it."""
    if (span := span_by_sums(problem.moments, factor)) is not None:
        return span
    inverse = np.linalg.inv(scaled_column_matrix(problem))

    def scan(hi: Array, lo: Array) -> tuple[float, Array]:
        a = np.zeros(len(problem.engine_gram.gram))
        a[0], a[problem.selected] = 1.0, -(inverse @ (hi + lo))
        sums = combination_sums(problem.engine_gram, client, a)
        return sums.squares, np.asarray(inverse.T @ sums.gradient[problem.selected])

    return span_by_scans(problem.moments, factor, scan)[0]
