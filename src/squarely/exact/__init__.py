"""Road one, exact least squares: `factor` decides rank, `least_squares` solves and refines,
`residuals` is the scan that refinement and inference need.
"""

from squarely.exact.factor import Factor
from squarely.exact.least_squares import Solution, solve
from squarely.exact.residuals import ResidualSums, residuals_of

__all__ = ["Factor", "ResidualSums", "Solution", "residuals_of", "solve"]
