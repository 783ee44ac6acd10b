"""Statistics, predictions, tables, merging and files of least squares fits: from a solution to a `Fit`.

`fit` has the class and makes it, and `coefficients` its base. `statistics` and `normality` compute its numbers, `summary` lays
them out, and `predictions` predicts new rows. `covariance` estimates robust covariances from a `scan` of whitened rows: each is A
M A', with A from `covariance.root` and M from the rows. `hypotheses` tests linear constraints, terms and nested fits. `tables` has
the frames of broom and several fits side by side, `figures` draws fits. `serialization` saves a fit and combines several.
`preview` says what one will cost, and shows the first rows of data.
"""

from squarely.inference.coefficients import require_level
from squarely.inference.covariance.options import (
    CLASSICAL,
    CovarianceOptions,
    read_covariance_options,
    require_group_columns,
    require_order,
)
from squarely.inference.fit import Fit, fit_from_json, infer, merge_fits
from squarely.inference.multiple_fits.fits import Fits
from squarely.inference.multiple_fits.groups import fit_groups, read_group_columns, require_group_covariance, require_rows_here
from squarely.inference.multiple_fits.responses import fit_responses
from squarely.inference.multiple_fits.window_fits import WindowFits, fit_expanding, fit_rolling, require_ordered_rows
from squarely.inference.post_estimation.figures.coefficient_figure import coefficient_panel
from squarely.inference.post_estimation.hypotheses.anova import analyze_variance
from squarely.inference.post_estimation.penalized.penalized import Penalized
from squarely.inference.post_estimation.tables.side_by_side import ModelColumn, fit_column, lay_out_models, model_column
from squarely.inference.preview.data_preview import DataPreview, preview_data
from squarely.inference.preview.fit_preview import Preview, build_preview
