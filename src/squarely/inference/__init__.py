"""What the fit may claim.

`statistics` works the numbers out, `fit` holds them under statsmodels' names, `normality` tests the shape of the residuals,
`summary` lays out the page, `saved` keeps a fit on disk by a bounded `schema`, `merging` puts fits together.
"""

from squarely.inference.fit import Fit
from squarely.inference.merging import combined
from squarely.inference.normality import Normality, residual_tests
from squarely.inference.saved import fit_from_json
from squarely.inference.statistics import infer

__all__ = ["Fit", "Normality", "combined", "fit_from_json", "infer", "residual_tests"]
