"""Both methods: `certify` compares a fit with a run, or first trains and fits by one formula."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any, Unpack, overload

from squarely.api.answers import certify_params
from squarely.api.least_squares import ols
from squarely.api.training import train
from squarely.certification import Certificate, require_tolerance
from squarely.certification import certify as compare
from squarely.errors import ConvergenceWarning, OptionError, short_traceback, suggest_name
from squarely.inference import Fit
from squarely.types import Data, FitOptions, TrainOptions

if TYPE_CHECKING:
    from squarely.descent import Training

_NOT_OPTIONS = ("formula", "data", "X", "y", "intercept", "loader", "model")  # arguments of `train` that make another model


@overload
def certify(fit: Fit, run: Training, *, tau: float = 0.01) -> Certificate: ...


@overload
def certify(fit: Fit, /, *, params: Any, scaler: Any = None, tau: float = 0.01) -> Certificate: ...


@overload
def certify(
    formula: str, data: Data, /, *, params: Any, scaler: Any = None, tau: float = 0.01, **options: Unpack[FitOptions]
) -> Certificate: ...


@overload
def certify(formula: str, data: Data, /, *, tau: float = 0.01, **options: Unpack[TrainOptions]) -> Certificate: ...


@overload
def certify(*, formula: str, data: Data, tau: float = 0.01, **options: Unpack[TrainOptions]) -> Certificate: ...


@short_traceback
def certify(fit: Any = None, run: Any = None, *, tau: float = 0.01, **options: Any) -> Certificate:
    """Certify how far a training run, or an answer made anywhere, is from the least squares fit of the same formula, and why.

    `certify(fit, run)` compares the two. `certify(formula, data)` trains and fits first, and reads the data of one `train`.
    `certify(formula, data, params=...)` and `certify(fit, params=...)` compare coefficients that were made elsewhere.

    The gap is measured in three ways: against the exact coefficients; by the gradient at the trained ones, on the rows in float64,
    which bounds the distance without knowledge of the optimum; and against what theory predicts for this run.

    Parameters
    ----------
    fit, run : what `squarely.ols` and `squarely.train` returned.
    formula, data : instead of a fit and a run, as in `ols`.
    params : coefficients by name (a dict or a Series) or in the order of the fit; a fitted estimator or Pipeline of scikit-learn,
        results of statsmodels, a torch module, or a state dict; or the path of a .json or .safetensors file. Nothing is unpickled.
    scaler : what scaled the columns before `params` were made: a fitted scaler of scikit-learn, a pair of those of the columns and
        the response, or {"mean": ..., "scale": ...} in the order of the columns or by name, with the response last or by name.
    tau : the answers agree if every coefficient is within so many standard errors.
    options : with a formula, the other arguments of `train`, such as `where`, `lr` and `epochs`; with `params`, those of the rows:
        `where`, `missing`, `read`, `weights` and `frequencies`.

    Returns
    -------
    Certificate : print it; `certificate.agree` and `certificate.require()` are for programs.

    Raises
    ------
    InputError : the two have different coefficients, or `params` has none of a linear model.
    FormulaError, DataError, OptionError : tau is not a positive number, or as in `train`.

    Examples
    --------
    >>> data = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 8.0]}
    >>> certify(ols("y ~ x", data), train("y ~ x", data, lr=0.5, epochs=2)).verdict
    'agree'
    >>> certify("y ~ x", data, lr=0.5, epochs=2).verdict
    'agree'
    >>> certify("y ~ x", data, params={"Intercept": 0.0, "x": 2.3}).verdict
    'intercept'
    """
    formula, data = options.pop("formula", fit), options.pop("data", run)
    if "params" in options:
        require_tolerance(tau)
        return certify_params(formula, data, options, tau)
    if "scaler" in options:
        raise OptionError("scaler= is for the answer params=, which is not given. Give it, or leave scaler= out.")
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
