"""The part that runs in the child process: it runs a function, and writes what it returns as JSON into a file.

The parent never unpickles anything of the child.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any, NoReturn

import torch

from squarely.checkup.runner.output import NoInput
from squarely.checkup.runner.result import RecordedWarning
from squarely.errors import SquarelyError

STOP, DUMP = "SIGVTALRM", "SIGXCPU"  # signals of the parent: the time is up; write where you are
TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
UNFORKABLE = 77  # exit code: PyTorch does not work in a forked process here
_KILL_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl


class TimeLimitReached(BaseException):
    """The time limit of the child process; not an Exception, so that `except Exception` of a loop does not catch it."""


@dataclass(frozen=True, slots=True)
class Channels:
    """Open files that parent and child share.

    result : for JSON.
    stack : for the stack at the end of the time limit or of a crash.
    output : the write end of the pipe for stdout and stderr.
    """

    result: int
    stack: int
    output: int


def be_child(function: Callable[[], Mapping[str, Any]], channels: Channels, environment: Mapping[str, str]) -> NoReturn:
    """Run a function in this process, which ends with it."""
    pid, code = os.getpid(), 1
    try:
        _prepare(channels, environment)
        if not can_run_autograd():
            os._exit(UNFORKABLE)
        report = run_recorded(function)
        signal.signal(getattr(signal, STOP), signal.SIG_IGN)
        if os.getpid() == pid:  # else a process that the function has forked
            with open(channels.result, "wb", closefd=False) as file:
                file.write(to_json(report))
        code = 0 if report["ending"] in ("returned", "timeout") else 1
    except BaseException:  # also an interrupt between two lines of ours: nothing may go back into the parent's code
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        os._exit(code)


def _prepare(channels: Channels, environment: Mapping[str, str]) -> None:
    os.setsid()  # all that it forks is in its group, and Ctrl-C does not reach it
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_KILL_WITH_PARENT, signal.SIGKILL)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(channels.output, 1)
    os.dup2(channels.output, 2)
    sys.stdin = NoInput()
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
    signal.set_wakeup_fd(-1)  # of an event loop of the parent
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    faulthandler.disable()  # else it keeps the handlers of the parent, which a library may have replaced
    faulthandler.enable(file=channels.stack)
    faulthandler.register(getattr(signal, DUMP), file=channels.stack, all_threads=True)  # any may get the signal
    signal.signal(getattr(signal, STOP), _stop)
    for name in TORCHRUN:
        os.environ.pop(name, None)
    os.environ.update(environment)
    tempfile.tempdir = None  # TMPDIR may have changed
    sys.dont_write_bytecode = True  # no __pycache__ in the user's folder
    torch.set_num_threads(1)  # the threads of OpenMP do not live on in a forked process


def _stop(number: int, frame: FrameType | None) -> None:
    raise TimeLimitReached("the time limit is reached")


def can_run_autograd() -> bool:
    """Return whether backward works in this process: after a fork it does not if the parent has used an accelerator."""
    if torch.cuda.is_initialized():
        return False
    try:
        (torch.zeros(1, requires_grad=True) * 1.0).sum().backward()
    except RuntimeError:
        return False
    return True


def run_recorded(function: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Run a function and return what came of it as a value for JSON."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        report = _run(function)
    report["warnings"] = [asdict(RecordedWarning(
        category=each.category.__name__, message=str(each.message), file=each.filename, line=each.lineno,
    )) for each in caught]  # fmt: skip
    return report


_ENDINGS = {SystemExit: "exit", KeyboardInterrupt: "interrupted", MemoryError: "memory", TimeLimitReached: "timeout"}


def _run(function: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    try:
        return {"ending": "returned", "value": dict(function())}
    except SquarelyError as error:
        return {"ending": "refused", "kind": type(error).__name__, "message": str(error)}
    except BaseException as error:  # the user's code may raise anything
        ending = next((ending for kind, ending in _ENDINGS.items() if isinstance(error, kind)), "raised")
        message = repr(error.code) if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
        return {"ending": ending, "message": message, "traceback": "" if ending == "timeout" else traceback.format_exc()}


def to_json(report: Mapping[str, Any]) -> bytes:
    """Return a report as JSON."""
    return json.dumps(report, default=_to_python).encode("ascii")


def _to_python(value: Any) -> Any:
    """Return a scalar or array of NumPy or PyTorch as numbers, and any other object as text."""
    return value.tolist() if hasattr(value, "tolist") else repr(value)
