"""Decide in order which columns are independent: a column that the selected ones before it span is dropped, with a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import Source
from squarely.design import Block, Design, derivations, fold_blocks, is_zero_factor, map_first_block
from squarely.errors import DataError, pluralize
from squarely.moments import Moments
from squarely.numerics import CONSTANT_TOLERANCE, EXACT_INTEGERS, ROUNDING, ROUNDOFF, Array, is_constant, qr_r

_FEW_COLUMNS = 8
_NEGLIGIBLE_FRACTION = 1e-12  # of a column: a smaller term of its dependency is rounding
_HIDDEN_FRACTION = 1e-6  # of a column: if no more is hidden, its dependency is true to the digits that are written
_MOST_TERMS = 12
_BLOCK = 128
_NEGLIGIBLE_NOISE = 16.0  # a column is absorbed if it is at most so many times as long as rounding may leave of it


@dataclass(frozen=True, slots=True)
class Dependency:
    """How a dropped column depends on the selected ones before it: a sentence, and the scaled length that they may not span."""

    message: str
    remainder: float
    is_zero: bool = False


def growth_of_rounding(q: int) -> float:
    """Return by what factor rounding grows with q columns: as the root of their number beyond eight."""
    return max(1.0, float(np.sqrt(q / _FEW_COLUMNS)))


def nearly_constant_columns(moments: Moments) -> np.ndarray:
    """Return which columns (k + 1,) of [1, x, y] vary by no more than rounding, beside an intercept that spans them."""
    design = moments.design
    constant = design.intercept & (np.sqrt(moments.variances) <= CONSTANT_TOLERANCE * np.abs(design.centers))
    return np.concatenate([[False], constant[:-1], [False]])


def constant_columns(moments: Moments, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Return which columns (k + 1,) are constant up to rounding, which whole numbers do not have, and which of these are zero.

    Columns that fixed effects absorb are zero. A response that they absorb is a DataError.
    """
    if moments.design.absorbed is not None:
        lengths = np.sqrt(np.diag(moments.gram))
        negligible = lengths <= _NEGLIGIBLE_NOISE * absorption_noise(moments.design)
        if negligible[-1]:
            effects = " and ".join(moments.design.absorbed.names)
            raise DataError(
                f"The response {moments.design.response!r} of {source.label} does not vary within the levels of {effects}, so "
                "nothing is left to explain. Leave these effects out, or absorb a column with fewer levels."
            )
        negligible[0] = False
        return negligible, negligible
    found, zero = canceled_columns(moments.design, _ends(moments.design, source))
    return found | _columns_near_means(moments, source), zero


def absorption_noise(design: Design) -> Array:
    """Return the length (k + 1,) that each scaled column [1, x, y] may have although fixed effects absorb it."""
    assert design.absorbed is not None  # noqa: S101
    return np.concatenate([[0.0], design.absorbed.noise / design.scales])


def canceled_columns(design: Design, ends: Array) -> tuple[np.ndarray, np.ndarray]:
    """Return which columns (k + 1,) are constant up to the rounding of stored values, and which of these are zero.

    `ends` (2, f) are the bounds of a constant for each of `design.cancellation_factors`; they cross if the factor varies.
    """
    bounds = dict(zip(design.cancellation_factors, ends.T.tolist(), strict=True))
    constant = {text for text, (low, high) in bounds.items() if low <= high}
    canceled = {text for text in constant if is_zero_factor(design.factors[text], bounds[text])}
    found, zero = np.zeros((2, len(design.columns) + 2), dtype=bool)
    for j, column in enumerate(design.columns, start=1):
        texts = [text for text, _, _ in column.parts]
        zero[j] = not canceled.isdisjoint(texts)
        found[j] = zero[j] or (design.intercept and constant.issuperset(texts))
    return found, zero


def _ends(design: Design, source: Source) -> Array:
    """Return the ends for `canceled_columns`: of the first rows, and of all rows if these do not cross."""
    first = map_first_block(design, source, _ends_of)[1] if design.cancellation_factors else None
    if first is None or (first[0] > first[1]).all():
        return np.array([[np.inf], [-np.inf]]) * np.ones(len(design.cancellation_factors))

    return fold_blocks(design, source, _ends_of, lambda a, b: np.array([np.maximum(a[0], b[0]), np.minimum(a[1], b[1])]), first)


def _ends_of(block: Block) -> Array:
    return np.empty((2, 0)) if block.ends is None else block.ends()


