"""Run the user's code in child processes: a time limit, captured output, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import IO, Any

import torch

from squarely.checkup.runner.child import DUMP, STOP, UNFORKABLE, Channels, be_child
from squarely.checkup.runner.endings import Remains, read_result
from squarely.checkup.runner.output import BoundedOutput
from squarely.checkup.runner.result import ChildResult
from squarely.checkup.runner.same_process import run_in_process

Function = Callable[[], Mapping[str, Any]]

_GRACE = 5.0  # seconds for what follows a loop that the time limit has stopped
_POLL = 0.01  # seconds
NO_RANKS = "Two processes were not tried: PyTorch cannot be forked here."


@dataclass(slots=True)
class _Child:
    """A child process, as the parent sees it."""

    result: IO[bytes]
    stack: IO[bytes]
    pipe: int  # the read end of its output
    pid: int = 0
    output: BoundedOutput = field(default_factory=BoundedOutput)
    status: int | None = None  # of waitpid, once it has ended
    ended_by_us: str = ""  # "timeout" or "stopped"

    def poll(self) -> bool:
        """Return whether the process has ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None

    def read(self) -> None:
        """Take over what is in the pipe now."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.pipe, 65536):
                self.output.append(data)

    def send(self, name: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, getattr(signal, name))

    def kill(self) -> None:
        """End the process with all that it has started."""
        for kill in (os.killpg, os.kill):
            if kill is os.killpg or self.status is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(self.pid, signal.SIGKILL)
        if self.status is None:
            _, self.status = os.waitpid(self.pid, 0)

    def close(self) -> None:
        """Kill it if it runs, and close what it shares with this process."""
        self.kill()
        os.close(self.pipe)
        self.result.close()
        self.stack.close()


def run_in_child(function: Function, *, timeout: float) -> ChildResult:
    """Run a function in a forked process, and return what came of it. It returns values for JSON by name.

    After `timeout` seconds a `TimeLimitReached` is raised in it. A few seconds later it is killed with all that it has started.
    Where processes cannot be forked, or PyTorch does not work after a fork, the function runs in this process without a time limit,
    and a remark says so.

    Raises
    ------
    SquarelyError : the function raised it.
    """
    return run_together([function], timeout=timeout)[0]


def run_together(
    functions: Sequence[Function], *, timeout: float, environments: Sequence[Mapping[str, str]] = ({},)
) -> list[ChildResult]:
    """Run functions in processes of their own at the same time. When one fails, the others are killed."""
    if not hasattr(os, "fork"):
        return _fall_back(functions)
    import_lazy_parts()
    children: list[_Child] = []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))  # for temporary files of the loop
        for function, environment in zip(functions, environments, strict=True):
            children.append(_start(function, {"TMPDIR": folder, **environment}))
            stack.callback(children[-1].close)
        _wait(children, timeout)
        for child in children:
            child.kill()
            child.read()
        if any(os.waitstatus_to_exitcode(child.status or 0) == UNFORKABLE for child in children):
            return _fall_back(functions)
        return [_result(child, timeout) for child in children]


@cache
def import_lazy_parts() -> None:
    """Take a step with an optimizer: PyTorch imports for seconds at the first one, which each child would repeat.

    There is no backward, whose threads for an accelerator would make PyTorch unusable after a fork.
    """
    weight = torch.zeros(1, requires_grad=True)
    weight.grad = torch.zeros(1)
    torch.optim.SGD([weight], lr=0.1).step()


def _fall_back(functions: Sequence[Function]) -> list[ChildResult]:
    """Run one function here; several that must run at the same time cannot."""
    if len(functions) == 1:
        return [run_in_process(functions[0])]
    return [ChildResult(value=None, ending="stopped", message=NO_RANKS, remarks=(NO_RANKS,)) for _ in functions]


def _result(child: _Child, timeout: float) -> ChildResult:
    left = Remains(_read(child.result), _read(child.stack), child.status or 0, child.ended_by_us)
    return read_result(left, child.output, timeout)


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _start(function: Function, environment: Mapping[str, str]) -> _Child:
    result, stack = tempfile.TemporaryFile(buffering=0), tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # without names
    pipe, write_end = os.pipe()
    os.set_blocking(pipe, False)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()  # else the child prints it again
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12 where threads run; the child uses none of them
        pid = os.fork()
    if pid == 0:
        be_child(function, Channels(result.fileno(), stack.fileno(), write_end), environment)
    os.close(write_end)
    return _Child(result, stack, pipe, pid)


def _wait(children: Sequence[_Child], timeout: float) -> None:
    """Read what children print until all have ended, one has failed, or the time is up."""
    end, asked = time.monotonic() + timeout, False
    while running := [child for child in children if not child.poll()]:
        select.select([child.pipe for child in running], [], [], _POLL)
        for child in children:
            child.read()
        if any(child.status for child in children):
            for child in running:
                child.ended_by_us = child.ended_by_us or "stopped"
            return
        now = time.monotonic()
        if now > end + _GRACE:
            return
        if now > end and not asked:
            asked = True
            for child in running:
                child.ended_by_us = "timeout"
                child.send(DUMP)
                child.send(STOP)
