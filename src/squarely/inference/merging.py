"""Fits put together and taken out of each other: the checks, the union of their levels, the sums, and what may be claimed then."""

from __future__ import annotations

from collections.abc import Sequence

from squarely.data import AbsentSource, RowAccount
from squarely.design import Design, reduced, require_alike, united
from squarely.errors import DataError, InputError, counted
from squarely.exact import NEVER_IN, solve_without_rows
from squarely.inference.fit import Fit
from squarely.inference.statistics import infer
from squarely.moments import Share, absent_levels, merge_moments


def combined(fits: Sequence[Fit], removed: Sequence[Fit] = ()) -> Fit:
    """Give the fit of all rows of `fits` without those of `removed`; none of the rows is needed.

    Raises
    ------
    InputError : there is no fit, or something is not one.
    DataError : the fits are not of one model, or what is removed cannot have been in; the message names the difference.
    """
    every = [*fits, *removed]
    _require_fits(fits, every)
    names = [*(f"fit {i}" for i in range(1, len(fits) + 1)), *(["the fit to take out"] * len(removed))]
    first = every[0].design
    for fit, name in zip(every[1:], names[1:], strict=True):
        require_alike(first, fit.design, name)
    account = _account(fits, removed)
    signs = [1] * len(fits) + [-1] * len(removed)
    shares = [
        Share(moments=fit.solution.moments, sign=sign, doubt=fit.solution.factor.doubt)
        for fit, sign in zip(every, signs, strict=True)
    ]
    design = united([fit.design for fit in fits], [fit.design for fit in removed])
    if removed:
        for fit in removed:
            _require_levels(design, fit.design)
        design = reduced(design, absent_levels(design, shares))
    merged = merge_moments(design, shares, account)
    solution = solve_without_rows(merged, [fit.solution for fit in every], signs)
    return infer(solution, _absent(fits))


def _require_fits(fits: Sequence[Fit], every: Sequence[object]) -> None:
    if not fits:
        raise InputError("There is no fit to merge. Give at least one, such as sq.merge([sq.load('a.json'), sq.load('b.json')]).")
    for fit in every:
        if not isinstance(fit, Fit):
            raise InputError(
                f"Fits are merged, and this is {fit!r}, of type {type(fit).__name__}. Give results of sq.ols(...) or sq.load(path)."
            )


def _account(fits: Sequence[Fit], removed: Sequence[Fit]) -> RowAccount:
    account = sum((fit.rows for fit in fits), RowAccount())
    taken = sum((fit.rows for fit in removed), RowAccount())
    try:
        left = account - taken
    except ValueError as error:
        raise DataError(NEVER_IN.format(f"it has {error}")) from None
    if removed and not left.used:
        raise DataError(
            f"All {counted(account.used, 'row')} are taken out, and nothing is left to fit. Take out fewer, or fit other rows."
        )
    return left


def _require_levels(design: Design, removed: Design) -> None:
    for text, coding in design.categories.items():
        for level in removed.categories[text].levels:
            if level not in coding.levels:
                raise DataError(NEVER_IN.format(f"it has the level {level!r} of {text}, which no row has that was in"))


def _absent(fits: Sequence[Fit]) -> AbsentSource:
    columns = {name: kind for fit in reversed(fits) for name, kind in fit.source.columns.items()}
    notes = tuple(dict.fromkeys(note for fit in fits for note in fit.source.notes))
    label = fits[0].source.label if len(fits) == 1 else counted(len(fits), "merged fit")
    return AbsentSource(label, columns, notes)
