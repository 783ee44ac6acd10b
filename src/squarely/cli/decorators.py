"""Decorators of commands: a progress bar, and several processes under torchrun."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import typer

import squarely
from squarely.cli.exit import exit_code, print_error, process_count
from squarely.errors import ConvergenceWarning, SquarelyError


def under_torchrun(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command that several processes, started by torchrun, run together."""

    @wraps(command)
    def run(**arguments: Any) -> None:
        if process_count() == 1:
            return command(**arguments)
        from squarely.descent import current_group, init_from_torchrun

        with init_from_torchrun(arguments["device"]):
            try:
                return command(**arguments)
            except SquarelyError as error:
                if error.local_only:
                    raise
                print_error(error)
                current_group().barrier()  # torchrun ends the first process, printed or not, once another has ended
                raise typer.Exit(exit_code(error)) from error

    return run


@contextmanager
def with_progress() -> Iterator[None]:
    """Show a progress bar; `squarely.progress` is imported when the command runs, so that `--help` is fast."""
    with warnings.catch_warnings(), squarely.progress():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the page says it
        yield
