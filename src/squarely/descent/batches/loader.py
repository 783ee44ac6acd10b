"""A user's own loader of (inputs, targets) batches as a Source: moments, least squares and certificates work on its rows.

Each scan iterates the loader once. A DataLoader that shuffles draws another order each time, but a source has one order. So every
scan starts from the same state of the generators, and leaves them as the user had them.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils import data

from squarely.data import BATCH_ROWS, ArraysSource, Kind, Source
from squarely.descent.batches.in_memory import TensorBatch
from squarely.descent.batches.loader_pairs import ADVICE, Randomness, check_shapes, iter_loader, iter_pairs, read_pair, sampler_of
from squarely.descent.process_group import SINGLE_PROCESS, ProcessGroup
from squarely.errors import DataError, pluralize

if TYPE_CHECKING:
    import pyarrow as pa

_WITH_REPLACEMENT = (data.RandomSampler, data.WeightedRandomSampler)


class LoaderSource(Source):
    """The rows of a loader: columns x1, x2, ... and y. Its `rows` are those of a complete scan: a sampler may leave some out."""

    def __init__(self, loader: Iterable[Any]) -> None:
        self.label = "the loader"
        self.loader = _check_loader(loader)
        self._randomness = Randomness(loader)
        self.generators = self._randomness.own_generators  # those that the loader draws from, except torch's default
        self.batch_count: int | None = None  # of a complete scan
        self._checksums: tuple[int, int] | None = None  # of the inputs and targets of the last complete scan
        first = next(iter_loader(self.loader, self._randomness), None)
        if first is None:
            raise DataError(f"The loader is empty: it yields no batch. {ADVICE}")
        X, y = read_pair(first, 1)
        self.names: tuple[str, ...] = tuple(f"x{j + 1}" for j in range(X.shape[1]))
        self.response = "y"
        self.batch_rows = len(X)  # of the first batch
        self.has_even_batches = True  # whether, in the last scan, all batches but the last had as many rows, and the last no more
        types = [str(tensor.dtype).removeprefix("torch.") for tensor in (X, y)]
        self.columns = dict.fromkeys(self.names, types[0]) | {self.response: types[1]}
        if first[1].ndim == 1:
            self.notes = ("targets of shape (m,) as a column (m, 1)",)

    @property
    def is_shuffled(self) -> bool:
        """Whether the sampler of the loader draws another order of the rows each time."""
        return isinstance(self.loader, data.DataLoader) and not isinstance(sampler_of(self.loader), data.SequentialSampler)

    @property
    def is_redrawn(self) -> bool:
        """Whether epochs may have different rows: drawn with replacement, or in a random order that leaves some out."""
        loader: Any = self.loader
        if not self.is_shuffled or not isinstance(loader.dataset, Sized):
            return False
        sampler = sampler_of(loader)
        drawn = isinstance(sampler, _WITH_REPLACEMENT)
        total = len(loader.dataset) if drawn else len(sampler) if isinstance(sampler, Sized) else 0
        return (drawn and sampler.replacement) or (self._rows is not None and self._rows < total)

    def batches(self) -> Iterator[TensorBatch]:
        """Yield the batches, inputs (m, features) and targets (m, 1); the generators of the loader keep their states."""
        return check_shapes(iter_loader(self.loader, self._randomness))

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order of the loader.

        Raises
        ------
        DataError : as `iter_pairs`; or the number of rows differs from the scan before.
        """
        sizes, sums = [], (0, 0)
        for X, y, lengths in _merge_batches(self.batches()):
            sizes += lengths
            sums = zlib.crc32(X.data, sums[0]), zlib.crc32(y.data, sums[1])
            columns = {name: X[:, j] for j, name in enumerate(self.names)} | {self.response: y[:, 0]}
            yield from ArraysSource(columns, self.label).read(numbers, labels)
        self._finish_scan(sum(sizes), sums)
        self.batch_count = len(sizes)
        self.has_even_batches = all(a == self.batch_rows >= b for a, b in itertools.pairwise([self.batch_rows, *sizes]))

    def kind(self, name: str) -> Kind:
        """Return the kind of a column: numbers."""
        return "number"

    def _finish_scan(self, row_count: int, sums: tuple[int, int]) -> None:
        """Compare a complete scan with the one before, and note where its rows differ from the dataset."""
        if self._rows is None:
            self.notes += tuple(_describe_oddities(self.loader, row_count))
        elif row_count != self._rows:
            raise DataError(
                f"The loader gave {pluralize(self._rows, 'row')} when it was iterated before, and {row_count:,} now. It must "
                "give the same rows each time: keep its dataset unchanged, and let each iteration start over."
            )
        elif sums != self._checksums:
            note = "rows in another order, or with other values, each time the loader is iterated"
            self.notes = tuple(dict.fromkeys((*self.notes, note)))
        self._rows, self._checksums = row_count, sums


