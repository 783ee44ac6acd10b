"""The part of a script that makes the columns: the terms of the formula in NumPy, with the numbers that the design learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from squarely.descent.codegen.expressions import Fields, expression_code
from squarely.descent.codegen.python_text import array_literal, call, dict_literal, literal, number_literal, remark, statement
from squarely.descent.codegen.rows import level_use
from squarely.design import (
    Basis,
    Categorical,
    Column,
    ContrastCoding,
    Design,
    Expression,
    Factor,
    Name,
    Numeric,
    Polynomial,
    argument_of,
)
from squarely.numerics import Array

_EXPRESSIONS = """
# The computed columns. squarely computes in double-double and rounds once; NumPy rounds at every
# step, so the last digit can differ. Rows where a value is not finite, such as log(0), are left out.
computed = pd.DataFrame(index=rows.index)
with np.errstate(all="ignore"):"""
_FINITE_ROWS = """finite = np.isfinite(computed).all(axis=1)
rows, computed = rows[finite], computed[finite]"""
_NATURAL = ", combined so that they are straight at the ends"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _ColumnWriter:
    """A design, and the names of its parts in the script: keys in the frame `computed`, and variables with columns of bases."""

    design: Design
    fields: Fields
    expression_keys: Mapping[Expression, str]
    tables: Mapping[str, str]

    def value_code(self, expression: Expression) -> str:
        """Write the value of an expression."""
        if expression in self.expression_keys:
            return f"computed[{literal(self.expression_keys[expression])}]"
        return expression_code(expression, self.fields, self.design.learned.standardizations)


def columns_code(design: Design, fields: Fields) -> list[str]:
    """Write the statements that make `columns`, a dict of the columns of X, and `y`, from the frame `rows`."""
    bases = [f for f in design.factors.values() if isinstance(f, Basis) and f.kind != "powers"]
    tables = {factor.text: f"basis_{i}" for i, factor in enumerate(bases, start=1)}
    writer = _ColumnWriter(design=design, fields=fields, expression_keys=_name_expressions(design), tables=tables)
    lines = []
    if writer.expression_keys:
        learned = design.learned.standardizations
        values = {key: expression_code(expression, fields, learned) for expression, key in writer.expression_keys.items()}
        lines = [_EXPRESSIONS, *(f"    computed[{literal(key)}] = {value}" for key, value in values.items()), _FINITE_ROWS]
    lines += _weights_code(writer)
    for factor in bases:
        lines += _basis_code(writer, factor)
    lines += ["", f"# The columns of X.{_contrasts_remark(design)}"]
    codes = [_column_code(writer, column) for column in design.columns]
    lines += [statement("columns = ", dict_literal(dict(zip(column_keys(design), codes, strict=True))))]
    lines += ['X = np.column_stack(list(columns.values())).astype("float64")  # (n, features)']
    return [*lines, *_response_code(writer)]


def column_keys(design: Design) -> list[str]:
    """Return the names of the columns of X; the second of two equal names gets a number."""
    keys: dict[str, None] = {}
    for column in design.columns:
        name, count = column.name, 1
        while name in keys:
            count += 1
            name = f"{column.name} ({count})"
        keys[name] = None
    return list(keys)


def is_exact(design: Design) -> bool:
    """Return whether the script's columns equal ours to the last bit: data, dummies, and products of at most two columns."""
    numeric = {text for text, factor in design.factors.items() if not isinstance(factor, Categorical)}
    is_simple = all(sum(text in numeric for text, _, _ in column.parts) <= 2 for column in design.columns)
    return is_simple and not _name_expressions(design) and not any(isinstance(f, Basis) for f in design.factors.values())


def _name_expressions(design: Design) -> dict[Expression, str]:
    """Name the expressions that are more than a column, in the order of the formula."""
    expressions = dict(design.formula.row_expressions)
    for text, factor in design.factors.items():
        if not isinstance(factor, Categorical):
            expressions[f"the argument of {text}" if isinstance(factor, Basis) else text] = argument_of(factor)
    keys: dict[Expression, str] = {}
    for text, expression in expressions.items():
        if not isinstance(expression, Name):
            keys.setdefault(expression, text)
    return keys


