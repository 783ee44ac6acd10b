"""Average slopes, contrasts and predictions as a frame that is a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from squarely.data import Level, to_page_frame
from squarely.design import ContrastCoding, Name
from squarely.errors import DataError, OptionError, require_one_of
from squarely.inference.coefficients import CoefficientStatistics, require_alpha
from squarely.inference.post_estimation.effects.averages import Average, Averages
from squarely.inference.post_estimation.effects.elasticities import average_elasticities
from squarely.inference.post_estimation.effects.estimates import Estimates, estimate, warn_undetermined
from squarely.inference.post_estimation.effects.settings import Setting, coding_of, describe_means, find_variables, read_settings
from squarely.inference.post_estimation.effects.terms import Request
from squarely.inference.statistics import confidence_limits, p_values, t_values
from squarely.numerics import Array
from squarely.show import Page, Table

if TYPE_CHECKING:
    import pandas as pd

_DIGITS = {"estimate": 4, "se": 4, "t": 4, "pvalue": 3, "low": 4, "high": 4}  # of the columns, on the page
_COLUMNS = tuple(_DIGITS)
SLOPE = "dy/dx"
_SLOPES = {
    "dydx": (SLOPE, "is the slope of the prediction in each row"),
    "eyex": ("ey/ex", "is the slope times the column over the prediction, in each row"),
    "eydx": ("ey/dx", "is the slope over the prediction, in each row"),
    "dyex": ("dy/ex", "is the slope times the column, in each row"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What a row of the result is: the average of one request, less that of another if it is a contrast."""

    variable: str = ""
    contrast: str = ""
    point: Setting
    request: int
    reference: int | None = None


def effects(
    fit: CoefficientStatistics, variable: object, at: object, by: object, *, alpha: float, slope: str = "dydx"
) -> pd.DataFrame:
    """Return average slopes and contrasts; the public method documents them."""
    require_alpha(alpha)
    require_one_of("slope", slope, tuple(_SLOPES))
    variables = find_variables(fit, variable)
    if slope in ("eyex", "eydx"):
        _require_predictions(fit, f"slope={slope!r} is relative to predictions")
    if slope != "dydx":
        variables = _numbers_among(fit, variables, variable, slope)
    points, groups = read_settings(fit, at, by)
    for name in variables:
        if coding_of(fit, name) is not None and any(name in point.shown for point in points):
            raise OptionError(
                f"{name!r} is a category, whose levels are compared, so at= and by= cannot set it. Leave it out there."
            )
    averages = Averages(fit.solution, fit.source, groups)
    requests, rows = _requests_of_effects(fit, variables, points)
    points, means = _set_means(averages, points, requests)
    requests, rows = _requests_of_effects(fit, variables, points)
    if slope != "dydx":
        rows = [replace(row, contrast=_SLOPES[slope][0]) for row in rows]
        page = Page("Average Elasticities", [], notes=[f"{' '.join(_SLOPES[slope])}.", *_describe(fit, points, means)])
        return _make_frame(fit, groups, average_elasticities(fit, requests, groups, slope), rows, page, alpha=alpha)
    kinds = {row.contrast == SLOPE for row in rows}
    title = "Average Slopes" if kinds == {True} else "Average Contrasts" if kinds == {False} else "Average Slopes and Contrasts"
    notes = ["dy/dx is the slope of the prediction in each row."] if True in kinds else []
    if False in kinds:
        notes.append("A contrast is the prediction with the category set to a level, less that with it set to its reference.")
    page = Page(title, [], notes=[*notes, *_describe(fit, points, means)])
    return _make_frame(fit, averages.by, averages.compute(requests), rows, page, alpha=alpha)


def _require_predictions(fit: CoefficientStatistics, what: str) -> None:
    """Raise an OptionError for a fit with absorbed fixed effects, whose predictions have no standard errors."""
    if fit.design.absorbed is not None:
        first = fit.design.absorbed.names[0]
        raise OptionError(
            f"{what}, which have no standard errors with absorbed fixed effects. Use effects, or write C({first}) before the '|' "
            "if it has few levels."
        )


