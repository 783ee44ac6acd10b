"""A user's own loader of (inputs, targets) batches as a Source, so that moments, least squares and certificates work on its rows.

Each scan iterates the loader once. A DataLoader that shuffles draws another order each time it is iterated, and a source gives its
rows in one: so every scan starts from the same state of the generators, and leaves them as the user had them.
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
from squarely.descent.batches.batch_source import NonFiniteRowError, SingleProcess, TensorBatch
from squarely.descent.batches.loader_pairs import (
    ADVICE,
    InputsTargets,
    Randomness,
    check_shapes,
    iter_loader,
    iter_pairs,
    read_pair,
    sampler_of,
)
from squarely.errors import DataError, pluralize

if TYPE_CHECKING:
    import pyarrow as pa

_WITH_REPLACEMENT = (data.RandomSampler, data.WeightedRandomSampler)


class LoaderSource(Source):
    """The rows of a loader: columns x1, x2, ... and y.

    Attributes
    ----------
    names, response : of the inputs, and of the targets.
    batch_rows : the rows of the first batch. `has_even_batches` : whether the last scan met as many in all but the last, and no more in that.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self.label = "the loader"
        self._loader = _check_loader(loader)
        self._randomness = Randomness(loader)
        self._batch_count: int | None = None
        self._row_count: int | None = None  # the rows of the scans that came to the end
        self._checksums: tuple[int, int] | None = None  # and checksums of their inputs and targets
        first = next(self._iter_loader(), None)
        if first is None:
            raise DataError(f"The loader is empty: it gives no batch. {ADVICE}")
        X, y = read_pair(first, 1)
        self.names: tuple[str, ...] = tuple(f"x{j + 1}" for j in range(X.shape[1]))
        self.response = "y"
        self.batch_rows = len(X)
        self.has_even_batches = True
        self.columns = dict.fromkeys(self.names, _dtype_name(X)) | {self.response: _dtype_name(y)}
        if first[1].ndim == 1:
            self.notes = ("targets of shape (m,) as a column (m, 1)",)

    @property
    def is_shuffled(self) -> bool:
        """Whether the loader gives its rows in another order each time, as far as can be told from its sampler."""
        return isinstance(self._loader, data.DataLoader) and not isinstance(sampler_of(self._loader), data.SequentialSampler)

    @property
    def is_redrawn(self) -> bool:
        """Whether each epoch may have other rows: they are drawn with replacement, or a pass in random order leaves some out."""
        loader: Any = self._loader
        if not self.is_shuffled or not isinstance(loader.dataset, Sized):
            return False
        sampler = sampler_of(loader)
        drawn = isinstance(sampler, _WITH_REPLACEMENT)
        whole = len(loader.dataset) if drawn else len(sampler) if isinstance(sampler, Sized) else 0
        return (drawn and sampler.replacement) or (self._row_count is not None and self._row_count < whole)

    def batches(self) -> Iterator[InputsTargets]:
        """Yield the batches, inputs (m, features) and targets (m, 1); what the loader draws from is afterwards as it was."""
        return check_shapes(self._iter_loader())

    @property
    def generators(self) -> tuple[torch.Generator, ...]:
        """The generators of its own that the loader draws from, beside torch's default."""
        return self._randomness.own_generators

    @property
    def loader(self) -> Iterable[Any]:
        """The loader itself."""
        return self._loader

    @property
    def rows(self) -> int | None:
        """How many rows there are, None before a scan has come to the end: a sampler may leave some out."""
        return self._row_count

    @property
    def batch_count(self) -> int | None:
        """How many batches there are, None before a scan has come to the end."""
        return self._batch_count

    def read(self, numbers: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the named columns in batches, in the order of the loader.

        Raises
        ------
        DataError : as `iter_pairs`; or the loader gives another number of rows than in the scan before.
        """
        met, sums = 0, (0, 0)
        steps = itertools.count()
        for X, y in _merge_batches(
            batch for batch, _ in zip(self._record_sizes(check_shapes(self._iter_loader())), steps, strict=False)
        ):
            met, sums = met + len(X), (zlib.crc32(X.data, sums[0]), zlib.crc32(y.data, sums[1]))
            columns = {name: X[:, j] for j, name in enumerate(self.names)} | {self.response: y[:, 0]}
            yield from ArraysSource(columns, self.label).read(numbers, labels)
        self._finish_scan(met, sums)
        self._batch_count = next(steps)

    def kind(self, name: str) -> Kind:
        """Tell what a column holds: numbers."""
        return "number"

    def _iter_loader(self) -> Iterator[Any]:
        return iter_loader(self._loader, self._randomness)

    def _record_sizes(self, batches: Iterator[InputsTargets]) -> Iterator[InputsTargets]:
        """Pass batches on, and note whether they have as many rows each."""
        even, before = True, self.batch_rows
        for X, y in batches:
            even, before = even and before == self.batch_rows >= len(X), len(X)
            yield X, y
        self.has_even_batches = even

    def _finish_scan(self, met: int, sums: tuple[int, int]) -> None:
        """Compare a scan that came to the end with the one before, and note what is odd about its rows."""
        if self._row_count is None:
            self.notes += tuple(_describe_oddities(self._loader, met))
        elif met != self._row_count:
            raise DataError(
                f"The loader gave {pluralize(self._row_count, 'row')} when it was iterated before, and {met:,} now. It must give the same "
                "rows each time: let nothing add to its dataset meanwhile, and let it start over when it is iterated again."
            )
        elif sums != self._checksums:
            note = "rows in another order, or with other values, each time the loader is iterated"
            self.notes = tuple(dict.fromkeys((*self.notes, note)))
        self._row_count, self._checksums = met, sums


def _check_loader(loader: Any) -> Iterable[Any]:
    kind = type(loader).__name__
    if isinstance(loader, Iterator):
        raise DataError(
            f"loader= is a {kind}, which can be iterated once, and every epoch iterates it. Give the DataLoader itself and not "
            "iter(loader), or a list of its batches, or an object whose __iter__ starts over."
        )
    if isinstance(loader, data.Dataset) and not isinstance(loader, Iterable):
        raise DataError(f"loader= is a dataset ({kind}), which gives single rows. Wrap it: DataLoader(dataset, batch_size=64).")
    if not isinstance(loader, Iterable):
        raise DataError(f"loader= is of type {kind!r} and cannot be iterated. {ADVICE}")
    return loader


def _merge_batches(batches: Iterator[InputsTargets]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Put small batches together, until there are enough rows to be worth a step: inputs (m, features) and targets (m, 1)."""
    held: list[tuple[np.ndarray, np.ndarray]] = []
    rows = 0
    for X, y in batches:
        held.append((_to_array(X), _to_array(y)))
        rows += len(X)
        if rows >= BATCH_ROWS:
            yield _concatenate(held)
            held, rows = [], 0
    if held:
        yield _concatenate(held)


def _concatenate(held: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    X, y = zip(*held, strict=True)
    return np.concatenate(X), np.concatenate(y)


def _to_array(tensor: torch.Tensor) -> np.ndarray:
    """Give a tensor's numbers; floats narrower than float32, of which NumPy knows few, as float32, which holds them all."""
    plain = tensor.detach()
    if plain.dtype == torch.bool:
        plain = plain.to(torch.uint8)
    elif plain.is_floating_point() and plain.element_size() < torch.float32.itemsize:
        plain = plain.float()
    array: np.ndarray = plain.cpu().numpy()
    return array


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _describe_oddities(loader: Any, met: int) -> Iterator[str]:
    """Say where the rows of a DataLoader are not those of its dataset, each once."""
    if not isinstance(loader, data.DataLoader) or not isinstance(loader.dataset, Sized):
        return
    sampler, batched, rows = sampler_of(loader), loader.batch_sampler, len(loader.dataset)
    who = type(loader.dataset if isinstance(loader.dataset, data.IterableDataset) else sampler).__name__
    if isinstance(sampler, _WITH_REPLACEMENT) and sampler.replacement:
        yield f"{pluralize(met, 'row')} that {who} draws from {rows:,} with replacement: some come twice, some never"
    elif met < rows:
        short = isinstance(batched, data.BatchSampler) and batched.drop_last and rows - met < batched.batch_size
        cause = "drop_last=True" if short else who
        yield f"{met:,} of the {rows:,} rows of its dataset: {cause} leaves {rows - met:,} out of each epoch"
    elif met > rows:
        yield f"{pluralize(met, 'row')} from a dataset of {rows:,}: {who} gives some more than once"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LoaderBatches(SingleProcess):
    """The rows of a user's own loader, in its own batches and order, cast to the model's dtype and device.

    Attributes
    ----------
    source : the loader as a source; the loader itself is iterated once an epoch.
    n, features : rows and inputs. `dtype`, `device` : the model's.
    """

    source: LoaderSource
    n: int
    features: int
    dtype: torch.dtype
    device: torch.device

    def batches_per_epoch(self, size: int) -> int:
        """Tell how many batches the loader has."""
        return -(-self.n // size) if self.source.batch_count is None else self.source.batch_count

    def batches(self, epoch: int, size: int | None, skip: int = 0) -> Iterator[TensorBatch]:
        """Yield the loader's own batches."""
        for number, batch in enumerate(iter_pairs(self.source.loader)):
            if number >= skip:
                yield self._cast(number, batch)

    def sequential(self) -> Iterator[TensorBatch]:
        """Yield the loader's own batches, in the order of the first look at them."""
        return itertools.starmap(self._cast, enumerate(self.source.batches()))

    def _cast(self, number: int, batch: TensorBatch) -> TensorBatch:
        X, y = batch
        if not (bool(torch.isfinite(X).all()) and bool(torch.isfinite(y).all())):
            bad = ~(torch.isfinite(X).all(1) & torch.isfinite(y).all(1))
            row = int(bad.nonzero()[0, 0]) + 1
            raise NonFiniteRowError(f"Row {row:,} of batch {number + 1:,} of the loader has come to hold what is not a number")
        return X.to(self.device, self.dtype), y.to(self.device, self.dtype)
