"""The functions of `squarely.*`. This is the only package that calls both methods.

`inputs` opens what a user passes and makes the first steps of both methods. `least_squares` has `ols`, `preview`, `load`, `merge`
and `anova`, `figures` has `plot_coefficients`, and `training` has `train` and `sweep`. Two files are imported on their own, because
least squares alone does not need them: `both_methods`, which has `certify`, and `progress_bar`.
"""

from squarely.api.figures import plot_coefficients
from squarely.api.least_squares import anova, anova_lm, load, merge, ols, preview
from squarely.api.multiple_fits import expanding, rolling
from squarely.api.training import sweep, train
