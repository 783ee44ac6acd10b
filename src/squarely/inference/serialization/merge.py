"""Merge fits and remove fits from a merged one, from their solutions alone: no rows are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import get_args

from squarely.data import DetachedSource, RowAccount, Source
from squarely.design import Design, require_compatible, union_of, without_levels
from squarely.errors import DataError, pluralize, require_one_of
from squarely.exact import NOT_IN_MERGE, Shard, Solution, is_same_shard, solve_merged
from squarely.moments import SignedMoments, absent_levels, has_same_moments, merge_moments
from squarely.types import Duplicates


def merge_solutions(
    parts: Sequence[Solution], removed: Sequence[Solution], sources: Sequence[Source], *, duplicates: str
) -> Solution:
    """Return the solution for all rows of `parts` without those of `removed`.

    A DataError names `sources`: the models differ, two parts have the same rows, or the removed ones are not in `parts`.
    """
    require_one_of("duplicates", duplicates, get_args(Duplicates))
    all_parts = [*parts, *removed]
    if any(part.moments.design.absorbed is not None for part in all_parts):
        raise DataError(
            "Fits with absorbed fixed effects are not merged: each has lost the effects of its own rows. Fit all rows at once, "
            "such as the files 'data/*.parquet'."
        )
    names = [*(f"fit {i}" for i in range(1, len(parts) + 1)), *(["the fit to remove"] * len(removed))]
    for part, name in zip(all_parts[1:], names[1:], strict=True):
        require_compatible(all_parts[0].moments.design, part.moments.design, name)
    account = _merge_accounts(parts, removed)
    signs = [1] * len(parts) + [-1] * len(removed)
    signed = [
        SignedMoments(moments=part.moments, sign=sign, error_factor=part.factor.error_factor)
        for part, sign in zip(all_parts, signs, strict=True)
    ]
    design = union_of([part.moments.design for part in parts], [part.moments.design for part in removed])
    if duplicates == "raise":
        _require_different_rows(parts, sources, design)
        _require_different_shards(parts, sources)
    if removed:
        for part in removed:
            _require_levels(design, part.moments.design)
        design = without_levels(design, absent_levels(design, signed))
    return solve_merged(merge_moments(design, signed, account), all_parts, signs)


def _require_different_rows(parts: Sequence[Solution], sources: Sequence[Source], design: Design) -> None:
    """Raise a DataError if two parts have the same cross-products, which means the same rows."""
    by_size = sorted((part.moments.n, part.centered_tss, i) for i, part in enumerate(parts))
    for at, (n, squares, i) in enumerate(by_size):
        for other_n, other_squares, j in by_size[at + 1 :]:
            if other_n != n or not math.isclose(squares, other_squares, rel_tol=1e-8):
                break
            if has_same_moments(design, parts[i].moments, parts[j].moments):
                first, second = (_label(sources, k) for k in sorted((i, j)))
                raise DataError(
                    f"Fit {first} and fit {second} have the same cross-products of {pluralize(n, 'row')}, so they seem to be fits "
                    "of the same rows. Leave one of them out, or keep both with duplicates='keep'."
                )


def _require_different_shards(parts: Sequence[Solution], sources: Sequence[Source]) -> None:
    """Raise a DataError if a shard inside a merged fit is also another fit, or inside one."""
    found: dict[int, list[tuple[Shard, int]]] = {}
    for i, part in enumerate(parts):
        shards = part.included_fits.shards
        same = ((shard[0], j) for shard in shards for other, j in found.get(shard[0], ()) if is_same_shard(shard, other))
        for n, j in same:
            if part.merge_record or parts[j].merge_record:
                raise DataError(
                    f"Fit {_label(sources, j)} and fit {_label(sources, i)} both have a shard of {pluralize(n, 'row')} with the "
                    "same mean and sums of squares, so these seem to be the same rows. Leave it out of one fit, or keep both with "
                    "duplicates='keep'."
                )
        for shard in shards:
            found.setdefault(shard[0], []).append((shard, i))


def _label(sources: Sequence[Source], i: int) -> str:
    file = source.file if isinstance(source := sources[i], DetachedSource) else ""
    return f"{i + 1}{f' ({file!r})' if file else ''}"


def _merge_accounts(parts: Sequence[Solution], removed: Sequence[Solution]) -> RowAccount:
    account = sum((part.moments.account for part in parts), RowAccount())
    try:
        remainder = account - sum((part.moments.account for part in removed), RowAccount())
    except ValueError as error:
        raise DataError(NOT_IN_MERGE.format(f"it has {error}")) from None
    if removed and not remainder.used:
        raise DataError(f"All {pluralize(account.used, 'row')} are removed, so there is nothing to fit. Remove fewer fits.")
    return remainder


def _require_levels(design: Design, removed: Design) -> None:
    for text, coding in design.categories.items():
        for level in removed.categories[text].levels:
            if level not in coding.levels:
                raise DataError(NOT_IN_MERGE.format(f"it has the level {level!r} of {text}, which no merged row has"))


def detach_source(sources: Sequence[Source]) -> DetachedSource:
    """Return the source of a merged fit, without rows: it has the names and notes of all."""
    columns = {name: kind for source in reversed(sources) for name, kind in source.columns.items()}
    notes = tuple(dict.fromkeys(note for source in sources for note in source.notes))
    label = sources[0].label if len(sources) == 1 else pluralize(len(sources), "merged fit")
    detached = DetachedSource(label, columns, notes)
    detached.index_columns = frozenset().union(*(source.indexes for source in sources))
    return detached
