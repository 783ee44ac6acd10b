"""Predictions for every row of new data, from coefficients of the columns of a design."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, compress
from typing import Any, get_args

import numpy as np

from squarely.data import Batch, Source, map_batches, require_columns
from squarely.design.design import Design, RowInputs, row_inputs
from squarely.design.encoding.absorbed_effects import unknown_effect_error
from squarely.design.formula.expression import column_names, evaluate
from squarely.design.formula.factors import Numeric
from squarely.design.matrix.block import PartialBlock, take_indicators
from squarely.design.matrix.dependencies import ALLOW_HINT, Check, join_texts
from squarely.design.matrix.evaluated_batch import evaluate_batch
from squarely.design.matrix.model_matrix import (
    dense_columns,
    iter_blocks,
    level_codes,
    offset_of,
    require_known,
    values_with_bounds,
)
from squarely.design.matrix.standard_errors import StandardErrors
from squarely.errors import DataError, join_words, require_one_of
from squarely.numerics import Array, Pair, dd_add, dd_multiply, low_part
from squarely.types import RankDeficient, Unseen


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
    errors : what the standard errors follow from, or None for predictions alone. `weights` of the rows, or None.
    effects : what each level of each absorbed effect adds, (L,) each.
    """

    design: Design
    selected: Sequence[int]
    level: float
    slopes: Array
    center: Array
    check: Check | None = None
    low_parts: tuple[float, Array] | None = None
    errors: StandardErrors | None = None
    weights: Numeric | None = None
    effects: tuple[Array, ...] = ()

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
            [name for effect in self.design.formula.effects for name in effect],
        )

    @property
    def reads(self) -> tuple[list[str], list[str]]:
        """The columns of the data that are read, as numbers and as labels."""
        inputs, weights = self.inputs, [] if self.weights is None else column_names(self.weights.expression)
        return list(dict.fromkeys((*inputs.numbers, *(name.name for name in weights)))), list(inputs.labels)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class PredictedRows:
    """The predictions for the m rows of a batch.

    Attributes
    ----------
    values : (m,) NaN where there is none.
    errors : (m,) their standard errors, as estimates of the mean of the response; empty if the predictor has none.
    weights : (m,) NaN for a missing one; None if the predictor has none.
    broken : which of the r complete rows break which dependency (r, D); None if none is checked.
    """

    values: Array
    errors: Array
    weights: Array | None = None
    broken: np.ndarray | None = None


def predict_batches(predictor: LinearPredictor, source: Source, *, unseen: str = "error") -> Any:
    """Predict every row of a source: a column in the library that holds the rows.

    If the source is partitioned, the result is its table with a further column "predicted", computed where the rows are. Raises
    DataError and OptionError as `iter_predictions`.
    """
    if source.partitioned:
        return predict_columns(predictor, source, ["predicted"], lambda rows: [rows.values], unseen=unseen)
    batches = (rows.values for rows in iter_predictions(predictor, source, unseen=unseen))
    return source.column(np.concatenate([np.empty(0), *batches]), "predicted")


def predict_columns(
    predictor: LinearPredictor,
    source: Source,
    names: Sequence[str],
    make_columns: Callable[[PredictedRows], Sequence[Array]],
    *,
    unseen: str = "error",
) -> Any:
    """Return the columns that a function makes of the predictions of a batch, (m,) each, as a frame in the library of the rows.

    If the source is partitioned, the result is as that of `Source.with_columns`.
    """
    if not source.partitioned:
        tables = [np.stack(make_columns(rows)) for rows in iter_predictions(predictor, source, unseen=unseen)]
        table = np.concatenate([np.empty((len(names), 0)), *tables], axis=1)
        return source.frame(dict(zip(names, table, strict=True)))
    predictor = _drop_unavailable_checks(predictor, source)
    require_one_of("unseen", unseen, get_args(Unseen))
    columns = predictor.reads
    require_columns(source, [*columns[0], *columns[1]])
    if predictor.check is not None:  # the rows are predicted later and elsewhere, so they cannot be counted here
        warn(
            f"A row that breaks {join_texts(predictor.check.messages)} is predicted as NaN: the rows of the fit do not determine "
            f"it. {ALLOW_HINT}"
        )
    return source.with_columns(
        names,
        columns,
        lambda part: (np.stack(make_columns(rows)) for rows in _iter_checked_batches(predictor, part, unseen=unseen)),
    )


