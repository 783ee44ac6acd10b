"""The columns of X that a formula makes, and their names, in the order of patsy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

from squarely.design.encoding.basis import column_count
from squarely.design.encoding.categories import ContrastCoding
from squarely.design.formula.factors import Basis, Categorical, Factor
from squarely.design.formula.formula import INTERCEPT, Formula
from squarely.design.formula.terms import Term, contrast_codings, group_by_numeric_factors
from squarely.errors import DataError

_MOST_COLUMNS = 12_000

FactorColumn: TypeAlias = tuple[str, bool, int]  # a factor's text, whether all its levels are coded, and the column of its table


@dataclass(frozen=True, slots=True)
class Column:
    """A column of X: the product of columns of one or more factors."""

    name: str
    parts: tuple[FactorColumn, ...]


def columns_of(formula: Formula, factors: Mapping[str, Factor], codings: Mapping[str, ContrastCoding]) -> tuple[Column, ...]:
    """Return the columns of X in patsy's order: groups of terms with the same numeric factors, the first factor varying fastest.

    Raises DataError if there are more than 12,000, or if two have one name.
    """
    categorical = set(codings)
    terms: list[Term] = [*([()] if formula.intercept else []), *formula.terms]
    columns: dict[str, Column] = {INTERCEPT: Column(INTERCEPT, ())} if formula.intercept else {}
    for group in group_by_numeric_factors(terms, categorical):
        for term, blocks in contrast_codings(group, categorical).items():
            for block in blocks:
                present = [text for text in term if text in block or text not in categorical]
                choices = [_choices(factors[text], codings, full=block.get(text, False)) for text in present]
                if len(columns) + math.prod(map(len, choices)) > _MOST_COLUMNS:
                    raise DataError(
                        f"The formula {formula.text!r} makes more than {_MOST_COLUMNS:,} columns. Group levels, or leave terms out."
                    )
                for column in _products(choices) if present else []:
                    if column.name in columns:
                        raise DataError(
                            f"Two columns of the model would have the name {column.name!r}. Rename the column of the data."
                        )
                    columns[column.name] = column
    return tuple(column for column in columns.values() if column.parts)


def _choices(factor: Factor, codings: Mapping[str, ContrastCoding], *, full: bool) -> list[tuple[str, FactorColumn]]:
    """Return the columns of one factor, each with the name that statsmodels prints."""
    text = factor.text
    if isinstance(factor, Categorical):
        return [(f"{text}[{name}]", (text, full, j)) for j, name in enumerate(codings[text].names(full=full))]
    if not isinstance(factor, Basis):
        return [(text, (text, False, 0))]
    first = 1 if factor.kind in ("poly", "powers") else 0  # counted as patsy does
    return [(f"{text}[{j + first}]", (text, False, j)) for j in range(column_count(factor))]


def _products(choices: Sequence[Sequence[tuple[str, FactorColumn]]]) -> list[Column]:
    combinations = product(*reversed(choices))  # the last varies fastest here, so the first factor does in the end
    return [Column(":".join(name for name, _ in c[::-1]), tuple(part for _, part in c[::-1])) for c in combinations]
