"""From rows to the columns of a design: the fit's complete rows in blocks, and predictions for every row of new data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from squarely.data import Batch, RowAccount, Source, batches
from squarely.design.basis import powers
from squarely.design.condition import Where, met
from squarely.design.design import Column, Design, Learnt, columns_needed
from squarely.design.expression import Expression, Name, evaluate
from squarely.design.factor import Basis, Categorical, Factor, Numeric, expression_of
from squarely.errors import OptionError
from squarely.numerics import Array, Pair, dd_add, dd_multiply

_Table = tuple[Array, Array | None]  # columns (m, w), and their low parts if they are not plain doubles


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Block:
    """Rows that are complete, as the design's columns.

    Attributes
    ----------
    values : (m, k) doubles, the response last, less the offset if there is one.
    low : (m, k) what rounding took from `values`, or None where they are plain.
    offset : (m,) the offset, or None.
    rows : (m,) positions of these rows in the source, counted from 0: what is aligned with the source is taken by them.
    account : the account of the rows of this batch, those left out among them.
    """

    values: Array
    low: Array | None
    offset: Array | None
    rows: np.ndarray
    account: RowAccount

    def pieces(self, size: int) -> Iterator[tuple[Array, Array | None]]:
        """Cut values and low parts into pieces of at most `size` rows."""
        for start in range(0, len(self.values), size):
            end = start + size
            yield self.values[start:end], None if self.low is None else self.low[start:end]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Evaluated:
    """A batch with its expressions evaluated.

    Attributes
    ----------
    keep : (m,) the rows that meet the condition and have a value in every column and expression.
    numbers : expression -> its values (kept rows,) as double-double.
    account : what was dropped and why, expressions without a value (log of zero) included.
    """

    keep: np.ndarray
    numbers: Mapping[Expression, Pair]
    account: RowAccount


def evaluated(
    batch: Batch, factors: Sequence[Factor], named: Mapping[str, Expression], learnt: Learnt, among: np.ndarray | None
) -> Evaluated:
    """Evaluate the expressions of factors, and further ones by the name under which gaps in them are counted."""
    numbers, labels = columns_needed(factors, named.values())
    keep, account = batch.complete(numbers, labels, among), batch.account(numbers, labels, among)
    values = {name: batch.numbers[name].values[keep] for name in numbers}
    wanted = {f.text: expression_of(f) for f in factors if not isinstance(f, Categorical)} | dict(named)
    done: dict[Expression, Pair] = {}
    finite, dropped = np.ones(int(keep.sum()), dtype=bool), {}
    for text, expression in wanted.items():
        if expression in done:
            continue
        if isinstance(expression, Name):
            done[expression] = values[expression.name], np.zeros(0)
            continue
        hi, lo = evaluate(expression, values, learnt.moves)
        done[expression] = np.broadcast_to(hi, finite.shape), np.broadcast_to(lo, finite.shape)
        has_value = np.isfinite(done[expression][0])
        if not has_value.all():
            nan = int(np.isnan(done[expression][0]).sum())
            dropped[text] = {"null": 0, "nan": nan, "inf": int((~has_value).sum()) - nan}
            finite &= has_value
    if dropped:
        done = {e: (hi[finite], lo[finite] if len(lo) else lo) for e, (hi, lo) in done.items()}
        keep[np.flatnonzero(keep)[~finite]] = False
        account = replace(account, used=int(keep.sum()), dropped={**account.dropped, **dropped})
    return Evaluated(keep=keep, numbers=done, account=account)


def rows(design: Design, source: Source) -> Iterator[Block]:
    """Yield the complete rows of a source as the design's columns, in the order of the rows.

    Raises
    ------
    DataError : a column is not there or cannot be used, or a row has a level that was not met before.
    """
    formula, where = design.formula, design.where
    factors = list(design.factors.values())
    numbers, labels = columns_needed(factors, formula.outside.values())
    for batch in batches(source, *with_condition(numbers, labels, where)):
        seen = evaluated(batch, factors, formula.outside, design.learnt, met(where, batch) if where else None)
        codes = _codes(design, factors, batch)
        _require_known(design, batch, codes, seen.keep, source)
        tables = _tables(design, factors, seen, {name: code[seen.keep] for name, code in codes.items()})
        response = seen.numbers[formula.response.expression]
        offset = _offset(design, seen)
        values, low = _assembled(design.columns, tables, response, offset)
        yield Block(
            values=values,
            low=low,
            offset=None if offset is None else offset[0] + offset[1],
            rows=batch.first + np.flatnonzero(seen.keep),
            account=seen.account,
        )


def with_condition(numbers: Sequence[str], labels: Sequence[str], where: Where | None) -> tuple[list[str], list[str]]:
    """Give the columns to read, as numbers and as labels: these, and those that the condition needs."""
    if where is None:
        return list(numbers), list(labels)
    return list(dict.fromkeys((*numbers, *where.numbers))), list(dict.fromkeys((*labels, *where.labels)))


def _codes(design: Design, factors: Sequence[Factor], batch: Batch) -> dict[str, np.ndarray]:
    """Give the codes (m,) of each categorical factor."""
    codings = design.learnt.codings
    return {f.text: codings[f.text].codes(batch.labels[f.name.name]) for f in factors if isinstance(f, Categorical)}


def _require_known(design: Design, batch: Batch, codes: Mapping[str, np.ndarray], keep: np.ndarray, source: Source) -> None:
    for text, code in codes.items():
        coding = design.learnt.codings[text]
        coding.require_known(batch.labels[coding.column], np.where(keep, code, -1), batch.first, source)


def _tables(
    design: Design, factors: Sequence[Factor], seen: Evaluated, codes: Mapping[str, np.ndarray]
) -> dict[tuple[str, bool], _Table]:
    """Give the columns of each factor on the kept rows; a categorical one has them with and without its constant."""
    tables: dict[tuple[str, bool], _Table] = {}
    for factor in factors:
        if isinstance(factor, Categorical):
            coding = design.learnt.codings[factor.text]
            for full in (False, True):
                if any(part[:2] == (factor.text, full) for column in design.columns for part in column.parts):
                    tables[factor.text, full] = coding.columns(codes[factor.text], full=full), None
            continue
        hi, lo = seen.numbers[expression_of(factor)]
        if isinstance(factor, Numeric):
            low = _low((hi, lo))
            tables[factor.text, False] = hi[:, None], None if low is None else low[:, None]
        elif isinstance(factor, Basis) and factor.kind == "powers":
            tables[factor.text, False] = powers((hi, lo if len(lo) == len(hi) else np.zeros_like(hi)), factor.degree)
        else:
            tables[factor.text, False] = design.learnt.bases[factor.text].columns(hi), None
    return tables


def _offset(design: Design, seen: Evaluated) -> Pair | None:
    total = None
    for numeric in design.formula.offsets:
        hi, lo = seen.numbers[numeric.expression]
        term = hi, lo if len(lo) == len(hi) else np.zeros_like(hi)
        total = term if total is None else dd_add(total, term)
    return total


def _assembled(columns: Sequence[Column], tables: Mapping[tuple[str, bool], _Table], response: Pair, offset: Pair | None) -> _Table:
    """Multiply the parts of each column; the response, less the offset, goes last."""
    made = [_product([_part(tables[text, full], i) for text, full, i in column.parts]) for column in columns]
    y, e = response[0], _low(response)
    if offset is not None:
        y, e = dd_add((y, np.zeros_like(y) if e is None else e), (-offset[0], -offset[1]))
    return _side_by_side([*made, (y, e)], len(y))


def _low(x: Pair) -> Array | None:
    """Give the low part of an expression's values, None if they are plain doubles."""
    return x[1] if len(x[1]) == len(x[0]) and x[1].any() else None


