"""What the columns of X are: from the text of a formula to columns of rows.

The text: `reading` knows where everything stands, `formula` and `expansion` make terms of it by the algebra in `terms`; `calls`
and `language` read what stands in a call, from a `piece` of Python's grammar, into `factor` and `expression`; `condition` is
`where=`; `slips` knows what people write instead. The rows: `outline` plans by `topics` what has to be learnt, `learning` takes
`lessons` from them, levels (`categories`), bases (`basis`), means and centres, once; `design` freezes them, `columns` names what
they make and `layout` says how these are held, `iter_blocks` makes a `block` of columns of rows, `prediction` predicts new ones, and
`frozen` is all of it as plain values, for a file. Where rows stay in an engine: `asking` learns from it, `complete_rows_query` is the rows that
are used and `counting` their account, `saying` says expressions to it, and `monomials_of` tells which columns may be moved.
`rounding` bounds what computed columns have lost. Several
designs: `likeness` says whether they are of one model, `union` makes one of them, `translation` writes the columns of one in
those of another.
"""

from squarely.design.design import Design, with_centers
from squarely.design.encoding.basis import Polynomial
from squarely.design.encoding.layout import FactorColumn
from squarely.design.engine.complete_rows import CompleteRows, complete_rows_query, row_account_in_engine
from squarely.design.engine.monomials import Atom, Monomial, Powers, centerable_atoms, expand_shift, lower_power, monomials_of
from squarely.design.engine.narwhals_expressions import polynomial_stages, spline_stages
from squarely.design.formula.expression import Name
from squarely.design.formula.factors import Basis, Categorical, argument_of
from squarely.design.formula.formula import INTERCEPT, Formula, formula_of, parse_formula
from squarely.design.formula.where import Where, parse_where
from squarely.design.learning.from_rows import learn_from_rows, map_first_block, no_rows_error
from squarely.design.learning.in_engine import learn_in_engine
from squarely.design.learning.plan import DesignPlan, describe_pass, plan_design
from squarely.design.matrix.block import Block, IndicatorColumn, ScaledBlock, dense_table, scaled_blocks, take_indicators
from squarely.design.matrix.columns import derivations
from squarely.design.matrix.model_matrix import fold_blocks, iter_blocks, map_blocks
from squarely.design.matrix.prediction import Check, LinearPredictor, iter_predictions, predict_batches, require_rank_deficient
from squarely.design.merging.compatibility import require_compatible
from squarely.design.merging.recoding import Combination, Product, indicators, products, recode
from squarely.design.merging.union import union_of, without_levels
from squarely.design.rounding import RoundingModel, add_bounds, is_zero_factor, multiply_bound, product_bound

__all__ = [
    "INTERCEPT",
    "Atom",
    "Basis",
    "Block",
    "Categorical",
    "Check",
    "Combination",
    "CompleteRows",
    "Design",
    "DesignPlan",
    "FactorColumn",
    "Formula",
    "IndicatorColumn",
    "LinearPredictor",
    "Monomial",
    "Name",
    "Polynomial",
    "Powers",
    "Product",
    "RoundingModel",
    "ScaledBlock",
    "Where",
    "add_bounds",
    "argument_of",
    "centerable_atoms",
    "complete_rows_query",
    "dense_table",
    "derivations",
    "describe_pass",
    "expand_shift",
    "fold_blocks",
    "formula_of",
    "indicators",
    "is_zero_factor",
    "iter_blocks",
    "iter_predictions",
    "learn_from_rows",
    "learn_in_engine",
    "lower_power",
    "map_blocks",
    "map_first_block",
    "monomials_of",
    "multiply_bound",
    "no_rows_error",
    "parse_formula",
    "parse_where",
    "plan_design",
    "polynomial_stages",
    "predict_batches",
    "product_bound",
    "products",
    "recode",
    "require_compatible",
    "require_rank_deficient",
    "row_account_in_engine",
    "scaled_blocks",
    "spline_stages",
    "take_indicators",
    "union_of",
    "with_centers",
    "without_levels",
]
