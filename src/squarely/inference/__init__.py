"""What the fit may claim.

`statistics` works the numbers out, `fit` holds them under statsmodels' names, `normality` tests the shape of the residuals,
`summary` lays out the page, `saved` keeps a fit on disk; `preview` says beforehand what a fit costs.
"""

from squarely.inference.fit import Fit
from squarely.inference.normality import Normality, residual_tests
from squarely.inference.preview import Preview, foresee
from squarely.inference.saved import fit_from_json
from squarely.inference.statistics import infer

__all__ = ["Fit", "Normality", "Preview", "fit_from_json", "foresee", "infer", "residual_tests"]
