"""Which columns are independent, decided in their order: a column that the kept ones before it span is dropped, and said to be."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from squarely.data import Source
from squarely.design import Block, Design, derivations, fold_blocks, is_zero_factor, map_first_block
from squarely.errors import DataError
from squarely.moments import Moments
from squarely.numerics import CONSTANT_TOLERANCE, ROUNDING, ROUNDOFF, Array, is_constant, qr_r

_FEW_COLUMNS = 8  # columns
_NEGLIGIBLE_FRACTION = 1e-12  # the share of a column below which a term of its dependency is rounding
_HIDDEN_FRACTION = 1e-6  # the share of a column up to which what hides it leaves its dependency true to the digits that are written
_MOST_TERMS = 12
_BLOCK = 128


def nearly_constant_columns(moments: Moments) -> np.ndarray:
    """Tell which columns (k + 1,) of [1, x, y] vary by no more than rounding, beside an intercept that spans them."""
    design = moments.design
    found: np.ndarray = np.zeros(len(moments.gram), dtype=bool)
    if design.intercept:
        found[1:-1] = (np.sqrt(moments.variances) <= CONSTANT_TOLERANCE * np.abs(design.centers))[:-1]
    return found


def constant_columns(moments: Moments, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Tell which columns (k + 1,) are constant up to rounding, and which of these are zero.

    One scan finds out those of whole numbers, which are not, and what may be left of values that cancel.
    """
    found, zero = canceled_columns(moments.design, _ends(moments.design, source))
    return found | _columns_near_means(moments, source), zero


def canceled_columns(design: Design, ends: Array) -> tuple[np.ndarray, np.ndarray]:
    """Tell which columns (k + 1,) are constant up to the rounding of stored values, and which of these are zero.

    `ends` (2, f) are those between which a constant may be for each of `design.cancellation_factors`; they cross where there is none.
    """
    met = dict(zip(design.cancellation_factors, ends.T.tolist(), strict=True))
    still = {text for text, (low, high) in met.items() if low <= high}
    gone = {text for text in still if is_zero_factor(design.factors[text], met[text])}
    found, zero = np.zeros((2, len(design.columns) + 2), dtype=bool)
    for j, column in enumerate(design.columns, start=1):
        texts = [text for text, _, _ in column.parts]
        zero[j] = not gone.isdisjoint(texts)
        found[j] = zero[j] or (design.intercept and still.issuperset(texts))
    return found, zero


def _ends(design: Design, source: Source) -> Array:
    """Ask the first rows for the ends that `canceled_columns` wants, and all rows if these do not cross there."""
    first = map_first_block(design, source, _ends_of)[1] if design.cancellation_factors else None
    if first is None or (first[0] > first[1]).all():
        return np.array([[np.inf], [-np.inf]]) * np.ones(len(design.cancellation_factors))

    def merge(a: Array, b: Array) -> Array:
        return np.array([np.maximum(a[0], b[0]), np.minimum(a[1], b[1])])

    return fold_blocks(design, source, _ends_of, merge, first)


def _ends_of(block: Block) -> Array:
    return np.empty((2, 0)) if block.ends is None else block.ends()


def _columns_near_means(moments: Moments, source: Source) -> np.ndarray:
    """Tell which columns (k + 1,) stay near their means; those of whole numbers may."""
    design = moments.design
    found: np.ndarray = nearly_constant_columns(moments)
    doubtful = np.flatnonzero(found & (np.diag(moments.gram) > 0))
    if len(doubtful):
        among = [int(np.flatnonzero(design.layout.dense == j - 1)[0]) for j in doubtful]

        def step(block: Block) -> Array:  # the largest of -x and x
            some = np.array([block.dense[i][0] for i in among])
            largest: Array = np.array([-some, some]).max(axis=2, initial=-np.inf)
            return largest

        low, high = fold_blocks(design, source, step, np.maximum, np.full((2, len(among)), -np.inf)) * [[-1.0], [1.0]]
        mean, spread = moments.means[doubtful - 1], np.sqrt(moments.variances[doubtful - 1])
        ends = zip(low.tolist(), high.tolist(), mean.tolist(), spread.tolist(), strict=True)
        found[doubtful] = [is_constant(*each) for each in ends]
    return found


