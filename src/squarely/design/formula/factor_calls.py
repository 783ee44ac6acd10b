"""The calls that make factors: C for categories, poly, bs and ns for bases. Everything else in a call is arithmetic."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import replace

from squarely.design.formula.expression import Expression, Name, column_names
from squarely.design.formula.expression_parser import parse_numeric
from squarely.design.formula.factors import Basis, Categorical, Contrast, Factor, Numeric
from squarely.design.formula.python_syntax import PythonFragment, is_list_of_labels, match_arguments, parse_constant
from squarely.errors import suggest_name

_MOST_COLUMNS = 100  # of one basis
_MOST_KNOTS = 1000
_CONTRASTS = {
    "Treatment": ("treatment", "reference"),
    "Sum": ("sum", "omit"),
    "contr.treatment": ("treatment", "base"),
    "contr.sum": ("sum", "omit"),
}


def parse_factor(piece: PythonFragment, node: ast.expr) -> Factor:
    """Parse the text between two operators, which is not a plain name."""
    text = piece.label()
    if isinstance(node, ast.Call) and (parse := _FACTORS.get(piece.callee(node))):
        return parse(piece, node, text)
    expression = _parse_argument(piece, node, repr(text), "Leave it out; 1 is the intercept.")
    return Numeric(text=text, expression=expression)


def _parse_categorical(piece: PythonFragment, node: ast.Call, text: str) -> Categorical:
    arguments = match_arguments(piece, node, ["x", "contrast", "levels"])
    name = parse_numeric(piece, arguments["x"])
    if not isinstance(name, Name):
        raise piece.error("C(...) takes the name of one column. Make a column of it in your data.", arguments["x"])
    levels = parse_constant(piece, arguments["levels"]) if "levels" in arguments else None
    if levels is not None and (not is_list_of_labels(levels) or len(set(levels)) < len(levels)):
        raise piece.error("levels must be a list of different levels, such as levels=['a', 'b'].", arguments["levels"])
    contrast = _parse_contrast(piece, arguments["contrast"]) if "contrast" in arguments else Contrast()
    return Categorical(text=text, name=name, contrast=replace(contrast, levels=levels))


def _parse_contrast(piece: PythonFragment, node: ast.expr) -> Contrast:
    word = piece.text(node.func if isinstance(node, ast.Call) else node)
    if word not in _CONTRASTS:
        raise piece.error(f"This contrast is not known. {suggest_name(word, _CONTRASTS)}", node)
    kind, option = _CONTRASTS[word]
    if not (isinstance(node, ast.Call) and (node.args or node.keywords)):
        return Contrast(kind=kind)
    level = parse_constant(piece, match_arguments(piece, node, [option])[option])
    if not isinstance(level, str | int | float):
        raise piece.error(f"{option} must name one level, such as {option}='a'.", node)
    if option == "base" and isinstance(level, int):
        return Contrast(kind=kind, place=level)
    return Contrast(kind=kind, level=level)


def _parse_poly(piece: PythonFragment, node: ast.Call, text: str) -> Basis:
    arguments = match_arguments(piece, node, ["x", "degree", "raw"])
    degree = _parse_int(piece, arguments, "degree", 1, least=1)
    raw = _parse_bool(piece, arguments, "raw")
    return Basis(text=text, kind="powers" if raw else "poly", argument=_parse_argument(piece, arguments["x"]), degree=degree)


def _parse_spline(piece: PythonFragment, node: ast.Call, text: str) -> Basis:
    kind = piece.callee(node)
    known = ["x", "df", "knots", "degree", "include_intercept"] if kind == "bs" else ["x", "df", "knots", "include_intercept"]
    if any(keyword.arg == "intercept" for keyword in node.keywords):
        known[-1] = "intercept"  # R's name for it
    arguments = match_arguments(piece, node, known)
    degree = _parse_int(piece, arguments, "degree", 3, least=0) if kind == "bs" else 3
    intercept = _parse_bool(piece, arguments, known[-1])
    knots = None
    if "knots" in arguments:
        knots = parse_constant(piece, arguments["knots"])
        knots = (knots,) if isinstance(knots, int | float) else knots
        if not isinstance(knots, tuple) or not all(isinstance(k, int | float) for k in knots) or len(knots) > _MOST_KNOTS:
            raise piece.error("knots must be a list of numbers, such as knots=[10, 20].", arguments["knots"])
        knots = tuple(sorted(float(k) for k in knots))
    least = 1 if kind == "ns" else degree + (degree == 0 and not intercept)
    df = _parse_int(piece, arguments, "df", least + intercept, least=least + intercept) if "df" in arguments else None
    if (df is None) == (knots is None):
        raise piece.error(
            f"{kind}(...) needs either df, such as {kind}(x, df=4), or knots, such as {kind}(x, knots=[10, 20]).", node
        )
    return Basis(
        text=text,
        kind=kind,
        argument=_parse_argument(piece, arguments["x"]),
        degree=degree,
        df=df,
        knots=knots,
        intercept=intercept,
    )


def _parse_argument(piece: PythonFragment, node: ast.expr, who: str = "This", advice: str = "Name one.") -> Expression:
    expression = parse_numeric(piece, node)
    if not column_names(expression):
        raise piece.error(f"{who} names no column, so it is the same in every row. {advice}", node)
    return expression


def _parse_int(piece: PythonFragment, arguments: Mapping[str, ast.expr], name: str, default: int, *, least: int) -> int:
    if name not in arguments:
        return default
    value = parse_constant(piece, arguments[name])
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST_COLUMNS:
        raise piece.error(f"{name} must be a whole number from {least} to {_MOST_COLUMNS} here.", arguments[name])
    return value


def _parse_bool(piece: PythonFragment, arguments: Mapping[str, ast.expr], name: str) -> bool:
    value = parse_constant(piece, arguments[name]) if name in arguments else False
    if not isinstance(value, bool):
        raise piece.error(f"{name} must be True or False.", arguments[name])
    return value


_FACTORS: Mapping[str, Callable[[PythonFragment, ast.Call, str], Factor]] = {
    "C": _parse_categorical,
    "factor": _parse_categorical,
    "poly": _parse_poly,
    "bs": _parse_spline,
    "ns": _parse_spline,
}
