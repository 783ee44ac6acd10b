"""Road one, exact least squares: `factor` chooses between cross-products and a triangle, `rank` decides which columns are
independent, `condition` measures a factor, `least_squares` solves and refines, `residuals` is the scan that refinement and
inference need, `span` tells whether columns without an intercept span a constant, `whitening` is the scan for standard errors of
ill-conditioned columns; `units` is the way back to the units of the data, `without_rows` solves from solutions
alone, and `determined` says what new rows must keep to be predicted.

Where rows stay in an engine: `aggregates` solves and refines, `dependence` decides rank, and `work` is the way back to the units of
the data.
"""

from squarely.exact.condition import condition_of, telling_singular
from squarely.exact.dependence import UntoldError
from squarely.exact.determined import check_of
from squarely.exact.factor import SIX_DIGITS, TEN_DIGITS, Factor, require_same_rows
from squarely.exact.least_squares import Merger, Shard, Solution, is_same_shard, require_precision, solve, spread_of
from squarely.exact.residuals import ResidualSums, column_sums, residuals_of
from squarely.exact.span import Span, span_by_sums
from squarely.exact.units import to_units, totals_of, unit_errors, unscaling
from squarely.exact.whitening import Root
from squarely.exact.without_rows import NEVER_IN, solve_without_rows

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
    "UntoldError",
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