def _columns_near_means(moments: Moments, source: Source) -> np.ndarray:
    """Return which columns (k + 1,) stay near their means. Whole numbers may, and one scan finds them."""
    design = moments.design
    found = nearly_constant_columns(moments)
    candidates = np.flatnonzero(found & (np.diag(moments.gram) > 0))
    if len(candidates):
        places = [int(np.flatnonzero(design.layout.dense == j - 1)[0]) for j in candidates]

        def step(block: Block) -> Array:  # the largest of -x and x
            x = np.array([block.dense[i][0] for i in places])
            return np.asarray(np.array([-x, x]).max(axis=2, initial=-np.inf))

        low, high = fold_blocks(design, source, step, np.maximum, np.full((2, len(places)), -np.inf)) * [[-1.0], [1.0]]
        values = np.array([low, high, moments.means[candidates - 1], np.sqrt(moments.variances[candidates - 1])])
        found[candidates] = [is_constant(*each) for each in values.T.tolist()]
    return found


def independent_columns(
    moments: Moments, T: Array, columns: np.ndarray, constant: np.ndarray, zero: np.ndarray, *, noise: Array | None = None
) -> tuple[np.ndarray, tuple[Dependency, ...]]:
    """Go through the columns in order and drop each that the selected ones before it span, up to rounding.

    Returns which columns are selected, and the dependency of each other one; if none is left, raises a DataError. `constant`
    (k + 1,) are those that the intercept alone spans for certain, and `zero` those of them that are zero. `noise` (k + 1,) is the
    length that rounding may give to each column beside the rounding of stored values.
    """
    design = moments.design
    centers, scales = design.column_centers, design.column_scales
    # Lengths of the *stored* columns in scaled units: rounding is relative to these, not to the centered columns. A column that
    # is computed without rounding from selected columns has none itself, nor do these count against it.
    centered = np.linalg.norm(T, axis=0)
    stored = centered + np.abs(centers / scales) * np.sqrt(moments.weight)
    stored = np.where(nearly_constant_columns(moments) & ~constant, centered, stored)  # whole numbers have no rounding
    nothing = frozenset[str]()
    sources = [(False, nothing), *derivations(design), (False, nothing)]
    selected: list[int] = []
    dropped: list[Dependency] = []
    R = qr_r(T[:, columns])  # of the selected columns and those that follow
    for j in columns.tolist():
        q = len(selected)
        d = solve_triangular(R[:q, :q], R[:q, q]) if q else np.zeros(0)
        remainder = float(abs(R[q, q])) if q < len(R) else 0.0
        exact, of = sources[j]
        exact = exact and of <= nothing.union(*(sources[k][1] for k in selected))
        unit = [centered[k] if exact and sources[k][1] and sources[k][1] <= of else stored[k] for k in selected]
        tolerance = ROUNDING * growth_of_rounding(q) * ROUNDOFF * ((centered if exact else stored)[j] + np.abs(d) @ np.array(unit))
        hidden = 0.0 if noise is None else float(noise[j] + np.abs(d) @ noise[selected])
        if zero[j]:
            remainder, hidden = float(centered[j]), 0.0
        elif constant[j]:
            d = np.concatenate([[T[0, j] / T[0, 0]], np.zeros(q - 1)])
            remainder, hidden = float(np.linalg.norm(T[1:, j])), 0.0
        if remainder > tolerance + hidden and not constant[j]:
            selected.append(j)
            continue
        if hidden > _HIDDEN_FRACTION * stored[j] and design.absorbed is None:
            others = "a constant" if selected == [0] else "the columns before it"
            message = (
                f"{column_name(design, j)} cannot be distinguished from {others}: its values were much larger in the removed rows"
            )
            dropped.append(Dependency(message, remainder + hidden))
        else:
            dropped.append(describe_dependency(moments, j, selected, d, remainder + hidden, is_zero=bool(zero[j])))
        R = np.delete(R, q, axis=1)
        rest = qr_r(R[q:, q:])
        R[q:, q:] = 0.0
        R[q : q + len(rest), q:] = rest
    require_columns(selected, dropped)
    return np.isin(columns, selected), tuple(dropped)


def require_rows(moments: Moments, place: str, lost: Sequence[str], *, absent: int = 0) -> None:
    """Raise a DataError unless there are more complete rows than coefficients; `lost` says why others are not complete.

    `absent` coefficients do not count: their columns are zero.
    """
    n, p = moments.n, len(moments.design.names) - absent
    if n <= p:
        raise DataError(
            f"There {'is' if n == 1 else 'are'} {pluralize(n, 'complete row')} for {pluralize(p, 'coefficient')} in {place}: "
            "nothing is left to measure the errors with. "
            f"{' '.join([*lost, *_describe_crowded(moments), f'Give at least {p + 1} rows'])}, or a formula with fewer columns."
        )


