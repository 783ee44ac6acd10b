"""What `variable`, `at` and `by` mean for a fit: the columns of the data, and the points at which columns are set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from numbers import Real
from typing import Any

from squarely.data import Level, require_columns
from squarely.design import Categorical, ContrastCoding, column_names
from squarely.errors import DataError, OptionError, join_words, listed, show_value, suggest_name
from squarely.inference.coefficients import CoefficientStatistics
from squarely.inference.post_estimation.predictors import predictors_of

MEAN = "mean"
_MOST_POINTS = 10_000
_AT = "Write at='mean', or at={'x': [1, 2], 'g': 'a'}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Values that columns of the data are set to, in every row.

    Attributes
    ----------
    numbers : column -> value. `means` are further columns, which are set to their mean.
    levels : column -> the weight of each level: one for the level that it is set to, or equal ones.
    shown : column -> the value that the result shows.
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    means: frozenset[str] = frozenset()
    levels: Mapping[str, Mapping[Level, float]] = field(default_factory=dict)
    shown: Mapping[str, Any] = field(default_factory=dict)

    def with_level(self, column: str, level: Level) -> Setting:
        """Return the point with a category set to a level."""
        return replace(self, levels={**self.levels, column: {level: 1.0}})

    def with_means(self, means: Mapping[str, float]) -> Setting:
        """Return the point with numbers for the columns that are set to their mean."""
        found = {name: means[name] for name in self.means}
        shown = {name: found.get(name, value) if value == MEAN else value for name, value in self.shown.items()}
        return replace(self, numbers={**self.numbers, **found}, means=frozenset(), shown=shown)


def coding_of(fit: CoefficientStatistics, column: str) -> ContrastCoding | None:
    """Return the coding of a column that is a category of the fit; None for another column."""
    return next((coding for coding in fit.design.categories.values() if coding.column == column), None)


def predictors_in_columns(fit: CoefficientStatistics) -> tuple[list[str], list[str]]:
    """Return the predictors that columns of X follow from, numbers and categories: all but absorbed fixed effects."""
    numbers, labels = predictors_of(fit)
    return numbers, [name for name in labels if coding_of(fit, name) is not None]


def find_variables(fit: CoefficientStatistics, variable: object) -> list[str]:
    """Return the columns of the data that a user names, or all predictors."""
    numbers, labels = predictors_in_columns(fit)
    every = list(dict.fromkeys([*numbers, *labels]))
    if variable is None:
        if not every:
            raise DataError(f"The formula {fit.design.formula.text!r} has no predictor, so there is no effect. Add one.")
        return every
    names = [variable] if isinstance(variable, str) else variable
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise OptionError(
            f"variable={show_value(variable)} is not the name of a column. Write one, such as {show_value(next(iter(every), 'x'))}."
        )
    found = [find_column(fit, name) for name in names]
    for name in found:
        if name in numbers and name in labels:
            raise DataError(
                f"{name!r} is in the formula as a number and as a category, so neither its slope nor its contrasts are its effect. "
                f"Compare average predictions, from margins with at={{{name!r}: [0, 1]}}."
            )
    return list(dict.fromkeys(found))


def find_column(fit: CoefficientStatistics, name: str) -> str:
    """Return the predictor that a user names, by its column, or by the factor of a category, such as C(origin).

    Raises
    ------
    DataError : it is the response, or the formula does not have it.
    """
    design = fit.design
    numbers, labels = predictors_in_columns(fit)
    plain = name.strip("` ")
    if plain in (*numbers, *labels):
        return plain
    factor = design.factors.get(plain)
    if isinstance(factor, Categorical):
        return factor.name.name
    if plain in (design.response, *(each.name for each in column_names(design.formula.response.expression))):
        raise DataError(f"{plain!r} is the response, and effects are of the predictors: {_list_predictors(fit)}. Name one of them.")
    inside = [each.name for each in column_names(*design.inputs.expressions.values()) if f"({each.name}" in plain]
    if factor is not None or (inside and plain not in (*numbers, *labels) and "(" in plain):
        raise DataError(
            f"{plain!r} is an expression, and effects are of a column of the data. Write {inside[0] if inside else plain!r}: its "
            "effect goes through every expression that has it."
        )
    if any(plain in effect for effect in design.formula.effects):
        raise DataError(f"{plain!r} is an absorbed fixed effect, without coefficients. fit.fixed_effects() has its estimates.")
    raise DataError(f"The formula {design.formula.text!r} has no column {plain!r}. {suggest_name(plain, [*numbers, *labels])}")


def _list_predictors(fit: CoefficientStatistics) -> str:
    return listed(repr(name) for names in predictors_in_columns(fit) for name in names) or "there are none"


def read_settings(fit: CoefficientStatistics, at: object, by: object) -> tuple[list[Setting], tuple[str, ...]]:
    """Return the points of `at`, and the columns of `by` whose values group the rows.

    With at="mean" the levels of `by` are points, and no rows are grouped.
    """
    groups = _read_by(fit, by)
    if isinstance(at, str) and at == MEAN:
        return _reference_grid(fit, groups), ()
    if at is not None and not isinstance(at, Mapping):
        raise OptionError(f"at={show_value(at)} is neither 'mean' nor a mapping of columns to values. {_AT}")
    choices = {}
    for name, values in (at or {}).items():
        if not isinstance(name, str):
            raise OptionError(f"at= has the key {show_value(name)}, which is not the name of a column. {_AT}")
        column = find_column(fit, name)
        if column in groups or column in choices:
            both = "both in at= and in by=" if column in groups else "in at= twice"
            raise OptionError(f"{column!r} is {both}. Leave one of them out.")
        choices[column] = _read_values(fit, column, values)
    _require_few(math.prod(map(len, choices.values())))
    return [_join(dict(zip(choices, combination, strict=True))) for combination in product(*choices.values())], groups


def _read_by(fit: CoefficientStatistics, by: object) -> tuple[str, ...]:
    names = () if by is None else (by,) if isinstance(by, str) else by
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise OptionError(f"by={show_value(by)} is not the name of a column. Write by='g', or by=['g', 'h'] for several.")
    numbers, labels = predictors_in_columns(fit)
    found = []
    for name in names:
        factor = fit.design.factors.get(name)
        column = factor.name.name if isinstance(factor, Categorical) else name.strip("` ")
        if column not in (*numbers, *labels):
            require_columns(fit.source, [column])
        found.append(column)
    return tuple(dict.fromkeys(found))


def _reference_grid(fit: CoefficientStatistics, by: Sequence[str]) -> list[Setting]:
    """Return the points of emmeans' reference grid: numbers at means, categories with equal weights or, in `by`, each level."""
    numbers, labels = predictors_in_columns(fit)
    for name in by:
        if name not in labels:
            values = "Set values of it in at=, or leave" if name in numbers else "Leave"
            raise OptionError(
                f"by={name!r} with at='mean' is not a category of the formula, so it has no levels to set. {values} at= out for "
                "the groups of the rows."
            )
    base = {name: [_Choice(means=frozenset([name]))] for name in numbers} | {
        name: [_Choice(levels=_equal_weights(fit, name))] for name in labels if name not in by
    }
    grid = {name: [_Choice(levels={level: 1.0}, shown=level) for level in _levels(fit, name)] for name in by}
    _require_few(math.prod(map(len, grid.values())))
    return [
        _join({**{name: choice for name, (choice,) in base.items()}, **dict(zip(grid, combination, strict=True))}, only=by)
        for combination in product(*grid.values())
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """A value that one column is set to, as in `Setting`."""

    number: float | None = None
    means: frozenset[str] = frozenset()
    levels: Mapping[Level, float] | None = None
    shown: Any = MEAN


def _join(choices: Mapping[str, _Choice], only: Sequence[str] | None = None) -> Setting:
    return Setting(
        numbers={name: each.number for name, each in choices.items() if each.number is not None},
        means=frozenset().union(*(each.means for each in choices.values())),
        levels={name: each.levels for name, each in choices.items() if each.levels is not None},
        shown={name: each.shown for name, each in choices.items() if only is None or name in only},
    )


def _read_values(fit: CoefficientStatistics, column: str, values: object) -> list[_Choice]:
    """Return the choices of one column of `at`."""
    is_several = isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)
    found = list(values) if is_several else [values]  # type: ignore[call-overload]  # mypy does not narrow by a name
    if not found:
        raise OptionError(f"at= has no value for {column!r}. {_AT}")
    _require_few(len(found))
    numbers, labels = predictors_in_columns(fit)
    return [_read_value(fit, column, value, is_number=column in numbers, is_label=column in labels) for value in found]


