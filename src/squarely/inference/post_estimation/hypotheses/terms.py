"""The terms of a model and the coefficients that belong to each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from squarely.exact import Solution
from squarely.numerics import Array

Term = tuple[str, ...]


def terms_of(solution: Solution) -> dict[Term, list[int]]:
    """Return each term with the positions of its coefficients, in the order of the coefficients; () is the intercept.

    Dropped columns do not count, nor does a term of which all columns are dropped.
    """
    design, selected = solution.moments.design, solution.factor.selected
    terms: dict[Term, list[int]] = {(): [0]} if design.intercept and selected[0] else {}
    for position, column in enumerate(design.columns, start=int(design.intercept)):
        if selected[position]:
            terms.setdefault(column.term, []).append(position)
    return terms


def sort_as_written(solution: Solution) -> list[Term]:
    """Return the terms in the order of the formula, main effects first, as R's `anova` has them; without the intercept."""
    present = terms_of(solution)
    return sorted((term for term in solution.moments.design.formula.terms if term in present), key=len)


def term_label(term: Term) -> str:
    """Return the name of a term, as statsmodels prints it."""
    return ":".join(term) or "Intercept"


def rotated_solution(solution: Solution, order: Sequence[int]) -> Array:
    """Return R b (q,) for the selected columns in another order, in the unit of the response.

    The square of each entry is what its column explains beyond the columns before it.
    """
    R, (hi, lo) = solution.factor.R, solution.scaled_params
    z = R @ hi + R @ lo
    if list(order) != list(range(len(R))):
        z = np.linalg.qr(R[:, list(order)])[0].T @ z
    return np.asarray(z * solution.moments.design.scales[-1])
