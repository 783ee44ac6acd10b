"""Which columns of X are computed without rounding, and from which columns of the data."""

from __future__ import annotations

from squarely.design.design import Design
from squarely.design.formula.expression import (
    Arithmetic,
    Expression,
    Function,
    Name,
    Number,
    Standardize,
    column_names,
    is_product,
    subexpressions,
)
from squarely.design.formula.factors import Basis, Numeric, argument_of


def derivations(design: Design) -> list[tuple[bool, frozenset[str]]]:
    """Return for each column of X whether it is computed exactly from columns of the data, and which these are.

    Sums, products and whole powers are double-double, so such a column has no rounding. A column of the data is not computed, but
    names itself. A column that uses a function or a basis names nothing.
    """
    derived = []
    for column in design.columns:
        parts = [design.factors[text] for text, _, _ in column.parts if text not in design.categories]
        arguments = [argument_of(factor) for factor in parts]
        is_plain = len(parts) == 1 and isinstance(parts[0], Numeric) and isinstance(arguments[0], Name)
        is_exact = all(isinstance(f, Numeric) or (isinstance(f, Basis) and f.kind == "powers") for f in parts)
        if parts and is_exact and not any(map(_is_rounded, subexpressions(*arguments))):
            derived.append((not is_plain, frozenset(name.name for name in column_names(*arguments))))
        else:
            derived.append((False, frozenset[str]()))
    return derived


def _is_rounded(part: Expression) -> bool:
    if isinstance(part, Arithmetic) and part.operator == "**":
        return not isinstance(part.right, Number) or part.right.value < 0 or not is_product(part.right.value)
    return isinstance(part, Function | Standardize) or (isinstance(part, Arithmetic) and part.operator == "/")
