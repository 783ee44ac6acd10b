"""From batches of rows to the columns of a design: the complete rows of a fit, in blocks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import Any, TypeVar

import numpy as np

from squarely.data import Batch, CategoricalColumn, Source, fold_parts, map_batches
from squarely.design.design import Design, RowInputs
from squarely.design.encoding.absorbed_effects import AbsorbedEffects, Codes
from squarely.design.encoding.layout import FactorColumn
from squarely.design.formula.expression import Name, evaluate
from squarely.design.formula.factors import Basis, Categorical, Factor, Numeric, argument_of
from squarely.design.formula.where_mask import mask_of
from squarely.design.matrix.block import Block, DenseColumn, IndicatorColumn
from squarely.design.matrix.evaluated_batch import EvaluatedBatch, evaluate_batch
from squarely.design.rounding import RoundingModel, add_bounds, multiply_bound, product_bound
from squarely.design.weights import require_finite_weights, weights_error
from squarely.errors import DataError
from squarely.numerics import FRACTION_LIMIT, ROUNDING, ROUNDOFF, Array, Pair, dd_add, dd_multiply, dd_power, low_part

T = TypeVar("T")

_FEW_ROWS = 8_192  # for more rows the rounding of a basis is bounded once, for any argument, which takes no time


def iter_blocks(
    design: Design, source: Source, *, size: int | None = None, parts: Sequence[int] | None = None
) -> Generator[Block, None, None]:
    """Yield the complete rows of a source as the columns of a design, in order; `size` and `parts` as in `map_batches`.

    Raises DataError if a column is missing or cannot be used, or a row has a level that the design does not know.
    """
    return map_batches(source, *design.columns_read, partial(_block, design, source), threads=False, size=size, parts=parts)


def fold_blocks(
    design: Design,
    source: Source,
    step: Callable[[Block], T],
    merge: Callable[[T, T], T],
    start: T,
    *,
    threads: bool = True,
    size: int | None = None,
) -> T:
    """Merge the results of a step for the complete rows of every batch, in order, where the rows are; `size` as in `map_batches`.

    `start` is the neutral element of `merge`. Where the rows are partitioned the step goes to other processes: it must hold
    nothing but what it needs. Raises DataError as `iter_blocks`.
    """
    return fold_response_blocks([design], source, lambda blocks: step(blocks[0]), merge, start, threads=threads, size=size)


def fold_response_blocks(
    designs: Sequence[Design],
    source: Source,
    step: Callable[[Sequence[Block]], T],
    merge: Callable[[T, T], T],
    start: T,
    *,
    threads: bool = True,
    size: int | None = None,
) -> T:
    """Do as `fold_blocks` for designs that differ in their responses alone: the step gets a block for each, of the same rows.

    Every design requires the responses of the others, and several have no effects to absorb.
    """
    columns = designs[0].columns_read

    def work(part: Source) -> T:
        results = map_batches(
            part, *columns, lambda batch: step(_response_blocks(designs, part, batch)), threads=threads, size=size
        )
        return reduce(merge, results, start)

    return fold_parts(source, columns, work, merge, start)


def _block(design: Design, source: Source, batch: Batch) -> Block:
    return _response_blocks([design], source, batch)[0]


def _response_blocks(designs: Sequence[Design], source: Source, batch: Batch) -> list[Block]:
    design = designs[0]
    where, codes = mask_of(design.where, batch) if design.where else None, level_codes(design, design.inputs, batch)
    evaluated = evaluate_batch(batch, design.inputs, design.learned, where, codes)
    require_known(design, batch, codes, evaluated.row_mask, source)
    offset = offset_of(design, evaluated)
    columns, indicators = dense_columns(design, evaluated, range(len(design.columns)))
    groups = {
        name: replace(batch.labels[name], codes=batch.labels[name].codes[evaluated.row_mask], gaps=None)
        for name in design.formula.label_columns
    }
    response = _response(design, evaluated, offset)
    dense, total, levels = _absorb(
        design.absorbed, [*columns, response], None if offset is None else offset[0] + offset[1], groups, source
    )
    block = Block(
        dense=dense,
        indicators=indicators,
        size=evaluated.account.used,
        layout=design.layout,
        offset=total,
        first_row=batch.start,
        columns=evaluated.columns,
        row_mask=evaluated.row_mask,
        account=evaluated.account,
        groups=groups,
        codes=levels,
        weights=_checked_weights(design, batch, evaluated, source),
        rounding_squares=partial(_rounding_squares, design, evaluated) if design.is_rounded else None,
        ends=partial(_ends, design, evaluated) if design.cancellation_factors else None,
    )
    others = [
        replace(
            block,
            dense=(*columns, _response(other, evaluated, offset)),
            rounding_squares=partial(_rounding_squares, other, evaluated) if other.is_rounded else None,
        )
        for other in designs[1:]
    ]
    return [block, *others]


def _response(design: Design, evaluated: EvaluatedBatch, offset: Pair | None) -> DenseColumn:
    """Return the response less the offset."""
    y = evaluated.numbers[design.formula.response.expression]
    return y if offset is None else dd_add((y[0], low_part(*y)), (-offset[0], -offset[1]))


def _absorb(
    absorbed: AbsorbedEffects | None,
    dense: Sequence[DenseColumn],
    offset: Array | None,
    groups: Mapping[str, CategoricalColumn],
    source: Source,
) -> tuple[Sequence[DenseColumn], Array | None, Codes]:
    """Subtract the effects; return the columns, the offset with the effects of the response, and the codes of the levels."""
    if absorbed is None:
        return dense, offset, ()
    codes = absorbed.codes(groups)
    for name, code in zip(absorbed.names, codes, strict=True):
        if (code < 0).any():
            raise DataError(
                f"{source.label} changed while it was read: it has another level of {name}. Fit again when nothing writes to it."
            )
    columns, shift = absorbed.subtract(dense, codes)
    return columns, shift if offset is None else offset + shift, codes


def _checked_weights(design: Design, batch: Batch, evaluated: EvaluatedBatch, source: Source) -> Array | None:
    """Return the weights of complete rows, or raise a DataError for one that is negative or infinite, or a frequency of 1.5."""
    formula, weights = design.formula, evaluated.weights
    if formula.weights is None or weights is None:
        return None
    wrong = weights < 0
    if formula.has_frequencies:
        wrong |= np.rint(weights) != weights
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        row = source.row_number(batch.start + int(np.flatnonzero(evaluated.row_mask)[at]))
        raise weights_error(formula, float(weights[at]), f"data row {row:,}", source.label)
    require_finite_weights(formula, evaluated.account, source.label)
    return weights


def _rounding_squares(design: Design, evaluated: EvaluatedBatch) -> Array:
    """Sum the squares of bounds of the rounding of each column (k,), in its unit."""
    layout, tables, model = design.layout, _tables(design, evaluated), _rounding_model(design, evaluated)
    total = np.zeros(len(design.columns) + 1)

    def squares(bound: Any) -> Array:
        return np.broadcast_to(np.square(0.0 if bound is None else bound), evaluated.account.used)

    with np.errstate(all="ignore"):
        bounds = {f.text: _bounds(model, design, f) for f in design.inputs.factors if not isinstance(f, Categorical)}

        def bound(parts: Sequence[FactorColumn]) -> Any:
            return product_bound(
                [(bounds[text][i] if text in bounds else None, np.abs(tables[text, full][i][0])) for text, full, i in parts]
            )

        for j in layout.dense[:-1].tolist():
            total[j] = squares(bound(design.columns[j].parts)).sum()
        for block in layout.blocks:
            places, weights = block.places(evaluated.codes), squares(bound(block.numeric_columns))
            total[layout.grouped] += np.bincount(places + 1, weights, len(layout.grouped) + 1)[1:]
        total[-1] = squares(add_bounds(*map(model.bound, design.formula.response_and_offsets.values()))).sum()
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
        unknown = np.flatnonzero((code == -2) & mask)
        if len(unknown):
            raise design.learned.contrasts[text].unknown_level_error(batch, int(unknown[0]), source)


def dense_columns(
    design: Design, evaluated: EvaluatedBatch, positions: Collection[int]
) -> tuple[list[DenseColumn], list[IndicatorColumn]]:
    """Return the dense columns at some positions among the columns of X, and the blocks of indicators that have one of them."""
    layout, chosen, tables = design.layout, set(positions), _tables(design, evaluated)

    def product(parts: Sequence[FactorColumn]) -> DenseColumn:
        return reduce(multiply_columns, (tables[text, full][i] for text, full, i in parts))

    dense = [product(design.columns[j].parts) for j in layout.dense[:-1].tolist() if j in chosen]
    indicators = []
    for block in layout.blocks:
        if not chosen.isdisjoint(layout.grouped[block.lookup[block.lookup >= 0]].tolist()):
            values, low = product(block.numeric_columns) if block.numeric_columns else (None, None)
            indicators.append(IndicatorColumn(places=block.places(evaluated.codes), values=values, low=low))
    return dense, indicators


def _tables(design: Design, evaluated: EvaluatedBatch) -> dict[tuple[str, bool], Sequence[DenseColumn]]:
    """Return the columns of each factor on the complete rows; of a categorical one, those that are dense."""
    tables: dict[tuple[str, bool], Sequence[DenseColumn]] = {}
    for factor in evaluated.inputs.factors:
        text = factor.text
        if isinstance(factor, Categorical):
            for full in {full for name, full in design.layout.tables if name == text}:
                table = design.learned.contrasts[text].columns(evaluated.codes[text], full=full)
                tables[text, full] = [(x, None) for x in table.T]
            continue
        hi, lo = evaluated.numbers[evaluated.inputs.expressions[text]]
        if isinstance(factor, Numeric):
            tables[text, False] = [(hi, lo)]
        elif isinstance(factor, Basis) and factor.kind == "powers":
            with np.errstate(all="ignore"):
                tables[text, False] = [dd_power((hi, low_part(hi, lo)), k) for k in range(1, factor.degree + 1)]
        else:
            tables[text, False] = [(x, None) for x in design.learned.bases[text].columns(hi).T]
    return tables


def offset_of(design: Design, evaluated: EvaluatedBatch) -> Pair | None:
    """Return the sum of the offsets, None if there are none."""
    offsets = [evaluated.numbers[numeric.expression] for numeric in design.formula.offsets]
    return reduce(dd_add, [(hi, low_part(hi, lo)) for hi, lo in offsets]) if offsets else None


def multiply_columns(a: DenseColumn, b: DenseColumn) -> DenseColumn:
    """Return the product of two columns (m,), as double-double unless doubles hold it."""
    if a[1] is None and b[1] is None and (_is_unit(a[0]) or _is_unit(b[0])):  # a product with 0, 1 and -1 is exact
        return a[0] * b[0], None
    with np.errstate(all="ignore"):
        return dd_multiply((a[0], low_part(*a)), (b[0], low_part(*b)))


def _is_unit(x: Array) -> bool:
    return bool((np.abs(x) <= 1).all() and (np.rint(x) == x).all())
