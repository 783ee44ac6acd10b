"""What the fit may claim.

`fit` holds the numbers under statsmodels' names, `normality` tests the shape of the residuals, `summary` lays out the page.
"""

from squarely.inference.fit import Fit, infer
from squarely.inference.normality import Normality, residual_tests

__all__ = ["Fit", "Normality", "infer", "residual_tests"]
