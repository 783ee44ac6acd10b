"""Moments by aggregates: an engine works out the sums of products, and no row leaves it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import narwhals as nw
import numpy as np

from squarely.data import Source, Stage
from squarely.design import Atom, Monomial, Powers, no_rows_error, row_account_in_engine
from squarely.moments.engine.columns import Block, Layout, Prepared, atom_stages, carrier_stages, lay_out, prepared, way_there
from squarely.moments.engine.group_sums import Cells, Effort, Factors, Key, tally
from squarely.numerics import CONSTANT_TOLERANCE, Array, is_constant, power_of_two, round_to_few_bits

PILOT = 10_000  # rows that tell centres and scales


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Folded:
    """The cross-products of W = [1, w_1 ... w_p, y], and how W is made.

    Attributes
    ----------
    layout : of W, and `prepared` how it is said to the engine.
    gram : (k + 1, k + 1), W'W.
    way : (k + 1, k + 1), [1, X, y] = W way, rounded once.
    """

    layout: Layout
    prepared: Prepared
    gram: Array
    way: Array


def fold_inside(layout: Layout, source: Source) -> tuple[Folded, Effort]:
    """Let the engine sum the products of all columns of W."""
    said = prepared(layout)
    pairs = [(a, b) for i, a in enumerate(said.blocks) for b in said.blocks[i:]]
    wanted: dict[Factors, dict[str, nw.Expr]] = {frozenset(): {"n": nw.len()}}
    for a, b in pairs:
        wanted.setdefault(a.keys | b.keys, {})[_name(a, b)] = _product(a, b)
    cells, effort = tally(source, said.query, wanted, said.keys)
    k = len(layout.monomials) + 2
    gram = np.zeros((k, k))
    for a, b in pairs:
        part = _summed(a, b, cells[a.keys | b.keys], said.keys)
        gram[np.ix_(a.members, b.members)] = part
        gram[np.ix_(b.members, a.members)] = part.T
    way = np.zeros((k, k))
    for j, row in enumerate(way_there(layout)):
        for i, weight in row.items():
            way[i, j] = float(weight)
    return Folded(layout=layout, prepared=said, gram=gram, way=way), effort


def refolded(folded: Folded, source: Source, columns: Sequence[Monomial]) -> tuple[Folded, Effort]:
    """Fold again with some of the columns alone, which may have to be moved otherwise."""
    layout = lay_out(folded.layout.design, folded.layout.page, columns)
    layout, effort = _piloted(layout, source, first=None)
    again, spent = fold_inside(layout, source)
    return again, effort + spent


def constants(layout: Layout, source: Source, spreads: Mapping[Atom, tuple[float, float]]) -> tuple[set[Atom], Effort]:
    """Tell which atoms are constant up to rounding, given means and deviations; ends are asked for where these leave it open."""
    doubtful = [atom for atom, (mean, spread) in spreads.items() if spread <= CONSTANT_TOLERANCE * abs(mean)]
    if not any(spreads[atom][1] for atom in doubtful):
        return set(doubtful), Effort()
    stages, aliases, _ = atom_stages(layout)
    names = [aliases[atom] for atom in doubtful]
    results = {f"a{name}": nw.col(name).min() for name in names} | {f"b{name}": nw.col(name).max() for name in names}
    row = source.aggregate(layout.page.query.with_stages(*stages), results)[0]
    ends = [(float(row[f"a{name}"]), float(row[f"b{name}"])) for name in names]
    found = {atom for atom, each in zip(doubtful, ends, strict=True) if is_constant(*each, *spreads[atom])}
    return found, Effort(1, len(results))


def _name(a: Block, b: Block) -> str:
    left, right = sorted((a.carrier, b.carrier))
    return f"s{left}x{right}"


def _product(a: Block, b: Block) -> nw.Expr:
    factors = [nw.col(carrier) for carrier in (a.carrier, b.carrier) if carrier]
    if not factors:
        return nw.len()
    return factors[0].sum() if len(factors) == 1 else (factors[0] * factors[1]).sum()


def _summed(a: Block, b: Block, cells: Cells, keys: Mapping[str, Key]) -> Array:
    """Sum the products of two blocks' columns (w, v) from the sums of their carriers' products by cell."""
    left, right = (cells.flat([text for text, _ in block.factors], keys) for block in (a, b))
    table = np.zeros((len(a.flat), len(b.flat)))
    np.add.at(table, (left, right), cells.sums[_name(a, b)])
    summed: Array = a.flat.T @ table @ b.flat
    return summed


def _piloted(layout: Layout, source: Source, *, first: int | None) -> tuple[Layout, Effort]:
    """Take centres and scales from the first rows that are complete, or from all.

    The atoms and the response are asked for; then powers and products of the moved atoms, if there are some.
    """
    stages, aliases, y = atom_stages(layout)
    met, effort = _spreads(layout, source, [*stages, {"y0": y}], [*aliases.values(), "y0"], first)
    # What is left of a constant about its centre is rounding, and a product with it would be.
    spreads = {atom: met[alias] for atom, alias in aliases.items()}
    fixed, spent = constants(layout, source, {a: s for a, s in spreads.items() if layout.is_power and s[1] and math.isfinite(s[0])})
    effort += spent
    moves = {atom: _moved(*spreads[atom], centre=atom in layout.free - fixed) for atom in aliases}
    layout = replace(layout, centres={a: c for a, (c, _) in moves.items()}, scales={a: s for a, (_, s) in moves.items()})
    found: dict[Powers, tuple[float, float]] = {}
    for atom, alias in aliases.items():
        (mean, spread), (centre, scale) = met[alias], moves[atom]
        found[(atom, 1),] = (mean - centre) / scale, spread / scale
    if layout.is_power:
        stages, made, _ = carrier_stages(layout)
        products = {m.powers: made[m.powers] for m in layout.monomials if m.powers and m.powers not in found}
        more, spent = _spreads(layout, source, stages, list(products.values()), first)
        effort += spent
        found |= {powers: more[alias] for powers, alias in products.items()}
    intercept = layout.design.intercept
    shifts, units = np.zeros(len(layout.monomials) + 1), np.ones(len(layout.monomials) + 1)
    for i, m in enumerate(layout.monomials):
        if m.powers:
            shifts[i], units[i] = _moved(*found[m.powers], centre=intercept and not m.pattern)
    shifts[-1], units[-1] = _moved(*met["y0"], centre=intercept)
    return replace(layout, shifts=shifts, units=units), effort


def _spreads(
    layout: Layout, source: Source, stages: Sequence[Stage], columns: Sequence[str], first: int | None
) -> tuple[dict[str, tuple[float, float]], Effort]:
    """Ask for means and standard deviations; of the first rows that costs nothing."""
    query = replace(layout.page.query.with_stages(*stages), row_limit=first)
    results = {"n": nw.len()} | {f"m{name}": nw.col(name).mean() for name in columns}
    row = source.aggregate(query, results | {f"s{name}": nw.col(name).std(ddof=0) for name in columns})[0]
    if not row["n"]:
        account, _ = row_account_in_engine(source, layout.page, 0)
        raise no_rows_error(source, account, [*layout.page.numbers, *layout.page.labels], layout.design.where)
    effort = Effort(1, 2 * len(columns)) if first is None else Effort()
    return {name: (row[f"m{name}"], row[f"s{name}"]) for name in columns}, effort


def _moved(mean: float, spread: float, *, centre: bool) -> tuple[float, float]:
    """Give a short centre and a power of two near the spread; nothing is moved that is not finite, which the sums will tell."""
    if not (math.isfinite(mean) and math.isfinite(spread)):
        return 0.0, 1.0
    spread = spread if spread > 1e-14 * abs(mean) else 0.0
    if not centre:
        return 0.0, power_of_two(math.hypot(mean, spread))
    return round_to_few_bits(mean, spread), power_of_two(spread if spread > 0 else mean)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Aggregated:
    """How an engine was asked.

    Attributes
    ----------
    engine : what it is called.
    scans, expressions : how often the rows were read for the cross-products, and how many sums were asked for.
    folded : the columns that it worked with, to ask it again; None for a loaded fit.
    """

    engine: str
    scans: int
    expressions: int
    folded: Folded | None = None