def _numbers_among(fit: CoefficientStatistics, variables: Sequence[str], named: object, slope: str) -> list[str]:
    """Return the numbers among variables, or raise an OptionError for a category that the user has named."""
    numbers = [name for name in variables if coding_of(fit, name) is None]
    if not numbers or (named is not None and len(numbers) < len(variables)):
        other = next(name for name in variables if name not in numbers)
        raise OptionError(f"slope={slope!r} is for numbers, and {other!r} is a category. Leave slope= out, or name a number.")
    return numbers


def margins(fit: CoefficientStatistics, at: object, by: object, *, alpha: float) -> pd.DataFrame:
    """Return average predictions; the public method documents them."""
    require_alpha(alpha)
    _require_predictions(fit, "margins() gives average predictions")
    points, groups = read_settings(fit, at, by)
    averages = Averages(fit.solution, fit.source, groups)
    points, means = _set_means(averages, points, [Request(point=point) for point in points])
    requests = [Request(point=point) for point in points]
    rows = [_Row(point=point, request=i) for i, point in enumerate(points)]
    page = Page("Average Predictions", [], notes=_describe(fit, points, means))
    return _make_frame(fit, averages.by, averages.compute(requests), rows, page, alpha=alpha)


def _set_means(
    averages: Averages, points: Sequence[Setting], requests: Sequence[Request]
) -> tuple[list[Setting], Mapping[str, float]]:
    names = dict.fromkeys(name for point in points for name in sorted(point.means))
    means = averages.means_of(names, requests)
    return [point.with_means(means) for point in points], means


def _requests_of_effects(
    fit: CoefficientStatistics, variables: Sequence[str], points: Sequence[Setting]
) -> tuple[list[Request], list[_Row]]:
    requests: list[Request] = []
    rows: list[_Row] = []
    for name in variables:
        coding = coding_of(fit, name)
        if coding is None:
            rows += [_Row(variable=name, contrast=SLOPE, point=p, request=len(requests) + i) for i, p in enumerate(points)]
            requests += [Request(point=point, variable=name) for point in points]
            continue
        levels = _reference_first(coding)
        first = len(requests)
        requests += [Request(point=point.with_level(name, level)) for level in levels for point in points]
        rows += [
            _Row(
                variable=name, contrast=f"{level} - {levels[0]}", point=p, request=first + j * len(points) + i, reference=first + i
            )
            for j, level in enumerate(levels[1:], start=1)
            for i, p in enumerate(points)
        ]
    return requests, rows


def _reference_first(coding: ContrastCoding) -> list[Level]:
    """Return the levels, first the one that others are compared with: the reference, or the first one of contrasts of sum zero."""
    place = coding.position if coding.kind == "treatment" else 0
    return [coding.levels[place], *(level for i, level in enumerate(coding.levels) if i != place)]


def _describe(fit: CoefficientStatistics, points: Sequence[Setting], means: Mapping[str, float]) -> list[str]:
    formula, notes = fit.design.formula, []
    if set_to := describe_means(fit, means, points):
        notes.append(f"{set_to[0].upper()}{set_to[1:]}.")
    if formula.weights is not None:
        how = "its frequency" if formula.has_frequencies else "its weight"
        notes.append(f"Averages and means count each row by {how}, {formula.weights.text}, as Stata's margins does.")
    if not isinstance(formula.response.expression, Name):
        notes.append(f"These are effects on {formula.response.text}, the response of the formula.".replace("effects on", "of"))
    return notes


