"""Moments by aggregates: an engine works out the sums of products, and no row leaves it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import narwhals as nw
import numpy as np

from squarely.data import Source, Stage
from squarely.design import Atom, Monomial, Powers, no_rows_error, row_account_in_engine
from squarely.moments.engine.columns import (
    CarrierBlock,
    EngineColumns,
    GroupedQuery,
    atom_stages,
    carrier_stages,
    grouped_query,
    plan_engine_columns,
    to_engine_columns,
)
from squarely.moments.engine.group_sums import FactorTexts, GroupKey, GroupSums, QueryCost, query_group_sums
from squarely.numerics import CONSTANT_TOLERANCE, Array, is_constant, power_of_two, round_to_few_bits

PILOT_ROWS = 10_000  # rows that tell centres and scales


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EngineGram:
    """The cross-products of W = [1, w_1 ... w_p, y], and how W is made.

    Attributes
    ----------
    columns : of W, and `grouped_query` how it is said to the engine.
    gram : (k + 1, k + 1), W'W.
    to_data_columns : (k + 1, k + 1), [1, X, y] = W way, rounded once.
    """

    columns: EngineColumns
    grouped_query: GroupedQuery
    gram: Array
    to_data_columns: Array


def gram_in_engine(layout: EngineColumns, source: Source) -> tuple[EngineGram, QueryCost]:
    """Let the engine sum the products of all columns of W."""
    said = grouped_query(layout)
    pairs = [(a, b) for i, a in enumerate(said.blocks) for b in said.blocks[i:]]
    wanted: dict[FactorTexts, dict[str, nw.Expr]] = {frozenset(): {"n": nw.len()}}
    for a, b in pairs:
        wanted.setdefault(a.keys | b.keys, {})[_name(a, b)] = _product(a, b)
    cells, effort = query_group_sums(source, said.query, wanted, said.keys)
    k = len(layout.monomials) + 2
    gram = np.zeros((k, k))
    for a, b in pairs:
        part = _sum_products(a, b, cells[a.keys | b.keys], said.keys)
        gram[np.ix_(a.members, b.members)] = part
        gram[np.ix_(b.members, a.members)] = part.T
    way = np.zeros((k, k))
    for j, row in enumerate(to_engine_columns(layout)):
        for i, weight in row.items():
            way[i, j] = float(weight)
    return EngineGram(columns=layout, grouped_query=said, gram=gram, to_data_columns=way), effort


def gram_of_columns(folded: EngineGram, source: Source, columns: Sequence[Monomial]) -> tuple[EngineGram, QueryCost]:
    """Fold again with some of the columns alone, which may have to be moved otherwise."""
    layout = plan_engine_columns(folded.columns.design, folded.columns.rows, columns)
    layout, effort = columns_from_first_rows(layout, source, first=None)
    again, spent = gram_in_engine(layout, source)
    return again, effort + spent


def constant_atoms(
    layout: EngineColumns, source: Source, spreads: Mapping[Atom, tuple[float, float]]
) -> tuple[set[Atom], QueryCost]:
    """Tell which atoms are constant up to rounding, given means and deviations; ends are asked for where these leave it open."""
    doubtful = [atom for atom, (mean, spread) in spreads.items() if spread <= CONSTANT_TOLERANCE * abs(mean)]
    if not any(spreads[atom][1] for atom in doubtful):
        return set(doubtful), QueryCost()
    stages, aliases, _ = atom_stages(layout)
    names = [aliases[atom] for atom in doubtful]
    results = {f"a{name}": nw.col(name).min() for name in names} | {f"b{name}": nw.col(name).max() for name in names}
    row = source.aggregate(layout.rows.query.with_stages(*stages), results)[0]
    ends = [(float(row[f"a{name}"]), float(row[f"b{name}"])) for name in names]
    found = {atom for atom, each in zip(doubtful, ends, strict=True) if is_constant(*each, *spreads[atom])}
    return found, QueryCost(1, len(results))


def _name(a: CarrierBlock, b: CarrierBlock) -> str:
    left, right = sorted((a.carrier, b.carrier))
    return f"s{left}x{right}"


def _product(a: CarrierBlock, b: CarrierBlock) -> nw.Expr:
    factors = [nw.col(carrier) for carrier in (a.carrier, b.carrier) if carrier]
    if not factors:
        return nw.len()
    return factors[0].sum() if len(factors) == 1 else (factors[0] * factors[1]).sum()


def _sum_products(a: CarrierBlock, b: CarrierBlock, cells: GroupSums, keys: Mapping[str, GroupKey]) -> Array:
    """Sum the products of two blocks' columns (w, v) from the sums of their carriers' products by cell."""
    left, right = (cells.flat_positions([text for text, _ in block.factors], keys) for block in (a, b))
    table = np.zeros((len(a.flat_weights), len(b.flat_weights)))
    np.add.at(table, (left, right), cells.sums[_name(a, b)])
    summed: Array = a.flat_weights.T @ table @ b.flat_weights
    return summed


def columns_from_first_rows(layout: EngineColumns, source: Source, *, first: int | None) -> tuple[EngineColumns, QueryCost]:
    """Take centres and scales from the first rows that are complete, or from all.

    The atoms and the response are asked for; then powers and products of the moved atoms, if there are some.
    """
    stages, aliases, y = atom_stages(layout)
    met, effort = _query_means_and_deviations(layout, source, [*stages, {"y0": y}], [*aliases.values(), "y0"], first)
    # What is left of a constant about its centre is rounding, and a product with it would be.
    spreads = {atom: met[alias] for atom, alias in aliases.items()}
    fixed, spent = constant_atoms(
        layout, source, {a: s for a, s in spreads.items() if layout.is_power and s[1] and math.isfinite(s[0])}
    )
    effort += spent
    moves = {atom: _center_and_scale(*spreads[atom], centre=atom in layout.free_atoms - fixed) for atom in aliases}
    layout = replace(layout, centers={a: c for a, (c, _) in moves.items()}, scales={a: s for a, (_, s) in moves.items()})
    found: dict[Powers, tuple[float, float]] = {}
    for atom, alias in aliases.items():
        (mean, spread), (centre, scale) = met[alias], moves[atom]
        found[(atom, 1),] = (mean - centre) / scale, spread / scale
    if layout.is_power:
        stages, made, _ = carrier_stages(layout)
        products = {m.powers: made[m.powers] for m in layout.monomials if m.powers and m.powers not in found}
        more, spent = _query_means_and_deviations(layout, source, stages, list(products.values()), first)
        effort += spent
        found |= {powers: more[alias] for powers, alias in products.items()}
    intercept = layout.design.intercept
    shifts, units = np.zeros(len(layout.monomials) + 1), np.ones(len(layout.monomials) + 1)
    for i, m in enumerate(layout.monomials):
        if m.powers:
            shifts[i], units[i] = _center_and_scale(*found[m.powers], centre=intercept and not m.pattern)
    shifts[-1], units[-1] = _center_and_scale(*met["y0"], centre=intercept)
    return replace(layout, shifts=shifts, units=units), effort


def _query_means_and_deviations(
    layout: EngineColumns, source: Source, stages: Sequence[Stage], columns: Sequence[str], first: int | None
) -> tuple[dict[str, tuple[float, float]], QueryCost]:
    """Ask for means and standard deviations; of the first rows that costs nothing."""
    query = replace(layout.rows.query.with_stages(*stages), row_limit=first)
    results = {"n": nw.len()} | {f"m{name}": nw.col(name).mean() for name in columns}
    row = source.aggregate(query, results | {f"s{name}": nw.col(name).std(ddof=0) for name in columns})[0]
    if not row["n"]:
        account, _ = row_account_in_engine(source, layout.rows, 0)
        raise no_rows_error(source, account, [*layout.rows.numbers, *layout.rows.labels], layout.design.where)
    effort = QueryCost(1, 2 * len(columns)) if first is None else QueryCost()
    return {name: (row[f"m{name}"], row[f"s{name}"]) for name in columns}, effort


def _center_and_scale(mean: float, spread: float, *, centre: bool) -> tuple[float, float]:
    """Give a short centre and a power of two near the spread; nothing is moved that is not finite, which the sums will tell."""
    if not (math.isfinite(mean) and math.isfinite(spread)):
        return 0.0, 1.0
    spread = spread if spread > 1e-14 * abs(mean) else 0.0
    if not centre:
        return 0.0, power_of_two(math.hypot(mean, spread))
    return round_to_few_bits(mean, spread), power_of_two(spread if spread > 0 else mean)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EngineRecord:
    """How an engine was asked.

    Attributes
    ----------
    engine : what it is called.
    scans, expressions : how often the rows were read for the cross-products, and how many sums were asked for.
    engine_gram : the columns that it worked with, to ask it again; None for a loaded fit.
    """

    engine: str
    scans: int
    expressions: int
    engine_gram: EngineGram | None = None
