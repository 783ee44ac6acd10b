"""Many fits at once: `ols` of groups of rows and of several responses, `rolling` and `expanding`."""

from __future__ import annotations

from dataclasses import replace

from squarely.api.inputs import ModelInputs, open_inputs, parse_once, parse_row_filter, require_complete, sort_rows
from squarely.design import learn_from_rows
from squarely.errors import OptionError
from squarely.inference import Fits, fit_groups, read_group_columns, require_group_covariance


def fit_by_groups(inputs: ModelInputs, by: object, *, collinear: str, precision: str) -> Fits:
    """Fit the model to each group of rows that the columns of `by` name."""
    if inputs.fold == "aggregates":
        raise OptionError("by= reads the rows, and fold='aggregates' leaves them where they are. Leave fold= out.")
    require_group_covariance(inputs.covariance)
    formula, source = open_inputs(inputs)
    source, _ = sort_rows(inputs, source)
    formula = replace(formula, groups=read_group_columns(by, formula, source))
    with parse_once(inputs, formula, source) as stored:
        design = learn_from_rows(formula, stored, parse_row_filter(inputs))
        fits = fit_groups(design, stored, source, inputs.covariance, collinear=collinear, precision=precision)
    require_complete(inputs, fits.rows, source)
    return fits