def _basis_code(writer: _ColumnWriter, factor: Basis) -> list[str]:
    basis, table = writer.design.learned.bases[factor.text], writer.tables[factor.text]
    weights = basis.weights if isinstance(basis, Polynomial) else basis.natural_weights
    if isinstance(basis, Polynomial):
        half = (basis.high - basis.low) / 2
        middle = basis.low + half
        mapped = f"(x {'-' if middle >= 0 else '+'} {number_literal(abs(middle))}) / {number_literal(half)}"
        about = [
            "# Chebyshev polynomials of the argument mapped onto [-1, 1], combined so that they are",
            "# orthogonal over the rows of the run.",
        ]
        values = call("np.polynomial.chebyshev.chebvander", [mapped, str(len(basis.weights) - 1)])
        lines = [statement(f"{table} = ", values)]
    else:
        count = len(basis.knots) - basis.degree - 1
        selected = f"[:, {basis.first_column}:]" if basis.first_column else ""
        about = [f"# B-splines on the knots of the run{'' if weights is None else _NATURAL}."]
        knots = statement("knots = ", array_literal(basis.knots.tolist()))
        lines = [knots, f"{table} = BSpline(knots, np.eye({count}), {basis.degree})(x){selected}"]
    if weights is not None:
        lines += [statement(f"{table} = {table} @ ", array_literal(weights.tolist()))]
    return ["", f"# {remark(factor.text)}:", *about, f"x = {writer.value_code(factor.argument)}", *lines]


def _weights_code(writer: _ColumnWriter) -> list[str]:
    formula = writer.design.formula
    if formula.weights is None:
        return []
    return [
        "",
        f"# The {next(iter(formula.weights_option))}. Rows of weight zero are left out.",
        f"weights = {writer.value_code(formula.weights.expression)}",
        "positive = weights > 0",
        *(["computed = computed[positive]"] if writer.expression_keys else []),
        "rows, weights = rows[positive], weights[positive].to_numpy()[:, None]  # (n, 1)",
    ]


def _contrasts_remark(design: Design) -> str:
    """Write which level the others of a category are compared with."""
    return "".join(
        f"\n# {remark(coding.levels[coding.position])} is "
        f"{'the reference of' if coding.kind == 'treatment' else '-1 in all columns of'} {remark(text)}."
        for text, coding in design.categories.items()
    )


def _column_code(writer: _ColumnWriter, column: Column) -> str:
    parts = [_factor_column_code(writer, writer.design.factors[text], full, i) for text, full, i in column.parts]
    if len(parts) == 1:
        return parts[0][0]
    return " * ".join(text if is_atom else f"({text})" for text, is_atom in parts)


def _factor_column_code(writer: _ColumnWriter, factor: Factor, full: bool, i: int) -> tuple[str, bool]:
    """Write one column of one factor; also return whether it needs no brackets in a product."""
    if isinstance(factor, Categorical):
        return _level_code(writer.fields, writer.design.learned.contrasts[factor.text], full, i)
    if isinstance(factor, Numeric):
        return writer.value_code(factor.expression), True
    if factor.text in writer.tables:
        return f"{writer.tables[factor.text]}[:, {i}]", True
    x = writer.value_code(argument_of(factor))
    return (x, True) if i == 0 else (f"{x} ** {i + 1}", False)


def _level_code(fields: Fields, coding: ContrastCoding, full: bool, i: int) -> tuple[str, bool]:
    """Write a column of the matrix of a coding: 1 for one level, and in sum coding -1 for another."""
    column = coding.matrix(full=full)[:, i]
    if column.all() and (column == column[0]).all():
        return "np.ones(len(rows))", True
    plus = _level_comparison_code(fields, coding, column, 1.0)
    if not (column < 0).any():
        return plus, False
    return f"1.0 * ({plus}) - ({_level_comparison_code(fields, coding, column, -1.0)})", False


def _level_comparison_code(fields: Fields, coding: ContrastCoding, column: Array, value: float) -> str:
    level, use = coding.levels[int(np.flatnonzero(column == value)[0])], level_use(coding.levels)
    shown = literal(str(level) if use == "text" else float(level) if isinstance(level, bool) else level)
    return f"rows[{literal(fields[coding.column, use])}] == {shown}"


def _response_code(writer: _ColumnWriter) -> list[str]:
    formula = writer.design.formula
    lines = [f"y = {writer.value_code(formula.response.expression)}.to_numpy()  # (n,)"]
    offsets = [f"{writer.value_code(offset.expression)}.to_numpy()" for offset in formula.offsets]
    if offsets:
        lines += ["", "# The offset, whose coefficient is one.", f"total_offset = {offsets[0]}"]
        lines += [f"total_offset = total_offset + {offset}" for offset in offsets[1:]]
        lines += ["y = y - total_offset"]
    return lines
