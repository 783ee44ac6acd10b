"""Exit codes, and what is printed before a command exits with one.

    0    done
    1    a numerical "no": diverged, not converged, disagree
    2    bad input
    3    another process of torchrun has ended
    70   an internal error; SQUARELY_TRACEBACK=1 prints the traceback
    130  interrupted
    143  terminated

Under torchrun, the first process prints for all.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

from squarely.errors import InputError, NumericalError, ProcessError, SquarelyError

_INTERRUPTED, _TERMINATED = 130, 143  # the codes that shells use
_INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
_LONGEST = 300  # characters of the message of an internal error
_PAUSE = 1.0  # seconds
_SOON = 0.05  # seconds: long enough for a finalizer to end


def run(app: Callable[[], Any]) -> None:
    """Run the command line, print its error as one message, and exit."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot print must not stop the output
    output = nullcontext() if is_first_process() else _silenced()
    sys.unraisablehook = _resend_interrupt
    try:
        with output:
            app()
    except (SquarelyError, OSError) as error:  # OSError: the message of the system is clear, such as for a full disk
        print_error(error)
        _exit(exit_code(error))
    except KeyboardInterrupt as interrupt:
        _print_interrupt(interrupt)
        _exit(_INTERRUPTED)
    except MemoryError:
        print("squarely: error: There is not enough memory. Give fewer rows or columns.", file=sys.stderr)
        _exit(exit_code(InputError()))
    except Exception as error:
        _print_internal_error(error)
        _exit(_INTERNAL_ERROR)
    except SystemExit as end:
        if end.code in (_INTERRUPTED, _TERMINATED):  # typer turns a KeyboardInterrupt into the first, and prints nothing
            _print_interrupt(end)
        _exit(end.code)


def process_count() -> int:
    """Return how many processes torchrun has started."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def is_first_process() -> bool:
    """Return whether this process prints."""
    return process_count() == 1 or int(os.environ["RANK"]) == 0


def exit_code(error: Exception) -> int:
    """Return the exit code of an error."""
    return 1 if isinstance(error, NumericalError) else 3 if isinstance(error, ProcessError) else 2


def print_error(error: Exception) -> None:
    """Print an error; if all processes raise it, only the first one prints."""
    from squarely.show import escape_controls

    if isinstance(error, SquarelyError) and not error.local_only and not is_first_process():
        return
    message = "\n".join(escape_controls(line) for line in str(error).split("\n"))  # a caret has its own line
    print(f"squarely: error: {message}", file=sys.stderr)


@contextmanager
def print_warnings() -> Iterator[None]:
    """Print the warnings of a block of code after the block, one line each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        from squarely.show import escape_controls

        print(f"squarely: warning: {escape_controls(warning.message)}", file=sys.stderr)


def _print_internal_error(error: Exception) -> None:
    """Print the type, the place and the message of an error that is the fault of squarely."""
    import traceback
    from importlib.metadata import version

    from squarely.show import escape_controls

    if os.environ.get("SQUARELY_TRACEBACK") == "1":
        traceback.print_exception(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if f"{os.sep}squarely{os.sep}" in frame.filename]
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    message = escape_controls(" ".join(str(error).split()))[:_LONGEST]
    print(
        f"squarely: internal error: {type(error).__name__}{where}: {message}. This is a bug in squarely {version('squarely')}: "
        "please report it, with what SQUARELY_TRACEBACK=1 prints.",
        file=sys.stderr,
    )


def _print_interrupt(end: BaseException | None) -> None:
    """Print the message of the KeyboardInterrupt behind an exception, or that the command was interrupted."""
    if not is_first_process():
        return
    while end is not None and not (isinstance(end, KeyboardInterrupt) and end.args):
        end = end.__cause__ or end.__context__
    message = "interrupted"
    if end is not None:
        from squarely.show import escape_controls

        message = escape_controls(end)
    print(f"squarely: {message}", file=sys.stderr)


def _resend_interrupt(lost: sys.UnraisableHookArgs) -> None:
    """Send Ctrl-C again if it came during a finalizer, where Python drops it; every import runs some."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        threading.Timer(_SOON, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(lost)


@contextmanager
def _silenced() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _exit(code: Any) -> NoReturn:
    """Exit; torchrun ends all processes once one has failed, so the others wait until the first has printed why."""
    if code and not is_first_process():
        time.sleep(_PAUSE)
    sys.exit(code)
