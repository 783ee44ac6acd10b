"""What a user passes: a formula and data, arrays or a loader. Also the first steps that both methods take from there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from squarely.data import (
    ArraysSource,
    CachedSource,
    RowAccount,
    Source,
    is_aggregate_only,
    open_new_rows,
    open_source,
    open_xy,
    read_cache_limit,
    require_local,
    split_source,
)
from squarely.design import (
    Formula,
    Where,
    formula_of,
    learn_from_rows,
    learn_in_engine,
    parse_formula,
    parse_weights,
    parse_where,
    plan_design,
    require_named,
)
from squarely.errors import DataError, IllConditionedError, InputError, OptionError, pluralize, require_one_of, show_value
from squarely.exact import absorb_effects, require_rows_for_effects
from squarely.inference import CLASSICAL, CovarianceOptions, Fit, infer, require_group_columns, require_order, require_readable_rows
from squarely.moments import Moments, choose_fold, fallback_remark, gather_in_engine, gather_moments
from squarely.types import Missing

if TYPE_CHECKING:
    from torch import nn

    from squarely.exact import Solution


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ModelInputs:
    """The model and its rows, as the user passed them. The docstrings of `squarely.ols` and `train` describe the fields."""

    formula: str | None
    data: object
    X: object
    y: object
    intercept: bool
    where: str | None
    missing: str = "drop"
    read: Mapping[str, object] | None = None
    fold: str = "batches"
    order_by: str | None = None
    covariance: CovarianceOptions = CLASSICAL
    weights: object = None
    frequencies: object = None
    label_arrays: Mapping[str, Any] = field(default_factory=dict)
    loader: Iterable[object] | None = None
    model: nn.Module | None = None
    validation: object = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> ModelInputs:
        """Take the fields of this class out of the arguments of a public function."""
        return cls(**{each.name: arguments[each.name] for each in fields(cls) if each.name in arguments})


def fit_moments(inputs: ModelInputs, solve: Callable[[Moments, Source], Solution]) -> Fit:
    """Fit with `solve(moments, source)`, with moments from the engine that has the rows or from the rows themselves.

    With fold="auto", the rows are read after all if the moments of the engine are too inexact for `solve`.
    """
    formula, source = open_least_squares(inputs)
    remarks = describe_order(inputs)
    in_engine = not formula.effects and choose_fold(inputs.fold, source, formula) != "batches"
    with parse_once(inputs, formula, source) as stored:

        def fit_with(moments: Moments, *more: str) -> Fit:
            all_remarks = (*moments.remarks, *remarks, *more, *_storage_remarks(stored))
            fit = infer(solve(replace(moments, remarks=all_remarks), stored), stored, inputs.covariance)
            return replace(fit, source=source)

        moments = compute_moments(inputs, formula, stored, in_engine=in_engine)
        try:
            return fit_with(moments)
        except IllConditionedError as error:
            if not in_engine or inputs.fold != "auto" or is_aggregate_only(source):
                raise
            return fit_with(compute_moments(inputs, formula, stored, in_engine=False), fallback_remark(moments, error))


def require_covariance(covariance: CovarianceOptions, source: Source, formula: Formula) -> None:
    """Raise an error if a covariance needs columns, an order or rows that the source does not give."""
    require_group_columns(covariance, source)
    require_order(covariance, source, has_frequencies=formula.has_frequencies)
    require_readable_rows(covariance, source)


def sort_rows(inputs: ModelInputs, source: Source) -> Source:
    """Put rows without an order into that of `order_by=`."""
    if inputs.order_by is None:
        return source
    if not isinstance(inputs.order_by, str):
        raise OptionError(f"order_by={show_value(inputs.order_by)} is not the name of a column. Give one, such as order_by='time'.")
    return source.sort_by(inputs.order_by)


def describe_order(inputs: ModelInputs) -> tuple[str, ...]:
    """Return a remark that says in which order the rows are, if `order_by=` gave it."""
    return () if inputs.order_by is None else (f"Rows in the order of {inputs.order_by!r}.",)


def open_least_squares(inputs: ModelInputs) -> tuple[Formula, Source]:
    """Return the formula with what the covariance reads, and the rows in their order, or raise an error if they do not allow it."""
    formula, source = open_inputs(inputs)
    source = sort_rows(inputs, source)
    require_covariance(inputs.covariance, source, formula)
    require_rows_for_effects(formula, source, inputs.fold)
    return replace(formula, groups=inputs.covariance.groups), source


def _weigh_rows(inputs: ModelInputs, formula: Formula, source: Source) -> tuple[Formula, Source]:
    """Add weights or frequencies to a formula; beside X= and y= they may be an array, which becomes a column."""
    given = {name: value for name in ("weights", "frequencies") if (value := getattr(inputs, name)) is not None}
    if len(given) > 1:
        raise OptionError("weights= and frequencies= do not go together. Give one of them.")
    for name, value in given.items():
        if inputs.loader is not None:
            raise OptionError(f"{name}= does not go with loader=, which yields inputs and targets alone. Give a formula and data.")
        if isinstance(source, ArraysSource) and formula.names is not None and not isinstance(value, str | bool | Real):
            source, value = source.add_array(name, value)
        if not isinstance(value, str) or not value.strip():
            raise OptionError(
                f"{name}={show_value(value)} is not a column. Give its name, or an expression in a call such as "
                f"{name}='I(1 / variance)': a column is read with its rows, so it stays aligned when rows are left out."
            )
        return replace(formula, weights=parse_weights(value), has_frequencies=name == "frequencies"), source
    return formula, source


@contextmanager
def parse_once(inputs: ModelInputs, formula: Formula, source: Source, processes: int = 1) -> Iterator[Source]:
    """Yield a source that stores the columns of the model while this context lasts, if the rows are parsed from text.

    Each of several processes stores its share of the limit in memory.
    """
    if not source.is_parsed:
        yield source
        return
    limit = read_cache_limit() // processes
    plan = plan_design(formula, source, parse_row_filter(inputs))
    stored = CachedSource(source, *plan.inputs.columns(plan.where), limit)
    try:
        yield stored
    finally:
        stored.release()


def _storage_remarks(source: Source) -> tuple[str, ...]:
    return source.remarks if isinstance(source, CachedSource) else ()


def compute_moments(inputs: ModelInputs, formula: Formula, source: Source, *, in_engine: bool) -> Moments:
    """Learn the design and compute its cross-products, on the rows or inside the engine, and check which rows were dropped."""
    learn, gather = (learn_in_engine, gather_in_engine) if in_engine else (learn_from_rows, gather_moments)
    design = learn(formula, source, parse_row_filter(inputs))
    moments = gather(absorb_effects(design, source) if formula.effects else design, source)
    require_complete(inputs, moments.account, source)
    return moments


def parse_row_filter(inputs: ModelInputs) -> Where | None:
    """Parse `where=`, and check that `missing=` has a valid value."""
    require_one_of("missing", inputs.missing, get_args(Missing))
    return None if inputs.where is None else parse_where(inputs.where)


def require_complete(inputs: ModelInputs, account: RowAccount, source: Source) -> None:
    """Raise a DataError if rows were dropped and the user wants none dropped."""
    if inputs.loader is not None:
        reason, advice = "training needs complete rows", "Leave these rows out of the dataset, or fill the gaps."
    else:
        reason, advice = "missing='raise' refuses them", "Fill the gaps, or let missing='drop' leave such rows out."
    if account.dropped and (inputs.loader is not None or inputs.missing == "raise"):
        lines = " ".join(account.lines())
        raise DataError(f"There are rows with gaps in {source.label}, and {reason}. {lines} {advice}")


def open_inputs(inputs: ModelInputs) -> tuple[Formula, Source]:
    """Parse the formula and open the rows, or raise an error if the inputs do not go together."""
    return _weigh_rows(inputs, *_open_model(inputs))


def _open_model(inputs: ModelInputs) -> tuple[Formula, Source]:
    if not isinstance(inputs.intercept, bool | np.bool_):
        raise OptionError(f"intercept={show_value(inputs.intercept)} is not a boolean. Give True or False.")
    if inputs.loader is not None:
        if inputs.read:
            raise OptionError("read= says how to read a file, and loader= is not a file. Leave it out.")
        return _open_loader(inputs, inputs.loader)
    if inputs.X is None and inputs.y is None:
        if inputs.formula is None or inputs.data is None:
            raise InputError(
                f"There is no {'formula' if inputs.formula is None else 'data'}. Give a formula and data, or X= and y=."
            )
        _require_formula_first(inputs.formula, inputs.data)
        if not inputs.intercept:
            raise OptionError("intercept=False is for X= and y=. In a formula, write '- 1'.")
        if not isinstance(inputs.formula, str):
            return parse_formula(inputs.formula), open_source(inputs.data, inputs.read)  # raises the error
        source = open_source(inputs.data, inputs.read)
        return parse_formula(inputs.formula, source.dot_columns), source
    if inputs.read:
        raise OptionError("read= says how to read a file, and X= and y= are not files. Leave it out.")
    if inputs.X is None or inputs.y is None or inputs.formula is not None or inputs.data is not None:
        raise InputError("X= and y= go together, without a formula and data. Give X= and y=, or a formula and data.")
    arrays, names, response = open_xy(inputs.X, inputs.y)
    return formula_of(names, response, intercept=inputs.intercept), arrays.add_arrays(inputs.label_arrays)


def _require_formula_first(formula: object, data: object) -> None:
    """Raise an InputError if the data are in the place of the formula, as in scikit-learn."""
    is_formula = isinstance(data, str) and "~" in data.strip()[1:]  # a path may begin with ~
    if is_formula and not (isinstance(formula, str) and "~" in formula):
        raise InputError(f"The data are in the place of the formula, and {data!r} in that of the data. Give the formula first.")


def _open_loader(inputs: ModelInputs, loader: Iterable[object]) -> tuple[Formula, Source]:
    """Open a loader as a source with columns x1, x2, ... and y."""
    from squarely.descent import LoaderSource, affine_form

    if any(part is not None for part in (inputs.formula, inputs.data, inputs.X, inputs.y, inputs.where)):
        raise InputError("loader= brings its own rows, without a formula, data, X=, y= or where=. Give one or the other.")
    source = LoaderSource(loader)
    bias = inputs.intercept if inputs.model is None else affine_form(inputs.model, len(source.names)).bias is not None
    return formula_of(source.names, source.response, intercept=bias), source


def require_no_effects(formula: Formula, what: str) -> None:
    """Raise an OptionError for something that does not absorb fixed effects, if the formula has some."""
    if formula.effects:
        columns = " + ".join(f"C({name})" for name in formula.label_columns)
        raise OptionError(
            f"The formula {formula.text!r} has fixed effects after '|', which ols absorbs and {what} does not. Use ols, or write "
            f"few levels as columns: + {columns}."
        )


def open_training(inputs: ModelInputs, seed: int, contexts: ExitStack, processes: int = 1) -> tuple[Formula, Source, Source | None]:
    """Return the formula, the rows to train on and the rows to validate on: a fraction of the rows, or other data.

    Rows of text are parsed once in `contexts`.
    """
    if inputs.loader is not None and processes > 1:
        raise OptionError(
            f"loader= has no shards for {processes} processes. Give a formula and data, or X= and y=, or train in one process."
        )
    formula, source = open_inputs(inputs)
    require_no_effects(formula, "training")
    source = contexts.enter_context(parse_once(inputs, formula, source, processes))
    return formula, *_split_validation(inputs, formula, source, seed)


def _split_validation(inputs: ModelInputs, formula: Formula, source: Source, seed: int) -> tuple[Source, Source | None]:
    validation = inputs.validation
    if validation is None:
        return source, None
    from squarely.descent import LoaderSource  # here, because PyTorch takes a second to import

    if isinstance(validation, bool):
        raise OptionError(f"validation={validation!r} is neither a fraction nor rows. Give a fraction, such as 0.2, or other rows.")
    if isinstance(source, LoaderSource):
        if isinstance(validation, Real):
            raise OptionError(
                f"validation={show_value(validation)} is a fraction of the rows, and a loader cannot be split. "
                "Split its dataset, such as with torch.utils.data.random_split, and give a loader of each part."
            )
        rows = LoaderSource(cast("Iterable[object]", validation))  # raises an error for other types
        if rows.names != source.names:
            raise DataError(
                f"The loader for validation has {pluralize(len(rows.names), 'feature')}, and the one for training has "
                f"{len(source.names):,}. Give both loaders the same features."
            )
        return source, rows
    if isinstance(validation, Real):
        require_local(
            source, "hold a fraction of them out", "Leave validation= out, give it other rows, such as a sample that is here"
        )
        return split_source(source, validation, seed)
    try:
        held_out = _open_validation(validation, formula, inputs.read)
        require_named(formula, held_out)
    except DataError as error:
        raise DataError(f"The rows of validation= cannot be used. {error}") from error.__cause__
    return source, held_out


def _open_validation(validation: object, formula: Formula, read: Mapping[str, object] | None) -> Source:
    if formula.names is not None and isinstance(validation, tuple):
        return _open_pair(validation, formula)
    return open_new_rows(validation, formula.names, read if isinstance(validation, (str, bytes, os.PathLike)) else None)


def _open_pair(validation: tuple[object, ...], formula: Formula) -> Source:
    """Open the (X, y) of `validation=` beside X= and y=, or (X, y, weights). Columns without names get the names of X=."""
    names_weights = formula.weights is not None and formula.weights.text not in (formula.names or ())
    option = next(iter(formula.weights_option), "")
    if len(validation) != 2 + names_weights:
        parts = f"(X, y, {option})" if names_weights else "(X, y)"
        raise DataError(f"validation= is a tuple of {pluralize(len(validation), 'part')}. Give {parts}.")
    arrays, names, response = open_xy(*validation[:2])
    if names_weights:
        arrays, added = arrays.add_array(option, validation[2])
        arrays = arrays.with_names({added: formula.weights.text if formula.weights else added})
    expected = formula.names or ()
    if len(names) != len(expected):
        raise DataError(
            f"The X of validation= has {pluralize(len(names), 'column')}, and X= has {len(expected):,}. Give both the same columns."
        )
    unnamed = names == tuple(f"x{j + 1}" for j in range(len(names)))
    return arrays.with_names({**(dict(zip(names, expected, strict=True)) if unnamed else {}), response: formula.response.text})
