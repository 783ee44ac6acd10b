"""Fits put together and taken out of each other: the checks, the union of their levels, the sums, and what may be claimed then."""

from __future__ import annotations

import math
from collections.abc import Sequence

from squarely.data import DetachedSource, RowAccount
from squarely.design import Design, require_compatible, union_of, without_levels
from squarely.errors import DataError, InputError, pluralize, require_one_of
from squarely.exact import NOT_IN_MERGE, Shard, is_same_shard, solve_merged
from squarely.inference.fit import Fit
from squarely.inference.statistics import infer
from squarely.moments import SignedMoments, absent_levels, has_same_moments, merge_moments


def merge_solutions(fits: Sequence[Fit], removed: Sequence[Fit] = (), *, duplicates: str = "raise") -> Fit:
    """Give the fit of all rows of `fits` without those of `removed`; none of the rows is needed.

    Raises
    ------
    InputError : there is no fit, or something is not one.
    DataError : the fits are not of one model, two are of the same rows, or what is removed cannot have been in; the message names
        the difference.
    """
    require_one_of("duplicates", duplicates, ("raise", "keep"))
    every = [*fits, *removed]
    _require_fits(fits, every)
    names = [*(f"fit {i}" for i in range(1, len(fits) + 1)), *(["the fit to take out"] * len(removed))]
    first = every[0].design
    for fit, name in zip(every[1:], names[1:], strict=True):
        require_compatible(first, fit.design, name)
    account = _merge_accounts(fits, removed)
    signs = [1] * len(fits) + [-1] * len(removed)
    shares = [
        SignedMoments(moments=fit.solution.moments, sign=sign, error_factor=fit.solution.factor.error_factor)
        for fit, sign in zip(every, signs, strict=True)
    ]
    design = union_of([fit.design for fit in fits], [fit.design for fit in removed])
    if duplicates == "raise":
        _require_different_rows(fits, design)
        _require_different_shards(fits)
    if removed:
        for fit in removed:
            _require_levels(design, fit.design)
        design = without_levels(design, absent_levels(design, shares))
    merged = merge_moments(design, shares, account)
    solution = solve_merged(merged, [fit.solution for fit in every], signs)
    return infer(solution, _detached_source(fits))


def _require_fits(fits: Sequence[Fit], every: Sequence[object]) -> None:
    if not fits:
        raise InputError("There is no fit to merge. Give at least one, such as sq.merge([sq.load('a.json'), sq.load('b.json')]).")
    for fit in every:
        if not isinstance(fit, Fit):
            raise InputError(
                f"Fits are merged, and this is {fit!r}, of type {type(fit).__name__}. Give results of sq.ols(...) or sq.load(path)."
            )


def _require_different_rows(fits: Sequence[Fit], design: Design) -> None:
    """Raise a DataError if two fits have the same cross-products: of the same rows, which would count twice."""
    by_size = sorted(range(len(fits)), key=lambda i: (fits[i].rows.used, fits[i].centered_tss))
    for at, i in enumerate(by_size):
        for j in by_size[at + 1 :]:
            if fits[j].rows.used != fits[i].rows.used or not math.isclose(fits[i].centered_tss, fits[j].centered_tss, rel_tol=1e-8):
                break
            if has_same_moments(design, fits[i].solution.moments, fits[j].solution.moments):
                first, second = sorted((i, j))
                raise DataError(
                    f"Fit {_fit_label(fits, first)} and fit {_fit_label(fits, second)} have the same cross-products of "
                    f"{pluralize(fits[i].rows.used, 'row')}, as fits of the same rows have, which would count twice. Leave one of "
                    "them out. If they are of different rows that happen to be alike, give duplicates='keep'."
                )


def _require_different_shards(fits: Sequence[Fit]) -> None:
    """Raise a DataError if a shard inside a merged fit is one of the other fits too, or inside another one."""
    met: dict[int, list[tuple[Shard, int]]] = {}
    for i, fit in enumerate(fits):
        inside = fit.solution.included_fits.shards
        same = ((shard[0], j) for shard in inside for other, j in met.get(shard[0], ()) if is_same_shard(shard, other))
        for n, j in same:
            if fit.solution.merge_record or fits[j].solution.merge_record:
                raise DataError(
                    f"Fit {_fit_label(fits, j)} and fit {_fit_label(fits, i)} both hold a shard of {pluralize(n, 'row')} with the same "
                    "mean and sums of squares, as the same rows have, which would count twice. Leave it out of one. If they are "
                    "different rows that happen to be alike, give duplicates='keep'."
                )
        for shard in inside:
            met.setdefault(shard[0], []).append((shard, i))


def _fit_label(fits: Sequence[Fit], i: int) -> str:
    """Name a fit by its place, and by the file that it was loaded from."""
    source = fits[i].source
    file = source.file if isinstance(source, DetachedSource) else ""
    return f"{i + 1}{f' ({file!r})' if file else ''}"


def _merge_accounts(fits: Sequence[Fit], removed: Sequence[Fit]) -> RowAccount:
    account = sum((fit.rows for fit in fits), RowAccount())
    taken = sum((fit.rows for fit in removed), RowAccount())
    try:
        left = account - taken
    except ValueError as error:
        raise DataError(NOT_IN_MERGE.format(f"it has {error}")) from None
    if removed and not left.used:
        raise DataError(
            f"All {pluralize(account.used, 'row')} are taken out, and nothing is left to fit. Take out fewer, or fit other rows."
        )
    return left


def _require_levels(design: Design, removed: Design) -> None:
    for text, coding in design.categories.items():
        for level in removed.categories[text].levels:
            if level not in coding.levels:
                raise DataError(NOT_IN_MERGE.format(f"it has the level {level!r} of {text}, which no row has that was in"))


def _detached_source(fits: Sequence[Fit]) -> DetachedSource:
    columns = {name: kind for fit in reversed(fits) for name, kind in fit.source.columns.items()}
    notes = tuple(dict.fromkeys(note for fit in fits for note in fit.source.notes))
    label = fits[0].source.label if len(fits) == 1 else pluralize(len(fits), "merged fit")
    source = DetachedSource(label, columns, notes)
    source.index_columns = frozenset().union(*(fit.source.indexes for fit in fits))
    return source
