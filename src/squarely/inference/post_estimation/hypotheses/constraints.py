"""Linear constraints on the coefficients: what a user writes as text, as a mapping or as a matrix, in one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from squarely.design import Design
from squarely.errors import DataError, OptionError, pluralize, show_value
from squarely.exact import Solution
from squarely.inference.covariance.root import covariance_root
from squarely.inference.post_estimation.hypotheses.grammar import Constraint, parse_constraints
from squarely.numerics import ROUNDING, ROUNDOFF, Array, dd_add, dd_sum, two_product
from squarely.reprs import short_repr

_FORMS = "Write constraints such as 'x = 0, z = 1', or give a mapping, a matrix, or a pair (matrix, values)"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Constraints:
    """Linear constraints L beta = v.

    Attributes
    ----------
    L : (r, p) the weights of the coefficients.
    v : (r,) the values.
    texts : (r,) the constraints as text.
    """

    __repr__ = short_repr

    L: Array
    v: Array
    texts: tuple[str, ...]

    def take(self, rows: Sequence[int]) -> Constraints:
        """Return some of the constraints."""
        return Constraints(L=self.L[list(rows)], v=self.v[list(rows)], texts=tuple(self.texts[i] for i in rows))


def read_constraints(hypothesis: object, solution: Solution) -> Constraints:
    """Read a hypothesis on the coefficients of a solution.

    Raises
    ------
    FormulaError : the text cannot be read, names no coefficient of the fit, or is not linear.
    OptionError : it is none of the forms, or a matrix does not have a column for each coefficient.
    DataError : it uses a coefficient that was dropped.
    """
    design = solution.moments.design
    if isinstance(hypothesis, list | tuple) and all(isinstance(each, str) for each in hypothesis):
        hypothesis = ", ".join(hypothesis)
    if isinstance(hypothesis, str):
        constraints = _from_text(parse_constraints(hypothesis, design), len(design.names))
    elif isinstance(hypothesis, Mapping):
        constraints = _from_mapping(hypothesis, design)
    else:
        constraints = _from_matrix(hypothesis, design.names)
    _require_estimated(constraints, solution)
    return constraints


def coefficients_are_zero(names: Sequence[str], positions: Sequence[int]) -> Constraints:
    """Return the constraints that the coefficients at these positions are zero."""
    L = np.zeros((len(positions), len(names)))
    L[range(len(positions)), list(positions)] = 1.0
    return Constraints(L=L, v=np.zeros(len(positions)), texts=tuple(f"{names[i]} = 0" for i in positions))


def differences(constraints: Constraints, solution: Solution) -> Array:
    """Return L beta - v (r,), summed in double-double."""
    selected = solution.factor.selected
    columns, beta = constraints.L[:, selected].T, solution.params[selected]
    return np.add(*dd_add(dd_sum(two_product(columns, beta[:, None])), (-constraints.v, np.zeros_like(constraints.v))))


def constraint_root(constraints: Constraints, solution: Solution) -> Array:
    """Return B = L A (r, q): the covariance of L beta is B M B' for a meat M."""
    return covariance_root(solution, constraints.L[:, solution.factor.selected])


def independent_constraints(constraints: Constraints, solution: Solution) -> Constraints:
    """Return the constraints that do not follow from those before them.

    Each weight counts in units of the standard error of its coefficient, so the rank does not depend on the units of columns.

    Raises DataError if two contradict each other, or if nothing is left.
    """
    selected = solution.factor.selected
    L = constraints.L[:, selected] * solution.unit_bse[selected]
    lengths = np.linalg.norm(L, axis=1)
    unit, values = L / np.where(lengths > 0, lengths, 1.0)[:, None], constraints.v / np.where(lengths > 0, lengths, 1.0)
    tolerance = ROUNDING * max(1.0, np.sqrt(len(L) / 8)) * ROUNDOFF
    independent: list[int] = []
    for i in range(len(L)):
        weights = np.linalg.lstsq(unit[independent].T, unit[i], rcond=None)[0] if independent else np.zeros(0)
        size = 1 + np.abs(weights).sum()
        if np.linalg.norm(unit[i] - weights @ unit[independent]) > tolerance * size and lengths[i] > 0:
            independent.append(i)
            continue
        needed = [j for j, weight in zip(independent, weights.tolist(), strict=True) if abs(weight) > tolerance * size]
        rest = values[i] - weights @ values[independent]
        if abs(rest) > tolerance * (abs(values[i]) + np.abs(weights) @ np.abs(values[independent])):
            others = " and ".join(repr(constraints.texts[j]) for j in needed)
            raise DataError(
                f"The constraint {constraints.texts[i]!r} contradicts {others or 'what the fit estimates'}. Leave one of them out."
            )
    if not independent:
        raise DataError(
            f"The hypothesis {', '.join(constraints.texts)!r} holds for any coefficients, so it tests nothing. Name a coefficient "
            "that is estimated: that of a reference level is zero."
        )
    return constraints.take(independent)


