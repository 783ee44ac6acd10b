"""What the columns of X are: from the text of a formula to columns of rows.

The text: `reading` knows where everything stands, `formula` and `expansion` make terms of it by the algebra in `terms`; `calls`
and `language` read what stands in a call, from a `piece` of Python's grammar, into `factor` and `expression`; `condition` is
`where=`; `slips` knows what people write instead. The rows: `outline` plans by `topics` what has to be learnt, `learning` takes
`lessons` from them, levels (`categories`), bases (`basis`), means and centres, once; `design` freezes them, `columns` names what
they make and `layout` says how these are held, `rows` makes a `block` of columns of rows, `prediction` predicts new ones, and
`frozen` is all of it as plain values, for a file. Several designs: `likeness` says whether they are of one model, `union` makes one
of them, `translation` writes the columns of one in those of another.
"""

from squarely.design.block import Block, Piece, Spread, gathered, pieces, whole_table
from squarely.design.columns import derivations
from squarely.design.condition import parse_where
from squarely.design.design import Design, recentred
from squarely.design.formula import INTERCEPT, Formula, formula_of, parse_formula
from squarely.design.learning import learn
from squarely.design.likeness import require_alike
from squarely.design.outline import Outline, outlined
from squarely.design.prediction import linear_predictor
from squarely.design.rows import map_rows, rows
from squarely.design.topics import purpose
from squarely.design.translation import Combination, Product, indicators, products, translated
from squarely.design.union import reduced, united

__all__ = [
    "INTERCEPT",
    "Block",
    "Combination",
    "Design",
    "Formula",
    "Outline",
    "Piece",
    "Product",
    "Spread",
    "derivations",
    "formula_of",
    "gathered",
    "indicators",
    "learn",
    "linear_predictor",
    "map_rows",
    "outlined",
    "parse_formula",
    "parse_where",
    "pieces",
    "products",
    "purpose",
    "recentred",
    "reduced",
    "require_alike",
    "rows",
    "translated",
    "united",
    "whole_table",
]
