"""Road one, exact least squares: `factor` decides rank, `least_squares` solves and refines,
`residuals` is the scan that refinement and inference need, `whitening` the one for standard errors of ill-conditioned columns.

Where rows stay in an engine: `aggregates` solves and refines, `dependence` decides rank, and `work` is
the way back to the units of the data.
"""

from squarely.exact.dependence import UntoldError
from squarely.exact.factor import Factor, require_same_rows
from squarely.exact.least_squares import Solution, solve
from squarely.exact.residuals import ResidualSums, residuals_of
from squarely.exact.whitening import Root

__all__ = ["Factor", "ResidualSums", "Root", "Solution", "UntoldError", "require_same_rows", "residuals_of", "solve"]
