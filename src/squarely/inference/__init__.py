"""Statistics, predictions, merging and files of least squares fits: from a solution to a `Fit`."""

from squarely.inference.fit import Fit, fit_from_json, infer, merge_fits
from squarely.inference.normality import Normality, residual_tests
from squarely.inference.preview import Preview, build_preview

__all__ = ["Fit", "Normality", "Preview", "build_preview", "fit_from_json", "infer", "merge_fits", "residual_tests"]
