"""The cross-products of W, summed by an engine: no row leaves it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import mul

import narwhals as nw
import numpy as np

from squarely.data import Query, Stage
from squarely.design import Atom, Powers, centerable_atoms, no_rows_error, row_account_in_engine
from squarely.moments.engine.client import EngineClient
from squarely.moments.engine.columns import (
    CarrierBlock,
    EngineColumns,
    atom_stages,
    carrier_stages,
    make_blocks,
    to_engine_columns,
)
from squarely.moments.engine.group_sums import FactorTexts, GroupKey, query_group_sums
from squarely.numerics import CONSTANT_TOLERANCE, Array, is_constant, power_of_two, round_to_few_bits

PILOT_ROWS = 10_000  # rows that suffice for centers and scales


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EngineGram:
    """The cross-products of W = [1, w_1 ... w_p, y], and how W is made.

    Attributes
    ----------
    columns : how W is made.
    query, blocks, keys : the query that has every carrier as a column, the blocks of W, and the factors to group by.
    gram : (k + 1, k + 1), W'W, or with weights W' diag(w) W.
    n : the number of rows.
    to_data_columns : (k + 1, k + 1), M with [1, X, y] = W M, rounded once.
    """

    columns: EngineColumns
    query: Query
    blocks: tuple[CarrierBlock, ...]
    keys: Mapping[str, GroupKey]
    gram: Array
    n: int
    to_data_columns: Array

    @property
    def weights(self) -> nw.Expr | None:
        """The weights of the rows, a column of the query, or None."""
        return weights_of_rows(self.columns)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EngineSolution:
    """The least squares solution in columns that an engine makes.

    Attributes
    ----------
    engine_gram : how W is made.
    selected : (q,) the positions of the selected columns in W.
    R : (q, q) with R'R = W'W for these.
    residuals : (k + 1,) a, such that the residuals are W a.
    """

    engine_gram: EngineGram
    selected: np.ndarray
    R: Array
    residuals: Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EngineRecord:
    """The name of an engine, how often it read all rows, and how many sums it was asked for.

    `engine_gram` has the columns that it summed, to ask it again, and `solution` what was solved; None for a loaded fit.
    """

    engine: str
    scans: int
    expressions: int
    engine_gram: EngineGram | None = None
    solution: EngineSolution | None = None


def gram_in_engine(columns: EngineColumns, client: EngineClient, *, first: int | None = None) -> EngineGram:
    """Let the engine sum the products of all columns of W, with centers and scales from the first complete rows, or from all."""
    columns = _center_columns(columns, client, first)
    query, blocks, keys = make_blocks(columns)
    pairs, weights = [(a, b) for i, a in enumerate(blocks) for b in blocks[i:]], weights_of_rows(columns)
    results: dict[FactorTexts, dict[str, nw.Expr]] = {frozenset(): {"n": nw.len()}}
    for a, b in pairs:
        factors = [nw.col(carrier) for carrier in (a.carrier, b.carrier) if carrier] + ([] if weights is None else [weights])
        product = reduce(mul, factors).sum() if factors else nw.len()
        results.setdefault(frozenset((*a.factors, *b.factors)), {})[_product_name(a, b)] = product
    sums = query_group_sums(client, query, results, keys)
    k = len(columns.monomials) + 2
    gram = np.zeros((k, k))
    for a, b in pairs:
        groups = sums[frozenset((*a.factors, *b.factors))]
        positions = tuple(groups.flat_positions(block.factors, keys) for block in (a, b))
        table = np.zeros((len(a.weights), len(b.weights)))  # the sums of the carriers' products by cell
        np.add.at(table, positions, groups.sums[_product_name(a, b)])
        products = a.weights.T @ table @ b.weights
        gram[np.ix_(a.members, b.members)] = products
        gram[np.ix_(b.members, a.members)] = products.T
    M = np.zeros((k, k))
    for j, row in enumerate(to_engine_columns(columns)):
        for i, weight in row.items():
            M[i, j] = float(weight)
    n = round(float(sums[frozenset()].sums["n"].sum()))
    return EngineGram(columns=columns, query=query, blocks=blocks, keys=keys, gram=gram, n=n, to_data_columns=M)


def weights_of_rows(columns: EngineColumns) -> nw.Expr | None:
    """Return the weights of the rows as a column, or None."""
    return None if columns.rows.weights is None else nw.col(columns.rows.weights)


def constant_atoms(columns: EngineColumns, client: EngineClient, deviations: Mapping[Atom, tuple[float, float]]) -> set[Atom]:
    """Return the atoms that are constant up to rounding, given (mean, deviation); ask for their ends where these do not decide."""
    candidates = [atom for atom, (mean, deviation) in deviations.items() if deviation <= CONSTANT_TOLERANCE * abs(mean)]
    if not any(deviations[atom][1] for atom in candidates):
        return set(candidates)
    stages, aliases, _ = atom_stages(columns)
    names = [aliases[atom] for atom in candidates]
    results = {f"a{name}": nw.col(name).min() for name in names} | {f"b{name}": nw.col(name).max() for name in names}
    row = client.aggregate(columns.rows.query.with_stages(*stages), results)[0]
    ends = [(float(row[f"a{name}"]), float(row[f"b{name}"])) for name in names]
    return {atom for atom, pair in zip(candidates, ends, strict=True) if is_constant(*pair, *deviations[atom])}


def _product_name(a: CarrierBlock, b: CarrierBlock) -> str:
    return "s" + "x".join(sorted((a.carrier, b.carrier)))


def _center_columns(columns: EngineColumns, client: EngineClient, first: int | None) -> EngineColumns:
    """Take centers and scales from the first complete rows, or from all.

    One query has the atoms and the response; a second one the powers and products of centered atoms, if there are any.
    """
    stages, aliases, y = atom_stages(columns)
    found = _query_means_and_deviations(columns, client, [*stages, {"y0": y}], [*aliases.values(), "y0"], first)
    # A constant about its center is rounding alone, and so would be a product with it.
    deviations = {atom: found[alias] for atom, alias in aliases.items()}
    fixed = constant_atoms(
        columns, client, {a: pair for a, pair in deviations.items() if columns.is_power and pair[1] and math.isfinite(pair[0])}
    )
    free = centerable_atoms(columns.monomials, intercept=columns.design.intercept) - fixed
    moves = {atom: _center_and_scale(*deviations[atom], center=atom in free) for atom in aliases}
    columns = replace(columns, centers={a: c for a, (c, _) in moves.items()}, scales={a: s for a, (_, s) in moves.items()})
    of_powers: dict[Powers, tuple[float, float]] = {}
    for atom in aliases:
        (mean, deviation), (center, scale) = deviations[atom], moves[atom]
        of_powers[(atom, 1),] = (mean - center) / scale, deviation / scale
    if columns.is_power:
        stages, names, _ = carrier_stages(columns)
        products = {m.powers: names[m.powers] for m in columns.monomials if m.powers and m.powers not in of_powers}
        more = _query_means_and_deviations(columns, client, stages, list(products.values()), first)
        of_powers |= {powers: more[alias] for powers, alias in products.items()}
    intercept = columns.design.intercept
    shifts, units = np.zeros(len(columns.monomials) + 1), np.ones(len(columns.monomials) + 1)
    for i, m in enumerate(columns.monomials):
        if m.powers:
            shifts[i], units[i] = _center_and_scale(*of_powers[m.powers], center=intercept and not m.pattern)
    shifts[-1], units[-1] = _center_and_scale(*found["y0"], center=intercept)
    return replace(columns, shifts=shifts, units=units)


def _query_means_and_deviations(
    columns: EngineColumns, client: EngineClient, stages: Sequence[Stage], names: Sequence[str], first: int | None
) -> dict[str, tuple[float, float]]:
    """Return the mean and standard deviation of columns of a query, over the first rows or all."""
    rows = columns.rows
    query = replace(rows.query.with_stages(*stages), row_limit=first)
    results = {"n": nw.len()} | {f"m{name}": nw.col(name).mean() for name in names}
    row = client.aggregate(query, results | {f"s{name}": nw.col(name).std(ddof=0) for name in names})[0]
    if not row["n"]:
        account, _ = row_account_in_engine(client.source, rows, 0)
        raise no_rows_error(client.source, account, [*rows.numbers, *rows.labels], columns.design.where)
    return {name: (row[f"m{name}"], row[f"s{name}"]) for name in names}


def _center_and_scale(mean: float, deviation: float, *, center: bool) -> tuple[float, float]:
    """Return a short center and a power of two near the deviation; 0 and 1 if they are not finite, which the sums report."""
    if not (math.isfinite(mean) and math.isfinite(deviation)):
        return 0.0, 1.0
    deviation = deviation if deviation > 1e-14 * abs(mean) else 0.0
    if not center:
        return 0.0, power_of_two(math.hypot(mean, deviation))
    return round_to_few_bits(mean, deviation), power_of_two(deviation if deviation > 0 else mean)
