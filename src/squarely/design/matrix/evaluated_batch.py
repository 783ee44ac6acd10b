"""A batch with its expressions evaluated, and the rows in which all of them have a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from squarely.data import Batch, RowAccount, is_all_finite
from squarely.design.design import RowInputs
from squarely.design.encoding.learned_state import LearnedState
from squarely.design.formula.expression import Expression, Name, evaluate
from squarely.design.matrix.block import DenseColumn
from squarely.numerics import Array, Pair


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EvaluatedBatch:
    """A batch with its expressions evaluated.

    Attributes
    ----------
    row_mask : (m,) the rows that meet the condition and have a value in every column and expression; r of them.
    columns : name -> the values (r,) of the columns of numbers.
    numbers : expression -> its values (r,), with their low part if they are not plain doubles.
    codes : text -> the codes (r,) of each categorical factor whose levels are learned.
    account : what was dropped and why, expressions without a value (log of zero) included.
    """

    inputs: RowInputs
    row_mask: np.ndarray
    columns: Mapping[str, Array]
    numbers: Mapping[Expression, DenseColumn]
    codes: Mapping[str, np.ndarray]
    account: RowAccount

    @property
    def weights(self) -> Array | None:
        """The weights (r,), None if there are none."""
        return None if self.inputs.weights is None else self.numbers[self.inputs.weights.expression][0]


def evaluate_batch(
    batch: Batch,
    inputs: RowInputs,
    state: LearnedState,
    among: np.ndarray | None,
    codes: Mapping[str, np.ndarray] | None = None,
) -> EvaluatedBatch:
    """Evaluate the expressions of the inputs in the rows of a mask, and drop the rows in which one has no value.

    `codes` (m,) are those of the categorical factors.
    """
    mask = batch.complete_mask(inputs.numbers, inputs.labels, among)
    account = batch.count_gaps(inputs.numbers, inputs.labels, among)
    columns = {name: batch.numbers[name].values for name in inputs.numbers}
    if account.used < batch.size:
        columns = {name: x[mask] for name, x in columns.items()}
    values: dict[Expression, Pair] = {e: (columns[e.name], np.zeros(0)) for e in inputs.expressions.values() if isinstance(e, Name)}
    finite, dropped = np.ones(account.used, dtype=bool), {}
    for text, expression in inputs.expressions.items():
        if expression in values:
            continue
        hi, lo = (np.broadcast_to(part, finite.shape) for part in evaluate(expression, columns, state.standardizations))
        values[expression] = hi, lo
        if not is_all_finite(hi):
            has_value, nan = np.isfinite(hi), int(np.isnan(hi).sum())
            dropped[text] = {"null": 0, "nan": nan, "inf": int((~has_value).sum()) - nan}
            finite &= has_value
    weightless = 0
    if inputs.weights is not None:
        zero = finite & (values[inputs.weights.expression][0] == 0)
        weightless = int(zero.sum())
        finite &= ~zero
    if dropped or weightless:
        values = {e: (hi[finite], lo[finite] if len(lo) else lo) for e, (hi, lo) in values.items()}
        columns = {name: x[finite] for name, x in columns.items()}
        mask[np.flatnonzero(mask)[~finite]] = False
        account = replace(account, used=int(mask.sum()), weightless=weightless, dropped={**account.dropped, **dropped})
    return EvaluatedBatch(
        inputs=inputs,
        row_mask=mask,
        columns=columns,
        numbers={e: (hi, lo if lo.any() else None) for e, (hi, lo) in values.items()},
        codes={text: code if account.used == batch.size else code[mask] for text, code in (codes or {}).items()},
        account=account,
    )
