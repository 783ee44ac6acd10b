"""The functions of `squarely.*`. This is the only package that calls both methods.

`inputs` opens what a user passes and makes the first steps of both methods. `least_squares` has `ols`, `preview`, `load` and
`merge`, `training` has `train` and `sweep`, and `both_methods` has `certify`. `progress_bar` is imported on its own: few need it,
and rich takes a while to import.
"""

from squarely.api.both_methods import certify
from squarely.api.least_squares import load, merge, ols, preview
from squarely.api.training import sweep, train
