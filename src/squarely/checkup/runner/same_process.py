"""Run the user's code in this process, where it cannot be forked: captured output, and what it changes is put back."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from squarely.checkup.recorder.user_lines import is_user_file
from squarely.checkup.runner.child import run_recorded, to_json
from squarely.checkup.runner.endings import Remains, read_result
from squarely.checkup.runner.output import BoundedOutput, NoInput, OutputStream
from squarely.checkup.runner.result import ChildResult

REMARK = "The loop ran in this process, without a time limit: PyTorch cannot be forked here."


def run_in_process(function: Callable[[], Mapping[str, Any]]) -> ChildResult:
    """Run a function here and return what came of it; KeyboardInterrupt passes through."""
    output = BoundedOutput()
    stream = OutputStream(output)
    with restored_interpreter(), contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        report = run_recorded(function)
    if report["ending"] == "interrupted":
        raise KeyboardInterrupt
    found = read_result(Remains(to_json(report), b"", 0, ""), output, 0.0)
    return replace(found, remarks=(REMARK, *found.remarks))


@contextlib.contextmanager
def restored_interpreter() -> Iterator[None]:
    """Put back the folder, the arguments, the places of modules and of temporary files, the environment, stdin and modules."""
    folder, path, argv, stdin, environment = Path.cwd(), [*sys.path], [*sys.argv], sys.stdin, dict(os.environ)
    places = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    tempdir, tempfile.tempdir = tempfile.tempdir, places.name
    modules, bytecode = {*sys.modules}, sys.dont_write_bytecode
    sys.stdin, sys.dont_write_bytecode = NoInput(), True
    try:
        yield
    finally:
        os.chdir(folder)
        sys.path[:], sys.argv, sys.stdin, sys.dont_write_bytecode = path, argv, stdin, bytecode
        tempfile.tempdir = tempdir
        places.cleanup()
        os.environ.clear()
        os.environ.update(environment)
        for name in {*sys.modules} - modules:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file and is_user_file(file):
                del sys.modules[name]
