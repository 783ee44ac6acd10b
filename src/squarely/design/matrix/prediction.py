"""Predictions for every row of new data, from coefficients of a design's columns."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from squarely.data import Batch, Source, map_batches, require_columns
from squarely.design.design import Design, columns_needed
from squarely.design.formula.factors import Factor
from squarely.design.matrix.block import DenseColumn, IndicatorColumn, take_indicators
from squarely.design.matrix.model_matrix import (
    dense_columns,
    evaluate_batch,
    level_codes,
    offset_of,
    require_known,
    values_with_bounds,
)
from squarely.errors import pluralize, require_one_of
from squarely.numerics import ROUNDOFF, Array, Pair, dd_add, dd_multiply, low_part

_ROUNDING = 32.0  # roundoffs that a stored value may be off by: it is the outcome of some arithmetic of its owner's
_MOST_LISTED = 6
_ALLOW_HINT = "rank_deficient='allow' (--rank-deficient allow) predicts all the same."


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Check:
    """What all rows of a fit keep, of which D columns were dropped: z @ weights is zero for z = [1, (x - centre) / scale].

    Attributes
    ----------
    dropped_columns : (D,) the positions in `design.columns` of the dropped columns; none where no column was dropped for them.
    weights : (p + 1, D) for [1, x_1 ... x_p]: one for the dropped column, and less what it is made of.
    errors : (D,) by how much z @ weights may be off in a row of the fit. A weight may be off by `standard_error_scale` (p + 1,) times that.
    centers, scales : (p + 1,) of [1, x_1 ... x_p].
    messages : (D,) the sentence for each of them. `reason` what a warning says before those that are broken.
    """

    dropped_columns: np.ndarray
    weights: Array
    errors: Array
    standard_error_scale: Array
    centers: Array
    scales: Array
    messages: tuple[str, ...]
    reason: str = "The fit dropped a column for each dependency that they break"

    def broken_rows(
        self, dense: np.ndarray, grouped: np.ndarray, held: Sequence[DenseColumn], spread: Sequence[IndicatorColumn], size: int
    ) -> np.ndarray:
        """Tell which rows (size,) break which dependency (D,), from the columns at the positions `dense` and `grouped`.

        What rounding explains breaks none: that of the values, and that with which the weights were found.
        """
        z, away = [np.ones(size)], [np.ones(size)]  # the scaled columns, and what their rounding is relative to
        for j, (x, low) in zip((dense + 1).tolist(), held, strict=True):
            moved = (x - self.centers[j]) if low is None else (x - self.centers[j]) + low
            z.append(moved / self.scales[j])
            away.append((np.abs(x) + abs(self.centers[j])) / self.scales[j])
        places, there = np.array([0, *(dense + 1)]), grouped + 1  # indicators are not centred

        def total(columns: Sequence[Array], weights: Array, *, absolute: bool = False) -> Array:
            value = np.zeros(size)
            for k in np.flatnonzero(weights[places]).tolist():
                value += columns[k] * weights[places[k]]
            some = weights[there] / self.scales[there]
            for part in spread if some.any() else ():
                term = take_indicators(some, part)
                value += np.abs(term) if absolute else term
            return value

        reach = total([np.abs(column) for column in z], self.standard_error_scale, absolute=True)
        broken = np.zeros((size, len(self.messages)), dtype=bool)
        for j, weights in enumerate(self.weights.T):
            room = _ROUNDING * ROUNDOFF * total(away, np.abs(weights), absolute=True) + self.errors[j] * (1.0 + reach)
            broken[:, j] = ~(np.abs(total(z, weights)) <= room)
        return broken

    def without_columns(self, gone: np.ndarray) -> Check:
        """Leave out the dependencies of some dropped columns (D,)."""
        said = tuple(text for text, out in zip(self.messages, gone, strict=True) if not out)
        return replace(
            self,
            dropped_columns=self.dropped_columns[~gone],
            weights=self.weights[:, ~gone],
            errors=self.errors[~gone],
            messages=said,
        )

    def warning(self, rows: int, met: np.ndarray) -> str:
        """Say how many rows have no prediction, and which dependencies they break, in how many rows each (D,)."""
        broken = [f"{text} ({pluralize(int(n), 'row')})" for text, n in zip(self.messages, met, strict=True) if n]
        return (
            f"{pluralize(rows, 'row')} {'has' if rows == 1 else 'have'} no prediction but NaN: the rows of the fit do not determine "
            f"one. {self.reason}: {_join_texts(broken)}. {_ALLOW_HINT}"
        )


def _join_texts(texts: Sequence[str]) -> str:
    more = len(texts) - _MOST_LISTED
    return "; ".join(texts[:_MOST_LISTED]) + (f"; and {more:,} more" if more > 0 else "")


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LinearPredictor:
    """A prediction in a design's columns: level + (x - centre) slopes, plus the offset.

    Written about a centre, with `level` the prediction there, it keeps its digits on columns far from zero.

    Attributes
    ----------
    selected : the positions in `design.columns` of the q columns that take part; columns of the data that only others need may be
        absent.
    level : the prediction at the centre. `slopes`, `center` (q,), those of the columns.
    check : what a row must keep to be predicted, None if nothing.
    low_parts : what `level` and `slopes` lack beyond doubles: with it, terms that cancel are summed up in double-double.
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
        """The positions of the columns that are read: those that take part, and those that are checked."""
        return self.selected if self.check is None else sorted({*self.selected, *self.check.dropped_columns.tolist()})


