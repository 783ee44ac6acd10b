"""What a child process has come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from squarely.checkup.findings import SourceLine


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedWarning:
    """A warning of the user's code."""

    category: str
    message: str
    file: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildResult:
    """What a function in a child process has come to.

    Attributes
    ----------
    value : what the function returned; None if it did not come to its end.
    ending : "returned", "timeout", "raised", "exit", "signal", "interrupted", "memory", or "stopped" with another process.
    message : what happened and what to do, if it did not return by itself.
    traceback : that of an exception of the function, or the stack at the end of the time limit.
    line : the line of the user's code at that moment; None if it is not known.
    output : what was printed, to stdout and stderr in order.
    output_length : its length in bytes before it was cut.
    warnings : the warnings, each once per line.
    remarks : what differs from a normal run, one sentence each.
    """

    value: Mapping[str, Any] | None
    ending: str
    message: str = ""
    traceback: str = ""
    line: SourceLine | None = None
    output: str = ""
    output_length: int = 0
    warnings: tuple[RecordedWarning, ...] = ()
    remarks: tuple[str, ...] = ()
