"""Cross-validation of penalties: one scan gives the cross-products of each fold, and everything follows from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from squarely.data import Source, require_columns, scan_purpose
from squarely.design import Block, fold_blocks
from squarely.errors import DataError, OptionError, show_value
from squarely.inference.post_estimation.penalized.standardized import StandardizedColumns, centered_gram, split_gram
from squarely.moments import Moments
from squarely.numerics import Array

Grams = Mapping[Any, Array]
_MOST_FOLDS = 1000


def require_folds(folds: object, n: int) -> int | str:
    """Return a number of folds or the name of a column; raise an OptionError for anything else."""
    if isinstance(folds, str):
        return folds
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or not 2 <= folds <= min(n, _MOST_FOLDS):
        raise OptionError(
            f"folds={show_value(folds)} is neither a number from 2 to {min(n, _MOST_FOLDS):,} nor the name of a column with the "
            "fold of each row. Usual values are 5 and 10."
        )
    return int(folds)


@scan_purpose("cross-validation")
def fold_grams(moments: Moments, source: Source, folds: int | str) -> Sequence[Array]:
    """Return the cross-products (k + 1, k + 1) of the scaled columns [1, x, y] in each fold, in one scan.

    A number K puts each row into the fold of its position modulo K; the name of a column puts rows with one value into one fold.
    """
    design = moments.design
    if isinstance(folds, str):
        require_columns(source, [folds])
        design = replace(design, formula=replace(design.formula, groups=(folds,)))
    centers, scales = design.centers, design.scales

    def step(block: Block) -> Grams:
        Z = np.column_stack([np.ones(block.size), (block.values - centers) / scales])
        if block.weights is not None:
            Z *= np.sqrt(block.weights)[:, None]
        if isinstance(folds, str):
            column = block.groups[folds]
            labels, codes = list(column.values), column.codes
        else:
            labels, codes = list(range(folds)), block.rows % folds
        return {labels[code]: Z[codes == code].T @ Z[codes == code] for code in np.unique(codes).tolist()}

    def merge(a: Grams, b: Grams) -> Grams:
        if len(a.keys() | b.keys()) > _MOST_FOLDS:
            raise DataError(f"folds={folds!r} has more than {_MOST_FOLDS:,} values. Use a column with fewer, or folds=10.")
        return {**b, **{key: gram + b[key] if key in b else gram for key, gram in a.items()}}

    start: Grams = {}
    grams = fold_blocks(design, source, step, merge, start)
    weight = float(sum(gram[0, 0] for gram in grams.values()))
    if not abs(weight - moments.weight) <= 1e-9 * moments.weight:
        why = f"{folds!r} has gaps, or the data" if isinstance(folds, str) else "the data"
        raise DataError(
            f"The folds of {source.label} have {weight:,.10g} rows, and the fit has {moments.weight:,.10g}: {why} have changed. "
            "Fill the gaps, or fit again."
        )
    if len(grams) < 2:
        raise DataError(f"folds={folds!r} has one value, and cross-validation needs two folds. Write folds=10.")
    return [grams[key] for key in sorted(grams, key=str)]


def validation_errors(
    grams: Sequence[Array],
    columns: StandardizedColumns,
    moments: Moments,
    path: Callable[[StandardizedColumns], Sequence[Array]],
) -> Array:
    """Return the mean squared error (alphas, folds) in each fold of the slopes that `path` finds from the other folds.

    The columns have the scales of all rows; each training set has its own means.
    """
    design = moments.design
    intercept, to_scaled = design.intercept, design.scales[:-1] / columns.scale
    total = reduce(np.add, grams)
    errors = []
    for gram in grams:
        rest = total - gram
        root, target = split_gram(centered_gram(rest, intercept=intercept))
        train = replace(columns, root=root * to_scaled, target=target * design.scales[-1], weight=float(rest[0, 0]))
        slopes = np.array(path(train)) * (to_scaled / design.scales[-1])  # (alphas, k), of the scaled columns
        level = (rest[0, -1] - slopes @ rest[0, 1:-1]) / rest[0, 0] if intercept else np.zeros(len(slopes))
        v = np.column_stack([-level, -slopes, np.ones(len(slopes))])
        errors.append(np.einsum("ai,ij,aj->a", v, gram, v) / gram[0, 0] * design.scales[-1] ** 2)
    return np.array(errors).T
