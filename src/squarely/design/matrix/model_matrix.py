"""From batches of rows to the columns of a design: the fit's complete rows, in blocks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from squarely.data import Batch, RowAccount, Source, fold, fold_parts, is_all_finite, map_batches
from squarely.design.design import Design, LearnedState, columns_needed
from squarely.design.encoding.basis import powers
from squarely.design.encoding.layout import FactorColumn
from squarely.design.formula.expression import Expression, MeanAndDeviation, Name, evaluate
from squarely.design.formula.factors import Basis, Categorical, Factor, Numeric, argument_of
from squarely.design.formula.where import Where, mask_of
from squarely.design.matrix.block import Block, DenseColumn, IndicatorColumn
from squarely.design.rounding import RoundingModel, add_bounds, is_rounded, multiply_bound, product_bound
from squarely.numerics import FRACTION_LIMIT, ROUNDING, ROUNDOFF, Array, Pair, dd_add, dd_multiply, low_part

T = TypeVar("T")

_FEW_ROWS = 8_192  # with more of them the rounding of a basis is bounded by what it is at any place, which takes no time
_Table = tuple[Array, Array | None]  # columns (m, w), and their low parts if they are not plain doubles


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class EvaluatedBatch:
    """A batch with its expressions evaluated.

    Attributes
    ----------
    row_mask : (m,) the rows that meet the condition and have a value in every column and expression.
    columns : name -> the values (kept rows,) of the columns of numbers that were needed.
    numbers : expression -> its values (kept rows,) as double-double.
    account : what was dropped and why, expressions without a value (log of zero) included.
    """

    row_mask: np.ndarray
    columns: Mapping[str, Array]
    numbers: Mapping[Expression, Pair]
    account: RowAccount


def evaluate_batch(
    batch: Batch, factors: Sequence[Factor], named: Mapping[str, Expression], learnt: LearnedState, among: np.ndarray | None
) -> EvaluatedBatch:
    """Evaluate the expressions of factors, and further ones by the name under which gaps in them are counted."""
    numbers, labels = columns_needed(factors, named.values())
    keep, account = batch.complete_mask(numbers, labels, among), batch.count_gaps(numbers, labels, among)
    whole = account.used == batch.size
    values = {name: batch.numbers[name].values if whole else batch.numbers[name].values[keep] for name in numbers}
    wanted = {f.text: argument_of(f) for f in factors if not isinstance(f, Categorical)} | dict(named)
    done: dict[Expression, Pair] = {}
    finite, dropped = np.ones(account.used, dtype=bool), {}
    for text, expression in wanted.items():
        if expression in done:
            continue
        if isinstance(expression, Name):
            done[expression] = values[expression.name], np.zeros(0)
            continue
        hi, lo = evaluate(expression, values, learnt.standardizations)
        done[expression] = np.broadcast_to(hi, finite.shape), np.broadcast_to(lo, finite.shape)
        if not is_all_finite(done[expression][0]):
            has_value = np.isfinite(done[expression][0])
            nan = int(np.isnan(done[expression][0]).sum())
            dropped[text] = {"null": 0, "nan": nan, "inf": int((~has_value).sum()) - nan}
            finite &= has_value
    if dropped:
        done = {e: (hi[finite], lo[finite] if len(lo) else lo) for e, (hi, lo) in done.items()}
        values = {name: x[finite] for name, x in values.items()}
        keep[np.flatnonzero(keep)[~finite]] = False
        account = replace(account, used=int(keep.sum()), dropped={**account.dropped, **dropped})
    return EvaluatedBatch(row_mask=keep, columns=values, numbers=done, account=account)


def iter_blocks(
    design: Design, source: Source, *, size: int | None = None, parts: Sequence[int] | None = None
) -> Generator[Block, None, None]:
    """Yield the complete rows of a source as the design's columns, in the order of the rows; `size` and `parts` as `map_batches`.

    Raises
    ------
    DataError : a column is not there or cannot be used, or a row has a level that was not met before.
    """
    return map_blocks(design, source, lambda block: block, threads=False, size=size, parts=parts)


def fold_blocks(
    design: Design, source: Source, step: Callable[[Block], T], merge: Callable[[T, T], T], start: T, *, threads: bool = True
) -> T:
    """Fold what a step makes of the complete rows of every batch, in the order of the rows and where they are.

    `start` is what merging leaves everything else as it is with. The step goes to other processes where the rows are scattered: it
    must hold nothing but what it needs.

    Raises
    ------
    DataError : as `iter_blocks`.
    """
    columns = with_condition(*columns_needed(design.factors.values(), design.formula.response_and_offsets.values()), design.where)

    def work(part: Source) -> T:
        return fold(map_blocks(design, part, step, threads=threads), merge, start)

    return fold_parts(source, columns, work, merge, start)


def map_blocks(
    design: Design,
    source: Source,
    step: Callable[[Block], T],
    *,
    threads: bool = True,
    size: int | None = None,
    parts: Sequence[int] | None = None,
) -> Generator[T, None, None]:
    """Apply a step to the complete rows of every batch, in threads if that is wished; the outcomes come in the order of the rows.

    `size` and `parts` are those of `map_batches`.

    Raises
    ------
    DataError : as `iter_blocks`.
    """
    factors = list(design.factors.values())
    numbers, labels = with_condition(*columns_needed(factors, design.formula.response_and_offsets.values()), design.where)
    return map_batches(
        source,
        numbers,
        labels,
        lambda batch: step(_block(design, factors, batch, source)),
        threads=threads,
        size=size,
        parts=parts,
    )


def _block(design: Design, factors: Sequence[Factor], batch: Batch, source: Source) -> Block:
    where = design.where
    seen = evaluate_batch(
        batch, factors, design.formula.response_and_offsets, design.learned, mask_of(where, batch) if where else None
    )
    whole = seen.account.used == batch.size
    codes = level_codes(design, factors, batch)
    require_known(design, batch, codes, seen.row_mask, source)
    codes = {text: code if whole else code[seen.row_mask] for text, code in codes.items()}
    offset = offset_of(design, seen)
    held, spread = dense_columns(design, factors, seen, codes, range(len(design.columns)))
    return Block(
        dense=(*held, _response(design, seen, offset)),
        indicators=spread,
        size=seen.account.used,
        layout=design.layout,
        offset=None if offset is None else offset[0] + offset[1],
        first_row=batch.start,
        row_mask=None if whole else seen.row_mask,
        account=seen.account,
        rounding_squares=partial(_rounding_squares, design, seen, codes) if is_rounded(design.formula, design.factors) else None,
        ends=partial(_ends, design, seen) if design.cancellation_factors else None,
    )


def _rounding_squares(design: Design, seen: EvaluatedBatch, codes: Mapping[str, np.ndarray]) -> Array:
    """Sum the squares of bounds of what rounding has done to each column (k,), in its unit."""
    layout, factors = design.layout, list(design.factors.values())
    tables = _tables(design, factors, seen, codes)
    done = RoundingModel(
        value=partial(_values, seen, design.learned.standardizations), size=np.abs, standardizations=design.learned.standardizations
    )
    total = np.zeros(len(design.columns) + 1)
    with np.errstate(all="ignore"):
        bounds = {f.text: _bounds(done, design, f) for f in factors if not isinstance(f, Categorical)}

        def squares(parts: Sequence[FactorColumn]) -> Array:
            pairs = [(bounds[text][i] if text in bounds else None, np.abs(tables[text, full][0][:, i])) for text, full, i in parts]
            return _squares(product_bound(pairs), seen)

        for j in layout.dense[:-1].tolist():
            total[j] = squares(design.columns[j].parts).sum()
        for block in layout.blocks:
            places = block.places(codes)
            total[layout.grouped] += np.bincount(places + 1, squares(block.numeric_columns), len(layout.grouped) + 1)[1:]
        total[-1] = _squares(add_bounds(*map(done.bound, design.formula.response_and_offsets.values())), seen).sum()
    return np.where(np.isnan(total), np.inf, total)


def _ends(design: Design, seen: EvaluatedBatch) -> Array:
    """Tell what constant (2, f) the values of each loose factor may be, but for the rounding of inputs: the ends cross for none."""
    ends = np.empty((2, len(design.cancellation_factors)))
    for i, text in enumerate(design.cancellation_factors):
        x, room = values_with_bounds(design, seen, text)
        ends[:, i] = (x - room).max(initial=-np.inf), (x + room).min(initial=np.inf)
    return ends


def values_with_bounds(design: Design, seen: EvaluatedBatch, text: str) -> tuple[Array, Array]:
    """Give the values (m,) of the expression in a factor, and bounds of what the rounding of its inputs has done to them."""
    expression = argument_of(design.factors[text])
    done = RoundingModel(
        value=partial(_values, seen, design.learned.standardizations),
        size=np.abs,
        standardizations=design.learned.standardizations,
        stored_bound=_rounding_of_stored,
    )
    with np.errstate(all="ignore"):
        return done.value(expression), add_bounds(done.bound(expression), 0.0)


def _rounding_of_stored(x: Array) -> Array:
    """Bound the rounding of stored values; whole numbers have none."""
    size = np.abs(x)
    return np.where((np.rint(x) == x) & (size < FRACTION_LIMIT), 0.0, size * ROUNDING * ROUNDOFF)


def _squares(bound: Any, seen: EvaluatedBatch) -> Array:
    return np.broadcast_to(np.square(0.0 if bound is None else bound), seen.account.used)


def _values(seen: EvaluatedBatch, moves: Mapping[str, MeanAndDeviation], expression: Expression) -> Array:
    return evaluate(expression, seen.columns, moves)[0]


def _bounds(done: RoundingModel, design: Design, factor: Factor) -> list[Any]:
    """Bound the rounding of the columns of a factor, row by row."""
    inside = done.bound(argument_of(factor))
    if not isinstance(factor, Basis):
        return [inside]
    if factor.kind == "powers":
        sizes = np.abs(done.value(factor.argument))
        return [multiply_bound(inside, k * sizes ** (k - 1)) for k in range(1, factor.degree + 1)]
    x = done.value(factor.argument)
    if not isinstance(factor.argument, Name):  # a basis takes one double
        inside = add_bounds(inside, np.abs(x) * ROUNDOFF)
    return done.basis_bounds(design.learned.bases[factor.text], inside, x if len(x) <= _FEW_ROWS else None)


def with_condition(numbers: Sequence[str], labels: Sequence[str], where: Where | None) -> tuple[list[str], list[str]]:
    """Give the columns to read, as numbers and as labels: these, and those that the condition needs."""
    if where is None:
        return list(numbers), list(labels)
    return list(dict.fromkeys((*numbers, *where.numbers))), list(dict.fromkeys((*labels, *where.labels)))


def level_codes(design: Design, factors: Sequence[Factor], batch: Batch) -> dict[str, np.ndarray]:
    """Give the codes (m,) of each categorical factor."""
    codings = design.learned.contrasts
    return {f.text: codings[f.text].codes(batch.labels[f.name.name]) for f in factors if isinstance(f, Categorical)}


def require_known(design: Design, batch: Batch, codes: Mapping[str, np.ndarray], keep: np.ndarray, source: Source) -> None:
    """Raise a DataError that names the first level in the rows kept that the fit has not met."""
    for text, code in codes.items():
        coding = design.learned.contrasts[text]
        coding.require_known(batch.labels[coding.column], code if keep.all() else np.where(keep, code, -1), batch.start, source)


def dense_columns(
    design: Design, factors: Sequence[Factor], seen: EvaluatedBatch, codes: Mapping[str, np.ndarray], wanted: Sequence[int]
) -> tuple[list[DenseColumn], list[IndicatorColumn]]:
    """Give the dense columns, and the blocks of indicators, in which the positions wanted (among the columns of X) are."""
    layout, want = design.layout, set(wanted)
    tables = _tables(design, factors, seen, codes)

    def product(parts: Sequence[FactorColumn]) -> DenseColumn:
        return _product([_part(tables[text, full], i) for text, full, i in parts])

    held = [product(design.columns[j].parts) for j in layout.dense[:-1].tolist() if j in want]
    spread = []
    for block in layout.blocks:
        if not want.isdisjoint(layout.grouped[block.lookup[block.lookup >= 0]].tolist()):
            values = product(block.numeric_columns) if block.numeric_columns else (None, None)
            spread.append(IndicatorColumn(places=block.places(codes), values=values[0], low=values[1]))
    return held, spread


def _tables(
    design: Design, factors: Sequence[Factor], seen: EvaluatedBatch, codes: Mapping[str, np.ndarray]
) -> dict[tuple[str, bool], _Table]:
    """Give the columns of each factor on the kept rows; of a categorical one, those that are held densely."""
    tables: dict[tuple[str, bool], _Table] = {}
    for factor in factors:
        if isinstance(factor, Categorical):
            coding = design.learned.contrasts[factor.text]
            for full in (False, True):
                if (factor.text, full) in design.layout.tables:
                    tables[factor.text, full] = coding.columns(codes[factor.text], full=full), None
            continue
        hi, lo = seen.numbers[argument_of(factor)]
        if isinstance(factor, Numeric):
            low = _nonzero_low_part((hi, lo))
            tables[factor.text, False] = hi[:, None], None if low is None else low[:, None]
        elif isinstance(factor, Basis) and factor.kind == "powers":
            tables[factor.text, False] = powers((hi, low_part(hi, lo)), factor.degree)
        else:
            tables[factor.text, False] = design.learned.bases[factor.text].columns(hi), None
    return tables


def offset_of(design: Design, seen: EvaluatedBatch) -> Pair | None:
    """Add the offsets up, None if there are none."""
    total = None
    for numeric in design.formula.offsets:
        hi, lo = seen.numbers[numeric.expression]
        term = hi, low_part(hi, lo)
        total = term if total is None else dd_add(total, term)
    return total


def _response(design: Design, seen: EvaluatedBatch, offset: Pair | None) -> DenseColumn:
    """Give the response, less the offset."""
    response = seen.numbers[design.formula.response.expression]
    y, e = response[0], _nonzero_low_part(response)
    return (y, e) if offset is None else dd_add((y, low_part(y, e)), (-offset[0], -offset[1]))


def _nonzero_low_part(x: Pair) -> Array | None:
    """Give the low part of an expression's values, None if they are plain doubles."""
    return x[1] if len(x[1]) == len(x[0]) and x[1].any() else None


def _part(table: _Table, i: int) -> DenseColumn:
    return table[0][:, i], None if table[1] is None else table[1][:, i]


def _product(parts: Sequence[DenseColumn]) -> DenseColumn:
    hi, lo = parts[0]
    for x, e in parts[1:]:
        simple = lo is None and e is None and (_is_unit(hi) or _is_unit(x))  # a product with 0, 1 and -1 is exact
        if simple:
            hi = hi * x
        else:
            with np.errstate(all="ignore"):
                hi, lo = dd_multiply((hi, low_part(hi, lo)), (x, low_part(x, e)))
    return hi, lo


def _is_unit(x: Array) -> bool:
    return bool((np.abs(x) <= 1).all() and (np.rint(x) == x).all())
