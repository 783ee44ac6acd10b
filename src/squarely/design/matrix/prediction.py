"""Predictions for every row of new data, from coefficients of the columns of a design."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, compress
from typing import Any, get_args

import numpy as np

from squarely.data import Batch, Source, map_batches, require_columns
from squarely.design.design import Design, RowInputs, row_inputs
from squarely.design.matrix.block import DenseColumn, IndicatorColumn, take_indicators
from squarely.design.matrix.model_matrix import (
    dense_columns,
    evaluate_batch,
    level_codes,
    offset_of,
    require_known,
    values_with_bounds,
)
from squarely.errors import join_words, pluralize, require_one_of
from squarely.numerics import ROUNDOFF, Array, Pair, dd_add, dd_multiply, low_part
from squarely.types import RankDeficient, Unseen

_ROUNDING = 32.0  # roundoffs that a stored value may be off by: it is itself the result of some arithmetic
_MOST_LISTED = 6
_ALLOW_HINT = "rank_deficient='allow' predicts such rows too."


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Columns:
    """The columns of X that are read, on m rows: the dense ones by position, and blocks of indicators at `grouped` positions."""

    dense: Mapping[int, DenseColumn]
    grouped: np.ndarray
    indicators: Sequence[IndicatorColumn]
    size: int


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Check:
    """The D dependencies in all rows of a fit, one for each dropped column: z @ weights = 0 for z = [1, (x - center) / scale].

    Attributes
    ----------
    dropped_columns : (D,) the positions in `design.columns` of the dropped columns; none where no column was dropped for them.
    weights : (p + 1, D) for [1, x_1 ... x_p]: one for the dropped column, minus its combination of the others.
    errors : (D,) bounds of |z @ weights| in a row of the fit.
    standard_error_scale : (p + 1,) times `errors`, bounds of the errors of the weights.
    centers, scales : (p + 1,) of [1, x_1 ... x_p].
    messages : (D,) the sentence for each of them. `reason` the part of a warning before those that are broken.
    """

    dropped_columns: np.ndarray
    weights: Array
    errors: Array
    standard_error_scale: Array
    centers: Array
    scales: Array
    messages: tuple[str, ...]
    zeros: tuple[bool, ...] = ()
    reason: str = "The fit dropped a column for each dependency that they break"

    def broken_rows(self, columns: _Columns) -> np.ndarray:
        """Return which rows (m,) break which dependency (D,): none that the rounding of its values and of the weights explains."""
        ones = np.ones(columns.size)
        z, magnitude = {0: ones}, {0: ones}  # the scaled dense columns, and what their rounding is relative to
        for j, (x, low) in columns.dense.items():
            center, scale = self.centers[j + 1], self.scales[j + 1]
            z[j + 1] = ((x - center) if low is None else (x - center) + low) / scale
            magnitude[j + 1] = (np.abs(x) + abs(center)) / scale
        grouped = columns.grouped + 1  # indicators are not centered

        def total(terms: Mapping[int, Array], weights: Array, *, absolute: bool = False) -> Array:
            value = np.zeros(columns.size)
            for j, x in terms.items():
                if weights[j]:
                    value += x * weights[j]
            scaled = weights[grouped] / self.scales[grouped]
            for indicator in columns.indicators if scaled.any() else ():
                term = take_indicators(scaled, indicator)
                value += np.abs(term) if absolute else term
            return value

        reach = total({j: np.abs(x) for j, x in z.items()}, self.standard_error_scale, absolute=True)
        broken = np.zeros((columns.size, len(self.messages)), dtype=bool)
        for i, weights in enumerate(self.weights.T):
            tolerance = _ROUNDING * ROUNDOFF * total(magnitude, np.abs(weights), absolute=True) + self.errors[i] * (1.0 + reach)
            broken[:, i] = ~(np.abs(total(z, weights)) <= tolerance)
        return broken

    def without_columns(self, removed: np.ndarray) -> Check:
        """Return the check without the dependencies of some dropped columns, marked by (D,)."""
        return replace(
            self,
            dropped_columns=self.dropped_columns[~removed],
            weights=self.weights[:, ~removed],
            errors=self.errors[~removed],
            messages=tuple(compress(self.messages, ~removed)),
            zeros=tuple(compress(self.zeros, ~removed)),
        )

    def warning(self, rows: int, counts: np.ndarray) -> str:
        """Describe how many rows have no prediction, and which dependencies they break, in how many rows each (D,)."""
        broken = [f"{text} ({pluralize(int(n), 'row')})" for text, n in zip(self.messages, counts, strict=True) if n]
        return (
            f"{pluralize(rows, 'row')} {'has' if rows == 1 else 'have'} no prediction but NaN: the rows of the fit do not "
            f"determine one. {self.reason}: {_join_texts(broken)}. {_ALLOW_HINT}"
        )


def _join_texts(texts: Sequence[str]) -> str:
    more = len(texts) - _MOST_LISTED
    return "; ".join(texts[:_MOST_LISTED]) + (f"; and {more:,} more" if more > 0 else "")


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LinearPredictor:
    """A prediction from the columns of a design: level + (x - center) @ slopes, plus the offset.

    Written about a center, with `level` the prediction there, it keeps its digits on columns far from zero.

    Attributes
    ----------
    selected : the positions in `design.columns` of the q columns with a coefficient.
    level : the prediction at the center. `slopes`, `center` (q,), those of the columns.
    check : the dependencies that a row must satisfy to be predicted, or None.
    low_parts : the low parts of `level` and `slopes`; with them, terms that cancel are added in double-double.
    """

    design: Design
    selected: Sequence[int]
    level: float
    slopes: Array
    center: Array
    check: Check | None = None
    low_parts: tuple[float, Array] | None = None

    @property
    def columns_read(self) -> Sequence[int]:
        """The positions of the columns that are read: those with a coefficient, and those that are checked."""
        return self.selected if self.check is None else sorted({*self.selected, *self.check.dropped_columns.tolist()})

    @property
    def inputs(self) -> RowInputs:
        """What these columns and the offsets read and evaluate for each row."""
        used = {text for j in self.columns_read for text, _, _ in self.design.columns[j].parts}
        return row_inputs(
            [factor for text, factor in self.design.factors.items() if text in used],
            {numeric.text: numeric.expression for numeric in self.design.formula.offsets},
        )


def predict_batches(predictor: LinearPredictor, source: Source, *, unseen: str = "error") -> Any:
    """Predict every row of a source: a column in the library that holds the rows.

    If the source is partitioned, the result is its table with a further column "predicted", computed where the rows are. Raises
    DataError and OptionError as `iter_predictions`.
    """
    if not source.partitioned:
        return source.column(np.concatenate([np.empty(0), *iter_predictions(predictor, source, unseen=unseen)]), "predicted")
    predictor = _drop_unavailable_checks(predictor, source)
    inputs = predictor.inputs
    require_one_of("unseen", unseen, get_args(Unseen))
    require_columns(source, [*inputs.numbers, *inputs.labels])
    if predictor.check is not None:  # the rows are predicted later and elsewhere, so they cannot be counted here
        _warn(
            f"A row that breaks {_join_texts(predictor.check.messages)} is predicted as NaN: the rows of the fit do not determine "
            f"it. {_ALLOW_HINT}"
        )
    return source.with_column(
        "predicted",
        (inputs.numbers, inputs.labels),
        lambda part: (y for y, _ in _iter_checked_batches(predictor, part, unseen=unseen)),
    )


def require_rank_deficient(rank_deficient: str) -> None:
    """Raise an OptionError unless the value is one that `rank_deficient` can have."""
    require_one_of("rank_deficient", rank_deficient, get_args(RankDeficient))


def _warn(text: str) -> None:
    """Warn at the line of the user's code that made the call."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("squarely.", "contextlib")):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, UserWarning, stacklevel=level)


