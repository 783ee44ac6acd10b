"""Road one, exact least squares: `factor` chooses between cross-products and a triangle, `rank` decides which columns are
independent, `condition` measures a factor, `least_squares` solves and refines, `residuals` is the scan that refinement and
inference need, `whitening` the one for standard errors of ill-conditioned columns; `without_rows` solves from solutions alone.
"""

from squarely.exact.condition import condition_of
from squarely.exact.factor import Factor, require_same_rows
from squarely.exact.least_squares import Merger, Solution, solve, way_back
from squarely.exact.residuals import ResidualSums, column_sums, residuals_of
from squarely.exact.whitening import Root
from squarely.exact.without_rows import NEVER_IN, solve_without_rows

__all__ = [
    "NEVER_IN",
    "Factor",
    "Merger",
    "ResidualSums",
    "Root",
    "Solution",
    "column_sums",
    "condition_of",
    "require_same_rows",
    "residuals_of",
    "solve",
    "solve_without_rows",
    "way_back",
]