def _read_value(fit: CoefficientStatistics, column: str, value: Any, *, is_number: bool, is_label: bool) -> _Choice:
    value = value.item() if hasattr(value, "item") and not isinstance(value, str) else value
    is_mean = isinstance(value, str) and value == MEAN
    choice = _Choice(shown=value)
    if is_label:
        coding = coding_of(fit, column)
        level = None if coding is None else find_level(coding, value)
        if level is None and not is_mean:
            levels = _levels(fit, column)
            known = suggest_name(value, levels) if all(isinstance(each, str) for each in levels) else f"Known: {listed(levels)}."
            raise DataError(f"at= sets {column!r} to {show_value(value)}, which is not a level of the fit. {known}")
        weights = _equal_weights(fit, column) if level is None else {level[0]: 1.0}
        choice = replace(choice, levels=weights, shown=MEAN if level is None else level[0])
    if is_number and is_mean:
        choice = replace(choice, means=frozenset([column]))
    elif is_number:
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            raise OptionError(f"at= sets {column!r} to {show_value(value)}, and {column!r} holds finite numbers. {_AT}")
        choice = replace(choice, number=float(value))
    return choice


def find_level(coding: ContrastCoding, value: object) -> tuple[Level] | None:
    """Return the level that is equal to a value, or has its text; None if there is none."""
    same = [level for level in coding.levels if level == value and isinstance(level, bool) == isinstance(value, bool)]
    alike = same or [level for level in coding.levels if str(level) == str(value)]
    return (alike[0],) if alike else None


def _levels(fit: CoefficientStatistics, column: str) -> tuple[Level, ...]:
    coding = coding_of(fit, column)
    return () if coding is None else coding.levels


def _equal_weights(fit: CoefficientStatistics, column: str) -> dict[Level, float]:
    levels = _levels(fit, column)
    return dict.fromkeys(levels, 1.0 / len(levels))


def _require_few(points: int) -> None:
    if points > _MOST_POINTS:
        raise OptionError(f"at= and by= make {points:,} points, and at most {_MOST_POINTS:,} are estimated. Give fewer values.")


def describe_means(fit: CoefficientStatistics, means: Mapping[str, float], points: Sequence[Setting]) -> str:
    """Say which numbers are at their means, and which categories are weighted equally."""
    numbers = [f"{name} = {value:.6g}" for name, value in means.items()]
    equal = dict.fromkeys(name for point in points for name, weights in point.levels.items() if len(weights) > 1)
    parts = [f"at the mean: {', '.join(numbers)}"] if numbers else []
    parts += [f"with equal weights: the levels of {join_words(list(equal))}"] if equal else []
    return "; ".join(parts)
