"""Coefficients of a model whose categories are coded by sums to zero, from those of the model as it was coded."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np

from squarely.design import Product, products, recode, with_sum_contrasts
from squarely.errors import DataError
from squarely.exact import Solution
from squarely.inference.post_estimation.hypotheses.terms import Term
from squarely.numerics import Array

_MOST_CELLS = 100_000
_NO_SHARE = 1e-12  # of the rows: a smaller share of a cell is rounding


def sum_coded_terms(solution: Solution) -> dict[Term, Array]:
    """Return for each term L (r, p): L beta are its coefficients if categories are coded by sums to zero.

    The columns of that model are X C, so its coefficients are C^-1 beta. Raises a DataError, which names it, if a cell is empty.
    """
    design, selected = solution.moments.design, solution.factor.selected
    coded, first = with_sum_contrasts(design), int(design.intercept)
    C = np.eye(len(design.names))
    for j, combination in enumerate(recode(products(coded), design), start=first):
        C[:, j] = 0.0
        for position, weight in combination.items():
            C[position - 1 + first, j] = float(weight)
    dropped = np.flatnonzero(~selected)
    alone = np.eye(len(C))[dropped]
    if not ((C[dropped] == alone).all() and (C[:, dropped] == alone.T).all()):
        raise _undetermined_error(solution, int(dropped[0]))
    inverse = np.asarray(np.linalg.inv(C), dtype=np.float64)  # of small whole numbers: exact up to a few roundings
    terms: dict[Term, list[int]] = {(): [0]} if design.intercept else {}
    for j, column in enumerate(coded.columns, start=first):
        terms.setdefault(column.term, []).append(j)
    present = {term: [j for j in places if selected[j]] for term, places in terms.items()}
    return {term: np.asarray(inverse[places]) for term, places in present.items() if places}


def _undetermined_error(solution: Solution, dropped: int) -> DataError:
    design = solution.moments.design
    if cell := _find_empty_cell(solution):
        return DataError(f"typ=3 compares the means of all cells, and no row has {cell}. Use typ=2, or leave the interaction out.")
    return DataError(
        f"typ=3 needs every coefficient of the categories, and {design.names[dropped]!r} was dropped, because the columns before "
        "it span it. Use typ=2, or leave its term out."
    )


def _find_empty_cell(solution: Solution) -> str:
    """Describe a combination of levels in a term that no row has; nothing if all occur."""
    moments = solution.moments
    design = moments.design
    shares = np.concatenate([[1.0], moments.means[:-1]])  # the mean of each column [1, x]
    for term in design.formula.terms:
        texts = [text for text in term if text in design.categories]
        levels = [design.categories[text].levels for text in texts]
        if len(texts) < 2 or np.prod([float(len(each)) for each in levels]) > _MOST_CELLS:
            continue
        cells = list(product(*levels))
        indicators = [
            Product(frozenset(), {text: {level: Fraction(1)} for text, level in zip(texts, cell, strict=True)}) for cell in cells
        ]
        try:
            combinations = recode(indicators, design)
        except DataError:
            continue  # the term has a number in it, and the model no columns for the cells alone
        for cell, combination in zip(cells, combinations, strict=True):
            if sum(float(weight) * shares[position] for position, weight in combination.items()) < _NO_SHARE:
                return " and ".join(f"{text} = {level!r}" for text, level in zip(texts, cell, strict=True))
    return ""
