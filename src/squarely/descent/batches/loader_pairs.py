"""The batches of a user's own loader as pairs of inputs (m, features) and targets (m, 1)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.utils import data

from squarely.descent.batches.in_memory import TensorBatch
from squarely.errors import DataError, first_line, pluralize

ADVICE = "Give a torch DataLoader, or a list of (inputs, targets) pairs of tensors."
_WITH_GENERATOR = (data.RandomSampler, data.SubsetRandomSampler, data.WeightedRandomSampler)


def iter_pairs(loader: Iterable[Any]) -> Iterator[TensorBatch]:
    """Yield the batches of a loader as inputs (m, features) and targets (m, 1), with their own dtype, device and values.

    Inputs (m,) are one feature. Targets (m,) become (m, 1): with outputs (m, 1) they would broadcast to m x m differences.

    Raises
    ------
    DataError : the loader fails, or a batch is not a pair of tensors of such shapes; the message names the batch.

    Examples
    --------
    >>> [(X.shape, y.shape) for X, y in iter_pairs([(torch.zeros(4, 2), torch.zeros(4))])]
    [(torch.Size([4, 2]), torch.Size([4, 1]))]
    """
    return check_shapes(iter_loader(loader))


class Randomness:
    """The generators that a loader draws from, and their present state, from which every scan starts."""

    def __init__(self, loader: Iterable[Any]) -> None:
        drawn = (loader, sampler_of(loader)) if isinstance(loader, data.DataLoader) else ()
        generators = [part.generator for part in drawn if isinstance(part, (data.DataLoader, *_WITH_GENERATOR))]
        own = {id(generator): generator for generator in generators if generator not in (None, torch.default_generator)}
        self.own_generators: tuple[torch.Generator, ...] = tuple(own.values())  # beside torch's default
        self._generators = (torch.default_generator, *self.own_generators)
        self.start = self._get_states()

    @contextmanager
    def set_to(self, states: list[torch.Tensor]) -> Iterator[None]:
        """Set the generators within the block; afterwards `states` holds their final states, and they are as before."""
        before = self._get_states()
        self._set_states(states)
        try:
            yield
        finally:
            states[:] = self._get_states()
            self._set_states(before)

    def _get_states(self) -> list[torch.Tensor]:
        return [generator.get_state() for generator in self._generators]

    def _set_states(self, states: list[torch.Tensor]) -> None:
        for generator, state in zip(self._generators, states, strict=True):
            generator.set_state(state)


def iter_loader(loader: Iterable[Any], randomness: Randomness | None = None) -> Iterator[Any]:
    """Yield what a loader yields; its errors become DataErrors that name the batch.

    With a randomness it draws from that start, independently of other draws, and leaves the generators to others as they are.
    """
    states = list(randomness.start) if randomness else []
    number, iterator = 1, None
    if randomness is not None and isinstance(loader, data.DataLoader) and loader.persistent_workers:
        own: Any = copy.copy(loader)  # with its own workers: those of the loader stay for the user's loop
        own._iterator = None
        loader = own
    while True:
        try:
            with randomness.set_to(states) if randomness else nullcontext():
                iterator = iter(loader) if iterator is None else iterator
                batch = next(iterator)
        except StopIteration:
            return
        except Exception as error:  # the user's own dataset runs here and may raise anything
            raise DataError(
                f"The loader failed at batch {number:,}: {type(error).__name__}: {first_line(error)}. Check that a plain "
                "loop over it ends."
            ) from error
        yield batch
        number += 1


def check_shapes(batches: Iterator[Any]) -> Iterator[TensorBatch]:
    """Yield batches as inputs (m, features) and targets (m, 1), all with the same features."""
    features = None
    for number, batch in enumerate(batches, start=1):
        X, y = read_pair(batch, number)
        features = X.shape[1] if features is None else features
        if X.shape[1] != features:
            raise DataError(
                f"Batch {number:,} of the loader has {pluralize(X.shape[1], 'feature')}, and the batches before have {features:,}. "
                "Every row needs a value for each feature."
            )
        yield X, y


def read_pair(batch: Any, number: int) -> TensorBatch:
    """Return the `number`-th batch as inputs (m, features) and targets (m, 1)."""
    where = f"Batch {number:,} of the loader"
    if not (isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(part, torch.Tensor) for part in batch)):
        raise DataError(f"{where} is {_describe_batch(batch)}, not a pair of tensors (inputs, targets). {ADVICE}")
    X, y = batch
    for tensor, noun in ((X, "inputs"), (y, "targets")):
        if tensor.is_complex() or tensor.is_quantized or tensor.layout != torch.strided:
            raise DataError(
                f"{where} has {noun} of dtype {tensor.dtype} and layout {tensor.layout}. Give a dense tensor of real numbers, for "
                "example with .to_dense() or .dequantize()."
            )
    if X.ndim not in (1, 2) or X.shape[1:] == (0,):
        raise DataError(
            f"{where} has inputs of shape {tuple(X.shape)}. Give rows and features, (m, features), for example with "
            "inputs.flatten(1); (m,) is one feature."
        )
    if y.ndim not in (1, 2) or y.shape[1:] not in ((), (1,)):
        raise DataError(
            f"{where} has targets of shape {tuple(y.shape)}. Give one number for each row, (m,) or (m, 1): a regression has "
            "one response."
        )
    if len(X) != len(y):
        raise DataError(
            f"{where} has {pluralize(len(X), 'row')} of inputs and {pluralize(len(y), 'target')}. Give one for each row."
        )
    return X[:, None] if X.ndim == 1 else X, y[:, None] if y.ndim == 1 else y


def sampler_of(loader: Any) -> Any:
    """Return the sampler that decides the rows of a DataLoader and their order."""
    batched = loader.batch_sampler
    if isinstance(batched, data.BatchSampler):
        return batched.sampler
    return loader.sampler if batched is None else batched


def unknown_sampler_name(loader: Any) -> str:
    """Return the name of a sampler that may draw from generators that `Randomness` does not know, else an empty text."""
    sampler = sampler_of(loader) if isinstance(loader, data.DataLoader) else None
    known_types = (type(None), data.SequentialSampler, *_WITH_GENERATOR)
    return "" if type(sampler) in known_types else type(sampler).__name__


def _describe_batch(batch: Any) -> str:
    if isinstance(batch, torch.Tensor):
        return f"a tensor of shape {tuple(batch.shape)}"
    if isinstance(batch, tuple | list):
        return f"a {type(batch).__name__} of {', '.join(type(part).__name__ for part in batch[:4]) or 'nothing'}"
    return f"a {type(batch).__name__}"
