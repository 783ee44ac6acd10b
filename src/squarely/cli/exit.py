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
import traceback
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

import typer

from squarely._version import __version__
from squarely.cli.flags import to_flags, use_flags_of
from squarely.errors import InputError, NumericalError, ProcessError, SquarelyError
from squarely.show import escape_controls

_INTERRUPTED, _TERMINATED = 130, 143  # the codes that shells use
_COMPLETION = "_SQUARELY_COMPLETE"  # the variable that asks for a completion, or for its script
_INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
_LONGEST = 300  # characters of the message of an internal error
_PAUSE = 1.0  # seconds
_SOON = 0.05  # seconds: long enough for a finalizer to end


def run(app: typer.Typer) -> None:
    """Run the command line, print its error as one message, and exit."""
    use_flags_of(app)
    _accept_click_completion()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot print must not stop the output
    sys.unraisablehook = _resend_interrupt
    try:
        with ExitStack() as stack:
            if not is_first_process():
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(redirect_stdout(nowhere))
                stack.enter_context(redirect_stderr(nowhere))
            app(prog_name="squarely")
    except (SquarelyError, OSError) as error:  # OSError: the message of the system is clear, such as for a full disk
        print_error(error)
        _exit(exit_code(error))
    except KeyboardInterrupt as interrupt:
        _print_interrupt(interrupt)
        _exit(_INTERRUPTED)
    except MemoryError:
        _print("error: There is not enough memory. Give fewer rows or columns.")
        _exit(exit_code(InputError()))
    except Exception as error:
        _print_internal_error(error)
        _exit(_INTERNAL_ERROR)
    except SystemExit as end:
        if end.code in (_INTERRUPTED, _TERMINATED):  # typer turns a KeyboardInterrupt into the first, and prints nothing
            _print_interrupt(end)
        _exit(end.code)


def _accept_click_completion() -> None:
    """Turn `bash_source` of Click's documentation into `source_bash`, which typer takes."""
    shell, _, what = os.environ.get(_COMPLETION, "").partition("_")
    if what in ("source", "complete"):
        os.environ[_COMPLETION] = f"{what}_{shell}"


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
    if is_first_process() or not isinstance(error, SquarelyError) or error.local_only:
        lines = map(escape_controls, to_flags(str(error)).split("\n"))  # a caret has its own line
        _print("error: " + "\n".join(lines))


@contextmanager
def print_warnings() -> Iterator[None]:
    """Print the warnings of a block of code after the block, one line each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        _print(f"warning: {escape_controls(to_flags(str(warning.message)))}")


def _print_internal_error(error: Exception) -> None:
    """Print where an error that is the fault of squarely was raised, and what it says."""
    if os.environ.get("SQUARELY_TRACEBACK") == "1":
        traceback.print_exception(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if f"{os.sep}squarely{os.sep}" in frame.filename]
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    message = escape_controls(" ".join(str(error).split()))[:_LONGEST]
    _print(
        f"internal error: {type(error).__name__}{where}: {message}. This is a bug in squarely {__version__}: please report "
        "it, with what SQUARELY_TRACEBACK=1 prints."
    )


def _print_interrupt(end: BaseException | None) -> None:
    """Print the message of the KeyboardInterrupt behind an exception, or that the command was interrupted."""
    while end is not None and not (isinstance(end, KeyboardInterrupt) and end.args):
        end = end.__cause__ or end.__context__
    if is_first_process():
        _print("interrupted" if end is None else escape_controls(to_flags(str(end))))


def _print(message: str) -> None:
    print(f"squarely: {message}", file=sys.stderr)


def _resend_interrupt(lost: sys.UnraisableHookArgs) -> None:
    """Send Ctrl-C again if it came during a finalizer, where Python drops it; every import runs some."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        threading.Timer(_SOON, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(lost)


def _exit(code: Any) -> NoReturn:
    """Exit; torchrun ends all processes once one has failed, so the others wait until the first has printed why."""
    if code and not is_first_process():
        time.sleep(_PAUSE)
    sys.exit(code)
