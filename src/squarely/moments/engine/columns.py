"""The columns that an engine works with: those of X and the response, moved and scaled so that their sums lose few digits.

W has the span of [1, X]: powers and products stand about the centres of their atoms, and whatever stands alone is centred.
Columns of categories are no columns here: they are carried by what they multiply, and summed by group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

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
    centerable_atoms,
    expand_shift,
    lower_power,
    polynomial_stages,
    spline_stages,
)
from squarely.moments.engine.group_sums import FactorTexts, GroupKey
from squarely.numerics import Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EngineColumns:
    """How the columns W = [1, w_1 ... w_p, y] are made, with w = (carrier - shift) / unit, times columns of categories.

    Attributes
    ----------
    design : the design. `rows` its rows.
    monomials : (p,) the columns of X.
    centers, scales : of the atoms: short numbers and powers of two; the centre of one that may not be moved is zero.
    shifts, units : (p + 1,) short numbers and powers of two, the response last; a column with categories is not shifted.
    free_atoms : the atoms that may be moved.
    """

    design: Design
    rows: CompleteRows
    monomials: tuple[Monomial, ...]
    free_atoms: frozenset[Atom]
    centers: Mapping[Atom, float] = field(default_factory=dict)
    scales: Mapping[Atom, float] = field(default_factory=dict)
    shifts: Array
    units: Array

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """The atoms, in a fixed order."""
        return tuple(dict.fromkeys(atom for m in self.monomials for atom, _ in m.powers))

    @property
    def is_power(self) -> bool:
        """Whether a power or product of atoms is among the columns: then a pilot of the first rows will not do."""
        return any(sum(power for _, power in m.powers) > 1 for m in self.monomials)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CarrierBlock:
    """Columns of W that share a carrier and their categorical factors.

    Attributes
    ----------
    carrier : the alias of the column that they share; "" for a one.
    factors : the categorical factors, each with whether all its levels are coded.
    members : (w,) the places of the columns in W. `weights` (levels, ..., w) what each is for a cell of the levels.
    """

    carrier: str
    factors: tuple[tuple[str, bool], ...]
    members: np.ndarray
    weights: Array

    @property
    def keys(self) -> FactorTexts:
        """The factors by which it is summed, by their texts."""
        return frozenset(text for text, _ in self.factors)

    @property
    def flat_weights(self) -> Array:
        """The weights (cells, w), cells in the order of the factors, the last varying fastest."""
        return self.weights.reshape(-1, self.weights.shape[-1])


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class GroupedQuery:
    """A layout said to an engine: the query with every carrier as a column, the blocks of W, and the factors to group by."""

    query: Query
    blocks: tuple[CarrierBlock, ...]
    keys: Mapping[str, GroupKey]


def plan_engine_columns(design: Design, page: CompleteRows, columns: Sequence[Monomial]) -> EngineColumns:
    """Lay the columns out, without centres and scales as yet."""
    k = len(columns) + 1
    free = centerable_atoms(columns, intercept=design.intercept)
    atoms = dict.fromkeys(atom for m in columns for atom, _ in m.powers)
    return EngineColumns(
        design=design,
        rows=page,
        monomials=tuple(columns),
        free_atoms=free,
        centers=dict.fromkeys(atoms, 0.0),
        scales=dict.fromkeys(atoms, 1.0),
        shifts=np.zeros(k),
        units=np.ones(k),
    )


def atom_stages(layout: EngineColumns) -> tuple[list[Stage], dict[Atom, str], nw.Expr]:
    """Give the stages that make the atoms, their aliases, and the response less its offsets."""
    page, design = layout.rows, layout.design
    said: dict[str, nw.Expr] = {}  # in one stage: engines take in each by itself
    stages: list[Stage] = [said]
    aliases: dict[Atom, str] = {}
    made: dict[str, list[str]] = {}
    for i, atom in enumerate(layout.atoms):
        if not isinstance(atom, tuple):
            aliases[atom] = f"a{i}"
            said[f"a{i}"] = page.expression(atom)
            continue
        text, place = atom
        if text not in made:
            factor, basis = design.factors[text], design.learned.bases[text]
            stages.append({f"x{i}": page.expression(argument_of(factor))})
            say = polynomial_stages if isinstance(basis, Polynomial) else spline_stages
            more, made[text] = say(f"x{i}", f"b{i}c", basis)  # type: ignore[arg-type]  # each is given its own kind
            stages += more
        aliases[atom] = made[text][place]
    y = page.expression(design.formula.response.expression)
    for offset in design.formula.offsets:
        y = y - page.expression(offset.expression)
    return stages, aliases, y


def carrier_stages(layout: EngineColumns) -> tuple[list[Stage], dict[Powers, str], nw.Expr]:
    """Give the stages that make the moved atoms and their products, the aliases of these, and the response."""
    stages, aliases, y = atom_stages(layout)
    moved = {alias: with_centers(nw.col(alias), layout.centers[atom], layout.scales[atom]) for atom, alias in aliases.items()}
    names = {atom: f"t{i}" for i, atom in enumerate(aliases)}
    stages.append({names[atom]: moved[alias] for atom, alias in aliases.items()})
    made: dict[Powers, str] = {((atom, 1),): name for atom, name in names.items()}
    levels: dict[int, dict[str, nw.Expr]] = {}
    for m in layout.monomials:
        _make_product(m.powers, made, names, levels)
    stages += [levels[degree] for degree in sorted(levels)]
    return stages, made, y


def with_centers(x: nw.Expr, centre: float, unit: float) -> nw.Expr:
    """Say (x - centre) / unit in few words: engines are slow to take in many, and some make several of a division.

    A unit is a power of two, so that multiplying by its inverse gives the same bits.
    """
    x = x - float(centre) if centre else x
    return x * (1.0 / float(unit)) if unit != 1 else x


def _make_product(
    powers: Powers, made: dict[Powers, str], names: Mapping[Atom, str], levels: dict[int, dict[str, nw.Expr]]
) -> None:
    """Make a product of atoms from one of a degree less, for which the last atom is left out once."""
    if not powers or powers in made:
        return
    atom = powers[-1][0]
    less = lower_power(powers, atom)
    _make_product(less, made, names, levels)
    made[powers] = f"q{len(made)}"
    degree = sum(power for _, power in powers)
    levels.setdefault(degree, {})[made[powers]] = nw.col(made[less]) * nw.col(names[atom])


def grouped_query(layout: EngineColumns) -> GroupedQuery:
    """Say a layout to an engine."""
    design = layout.design
    stages, made, y = carrier_stages(layout)
    last: dict[str, nw.Expr] = {}
    groups: dict[tuple[str, tuple[tuple[str, bool], ...]], list[int]] = {("", ()): [0]}
    for j, m in enumerate(layout.monomials):
        alias = f"z{j}" if m.powers else ""
        if m.pattern and m.powers:
            alias = f"u{made[m.powers]}"
        if alias:
            last.setdefault(alias, with_centers(nw.col(made[m.powers]), layout.shifts[j], layout.units[j]))
        groups.setdefault((alias, tuple((text, full) for text, full, _ in m.pattern)), []).append(j + 1)
    k = len(layout.monomials)
    last[f"z{k}"] = with_centers(y, layout.shifts[k], layout.units[k])
    groups[f"z{k}", ()] = [k + 1]
    labels = layout.rows.labels
    keys = {text: GroupKey(alias=labels[coding.column], levels=coding.levels) for text, coding in design.categories.items()}
    blocks = tuple(_block(layout, carrier, factors, members) for (carrier, factors), members in groups.items())
    return GroupedQuery(query=layout.rows.query.with_stages(*stages, last), blocks=blocks, keys=keys)


def _block(layout: EngineColumns, carrier: str, factors: tuple[tuple[str, bool], ...], members: list[int]) -> CarrierBlock:
    matrices = [layout.design.categories[text].matrix(full=full) for text, full in factors]
    columns = []
    for j in members:
        weight: Array = np.ones(())
        for matrix, (_, _, place) in zip(matrices, layout.monomials[j - 1].pattern if factors else (), strict=True):
            weight = np.multiply.outer(weight, matrix[:, place])
        columns.append(weight)
    return CarrierBlock(carrier=carrier, factors=factors, members=np.array(members), weights=np.stack(columns, axis=-1))


ExactRows = list[dict[int, Fraction]]


def to_data_columns(layout: EngineColumns) -> ExactRows:
    """Write each column of W in terms of those of [1, X, y], by their places, exactly."""
    there = _places(layout)
    way: ExactRows = [{0: Fraction(1)}]
    for i, m in enumerate(layout.monomials, start=1):
        moves = {
            a: (1 / _as_fraction(layout.scales[a]), -_as_fraction(layout.centers[a]) / _as_fraction(layout.scales[a]))
            for a, _ in m.powers
        }
        shift, unit = _as_fraction(layout.shifts[i - 1]), _as_fraction(layout.units[i - 1])
        row = {0: -shift / unit}
        for powers, weight in expand_shift(m.powers, moves).items():
            j = i if powers == m.powers else there[powers, m.pattern]
            row[j] = row.get(j, Fraction(0)) + weight / unit / (layout.monomials[j - 1].coefficient if j else 1)
        way.append({j: weight for j, weight in row.items() if weight})
    shift, unit = _as_fraction(layout.shifts[-1]), _as_fraction(layout.units[-1])
    return [*way, {len(way): 1 / unit, 0: -shift / unit}]


def to_engine_columns(layout: EngineColumns) -> ExactRows:
    """Write each column of [1, X, y] in terms of those of W, by their places, exactly."""
    there = _places(layout)
    way: ExactRows = [{0: Fraction(1)}]
    for j, m in enumerate(layout.monomials, start=1):
        moves = {a: (_as_fraction(layout.scales[a]), _as_fraction(layout.centers[a])) for a, _ in m.powers}
        row = {0: Fraction(0)}
        for powers, weight in expand_shift(m.powers, moves).items():
            i = j if powers == m.powers else there[powers, m.pattern]
            shift, unit = (
                (_as_fraction(layout.shifts[i - 1]), _as_fraction(layout.units[i - 1])) if i else (Fraction(0), Fraction(1))
            )
            row[i] = row.get(i, Fraction(0)) + weight * m.coefficient * unit
            row[0] += weight * m.coefficient * shift
        way.append({i: weight for i, weight in row.items() if weight})
    return [*way, {len(way): _as_fraction(layout.units[-1]), 0: _as_fraction(layout.shifts[-1])}]


def _places(layout: EngineColumns) -> dict[tuple[Powers, tuple[FactorColumn, ...]], int]:
    there: dict[tuple[Powers, tuple[FactorColumn, ...]], int] = {((), ()): 0}
    for i, m in enumerate(layout.monomials, start=1):
        there.setdefault((m.powers, m.pattern), i)
    return there


def _as_fraction(x: float) -> Fraction:
    return Fraction(float(x))
