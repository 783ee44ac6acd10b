"""Notes on numbers in the first rows that a person would not read as quantities: dates, and marks for a missing value."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squarely.design.design import Design
from squarely.design.encoding.dates import are_dates
from squarely.design.formula.expression import Name
from squarely.design.formula.factors import Numeric
from squarely.design.matrix.block import Block
from squarely.errors import option_hint, pluralize
from squarely.numerics import Array

_MARKS = (99.99, 999.0, 999.9, 999.99, 9999.0, 9999.9, 9999.99, 99999.0, 99999.9, 999999.0)
_NEGATIVE_MARKS = (9.0, 99.0, 99.9, *_MARKS)
_FEWEST_OTHERS = 3  # different values beside a mark
_SURE = 999.0  # a negative mark of this size is noted from one row on, if nothing else is below zero
_FAR = 5.0  # times the size of the other values, where a mark may be a value


def describe_odd_values(design: Design, block: Block) -> tuple[str, ...]:
    """Return a note for each column named alone whose values in a block look like dates or have a mark for a missing value."""
    notes = []
    for name, values in _plain_columns(design, block):
        if are_dates(values):
            notes.append(
                f"The values of {name} look like dates, such as {values[0]:.0f}, whose steps are not even. Convert them to a "
                "number with a unit, such as the months since the first."
            )
        elif (mark := find_mark(values)) is not None:
            where = option_hint("where", f"{name if name.isidentifier() else f'`{name}`'} != {mark:g}")
            notes.append(
                f"{name} is {mark:g} in {pluralize(int((values == mark).sum()), 'row')} of the first {len(values):,}, which looks "
                f"like a mark for a missing value. If it is one, leave such rows out with {where}."
            )
    return tuple(notes)


def find_mark(values: Array) -> float | None:
    """Return an extreme value that marks gaps, such as -999: nines, far from the others or alone below zero, in several rows.

    One row is enough from -999 on, if no other value is below zero.

    >>> find_mark(np.array([3.0, 5.0, 4.0, -999.0, -999.0])), find_mark(np.array([3.0, 5.0, 4.0, -9.0, 2.0]))
    (-999.0, None)
    """
    for mark, marks in ((float(values.min()), _NEGATIVE_MARKS), (float(values.max()), _MARKS)):
        if abs(mark) not in marks or (mark > 0) != (marks is _MARKS):
            continue
        others = values[values != mark]
        if len(np.unique(others)) < _FEWEST_OTHERS:
            continue
        if len(values) - len(others) < 2 and not (mark <= -_SURE and others.min() >= 0):
            continue
        if abs(mark) > _FAR * float(np.abs(others).max()) or (mark < 0 <= others.min()):
            return mark
    return None


def _plain_columns(design: Design, block: Block) -> Iterator[tuple[str, Array]]:
    """Yield the names and the values of the columns of the data that are columns of X, and of the response."""
    factors = [design.factors.get(column.parts[0][0]) if len(column.parts) == 1 else None for column in design.columns]
    expressions = [factor.expression if isinstance(factor, Numeric) else None for factor in factors]
    expressions.append(design.formula.response.expression if block.offset is None else None)
    for place, (values, _) in zip(design.layout.dense, block.dense, strict=True):
        expression = expressions[place]
        if isinstance(expression, Name):
            yield expression.name, values
