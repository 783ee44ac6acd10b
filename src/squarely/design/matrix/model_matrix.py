"""From batches of rows to the columns of a design: the complete rows of a fit, in blocks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any, TypeVar

import numpy as np

from squarely.data import Batch, RowAccount, Source, fold_parts, is_all_finite, map_batches
from squarely.design.design import Design, RowInputs
from squarely.design.encoding.basis import powers
from squarely.design.encoding.columns import FactorColumn
from squarely.design.encoding.learned_state import LearnedState
from squarely.design.formula.expression import Expression, Name, evaluate
from squarely.design.formula.factors import Basis, Categorical, Factor, Numeric, argument_of
from squarely.design.formula.where_mask import mask_of
from squarely.design.matrix.block import Block, DenseColumn, IndicatorColumn
from squarely.design.rounding import RoundingModel, add_bounds, multiply_bound, product_bound
from squarely.numerics import FRACTION_LIMIT, ROUNDING, ROUNDOFF, Array, Pair, dd_add, dd_multiply, low_part

T = TypeVar("T")

_FEW_ROWS = 8_192  # for more rows the rounding of a basis is bounded once, for any argument, which takes no time
_Table = tuple[Array, Array | None]  # columns (m, w), and their low parts if they are not plain doubles


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EvaluatedBatch:
    """A batch with its expressions evaluated.

    Attributes
    ----------
    inputs : what was evaluated.
    row_mask : (m,) the rows that meet the condition and have a value in every column and expression; r of them.
    columns : name -> the values (r,) of the columns of numbers.
    numbers : expression -> its values (r,) as double-double; the low part of a column is empty.
    account : what was dropped and why, expressions without a value (log of zero) included.
    """

    inputs: RowInputs
    row_mask: np.ndarray
    columns: Mapping[str, Array]
    numbers: Mapping[Expression, Pair]
    account: RowAccount


def evaluate_batch(batch: Batch, inputs: RowInputs, state: LearnedState, among: np.ndarray | None) -> EvaluatedBatch:
    """Evaluate the expressions of the inputs in the rows of a mask, and drop the rows in which one has no value."""
    mask, account = (
        batch.complete_mask(inputs.numbers, inputs.labels, among),
        batch.count_gaps(inputs.numbers, inputs.labels, among),
    )
    columns = {name: batch.numbers[name].values for name in inputs.numbers}
    if account.used < batch.size:
        columns = {name: x[mask] for name, x in columns.items()}
    values: dict[Expression, Pair] = {}
    finite, dropped = np.ones(account.used, dtype=bool), {}
    for text, expression in inputs.expressions.items():
        if expression in values:
            continue
        if isinstance(expression, Name):
            values[expression] = columns[expression.name], np.zeros(0)
            continue
        hi, lo = (np.broadcast_to(part, finite.shape) for part in evaluate(expression, columns, state.standardizations))
        values[expression] = hi, lo
        if not is_all_finite(hi):
            has_value, nan = np.isfinite(hi), int(np.isnan(hi).sum())
            dropped[text] = {"null": 0, "nan": nan, "inf": int((~has_value).sum()) - nan}
            finite &= has_value
    if dropped:
        values = {e: (hi[finite], lo[finite] if len(lo) else lo) for e, (hi, lo) in values.items()}
        columns = {name: x[finite] for name, x in columns.items()}
        mask[np.flatnonzero(mask)[~finite]] = False
        account = replace(account, used=int(mask.sum()), dropped={**account.dropped, **dropped})
    return EvaluatedBatch(inputs=inputs, row_mask=mask, columns=columns, numbers=values, account=account)


def iter_blocks(
    design: Design, source: Source, *, size: int | None = None, parts: Sequence[int] | None = None
) -> Generator[Block, None, None]:
    """Yield the complete rows of a source as the columns of a design, in order; `size` and `parts` as in `map_batches`.

    Raises
    ------
    DataError : a column is missing or cannot be used, or a row has a level that the design does not know.
    """
    return map_blocks(design, source, lambda block: block, threads=False, size=size, parts=parts)


def fold_blocks(
    design: Design, source: Source, step: Callable[[Block], T], merge: Callable[[T, T], T], start: T, *, threads: bool = True
) -> T:
    """Merge the results of a step for the complete rows of every batch, in order, where the rows are.

    `start` is the neutral element of `merge`. Where the rows are partitioned the step goes to other processes: it must hold
    nothing but what it needs.

    Raises
    ------
    DataError : as `iter_blocks`.
    """

    def work(part: Source) -> T:
        return reduce(merge, map_blocks(design, part, step, threads=threads), start)

    return fold_parts(source, design.columns_read, work, merge, start)


def map_blocks(
    design: Design,
    source: Source,
    step: Callable[[Block], T],
    *,
    threads: bool = True,
    size: int | None = None,
    parts: Sequence[int] | None = None,
) -> Generator[T, None, None]:
    """Yield the results of a step for the complete rows of every batch, in order; the steps may run in threads.

    `size` and `parts` are those of `map_batches`.

    Raises
    ------
    DataError : as `iter_blocks`.
    """
    numbers, labels = design.columns_read
    return map_batches(
        source, numbers, labels, lambda batch: step(_block(design, batch, source)), threads=threads, size=size, parts=parts
    )


def _block(design: Design, batch: Batch, source: Source) -> Block:
    evaluated = evaluate_batch(batch, design.inputs, design.learned, mask_of(design.where, batch) if design.where else None)
    is_complete = evaluated.account.used == batch.size
    codes = level_codes(design, design.inputs, batch)
    require_known(design, batch, codes, evaluated.row_mask, source)
    codes = codes if is_complete else {text: code[evaluated.row_mask] for text, code in codes.items()}
    offset = offset_of(design, evaluated)
    dense, indicators = dense_columns(design, evaluated, codes, range(len(design.columns)))
    return Block(
        dense=(*dense, _response(design, evaluated, offset)),
        indicators=indicators,
        size=evaluated.account.used,
        layout=design.layout,
        offset=None if offset is None else offset[0] + offset[1],
        first_row=batch.start,
        row_mask=None if is_complete else evaluated.row_mask,
        account=evaluated.account,
        rounding_squares=partial(_rounding_squares, design, evaluated, codes) if design.is_rounded else None,
        ends=partial(_ends, design, evaluated) if design.cancellation_factors else None,
    )


def _rounding_squares(design: Design, evaluated: EvaluatedBatch, codes: Mapping[str, np.ndarray]) -> Array:
    """Sum the squares of bounds of the rounding of each column (k,), in its unit."""
    layout, tables = design.layout, _tables(design, evaluated, codes)
    model = _rounding_model(design, evaluated)
    total = np.zeros(len(design.columns) + 1)
    with np.errstate(all="ignore"):
        bounds = {f.text: _bounds(model, design, f) for f in design.inputs.factors if not isinstance(f, Categorical)}

        def squares(parts: Sequence[FactorColumn]) -> Array:
            pairs = [(bounds[text][i] if text in bounds else None, np.abs(tables[text, full][0][:, i])) for text, full, i in parts]
            return _squares(product_bound(pairs), evaluated)

        for j in layout.dense[:-1].tolist():
            total[j] = squares(design.columns[j].parts).sum()
        for block in layout.blocks:
            places = block.places(codes)
            total[layout.grouped] += np.bincount(places + 1, squares(block.numeric_columns), len(layout.grouped) + 1)[1:]
        total[-1] = _squares(add_bounds(*map(model.bound, design.formula.response_and_offsets.values())), evaluated).sum()
    return np.where(np.isnan(total), np.inf, total)


def _rounding_model(
    design: Design, evaluated: EvaluatedBatch, stored_bound: Callable[[Array], Array] | None = None
) -> RoundingModel:
    standardizations = design.learned.standardizations
    return RoundingModel(
        value=lambda expression: evaluate(expression, evaluated.columns, standardizations)[0],
        size=np.abs,
        standardizations=standardizations,
        stored_bound=stored_bound,
    )


def _ends(design: Design, evaluated: EvaluatedBatch) -> Array:
    """Return between which ends (2, f) a constant value of each cancellation factor may be; they cross if there is none."""
    ends = np.empty((2, len(design.cancellation_factors)))
    for i, text in enumerate(design.cancellation_factors):
        x, bound = values_with_bounds(design, evaluated, text)
        ends[:, i] = (x - bound).max(initial=-np.inf), (x + bound).min(initial=np.inf)
    return ends


def values_with_bounds(design: Design, evaluated: EvaluatedBatch, text: str) -> tuple[Array, Array]:
    """Return the values (m,) of the expression in a factor, and bounds of what the rounding of its inputs does to them."""
    expression = argument_of(design.factors[text])
    model = _rounding_model(design, evaluated, _rounding_of_stored)
    with np.errstate(all="ignore"):
        return model.value(expression), add_bounds(model.bound(expression), 0.0)


def _rounding_of_stored(x: Array) -> Array:
    """Bound the rounding of stored values; whole numbers have none."""
    size = np.abs(x)
    return np.where((np.rint(x) == x) & (size < FRACTION_LIMIT), 0.0, size * ROUNDING * ROUNDOFF)


def _squares(bound: Any, evaluated: EvaluatedBatch) -> Array:
    return np.broadcast_to(np.square(0.0 if bound is None else bound), evaluated.account.used)


def _bounds(model: RoundingModel, design: Design, factor: Factor) -> list[Any]:
    """Bound the rounding of the columns of a factor, row by row."""
    inside = model.bound(argument_of(factor))
    if not isinstance(factor, Basis):
        return [inside]
    x = model.value(factor.argument)
    if factor.kind == "powers":
        return [multiply_bound(inside, k * np.abs(x) ** (k - 1)) for k in range(1, factor.degree + 1)]
    if not isinstance(factor.argument, Name):  # a basis takes one double
        inside = add_bounds(inside, np.abs(x) * ROUNDOFF)
    return model.basis_bounds(design.learned.bases[factor.text], inside, x if len(x) <= _FEW_ROWS else None)


def level_codes(design: Design, inputs: RowInputs, batch: Batch) -> dict[str, np.ndarray]:
    """Return the codes (m,) of each categorical factor among the inputs."""
    codings = design.learned.contrasts
    return {f.text: codings[f.text].codes(batch.labels[f.name.name]) for f in inputs.factors if isinstance(f, Categorical)}


def require_known(design: Design, batch: Batch, codes: Mapping[str, np.ndarray], mask: np.ndarray, source: Source) -> None:
    """Raise a DataError that names the first level, in the rows of a mask, that the design does not know."""
    for text, code in codes.items():
        coding = design.learned.contrasts[text]
        coding.require_known(batch.labels[coding.column], code if mask.all() else np.where(mask, code, -1), batch.start, source)


def dense_columns(
    design: Design, evaluated: EvaluatedBatch, codes: Mapping[str, np.ndarray], positions: Collection[int]
) -> tuple[list[DenseColumn], list[IndicatorColumn]]:
    """Return the dense columns at some positions among the columns of X, and the blocks of indicators that have one of them."""
    layout, chosen = design.layout, set(positions)
    tables = _tables(design, evaluated, codes)

    def product(parts: Sequence[FactorColumn]) -> DenseColumn:
        return _product([_part(tables[text, full], i) for text, full, i in parts])

    dense = [product(design.columns[j].parts) for j in layout.dense[:-1].tolist() if j in chosen]
    indicators = []
    for block in layout.blocks:
        if not chosen.isdisjoint(layout.grouped[block.lookup[block.lookup >= 0]].tolist()):
            values = product(block.numeric_columns) if block.numeric_columns else (None, None)
            indicators.append(IndicatorColumn(places=block.places(codes), values=values[0], low=values[1]))
    return dense, indicators


def _tables(design: Design, evaluated: EvaluatedBatch, codes: Mapping[str, np.ndarray]) -> dict[tuple[str, bool], _Table]:
    """Return the columns of each factor on the complete rows; of a categorical one, those that are dense."""
    tables: dict[tuple[str, bool], _Table] = {}
    for factor in evaluated.inputs.factors:
        if isinstance(factor, Categorical):
            coding = design.learned.contrasts[factor.text]
            for full in (False, True):
                if (factor.text, full) in design.layout.tables:
                    tables[factor.text, full] = coding.columns(codes[factor.text], full=full), None
            continue
        hi, lo = evaluated.numbers[evaluated.inputs.expressions[factor.text]]
        if isinstance(factor, Numeric):
            low = _nonzero_low_part((hi, lo))
            tables[factor.text, False] = hi[:, None], None if low is None else low[:, None]
        elif isinstance(factor, Basis) and factor.kind == "powers":
            tables[factor.text, False] = powers((hi, low_part(hi, lo)), factor.degree)
        else:
            tables[factor.text, False] = design.learned.bases[factor.text].columns(hi), None
    return tables


def offset_of(design: Design, evaluated: EvaluatedBatch) -> Pair | None:
    """Return the sum of the offsets, None if there are none."""
    total = None
    for numeric in design.formula.offsets:
        hi, lo = evaluated.numbers[numeric.expression]
        term = hi, low_part(hi, lo)
        total = term if total is None else dd_add(total, term)
    return total


def _response(design: Design, evaluated: EvaluatedBatch, offset: Pair | None) -> DenseColumn:
    """Return the response minus the offset."""
    response = evaluated.numbers[design.formula.response.expression]
    y, e = response[0], _nonzero_low_part(response)
    return (y, e) if offset is None else dd_add((y, low_part(y, e)), (-offset[0], -offset[1]))


def _nonzero_low_part(x: Pair) -> Array | None:
    """Return the low part of the values of an expression, None if they are plain doubles."""
    return x[1] if len(x[1]) == len(x[0]) and x[1].any() else None


def _part(table: _Table, i: int) -> DenseColumn:
    return table[0][:, i], None if table[1] is None else table[1][:, i]


def _product(parts: Sequence[DenseColumn]) -> DenseColumn:
    hi, lo = parts[0]
    for x, e in parts[1:]:
        if lo is None and e is None and (_is_unit(hi) or _is_unit(x)):  # a product with 0, 1 and -1 is exact
            hi = hi * x
        else:
            with np.errstate(all="ignore"):
                hi, lo = dd_multiply((hi, low_part(hi, lo)), (x, low_part(x, e)))
    return hi, lo


def _is_unit(x: Array) -> bool:
    return bool((np.abs(x) <= 1).all() and (np.rint(x) == x).all())
