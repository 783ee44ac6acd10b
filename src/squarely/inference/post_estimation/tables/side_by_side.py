"""Several models side by side, as papers print them: a column for each model, a row for each coefficient."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, get_args

from squarely.design import Design
from squarely.errors import OptionError, join_words, pluralize, require_one_of, show_value, suggest_name
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.summary.page import describe_covariance
from squarely.inference.summary.plain_numbers import to_plain_numbers
from squarely.inference.summary.table import format_column
from squarely.show import Page, Table
from squarely.types import Below

_STARS = (0.1, 0.05, 0.01)  # as statsmodels' summary_col and stargazer
_LARGE, _LARGEST, _SMALLEST = 1e4, 1e7, 5e-4
_BELOW = {
    "se": "Standard errors{} in parentheses", "t": "t statistics{} in parentheses", "p": "p-values{} in parentheses",
    "ci": "95 % confidence limits{} in brackets",
}  # fmt: skip
_ROWS = {
    "nobs": "No. Observations", "rsquared": "R-squared", "rsquared_adj": "Adj. R-squared", "fvalue": "F-statistic",
    "f_pvalue": "Prob (F-statistic)", "df_model": "Df Model", "df_resid": "Df Residuals", "llf": "Log-Likelihood", "aic": "AIC",
    "bic": "BIC", "ssr": "Residual Sum of Squares", "mse_resid": "Residual Variance", "durbin_watson": "Durbin-Watson",
    "condition_number": "Cond. No.", "cov_type": "Covariance Type", "rsquared_within": "Within R-squared",
    "status": "Status", "last_loss": "Last loss",
}  # fmt: skip


_BY_COEFFICIENT = ("params", "bse", "tvalues", "pvalues", "conf_int")
_Row = tuple[str, Sequence[str]]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ModelColumn:
    """What a table shows of a model.

    Attributes
    ----------
    numbers : those of its `as_dict`; a run has no "bse".
    response : the left side of its formula.
    terms : the name of each term of its formula -> the names of its coefficients.
    """

    numbers: Mapping[str, Any]
    response: str
    terms: Mapping[str, Sequence[str]]

    @property
    def effects(self) -> Sequence[str]:
        """The names of the fixed effects that it absorbs."""
        return list(self.numbers.get("fixed_effects", ()))

    @property
    def covariance(self) -> str | None:
        """The covariance of the coefficients in words, None for a run."""
        return describe_covariance(self.numbers) if "bse" in self.numbers else None


def fit_column(fit: CoefficientStatistics) -> ModelColumn:
    """Return the column of a fit."""
    return model_column(to_plain_numbers(fit, fit.solution, fit.robust), fit.design)


def model_column(numbers: Mapping[str, Any], design: Design) -> ModelColumn:
    """Return the column of a model with these numbers and this design."""
    terms: dict[str, list[str]] = {}
    for name, column in zip(design.names[int(design.intercept) :], design.columns, strict=True):
        terms.setdefault(":".join(column.term), []).append(name)
    return ModelColumn(numbers=numbers, response=design.response, terms=terms)


def lay_out_models(
    models: Sequence[ModelColumn],
    *,
    stars: object = False,
    below: object = "se",
    rows: object = ("nobs", "rsquared", "rsquared_adj"),
    order: object = None,
    hide: object = None,
    names: object = None,
    labels: object = None,
) -> Page:
    """Lay out models side by side; `squarely.table` documents the options."""
    require_one_of("below", below, get_args(Below))
    levels, headers, statistics = _read_stars(stars), _read_headers(names, len(models)), _read_rows(rows)
    known = _group_names(models)
    first, hidden = (_read_names(option, value, known) for option, value in (("order", order), ("hide", hide)))
    shown = _read_labels(labels, [*known, *(name for model in models for name in (model.response, *model.effects))])
    covariances = {model.covariance for model in models} - {None}
    if len(covariances) > 1 and "cov_type" not in statistics:
        statistics.append("cov_type")
    without = {name for text in hidden for name in known[text]}
    coefficients = dict.fromkeys(name for text in (*first, *known) for name in known[text] if name not in without)
    top: list[_Row] = [("Dep. Variable", [shown.get(model.response, model.response) for model in models])]
    for name in coefficients:
        cells, cells_below = _coefficient_cells(models, name, levels, str(below))
        top.append((shown.get(name, name), cells))
        top += [("", cells_below)] if covariances else []
    end: list[_Row] = [(shown.get(text, text), [_has_any(model, known[text]) for model in models]) for text in hidden]
    effects = dict.fromkeys(name for model in models for name in model.effects)
    end += [
        (f"{shown.get(name, name)} effects", ["Yes" if name in model.effects else "No" for model in models]) for name in effects
    ]
    end += [(_ROWS[row], [_statistic_cell(model, row) for model in models]) for row in statistics]
    rules = [1, len(top)] if end and coefficients else [1]
    footer = [
        *(_describe_below(str(below), models) if coefficients else []),
        *_describe_stars(levels),
        *_describe_runs(models, headers),
    ]
    return Page("", [Table(("", *headers), _align([*top, *end]), rules)], footer=footer)


def _coefficient_cells(
    models: Sequence[ModelColumn], name: str, levels: Sequence[float], below: str
) -> tuple[list[str], list[str]]:
    """Return the coefficient of each model with its stars, and what is below it."""
    values, errors, tests, p_values, limits = (
        [model.numbers.get(key, {}).get(name, absent) for model in models]
        for key, absent in zip(_BY_COEFFICIENT, (math.nan, math.nan, math.nan, math.nan, (math.nan, math.nan)), strict=True)
    )
    units = [model.response for model in models]
    texts = [
        text + "*" * sum(p < level for level in levels) for text, p in zip(_format(values, errors, units), p_values, strict=True)
    ]
    if below == "ci":
        ends = [_format(end, errors, units) for end in zip(*limits, strict=True)]
        under = [f"[{low}, {high}]" for low, high in zip(*ends, strict=True)]
    else:
        unknown = [math.nan] * len(models)
        column = {"se": _format(errors, unknown, units), "t": [f"{t:.3f}" for t in tests], "p": [f"{p:.3f}" for p in p_values]}[
            below
        ]
        under = [f"({text})" for text in column]
    is_absent = [name not in model.numbers["params"] for model in models]
    is_dropped = [math.isnan(value) for value in values]
    has_errors = [model.covariance is not None for model in models]
    return (
        ["" if absent else "dropped" if nan else text for text, absent, nan in zip(texts, is_absent, is_dropped, strict=True)],
        [text if known and not nan else "" for text, known, nan in zip(under, has_errors, is_dropped, strict=True)],
    )


def _format(values: Sequence[float], errors: Sequence[float], units: Sequence[str]) -> list[str]:
    """Format a row: numbers in one unit have three places, or those that the summary needs for them.

    Up to ten million they have no power of ten.

    >>> _format([0.00012, 2.0, 40218.3], [0.1, 0.1, 0.1], ["y", "y", "z"])
    ['0.0001200', '2.0000000', '40218.300']
    """
    texts = [""] * len(values)
    for unit in {*units}:
        at = [i for i, other in enumerate(units) if other == unit]
        for i, text in zip(at, format_column([values[i] for i in at], [errors[i] for i in at], places=3), strict=True):
            is_long = _LARGE <= abs(values[i]) < _LARGEST and not errors[i] < _SMALLEST
            texts[i] = f"{values[i]:.3f}" if is_long else text
    return texts


def _statistic_cell(model: ModelColumn, row: str) -> str:
    value = model.covariance if row == "cov_type" else model.numbers.get(row)
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if _SMALLEST <= abs(value) < _LARGEST or not value else f"{value:#.4g}"


def _has_any(model: ModelColumn, names: Iterable[str]) -> str:
    return "Yes" if any(name in model.numbers["params"] for name in names) else "No"


def _align(rows: Sequence[_Row]) -> list[tuple[str, ...]]:
    """Pad cells at their right, so that stars and closing brackets do not move the digits above each other."""
    tails = [[len(cell) - len(cell.rstrip("*)]")) for cell in cells] for _, cells in rows]
    widths = [max(column) for column in zip(*tails, strict=True)]
    return [
        (name, *(cell + " " * (width - tail) for cell, tail, width in zip(cells, tail_row, widths, strict=True)))
        for (name, cells), tail_row in zip(rows, tails, strict=True)
    ]


def _describe_below(below: str, models: Sequence[ModelColumn]) -> Iterator[str]:
    types = {model.covariance: model.numbers["use_t"] for model in models if model.covariance is not None}
    if types:
        only = next(iter(types)) if len(types) == 1 else "nonrobust"
        text = _BELOW[below].format("" if only == "nonrobust" else f" ({only})")
        yield f"{text if below != 't' or any(types.values()) else 'z' + text[1:]}."


def _describe_stars(levels: Sequence[float]) -> list[str]:
    return [", ".join(f"{'*' * i} p < {level:g}" for i, level in enumerate(levels, start=1)) + "."] if levels else []


def _describe_runs(models: Sequence[ModelColumn], headers: Sequence[str]) -> list[str]:
    runs = [header for model, header in zip(models, headers, strict=True) if model.covariance is None]
    return [f"{join_words(runs)} {'is' if len(runs) == 1 else 'are'} trained, without standard errors."] if runs else []


def _group_names(models: Sequence[ModelColumn]) -> dict[str, list[str]]:
    """Return the name of each coefficient, in their order, and then that of each term, with the coefficients that it names."""
    groups = {name: {name: None} for model in models for name in model.numbers["params"]}
    for model in models:
        for term, names in model.terms.items():
            groups.setdefault(term, {}).update(dict.fromkeys(names))
    return {text: list(names) for text, names in groups.items()}


def _read_texts(option: str, value: object, example: str) -> list[str]:
    texts = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise OptionError(f"{option}={show_value(value)} is not a list of names. Give one, such as {option}={example}.")
    return list(texts)


def _read_names(option: str, value: object, known: Mapping[str, Sequence[str]]) -> list[str]:
    texts = _read_texts(option, value, "['weight', 'C(origin)']")
    for text in texts:
        if text not in known:
            raise OptionError(
                f"{option}= has {text!r}, which is neither a coefficient nor a term here. {suggest_name(text, known)}"
            )
    return texts


def _read_rows(value: object) -> list[str]:
    texts = _read_texts("rows", value, "['nobs', 'rsquared']")
    for text in texts:
        if text not in _ROWS:
            raise OptionError(f"rows= has {text!r}, which is not a statistic for a table. {suggest_name(text, _ROWS)}")
    return texts


def _read_headers(value: object, count: int) -> list[str]:
    texts = _read_texts("names", value, "['small', 'large']")
    if value is not None and len(texts) != count:
        raise OptionError(
            f"names= has {pluralize(len(texts), 'name')} for {pluralize(count, 'column')}. Give one name for each fit."
        )
    return texts or [f"({i})" for i in range(1, count + 1)]


def _read_labels(value: object, known: Sequence[str]) -> dict[str, str]:
    if not isinstance(value, Mapping | None) or any(not isinstance(text, str) for text in (value or {}).values()):
        raise OptionError(
            f"labels={show_value(value)} is not a dict of texts. Give one, such as labels={{'weight': 'Weight (lb)'}}."
        )
    labels = dict(value or {})
    for name in labels:
        if name not in known:
            raise OptionError(f"labels= has {name!r}, which is not a name in this table. {suggest_name(name, known)}")
    return labels


def _read_stars(value: object) -> Sequence[float]:
    """Return the levels from the largest on."""
    if isinstance(value, bool):
        return _STARS if value else ()
    levels = sorted(value, reverse=True) if isinstance(value, list | tuple) and all(isinstance(x, Real) for x in value) else []
    if not levels or not 0 < levels[-1] <= levels[0] < 1:
        raise OptionError(
            f"stars={show_value(value)} is neither a boolean nor a list of levels, such as stars=[0.05, 0.01, 0.001]."
        )
    return levels
