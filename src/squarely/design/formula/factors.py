"""The operands of a formula: a column, an expression, categories, or a basis of several columns."""

from __future__ import annotations

from dataclasses import dataclass

from squarely.data import Level
from squarely.design.formula.expression import Expression, Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """How the levels of a categorical column become columns.

    Attributes
    ----------
    kind : "treatment" or "sum".
    level : the reference level of "treatment", the omitted one of "sum"; None for the first and the last.
    place : the place of the reference level instead of `level`, counted from one as in R's `base`.
    levels : the levels in order, or None for sorted.
    """

    kind: str = "treatment"
    level: Level = None
    place: int | None = None
    levels: tuple[Level, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UntypedColumn:
    """A column named alone: the data decide whether it holds numbers or categories."""

    text: str
    name: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeric:
    """An expression that makes one column."""

    text: str
    expression: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Categorical:
    """A column as categories; `is_untyped` if the formula names the column alone."""

    text: str
    name: Name
    contrast: Contrast = Contrast()
    is_untyped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """Several columns of one expression.

    Attributes
    ----------
    kind : "poly" (orthogonal), "powers", "bs" or "ns".
    degree : of the polynomial, or of the pieces of a spline.
    df : number of columns of a spline, from which its knots follow; None if `knots` are listed.
    knots : inner knots of a spline.
    intercept : whether the spline's span has the constant.
    """

    text: str
    kind: str
    argument: Expression
    degree: int
    df: int | None = None
    knots: tuple[float, ...] | None = None
    intercept: bool = False


Factor = UntypedColumn | Numeric | Categorical | Basis


def argument_of(factor: Factor) -> Expression:
    """Return the expression inside a factor."""
    if isinstance(factor, Numeric):
        return factor.expression
    return factor.argument if isinstance(factor, Basis) else factor.name
