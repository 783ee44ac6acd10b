"""How far rounding may move the columns that an engine sums, before it sums them: bounds of its length over the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import narwhals as nw
import numpy as np

from squarely.design import Atom, Polynomial, Powers, RoundingModel, add_bounds, argument_of, multiply_bound, product_bound
from squarely.moments.engine.client import EngineClient
from squarely.moments.engine.columns import EngineColumns, carrier_stages
from squarely.moments.engine.gram import PILOT_ROWS, EngineGram
from squarely.numerics import FRACTION_LIMIT, ROUNDING, ROUNDOFF, Array


def rounding_in_engine(engine_gram: EngineGram, client: EngineClient) -> Array:
    """Bound the length (k + 1,), over the rows, of the rounding in each column of W = [1, w_1 ... w_p, y].

    A column of the data that is only shifted and scaled has no such error: w is exact up to a few roundings. A product is
    rounded before it is shifted, and may be much larger than what the shift leaves.
    """
    columns, n = engine_gram.columns, float(engine_gram.gram[0, 0])  # the sum of the weights, if there are any
    lengths = np.zeros(len(engine_gram.gram))
    model = _rounding_model(engine_gram)
    bounds: dict[Powers, Any] = {
        (): _response_bound(columns, model),
        **_carrier_bounds(columns, _atom_bounds(columns, model, engine_gram.n)),
    }
    aliases = {powers: f"h{i}" for i, (powers, bound) in enumerate(bounds.items()) if isinstance(bound, nw.Expr)}
    squares = {powers: n * bound**2 for powers, bound in bounds.items() if isinstance(bound, float)}
    if aliases:
        query = engine_gram.query.with_stages({alias: bounds[powers] for powers, alias in aliases.items()})
        w = 1.0 if engine_gram.weights is None else engine_gram.weights
        row = client.aggregate(query, {alias: (nw.col(alias) * nw.col(alias) * w).sum() for alias in aliases.values()})[0]
        squares |= {powers: float(row[alias]) for powers, alias in aliases.items()}
    for i, m in enumerate(columns.monomials, start=1):
        if m.powers:
            # of a product, before it is shifted
            roundings = sum(power * (1 + bool(columns.centers[atom])) for atom, power in m.powers) - 1
            lengths[i] = np.sqrt(squares.get(m.powers, 0.0)) + roundings * ROUNDOFF * abs(columns.shifts[i - 1]) * np.sqrt(n)
    lengths[-1] = np.sqrt(squares.get((), 0.0))
    lengths[1:] /= columns.units
    return np.where(np.isfinite(lengths), lengths, np.inf)


def ends_in_engine(engine_gram: EngineGram, client: EngineClient) -> Array:
    """Return the ends (2, f) between which the values of `Design.cancellation_factors` may be constant up to rounding.

    The ends cross if the values are not constant. The first rows are asked, and all rows if the ends do not cross there.
    """
    columns, design = engine_gram.columns, engine_gram.columns.design
    if not design.cancellation_factors:
        return np.empty((2, 0))
    model = _rounding_model(engine_gram, stored_bound=_stored_rounding)
    results: dict[str, nw.Expr] = {}
    for i, text in enumerate(design.cancellation_factors):
        expression = argument_of(design.factors[text])
        x, bound = columns.rows.expression(expression), add_bounds(model.bound(expression), 0.0)
        results |= {f"a{i}": (x - bound).max(), f"b{i}": (x + bound).min()}

    def ends_of(first: int | None) -> Array:
        row = client.aggregate(replace(columns.rows.query, row_limit=first), results)[0]
        return np.array([[row[f"{end}{i}"] for i in range(len(design.cancellation_factors))] for end in "ab"], dtype=np.float64)

    ends = ends_of(PILOT_ROWS)
    return ends_of(None) if (ends[0] <= ends[1]).any() else ends


def _rounding_model(engine_gram: EngineGram, stored_bound: Callable[[nw.Expr], nw.Expr] | None = None) -> RoundingModel:
    columns = engine_gram.columns
    return RoundingModel(
        value=columns.rows.expression,
        size=lambda x: x.abs(),
        standardizations=columns.design.learned.standardizations,
        unit=ROUNDOFF,
        mean_error=float(4 + np.sqrt(engine_gram.n)) * ROUNDOFF,
        stored_bound=stored_bound,
    )


def _stored_rounding(x: nw.Expr) -> nw.Expr:
    """Bound the rounding of stored values; whole numbers have none."""
    return nw.when((x.round() == x) & (x.abs() < FRACTION_LIMIT)).then(0.0).otherwise(x.abs() * (ROUNDING * ROUNDOFF))


def _atom_bounds(columns: EngineColumns, model: RoundingModel, n: float) -> dict[Atom, Any]:
    """Bound the rounding of the atoms, row by row, by an expression or a number."""
    bounds: dict[Atom, Any] = {}
    for atom in columns.atoms:
        if not isinstance(atom, tuple):
            bounds[atom] = model.bound(atom)
            continue
        text, position = atom
        basis = columns.design.learned.bases[text]
        bounds[atom] = model.basis_bounds(basis, model.bound(argument_of(columns.design.factors[text])))[position]
        if isinstance(basis, Polynomial):  # its weights come from cross-products in the engine, and have their error
            sizes = np.append(1 / np.sqrt(n), np.abs(basis.weights).sum(axis=0))
            weights_error = model.mean_error * np.sqrt(n) * sizes[position + 1] * np.linalg.norm(sizes[: position + 2])
            bounds[atom] = add_bounds(bounds[atom], float(weights_error))
    return bounds


def _carrier_bounds(columns: EngineColumns, atoms: Mapping[Atom, Any]) -> dict[Powers, Any]:
    """Bound the rounding of the products of centered atoms."""
    aliases = carrier_stages(columns)[1]
    bounds: dict[Powers, Any] = {}
    for powers in dict.fromkeys(m.powers for m in columns.monomials if m.powers):
        factors = [atom for atom, power in powers for _ in range(power)]
        bounds[powers] = product_bound(
            [(multiply_bound(atoms[atom], 1 / columns.scales[atom]), nw.col(aliases[((atom, 1),)]).abs()) for atom in factors]
        )
    return bounds


def _response_bound(columns: EngineColumns, model: RoundingModel) -> Any:
    """Bound the rounding of the response less its offsets, which are subtracted one by one."""
    formula, rows = columns.design.formula, columns.rows
    bound, y = model.bound(formula.response.expression), rows.expression(formula.response.expression)
    for offset in formula.offsets:
        y = y - rows.expression(offset.expression)
        bound = add_bounds(bound, model.bound(offset.expression), model.size(y) * model.unit)
    return bound
