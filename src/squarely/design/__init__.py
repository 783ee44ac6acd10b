"""What the columns of X are: `formula` reads the text, `design` learns centres and scales once and makes columns of rows."""

from squarely.design.design import Design, frozen, learn, linear_predictor, rows
from squarely.design.formula import INTERCEPT, Formula, parse_formula

__all__ = ["INTERCEPT", "Design", "Formula", "frozen", "learn", "linear_predictor", "parse_formula", "rows"]