def _make_frame(
    fit: CoefficientStatistics,
    by: Sequence[str],
    found: Sequence[Sequence[Average]],
    rows: Sequence[_Row],
    page: Page,
    *,
    alpha: float,
) -> pd.DataFrame:
    """Estimate each row in each group, from the averages that were found for each request."""
    keys = _empty_keys(rows, by)
    z, offsets, values_of = [], [], []
    for row in rows:
        for i, average in enumerate(found[row.request]):
            values = {"variable": row.variable, "contrast": row.contrast, **row.point.shown}
            values |= dict(zip(by, average.group, strict=True))
            for name, column in keys.items():
                column.append(values[name])
            reference = None if row.reference is None else found[row.reference][i]
            values_of.append(average.value)
            z.append(average.z if reference is None else average.z - reference.z)
            offsets.append(average.offset - (0.0 if reference is None else reference.offset))
    given = None if None in values_of else np.array(values_of, dtype=np.float64)
    estimates = estimate(fit, np.array(z), np.array(offsets), given)
    columns = {**keys, **_statistics(estimates, alpha)}
    warn_undetermined([_describe_row(keys, i) for i in np.flatnonzero(~estimates.is_determined).tolist()], fit.solution)
    page = replace(page, blocks=[_table(keys, columns, alpha, "t" if fit.use_t else "z")], footer=_footer(fit, estimates))
    return to_page_frame(columns, None, None, page)


def _describe_row(keys: Mapping[str, Sequence[Any]], i: int) -> str:
    """Return what a row of the result is, such as "x dy/dx, g = a"."""
    first = [f"{keys['variable'][i]} {keys['contrast'][i]}"] if "contrast" in keys else []
    others = [f"{name} = {_write_key(column[i])}" for name, column in keys.items() if name not in ("variable", "contrast")]
    return ", ".join([*first, *others]) or "the average"


def _empty_keys(rows: Sequence[_Row], by: Sequence[str]) -> dict[str, list[Any]]:
    """Return empty columns for what tells the rows of the result apart."""
    first = ["variable", "contrast"] if rows[0].variable else []
    names = [*first, *dict.fromkeys(name for row in rows for name in row.point.shown), *by]
    for name in names:
        if names.count(name) > 1 or name in _COLUMNS:
            raise DataError(
                f"The column {name!r} of at= or by= has the name of another column of the result. Rename it in your data."
            )
    return {name: [] for name in names}


def _statistics(estimates: Estimates, alpha: float) -> dict[str, Array]:
    low, high = confidence_limits(estimates.value, estimates.error, estimates.df, alpha)
    values = (
        estimates.value,
        estimates.error,
        t_values(estimates.value, estimates.error),
        p_values(estimates.value, estimates.error, estimates.df),
        low,
        high,
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _table(keys: Mapping[str, Sequence[Any]], columns: Mapping[str, Any], alpha: float, t: str) -> Table:
    limits = {"low": f"[{alpha / 2:.4g}", "high": f"{1 - alpha / 2:.4g}]"}
    renamed = {**limits, "t": t, "pvalue": f"P>|{t}|", "se": "std err"}
    texts = {name: [_write_key(value) for value in column] for name, column in keys.items()}
    first = [["average"] * len(columns["estimate"])] if not keys else []
    if "contrast" in keys:
        first = [[f"{name} {contrast}" for name, contrast in zip(texts.pop("variable"), texts.pop("contrast"), strict=True)]]
    header = [*[""] * len(first), *texts, *(renamed.get(name, name) for name in _COLUMNS)]
    numbers = [[f"{value:#.{_DIGITS[name]}g}" for value in columns[name]] for name in _COLUMNS]
    return Table(header, list(zip(*first, *texts.values(), *numbers, strict=True)))


def _write_key(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _footer(fit: CoefficientStatistics, estimates: Estimates) -> list[str]:
    df = estimates.df[np.isfinite(estimates.df)]
    of = "the normal distribution"
    if len(df):
        ends = dict.fromkeys([f"{df.min():,.6g}", f"{df.max():,.6g}"])
        of = f"t with {' to '.join(ends)} degrees of freedom"
    if math.isinf(estimates.df.max(initial=0.0)):
        of = "the normal distribution"
    return [f"{fit.design.formula.text}; Covariance Type: {fit.cov_type}; {of}."]
