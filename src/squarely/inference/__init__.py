"""What the fit may claim.

`statistics` works the numbers out, `fit` holds them under statsmodels' names, `covariance` is worked out on demand, `normality`
tests the shape of the residuals, `summary` lays out the page, `saved` keeps a fit on disk by a bounded `schema`, `merging` puts
fits together; `preview` says beforehand what a fit costs.
"""

from squarely.inference.fit import Fit
from squarely.inference.merge import merge_solutions
from squarely.inference.normality import Normality, residual_tests
from squarely.inference.preview import Preview, build_preview
from squarely.inference.serialize import solution_from_json
from squarely.inference.statistics import infer

__all__ = [
    "Fit",
    "Normality",
    "Preview",
    "build_preview",
    "infer",
    "merge_solutions",
    "residual_tests",
    "solution_from_json",
]
