"""Statistics, predictions and merging of least squares fits: from a solution to a `Fit`.

`statistics` computes the numbers, `normality` the tests of the residuals, `prediction` predicts and reads residuals, `summary` lays
out the page, `serialize` and `deserialize` write and read saved fits, `merge` combines fits. `fit` has the class `Fit` on top of
these. `preview` says what a fit will read and cost.
"""

from squarely.inference.fit import Fit, fit_from_json, infer, merge_fits
from squarely.inference.normality import Normality, residual_tests
from squarely.inference.preview import Preview, build_preview

__all__ = ["Fit", "Normality", "Preview", "build_preview", "fit_from_json", "infer", "merge_fits", "residual_tests"]