def independent_columns(
    moments: Moments,
    T: Array,
    columns: np.ndarray,
    constant: np.ndarray,
    noise: Array | None = None,
    *,
    zero: np.ndarray | None = None,
) -> tuple[np.ndarray, list[str], tuple[float, ...]]:
    """Go through the columns in order and drop each that the kept ones before it span, up to rounding.

    Returns which are kept, a sentence for each other one, and the length of it that they may not span.
    `constant` (k + 1,) are those that the intercept alone is known to span; `zero` those of them that nothing is left of.
    `noise` (k + 1,) is the length that rounding may give to each column beside that of stored values.

    Raises DataError if none is left.
    """
    design = moments.design
    centres, scales = design.column_centers, design.column_scales
    # Lengths of the *stored* columns in scaled units: rounding is relative to these, not to the centred columns. A column that
    # is computed without rounding from kept columns has none of its own, nor do these count against it.
    centred = np.linalg.norm(T, axis=0)
    stored = centred + np.abs(centres / scales) * np.sqrt(moments.n)
    stored = np.where(nearly_constant_columns(moments) & ~constant, centred, stored)  # whole numbers have no rounding
    made = [(False, frozenset[str]()), *derivations(design), (False, frozenset[str]())]
    kept: list[int] = []
    sentences, lefts = [], []
    R = qr_r(T[:, columns])  # of the kept columns and those still to be looked at
    for name, j in zip(design.names, columns.tolist(), strict=True):
        q = len(kept)
        d = solve_triangular(R[:q, :q], R[:q, q]) if q else np.zeros(0)
        left = abs(R[q, q]) if q < len(R) else 0.0
        exact, of = made[j]
        exact = exact and of <= frozenset[str]().union(*(made[k][1] for k in kept))
        unit = [centred[k] if exact and made[k][1] and made[k][1] <= of else stored[k] for k in kept]
        room = (
            ROUNDING
            * max(1.0, np.sqrt(q / _FEW_COLUMNS))
            * ROUNDOFF
            * ((centred if exact else stored)[j] + np.abs(d) @ np.array(unit))
        )
        hidden = 0.0 if noise is None else float(noise[j] + np.abs(d) @ noise[kept])
        if zero is not None and zero[j]:
            left, hidden = float(centred[j]), 0.0
        elif constant[j]:
            d = np.concatenate([[T[0, j] / T[0, 0]], np.zeros(q - 1)])
            left, hidden = float(np.linalg.norm(T[1:, j])), 0.0
        if left > room + hidden and not constant[j]:
            kept.append(j)
        else:
            lefts.append(float(left) + hidden)
            told = hidden <= _HIDDEN_FRACTION * stored[j]
            nothing = zero is not None and zero[j]
            said = describe_zero_column(name) if nothing else describe_dependency(moments, name, j, kept, d)
            sentences.append(said if told or nothing else _describe_hidden_column(name, kept))
            R = np.delete(R, q, axis=1)
            R[q:, q:] = _pad_rows(qr_r(R[q:, q:]), len(R) - q)
    if not kept:
        raise DataError(f"No column is left to fit: {'; '.join(sentences)}. Name a column that varies.")
    return np.isin(columns, kept), sentences, tuple(lefts)


def cholesky_in_order(C: Array, least: float) -> tuple[Array, np.ndarray]:
    """Factor a matrix of cosines (q, q) in the order of its columns, leaving out those of which less than `least` is left.

    `C` is overwritten. What is left of a column is the square of the sine of its angle with the kept ones before it.
    Returns R (r, r), upper triangular, and which columns (q,) it belongs to.
    """
    kept = np.zeros(len(C), dtype=bool)
    for start in range(0, len(C), _BLOCK):
        end = min(start + _BLOCK, len(C))
        for i in range(start, end):
            kept[i] = C[i, i] > least
            if kept[i]:
                C[i, i:end] /= np.sqrt(C[i, i])
                C[i + 1 : end, i + 1 : end] -= np.outer(C[i, i + 1 : end], C[i, i + 1 : end])
        here = np.flatnonzero(kept[start:end]) + start
        panel = solve_triangular(C[np.ix_(here, here)], C[here, end:], trans="T", check_finite=False)
        C[here, end:] = panel
        C[end:, end:] -= np.dot(panel.T, panel)
    R: Array = np.triu(C[np.ix_(kept, kept)])
    return R, kept


def _describe_hidden_column(name: str, kept: list[int]) -> str:
    """Say that a column is dropped because what was taken out hides it, and not because it is known to depend on others."""
    others = "the columns before it" if kept != [0] else "a constant"
    return f"{name} cannot be told from {others}: its values were so much larger in the rows taken out"


def describe_zero_column(name: str) -> str:
    """Say that nothing but rounding is left of a column."""
    return f"{name} is constant (0)"


def _pad_rows(R: Array, rows: int) -> Array:
    """Give a triangle the rows of zeros that its QR left out."""
    return np.vstack([R, np.zeros((rows - len(R), R.shape[1]))])


def describe_dependency(moments: Moments, name: str, j: int, kept: list[int], d: Array) -> str:
    """Write a dropped column in terms of the kept ones, in the units of the data."""
    design = moments.design
    labels = ["", *design.labels]
    centres, scales = design.column_centers, design.column_scales
    weights = d * scales[j] / scales[kept]
    constant = centres[j] if design.intercept else 0.0
    sizes = np.sqrt(np.diag(moments.gram)[kept] / moments.n) * scales[kept]
    size = np.sqrt(moments.gram[j, j] / moments.n) * scales[j]
    terms, rounded = [], False
    for k, weight, s in zip(kept, weights.tolist(), sizes.tolist(), strict=True):
        if k == 0:
            constant += weight
        elif abs(weight) * s > _NEGLIGIBLE_FRACTION * size:
            plain = {1.0: "", -1.0: "-"}.get(round(weight, 12), f"{weight:.10g} ")
            said = float(plain) if plain not in ("", "-") else round(weight)
            cut = abs(said - weight) > 1e-12 * abs(weight)
            rounded |= cut
            constant -= (weight if cut else said) * centres[k]  # of what is said: rounding elsewhere may meet a centre far away
            terms.append(plain + labels[k])
    if len(terms) > _MOST_TERMS:
        return f"{name} is made of {len(terms):,} columns: {' + '.join(terms[:_MOST_TERMS])} + ...".replace("+ -", "- ")
    if not terms:
        return f"{name} is constant ({constant:.6g})"
    if abs(constant) > _NEGLIGIBLE_FRACTION * (size + abs(centres[j])):
        terms.append(f"{constant:.10g}")
        rounded |= abs(float(terms[-1]) - constant) > 1e-12 * (size + abs(centres[j]))
    return f"{name} {'≈' if rounded else '='} {' + '.join(terms)}".replace("+ -", "- ")