def predict_batches(line: LinearPredictor, source: Source, *, unseen: str = "error") -> Any:
    """Predict every row of a source: a column in the library that the rows are in.

    Where the rows are scattered, it is their own table with a further column "predicted", worked out where they are.

    Raises
    ------
    DataError, OptionError : as `iter_predictions`.
    """
    if not source.partitioned:
        return source.column(np.concatenate([np.empty(0), *iter_predictions(line, source, unseen=unseen)]), "predicted")
    line = _drop_unavailable_checks(line, source)
    numbers, labels = _columns(line)
    _require_option(unseen)
    require_columns(source, [*numbers, *labels])
    if line.check is not None:  # the rows are predicted later and elsewhere, so nobody can count them here
        _warn(
            f"A row that breaks {_join_texts(line.check.messages)} is predicted as NaN: the rows of the fit do not determine it. {_ALLOW_HINT}"
        )
    return source.with_column(
        "predicted", (numbers, labels), lambda part: (y for y, _ in _iter_checked_batches(line, part, unseen=unseen))
    )


def _columns(line: LinearPredictor) -> tuple[list[str], list[str]]:
    """Give the numbers and the labels that a line needs."""
    return columns_needed(_factors(line), [offset.expression for offset in line.design.formula.offsets])


def _factors(line: LinearPredictor) -> list[Factor]:
    used = {text for j in line.columns_read for text, _, _ in line.design.columns[j].parts}
    return [factor for text, factor in line.design.factors.items() if text in used]


def require_rank_deficient(rank_deficient: str) -> None:
    """Raise an OptionError unless it says what becomes of a row that the check finds undetermined."""
    require_one_of("rank_deficient", rank_deficient, ("nan", "allow"))


def _require_option(unseen: str) -> None:
    require_one_of("unseen", unseen, ("error", "nan"))


