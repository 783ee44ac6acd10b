"""Analysis of variance: the terms of a fit by types 1, 2 and 3, or several nested fits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from squarely.data import to_page_frame
from squarely.errors import InputError, OptionError, show_value
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.covariance.f_statistic import f_p_value, wald_f
from squarely.inference.post_estimation.hypotheses.constraints import Constraints, constraint_root, differences
from squarely.inference.post_estimation.hypotheses.nested import compare, require_same_covariance
from squarely.inference.post_estimation.hypotheses.sum_contrasts import sum_coded_terms
from squarely.inference.post_estimation.hypotheses.terms import Term, rotated_solution, sort_as_written, term_label, terms_of
from squarely.inference.post_estimation.hypotheses.wald import f_test_of, test_given, test_of_positions
from squarely.show import Page, Table

if TYPE_CHECKING:
    import pandas as pd

_TYPES = {"I": 1, "II": 2, "III": 3, 1: 1, 2: 2, 3: 3}
_SAME = 1e-9  # the relative difference of sums of squares that are equal
_ROBUST_COLUMNS: tuple[str, ...] = ("df", "F", "PR(>F)")
_COLUMNS: dict[int, tuple[str, ...]] = {
    1: ("df", "sum_sq", "mean_sq", "F", "PR(>F)"),
    2: ("sum_sq", "df", "F", "PR(>F)"),
    3: ("sum_sq", "df", "F", "PR(>F)"),
}
_NESTED_COLUMNS = ("df_resid", "ssr", "df_diff", "ss_diff", "F", "Pr(>F)")

_Row = dict[str, float]


def analyze_variance(fits: Sequence[object], typ: object) -> pd.DataFrame:
    """Return the table of one fit, or of several nested ones; `squarely.anova` documents it."""
    found = [fit for fit in fits if isinstance(fit, CoefficientStatistics)]
    if len(found) < len(fits) or not fits:
        other = next((fit for fit in fits if not isinstance(fit, CoefficientStatistics)), None)
        raise InputError(f"anova needs fits, and not {show_value(other)}. Give results of sq.ols or sq.load.")
    kind = _TYPES.get(typ) if isinstance(typ, int | str) and not isinstance(typ, bool) else None
    if kind is None:
        raise OptionError(f"typ={show_value(typ)} is not a type of analysis of variance. Use typ=1, typ=2 or typ=3.")
    if kind == 3 and any(fit.design.absorbed is not None for fit in found):
        raise OptionError("typ=3 recodes the categories, which a fit with absorbed fixed effects cannot. Use typ=2.")
    if len(found) > 1 and kind != 1:
        raise OptionError(f"typ={kind} is for one fit, and there are {len(found)}. Leave typ= out, or give one fit.")
    return _analyze_terms(found[0], kind) if len(found) == 1 else _compare_fits(found)


def _analyze_terms(fit: CoefficientStatistics, kind: int) -> pd.DataFrame:
    is_robust = fit.cov_type != "nonrobust"
    notes, columns = [], _ROBUST_COLUMNS if is_robust else _COLUMNS[kind]
    if is_robust:
        if kind == 1:
            raise OptionError(
                f"typ=1 divides sums of squares, which the {fit.cov_type} covariance does not have. Use typ=2 or typ=3, or a fit "
                "without vcov=."
            )
        rows, residual = _test_robustly(fit, kind), {"df": fit.df_resid_inference}
        notes.append(f"F uses the {fit.cov_type} covariance, which has no sums of squares.")
        notes += _describe_missing_tests(fit, rows)
    else:
        squares = _SQUARES[kind](fit)
        rows = {term: _row(fit, *each) for term, each in squares.items()}
        residual = {"df": fit.df_resid, "sum_sq": fit.ssr, "mean_sq": fit.mse_resid}
        if kind == 1 and _differ(squares, partial_squares(fit), fit.ssr):
            notes.append(
                "The order of the terms matters here: type 2 gives other sums of squares. Terms enter as the formula has them, "
                "main effects first, as in R; statsmodels puts categories before numbers."
            )
    if kind == 3:
        notes.append("Categories are coded by sums to zero, whatever the formula has, so reference levels do not matter.")
    if not fit.solution.factor.selected.all():
        notes.append(f"df counts the columns that were not dropped. Dropped: {'; '.join(fit.dropped_columns)}.")
    lines = {**{term_label(term): row for term, row in rows.items()}, "Residual": residual}
    values = [[float(row.get(column, math.nan)) for column in columns] for row in lines.values()]
    table = Table(("", *columns), [(name, *map(_write, columns, row)) for name, row in zip(lines, values, strict=True)])
    footer = [f"{fit.design.formula.text}; Covariance Type: {fit.cov_type}."]
    page = Page(f"Analysis of Variance, Type {kind}", [table], notes=notes, footer=footer)
    return to_page_frame(values, list(lines), list(columns), page)


def _row(fit: CoefficientStatistics, df: int, squares: float) -> _Row:
    with np.errstate(divide="ignore", invalid="ignore"):
        f = float(np.float64(squares / df) / fit.mse_resid)
    return {"df": df, "sum_sq": squares, "mean_sq": squares / df, "F": f, "PR(>F)": f_p_value(f, df, fit.df_resid_inference)}


def _places(fit: CoefficientStatistics) -> dict[Term, list[int]]:
    """Return each term with the places of its columns among the selected ones (q,)."""
    place = np.cumsum(fit.solution.factor.selected) - 1
    return {term: place[positions].tolist() for term, positions in terms_of(fit.solution).items()}


_Squares = dict[Term, tuple[int, float]]  # term -> degrees of freedom, sum of squares


def _sequential_squares(fit: CoefficientStatistics) -> _Squares:
    """Type 1: what each term explains beyond those before it."""
    places, terms = _places(fit), sort_as_written(fit.solution)
    order = [*places.get((), []), *(i for term in terms for i in places[term])]
    squares, start, result = rotated_solution(fit.solution, order) ** 2, len(places.get((), [])), {}
    for term in terms:
        df = len(places[term])
        result[term] = df, math.fsum(squares[start : start + df].tolist())
        start += df
    return result


def partial_squares(fit: CoefficientStatistics) -> _Squares:
    """Type 2: what each term explains beyond all terms that do not contain it."""
    places, result = _places(fit), {}
    for term in sort_as_written(fit.solution):
        after = _places_in_interactions(places, term)
        last = [*places[term], *after]
        first = [i for group in places.values() for i in group if i not in set(last)]
        squares = rotated_solution(fit.solution, [*first, *last]) ** 2
        df = len(places[term])
        result[term] = df, math.fsum(squares[len(first) : len(first) + df].tolist())
    return result


def _places_in_interactions(places: Mapping[Term, list[int]], term: Term) -> list[int]:
    """Return the places of the columns of all terms that contain a term."""
    return [i for other in places if set(other) > set(term) for i in places[other]]


def _sum_coded_squares(fit: CoefficientStatistics) -> _Squares:
    """Type 3: what the coefficients of each term explain if categories are coded by sums to zero."""
    scale, result = float(fit.design.scales[-1]), {}
    for term, constraints in _sum_coded_constraints(fit).items():
        df = len(constraints.L)
        f = wald_f(constraint_root(constraints, fit.solution), 1 / scale**2, differences(constraints, fit.solution))
        result[term] = df, df * f
    return result


_SQUARES: dict[int, Callable[[CoefficientStatistics], _Squares]] = {
    1: _sequential_squares,
    2: partial_squares,
    3: _sum_coded_squares,
}


def _sum_coded_constraints(fit: CoefficientStatistics) -> dict[Term, Constraints]:
    coded = sum_coded_terms(fit.solution)
    order = [*([()] if () in coded else []), *(term for term in sort_as_written(fit.solution) if term in coded)]
    return {term: Constraints(L=coded[term], v=np.zeros(len(coded[term])), texts=()) for term in order}


def _test_robustly(fit: CoefficientStatistics, kind: int) -> dict[Term, _Row]:
    """Return F by the covariance of the fit, of type 3, or of type 2: given that the terms which contain a term are zero."""
    tests: dict[Term, tuple[float, float, float]] = {}
    if kind == 3:
        tests = {term: f_test_of(fit, constraints) for term, constraints in _sum_coded_constraints(fit).items()}
    else:
        places = terms_of(fit.solution)
        for term in sort_as_written(fit.solution):
            after = _places_in_interactions(places, term)
            tests[term] = test_given(fit, places[term], after) if after else test_of_positions(fit, places[term])
    return {term: {"df": df, "F": f, "PR(>F)": f_p_value(f, df, rest)} for term, (f, df, rest) in tests.items()}


def _describe_missing_tests(fit: CoefficientStatistics, rows: Mapping[Term, _Row]) -> Iterator[str]:
    """Say why terms have no F."""
    missing = [term for term, row in rows.items() if math.isnan(row["F"])]
    beyond = [term for term in missing if fit.robust is not None and rows[term]["df"] > fit.robust.rank]
    others = [term for term in missing if term not in beyond]
    for terms, why in (
        (beyond, f"the {fit.cov_type} covariance has rank {fit.robust.rank if fit.robust else 0}, and they have more columns"),
        (others, "the covariance of their coefficients is singular or has too few degrees of freedom, or is not defined"),
    ):
        if terms:
            yield f"No F for {', '.join(map(term_label, terms))}: {why}."


def _differ(a: _Squares, b: _Squares, unit: float) -> bool:
    return any(abs(a[term][1] - b[term][1]) > _SAME * (a[term][1] + b[term][1] + unit) for term in a)


def _compare_fits(fits: Sequence[CoefficientStatistics]) -> pd.DataFrame:
    """Compare each fit with the next smaller one."""
    fits = sorted(fits, key=lambda fit: fit.rank)
    require_same_covariance(fits)
    is_robust = fits[-1].cov_type != "nonrobust"
    columns = [name for name in _NESTED_COLUMNS if not (is_robust and name in ("ssr", "ss_diff"))]
    rows: list[_Row] = [{"df_resid": fits[0].df_resid, "ssr": fits[0].ssr, "df_diff": 0.0}]
    for small, large in pairwise(fits):
        result = compare(small, large, fits[-1])
        row = {"df_resid": large.df_resid, "ssr": large.ssr, "df_diff": result.df, "ss_diff": result.explained}
        rows.append({**row, "F": result.fvalue, "Pr(>F)": result.pvalue})
    values = [[float(row.get(column, math.nan)) for column in columns] for row in rows]
    table = Table(("", *columns), [(str(i), *map(_write, columns, row)) for i, row in enumerate(values)])
    lead = [f"{i}: {fit.design.formula.text}" for i, fit in enumerate(fits)]
    page = Page("Analysis of Variance, Nested Models", [table], lead=lead, footer=[f"Covariance Type: {fits[-1].cov_type}."])
    return to_page_frame(values, list(range(len(fits))), columns, page)


def _write(column: str, x: float) -> str:
    if math.isnan(x):
        return ""
    if column.startswith("df"):
        return f"{x:,.6g}"
    return f"{x:#.4g}" if column.lower() == "pr(>f)" else f"{x:#.6g}"
