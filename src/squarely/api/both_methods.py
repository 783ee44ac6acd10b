"""Both methods: `certify` compares a fit with a run, or first trains and fits by one formula."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any, Unpack, overload

from squarely.api.least_squares import ols
from squarely.api.training import train
from squarely.certification import Certificate, require_tolerance
from squarely.certification import certify as compare
from squarely.errors import ConvergenceWarning, OptionError, short_traceback, suggest_name
from squarely.inference import Fit
from squarely.types import Data, TrainOptions

if TYPE_CHECKING:
    from squarely.descent import Training

_NOT_OPTIONS = ("formula", "data", "X", "y", "intercept", "loader", "model")  # arguments of `train` that make another model


@overload
def certify(fit: Fit, run: Training, *, tau: float = 0.01) -> Certificate: ...


@overload
def certify(formula: str, data: Data, /, *, tau: float = 0.01, **options: Unpack[TrainOptions]) -> Certificate: ...


@overload
def certify(*, formula: str, data: Data, tau: float = 0.01, **options: Unpack[TrainOptions]) -> Certificate: ...


@short_traceback
def certify(fit: Any = None, run: Any = None, *, tau: float = 0.01, **options: Any) -> Certificate:
    """Certify how far a training run is from the least squares fit of the same formula, and why.

    `certify(fit, run)` compares the two. `certify(formula, data)` trains and fits first, and reads the data of one `train`.

    The gap is measured in three ways: against the exact coefficients; by the gradient at the trained ones, on the rows in float64,
    which bounds the distance without knowledge of the optimum; and against what theory predicts for this run.

    Parameters
    ----------
    fit, run : what `squarely.ols` and `squarely.train` returned.
    formula, data : instead of a fit and a run, as in `ols`.
    tau : the answers agree if every coefficient is within so many standard errors.
    options : with a formula, the other arguments of `train`, such as `where`, `lr` and `epochs`.

    Returns
    -------
    Certificate : print it; `certificate.agree` and `certificate.require()` are for programs.

    Raises
    ------
    InputError : the two have different coefficients.
    FormulaError, DataError, OptionError : tau is not a positive number, or as in `train`.

    Examples
    --------
    >>> data = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}
    >>> certify(ols("y ~ x", data), train("y ~ x", data, lr=0.5, epochs=2)).verdict
    'agree'
    >>> certify("y ~ x", data, lr=0.5, epochs=2).verdict
    'agree'
    """
    formula, data = options.pop("formula", fit), options.pop("data", run)
    if not isinstance(formula, str):
        return compare(_without_options(fit, options), run, tau=tau)
    names = [name for name in signature(train).parameters if name not in _NOT_OPTIONS]
    for name in options:
        if name not in names:
            advice = (
                "Give the results: sq.certify(sq.ols(...), sq.train(...))." if name in _NOT_OPTIONS else suggest_name(name, names)
            )
            raise OptionError(f"{name!r} is not an option of certify with a formula. {advice}")
    require_tolerance(tau)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the certificate says it
        run = train(formula, data, **options)
    shared = {name: options[name] for name in ("where", "missing", "weights", "frequencies") if name in options}
    return compare(ols(formula, run.source, **shared), run, tau=tau)


def _without_options(fit: Any, options: Mapping[str, object]) -> Any:
    if options:
        raise OptionError(f"{next(iter(options))}= has no effect on a fit and a run that are made already. Leave it out.")
    return fit