def _warn(text: str) -> None:
    """Warn at the line of the user's code that has asked."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("squarely.", "contextlib")):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, UserWarning, stacklevel=level)


def _drop_unavailable_checks(line: LinearPredictor, source: Source) -> LinearPredictor:
    """Leave out the checks of dropped columns that the source does not have, with a warning."""
    if line.check is None:
        return line
    numbers, labels = _columns(replace(line, check=None))
    absent: dict[str, None] = {}
    gone = np.zeros(len(line.check.dropped_columns), dtype=bool)
    for i, j in enumerate(line.check.dropped_columns.tolist()):
        wanted = [name for names in _columns(replace(line, selected=[j], check=None)) for name in names]
        missing = [name for name in wanted if name not in {*source.columns, *numbers, *labels}]
        gone[i] = bool(missing)
        absent |= dict.fromkeys(missing)
    if not absent:
        return line
    said = [text for text, out in zip(line.check.messages, gone, strict=True) if out]
    _warn(
        f"{source.label} has no column {' and '.join(map(repr, absent))}, so the predictions take for granted what held in every "
        f"row of the fit: {_join_texts(said)}."
    )
    return replace(line, check=None if gone.all() else line.check.without_columns(gone))


def iter_predictions(line: LinearPredictor, source: Source, *, unseen: str = "error") -> Iterator[Array]:
    """Predict every row of a source, one array (m,) for each batch. Rows with a gap give NaN.

    So do rows that the check finds undetermined; a warning after the last batch counts them.

    Raises
    ------
    DataError : a column is absent or cannot be used, or a row has a level that the fit has not met and `unseen` is "error".
    OptionError : `unseen` is neither "error" nor "nan".
    """
    _require_option(unseen)
    line = _drop_unavailable_checks(line, source)
    rows, met = 0, np.zeros(1, dtype=int)
    for values, broken in _iter_checked_batches(line, source, unseen=unseen):
        if broken is not None:
            rows, met = rows + int(broken.any(axis=1).sum()), met + broken.sum(axis=0)
        yield values
    if rows and line.check is not None:
        _warn(line.check.warning(rows, met))


def _zeros(design: Design, check: Check) -> Iterator[tuple[int, str]]:
    """Yield the dropped columns that are zero, each with a factor of it that may be the rounding of its inputs."""
    for i, j in enumerate(check.dropped_columns.tolist()):
        if check.messages[i].endswith(" is constant (0)"):
            yield from ((i, text) for text, _, _ in design.columns[j].parts if text in design.cancellation_factors)


def _iter_checked_batches(line: LinearPredictor, source: Source, *, unseen: str) -> Iterator[tuple[Array, np.ndarray | None]]:
    """Yield the predictions (m,) of each batch, and which of its complete rows break which dependency (r, D)."""
    design, kept, check = line.design, line.selected, line.check
    factors = _factors(line)
    named = {numeric.text: numeric.expression for numeric in design.formula.offsets}
    numbers, labels = _columns(line)
    weights, middle = np.zeros((2, len(design.columns)))
    weights[kept], middle[kept] = line.slopes, line.center
    more = np.zeros(len(weights))
    if line.low_parts is not None:
        more[kept] = line.low_parts[1]
    read, used, grouped = set(line.columns_read), set(kept), design.layout.grouped
    dense = np.array([j for j in design.layout.dense[:-1].tolist() if j in read], dtype=int)

    def step(batch: Batch) -> tuple[Array, np.ndarray | None]:
        codes = level_codes(design, factors, batch)
        if unseen == "error":
            require_known(design, batch, codes, batch.complete_mask(numbers, labels), source)
        known = np.ones(batch.size, dtype=bool)
        for code in codes.values():
            known &= code != -2
        seen = evaluate_batch(batch, factors, named, design.learned, known)
        held, spread = dense_columns(
            design, factors, seen, {name: code[seen.row_mask] for name, code in codes.items()}, line.columns_read
        )
        total = np.full(seen.account.used, line.level - middle[grouped] @ weights[grouped])
        columns = [(j, x, low) for j, (x, low) in zip(dense.tolist(), held, strict=True) if j in used]
        if line.low_parts is not None:
            pair = total, np.full_like(total, line.low_parts[0])
            terms = [(x, low, middle[j], (weights[j], more[j])) for j, x, low in columns]
            total = _sum_double_double(pair, terms, spread, (weights[grouped], more[grouped]))
        else:
            for j, x, low in columns:
                total += ((x - middle[j]) if low is None else (x - middle[j]) + low) * weights[j]
            for part in spread:
                total += take_indicators(weights[grouped], part)
        offset = offset_of(design, seen)
        total = total if offset is None else total + offset[0]
        broken = None
        if check is not None:
            broken = check.broken_rows(dense, grouped, held, spread, len(total))
            for i, text in _zeros(design, check):
                x, room = values_with_bounds(design, seen, text)
                broken[np.abs(x) <= room, i] = False  # zero but for the rounding of its inputs
        predicted = np.full(batch.size, np.nan)
        predicted[seen.row_mask] = total if broken is None else np.where(broken.any(axis=1), np.nan, total)
        return predicted, broken

    return map_batches(source, numbers, labels, step)


def _sum_double_double(
    total: Pair, columns: Sequence[tuple[Array, Array | None, float, Pair]], spread: Sequence[IndicatorColumn], effects: Pair
) -> Array:
    """Add (x - middle) weight of each column to a total (m,), and the effects (g,) of indicators; round once."""
    for x, low, middle, weight in columns:
        moved = dd_add((x, low_part(x, low)), (np.full_like(x, -middle), np.zeros_like(x)))
        total = dd_add(total, dd_multiply(moved, weight))
    for part in spread:
        ones = replace(part, values=None)
        term = take_indicators(effects[0], ones), take_indicators(effects[1], ones)
        if part.values is not None:
            term = dd_multiply(term, (part.values, low_part(part.values, part.low)))
        total = dd_add(total, term)
    return total[0] + total[1]
