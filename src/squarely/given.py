"""What a user hands over, a formula and data, arrays or a loader, and the first steps that both roads take from there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, cast

import numpy as np

from squarely.data import Source, keeps_rows, open_arrays, open_rows, open_source, require_here, split
from squarely.design import Formula, Where, ask, formula_of, learn, parse_formula, parse_where
from squarely.errors import DataError, InputError, OptionError, counted, require_word
from squarely.moments import Moments, choose_fold, gather, gather_inside

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Given:
    """What the user handed over: a formula and data, or X and y, and which rows to use."""

    formula: str | None
    data: object
    X: object
    y: object
    intercept: bool
    where: str | None
    missing: str
    fold: str = "batches"
    order_by: str | None = None
    loader: Iterable[object] | None = None
    model: nn.Module | None = None


def gathered(given: Given) -> tuple[Moments, Source]:
    """Read the formula, open the data, put the rows in order if that is asked for, learn the design, gather cross-products."""
    formula, source = opened(given)
    where = condition(given)
    if given.order_by is not None:
        if not isinstance(given.order_by, str):
            raise OptionError(f"order_by={given.order_by!r} is no name of a column. Give one, such as order_by='time'.")
        source = source.sorted_by(given.order_by)
    if choose_fold(given.fold, source, formula) == "aggregates":
        moments = by_aggregates(formula, source, where)
    else:
        moments = by_batches(formula, source, where)
    if given.order_by is not None:
        moments = replace(moments, remarks=(*moments.remarks, f"Rows in the order of {given.order_by!r}."))
    return complete(given, moments, source), source


def gathered_for_training(given: Given, formula: Formula, source: Source) -> Moments:
    """Learn the design and gather cross-products of rows that are read, or that stay where they are for good."""
    by = by_aggregates if keeps_rows(source) else by_batches
    return complete(given, by(formula, source, condition(given)), source)


def condition(given: Given) -> Where | None:
    """Read which rows are to be used."""
    require_word("missing", given.missing, ("drop", "raise"))
    return None if given.where is None else parse_where(given.where)


def complete(given: Given, moments: Moments, source: Source) -> Moments:
    """Give the moments, unless they are to be refused for the rows that had to be left out."""
    account = moments.account
    if given.loader is not None and account.dropped:
        raise DataError(
            f"There are rows with gaps in {source.label}, and the loop would meet every one of them. {' '.join(account.lines())} "
            "Leave them out of the dataset, or fill them."
        )
    if given.missing == "raise" and account.dropped:
        raise DataError(
            f"There are rows with gaps in {source.label}, and missing='raise' refuses them. {' '.join(account.lines())} "
            "Fill the gaps, or let missing='drop' leave such rows out."
        )
    return moments


def by_aggregates(formula: Formula, source: Source, where: Where | None) -> Moments:
    """Let an engine teach the design and work the cross-products out, reading no row."""
    return gather_inside(ask(formula, source, where), source)


def by_batches(formula: Formula, source: Source, where: Where | None) -> Moments:
    """Learn the design of the rows and fold them into cross-products, reading them."""
    return gather(learn(formula, source, where), source)


def opened(given: Given) -> tuple[Formula, Source]:
    """Read the formula and open the rows; what does not go together is said."""
    if not isinstance(given.intercept, bool | np.bool_):
        raise OptionError(f"intercept={given.intercept!r} is neither True nor False.")
    if given.loader is not None:
        return _opened_loader(given, given.loader)
    if given.X is None and given.y is None:
        if given.formula is None or given.data is None:
            raise InputError(
                f"There is no {'formula' if given.formula is None else 'data'}. Give a formula and data, or X= and y=."
            )
        if not given.intercept:
            raise OptionError("intercept=False is for X= and y=. In a formula, write '- 1'.")
        if not isinstance(given.formula, str):
            return parse_formula(given.formula), open_source(given.data)  # which says what is wrong with it
        source = open_source(given.data)
        return parse_formula(given.formula, source.dotted), source
    if given.X is None or given.y is None or given.formula is not None or given.data is not None:
        raise InputError("X= and y= go together, without a formula and data. Give X= and y=, or a formula and data.")
    arrays, names, response = open_arrays(given.X, given.y)
    return formula_of(names, response, intercept=given.intercept), arrays


def _opened_loader(given: Given, loader: Iterable[object]) -> tuple[Formula, Source]:
    """Open a user's own loader, whose columns are x1, x2, ... and y."""
    from squarely.descent import LoaderSource, affine

    if any(part is not None for part in (given.formula, given.data, given.X, given.y, given.where)):
        raise InputError("loader= brings its own rows: it goes without a formula, data, X=, y= and where=. Give one or the other.")
    source = LoaderSource(loader)
    bias = given.intercept if given.model is None else affine(given.model, len(source.names)).bias is not None
    return formula_of(source.names, source.response, intercept=bias), source


def held_out(validation: object, formula: Formula, source: Source, seed: int) -> tuple[Source, Source | None]:
    """Give the rows to train on and those to validate on: a share of the source, or data of their own."""
    from squarely.descent import LoaderSource

    if validation is None:
        return source, None
    if isinstance(validation, bool):
        raise OptionError(f"validation={validation!r} is neither a share nor rows. Give a share, such as 0.2, or other rows.")
    if isinstance(source, LoaderSource):
        if isinstance(validation, Real):
            raise OptionError(
                f"validation={validation!r} is a share of the rows, and the loader hands all of its rows to the loop. "
                "Split its dataset, such as with torch.utils.data.random_split, and give a loader of the rest."
            )
        given = LoaderSource(cast("Iterable[object]", validation))  # which says what is wrong with it
        if given.names != source.names:
            raise DataError(
                f"The loader for validation has {counted(len(given.names), 'feature')}, and the one for training "
                f"{len(source.names):,}. Give both the same."
            )
        return source, given
    if isinstance(validation, Real):
        require_here(source, "hold a share of them out", "Leave validation= out, give it other rows, such as a sample that is here")
        return split(source, float(validation), seed)
    if formula.names is not None and isinstance(validation, tuple):
        return source, _pair(validation, formula)
    return source, open_rows(validation, formula.names)


def _pair(validation: tuple[object, ...], formula: Formula) -> Source:
    """Open (X, y) to validate with, where X= and y= are trained on; columns without names of their own have those of X=."""
    if len(validation) != 2:
        raise DataError(f"validation= is a tuple of {counted(len(validation), 'part')}. Give (X, y), as X= and y= have them.")
    X, y = validation
    arrays, names, response = open_arrays(X, y)
    known = formula.names or ()
    if len(names) != len(known):
        raise DataError(
            f"The X of validation= has {counted(len(names), 'column')}, and X= has {len(known):,}. Give the same columns."
        )
    unnamed = names == tuple(f"x{j + 1}" for j in range(len(names)))
    return arrays.renamed({**(dict(zip(names, known, strict=True)) if unnamed else {}), response: formula.response.text})
