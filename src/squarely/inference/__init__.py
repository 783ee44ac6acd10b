"""Statistics, predictions, merging and files of least squares fits: from a solution to a `Fit`.

`fit` has the class and makes it. `statistics` and `normality` compute its numbers, `summary` lays them out, and `prediction`
predicts new rows. `serialize` and `deserialize` are its file, and `merge` combines several fits. `preview` says what one will cost,
and `data_preview` shows the first rows of data.
"""

from squarely.inference.covariance.options import CLASSICAL, CovarianceOptions, read_covariance_options
from squarely.inference.data_preview import DataPreview, preview_data
from squarely.inference.fit import Fit, fit_from_json, infer, merge_fits
from squarely.inference.preview import Preview, build_preview
