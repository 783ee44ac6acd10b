"""Split the rows of a source into training and validation rows, without a copy.

The split depends on the seed and the number of rows alone, so it is the same for the same data in any form. It takes one bit a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from squarely.data.dtypes import Kind, Level
from squarely.data.source import RowRange, Source
from squarely.data.views.shard import count_rows_of
from squarely.errors import DataError, OptionError, changed_error, pluralize
from squarely.numerics import Array

_BLOCK = 2**20  # rows drawn at a time; a multiple of 8, so that blocks end at a byte
_STREAM = 0x5B117  # distinguishes these draws from others with the same seed


def split_source(source: Source, fraction: float, seed: int) -> tuple[Source, Source]:
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
    return SplitSource(source, drawn, validation=False), SplitSource(source, drawn, validation=True)


def _check_fraction(fraction: Any) -> float:
    advice = "Give a number between 0 and 1, such as validation=0.2."
    if isinstance(fraction, bool | np.bool_) or not isinstance(fraction, Real):
        raise OptionError(f"validation={fraction!r} is of type {type(fraction).__name__}, not a fraction of the rows. {advice}")
    number = float(fraction)
    if not math.isfinite(number):
        raise OptionError(f"validation={number!r} is not a fraction of the rows. {advice}")
    if not 0 < number < 1:
        raise OptionError(f"validation={number!r} leaves no row to {'train on' if number >= 1 else 'validate with'}. {advice}")
    return number


@dataclass(frozen=True, eq=False, slots=True)
class Draw:
    """Which of n rows are validation rows.

    Attributes
    ----------
    rows : n.
    bits : (ceil(n / 8),) bytes, a bit for each row, 1 for a validation row.
    seeds : of the generator PCG64 that drew them.
    """

    rows: int
    bits: np.ndarray
    seeds: tuple[int, int]

    @property
    def block(self) -> int:
        """The number of rows drawn at a time."""
        return _BLOCK

    def mask(self, first: int, stop: int, *, validation: bool) -> np.ndarray:
        """Return which of the rows from `first` to `stop`, excluded, belong to a side of the split (stop - first,)."""
        bits = np.unpackbits(self.bits[first // 8 : -(-stop // 8)])
        mask: np.ndarray = bits[first % 8 : first % 8 + stop - first] == validation
        return mask

    def count(self, *, validation: bool) -> int:
        """Count the rows of a side."""
        return self.count_before(self.rows, validation=validation)

    def count_before(self, row: int, *, validation: bool) -> int:
        """Count the rows of a side before a row of the source."""
        n_bytes, rest = divmod(min(row, self.rows), 8)
        count = int(np.bitwise_count(self.bits[:n_bytes]).sum())
        if rest:
            count += int(np.unpackbits(self.bits[n_bytes : n_bytes + 1])[:rest].sum())
        return count if validation else min(row, self.rows) - count

    def positions(self, rows: np.ndarray, *, validation: bool) -> np.ndarray:
        """Turn positions `rows` (k,) within a side into positions (k,) in the source."""
        positions = np.empty(len(rows), dtype=np.int64)
        begin = 0
        for start in range(0, self.rows, _BLOCK):
            places = start + np.flatnonzero(self.mask(start, min(start + _BLOCK, self.rows), validation=validation))
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
    blocks, taken = [np.zeros(0, dtype=np.uint8)], 0
    for start in range(0, rows, _BLOCK):
        stop = min(start + _BLOCK, rows)
        count = (validation_rows * stop + rows // 2) // rows - taken  # integers, so that the total is exact
        numbers, mask = generator.random_raw(stop - start), np.zeros(stop - start, dtype=bool)
        mask[np.argpartition(numbers, min(count, len(numbers) - 1))[:count]] = True
        blocks.append(np.packbits(mask))
        taken += count
    return Draw(rows, np.concatenate(blocks), seeds)


class SplitSource(Source):
    """The training rows or the validation rows of a source."""

    def __init__(self, parent: Source, drawn: Draw, *, validation: bool) -> None:
        self.label = f"the {'validation' if validation else 'training'} rows of {parent.label}"
        self._parent, self._draw, self._is_validation = parent, drawn, validation
        self._rows = drawn.count(validation=validation)
        self.columns, self.duplicate_names = parent.columns, parent.duplicate_names
        self.typed, self.is_file, self.notes = parent.typed, parent.is_file, parent.notes

    @property
    def parent(self) -> Source:
        """The source that was split."""
        return self._parent

    @property
    def draw(self) -> Draw:
        """Which rows of the parent are validation rows."""
        return self._draw

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self._rows

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order of the parent.

        Raises
        ------
        DataError : the parent has another number of rows than when it was split.
        """
        first = 0
        for batch in self._parent.read(numbers, labels):
            stop = first + batch.num_rows
            if stop > self._draw.rows:
                raise self._changed_error("more")
            mask = self._draw.mask(first, stop, validation=self._is_validation)
            if mask.any():
                yield batch.filter(pa.array(mask))
            first = stop
        if first < self._draw.rows:
            raise self._changed_error(f"{first:,}")

    def parts(self) -> tuple[RowRange, ...]:
        """Return the parts of the parent, cut to the rows of this side."""
        ranges = [(part.start, part.start + (self._draw.rows if part.rows is None else part.rows)) for part in self._parent.parts()]
        ends = [(self._count_before(first), self._count_before(stop)) for first, stop in ranges]
        return tuple(RowRange(first, stop - first) for first, stop in ends)

    def read_parts(
        self, numbers: Sequence[str], labels: Sequence[str], order: Iterable[int]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the named columns of some parts in batches, each with the position of its first row."""
        for first, batch in self._parent.read_parts(numbers, labels, order):
            mask = self._draw.mask(first, first + batch.num_rows, validation=self._is_validation)
            yield self._count_before(first), batch.filter(pa.array(mask))

    def _count_before(self, row: int) -> int:
        return self._draw.count_before(row, validation=self._is_validation)

    def kind(self, name: str) -> Kind:
        """Return the kind of a column in the parent."""
        return self._parent.kind(name)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Return the levels that the parent declares, whether or not they occur in this side."""
        return self._parent.category_order(name)

    def row_number(self, row: int) -> int:
        """Return the row's number in the parent."""
        return self._parent.row_number(int(self._parent_positions(np.array([row]))[0]))

    def index(self, rows: np.ndarray) -> Any:
        """Return the rows' labels in the parent."""
        return self._parent.index(self._parent_positions(rows))

    def column(self, values: Array, name: str) -> Any:
        """Return values, one for each row, as a column in the library of the parent, with its labels."""
        positions = self._parent_positions(np.arange(self._rows))
        padded = np.full(self._draw.rows, np.nan)
        padded[positions] = values
        column = nw.from_native(self._parent.column(padded, name), series_only=True, pass_through=True)
        return nw.to_native(column[positions], pass_through=True)

    def _parent_positions(self, rows: np.ndarray) -> np.ndarray:
        return self._draw.positions(rows, validation=self._is_validation)

    def _changed_error(self, now: str) -> DataError:
        return changed_error(self._parent.label, pluralize(self._draw.rows, "row"), now)
