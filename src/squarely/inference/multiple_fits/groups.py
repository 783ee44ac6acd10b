"""`by=`: which columns make the groups, in which order they come, and the fit of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from squarely.data import Source, fractional_label_error, is_aggregate_only, level_number, parses_as_number, require_columns
from squarely.design import (
    BooleanOperation,
    Condition,
    Design,
    Formula,
    IsIn,
    Name,
    Where,
    argument_of,
    column_names,
    needs_backticks,
)
from squarely.errors import DataError, OptionError, show_value
from squarely.exact import require_precision, solve_least_squares
from squarely.inference.covariance.options import HC, CovarianceOptions
from squarely.inference.fit import Fit, infer
from squarely.inference.multiple_fits.fits import Fits
from squarely.inference.multiple_fits.group_estimates import GroupEstimates, estimate_groups
from squarely.moments import gather_moments


def read_group_columns(by: object, formula: Formula, source: Source) -> tuple[str, ...]:
    """Check the columns of `by=`.

    Raises
    ------
    OptionError : these are not names of columns, or one is also in the formula; or the rows stay in a database.
    DataError : a column does not exist.
    """
    names = (by,) if isinstance(by, str) else tuple(by) if isinstance(by, list | tuple) else ()
    if not names or not all(isinstance(name, str) and name for name in names):
        raise OptionError(f"by={show_value(by)} is not the name of a column. Give one, or a list of them, such as by='origin'.")
    shown = repr(names[0] if len(names) == 1 else list(names))
    if len({*names}) < len(names):
        raise OptionError(f"by={shown} names a column twice. Name each once.")
    used = {name.name for name in column_names(*formula.row_expressions.values(), *map(argument_of, formula.factors.values()))}
    for name in names:
        try:
            require_columns(source, [name])
        except DataError as error:
            raise DataError(f"by={name!r} is not a column. {error}") from None
        if name in used:
            raise OptionError(f"by={name!r} is also in the formula, where it has one value in each group. Leave it out of one.")
    require_rows_here(source, f"by={shown} reads")
    return names


def require_rows_here(source: Source, what: str) -> None:
    """Raise an OptionError if the rows stay in a database, and `what` the rows."""
    if is_aggregate_only(source) and not source.ordered:
        raise OptionError(
            f"{what} the rows, which stay in {source.require_engine().name}: give ols order_by= a column that sorts them, or write "
            "them to a Parquet file and fit that."
        )


def require_group_covariance(options: CovarianceOptions) -> None:
    """Raise an OptionError for a covariance that is not computed for all groups at once."""
    if options.kind not in ("nonrobust", *HC):
        raise OptionError(
            f"vcov={options.kind!r} is not computed for all groups of by= at once. Use 'HC3', or one group's fit: "
            f"fits[key].vcov({options.kind!r}, ...)."
        )


def fit_groups(
    design: Design, stored: Source, source: Source, options: CovarianceOptions, *, collinear: str, precision: str
) -> Fits:
    """Fit the model of a design to each group of rows that `design.formula.groups` names.

    `stored` has the rows of `source`, perhaps for a while; the fit of one group reads `source`.
    """
    require_precision(precision)
    by = design.formula.groups
    estimates = estimate_groups(design, stored, kind=options.kind, collinear=collinear)
    estimates = _sort_groups(estimates, by, source)
    absent = dict(zip(estimates.keys, estimates.zero.sum(axis=1).tolist(), strict=True))

    def make(key: Any) -> Fit:
        solve = partial(solve_least_squares, collinear=collinear, precision=precision, absent=absent[key])
        formula = replace(design.formula, groups=())
        of_group = replace(design, formula=formula, where=filter_group(design.where, by, key if len(by) > 1 else (key,)))
        return infer(solve(gather_moments(of_group, source), source), source, options)

    return Fits(design.formula.text, by, estimates, make, options.kind)


def filter_group(where: Where | None, by: Sequence[str], values: Sequence[Any]) -> Where:
    """Return the condition that a row is in a group, and meets the condition of all rows."""
    names = [f"`{name}`" if needs_backticks(name) else name for name in by]
    texts = [f"{name} == {value!r}" for name, value in zip(names, values, strict=True)]
    conditions: list[Condition] = [IsIn(Name(name, (0, 0)), (value,)) for name, value in zip(by, values, strict=True)]
    if where is not None:
        texts.insert(0, f"({where.text})")
        conditions.insert(0, where.condition)
    return Where(
        text=" and ".join(texts),
        condition=BooleanOperation("and", tuple(conditions)),
        numbers=() if where is None else where.numbers,
        labels=tuple(dict.fromkeys((*(() if where is None else where.labels), *by))),
    )


def _sort_groups(estimates: GroupEstimates, by: Sequence[str], source: Source) -> GroupEstimates:
    """Put groups in the order of their labels, or of declared categories; labels of a text file may be numbers."""
    columns = list(zip(*estimates.keys, strict=True)) if len(by) > 1 else [tuple(estimates.keys)]
    if not source.typed:
        columns = [_read_numbers(name, values) for name, values in zip(by, columns, strict=True)]
    ranks = [_rank_labels(values, source.category_order(name)) for name, values in zip(by, columns, strict=True)]
    order = np.lexsort(ranks[::-1]).tolist()
    keys = list(zip(*columns, strict=True)) if len(by) > 1 else list(columns[0])
    return estimates.take(order, [keys[i] for i in order])


def _rank_labels(values: Sequence[Any], declared: Sequence[Any] | None) -> np.ndarray:
    """Return the rank of each label: in the order of declared categories, sorted, or in that of appearance."""
    distinct = list(dict.fromkeys(values))
    if declared is not None and {*distinct} <= {*declared}:
        distinct = list(declared)
    elif len({isinstance(value, str) for value in distinct}) == 1:
        distinct.sort()
    places = {value: place for place, value in enumerate(distinct)}
    return np.array([places[value] for value in values])


def _read_numbers(name: str, labels: Sequence[str]) -> tuple[Any, ...]:
    """Read the labels of a text file as numbers if all of them are, and none is written in two ways."""
    if all(map(parses_as_number, labels)):
        odd = next((label for label in labels if not float(label).is_integer()), None)
        if odd is not None:
            raise fractional_label_error(name, odd)
    levels = {label: level_number(label) for label in dict.fromkeys(labels)}
    if any(isinstance(level, str) for level in levels.values()) or len({*levels.values()}) < len(levels):
        return tuple(labels)
    return tuple(levels[label] for label in labels)