def _drop_unavailable_checks(predictor: LinearPredictor, source: Source) -> LinearPredictor:
    """Remove the checks of dropped columns that the source does not have, with a warning."""
    if predictor.check is None:
        return predictor
    unchecked = replace(predictor, check=None)
    available = {*source.columns, *unchecked.inputs.numbers, *unchecked.inputs.labels}
    needed = [replace(unchecked, selected=[j]).inputs for j in predictor.check.dropped_columns.tolist()]
    absent = [[name for name in (*inputs.numbers, *inputs.labels) if name not in available] for inputs in needed]
    removed = np.array([bool(names) for names in absent], dtype=bool)
    if not removed.any():
        return predictor
    names = dict.fromkeys(chain.from_iterable(absent))
    _warn(
        f"{source.label} has no column {join_words([*map(repr, names)])}, so the predictions assume what held in every "
        f"row of the fit: {_join_texts([*compress(predictor.check.messages, removed)])}."
    )
    return replace(predictor, check=None if removed.all() else predictor.check.without_columns(removed))


def iter_predictions(predictor: LinearPredictor, source: Source, *, unseen: str = "error") -> Iterator[Array]:
    """Predict every row of a source, one array (m,) for each batch. Rows with a gap give NaN.

    Rows that the check finds undetermined give NaN too; a warning after the last batch counts them.

    Raises DataError if a column is missing or cannot be used, or a row has a level that the fit does not know and `unseen` is
    "error", and OptionError if that is neither "error" nor "nan".
    """
    require_one_of("unseen", unseen, get_args(Unseen))
    predictor = _drop_unavailable_checks(predictor, source)
    rows, counts = 0, np.zeros(1, dtype=int)
    for values, broken in _iter_checked_batches(predictor, source, unseen=unseen):
        if broken is not None:
            rows, counts = rows + int(broken.any(axis=1).sum()), counts + broken.sum(axis=0)
        yield values
    if rows and predictor.check is not None:
        _warn(predictor.check.warning(rows, counts))


