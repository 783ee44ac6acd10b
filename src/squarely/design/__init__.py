"""What the columns of X are: from the text of a formula to columns of rows.

The text: `reading` knows where everything stands, `formula` and `expansion` make terms of it by the algebra in `terms`; `calls`
and `language` read what stands in a call, from a `piece` of Python's grammar, into `factor` and `expression`; `condition` is
`where=`; `slips` knows what people write instead. The rows: `outline` plans by `topics` what has to be learnt, `learning` takes
`lessons` from them, levels (`categories`), bases (`basis`), means and centres, once; `design` freezes them, `columns` names what
they make and `layout` says how these are held, `rows` makes a `block` of columns of rows, `prediction` predicts new ones, and
`frozen` is all of it as plain values, for a file. Where rows stay in an engine: `asking` learns from it, `sheet` is the rows that
are used and `counting` their account, `saying` says expressions to it, and `monomials` tells which columns may be moved.
`rounding` bounds what computed columns have lost. Several
designs: `likeness` says whether they are of one model, `union` makes one of them, `translation` writes the columns of one in
those of another.
"""

from squarely.design.design import Design, recentred
from squarely.design.encoding.basis import Polynomial
from squarely.design.encoding.layout import Part
from squarely.design.engine.complete_rows import Sheet, counted_rows, sheet
from squarely.design.engine.monomials import Atom, Monomial, Powers, expanded, lowered, monomials, movable
from squarely.design.engine.narwhals_expressions import polynomials, splines
from squarely.design.formula.expression import Name
from squarely.design.formula.factors import Basis, Categorical, expression_of
from squarely.design.formula.formula import INTERCEPT, Formula, formula_of, parse_formula
from squarely.design.formula.where import Where, parse_where
from squarely.design.learning.from_rows import glanced, learn, nothing
from squarely.design.learning.in_engine import ask
from squarely.design.learning.plan import Outline, outlined, purpose
from squarely.design.matrix.block import Block, Piece, Spread, gathered, pieces, whole_table
from squarely.design.matrix.columns import derivations
from squarely.design.matrix.model_matrix import fold_rows, map_rows, rows
from squarely.design.matrix.prediction import Check, Line, linear_predictor, predicted, require_rank_deficient
from squarely.design.merging.compatibility import require_alike
from squarely.design.merging.recoding import Combination, Product, indicators, products, translated
from squarely.design.merging.union import reduced, united
from squarely.design.rounding import Arithmetics, added, of_product, times, vanishes

__all__ = [
    "INTERCEPT",
    "Arithmetics",
    "Atom",
    "Basis",
    "Block",
    "Categorical",
    "Check",
    "Combination",
    "Design",
    "Formula",
    "Line",
    "Monomial",
    "Name",
    "Outline",
    "Part",
    "Piece",
    "Polynomial",
    "Powers",
    "Product",
    "Sheet",
    "Spread",
    "Where",
    "added",
    "ask",
    "counted_rows",
    "derivations",
    "expanded",
    "expression_of",
    "fold_rows",
    "formula_of",
    "gathered",
    "glanced",
    "indicators",
    "learn",
    "linear_predictor",
    "lowered",
    "map_rows",
    "monomials",
    "movable",
    "nothing",
    "of_product",
    "outlined",
    "parse_formula",
    "parse_where",
    "pieces",
    "polynomials",
    "predicted",
    "products",
    "purpose",
    "recentred",
    "reduced",
    "require_alike",
    "require_rank_deficient",
    "rows",
    "sheet",
    "splines",
    "times",
    "translated",
    "united",
    "vanishes",
    "whole_table",
]
