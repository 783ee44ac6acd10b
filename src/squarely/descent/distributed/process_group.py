"""A Team: processes that train together, each with its share of the rows, and all that they tell each other.

Nothing is pickled: numbers travel as tensors, words as the bytes of JSON. What is summed has the same bits in all of them, so
that each takes the same steps and the same decisions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import distributed

from squarely.data import Source, shard_of
from squarely.errors import DataError, FormulaError, InputError, OptionError, ProcessError
from squarely.numerics import Array

if distributed.is_available():
    # Its defaults take hold of the group that there is when it is imported, and the first step of an optimizer imports it. A group
    # that is held goes on after destroy_process_group, and its threads then abort the process now and then when Python ends.
    import torch.distributed.nn.functional  # noqa: F401

T = TypeVar("T")

_KINDS = {kind.__name__: kind for kind in (DataError, FormulaError, OptionError)}


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes of torch's default group, seen from one of them; every method is called by all, in the same order.

    Attributes
    ----------
    rank, size : which process this is, from 0, and how many there are. One alone tells nobody anything.
    device : where tensors have to be to travel: a GPU under NCCL.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def is_single(self) -> bool:
        """Whether there is one process."""
        return self.size == 1

    def all_reduce(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Sum tensors of one dtype over the processes, element by element, in one message."""
        if self.is_single:
            return list(tensors)
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        there = flat.to(self.device)
        self._run_collective(distributed.all_reduce, there)
        pieces = there.to(flat.device).split([tensor.numel() for tensor in tensors])
        return [piece.view_as(tensor) for piece, tensor in zip(pieces, tensors, strict=True)]

    def all_reduce_arrays(self, arrays: Sequence[Array]) -> list[Array]:
        """Sum arrays over the processes in float64."""
        if self.is_single:
            return list(arrays)
        tensors = [torch.from_numpy(np.array(array, dtype=np.float64)) for array in arrays]
        return [tensor.numpy() for tensor in self.all_reduce(tensors)]

    def all_gather_counts(self, counts: Sequence[int]) -> np.ndarray:
        """Give the counts of every process (size, len(counts))."""
        if self.is_single:
            return np.array([counts], dtype=np.int64)
        mine = torch.tensor(counts, dtype=torch.int64, device=self.device)
        every: np.ndarray = torch.stack(self._all_gather(mine)).cpu().numpy()
        return every

    def all_gather_texts(self, text: str) -> list[str]:
        """Give the text of every process, in the order of their ranks."""
        if self.is_single:
            return [text]
        mine = json.dumps(text).encode("ascii")
        lengths = self.all_gather_counts([len(mine)])[:, 0]
        padded = torch.zeros(int(lengths.max()), dtype=torch.uint8)
        padded[: len(mine)] = torch.frombuffer(bytearray(mine), dtype=torch.uint8)
        every = [row.cpu().numpy().tobytes() for row in self._all_gather(padded.to(self.device))]
        return [json.loads(row[:length]) for row, length in zip(every, lengths.tolist(), strict=True)]

    def run_on_all(self, work: Callable[[], T]) -> T:
        """Do what each process can do by itself; an InputError that one of them meets is raised by all, in the same words.

        The work must not wait for the others.
        """
        if self.is_single:
            return work()
        failed = done = None
        try:
            done = [work()]
        except InputError as error:
            failed = error
        met = self.all_gather_texts(json.dumps(None if failed is None else [type(failed).__name__, str(failed)]))
        for rank, text in enumerate(met):
            said = json.loads(text)
            if said is not None:
                raise failed if failed is not None and rank == self.rank else _KINDS.get(said[0], InputError)(said[1])
        assert done is not None  # noqa: S101  # nobody has failed
        return done[0]

    def any(self, wish: bool) -> bool:
        """Tell whether one of the processes wishes something."""
        return bool(self.all_gather_counts([wish]).any())

    def require_same(self, given: Mapping[str, Any]) -> None:
        """Raise an OptionError, in all processes, that names the first of these values that they do not share.

        Values are compared as JSON has them.
        """
        if self.is_single:
            return
        every = [json.loads(text) for text in self.all_gather_texts(json.dumps(given))]
        for rank, other in enumerate(every):
            for name, value in every[0].items():
                if other.get(name) != value:
                    raise OptionError(
                        f"Process {rank} of {self.size} has another {name} than process 0: {other.get(name)!r}, not {value!r}. "
                        "Give all processes the same formula, data and options: each takes its share of the rows by itself."
                    )

    def shard(self, source: Source) -> Source:
        """Give the rows of a source that are this process's."""
        return source if self.is_single else self.run_on_all(lambda: shard_of(source, self.rank, self.size))

    def barrier(self) -> None:
        """Wait until all processes that have not ended are here."""
        with suppress(ProcessError):
            self.all_gather_counts([0])

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        """Give tensors, in place, the values that they have in process 0."""
        if not self.is_single:
            first = [tensor if self.rank == 0 else torch.zeros_like(tensor) for tensor in tensors]
            for tensor, value in zip(tensors, self.all_reduce(first), strict=True):
                tensor.copy_(value)

    def resolve_device(self, device: str) -> str:
        """Give the device that "auto" means in this process: its own GPU under NCCL, else the CPU."""
        return self.device if device == "auto" and not self.is_single else device

    def _all_gather(self, mine: torch.Tensor) -> list[torch.Tensor]:
        every = [torch.empty_like(mine) for _ in range(self.size)]
        self._run_collective(distributed.all_gather, every, mine)
        return every

    def _run_collective(self, collective: Callable[..., Any], *tensors: Any) -> None:
        try:
            collective(*tensors)
        except RuntimeError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ProcessError(
                f"Process {self.rank} of {self.size} has lost another one, which ended or does not answer, and cannot go on "
                "without it. What that one said is in its own output. Start all of them again; if the run keeps checkpoints, the "
                f"newest one serves to go on from. PyTorch says: {reason[:200]}"
            ) from error


