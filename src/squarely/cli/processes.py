"""Run a command in several processes, started by torchrun."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from squarely.cli.exit import exit_code, print_error, process_count
from squarely.errors import SquarelyError


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
