"""Predictions for every row of new data, from coefficients of a design's columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from squarely.data import Batch, Source, map_batches, require_columns
from squarely.design.block import gathered
from squarely.design.design import Design, columns_needed
from squarely.design.factor import Factor
from squarely.design.rows import coded, columns_held, evaluated, offset_of, require_known
from squarely.errors import OptionError
from squarely.numerics import Array


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Line:
    """A prediction in a design's columns: level + (x - centre) slopes, plus the offset.

    Written about a centre, with `level` the prediction there, it keeps its digits on columns far from zero.

    Attributes
    ----------
    kept : the positions in `design.columns` of the q columns that take part; columns of the data that only others need may be
        absent.
    level : the prediction at the centre. `slopes`, `centre` (q,), those of the columns.
    """

    design: Design
    kept: Sequence[int]
    level: float
    slopes: Array
    centre: Array


def predicted(line: Line, source: Source, *, unseen: str = "error") -> Any:
    """Predict every row of a source: a column in the library that the rows are in.

    Where the rows are scattered, it is their own table with a further column "predicted", worked out where they are.

    Raises
    ------
    DataError, OptionError : as `linear_predictor`.
    """
    if not source.scattered:
        return source.column(np.concatenate([np.empty(0), *linear_predictor(line, source, unseen=unseen)]), "predicted")
    numbers, labels = _columns(line)
    _require_option(unseen)
    require_columns(source, [*numbers, *labels])
    return source.with_column("predicted", (numbers, labels), lambda part: linear_predictor(line, part, unseen=unseen))


def _columns(line: Line) -> tuple[list[str], list[str]]:
    """Give the numbers and the labels that a line needs."""
    return columns_needed(_factors(line), [offset.expression for offset in line.design.formula.offsets])


def _factors(line: Line) -> list[Factor]:
    used = {text for j in line.kept for text, _, _ in line.design.columns[j].parts}
    return [factor for text, factor in line.design.factors.items() if text in used]


def _require_option(unseen: str) -> None:
    if unseen not in ("error", "nan"):
        raise OptionError(f"unseen={unseen!r} is not understood. Use 'error' or 'nan'.")


def linear_predictor(line: Line, source: Source, *, unseen: str = "error") -> Iterator[Array]:
    """Predict every row of a source, one array (m,) for each batch. Rows with a gap give NaN.

    Raises
    ------
    DataError : a column is absent or cannot be used, or a row has a level that the fit has not met and `unseen` is "error".
    OptionError : `unseen` is neither "error" nor "nan".
    """
    _require_option(unseen)
    design, kept = line.design, line.kept
    factors = _factors(line)
    named = {numeric.text: numeric.expression for numeric in design.formula.offsets}
    numbers, labels = _columns(line)
    weights, middle = np.zeros((2, len(design.columns)))
    weights[kept], middle[kept] = line.slopes, line.centre
    dense, grouped = [j for j in design.layout.dense[:-1].tolist() if j in set(kept)], design.layout.grouped

    def step(batch: Batch) -> Array:
        codes = coded(design, factors, batch)
        if unseen == "error":
            require_known(design, batch, codes, batch.complete(numbers, labels), source)
        known = np.ones(batch.size, dtype=bool)
        for code in codes.values():
            known &= code != -2
        seen = evaluated(batch, factors, named, design.learnt, known)
        held, spread = columns_held(design, factors, seen, {name: code[seen.keep] for name, code in codes.items()}, kept)
        total = np.full(seen.account.used, line.level - middle[grouped] @ weights[grouped])
        for j, (x, low) in zip(dense, held, strict=True):
            total += ((x - middle[j]) if low is None else (x - middle[j]) + low) * weights[j]
        for part in spread:
            total += gathered(weights[grouped], part)
        offset = offset_of(design, seen)
        predicted = np.full(batch.size, np.nan)
        predicted[seen.keep] = total if offset is None else total + offset[0]
        return predicted

    return map_batches(source, numbers, labels, step)
