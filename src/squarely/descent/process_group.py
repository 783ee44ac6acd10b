"""`ProcessGroup`: processes that train together, and the messages between them.

Nothing is pickled: numbers travel as tensors, texts as the bytes of JSON. Sums have the same bits in all processes, so that
all take the same steps and decisions.
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
from squarely.errors import DataError, FormulaError, InputError, OptionError, ProcessError, first_line
from squarely.numerics import Array

if distributed.is_available():
    # The first step of an optimizer would import it, and its defaults then refer to the group of that moment. Such a group outlives
    # destroy_process_group, and its threads sometimes abort the process when Python ends.
    import torch.distributed.nn.functional  # noqa: F401

T = TypeVar("T")

_KINDS = {kind.__name__: kind for kind in (DataError, FormulaError, OptionError)}


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes of torch's default group, seen from one of them. All of them call every method, in the same order."""

    rank: int = 0  # of this process
    size: int = 1  # how many there are; a single process sends nothing
    device: str = "cpu"  # where tensors must be to travel: a GPU under NCCL

    @property
    def is_single(self) -> bool:
        """Whether there is one process."""
        return self.size == 1

    def all_reduce(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Sum tensors of one dtype over the processes, element by element, in one message."""
        if self.is_single:
            return list(tensors)
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        summed = flat.to(self.device)
        self._run_collective(distributed.all_reduce, summed)
        pieces = summed.to(flat.device).split([tensor.numel() for tensor in tensors])
        return [piece.view_as(tensor) for piece, tensor in zip(pieces, tensors, strict=True)]

    def all_reduce_arrays(self, arrays: Sequence[Array]) -> list[Array]:
        """Sum arrays over the processes in float64."""
        tensors = [torch.from_numpy(np.array(array, dtype=np.float64)) for array in arrays]
        return [tensor.numpy() for tensor in self.all_reduce(tensors)]

    def all_gather_counts(self, counts: Sequence[int]) -> np.ndarray:
        """Return the counts of every process (size, len(counts))."""
        mine = torch.tensor(counts, dtype=torch.int64, device=self.device)
        every: np.ndarray = torch.stack(self._all_gather(mine)).cpu().numpy()
        return every

    def all_gather_json(self, value: Any) -> list[Any]:
        """Return a JSON value of every process, in the order of their ranks."""
        mine = json.dumps(value).encode("ascii")
        lengths = self.all_gather_counts([len(mine)])[:, 0]
        padded = torch.zeros(int(lengths.max()), dtype=torch.uint8)
        padded[: len(mine)] = torch.frombuffer(bytearray(mine), dtype=torch.uint8)
        every = [row.cpu().numpy().tobytes() for row in self._all_gather(padded.to(self.device))]
        return [json.loads(row[:length]) for row, length in zip(every, lengths.tolist(), strict=True)]

    def run_on_all(self, work: Callable[[], T]) -> T:
        """Call a function in each process; all raise the InputError of the first process that has one.

        The function must not wait for the other processes.
        """
        if self.is_single:
            return work()
        results, errors = [], []  # one of them gets an entry
        try:
            results.append(work())
        except InputError as error:
            errors.append(error)
        for rank, found in enumerate(self.all_gather_json([(type(error).__name__, str(error)) for error in errors])):
            for kind, message in found:
                raise errors[0] if rank == self.rank else _KINDS.get(kind, InputError)(message)
        return results[0]

    def any(self, value: bool) -> bool:
        """Return whether the value is True in any process."""
        return bool(self.all_gather_counts([value]).any())

    def require_same(self, values: Mapping[str, Any]) -> None:
        """Raise an OptionError, in all processes, that names the first value that they do not share, compared as JSON."""
        every = self.all_gather_json(values)
        for rank, other in enumerate(every):
            for name, value in every[0].items():
                if other.get(name) != value:
                    raise OptionError(
                        f"Process {rank} of {self.size} has another {name} than process 0: {other.get(name)!r}, not {value!r}. "
                        "Give all processes the same formula, data and options: each takes its own shard of the rows."
                    )

    def shard(self, source: Source) -> Source:
        """Return the rows of a source that belong to this process."""
        return source if self.is_single else self.run_on_all(lambda: shard_of(source, self.rank, self.size))

    def barrier(self) -> None:
        """Wait for all processes that have not ended."""
        with suppress(ProcessError):
            self.all_gather_counts([0])

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        """Set tensors, in place, to their values in process 0."""
        first = [tensor if self.rank == 0 else torch.zeros_like(tensor) for tensor in tensors]
        for tensor, value in zip(tensors, self.all_reduce(first), strict=True):
            tensor.copy_(value)

    def resolve_device(self, device: str) -> str:
        """Return the device that "auto" means in this process: its own GPU under NCCL, else the CPU."""
        return device if self.is_single or device != "auto" else self.device

    def _all_gather(self, mine: torch.Tensor) -> list[torch.Tensor]:
        if self.is_single:
            return [mine]
        every = [torch.empty_like(mine) for _ in range(self.size)]
        self._run_collective(distributed.all_gather, every, mine)
        return every

    def _run_collective(self, collective: Callable[..., Any], *tensors: Any) -> None:
        try:
            collective(*tensors)
        except RuntimeError as error:
            raise ProcessError(
                f"Process {self.rank} of {self.size} has lost another one, which ended or does not answer: {first_line(error)}. "
                "See the output of that process and start all again; a run with checkpoints resumes from the newest."
            ) from error


SINGLE_PROCESS = ProcessGroup()


def current_group() -> ProcessGroup:
    """Return the processes of torch's default group if there is one, else a single process."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return SINGLE_PROCESS
    nccl = distributed.get_backend() == "nccl"
    device = f"cuda:{torch.cuda.current_device()}" if nccl else "cpu"
    return ProcessGroup(distributed.get_rank(), distributed.get_world_size(), device)


@contextmanager
def mark_local_errors() -> Iterator[None]:
    """Mark an InputError as one that the other processes may not raise: they only find that this one has ended."""
    try:
        yield
    except InputError as error:
        error.local_only = True
        raise


@contextmanager
def init_from_torchrun(device: str) -> Iterator[None]:
    """Join the processes that torchrun has started, and leave them at the end.

    They use NCCL where each has its own GPU and the device is not the CPU, else gloo.

    Raises
    ------
    OptionError : torchrun's variables do not describe a group, or there is no such device.
    ProcessError : the others cannot be reached.
    """
    if device.startswith("cuda:"):
        raise OptionError(f"device={device!r} is one GPU, and each process needs its own. Give device='cuda'.")
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.device_count() >= _read_env("LOCAL_WORLD_SIZE", 1))
    if on_gpu:
        try:
            torch.cuda.set_device(_read_env("LOCAL_RANK", 0))
        except (RuntimeError, AssertionError) as error:
            raise OptionError(
                f"device={device!r} cannot be used here: process {_read_env('RANK', 0)} does not have its own GPU."
            ) from error
    try:
        distributed.init_process_group("nccl" if on_gpu else "gloo")
    except ValueError as error:
        raise OptionError(
            f"The processes cannot find each other: {error}. Start them with torchrun, which sets these variables."
        ) from error
    except RuntimeError as error:
        raise ProcessError(f"The processes cannot reach each other. PyTorch says: {first_line(error)}.") from error
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _read_env(variable: str, default: int) -> int:
    return int(os.environ.get(variable, default))
