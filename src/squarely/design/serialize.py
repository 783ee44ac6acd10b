"""What a design has learned as plain values, for a file, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from squarely.design.design import Design, formula_inputs
from squarely.design.encoding.basis import Polynomial, Spline, column_count
from squarely.design.encoding.categories import MOST_LEVELS, ContrastCoding
from squarely.design.encoding.learned_state import LearnedState
from squarely.design.formula.expression import MeanAndDeviation, standardizations_in
from squarely.design.formula.factors import Basis, Categorical, Factor, Numeric, UntypedColumn
from squarely.design.formula.formula import Formula
from squarely.numerics import Array

# The keys of a saved fit and the fields that they hold; a field may be renamed, a key never changes.
_KEYS = {
    "moves": {"mean": "mean", "deviation": "deviation", "rest": "rest"},
    "codings": {"levels": "levels", "kind": "kind", "position": "position", "marks": "marks"},
    "polynomials": {"low": "low", "high": "high", "weights": "weights"},
    "splines": {"knots": "knots", "degree": "degree", "first": "first_column", "natural": "natural_weights"},
}


def learned_to_json(design: Design) -> dict[str, Any]:
    """Return what a design has learned as nested mappings of values that `to_json` converts."""
    state = design.learned
    values = {
        "moves": state.standardizations,
        "codings": state.contrasts,
        "polynomials": {text: basis for text, basis in state.bases.items() if isinstance(basis, Polynomial)},
        "splines": {text: basis for text, basis in state.bases.items() if isinstance(basis, Spline)},
    }
    written: dict[str, Any] = {
        kind: {text: {key: getattr(value, field) for key, field in keys.items()} for text, value in values[kind].items()}
        for kind, keys in _KEYS.items()
    }
    return {**written, "value_notes": list(state.value_notes)}


def learned_from_json(formula: Formula, written: Mapping[str, Any]) -> tuple[dict[str, Factor], LearnedState]:
    """Read it back, with the factors of the formula as the data resolved them.

    Raises TypeError, ValueError or KeyError for values that cannot belong to the formula.
    """
    columns = {text: f.name.name for text, f in formula.factors.items() if isinstance(f, UntypedColumn | Categorical)}
    codings = {text: _contrast_from_json(columns[text], c) for text, c in written["codings"].items()}
    factors: dict[str, Factor] = {}
    for text, factor in formula.factors.items():
        if isinstance(factor, UntypedColumn):
            name = factor.name
            factor = Categorical(text=text, name=name, is_untyped=True) if text in codings else Numeric(text=text, expression=name)
        if isinstance(factor, Categorical) != (text in codings):
            raise ValueError(f"the levels of {text} are missing.")
        factors[text] = factor
    bases: dict[str, Polynomial | Spline] = {
        text: Polynomial(low=_as_finite(b["low"]), high=_as_finite(b["high"]), weights=_as_table(b["weights"]))
        for text, b in written["polynomials"].items()
    }
    bases |= {text: _spline_from_json(text, b) for text, b in written["splines"].items()}
    for text, factor in factors.items():
        if isinstance(factor, Basis) and factor.kind != "powers":
            _require_basis(factor, bases[text])
    standardizations = {
        text: MeanAndDeviation(
            mean=_as_finite(m["mean"]), deviation=_as_finite(m["deviation"]), rest=_as_finite(m.get("rest", 0.0))
        )
        for text, m in written["moves"].items()
    }
    for text, part in standardizations_in(formula_inputs(formula, factors).expressions.values()).items():
        if text not in standardizations:
            raise ValueError(f"the mean of {text} is missing.")
        if part.is_scaled and standardizations[text].deviation < 0:
            raise ValueError(f"the deviation of {text} is negative.")
    notes = written.get("value_notes", [])  # earlier fits have none
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise TypeError("the notes on values are not a list of texts.")
    return factors, LearnedState(standardizations=standardizations, contrasts=codings, bases=bases, value_notes=tuple(notes))


def _require_basis(factor: Basis, basis: Polynomial | Spline) -> None:
    if isinstance(basis, Polynomial):
        fits = factor.kind == "poly" and basis.low < basis.high and basis.weights.shape == (factor.degree + 1, factor.degree)
    else:
        width, count = len(basis.knots) - basis.degree - 1 - basis.first_column, column_count(factor)
        natural = None if basis.natural_weights is None else basis.natural_weights.shape
        fits = factor.kind != "poly" and width + basis.first_column > basis.degree
        fits = fits and (width, natural) == ((count + 2, (count + 2, count)) if factor.kind == "ns" else (count, None))
    if not fits:
        raise ValueError(f"the basis of {factor.text} has the wrong shape.")


def _contrast_from_json(column: str, c: Mapping[str, Any]) -> ContrastCoding:
    levels, position = tuple(c["levels"]), c["position"]
    if len(levels) > MOST_LEVELS:
        raise ValueError(f"a category has {len(levels):,} levels.")
    kinds = {str if isinstance(level, str) else float for level in levels}
    if len(kinds) != 1 or not all(isinstance(level, str | int | float) for level in levels) or len(set(levels)) < len(levels):
        raise TypeError("levels must be different texts or numbers.")
    if c["kind"] not in ("treatment", "sum") or type(position) is not int or not 0 <= position < len(levels):
        raise ValueError("a contrast is not valid.")
    marks = dict(c.get("marks", {}))  # earlier fits have none
    if not marks.keys() <= set(levels) or not all(type(rows) is int and rows > 0 for rows in marks.values()):
        raise ValueError("the number of rows of a level is not valid.")
    return ContrastCoding(column=column, levels=levels, kind=c["kind"], position=position, marks=marks)


def _spline_from_json(text: str, b: Mapping[str, Any]) -> Spline:
    knots = _as_table([b["knots"]])[0]
    if (np.diff(knots) < 0).any() or b["degree"] not in range(101) or b["first"] not in (0, 1):
        raise ValueError(f"the knots of {text} are not in order.")
    natural = None if b["natural"] is None else _as_table(b["natural"])
    return Spline(text=text, knots=knots, degree=b["degree"], first_column=b["first"], natural_weights=natural)


def _as_table(rows: Any) -> Array:
    return np.array([[_as_finite(x) for x in row] for row in rows], dtype=np.float64)


def _as_finite(x: Any) -> float:
    if isinstance(x, bool) or not isinstance(x, int | float) or not math.isfinite(x):
        raise TypeError(f"{x!r} is not a finite number.")
    return float(x)
