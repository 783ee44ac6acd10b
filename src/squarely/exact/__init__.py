"""Road one, exact least squares: `factor` chooses between cross-products and a triangle, `rank` decides which columns are
independent, `condition` measures a factor, `least_squares` solves and refines, `residuals` is the scan that refinement and
inference need, `whitening` the one for standard errors of ill-conditioned columns.
"""

from squarely.exact.condition import condition_of
from squarely.exact.factor import Factor, require_same_rows
from squarely.exact.least_squares import Solution, solve, way_back
from squarely.exact.residuals import ResidualSums, column_sums, residuals_of
from squarely.exact.whitening import Root

__all__ = [
    "Factor",
    "ResidualSums",
    "Root",
    "Solution",
    "column_sums",
    "condition_of",
    "require_same_rows",
    "residuals_of",
    "solve",
    "way_back",
]
