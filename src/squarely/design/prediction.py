"""Predictions for every row of new data, from coefficients of a design's columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from squarely.data import Batch, Source, map_batches
from squarely.design.block import gathered
from squarely.design.design import Design, columns_needed
from squarely.design.rows import coded, columns_held, evaluated, offset_of, require_known
from squarely.errors import OptionError
from squarely.numerics import Array


def linear_predictor(
    design: Design, source: Source, kept: Sequence[int], level: float, slopes: Array, *, centre: Array, unseen: str = "error"
) -> Iterator[Array]:
    """Predict every row of a source, one array (m,) for each batch: level + (x - centre) slopes, plus the offset.

    Written about a centre, with `level` the prediction there, it keeps its digits on columns far from zero. `kept` are the
    positions in `design.columns` of the q columns that slopes and centre (q,) belong to; columns of the data that only others
    need may be absent. Rows with a gap give NaN.

    Raises
    ------
    DataError : a column is absent or cannot be used, or a row has a level that the fit has not met and `unseen` is "error".
    OptionError : `unseen` is neither "error" nor "nan".
    """
    if unseen not in ("error", "nan"):
        raise OptionError(f"unseen={unseen!r} is not understood. Use 'error' or 'nan'.")
    used = {text for j in kept for text, _, _ in design.columns[j].parts}
    factors = [factor for text, factor in design.factors.items() if text in used]
    named = {numeric.text: numeric.expression for numeric in design.formula.offsets}
    numbers, labels = columns_needed(factors, named.values())
    weights, middle = np.zeros((2, len(design.columns)))
    weights[kept], middle[kept] = slopes, centre
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
        total = np.full(seen.account.used, level - middle[grouped] @ weights[grouped])
        for j, (x, low) in zip(dense, held, strict=True):
            total += ((x - middle[j]) if low is None else (x - middle[j]) + low) * weights[j]
        for part in spread:
            total += gathered(weights[grouped], part)
        offset = offset_of(design, seen)
        predicted = np.full(batch.size, np.nan)
        predicted[seen.keep] = total if offset is None else total + offset[0]
        return predicted

    return map_batches(source, numbers, labels, step)
