"""Road one, exact least squares: `factor` chooses between cross-products and a triangle, `rank` decides which columns are
independent, `condition` measures a factor, `least_squares` solves and refines, `residuals` is the scan that refinement and
inference need, `span` tells whether columns without an intercept span a constant, `whitening` is the scan for standard errors of
ill-conditioned columns; `units` is the way back to the units of the data, `without_rows` solves from solutions
alone, and `determined` says what new rows must keep to be predicted.

Where rows stay in an engine: `aggregates` solves and refines, `dependence` decides rank, and `work` is the way back to the units of
the data.
"""

from squarely.exact.condition_number import condition_of, telling_singular
from squarely.exact.estimability import check_of
from squarely.exact.factorization import SIX_DIGITS, TEN_DIGITS, Factor, require_same_rows
from squarely.exact.implicit_constant import Span, span_by_sums
from squarely.exact.merge import NEVER_IN, solve_without_rows
from squarely.exact.residuals import ResidualSums, column_sums, residuals_of
from squarely.exact.solution import Merger, Shard, Solution, is_same_shard
from squarely.exact.solve import require_precision, solve
from squarely.exact.units import spread_of, to_units, totals_of, unit_errors, unscaling
from squarely.exact.whitening import Root

__all__ = [
    "NEVER_IN",
    "SIX_DIGITS",
    "TEN_DIGITS",
    "Factor",
    "Merger",
    "ResidualSums",
    "Root",
    "Shard",
    "Solution",
    "Span",
    "check_of",
    "column_sums",
    "condition_of",
    "is_same_shard",
    "require_precision",
    "require_same_rows",
    "residuals_of",
    "solve",
    "solve_without_rows",
    "span_by_sums",
    "spread_of",
    "telling_singular",
    "to_units",
    "totals_of",
    "unit_errors",
    "unscaling",
]
