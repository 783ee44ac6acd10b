"""`checkup_losses`: mistakes of a training loop, found in the losses that it prints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real

from squarely.api.inputs import ModelInputs, compute_moments, open_inputs, require_no_effects
from squarely.checkup import LossCheckup, Minimum, examine_losses, list_minima, read_losses
from squarely.data import is_aggregate_only
from squarely.errors import OptionError, read_float, short_traceback, show_value
from squarely.moments import identity_scaling, standardize_moments
from squarely.types import Data, Missing


@short_traceback
def checkup_losses(
    losses: object,
    *,
    lr: float | None = None,
    momentum: float | None = None,
    column: str | None = None,
    tau: float = 0.01,
    formula: str | None = None,
    data: Data | None = None,
    X: object = None,
    y: object = None,
    intercept: bool = True,
    where: str | None = None,
    missing: Missing = "drop",
    read: Mapping[str, object] | None = None,
) -> LossCheckup:
    """Find mistakes of a training loop of a linear model in the losses that it prints.

    For gradient descent on all rows, the losses are a sum of geometric sequences. Gradients that are never set to zero, gradients
    one step old, momentum and clipping leave other sequences. What fits every loss within rounding, and what plain descent cannot
    print, is a finding. docs/losses.md has the marks and what they cannot tell.

    Parameters
    ----------
    losses : numbers; a DataFrame or dict with columns such as epoch and loss; the path of a CSV file, a JSON lines file or a log;
        the text of a log; or "-" for standard input. A list of texts is read as printed, with its rounding.
    lr : the learning rate. With it, curvature, limit and best rate follow.
    momentum : as the loop declares it; 0.0 if the loop has none. None if it is not certain.
    column : the column or the label of the loss, where several may be it.
    tau : the tolerance, in standard errors, to which the epochs to go are counted. It needs data.
    formula, data, X, y, intercept, where, missing, read : the model and its rows, as in `ols`. With them, the first and the last
        loss, the curvature and the rate are compared with those of least squares.

    Returns
    -------
    LossCheckup : print it; `.ok`, `.findings` and `.numbers` are for programs.

    Raises
    ------
    DataError : there is no loss in `losses`, or as in `ols`.
    OptionError : `lr`, `momentum` or `tau` is not a number that can be used.

    Examples
    --------
    The eight losses that https://github.com/pytorch/pytorch/issues/23142 prints:

    >>> losses = [36.44833, 43.94552, 53.46182, 65.54042, 80.87050, 100.32697, 125.01981, 156.35780]
    >>> result = checkup_losses(losses, lr=0.01)
    >>> result.findings[0].key, round(result.numbers["lam_1"], 1), round(result.numbers["lr_limit"], 5)
    ('lr-too-high', 212.7, 0.00941)
    """
    lr = _read_number("lr", lr, 0.0, math.inf)
    momentum = _read_number("momentum", momentum, 0.0, 1.0, closed=True)
    tolerance = _read_number("tau", tau, 0.0, math.inf) or 0.01
    series = read_losses(losses, column)
    given = any(value is not None for value in (formula, data, X, y))
    inputs = ModelInputs(formula=formula, data=data, X=X, y=y, intercept=intercept, where=where, missing=missing, read=read)
    return examine_losses(series, lr=lr, momentum=momentum, tau=tolerance, minima=_find_minima(inputs) if given else ())


def _read_number(name: str, value: object, low: float, high: float, *, closed: bool = False) -> float | None:
    """Return an option that is None or a number between two bounds, of which the lower one may belong to it."""
    if value is None:
        return None
    number = read_float(name, value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not (low < number < high or (closed and number == low)):
        between = f"from {low:g} to below {high:g}" if math.isfinite(high) else f"above {low:g}"
        raise OptionError(f"{name}={show_value(value)} is not a number {between}. Give that of the loop, or leave it out.")
    return number


def _find_minima(inputs: ModelInputs) -> list[Minimum]:
    """Return the minimum of the loss for a model and its rows, in every scaling."""
    formula, source = open_inputs(inputs)
    require_no_effects(formula, "checkup_losses")
    moments = compute_moments(inputs, formula, source, in_engine=is_aggregate_only(source))
    return list_minima(standardize_moments(moments), identity_scaling(moments))
