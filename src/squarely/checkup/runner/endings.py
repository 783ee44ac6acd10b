"""From what a child process has left to a `ChildResult`: how it ended, where it was, and what to do."""

from __future__ import annotations

import json
import linecache
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from squarely import errors
from squarely.checkup.findings import SourceLine
from squarely.checkup.recorder.user_lines import is_user_file, short_path
from squarely.checkup.runner.output import BoundedOutput
from squarely.checkup.runner.result import ChildResult, RecordedWarning

_FRAME = re.compile(r'^  File "(.*)", line (\d+)(?:,)? in ', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Remains:
    """What a child process has left: its JSON, what `faulthandler` wrote, its status of `waitpid`, and why it was ended."""

    report: bytes
    stack: bytes
    status: int
    ended_by_us: str  # "timeout", "stopped" or ""


def read_result(left: Remains, output: BoundedOutput, timeout: float) -> ChildResult:
    """Return the result of a child process that has ended; an error that squarely raises on purpose is raised here."""
    found, status, ended_by_us = _parse(left.report), left.status, left.ended_by_us
    stack_text = left.stack.decode("utf-8", errors="replace")
    ending = ended_by_us or found.get("ending") or ("signal" if os.WIFSIGNALED(status) else "exit")
    if found.get("ending") == "refused" and ended_by_us != "timeout":  # else the error is only that of the time limit
        raise _as_error(found)
    if found.get("ending") == "returned" and ended_by_us != "timeout":
        ending = "returned"
    trace = found.get("traceback") or stack_text
    line = None if ending == "returned" else find_line(trace, newest_first=not found.get("traceback"))
    return ChildResult(
        value=found.get("value"),
        ending=ending,
        message=_message(ending, found, status, line, timeout),
        traceback="" if ending == "returned" else trace,
        line=line,
        output=output.text,
        output_length=output.length,
        warnings=tuple(RecordedWarning(**each) for each in found.get("warnings", ())),
        remarks=(output.remark,) if output.remark else (),
    )


def _parse(report: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(report) if report else {}
    except ValueError:  # killed while it wrote
        return {}
    return found


def _as_error(found: Mapping[str, Any]) -> errors.SquarelyError:
    kind = getattr(errors, found["kind"], errors.InputError)
    error: errors.SquarelyError = kind.__new__(kind)  # MissingExtraError makes its message itself
    error.args = (found["message"],)
    return error


def find_line(trace: str, *, newest_first: bool) -> SourceLine | None:
    """Return the innermost line of the user's code in a traceback, or in a stack of `faulthandler`, which has it first.

    >>> find_line('  File "/home/me/train.py", line 3 in train', newest_first=True)
    SourceLine(file='/home/me/train.py', line=3, text='')
    """
    frames: list[tuple[str, str]] = []
    for thread in reversed(trace.split("\n\n")):  # the main thread is the last
        found = _FRAME.findall(thread)
        frames += found if newest_first else reversed(found)
    for file, number in frames:
        if is_user_file(file):
            return SourceLine(file=file, line=int(number), text=linecache.getline(file, int(number)).strip())
    return None


def _message(ending: str, found: Mapping[str, Any], status: int, line: SourceLine | None, timeout: float) -> str:
    where = (
        f", at line {line.line} of {short_path(line.file)}" + (f": {line.text}" if line.text else "") if line is not None else ""
    )
    if ending == "signal":
        return _signal_message(os.WTERMSIG(status), where)
    if ending == "exit" and not found:
        ending = "_exit"
    return {
        "returned": "",
        "timeout": f"The loop does not end within {timeout:g} s; it was running{where}. Use fewer epochs, or a longer timeout=.",
        "stopped": "This process was ended because another one of the same run failed. See the message of that one.",
        "_exit": f"The loop ended its process with os._exit({status >> 8}) or the like{where}. Let it return instead.",
        "exit": f"The loop calls sys.exit({found.get('message')}). Let it return instead.",
        "interrupted": f"The loop raises KeyboardInterrupt{where}. Let it return instead.",
        "memory": f"The loop runs out of memory{where}. The test problem is small: look for a list that grows in every step.",
        "raised": f"The loop raises {found.get('message')}{where}. Correct this first.",
    }[ending]


def _signal_message(number: int, where: str) -> str:
    name = signal.Signals(number).name if number in {*signal.Signals} else str(number)
    if number == signal.SIGKILL:
        return f"The loop was killed by the system (SIGKILL), which mostly means that memory ran out{where}. Look for what grows."
    crash = "crashed" if number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT) else "was ended"
    return f"The process of the loop {crash} with signal {name}{where}. Run the loop alone to see why."
