"""The part of a script that makes the columns: every term of the formula as an expression of NumPy, what was learnt as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from squarely.descent.codegen.expressions import Fields, written
from squarely.descent.codegen.python_text import Group, array, call, literal, number, remark, statement
from squarely.descent.codegen.rows import level_use
from squarely.design import Design
from squarely.design.encoding.basis import Polynomial, Spline
from squarely.design.encoding.categories import ContrastCoding
from squarely.design.encoding.layout import Column
from squarely.design.formula.expression import Expression, Name
from squarely.design.formula.factors import Basis, Categorical, Factor, Numeric, argument_of
from squarely.numerics import Array

_EXPRESSIONS = """
# What the formula computes. squarely does so in double-double and rounds once; NumPy rounds at
# every step, so a last digit can differ. A row without a finite value, such as log(0), is left out.
made = pd.DataFrame(index=rows.index)
with np.errstate(all="ignore"):"""
_FINITE = """finite = np.isfinite(made).all(axis=1)
rows, made = rows[finite], made[finite]"""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Writer:
    """A design on its way to become text: the names that its parts have in the script.

    Attributes
    ----------
    made : expression -> its key in the frame `made`, for those that are more than a column.
    tables : text of a basis -> the variable that has its columns.
    """

    design: Design
    fields: Fields
    made: Mapping[Expression, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)

    def value(self, expression: Expression) -> str:
        """Write an expression where its value is wanted."""
        if expression in self.made:
            return f"made[{literal(self.made[expression])}]"
        return written(expression, self.fields, self.design.learned.standardizations)


def columns(design: Design, fields: Fields) -> list[str]:
    """Write the statements that make `columns`, a dict of the columns of X, and `y`, from the frame `rows`."""
    bases = [f for f in design.factors.values() if isinstance(f, Basis) and f.kind != "powers"]
    tables = {factor.text: f"basis_{i}" for i, factor in enumerate(bases, start=1)}
    writer = _Writer(design=design, fields=fields, made=_made(design), tables=tables)
    lines = _expressions(writer)
    for factor in bases:
        lines += _basis(writer, factor)
    lines += ["", f"# The columns of X.{_coded(design)}"]
    items = [f"{literal(key)}: {_column(writer, column)}" for key, column in zip(keys(design), design.columns, strict=True)]
    lines += [statement("columns = ", Group("{", tuple(items), "}"))]
    lines += ['X = np.column_stack(list(columns.values())).astype("float64")  # (n, features)']
    return [*lines, *_response(writer)]


def keys(design: Design) -> list[str]:
    """Give the names of the columns of X; where two have the same, the later one gets its number."""
    taken: dict[str, None] = {}
    for column in design.columns:
        name, count = column.name, 1
        while name in taken:
            count += 1
            name = f"{column.name} ({count})"
        taken[name] = None
    return list(taken)


def uses_splines(design: Design) -> bool:
    """Tell whether the columns need scipy."""
    return any(isinstance(basis, Spline) for basis in design.learned.bases.values())


def is_exact(design: Design) -> bool:
    """Tell whether the script's columns are ours bit by bit: columns of the data, dummies, and products of at most two columns."""
    numeric = {text for text, factor in design.factors.items() if not isinstance(factor, Categorical)}
    is_simple = all(sum(text in numeric for text, _, _ in column.parts) <= 2 for column in design.columns)
    return is_simple and not _made(design) and not any(isinstance(f, Basis) for f in design.factors.values())


def _made(design: Design) -> dict[Expression, str]:
    """Name the expressions that are more than a column, in the order in which the formula has them."""
    found = dict(design.formula.response_and_offsets)
    for text, factor in design.factors.items():
        if not isinstance(factor, Categorical):
            found[f"the argument of {text}" if isinstance(factor, Basis) else text] = argument_of(factor)
    made: dict[Expression, str] = {}
    for text, expression in found.items():
        if not isinstance(expression, Name):
            made.setdefault(expression, text)
    return made


def _expressions(writer: _Writer) -> list[str]:
    if not writer.made:
        return []
    moves = writer.design.learned.standardizations
    lines = [f"    made[{literal(key)}] = {written(e, writer.fields, moves)}" for e, key in writer.made.items()]
    return [_EXPRESSIONS, *lines, _FINITE]


