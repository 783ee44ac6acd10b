"""Scripts of runs in processes of their own, forked from one that has imported pandas and PyTorch.

These imports take longer than the scripts. The process knows nothing of squarely and is isolated, as by `python -I`.
"""

import atexit
import functools
import json
import os
import runpy
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace


@functools.cache
def _server() -> subprocess.Popen:
    words = [sys.executable, "-I", __file__]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate)  # which closes its pipes, so it ends
    return process


def run_script(path: Path, *, strict: bool = False) -> SimpleNamespace:
    """Run a script in its own folder and return its exit code, stdout and stderr; strict makes warnings errors."""
    server = _server()
    server.stdin.write(json.dumps([str(path), strict]) + "\n")
    server.stdin.flush()
    code = int(server.stdout.readline())
    stdout, stderr = (path.with_suffix(suffix).read_text(encoding="utf-8") for suffix in (".stdout", ".stderr"))
    return SimpleNamespace(returncode=code, stdout=stdout, stderr=stderr)


def _run(path: Path, *, strict: bool) -> int:
    for handle, suffix in ((1, ".stdout"), (2, ".stderr")):
        with path.with_suffix(suffix).open("w") as file:
            os.dup2(file.fileno(), handle)
    os.chdir(path.parent)
    sys.argv = [path.name]
    if strict:
        warnings.simplefilter("error")
    try:
        runpy.run_path(path.name, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def serve() -> None:
    """Fork for each script that comes on stdin, and answer with its exit code."""
    import pandas  # noqa: F401
    import torch  # noqa: F401

    for line in sys.stdin:
        path, strict = json.loads(line)
        child = os.fork()
        if not child:
            code = 70
            try:
                code = _run(Path(path), strict=strict)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