def require_rank_deficient(rank_deficient: str) -> None:
    """Raise an OptionError unless the value is one that `rank_deficient` can have."""
    require_one_of("rank_deficient", rank_deficient, get_args(RankDeficient))


def warn(text: str) -> None:
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
    warn(
        f"{source.label} has no column {join_words([*map(repr, names)])}, so the predictions assume what held in every "
        f"row of the fit: {join_texts([*compress(predictor.check.messages, removed)])}."
    )
    return replace(predictor, check=None if removed.all() else predictor.check.without_columns(removed))


def iter_predictions(predictor: LinearPredictor, source: Source, *, unseen: str = "error") -> Iterator[PredictedRows]:
    """Predict every row of a source, batch by batch. Rows with a gap give NaN.

    Rows that the check finds undetermined give NaN too; a warning after the last batch counts them.

    Raises DataError if a column is missing or cannot be used, or a row has a level that the fit does not know and `unseen` is
    "error", and OptionError if that is neither "error" nor "nan".
    """
    require_one_of("unseen", unseen, get_args(Unseen))
    predictor = _drop_unavailable_checks(predictor, source)
    rows, counts = 0, np.zeros(1, dtype=int)
    for predicted in _iter_checked_batches(predictor, source, unseen=unseen):
        if predicted.broken is not None:
            rows, counts = rows + int(predicted.broken.any(axis=1).sum()), counts + predicted.broken.sum(axis=0)
        yield predicted
    if rows and predictor.check is not None:
        warn(predictor.check.warning(rows, counts))


def iter_fitted_rows(predictor: LinearPredictor, source: Source) -> Iterator[tuple[np.ndarray, PredictedRows, float]]:
    """Predict the rows that a fit has used, with its weights.

    Yield their positions (m,) in the source, the predictions, and the weighted sum of these without offset, about the center.
    """
    design = predictor.design
    for rows in iter_blocks(design, source):
        dense = dict(zip(design.layout.dense[:-1].tolist(), rows.dense, strict=False))  # without the response
        block = PartialBlock(dense=dense, grouped=design.layout.grouped, indicators=rows.indicators, size=rows.size)
        total = _add_columns(predictor, block)
        errors = _errors_of(predictor, block)
        values = total if rows.offset is None else total + rows.offset
        weights, centered = None if design.formula.has_frequencies else rows.weights, total - design.centers[-1]
        total_sum = centered.sum() if rows.weights is None else np.dot(rows.weights, centered)
        yield rows.rows, PredictedRows(values=values, errors=errors, weights=weights), float(total_sum)


def _iter_checked_batches(predictor: LinearPredictor, source: Source, *, unseen: str) -> Iterator[PredictedRows]:
    design, check, inputs = predictor.design, predictor.check, predictor.inputs
    columns_read = set(predictor.columns_read)
    zeros = [
        (i, text)  # a dropped column that is zero, and a factor of it that may be the rounding of its inputs
        for i, j in enumerate(check.dropped_columns.tolist() if check else ())
        for text, _, _ in design.columns[j].parts
        if check and check.zeros[i] and text in design.cancellation_factors
    ]
    positions = [j for j in design.layout.dense[:-1].tolist() if j in columns_read]

    def step(batch: Batch) -> PredictedRows:
        codes = level_codes(design, inputs, batch)
        effects, has_effects = _effects_of_rows(predictor, batch, source, unseen=unseen)
        if unseen == "error":
            require_known(design, batch, codes, batch.complete_mask(inputs.numbers, inputs.labels), source)
        known = np.all([has_effects, *(code != -2 for code in codes.values())], axis=0)
        evaluated = evaluate_batch(batch, inputs, design.learned, known, codes)
        values, indicators = dense_columns(design, evaluated, columns_read)
        block = PartialBlock(
            dense=dict(zip(positions, values, strict=True)),
            grouped=design.layout.grouped,
            indicators=indicators,
            size=evaluated.account.used,
        )
        total, offset = _add_columns(predictor, block), offset_of(design, evaluated)
        total = total if offset is None else total + offset[0]
        total += effects[evaluated.row_mask]
        broken = None
        if check is not None:
            broken = check.broken_rows(block)
            for i, text in zeros:
                x, bound = values_with_bounds(design, evaluated, text)
                broken[np.abs(x) <= bound, i] = False
        undetermined = None if broken is None else np.asarray(broken.any(axis=1))
        errors = _errors_of(predictor, block)
        return PredictedRows(
            values=_place(total, evaluated.row_mask, undetermined),
            errors=errors if predictor.errors is None else _place(errors, evaluated.row_mask, undetermined),
            weights=None if predictor.weights is None else _weights_of(predictor.weights, batch, source),
            broken=broken,
        )

    return map_batches(source, *predictor.reads, step)


