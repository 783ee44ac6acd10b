"""A split of the rows of one source: some to train on, the others held out to validate with. The rows stay where they are.

Which rows are held out is drawn from the seed and the number of rows alone, so the same data give the same split through every
door. It is kept as one bit a row.
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
from squarely.errors import DataError, OptionError, pluralize
from squarely.numerics import Array

_BLOCK = 2**20  # rows drawn at a time; a multiple of 8, so that the bits of blocks follow each other
_STREAM = 0x5B117  # keeps these draws apart from others with the same seed


def split_source(source: Source, share: float, seed: int) -> tuple[Source, Source]:
    """Split a source at random into rows to train on and rows to validate with, both in the order of the source.

    The second part has ceil(share n) of the n rows, as scikit-learn's `train_test_split(test_size=share)`; the same arguments
    give the same rows. Rows are drawn without replacement in blocks of 2**20, each of which gives its part of that number. The
    source is scanned once where it does not know its number of rows, and must give its rows in the same order each time.

    Raises
    ------
    OptionError : the share is no number between 0 and 1, or leaves a part without rows.
    DataError : there are fewer than two rows.

    Examples
    --------
    >>> from squarely.data import open_source
    >>> training, validation = split_source(open_source({"x": [1.0, 2.0, 3.0, 4.0, 5.0]}), 0.3, seed=0)
    >>> training.rows, validation.rows, validation.label
    (3, 2, 'the validation rows of the dict of arrays')
    """
    share = _check_fraction(share)
    rows = count_rows_of(source)
    if rows < 2:
        raise DataError(f"{source.label} has {pluralize(rows, 'row')}, and a split needs at least 2. Leave validation= out.")
    held_out = math.ceil(share * rows)
    if held_out == rows:
        raise OptionError(
            f"validation={share!r} of the {pluralize(rows, 'row')} of {source.label} leaves no row to train on. Give a smaller share."
        )
    drawn = draw(rows, held_out, seed)
    return SplitSource(source, drawn, held_out=False), SplitSource(source, drawn, held_out=True)


def _check_fraction(share: Any) -> float:
    if isinstance(share, bool | np.bool_) or not isinstance(share, Real):
        raise OptionError(
            f"validation={share!r} is of type {type(share).__name__}, not a share of the rows. Give a number between 0 and 1, such "
            "as validation=0.2."
        )
    number = float(share)
    if not 0 < number < 1:
        what = "train on" if number >= 1 else "validate with"
        said = f"leaves no row to {what}" if math.isfinite(number) else "is no share of the rows"
        raise OptionError(f"validation={number!r} {said}. Give a number between 0 and 1, such as validation=0.2.")
    return number


@dataclass(frozen=True, eq=False, slots=True)
class Draw:
    """Which of n rows are held out.

    Attributes
    ----------
    rows : n.
    bits : one for each row, eight to a byte, 1 where the row is held out.
    seeds : of the generator PCG64 that drew them.
    """

    rows: int
    bits: np.ndarray
    seeds: tuple[int, int]

    @property
    def block(self) -> int:
        """How many rows were drawn at a time."""
        return _BLOCK

    def mask(self, first: int, stop: int, *, validation: bool) -> np.ndarray:
        """Tell which of the rows from `first` to `stop` (not included) belong to a part, as booleans (stop - first,)."""
        bits = np.unpackbits(self.bits[first // 8 : -(-stop // 8)])
        mask: np.ndarray = bits[first % 8 : first % 8 + stop - first] == validation
        return mask

    def count(self, *, validation: bool) -> int:
        """Count the rows of a part."""
        held = int(np.bitwise_count(self.bits).sum())
        return held if validation else self.rows - held

    def count_before(self, row: int, *, validation: bool) -> int:
        """Count the rows of a part before a row of the whole."""
        whole, rest = divmod(min(row, self.rows), 8)
        held = int(np.bitwise_count(self.bits[:whole]).sum())
        if rest:
            held += int(np.unpackbits(self.bits[whole : whole + 1])[:rest].sum())
        return held if validation else min(row, self.rows) - held

    def positions(self, rows: np.ndarray, *, validation: bool) -> np.ndarray:
        """Give the positions (k,) among all rows of those that have the positions `rows` (k,) in a part."""
        found = np.empty(len(rows), dtype=np.int64)
        begin = 0
        for start in range(0, self.rows, _BLOCK):
            places = start + np.flatnonzero(self.mask(start, min(start + _BLOCK, self.rows), validation=validation))
            here = (rows >= begin) & (rows < begin + len(places))
            found[here] = places[rows[here] - begin]
            begin += len(places)
        return found


def draw(rows: int, validation_rows: int, seed: int) -> Draw:
    """Draw which of the rows are held out: exactly `validation_rows` of them, spread over the blocks in proportion.

    In each block those with the smallest random numbers are taken. The numbers are the raw ones of PCG64, which NumPy promises
    never to change.
    """
    seeds = int(seed) % 2**64, _STREAM
    generator = np.random.PCG64(list(seeds))
    blocks, taken = [np.zeros(0, dtype=np.uint8)], 0
    for start in range(0, rows, _BLOCK):
        stop = min(start + _BLOCK, rows)
        wanted = (validation_rows * stop + rows // 2) // rows - taken  # in whole numbers: the last block makes the total exact
        numbers, mask = generator.random_raw(stop - start), np.zeros(stop - start, dtype=bool)
        mask[np.argpartition(numbers, min(wanted, len(numbers) - 1))[:wanted]] = True
        blocks.append(np.packbits(mask))
        taken += wanted
    return Draw(rows, np.concatenate(blocks), seeds)


class SplitSource(Source):
    """The rows of a source that a draw puts into one of the two parts."""

    def __init__(self, whole: Source, drawn: Draw, *, held_out: bool) -> None:
        self.label = f"the {'validation' if held_out else 'training'} rows of {whole.label}"
        self._parent, self._draw, self._is_validation = whole, drawn, held_out
        self._rows = drawn.count(validation=held_out)
        self.columns, self.duplicate_names = whole.columns, whole.duplicate_names
        self.typed, self.is_file, self.notes = whole.typed, whole.is_file, whole.notes

    @property
    def parent(self) -> Source:
        """The source that was split."""
        return self._parent

    @property
    def draw(self) -> Draw:
        """Which of its rows are held out."""
        return self._draw

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self._rows

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order of the whole.

        Raises
        ------
        DataError : the whole has not the rows any more that were split.
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
        """Give the parts of the whole, less the rows that are not in this one."""
        known = [(part.start, part.start + (self._draw.rows if part.rows is None else part.rows)) for part in self._parent.parts()]
        ends = [(self._count_before(first), self._count_before(stop)) for first, stop in known]
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
        """Tell what a column holds, in all rows of the whole."""
        return self._parent.kind(name)

    def category_order(self, name: str) -> tuple[Level, ...] | None:
        """Give the levels that the owner of the whole declared, whether or not this part has them all."""
        return self._parent.category_order(name)

    def row_number(self, row: int) -> int:
        """Give the number that the row has in the whole."""
        return self._parent.row_number(int(self._parent_positions(np.array([row]))[0]))

    def index(self, rows: np.ndarray) -> Any:
        """Give the labels that rows have in the whole."""
        return self._parent.index(self._parent_positions(rows))

    def column(self, values: Array, name: str) -> Any:
        """Give values, one for each row of this part, as a column in the library of the whole, with its labels."""
        at = self._parent_positions(np.arange(self._rows))
        whole = np.full(self._draw.rows, np.nan)
        whole[at] = values
        column = nw.from_native(self._parent.column(whole, name), series_only=True, pass_through=True)
        return nw.to_native(column[at], pass_through=True)

    def _parent_positions(self, rows: np.ndarray) -> np.ndarray:
        return self._draw.positions(rows, validation=self._is_validation)

    def _changed_error(self, now: str) -> DataError:
        return DataError(
            f"{self._parent.label} changed after it was split: {pluralize(self._draw.rows, 'row')} then, {now} now. Run again when "
            "nothing writes to it."
        )
