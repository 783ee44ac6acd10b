"""The columns that an engine sums: those of X and the response, shifted and scaled so that sums lose few digits.

W has the span of [1, X]. Powers and products are taken about the centers of their atoms, and every other column is centered.
A categorical column is not a column of its own here: an engine sums the column that it multiplies, by group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce

import narwhals as nw
import numpy as np

from squarely.data import Query, Stage
from squarely.design import (
    Atom,
    CompleteRows,
    Design,
    FactorColumn,
    Monomial,
    Polynomial,
    Powers,
    argument_of,
    expand_shift,
    lower_power,
    polynomial_stages,
    spline_stages,
)
from squarely.moments.engine.group_sums import GroupKey
from squarely.numerics import Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EngineColumns:
    """How the columns W = [1, w_1 ... w_p, y] are made, with w = (carrier - shift) / unit, times categorical columns.

    Attributes
    ----------
    design, rows : the design, and the query of its complete rows.
    monomials : (p,) the columns of X.
    centers, scales : of the atoms: short numbers and powers of two; the center is zero for an atom that must not be centered.
    shifts, units : (p + 1,) short numbers and powers of two, the response last; zero for a column with categories.

    The centers, scales, shifts and units are empty until `gram_in_engine` sets them.
    """

    design: Design
    rows: CompleteRows
    monomials: tuple[Monomial, ...]
    centers: Mapping[Atom, float] = field(default_factory=dict)
    scales: Mapping[Atom, float] = field(default_factory=dict)
    shifts: Array = field(default_factory=lambda: np.empty(0))
    units: Array = field(default_factory=lambda: np.empty(0))

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """The atoms, in a fixed order."""
        return tuple(dict.fromkeys(atom for m in self.monomials for atom, _ in m.powers))

    @property
    def is_power(self) -> bool:
        """Whether a column is a power or a product of atoms: then the first rows do not suffice to center them."""
        return any(sum(power for _, power in m.powers) > 1 for m in self.monomials)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CarrierBlock:
    """Columns of W that share a carrier and their categorical factors.

    Attributes
    ----------
    carrier : the alias of the numeric column that they share; "" for a one.
    factors : the texts of the categorical factors, to group by.
    members : (w,) the positions of the columns in W.
    weights : (cells, w) the value of each column in a cell of the levels, the last factor varying fastest.
    """

    carrier: str
    factors: tuple[str, ...]
    members: np.ndarray
    weights: Array


def atom_stages(columns: EngineColumns) -> tuple[list[Stage], dict[Atom, str], nw.Expr]:
    """Return the stages that compute the atoms, their aliases, and the response less its offsets."""
    rows, design = columns.rows, columns.design
    plain: dict[str, nw.Expr] = {}  # in one stage: each stage takes an engine time
    stages: list[Stage] = [plain]
    aliases: dict[Atom, str] = {}
    basis_aliases: dict[str, list[str]] = {}
    for i, atom in enumerate(columns.atoms):
        if not isinstance(atom, tuple):
            aliases[atom] = f"a{i}"
            plain[f"a{i}"] = rows.expression(atom)
            continue
        text, position = atom
        if text not in basis_aliases:
            basis = design.learned.bases[text]
            stages.append({f"x{i}": rows.expression(argument_of(design.factors[text]))})
            make_stages = polynomial_stages if isinstance(basis, Polynomial) else spline_stages
            more, basis_aliases[text] = make_stages(f"x{i}", f"b{i}c", basis)  # type: ignore[arg-type]  # each gets its own kind
            stages += more
        aliases[atom] = basis_aliases[text][position]
    y = rows.expression(design.formula.response.expression)
    for offset in design.formula.offsets:
        y = y - rows.expression(offset.expression)
    return stages, aliases, y


def carrier_stages(columns: EngineColumns) -> tuple[list[Stage], dict[Powers, str], nw.Expr]:
    """Return the stages that compute the centered atoms and their products, the aliases of these, and the response."""
    stages, aliases, y = atom_stages(columns)
    names = {atom: f"t{i}" for i, atom in enumerate(aliases)}
    stages.append({names[a]: _scale(nw.col(alias), columns.centers[a], columns.scales[a]) for a, alias in aliases.items()})
    products: dict[Powers, str] = {((atom, 1),): name for atom, name in names.items()}
    by_degree: dict[int, dict[str, nw.Expr]] = {}

    def add_product(powers: Powers) -> str:
        """Make a product of atoms from the product without one factor of its last atom, and return its alias."""
        if powers not in products:
            atom = powers[-1][0]
            lower = nw.col(add_product(lower_power(powers, atom)))
            products[powers] = f"q{len(products)}"
            by_degree.setdefault(sum(power for _, power in powers), {})[products[powers]] = lower * nw.col(names[atom])
        return products[powers]

    for m in columns.monomials:
        if m.powers:
            add_product(m.powers)
    stages += [by_degree[degree] for degree in sorted(by_degree)]
    return stages, products, y


def _scale(x: nw.Expr, center: float, unit: float) -> nw.Expr:
    """Return the expression (x - center) / unit in few operations: engines are slow to plan many.

    A unit is a power of two, so multiplying by its inverse gives the same bits.
    """
    x = x - float(center) if center else x
    return x * (1.0 / float(unit)) if unit != 1 else x


def make_blocks(columns: EngineColumns) -> tuple[Query, tuple[CarrierBlock, ...], dict[str, GroupKey]]:
    """Return the query that has every carrier as a column, the blocks of W, and the factors to group by."""
    design, k = columns.design, len(columns.monomials)
    stages, products, y = carrier_stages(columns)
    carriers: dict[str, nw.Expr] = {}
    groups: dict[tuple[str, tuple[tuple[str, bool], ...]], list[int]] = {("", ()): [0]}
    for j, m in enumerate(columns.monomials):
        alias = "" if not m.powers else f"u{products[m.powers]}" if m.pattern else f"z{j}"
        if alias and alias not in carriers:
            carriers[alias] = _scale(nw.col(products[m.powers]), columns.shifts[j], columns.units[j])
        groups.setdefault((alias, tuple((text, full) for text, full, _ in m.pattern)), []).append(j + 1)
    carriers[f"z{k}"] = _scale(y, columns.shifts[k], columns.units[k])
    groups[f"z{k}", ()] = [k + 1]
    keys = {text: GroupKey(alias=columns.rows.labels[c.column], levels=c.levels) for text, c in design.categories.items()}
    blocks = tuple(_carrier_block(columns, carrier, factors, members) for (carrier, factors), members in groups.items())
    return columns.rows.query.with_stages(*stages, carriers), blocks, keys


def _carrier_block(columns: EngineColumns, carrier: str, factors: tuple[tuple[str, bool], ...], members: list[int]) -> CarrierBlock:
    matrices = [columns.design.categories[text].matrix(full=full) for text, full in factors]
    weights = []
    for j in members:
        pattern = columns.monomials[j - 1].pattern if factors else ()
        parts = [matrix[:, position] for matrix, (_, _, position) in zip(matrices, pattern, strict=True)]
        weights.append(reduce(np.multiply.outer, parts, np.ones(())).ravel())
    texts = tuple(text for text, _ in factors)
    return CarrierBlock(carrier=carrier, factors=texts, members=np.array(members), weights=np.stack(weights, axis=-1))


ExactRows = list[dict[int, Fraction]]  # for each column, the positions and exact weights of the columns that it is made of


def to_data_columns(columns: EngineColumns) -> ExactRows:
    """Write each column of W as a combination of [1, X, y], exactly."""
    moves = {a: (1 / Fraction(scale), -Fraction(columns.centers[a]) / Fraction(scale)) for a, scale in columns.scales.items()}
    shifts, units = _fractions(columns.shifts), _fractions(columns.units)
    rows: ExactRows = [{0: Fraction(1)}]
    for weights, shift, unit in zip(_expand_monomials(columns, moves), shifts[:-1], units[:-1], strict=True):
        row = {0: Fraction(0)}
        row |= {j: weight / unit / (columns.monomials[j - 1].coefficient if j else 1) for j, weight in weights.items()}
        row[0] -= shift / unit
        rows.append({j: weight for j, weight in row.items() if weight})
    return [*rows, {len(rows): 1 / units[-1], 0: -shifts[-1] / units[-1]}]


def to_engine_columns(columns: EngineColumns) -> ExactRows:
    """Write each column of [1, X, y] as a combination of W, exactly."""
    moves = {a: (Fraction(scale), Fraction(columns.centers[a])) for a, scale in columns.scales.items()}
    shifts, units = [Fraction(0), *_fractions(columns.shifts)], [Fraction(1), *_fractions(columns.units)]
    rows: ExactRows = [{0: Fraction(1)}]
    for m, weights in zip(columns.monomials, _expand_monomials(columns, moves), strict=True):
        row = {0: Fraction(0)} | {i: weight * m.coefficient * units[i] for i, weight in weights.items()}
        row[0] += sum(weight * m.coefficient * shifts[i] for i, weight in weights.items())
        rows.append({i: weight for i, weight in row.items() if weight})
    return [*rows, {len(rows): units[-1], 0: shifts[-1]}]


def _expand_monomials(columns: EngineColumns, moves: Mapping[Atom, tuple[Fraction, Fraction]]) -> ExactRows:
    """Expand the powers of moved atoms in each column, as weights by the position in [1, X] of the same powers."""
    positions: dict[tuple[Powers, tuple[FactorColumn, ...]], int] = {((), ()): 0}
    for i, m in enumerate(columns.monomials, start=1):
        positions.setdefault((m.powers, m.pattern), i)
    return [
        {i if p == m.powers else positions[p, m.pattern]: weight for p, weight in expand_shift(m.powers, moves).items()}
        for i, m in enumerate(columns.monomials, start=1)
    ]


def _fractions(values: Array) -> list[Fraction]:
    return [Fraction(value) for value in values.tolist()]
