"""Many fits at once: `ols` of groups of rows and of several responses, `rolling` and `expanding`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from squarely.api.inputs import (
    ModelInputs,
    describe_order,
    open_inputs,
    parse_once,
    parse_row_filter,
    require_complete,
    require_covariance,
    require_no_effects,
    sort_rows,
)
from squarely.data import Source, pass_counter
from squarely.design import Design, learn_from_rows, parse_responses, split_responses
from squarely.errors import OptionError, short_traceback, show_value
from squarely.inference import (
    Fits,
    WindowFits,
    fit_expanding,
    fit_groups,
    fit_responses,
    fit_rolling,
    read_group_columns,
    require_group_covariance,
    require_ordered_rows,
    require_rows_here,
)
from squarely.types import Data, Missing


def fit_several(inputs: ModelInputs, by: object, *, collinear: str, precision: str) -> Fits | None:
    """Fit groups of rows or several responses; return None if there is one fit to make."""
    if by is None:
        return fit_several_responses(inputs, collinear=collinear, precision=precision)
    if split_responses(inputs.formula):
        raise OptionError(f"by={show_value(by)} takes one response, and the formula has several. Fit them one after the other.")
    return fit_by_groups(inputs, by, collinear=collinear, precision=precision)


def fit_by_groups(inputs: ModelInputs, by: object, *, collinear: str, precision: str) -> Fits:
    """Fit the model to each group of rows that the columns of `by` name."""
    if inputs.fold == "aggregates":
        raise OptionError("by= reads the rows, and fold='aggregates' leaves them where they are. Leave fold= out.")
    require_group_covariance(inputs.covariance)
    formula, source = open_inputs(inputs)
    require_no_effects(formula, "by=")
    source = sort_rows(inputs, source)
    formula = replace(formula, groups=read_group_columns(by, formula, source))
    with parse_once(inputs, formula, source) as stored:
        design = learn_from_rows(formula, stored, parse_row_filter(inputs))
        fits = fit_groups(design, stored, source, inputs.covariance, collinear=collinear, precision=precision)
    require_complete(inputs, fits.rows, source)
    return fits


def fit_several_responses(inputs: ModelInputs, *, collinear: str, precision: str) -> Fits | None:
    """Fit each response of a formula such as "y1 + y2 ~ x" to the rows that are complete in all; None if there is one response."""
    texts = split_responses(inputs.formula)
    if not texts:
        return None
    if inputs.fold == "aggregates":
        raise OptionError("Several responses read the rows, and fold='aggregates' leaves them where they are. Leave fold= out.")
    formula, source = open_inputs(replace(inputs, formula=texts[0]))
    require_no_effects(formula, "a fit of several responses")
    source = sort_rows(inputs, source)
    require_rows_here(source, "Several responses read")
    require_covariance(inputs.covariance, source, formula)
    formulas = [
        replace(each, weights=formula.weights, has_frequencies=formula.has_frequencies, groups=inputs.covariance.groups)
        for each in parse_responses(texts, source.dot_columns)
    ]
    with parse_once(inputs, formulas[0], source) as stored:
        fits = fit_responses(
            formulas,
            stored,
            source,
            parse_row_filter(inputs),
            inputs.covariance,
            remarks=describe_order(inputs),
            collinear=collinear,
            precision=precision,
        )
    require_complete(inputs, fits.rows, source)
    return fits


@short_traceback
@pass_counter("windows")
def rolling(
    formula: str,
    data: Data,
    *,
    window: int,
    step: int = 1,
    where: str | None = None,
    missing: Missing = "drop",
    read: Mapping[str, object] | None = None,
    order_by: str | None = None,
    weights: object = None,
) -> WindowFits:
    """Fit a linear regression to each window of `window` consecutive rows, in the order of the rows.

    Rows with gaps are left out first and counted, so every window has `window` complete rows. Windows add cross-products and never
    subtract them, so no digits cancel, and a window with fewer than ten digits is solved again from its rows. All rows are in
    memory. Levels, knots and means of the formula are those of all rows.

    Parameters
    ----------
    formula, data, where, missing, read, order_by, weights : as in `ols`.
    window : the number of rows, more than there are coefficients.
    step : how many rows further the next window begins.

    Returns
    -------
    WindowFits : with `params`, `bse`, `rsquared` and others as frames labeled by the last row of a window; `frame()`, `plot()`.

    Raises
    ------
    OptionError : `window` or `step` is not a number of rows, or the window is longer than the data; or the rows have no order.
    FormulaError, DataError : as in `ols`.

    Examples
    --------
    >>> import squarely as sq
    >>> result = rolling("mpg ~ weight", sq.datasets.cars(), window=100)
    >>> len(result), result.params["weight"].round(5).iloc[[0, -1]].to_dict()
    (299, {99: -0.00558, 397: -0.00952})
    """
    return _fit_windows(ModelInputs.of({**_NO_ARRAYS, **locals()}), partial(fit_rolling, window=window, step=step))


@short_traceback
@pass_counter("windows")
def expanding(
    formula: str,
    data: Data,
    *,
    min_rows: int | None = None,
    step: int = 1,
    where: str | None = None,
    missing: Missing = "drop",
    read: Mapping[str, object] | None = None,
    order_by: str | None = None,
    weights: object = None,
) -> WindowFits:
    """Fit a linear regression to the first `min_rows` rows, and again each time `step` rows are added. See `rolling`.

    Parameters
    ----------
    formula, data, where, missing, read, order_by, weights : as in `ols`.
    min_rows : the rows of the first fit, more than there are coefficients; by default one more.
    step : the number of rows that are added each time.

    Returns
    -------
    WindowFits : as in `rolling`.

    Raises
    ------
    OptionError : `min_rows` or `step` is not a number of rows, or there are fewer rows; or the rows have no order.
    FormulaError, DataError : as in `ols`.

    Examples
    --------
    >>> import squarely as sq
    >>> result = expanding("mpg ~ weight", sq.datasets.cars(), min_rows=100)
    >>> len(result), result.nobs.iloc[[0, -1]].to_list()
    (299, [100, 398])
    """
    return _fit_windows(ModelInputs.of({**_NO_ARRAYS, **locals()}), partial(fit_expanding, min_rows=min_rows, step=step))


_NO_ARRAYS: dict[str, Any] = {"X": None, "y": None, "intercept": True}


def _fit_windows(inputs: ModelInputs, fit: Callable[[Design, Source], WindowFits]) -> WindowFits:
    formula, source = open_inputs(inputs)
    require_no_effects(formula, "a fit of windows")
    source = sort_rows(inputs, source)
    require_ordered_rows(source)
    with parse_once(inputs, formula, source) as stored:
        result = fit(learn_from_rows(formula, stored, parse_row_filter(inputs)), stored)
    require_complete(inputs, result.rows, source)
    return result
