"""What a design has learnt as plain values, for a file, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from squarely.design.design import Design, LearnedState
from squarely.design.encoding.basis import Polynomial, Spline
from squarely.design.encoding.categories import MOST_LEVELS, ContrastCoding
from squarely.design.formula.expression import MeanAndDeviation, Standardize, subexpressions
from squarely.design.formula.factors import Basis, Categorical, Contrast, Factor, Numeric, UntypedColumn, argument_of
from squarely.design.formula.formula import Formula
from squarely.design.formula.where import Where
from squarely.design.matrix.columns import columns_of
from squarely.numerics import Array


def learned_to_json(design: Design) -> dict[str, Any]:
    """Give what a design has learnt as plain values: text, numbers, lists and dicts."""
    learnt = design.learned
    return {
        "moves": {text: {"mean": m.mean, "deviation": m.deviation, "rest": m.rest} for text, m in learnt.standardizations.items()},
        "codings": {
            text: {"levels": list(c.levels), "kind": c.kind, "position": c.position, "marks": dict(c.marks)}
            for text, c in learnt.contrasts.items()
        },
        "polynomials": {
            text: {"low": b.low, "high": b.high, "weights": b.weights.tolist()}
            for text, b in learnt.bases.items()
            if isinstance(b, Polynomial)
        },
        "splines": {
            text: {
                "knots": b.knots.tolist(),
                "degree": b.degree,
                "first": b.first_column,
                "natural": None if b.natural_weights is None else b.natural_weights.tolist(),
            }
            for text, b in learnt.bases.items()
            if isinstance(b, Spline)
        },
    }


def learned_from_json(formula: Formula, written: Mapping[str, Any]) -> tuple[dict[str, Factor], LearnedState]:
    """Read it back, with the factors of the formula as the data had told them.

    Raises TypeError, ValueError or KeyError for whatever does not belong there.
    """
    columns = {text: f.name.name for text, f in formula.factors.items() if isinstance(f, UntypedColumn | Categorical)}
    codings = {text: _contrast_from_json(columns[text], c) for text, c in written["codings"].items()}
    factors: dict[str, Factor] = {}
    for text, factor in formula.factors.items():
        if isinstance(factor, UntypedColumn):
            factor = (
                Categorical(text=text, name=factor.name, contrast=Contrast())
                if text in codings
                else Numeric(text=text, expression=factor.name)
            )
        if isinstance(factor, Categorical) != (text in codings):
            raise ValueError(f"the levels of {text} are not there.")
        factors[text] = factor
    bases: dict[str, Polynomial | Spline] = {text: _polynomial_from_json(b) for text, b in written["polynomials"].items()}
    bases |= {text: _spline_from_json(text, b) for text, b in written["splines"].items()}
    for text, factor in factors.items():
        if isinstance(factor, Basis) and factor.kind != "powers":
            _require_basis(factor, bases[text])
    moves = {text: _standardization_from_json(m) for text, m in written["moves"].items()}
    _require_standardizations(formula, factors, moves)
    return factors, LearnedState(standardizations=moves, contrasts=codings, bases=bases)


def _standardization_from_json(m: Mapping[str, Any]) -> MeanAndDeviation:
    return MeanAndDeviation(mean=_as_finite(m["mean"]), deviation=_as_finite(m["deviation"]), rest=_as_finite(m.get("rest", 0.0)))


def _require_standardizations(formula: Formula, factors: Mapping[str, Factor], moves: Mapping[str, MeanAndDeviation]) -> None:
    expressions = [argument_of(factor) for factor in factors.values() if not isinstance(factor, Categorical)]
    for expression in (*formula.response_and_offsets.values(), *expressions):
        for part in subexpressions(expression):
            if isinstance(part, Standardize) and part.text not in moves:
                raise ValueError(f"the mean of {part.text} is not there.")
            if isinstance(part, Standardize) and part.is_scaled and moves[part.text].deviation < 0:
                raise ValueError(f"the deviation of {part.text} is negative.")


def _require_basis(factor: Basis, made: Polynomial | Spline) -> None:
    if isinstance(made, Polynomial):
        fits = factor.kind == "poly" and made.low < made.high and made.weights.shape == (factor.degree + 1, factor.degree)
    else:
        width = len(made.knots) - made.degree - 1
        natural = None if made.natural_weights is None else made.natural_weights.shape
        fits = (
            factor.kind != "poly"
            and width > made.degree
            and natural == ((width - made.first_column, width - made.first_column - 2) if factor.kind == "ns" else None)
        )
    if not fits:
        raise ValueError(f"the basis of {factor.text} is not of its shape.")


def design_from_json(
    *,
    formula: Formula,
    where: Where | None,
    factors: Mapping[str, Factor],
    learned: LearnedState,
    centers: Array,
    scales: Array,
    scans: int,
) -> Design:
    """Put a design together again; raises ValueError if its columns are not as many as its centres."""
    columns = columns_of(formula, factors, learned)
    if len(columns) + 1 != len(centers):
        raise ValueError(f"the formula makes {len(columns)} columns, and {len(centers) - 1} are written.")
    return Design(
        formula=formula, where=where, factors=factors, learned=learned, columns=columns, centers=centers, scales=scales, scans=scans
    )


def _contrast_from_json(column: str, c: Mapping[str, Any]) -> ContrastCoding:
    levels, position = tuple(c["levels"]), c["position"]
    if len(levels) > MOST_LEVELS:
        raise ValueError(f"a category has {len(levels):,} levels.")
    alike = {str if isinstance(level, str) else float for level in levels}
    if len(alike) != 1 or not all(isinstance(level, str | int | float) for level in levels) or len(set(levels)) < len(levels):
        raise TypeError("levels must be different texts or numbers.")
    if c["kind"] not in ("treatment", "sum") or type(position) is not int or not 0 <= position < len(levels):
        raise ValueError("a contrast is not understood.")
    marks = dict(c.get("marks", {}))  # earlier fits have none
    if not marks.keys() <= set(levels) or not all(type(rows) is int and rows > 0 for rows in marks.values()):
        raise ValueError("the rows of a level are not understood.")
    return ContrastCoding(column=column, levels=levels, kind=c["kind"], position=position, marks=marks)


def _polynomial_from_json(b: Mapping[str, Any]) -> Polynomial:
    return Polynomial(low=_as_finite(b["low"]), high=_as_finite(b["high"]), weights=_as_table(b["weights"]))


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
        raise TypeError(f"{x!r} stands where a number belongs.")
    return float(x)
