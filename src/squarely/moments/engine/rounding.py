"""What rounding has done to the columns that an engine works with, before it sums them: bounds of its length over the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import narwhals as nw
import numpy as np

from squarely.data import Source
from squarely.design import Atom, Polynomial, Powers, RoundingModel, add_bounds, argument_of, multiply_bound, product_bound
from squarely.moments.engine.columns import EngineColumns, carrier_stages
from squarely.moments.engine.gram import PILOT_ROWS, EngineGram
from squarely.moments.engine.group_sums import QueryCost
from squarely.numerics import FRACTION_LIMIT, ROUNDING, ROUNDOFF, Array


def rounding_in_engine(folded: EngineGram, source: Source) -> tuple[Array, QueryCost]:
    """Bound the length (k + 1,), over the rows, of what rounding has done to each column of W = [1, w_1 ... w_p, y].

    Columns of the data that are moved have no such error: what W makes of them is exact up to a few roundings. A product is rounded
    before it is shifted, and may be large beside what is left.
    """
    layout, n = folded.columns, float(folded.gram[0, 0])
    lengths = np.zeros(len(folded.gram))
    of_mean = float(4 + np.sqrt(n)) * ROUNDOFF
    moves = layout.design.learned.standardizations
    done = RoundingModel(
        value=layout.rows.expression, size=lambda x: x.abs(), standardizations=moves, unit=ROUNDOFF, mean_error=of_mean
    )
    bounds: dict[Powers, Any] = {(): _response_bound(layout, done), **_carrier_bounds(layout, _atom_bounds(layout, done, n))}
    asked = {powers: f"h{i}" for i, (powers, bound) in enumerate(bounds.items()) if isinstance(bound, nw.Expr)}
    squares = {powers: n * bound**2 for powers, bound in bounds.items() if isinstance(bound, float)}
    if asked:
        query = folded.grouped_query.query.with_stages({alias: bounds[powers] for powers, alias in asked.items()})
        row = source.aggregate(query, {alias: (nw.col(alias) * nw.col(alias)).sum() for alias in asked.values()})[0]
        squares |= {powers: float(row[alias]) for powers, alias in asked.items()}
    products = [m.powers for m in layout.monomials]
    for i, powers in enumerate(products, start=1):
        if powers:
            roundings = (
                sum(power * (1 + bool(layout.centers[atom])) for atom, power in powers) - 1
            )  # of a product, before it is shifted
            lengths[i] = np.sqrt(squares.get(powers, 0.0)) + roundings * ROUNDOFF * abs(layout.shifts[i - 1]) * np.sqrt(n)
    lengths[-1] = np.sqrt(squares.get((), 0.0))
    lengths[1:] /= layout.units
    return np.where(np.isfinite(lengths), lengths, np.inf), QueryCost(int(bool(asked)), len(asked))


def ends_in_engine(folded: EngineGram, source: Source) -> tuple[Array, QueryCost]:
    """Tell what constants (2, f) the values of `Design.cancellation_factors` may be, but for rounding: the ends cross where there is none.

    The first rows are asked, and all rows if the ends do not cross there.
    """
    layout = folded.columns
    design, n = layout.design, float(folded.gram[0, 0])
    if not design.cancellation_factors:
        return np.empty((2, 0)), QueryCost()
    of_mean = float(4 + np.sqrt(n)) * ROUNDOFF
    done = RoundingModel(
        value=layout.rows.expression,
        size=lambda x: x.abs(),
        standardizations=design.learned.standardizations,
        unit=ROUNDOFF,
        mean_error=of_mean,
        stored_bound=_rounding_of_stored,
    )
    results: dict[str, nw.Expr] = {}
    for i, text in enumerate(design.cancellation_factors):
        expression = argument_of(design.factors[text])
        x, room = layout.rows.expression(expression), add_bounds(done.bound(expression), 0.0)
        results |= {f"a{i}": (x - room).max(), f"b{i}": (x + room).min()}

    def asked(first: int | None) -> Array:
        row = source.aggregate(replace(layout.rows.query, row_limit=first), results)[0]
        ends = [[row[f"{end}{i}"] for i in range(len(design.cancellation_factors))] for end in "ab"]
        return np.array(ends, dtype=np.float64)

    ends = asked(PILOT_ROWS)
    if not (ends[0] <= ends[1]).any():
        return ends, QueryCost()
    return asked(None), QueryCost(1, len(results))


def _rounding_of_stored(x: nw.Expr) -> nw.Expr:
    """Bound the rounding of stored values; whole numbers have none."""
    return nw.when((x.round() == x) & (x.abs() < FRACTION_LIMIT)).then(0.0).otherwise(x.abs() * (ROUNDING * ROUNDOFF))


def _atom_bounds(layout: EngineColumns, done: RoundingModel, n: float) -> dict[Atom, Any]:
    """Bound the rounding of the atoms, row by row, in words of the engine or by a number."""
    bounds: dict[Atom, Any] = {}
    for atom in layout.atoms:
        if not isinstance(atom, tuple):
            bounds[atom] = done.bound(atom)
            continue
        text, place = atom
        factor, basis = layout.design.factors[text], layout.design.learned.bases[text]
        argument = done.bound(argument_of(factor))
        bounds[atom] = done.basis_bounds(basis, argument)[place]
        if isinstance(basis, Polynomial):  # whose weights come from cross-products there, and have their error
            sizes = np.append(1 / np.sqrt(n), np.abs(basis.weights).sum(axis=0))
            own = done.mean_error * np.sqrt(n) * sizes[place + 1] * np.linalg.norm(sizes[: place + 2])
            bounds[atom] = add_bounds(bounds[atom], float(own))
    return bounds


def _carrier_bounds(layout: EngineColumns, atoms: Mapping[Atom, Any]) -> dict[Powers, Any]:
    """Bound the rounding of the products of moved atoms."""
    made = carrier_stages(layout)[1]
    bounds: dict[Powers, Any] = {}
    for powers in dict.fromkeys(m.powers for m in layout.monomials if m.powers):
        one_by_one = [atom for atom, power in powers for _ in range(power)]
        factors = [(multiply_bound(atoms[atom], 1 / layout.scales[atom]), nw.col(made[((atom, 1),)]).abs()) for atom in one_by_one]
        bounds[powers] = product_bound(factors)
    return bounds


def _response_bound(layout: EngineColumns, done: RoundingModel) -> Any:
    """Bound the rounding of the response less its offsets, each of which is taken away by itself."""
    formula, page = layout.design.formula, layout.rows
    bound, y = done.bound(formula.response.expression), page.expression(formula.response.expression)
    for offset in formula.offsets:
        y = y - page.expression(offset.expression)
        bound = add_bounds(bound, done.bound(offset.expression), done.size(y) * done.unit)
    return bound