def _effects_of_rows(predictor: LinearPredictor, batch: Batch, source: Source, *, unseen: str) -> tuple[Array, np.ndarray]:
    """Return the sum of the absorbed effects (m,) of each row, and which rows have levels of the fit in all of them."""
    total, known, absorbed = np.zeros(batch.size), np.ones(batch.size, dtype=bool), predictor.design.absorbed
    if absorbed is None:
        return total, known
    for effect, codes, values in zip(absorbed.effects, absorbed.codes(batch.labels), predictor.effects, strict=True):
        columns = [batch.labels[name] for name in effect]
        missing = np.any([column.codes < 0 for column in columns], axis=0)
        unknown = np.flatnonzero((codes < 0) & ~missing)
        if unseen == "error" and len(unknown):
            row = int(unknown[0])
            raise unknown_effect_error(effect, [column.values[column.codes[row]] for column in columns], source, batch.start + row)
        known &= codes >= 0
        total += np.where(codes >= 0, values[codes], 0.0)
    return total, known


def _errors_of(predictor: LinearPredictor, block: PartialBlock) -> Array:
    return np.empty(0) if predictor.errors is None else predictor.errors.of(predictor.design, predictor.selected, block)


def _place(values: Array, mask: np.ndarray, undetermined: np.ndarray | None) -> Array:
    """Return values (r,) of the rows in a mask (m,) as (m,), NaN for the other rows and for undetermined ones."""
    placed = np.full(len(mask), np.nan)
    placed[mask] = values if undetermined is None else np.where(undetermined, np.nan, values)
    return placed


def _weights_of(weights: Numeric, batch: Batch, source: Source) -> Array:
    """Return the weights (m,) of the rows of a batch, NaN for a missing one, or raise a DataError for one below zero."""
    columns = {name.name: batch.numbers[name.name].values for name in column_names(weights.expression)}
    with np.errstate(all="ignore"):
        values = np.broadcast_to(evaluate(weights.expression, columns, {})[0], batch.size)
    wrong = np.flatnonzero((values < 0) | np.isinf(values))
    if len(wrong):
        row = source.row_number(batch.start + int(wrong[0]))
        raise DataError(
            f"weights={weights.text!r} is {values[wrong[0]]:g} in data row {row:,} of {source.label}. Give finite numbers of at "
            "least 0."
        )
    return values


def _add_columns(predictor: LinearPredictor, block: PartialBlock) -> Array:
    selected, low, grouped = list(predictor.selected), predictor.low_parts, block.grouped
    weights, center, weights_low = np.zeros((3, len(predictor.design.columns)))
    weights[selected], center[selected] = predictor.slopes, predictor.center
    total = np.full(block.size, predictor.level - center[grouped] @ weights[grouped])
    chosen = set(selected)
    dense = [(x, e, j) for j, (x, e) in block.dense.items() if j in chosen]
    if low is None:
        for x, e, j in dense:
            total += ((x - center[j]) if e is None else (x - center[j]) + e) * weights[j]
        for indicator in block.indicators:
            total += take_indicators(weights[grouped], indicator)
        return total
    weights_low[selected] = low[1]
    pair: Pair = total, np.full(block.size, low[0])
    for x, e, j in dense:
        centered = dd_add((x, low_part(x, e)), (np.full_like(x, -center[j]), np.zeros_like(x)))
        pair = dd_add(pair, dd_multiply(centered, (weights[j], weights_low[j])))
    for indicator in block.indicators:
        ones = replace(indicator, values=None)
        term = take_indicators(weights[grouped], ones), take_indicators(weights_low[grouped], ones)
        if indicator.values is not None:
            term = dd_multiply(term, (indicator.values, low_part(indicator.values, indicator.low)))
        pair = dd_add(pair, term)
    return pair[0] + pair[1]
