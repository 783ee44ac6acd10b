"""The calls that make factors: C for categories, poly, bs and ns for bases; whatever else stands in a call is arithmetic."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from squarely.design.formula.expression import Expression, Name, column_names
from squarely.design.formula.expression_parser import parse_numeric
from squarely.design.formula.factors import Basis, Categorical, Contrast, Factor, Numeric
from squarely.design.formula.python_syntax import (
    PythonFragment,
    callee,
    is_list_of_labels,
    match_arguments,
    normalize_spaces,
    parse_constant,
    parse_fragment,
)
from squarely.design.formula.source_text import SourceText
from squarely.errors import suggest_name

_MOST_COLUMNS = 100  # of one basis
_MOST_KNOTS = 1000
_CONTRASTS = {
    "Treatment": ("treatment", "reference"),
    "Sum": ("sum", "omit"),
    "contr.treatment": ("treatment", "base"),
    "contr.sum": ("sum", "omit"),
}


def parse_factor(read: SourceText, start: int, end: int) -> Factor:
    """Read what stands between two operators and is not a plain name."""
    piece, node = parse_fragment(read, start, end)
    text = read.restore_quotes(normalize_spaces(piece.source))
    if isinstance(node, ast.Call):
        called = callee(piece, node)
        if called in _FACTORS:
            return _FACTORS[called](piece, node, text)
    expression = parse_numeric(piece, node)
    if not column_names(expression):
        raise piece.formula_error(
            f"{text!r} has no column in it, so it is the same in every row. Take it out; 1 stands for the intercept.", node
        )
    return Numeric(text=text, expression=expression)


def _parse_categorical(piece: PythonFragment, node: ast.Call, text: str) -> Categorical:
    given = match_arguments(piece, node, ["x", "contrast", "levels"])
    name = parse_numeric(piece, given["x"])
    if not isinstance(name, Name):
        raise piece.formula_error(
            "C(...) takes the name of one column. Make a column of it in your data if it is computed.", given["x"]
        )
    levels = parse_constant(piece, given["levels"]) if "levels" in given else None
    if levels is not None and (not is_list_of_labels(levels) or len(set(levels)) < len(levels)):
        raise piece.formula_error("levels wants a list of different levels, such as levels=['a', 'b'].", given["levels"])
    contrast = Contrast(levels=levels)
    if "contrast" in given:
        contrast = _parse_contrast(piece, given["contrast"], levels)
    return Categorical(text=text, name=name, contrast=contrast)


def _parse_contrast(piece: PythonFragment, node: ast.expr, levels: tuple[Any, ...] | None) -> Contrast:
    word = piece.text(node.func if isinstance(node, ast.Call) else node)
    if word not in _CONTRASTS:
        raise piece.formula_error(f"This contrast is not known. {suggest_name(word, _CONTRASTS)}", node)
    kind, option = _CONTRASTS[word]
    if not (isinstance(node, ast.Call) and (node.args or node.keywords)):
        return Contrast(kind=kind, levels=levels)
    level = parse_constant(piece, match_arguments(piece, node, [option])[option])
    if not isinstance(level, str | int | float):
        raise piece.formula_error(f"{option} names one level, such as {option}='a'.", node)
    if option == "base" and isinstance(level, int):
        return Contrast(kind=kind, place=level, levels=levels)
    return Contrast(kind=kind, level=level, levels=levels)


def _parse_poly(piece: PythonFragment, node: ast.Call, text: str) -> Basis:
    given = match_arguments(piece, node, ["x", "degree", "raw"])
    degree = _parse_int(piece, given, "degree", 1, least=1)
    raw = _parse_bool(piece, given, "raw")
    return Basis(text=text, kind="powers" if raw else "poly", argument=_parse_argument(piece, given["x"]), degree=degree)


def _parse_spline(piece: PythonFragment, node: ast.Call, text: str) -> Basis:
    kind = callee(piece, node)
    known = ["x", "df", "knots", "degree", "include_intercept"] if kind == "bs" else ["x", "df", "knots", "include_intercept"]
    if any(keyword.arg == "intercept" for keyword in node.keywords):
        known[-1] = "intercept"  # R's word for it
    given = match_arguments(piece, node, known)
    degree = _parse_int(piece, given, "degree", 3, least=0) if kind == "bs" else 3
    intercept = _parse_bool(piece, given, known[-1])
    knots = None
    if "knots" in given:
        knots = parse_constant(piece, given["knots"])
        knots = (knots,) if isinstance(knots, int | float) else knots
        if not isinstance(knots, tuple) or not all(isinstance(k, int | float) for k in knots) or len(knots) > _MOST_KNOTS:
            raise piece.formula_error("knots wants a list of numbers, such as knots=[10, 20].", given["knots"])
        knots = tuple(sorted(float(k) for k in knots))
    least = 1 if kind == "ns" else degree + (degree == 0 and not intercept)
    df = _parse_int(piece, given, "df", least + intercept, least=least + intercept) if "df" in given else None
    if (df is None) == (knots is None):
        raise piece.formula_error(
            f"{kind}(...) wants either df, such as {kind}(x, df=4), or knots, such as {kind}(x, knots=[10, 20]).", node
        )
    return Basis(
        text=text, kind=kind, argument=_parse_argument(piece, given["x"]), degree=degree, df=df, knots=knots, intercept=intercept
    )


def _parse_argument(piece: PythonFragment, node: ast.expr) -> Expression:
    expression = parse_numeric(piece, node)
    if not column_names(expression):
        raise piece.formula_error("This has no column in it, so it is the same in every row.", node)
    return expression


def _parse_int(piece: PythonFragment, given: Mapping[str, ast.expr], name: str, default: int, *, least: int) -> int:
    if name not in given:
        return default
    value = parse_constant(piece, given[name])
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST_COLUMNS:
        raise piece.formula_error(f"{name} wants a whole number from {least} to {_MOST_COLUMNS} here.", given[name])
    return value


def _parse_bool(piece: PythonFragment, given: Mapping[str, ast.expr], name: str) -> bool:
    value = parse_constant(piece, given[name]) if name in given else False
    if not isinstance(value, bool):
        raise piece.formula_error(f"{name} is True or False.", given[name])
    return value


_FACTORS: Mapping[str, Callable[[PythonFragment, ast.Call, str], Factor]] = {
    "C": _parse_categorical,
    "factor": _parse_categorical,
    "poly": _parse_poly,
    "bs": _parse_spline,
    "ns": _parse_spline,
}
