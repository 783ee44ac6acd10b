"""Road one, exact least squares: `factor` decides rank, `solve` solves and refines, `residuals` is the scan that both need."""

from squarely.exact.factor import Factor
from squarely.exact.residuals import ResidualSums
from squarely.exact.solve import Solution, solve

__all__ = ["Factor", "ResidualSums", "Solution", "solve"]
