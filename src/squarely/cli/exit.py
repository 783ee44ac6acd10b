"""How a command ends: an error in one message, an interrupt in one line, and the exit code.

0 done; 1 a numerical "no" (diverged, not converged, disagree); 2 bad input; 3 another process of torchrun's has ended; 70 a fault
of squarely's own, told in one line, with a traceback only where the environment has SQUARELY_TRACEBACK=1; 130 interrupted, 143
terminated. Of several processes the first one speaks.
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

_INTERRUPTED, _TERMINATED = 130, 143  # as a shell has them
_FAULT = 70  # EX_SOFTWARE of sysexits.h
_LONGEST = 300  # signs of a message that are shown
_PAUSE = 1.0  # seconds
_SOON = 0.05  # seconds: long enough for a finaliser to be over


def run(app: Callable[[], Any]) -> None:
    """Run the command line and turn squarely's errors into one message and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot print must not stop the page
    silence = nullcontext() if is_first_process() else _silenced()
    sys.unraisablehook = _resend_interrupt
    try:
        with silence:
            app()
    except (SquarelyError, OSError) as error:  # of a folder that cannot be made, or a full disk, the system's own words say it
        print_error(error)
        _exit(exit_code(error))
    except KeyboardInterrupt as interrupt:
        _print_interrupt(interrupt)
        _exit(_INTERRUPTED)
    except MemoryError:
        print("squarely: error: There is not enough memory for this. Give fewer rows or columns.", file=sys.stderr)
        _exit(exit_code(InputError()))
    except Exception as error:
        _print_internal_error(error)
        _exit(_FAULT)
    except SystemExit as end:
        if end.code in (_INTERRUPTED, _TERMINATED):  # typer makes the first of a KeyboardInterrupt, without a word
            _print_interrupt(end)
        _exit(end.code)


def _print_internal_error(error: Exception) -> None:
    """Say in one line that squarely itself is at fault, and where."""
    import traceback
    from importlib.metadata import version

    from squarely.show import escape_controls

    if os.environ.get("SQUARELY_TRACEBACK") == "1":
        traceback.print_exception(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if f"{os.sep}squarely{os.sep}" in frame.filename]
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    said = escape_controls(" ".join(str(error).split()))[:_LONGEST]
    print(
        f"squarely: internal error: {type(error).__name__}{where}: {said}. This is a fault of squarely {version('squarely')}: "
        "please report it, with what SQUARELY_TRACEBACK=1 prints.",
        file=sys.stderr,
    )


def process_count() -> int:
    """Tell how many processes torchrun has started."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def is_first_process() -> bool:
    """Tell whether this process is the one that prints."""
    return process_count() == 1 or int(os.environ["RANK"]) == 0


def _resend_interrupt(lost: sys.UnraisableHookArgs) -> None:
    """Interrupt once more where Ctrl-C came during a finaliser, out of which Python raises nothing; every import has some."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        threading.Timer(_SOON, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(lost)


@contextmanager
def _silenced() -> Iterator[None]:
    """Print nothing: the first process says the same."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _print_interrupt(end: BaseException | None) -> None:
    """Say in one line that a command was interrupted, and what the interrupt itself has to say."""
    if not is_first_process():
        return
    while end is not None and not (isinstance(end, KeyboardInterrupt) and end.args):
        end = end.__cause__ or end.__context__
    said = "interrupted"
    if end is not None:
        from squarely.show import escape_controls

        said = escape_controls(end)
    print(f"squarely: {said}", file=sys.stderr)


def exit_code(error: Exception) -> int:
    """Give the exit code of an error."""
    return 1 if isinstance(error, NumericalError) else 3 if isinstance(error, ProcessError) else 2


def print_error(error: Exception) -> None:
    """Say an error in one message; of several processes the first one says what all have met."""
    from squarely.show import escape_controls

    if isinstance(error, SquarelyError) and not error.local_only and not is_first_process():
        return
    said = "\n".join(escape_controls(line) for line in str(error).split("\n"))  # carets stand in lines of their own
    print(f"squarely: error: {said}", file=sys.stderr)


@contextmanager
def print_warnings() -> Iterator[None]:
    """Say each warning in one line, after the work that it came from."""
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in met:
        from squarely.show import escape_controls

        print(f"squarely: warning: {escape_controls(warning.message)}", file=sys.stderr)


def _exit(code: Any) -> NoReturn:
    """Exit; torchrun ends all processes as soon as one has failed, so the first gets the time to say why."""
    if code and not is_first_process():
        time.sleep(_PAUSE)
    sys.exit(code)