def _describe_crowded(moments: Moments) -> list[str]:
    """Say which columns are categories with so many levels that few rows are left for each."""
    categories = moments.design.categories.items()
    return [f"{text} is a category of {len(c.levels):,} levels." for text, c in categories if 2 * len(c.levels) > moments.n]


def require_columns(selected: Sequence[int], dropped: Sequence[Dependency]) -> None:
    """Raise a DataError if no column is selected."""
    if not len(selected):
        raise DataError(f"No column is left to fit: {'; '.join(each.message for each in dropped)}. Name a column that varies.")


def require_independent(dropped: Sequence[Dependency]) -> None:
    """Raise a DataError if a column is dropped."""
    if dropped:
        raise DataError(f"Columns depend on each other: {'; '.join(each.message for each in dropped)}. Leave one of them out.")


def cholesky_in_order(C: Array, least: float) -> tuple[Array, np.ndarray]:
    """Factor a matrix of cosines (q, q) in the order of its columns, without those whose remainder is below `least`.

    `C` is overwritten. The remainder of a column is the square of the sine of its angle with the selected ones before it.
    Returns R (r, r), upper triangular, and which columns (q,) it belongs to.
    """
    selected = np.zeros(len(C), dtype=bool)
    for start in range(0, len(C), _BLOCK):
        end = min(start + _BLOCK, len(C))
        for i in range(start, end):
            selected[i] = C[i, i] > least
            if selected[i]:
                C[i, i:end] /= np.sqrt(C[i, i])
                C[i + 1 : end, i + 1 : end] -= np.outer(C[i, i + 1 : end], C[i, i + 1 : end])
        rows = np.flatnonzero(selected[start:end]) + start
        C[rows, end:] = panel = solve_triangular(C[np.ix_(rows, rows)], C[rows, end:], trans="T", check_finite=False)
        C[end:, end:] -= np.dot(panel.T, panel)
    return np.triu(C[np.ix_(selected, selected)]), selected


def column_name(design: Design, j: int) -> str:
    """Return the name of the coefficient of a column of [1, x_1 ... x_p]."""
    return design.names[j if design.intercept else j - 1]


def describe_dependency(
    moments: Moments, j: int, selected: Sequence[int], d: Array, remainder: float, *, is_zero: bool
) -> Dependency:
    """Write a dropped column as the combination d of selected ones, in the units of the data."""
    design, places = moments.design, list(selected)
    name, labels = column_name(design, j), ["", *design.labels]
    effects = "" if design.absorbed is None else " and ".join(design.absorbed.names)
    if is_zero:
        message = f"{name} is absorbed by {effects}" if effects else f"{name} is constant (0)"
        return Dependency(message, remainder, is_zero=True)
    centers, scales = design.column_centers, design.column_scales
    weights = d * scales[j] / scales[places]
    constant = centers[j] if design.intercept else 0.0
    sizes = np.sqrt(np.diag(moments.gram)[places] / moments.weight) * scales[places]
    size = np.sqrt(moments.gram[j, j] / moments.weight) * scales[j]
    terms, rounded = [], False
    for k, weight, s in zip(places, weights.tolist(), sizes.tolist(), strict=True):
        if k == 0:
            constant += weight
        elif abs(weight) * s > _NEGLIGIBLE_FRACTION * size:
            text = {1.0: "", -1.0: "-"}.get(round(weight, 12), f"{weight:.10g} ")
            written = float(text) if text not in ("", "-") else round(weight)
            cut = abs(written - weight) > 1e-12 * abs(weight)
            rounded |= cut
            constant -= (weight if cut else written) * centers[k]  # as written: a center far away would multiply its rounding
            terms.append(text + labels[k])
    if len(terms) > _MOST_TERMS:
        message = f"{name} is made of {len(terms):,} columns: {' + '.join(terms[:_MOST_TERMS])} + ..."
        return Dependency(message.replace("+ -", "- "), remainder)
    if not terms:
        digits = " to the 16 digits of double precision" if abs(constant) >= EXACT_INTEGERS else ""
        return Dependency(f"{name} is constant{digits} ({constant + 0.0:.6g})", remainder, is_zero=bool(constant == 0.0))
    if abs(constant) > _NEGLIGIBLE_FRACTION * (size + abs(centers[j])):
        terms.append(f"{constant:.10g}")
        rounded |= abs(float(terms[-1]) - constant) > 1e-12 * (size + abs(centers[j]))
    end = f" beside the effects of {effects}" if effects else ""
    return Dependency(f"{name} {'≈' if rounded else '='} {' + '.join(terms)}{end}".replace("+ -", "- "), remainder)