def _iter_checked_batches(predictor: LinearPredictor, source: Source, *, unseen: str) -> Iterator[tuple[Array, np.ndarray | None]]:
    """Yield the predictions (m,) of each batch, and which of its r complete rows break which dependency (r, D)."""
    design, check, inputs = predictor.design, predictor.check, predictor.inputs
    columns_read = set(predictor.columns_read)
    zeros = [
        (i, text)  # a dropped column that is zero, and a factor of it that may be the rounding of its inputs
        for i, j in enumerate(check.dropped_columns.tolist() if check else ())
        for text, _, _ in design.columns[j].parts
        if check and check.zeros[i] and text in design.cancellation_factors
    ]
    positions = [j for j in design.layout.dense[:-1].tolist() if j in columns_read]

    def step(batch: Batch) -> tuple[Array, np.ndarray | None]:
        codes = level_codes(design, inputs, batch)
        if unseen == "error":
            require_known(design, batch, codes, batch.complete_mask(inputs.numbers, inputs.labels), source)
        known = np.all([np.ones(batch.size, dtype=bool), *(code != -2 for code in codes.values())], axis=0)
        evaluated = evaluate_batch(batch, inputs, design.learned, known, codes)
        values, indicators = dense_columns(design, evaluated, columns_read)
        columns = _Columns(
            dense=dict(zip(positions, values, strict=True)),
            grouped=design.layout.grouped,
            indicators=indicators,
            size=evaluated.account.used,
        )
        total, offset = _add_columns(predictor, columns), offset_of(design, evaluated)
        total = total if offset is None else total + offset[0]
        broken = None
        if check is not None:
            broken = check.broken_rows(columns)
            for i, text in zeros:
                x, bound = values_with_bounds(design, evaluated, text)
                broken[np.abs(x) <= bound, i] = False
        predicted = np.full(batch.size, np.nan)
        predicted[evaluated.row_mask] = total if broken is None else np.where(broken.any(axis=1), np.nan, total)
        return predicted, broken

    return map_batches(source, inputs.numbers, inputs.labels, step)


def _add_columns(predictor: LinearPredictor, columns: _Columns) -> Array:
    selected, low, grouped = list(predictor.selected), predictor.low_parts, columns.grouped
    weights, center, weights_low = np.zeros((3, len(predictor.design.columns)))
    weights[selected], center[selected] = predictor.slopes, predictor.center
    total = np.full(columns.size, predictor.level - center[grouped] @ weights[grouped])
    chosen = set(selected)
    dense = [(x, e, j) for j, (x, e) in columns.dense.items() if j in chosen]
    if low is None:
        for x, e, j in dense:
            total += ((x - center[j]) if e is None else (x - center[j]) + e) * weights[j]
        for indicator in columns.indicators:
            total += take_indicators(weights[grouped], indicator)
        return total
    weights_low[selected] = low[1]
    pair: Pair = total, np.full(columns.size, low[0])
    for x, e, j in dense:
        centered = dd_add((x, low_part(x, e)), (np.full_like(x, -center[j]), np.zeros_like(x)))
        pair = dd_add(pair, dd_multiply(centered, (weights[j], weights_low[j])))
    for indicator in columns.indicators:
        ones = replace(indicator, values=None)
        term = take_indicators(weights[grouped], ones), take_indicators(weights_low[grouped], ones)
        if indicator.values is not None:
            term = dd_multiply(term, (indicator.values, low_part(indicator.values, indicator.low)))
        pair = dd_add(pair, term)
    return pair[0] + pair[1]
