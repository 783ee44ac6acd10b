"""The whitened rows and residuals of a fit as columns of a query, so that an engine sums what robust covariances need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import narwhals as nw
import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import Query, Row, Source, unsupported_column_error
from squarely.design import CompleteRows, complete_rows_query
from squarely.moments.engine.columns import make_blocks
from squarely.moments.engine.gram import EngineSolution
from squarely.moments.engine.linear_combination import combination_expression
from squarely.numerics import Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class WhitenedQuery:
    """The rows of a fit, as `WhitenedRows` has them: with weights, V and the residuals are multiplied by their roots.

    Attributes
    ----------
    query : the rows, and `complete_rows` how they are chosen.
    V : (q,) the aliases of the whitened columns v = R^-T w.
    residuals : the alias of the residuals, in the scaled unit of the response.
    weights, frequencies : their aliases, or None. V and the residuals are those of one of the rows that a frequency counts.
    labels : the aliases of the columns of labels that were asked for.
    """

    query: Query
    complete_rows: CompleteRows
    V: tuple[str, ...]
    residuals: str
    weights: str | None
    frequencies: str | None
    labels: Mapping[str, str]

    def sum(self, x: nw.Expr) -> nw.Expr:
        """Return the sum of an expression over the rows, each as often as its frequency says."""
        return (x if self.frequencies is None else x * nw.col(self.frequencies)).sum()

    @property
    def scores(self) -> list[nw.Expr]:
        """The expressions (q,) of the whitened scores v r."""
        return [nw.col(v) * nw.col(self.residuals) for v in self.V]

    @property
    def gradient(self) -> dict[str, nw.Expr]:
        """The sums g0, g1, ... of the scores, and the number n0 of rows: what shows whether these are the rows of the fit."""
        return {"n0": nw.len(), **name_expressions("g", [self.sum(score) for score in self.scores])}


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ScoreSums:
    """Sums over the rows of a fit.

    Attributes
    ----------
    n, gradient : the number of rows, and the sum (q,) of the scores v r, which is zero up to rounding if the rows are the same.
    meat : (q, q) the sum of products of scores, or of what a function makes of them.
    """

    n: int
    gradient: Array
    meat: Array


def name_expressions(prefix: str, expressions: Sequence[nw.Expr]) -> dict[str, nw.Expr]:
    """Name expressions by a prefix and their positions."""
    return {f"{prefix}{i}": x for i, x in enumerate(expressions)}


def products_of(columns: Sequence[str]) -> list[nw.Expr]:
    """Return the products of each two of q columns, as an upper triangle by rows."""
    return [nw.col(a) * nw.col(b) for a, b in combinations_with_replacement(columns, 2)]


def read_values(row: Row, prefix: str, size: int) -> Array:
    """Return the results of a query whose names have a prefix."""
    return np.array([row[f"{prefix}{i}"] for i in range(size)], dtype=np.float64)


def read_score_sums(row: Row, q: int) -> ScoreSums:
    """Return the results n0, g0, ... and p0, ..., the last of which are sums of products."""
    meat = np.empty((q, q))
    i, j = np.triu_indices(q)
    meat[i, j] = meat[j, i] = read_values(row, "p", len(i))
    return ScoreSums(n=int(row["n0"]), gradient=read_values(row, "g", q), meat=meat)


def whiten_in_engine(solution: EngineSolution, source: Source, groups: Sequence[str] = ()) -> WhitenedQuery:
    """Return the rows of a fit with its whitened columns, residuals and the labels of `groups`; rows without a label are left out.

    Raises
    ------
    DataError : a column has no labels.
    """
    for name in groups:
        if source.kind(name) == "other" and source.column_info(name).kind != "time":
            raise unsupported_column_error(source.label, name, source.columns[name])
    columns, engine = solution.engine_gram.columns, source.require_engine()
    formula = columns.design.formula
    every = tuple(dict.fromkeys((*formula.groups, *groups)))  # rows without a label that the fit needed are not in it
    design = replace(columns.design, formula=replace(formula, groups=every))
    rows = complete_rows_query(source, design.inputs, design.learned, where=design.where)
    columns = replace(columns, design=design, rows=rows)
    query, blocks, keys = make_blocks(columns)
    made = replace(solution.engine_gram, columns=columns, query=query, blocks=blocks, keys=keys)
    A = np.zeros((len(made.gram), len(solution.R) + 1))
    A[solution.selected, :-1], A[:, -1] = solve_triangular(solution.R, np.eye(len(solution.R))), solution.residuals
    cells: dict[str, nw.Expr] = {}
    whitened: dict[str, nw.Expr] = {}
    has_frequencies = design.formula.has_frequencies
    for alias, a in zip([*(f"k{j}" for j in range(len(solution.R))), "r0"], A.T, strict=True):
        more, x = combination_expression(made, a, engine)
        cells |= more
        whitened[alias] = x if made.weights is None or has_frequencies else x * made.weights.sqrt()
    return WhitenedQuery(
        query=query.with_stages(cells, whitened),
        complete_rows=rows,
        V=tuple(whitened)[:-1],
        residuals="r0",
        weights=None if has_frequencies else rows.weights,
        frequencies=rows.weights if has_frequencies else None,
        labels={name: rows.labels[name] for name in groups},
    )
