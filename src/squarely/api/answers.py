"""`certify` with `params=`: fit, and compare with an answer that was made elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from squarely.api.least_squares import ols
from squarely.certification import Certificate, certify_answer
from squarely.errors import InputError, OptionError, join_words, show_value, suggest_name
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
    return certify_answer(fit, params, scaler=scaler, tau=tau, refit=lambda: _fit_complete_cases(fit))


def _fit_complete_cases(fit: Fit) -> list[tuple[str, int, Array]]:
    """Fit the rows that are complete in other columns, all of them and each: what they are, their number, coefficients."""
    used = {*fit.design.columns_read[0], *fit.design.columns_read[1]}
    others = [name for name in fit.source.columns if name not in used and "`" not in name][:_MOST_COLUMNS]
    if fit.nobs > _MOST_ROWS or fit.source.partitioned or len(fit.source.columns) < 2:
        return []
    conditions = {name: found for name in others if (found := _complete_where(fit, [name]))}
    every = [(f"{join_words([*map(repr, conditions)])}", conditions.values())] if len(conditions) > 1 else []
    fits = []
    for what, wheres in [*((repr(name), [where]) for name, where in conditions.items()), *every]:
        with suppress(InputError):
            part = _fit_where(fit, wheres)
            if part.nobs < fit.nobs:
                fits.append((what, part.nobs, part.solution.params))
    return fits


def _complete_where(fit: Fit, names: Iterable[str]) -> str:
    """Return a condition that is true in the rows with a value in a column of numbers or of text, "" if there is no gap."""
    for name in names:
        for where in (f"`{name}` == `{name}`", f"`{name}` != ''"):
            with suppress(InputError):
                return where if _fit_where(fit, [where]).nobs < fit.nobs else ""
    return ""


def _fit_where(fit: Fit, conditions: Iterable[str]) -> Fit:
    design = fit.design
    parts = [*([design.where.text] if design.where else []), *conditions]
    options: Mapping[str, Any] = design.formula.weights_option
    return ols(design.formula.text, fit.source, where=" and ".join(f"({part})" for part in parts), **options)
