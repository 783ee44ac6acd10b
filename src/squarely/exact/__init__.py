"""Road one, exact least squares: `factor` chooses between cross-products and a triangle, `rank` decides which columns are
independent, `condition` measures a factor, `least_squares` solves and refines, `residuals` is the scan that refinement and
inference need, `span` tells whether columns without an intercept span a constant, `whitening` is the scan for standard errors of
ill-conditioned columns; `units` is the way back to the units of the data, `without_rows` solves from solutions
alone, and `determined` says what new rows must keep to be predicted.

Where rows stay in an engine: `aggregates` solves and refines, `dependence` decides rank, and `work` is the way back to the units of
the data.
"""

from squarely.exact.condition_number import condition_of, translate_singular_errors
from squarely.exact.estimability import check_of
from squarely.exact.factorization import SIX_DIGITS, TEN_DIGITS, Factorization, require_same_rows
from squarely.exact.implicit_constant import Span, span_by_sums
from squarely.exact.merge import NOT_IN_MERGE, solve_merged
from squarely.exact.residuals import ResidualSums, column_sums, residuals_of
from squarely.exact.solution import MergeRecord, Shard, Solution, is_same_shard
from squarely.exact.solve import require_precision, solve_least_squares
from squarely.exact.units import data_unit_transform, standard_error_scale, to_data_units, totals_of, unit_errors
from squarely.exact.whitening import InverseRoot

__all__ = [
    "NOT_IN_MERGE",
    "SIX_DIGITS",
    "TEN_DIGITS",
    "Factorization",
    "InverseRoot",
    "MergeRecord",
    "ResidualSums",
    "Shard",
    "Solution",
    "Span",
    "check_of",
    "column_sums",
    "condition_of",
    "data_unit_transform",
    "is_same_shard",
    "require_precision",
    "require_same_rows",
    "residuals_of",
    "solve_least_squares",
    "solve_merged",
    "span_by_sums",
    "standard_error_scale",
    "to_data_units",
    "totals_of",
    "translate_singular_errors",
    "unit_errors",
]
