"""The columns of X that a formula makes, in the order of patsy, and how they are stored: dense or as blocks of indicators.

A block of many indicators has one nonzero a row: it is stored as the places of its nonzeros.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np

from squarely.design.encoding.basis import column_count
from squarely.design.encoding.categories import ContrastCoding
from squarely.design.formula.factors import Basis, Categorical, Factor
from squarely.design.formula.formula import INTERCEPT, Formula
from squarely.design.formula.terms import Term, contrast_codings, group_by_numeric_factors
from squarely.errors import DataError
from squarely.reprs import short_repr

MIN_INDICATORS = 16  # of one block; fewer are as fast as dense columns
_MOST_COLUMNS = 12_000

FactorColumn: TypeAlias = tuple[str, bool, int]  # a factor's text, whether all its levels are coded, and the column of its table


@dataclass(frozen=True, slots=True)
class Column:
    """A column of X: the product of columns of one or more factors; `term` is the term of the formula that it belongs to."""

    name: str
    parts: tuple[FactorColumn, ...]
    term: Term = ()


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class IndicatorGroup:
    """A block of columns of which every row has one nonzero at most: the levels of one or more treatment-coded factors.

    Attributes
    ----------
    factors : the texts of the categorical factors. `shape` their numbers of levels.
    numeric_columns : the other parts of these columns, which multiply the indicator.
    lookup : the joint code of the levels -> the place among the grouped columns of the layout, -1 where all of them are zero.
    """

    factors: tuple[str, ...]
    shape: tuple[int, ...]
    numeric_columns: tuple[FactorColumn, ...]
    lookup: np.ndarray

    def places(self, codes: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the place of the nonzero of each row (m,), from the codes (m,) of its levels."""
        joint = codes[self.factors[0]]
        for text, levels in zip(self.factors[1:], self.shape[1:], strict=True):
            joint = joint * levels + codes[text]
        return self.lookup.take(joint)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ColumnLayout:
    """How the k columns are stored: those of X without the intercept, and the response last.

    Attributes
    ----------
    dense : (d,) positions of the dense columns, the response last.
    grouped : (g,) positions of those in blocks of indicators. `blocks` these blocks.
    tables : the (factor, full) whose dense dummies are needed.
    """

    __repr__ = short_repr

    dense: np.ndarray
    grouped: np.ndarray
    blocks: tuple[IndicatorGroup, ...]
    tables: frozenset[tuple[str, bool]]

    @property
    def cells(self) -> int:
        """How many numbers one row has with the response: a block of indicators counts as one."""
        return len(self.dense) + len(self.blocks)


def columns_of(formula: Formula, factors: Mapping[str, Factor], codings: Mapping[str, ContrastCoding]) -> tuple[Column, ...]:
    """Return the columns of X in patsy's order: groups of terms with the same numeric factors, the first factor varying fastest.

    Raises DataError if there are more than 12,000, or if two have one name.
    """
    categorical = set(codings)
    has_constant = formula.intercept or bool(formula.effects)  # categories leave out a reference level
    terms: list[Term] = [*([()] if has_constant else []), *formula.terms]
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
                for combination in product(*reversed(choices)) if present else ():  # the last varies fastest: the first factor
                    names, parts = zip(*reversed(combination), strict=True)
                    column = Column(":".join(names), parts, term)
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


def layout_of(columns: Sequence[Column], codings: Mapping[str, ContrastCoding], *, all_dense: bool = False) -> ColumnLayout:
    """Find the blocks of many indicators among the columns of X, unless all of them are to be dense."""
    families: defaultdict[tuple[tuple[str, bool, int | None], ...], list[int]] = defaultdict(list)
    for j, column in enumerate(() if all_dense else columns):
        families[tuple((text, full, None if text in codings else i) for text, full, i in column.parts)].append(j)
    blocks: list[IndicatorGroup] = []
    grouped: list[int] = []
    for key, members in families.items():
        factors = tuple(text for text, _, i in key if i is None)
        if len(members) < MIN_INDICATORS or not factors or any(codings[text].kind != "treatment" for text in factors):
            continue
        shape = tuple(len(codings[text].levels) for text in factors)
        lookup = np.full(math.prod(shape), -1)
        for place, j in enumerate(members, start=len(grouped)):
            coded = [(codings[text], full, i) for text, full, i in columns[j].parts if text in codings]
            levels = [i if full or i < coding.position else i + 1 for coding, full, i in coded]
            lookup[np.ravel_multi_index(levels, shape)] = place
        numeric = tuple(part for part in columns[members[0]].parts if part[0] not in codings)
        blocks.append(IndicatorGroup(factors=factors, shape=shape, numeric_columns=numeric, lookup=lookup))
        grouped += members
    is_dense = np.ones(len(columns) + 1, dtype=bool)
    is_dense[grouped] = False
    dense = np.flatnonzero(is_dense)
    needed = (part[:2] for j in dense[:-1].tolist() for part in columns[j].parts)
    return ColumnLayout(dense=dense, grouped=np.array(grouped, dtype=int), blocks=tuple(blocks), tables=frozenset(needed))
