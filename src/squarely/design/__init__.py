"""What the columns of X are: from the text of a formula to columns of rows.

The text: `reading` knows where everything stands, `formula` and `expansion` make terms of it by the algebra in `terms`; `calls`
and `language` read what stands in a call, from a `piece` of Python's grammar, into `factor` and `expression`; `condition` is
`where=`; `slips` knows what people write instead. The rows: `learning` takes `lessons` from them, levels (`categories`), bases
(`basis`), means and centres, once; `design` freezes them, `columns` names what they make, `rows` makes columns of rows, and
`frozen` is all of it as plain values, for a file. Where rows stay in an engine: `asking` learns
from it, `sheet` is the rows that are used and `counting` their account, `translation` says expressions to it, and `monomials` tells
which columns may be moved to a centre.
"""

from squarely.design.asking import ask
from squarely.design.basis import Polynomial
from squarely.design.columns import derivations
from squarely.design.condition import Where, parse_where
from squarely.design.counting import counted_rows
from squarely.design.design import Design, Part, recentred
from squarely.design.expression import Name
from squarely.design.factor import Basis, Categorical, expression_of
from squarely.design.formula import INTERCEPT, Formula, formula_of, parse_formula
from squarely.design.learning import learn, nothing
from squarely.design.monomials import Atom, Monomial, Powers, expanded, lowered, monomials, movable
from squarely.design.rows import Block, linear_predictor, rows
from squarely.design.sheet import Sheet, sheet
from squarely.design.translation import polynomials, splines

__all__ = [
    "INTERCEPT",
    "Atom",
    "Basis",
    "Block",
    "Categorical",
    "Design",
    "Formula",
    "Monomial",
    "Name",
    "Part",
    "Polynomial",
    "Powers",
    "Sheet",
    "Where",
    "ask",
    "counted_rows",
    "derivations",
    "expanded",
    "expression_of",
    "formula_of",
    "learn",
    "linear_predictor",
    "lowered",
    "monomials",
    "movable",
    "nothing",
    "parse_formula",
    "parse_where",
    "polynomials",
    "recentred",
    "rows",
    "sheet",
    "splines",
]