def _from_text(constraints: Sequence[Constraint], p: int) -> Constraints:
    L = np.zeros((len(constraints), p))
    for i, constraint in enumerate(constraints):
        for position, weight in constraint.weights.items():
            L[i, position] = float(weight)
    return Constraints(L=L, v=np.array([float(each.value) for each in constraints]), texts=tuple(each.text for each in constraints))


def _from_mapping(mapping: Mapping[Any, Any], design: Design) -> Constraints:
    parts = []
    for name, value in mapping.items():
        if not isinstance(name, str) or isinstance(value, bool) or not np.isscalar(value) or isinstance(value, str):
            raise OptionError(f"hypothesis={show_value(dict(mapping))} is not a mapping of names to numbers. {_FORMS}.")
        found = parse_constraints(name, design)
        if len(found) > 1 or found[0].text != f"{' '.join(name.split())} = 0":
            raise OptionError(
                f"The key {name!r} is not the name of one coefficient. Write keys and values such as {{'x': 0, 'z': 1}}."
            )
        parts.append(_from_text(found, len(design.names)))
        parts[-1].v[:] += float(value)  # type: ignore[arg-type]  # a scalar
    if not parts:
        raise OptionError(f"The hypothesis is empty. {_FORMS}.")
    values = np.concatenate([part.v for part in parts])
    texts = [f"{name} = {value:g}" for name, value in mapping.items()]
    return _require_finite(Constraints(L=np.concatenate([part.L for part in parts]), v=values, texts=tuple(texts)))


def _from_matrix(hypothesis: Any, names: Sequence[str]) -> Constraints:
    p = len(names)
    pair = hypothesis if isinstance(hypothesis, tuple) and len(hypothesis) == 2 else (hypothesis, None)
    try:
        L = np.atleast_2d(np.array(pair[0], dtype=float))
        v = np.zeros(len(L)) if pair[1] is None else np.atleast_1d(np.array(pair[1], dtype=float)).ravel()
    except (TypeError, ValueError):
        L, v = np.empty((0, 0)), np.empty(0)
    if not L.size or np.ndim(pair[0]) == 0:
        raise OptionError(f"hypothesis={show_value(hypothesis)} is not understood. {_FORMS}.")
    if L.ndim != 2 or L.shape[1] != p:
        raise OptionError(
            f"The matrix of the hypothesis has {pluralize(L.shape[-1], 'column')}, and the fit has {pluralize(p, 'coefficient')}. "
            "Give a row for each constraint, and in it a weight for each coefficient, in the order of params."
        )
    if len(v) != len(L):
        raise OptionError(
            f"The hypothesis has {pluralize(len(L), 'constraint')} and {pluralize(len(v), 'value')}. Give one value for each row."
        )
    texts = tuple(_write(row, value, names) for row, value in zip(L.tolist(), v.tolist(), strict=True))
    return _require_finite(Constraints(L=L, v=v, texts=texts))


def _write(row: Sequence[float], value: float, names: Sequence[str]) -> str:
    terms = [
        f"{'-' if x < 0 else '+'} {'' if abs(x) == 1 else f'{abs(x):g} * '}{name}" for x, name in zip(row, names, strict=True) if x
    ]
    return f"{' '.join(terms).removeprefix('+ ') or '0'} = {value:g}"


def _require_finite(constraints: Constraints) -> Constraints:
    if not (np.isfinite(constraints.L).all() and np.isfinite(constraints.v).all()):
        raise OptionError("The hypothesis has a number that is not finite. Give finite weights and values.")
    return constraints


def _require_estimated(constraints: Constraints, solution: Solution) -> None:
    factor, names = solution.factor, solution.moments.design.names
    out = np.flatnonzero(~factor.selected)
    used = np.flatnonzero(constraints.L[:, out].any(axis=0))
    if len(used):
        name, why = names[out[used[0]]], factor.dependencies[used[0]] if len(factor.dependencies) == len(out) else ""
        raise DataError(
            f"The hypothesis uses {name!r}, which the fit has dropped{f': {why}' if why else ''}. Leave it out: the rows do not "
            "determine its coefficient."
        )
