"""From a formula to the columns of X.

`formula/` parses the text to terms, factors and expressions, `encoding/` makes columns of a factor, and `design.py` has the
`Design`: everything that is fixed once it is learned. `learning/` plans the passes that learn it and runs them on rows or in an
engine. `matrix/` makes the rows of X block by block and predicts, and `engine/` writes them as expressions of an engine.
`rounding.py` bounds rounding errors, `weights.py` checks weights, `merging/` makes one design of several, and `serialize.py` writes
a design as JSON.
"""

from squarely.design.design import Design, derivations, with_centers
from squarely.design.encoding.absorbed_effects import AbsorbedEffects
from squarely.design.encoding.basis import Polynomial, Spline
from squarely.design.encoding.categories import ContrastCoding
from squarely.design.encoding.layout import Column, FactorColumn
from squarely.design.encoding.numbers_as_text import is_missing_word, numbers_in
from squarely.design.engine.complete_rows import (
    CompleteRows,
    complete_rows_query,
    require_weights_in_engine,
    row_account_in_engine,
)
from squarely.design.engine.monomials import Atom, Monomial, Powers, centerable_atoms, expand_shift, lower_power, monomials_of
from squarely.design.engine.narwhals_expressions import polynomial_stages, spline_stages
from squarely.design.formula.expression import (
    Arithmetic,
    Expression,
    Function,
    MeanAndDeviation,
    Name,
    Number,
    Standardize,
    column_names,
    evaluate,
    standardizations_in,
)
from squarely.design.formula.factors import Basis, Categorical, Factor, Numeric, argument_of
from squarely.design.formula.formula import (
    Formula,
    formula_of,
    needs_backticks,
    parse_formula,
    parse_responses,
    parse_weights,
    shorten_formula,
)
from squarely.design.formula.source_text import SourceText, split_responses
from squarely.design.formula.where import (
    COMPARISONS,
    BooleanOperation,
    Comparison,
    Condition,
    IsIn,
    Where,
    parse_where,
)
from squarely.design.learning.from_rows import learn_from_rows
from squarely.design.learning.in_engine import learn_in_engine
from squarely.design.learning.new_levels import learn_new_levels
from squarely.design.learning.pilot import map_first_block
from squarely.design.learning.plan import DesignPlan, describe_pass, no_rows_error, plan_design, require_named
from squarely.design.matrix.block import Block, IndicatorColumn, ScaledBlock, dense_table, scaled_blocks, take_indicators
from squarely.design.matrix.dependencies import Check
from squarely.design.matrix.factor_values import DATA_COLUMN, FactorValues, factor_of, is_column_alone
from squarely.design.matrix.model_matrix import fold_blocks, fold_response_blocks, iter_blocks
from squarely.design.matrix.prediction import (
    LinearPredictor,
    PredictedRows,
    iter_fitted_rows,
    iter_predictions,
    predict_batches,
    predict_columns,
    require_rank_deficient,
    warn,
)
from squarely.design.matrix.prediction_file import require_other_file, write_predictions
from squarely.design.matrix.standard_errors import StandardErrors
from squarely.design.merging.recoding import Combination, Product, indicators, products, recode, with_sum_contrasts
from squarely.design.merging.union import require_compatible, union_of, without_levels
from squarely.design.rounding import RoundingModel, add_bounds, is_zero_factor, multiply_bound, product_bound
from squarely.design.serialize import learned_from_json, learned_to_json
from squarely.design.serialize_effects import effects_from_json, effects_to_json
from squarely.design.weights import require_finite_weights