def _basis(writer: _Writer, factor: Basis) -> list[str]:
    made, x = writer.design.learned.bases[factor.text], writer.value(factor.argument)
    table = writer.tables[factor.text]
    if isinstance(made, Polynomial):
        return _polynomial(made, x, table, factor)
    count = len(made.knots) - made.degree - 1
    kept = f"[:, {made.first_column}:]" if made.first_column else ""
    lines = [
        "",
        f"# {remark(factor.text)}:",
        f"# B-splines on the knots of the run{_natural(made)}.",
        f"x = {x}",
        statement("knots = ", array(made.knots.tolist())),
        f"{table} = BSpline(knots, np.eye({count}), {made.degree})(x){kept}",
    ]
    if made.natural_weights is not None:
        lines += [statement(f"{table} = {table} @ ", array(made.natural_weights.tolist()))]
    return lines


def _natural(made: Spline) -> str:
    return "" if made.natural_weights is None else ", combined so that they are straight at the ends"


def _polynomial(made: Polynomial, x: str, table: str, factor: Basis) -> list[str]:
    half = (made.high - made.low) / 2
    degree = len(made.weights) - 1
    middle = made.low + half
    mapped = f"(x {'-' if middle >= 0 else '+'} {number(abs(middle))}) / {number(half)}"
    return [
        "",
        f"# {remark(factor.text)}:",
        "# Chebyshev polynomials of the argument mapped onto [-1, 1], combined so that they are",
        "# orthogonal over the rows of the run.",
        f"x = {x}",
        statement(f"{table} = ", call("np.polynomial.chebyshev.chebvander", [mapped, str(degree)])),
        statement(f"{table} = {table} @ ", array(made.weights.tolist())),
    ]


def _coded(design: Design) -> str:
    """Say what the categories are compared with."""
    said = []
    for text, coding in design.categories.items():
        what = "the reference of" if coding.kind == "treatment" else "-1 in all columns of"
        said.append(f"\n# {remark(coding.levels[coding.position])} is {what} {remark(text)}.")
    return "".join(said)


def _column(writer: _Writer, column: Column) -> str:
    parts = [_part(writer, writer.design.factors[text], full, i) for text, full, i in column.parts]
    if len(parts) == 1:
        return parts[0][0]
    return " * ".join(text if is_atom else f"({text})" for text, is_atom in parts)


def _part(writer: _Writer, factor: Factor, full: bool, i: int) -> tuple[str, bool]:
    """Write one column of one factor, and tell whether it stands in a product without brackets."""
    if isinstance(factor, Categorical):
        return _level(writer.fields, writer.design.learned.contrasts[factor.text], full, i)
    if isinstance(factor, Numeric):
        return writer.value(factor.expression), True
    if factor.text in writer.tables:
        return f"{writer.tables[factor.text]}[:, {i}]", True
    x = writer.value(argument_of(factor))
    return (x, True) if i == 0 else (f"{x} ** {i + 1}", False)


def _level(fields: Fields, coding: ContrastCoding, full: bool, i: int) -> tuple[str, bool]:
    """Write what the coding's matrix says of a column: 1 for one level, and in sum coding -1 for another."""
    column = coding.matrix(full=full)[:, i]
    if column.all() and (column == column[0]).all():
        return "np.ones(len(rows))", True
    plus = _is_level(fields, coding, column, 1.0)
    if not (column < 0).any():
        return plus, False
    return f"1.0 * ({plus}) - ({_is_level(fields, coding, column, -1.0)})", False


def _is_level(fields: Fields, coding: ContrastCoding, column: Array, value: float) -> str:
    level, use = coding.levels[int(np.flatnonzero(column == value)[0])], level_use(coding.levels)
    shown = literal(str(level) if use == "text" else float(level) if isinstance(level, bool) else level)
    return f"rows[{literal(fields[coding.column, use])}] == {shown}"


def _response(writer: _Writer) -> list[str]:
    formula = writer.design.formula
    lines = [f"y = {writer.value(formula.response.expression)}.to_numpy()  # (n,)"]
    offsets = [f"{writer.value(offset.expression)}.to_numpy()" for offset in formula.offsets]
    if offsets:
        lines += ["", "# The offset, whose coefficient is one.", f"known = {offsets[0]}"]
        lines += [f"known = known + {offset}" for offset in offsets[1:]]
        lines += ["y = y - known"]
    return lines