def _side_by_side(made: Sequence[_Table], m: int) -> _Table:
    values = np.empty((m, len(made)))
    for j, (hi, _) in enumerate(made):
        values[:, j] = hi
    if all(lo is None for _, lo in made):
        return values, None
    low = np.zeros_like(values)
    for j, (_, lo) in enumerate(made):
        if lo is not None:
            low[:, j] = lo
    return values, low


def _part(table: _Table, i: int) -> _Table:
    return table[0][:, i], None if table[1] is None else table[1][:, i]


def _product(parts: Sequence[_Table]) -> _Table:
    hi, lo = parts[0]
    for x, e in parts[1:]:
        simple = lo is None and e is None and (_is_unit(hi) or _is_unit(x))  # a product with 0, 1 and -1 is exact
        if simple:
            hi = hi * x
        else:
            with np.errstate(all="ignore"):
                hi, lo = dd_multiply((hi, np.zeros_like(hi) if lo is None else lo), (x, np.zeros_like(x) if e is None else e))
    return hi, lo


def _is_unit(x: Array) -> bool:
    return bool((np.abs(x) <= 1).all() and (np.rint(x) == x).all())


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
    columns = [design.columns[j] for j in kept]
    used = {text for column in columns for text, _, _ in column.parts}
    factors = [factor for text, factor in design.factors.items() if text in used]
    named = {numeric.text: numeric.expression for numeric in design.formula.offsets}
    numbers, labels = columns_needed(factors, named.values())
    for batch in batches(source, numbers, labels):
        codes = _codes(design, factors, batch)
        if unseen == "error":
            _require_known(design, batch, codes, batch.complete(numbers, labels), source)
        known = np.ones(batch.size, dtype=bool)
        for code in codes.values():
            known &= code != -2
        seen = evaluated(batch, factors, named, design.learnt, known)
        tables = _tables(design, factors, seen, {name: code[seen.keep] for name, code in codes.items()})
        made = [_product([_part(tables[text, full], i) for text, full, i in column.parts]) for column in columns]
        (x, low), offset = _side_by_side(made, int(seen.keep.sum())), _offset(design, seen)
        x = (x - centre) if low is None else (x - centre) + low
        predicted = np.full(batch.size, np.nan)
        predicted[seen.keep] = x @ slopes + level + (0.0 if offset is None else offset[0])
        yield predicted