def _check_loader(loader: Any) -> Iterable[Any]:
    kind = type(loader).__name__
    if isinstance(loader, Iterator):
        raise DataError(
            f"loader= is a {kind}, which can be iterated once, and every epoch iterates it. Give the DataLoader itself and not "
            "iter(loader), or a list of its batches, or an object whose __iter__ starts over."
        )
    if isinstance(loader, data.Dataset) and not isinstance(loader, Iterable):
        raise DataError(f"loader= is a dataset ({kind}), which yields single rows. Wrap it: DataLoader(dataset, batch_size=64).")
    if not isinstance(loader, Iterable):
        raise DataError(f"loader= is of type {kind!r} and cannot be iterated. {ADVICE}")
    return loader


def _merge_batches(batches: Iterator[TensorBatch]) -> Iterator[tuple[np.ndarray, np.ndarray, list[int]]]:
    """Join small batches up to `BATCH_ROWS` rows: inputs (m, features), targets (m, 1), and how many rows each batch has."""
    pending: list[tuple[np.ndarray, np.ndarray]] = []
    rows = 0
    for X, y in batches:
        pending.append((_to_array(X), _to_array(y)))
        rows += len(X)
        if rows >= BATCH_ROWS:
            yield _concatenate(pending)
            pending, rows = [], 0
    if pending:
        yield _concatenate(pending)


def _concatenate(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    X, y = zip(*pairs, strict=True)
    return np.concatenate(X), np.concatenate(y), list(map(len, X))


def _to_array(tensor: torch.Tensor) -> np.ndarray:
    """Return the numbers of a tensor; floats narrower than float32, most of which NumPy lacks, as float32."""
    plain = tensor.detach()
    if plain.dtype == torch.bool:
        plain = plain.to(torch.uint8)
    elif plain.is_floating_point() and plain.element_size() < torch.float32.itemsize:
        plain = plain.float()
    array: np.ndarray = plain.cpu().numpy()
    return array


def _describe_oddities(loader: Any, count: int) -> Iterator[str]:
    """Yield a note for each way in which the rows of a DataLoader differ from its dataset."""
    if not isinstance(loader, data.DataLoader) or not isinstance(loader.dataset, Sized):
        return
    sampler, batched, rows = sampler_of(loader), loader.batch_sampler, len(loader.dataset)
    name = type(loader.dataset if isinstance(loader.dataset, data.IterableDataset) else sampler).__name__
    if isinstance(sampler, _WITH_REPLACEMENT) and sampler.replacement:
        yield f"{pluralize(count, 'row')} that {name} draws from {rows:,} with replacement: some come twice, some never"
    elif count < rows:
        short = isinstance(batched, data.BatchSampler) and batched.drop_last and rows - count < batched.batch_size
        cause = "drop_last=True" if short else name
        yield f"{count:,} of the {rows:,} rows of its dataset: {cause} leaves {rows - count:,} out of each epoch"
    elif count > rows:
        yield f"{pluralize(count, 'row')} from a dataset of {rows:,}: {name} gives some more than once"


class NonFiniteRowError(Exception):
    """A row is no longer finite; the message names it. The loop ends."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LoaderBatches:
    """The rows of a user's own loader, in its own batches and order, cast to the model's dtype and device."""

    source: LoaderSource
    n: int
    features: int
    dtype: torch.dtype
    device: torch.device
    group: ProcessGroup = SINGLE_PROCESS

    def batches_per_epoch(self, size: int) -> int:
        """Return the number of batches of the loader."""
        return -(-self.n // size) if self.source.batch_count is None else self.source.batch_count

    def count_batch_rows(self, number: int, size: int, local: int) -> int:
        """Return how many rows a batch has: the loader decides."""
        return local

    def batches(self, epoch: int, size: int, skip: int = 0) -> Iterator[TensorBatch]:
        """Yield the loader's own batches."""
        return itertools.starmap(self._cast, itertools.islice(enumerate(iter_pairs(self.source.loader)), skip, None))

    def sequential(self) -> Iterator[TensorBatch]:
        """Yield the loader's own batches, in the order of its first scan."""
        return itertools.starmap(self._cast, enumerate(self.source.batches()))

    def _cast(self, number: int, batch: TensorBatch) -> TensorBatch:
        X, y = batch
        finite = torch.isfinite(X).all(1) & torch.isfinite(y).all(1)
        if not bool(finite.all()):
            row = int((~finite).nonzero()[0, 0]) + 1
            raise NonFiniteRowError(f"Row {row:,} of batch {number + 1:,} of the loader is no longer finite")
        return X.to(self.device, self.dtype), y.to(self.device, self.dtype)
