"""`certify` with `params=`: fit, and compare with an answer that was made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from squarely.api.least_squares import ols
from squarely.certification import Certificate, certify_answer
from squarely.data import DetachedSource
from squarely.errors import InputError, OptionError, join_words, pluralize, show_value, suggest_name
from squarely.inference import Fit
from squarely.numerics import Array
from squarely.types import FitOptions, TrainOptions

_OPTIONS = tuple(FitOptions.__annotations__)
_MOST_COLUMNS = 20  # whose complete cases are fitted
_MOST_ROWS = 10**6


def certify_params(formula: Any, data: Any, options: dict[str, Any], tau: float) -> Certificate:
    """Certify the answer `params` among the options, with its `scaler`, for a formula and data or for a fit.

    Raises
    ------
    InputError : there is neither a formula with data nor a fit.
    OptionError : there are options of training.
    """
    params, scaler = options.pop("params"), options.pop("scaler", None)
    if params is None:
        raise InputError("params=None has no coefficients. Give them, or leave params= out to train.")
    for name in options:
        if name not in _OPTIONS:
            is_training = name in TrainOptions.__annotations__
            why = "is an option of training, and params= is an answer that is made already. Leave it out."
            advice = suggest_name(name, (*_OPTIONS, "tau", "params", "scaler"))
            raise OptionError(
                f"{name}={show_value(options[name])} {why}"
                if is_training
                else f"{name!r} is not an option of certify with params=. {advice}"
            )
    if isinstance(formula, Fit) and data is None:
        if options:
            raise OptionError(f"{next(iter(options))}= has no effect on a fit that is made already. Leave it out.")
        fit = formula
    elif isinstance(formula, str) and data is not None:
        fit = ols(formula, data, **options)
    else:
        raise InputError("params= is compared with least squares. Give a formula and data, or the result of ols, before it.")
    is_quick = fit.nobs <= _MOST_ROWS and not isinstance(fit.source, DetachedSource) and not fit.source.partitioned
    refit = (lambda: _fit_other_rows(fit)) if is_quick else None
    return certify_answer(fit, params, scaler=scaler, tau=tau, refit=refit)


def _fit_other_rows(fit: Fit) -> list[tuple[str, Array]]:
    """Fit all rows without the condition, and those that are complete in other columns: which rows, and coefficients."""
    fits = []
    own = [fit.design.where.text] if fit.design.where else []
    if own and (every := _fit_where(fit, [])):
        fits.append((f"{pluralize(every.nobs, 'row')}, without where=", every))
    used = {*fit.design.columns_read[0], *fit.design.columns_read[1]}
    others = [name for name in fit.source.columns if name not in used and "`" not in name][:_MOST_COLUMNS]
    gaps = {}
    for name in others:
        for condition in (f"`{name}` == `{name}`", f"`{name}` != ''"):  # of numbers, of text
            if part := _fit_where(fit, [*own, condition]):
                if part.nobs < fit.nobs:
                    fits.append((_describe_complete(part, [name]), part))
                    gaps[name] = condition
                break
    if len(gaps) > 1 and (part := _fit_where(fit, [*own, *gaps.values()])):
        fits.append((_describe_complete(part, list(gaps)), part))
    return [(which, each.solution.params) for which, each in fits]


def _describe_complete(part: Fit, names: list[str]) -> str:
    return f"the {pluralize(part.nobs, 'row')} that are complete in {join_words([*map(repr, names)])}"


def _fit_where(fit: Fit, conditions: list[str]) -> Fit | None:
    """Fit the rows of another condition, None if that is not possible."""
    options: Mapping[str, Any] = fit.design.formula.weights_option
    where = " and ".join(f"({condition})" for condition in conditions) or None
    with suppress(InputError):
        part = ols(fit.design.formula.text, fit.source, where=where, **options)
        return part if part.design.names == fit.design.names else None
    return None
