"""Road one, exact least squares: `factor` decides rank, `least_squares` solves and refines,
`residuals` is the scan that refinement and inference need, `whitening` the one for standard errors of ill-conditioned columns;
`without_rows` solves from other solutions alone.
"""

from squarely.exact.factor import Factor, require_same_rows
from squarely.exact.least_squares import Merger, Solution, solve
from squarely.exact.residuals import ResidualSums, residuals_of
from squarely.exact.whitening import Root
from squarely.exact.without_rows import NEVER_IN, solve_without_rows

__all__ = [
    "NEVER_IN",
    "Factor",
    "Merger",
    "ResidualSums",
    "Root",
    "Solution",
    "require_same_rows",
    "residuals_of",
    "solve",
    "solve_without_rows",
]
