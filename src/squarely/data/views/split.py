"""Split the rows of a source into training and validation rows, without a copy.

The split depends on the seed and the number of rows alone, so it is the same for the same data in any form. It takes one bit a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from squarely.data.source import DerivedSource, PlacedBatch, RowRange, Source
from squarely.data.views.shard import count_rows_of
from squarely.errors import DataError, OptionError, changed_error, pluralize, read_float
from squarely.numerics import Array
from squarely.reprs import short_repr

_BLOCK = 2**20  # rows drawn at a time; a multiple of 8, so that blocks end at a byte
_STREAM = 0x5B117  # distinguishes these draws from others with the same seed


def split_source(source: Source, fraction: float | Real, seed: int) -> tuple[Source, Source]:
    """Split a source at random into training rows and validation rows, both in the order of the source.

    The validation rows are ceil(fraction n) of the n rows, as in scikit-learn's `train_test_split(test_size=fraction)`. The same
    arguments give the same rows. They are drawn without replacement in blocks of 2**20 rows, a proportional number from each. The
    source is scanned once if it does not know its number of rows.

    Raises
    ------
    OptionError : the fraction is not a number between 0 and 1, or leaves no training row.
    DataError : there are fewer than two rows.

    Examples
    --------
    >>> from squarely.data import open_source
    >>> training, validation = split_source(open_source({"x": [1.0, 2.0, 3.0, 4.0, 5.0]}), 0.3, seed=0)
    >>> training.rows, validation.rows, validation.label
    (3, 2, 'the validation rows of the dict of arrays')
    """
    fraction = _check_fraction(fraction)
    rows = count_rows_of(source)
    if rows < 2:
        raise DataError(f"{source.label} has {pluralize(rows, 'row')}, and a split needs at least 2. Leave validation= out.")
    validation_rows = math.ceil(fraction * rows)
    if validation_rows == rows:
        raise OptionError(
            f"validation={fraction!r} of the {pluralize(rows, 'row')} of {source.label} leaves no row to train on. Give less."
        )
    drawn = draw(rows, validation_rows, seed)
    return SplitSource(source, replace(drawn, is_validation=False)), SplitSource(source, drawn)


def _check_fraction(fraction: Any) -> float:
    advice = "Give a number between 0 and 1, such as validation=0.2."
    if isinstance(fraction, bool | np.bool_) or not isinstance(fraction, Real):
        raise OptionError(f"validation={fraction!r} is of type {type(fraction).__name__}, not a fraction of the rows. {advice}")
    number = read_float("validation", fraction)
    if not math.isfinite(number):
        raise OptionError(f"validation={number!r} is not a fraction of the rows. {advice}")
    if not 0 < number < 1:
        raise OptionError(f"validation={number!r} leaves no row to {'train on' if number >= 1 else 'validate with'}. {advice}")
    return number


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Draw:
    """Which of n rows are validation rows, seen from one side of the split.

    Attributes
    ----------
    rows : n.
    validation_rows : the number of validation rows.
    bits : (ceil(n / 8),) bytes, a bit for each row, 1 for a validation row.
    seeds : of the generator PCG64 that drew them.
    block : the number of rows drawn at a time.
    is_validation : whether the methods are about the validation rows, not the training rows.
    """

    __repr__ = short_repr

    rows: int
    validation_rows: int
    bits: np.ndarray
    seeds: tuple[int, int]
    block: int
    is_validation: bool = True

    def mask(self, first: int, stop: int) -> np.ndarray:
        """Return which of the rows from `first` to `stop`, excluded, belong to this side (stop - first,)."""
        bits = np.unpackbits(self.bits[first // 8 : -(-stop // 8)])
        mask: np.ndarray = bits[first % 8 : first % 8 + stop - first] == self.is_validation
        return mask

    def count_before(self, row: int) -> int:
        """Count the rows of this side before a row of the source."""
        row = min(row, self.rows)
        count = int(np.bitwise_count(self.bits[: row // 8]).sum()) + int(np.unpackbits(self.bits[row // 8 :][:1])[: row % 8].sum())
        return count if self.is_validation else row - count

    def positions(self, rows: np.ndarray) -> np.ndarray:
        """Turn positions `rows` (k,) within this side into positions (k,) in the source."""
        positions = np.empty(len(rows), dtype=np.int64)
        begin = 0
        for start in range(0, self.rows, self.block):
            places = start + np.flatnonzero(self.mask(start, min(start + self.block, self.rows)))
            in_block = (rows >= begin) & (rows < begin + len(places))
            positions[in_block] = places[rows[in_block] - begin]
            begin += len(places)
        return positions


def draw(rows: int, validation_rows: int, seed: int) -> Draw:
    """Draw exactly `validation_rows` of the rows, a proportional number from each block.

    In each block the rows with the smallest random numbers are drawn. The numbers are the raw output of PCG64, which NumPy
    guarantees to stay the same.
    """
    seeds = int(seed) % 2**64, _STREAM
    generator = np.random.PCG64(list(seeds))
    blocks, taken = [], 0
    for start in range(0, rows, _BLOCK):
        stop = min(start + _BLOCK, rows)
        count = (validation_rows * stop + rows // 2) // rows - taken  # integers, so that the total is exact
        numbers, mask = generator.random_raw(stop - start), np.zeros(stop - start, dtype=bool)
        mask[np.argpartition(numbers, min(count, len(numbers) - 1))[:count]] = True
        blocks.append(np.packbits(mask))
        taken += count
    return Draw(rows=rows, validation_rows=validation_rows, bits=np.concatenate(blocks), seeds=seeds, block=_BLOCK)


class SplitSource(DerivedSource):
    """The training rows or the validation rows of a source; `draw` says which they are."""

    def __init__(self, parent: Source, drawn: Draw) -> None:
        super().__init__(parent)
        self.label = f"the {'validation' if drawn.is_validation else 'training'} rows of {parent.label}"
        self.draw, self._rows = drawn, drawn.count_before(drawn.rows)

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the order of the parent; raise a DataError if their number differs from that when it was split."""
        first, rows = 0, self.draw.rows
        for batch in self.parent.read(numbers, labels):
            stop = first + batch.num_rows
            if stop > rows:
                raise changed_error(self.parent.label, pluralize(rows, "row"), "more")
            mask = self.draw.mask(first, stop)
            if mask.any():
                yield batch.filter(pa.array(mask))
            first = stop
        if first < rows:
            raise changed_error(self.parent.label, pluralize(rows, "row"), f"{first:,}")

    def parts(self) -> tuple[RowRange, ...]:
        ranges = [(part.start, part.start + (self.draw.rows if part.rows is None else part.rows)) for part in self.parent.parts()]
        ends = [(self.draw.count_before(first), self.draw.count_before(stop)) for first, stop in ranges]
        return tuple(RowRange(first, stop - first) for first, stop in ends)

    def read_parts(self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]) -> Iterator[PlacedBatch]:
        for first, batch in self.parent.read_parts(numbers, labels, order):
            mask = self.draw.mask(first, first + batch.num_rows)
            yield self.draw.count_before(first), batch.filter(pa.array(mask))

    def parent_rows(self, rows: np.ndarray) -> np.ndarray:
        return self.draw.positions(rows)

    def column(self, values: Array, name: str) -> Any:
        positions = self.draw.positions(np.arange(len(values)))
        padded = np.full(self.draw.rows, np.nan)
        padded[positions] = values
        column = nw.from_native(self.parent.column(padded, name), series_only=True, pass_through=True)
        return nw.to_native(column[positions], pass_through=True)