def current_group() -> ProcessGroup:
    """Find the processes that train together: those of torch's default group, if there is one, else this one alone."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return ProcessGroup()
    nccl = distributed.get_backend() == "nccl"
    device = f"cuda:{torch.cuda.current_device()}" if nccl else "cpu"
    return ProcessGroup(distributed.get_rank(), distributed.get_world_size(), device)


@contextmanager
def mark_local_errors() -> Iterator[None]:
    """Mark an InputError as one that the other processes may not have met: they hear only that this one has ended."""
    try:
        yield
    except InputError as error:
        error.local_only = True
        raise


@contextmanager
def init_from_torchrun(device: str) -> Iterator[None]:
    """Join the processes that torchrun has started, and part with them in the end.

    They talk through NCCL where each has a GPU of its own and the device asked for is not the CPU, else through gloo.

    Raises
    ------
    OptionError : torchrun's variables are not those of a group, or the device is not there.
    ProcessError : the others cannot be reached.
    """
    if device.startswith("cuda:"):
        raise OptionError(f"device={device!r} is one GPU, and each process needs its own. Write device='cuda'.")
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.device_count() >= _read_env("LOCAL_WORLD_SIZE", 1))
    if on_gpu:
        try:
            torch.cuda.set_device(_read_env("LOCAL_RANK", 0))
        except (RuntimeError, AssertionError) as error:
            raise OptionError(
                f"device={device!r} cannot be used here: process {_read_env('RANK', 0)} has no GPU of its own."
            ) from error
    try:
        distributed.init_process_group("nccl" if on_gpu else "gloo")
    except ValueError as error:
        raise OptionError(
            f"The processes cannot find each other: {error}. Start them with torchrun, which sets what is missing."
        ) from error
    except RuntimeError as error:
        raise ProcessError(f"The processes cannot reach each other. PyTorch says: {str(error).strip().splitlines()[0]}") from error
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _read_env(variable: str, otherwise: int) -> int:
    return int(os.environ.get(variable, otherwise))
