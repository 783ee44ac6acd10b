"""How commands show their usage and errors: help with groups of options, for any width, and one style of errors."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from squarely.errors import SYNONYMS, OptionError

_UsageError: Any = typer.BadParameter.__base__  # typer has no public name for it
_MAX_WIDTH = 120  # columns of the help


class Command(TyperCommand):
    """A command whose usage names its arguments plainly, and whose help has groups of options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _plain_errors(ctx):
            return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [re.sub("[{}]", "", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and then the options by their groups."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                is_argument = param.param_type_name == "argument"
                title = "Arguments" if is_argument else getattr(param, "rich_help_panel", None) or "Options"
                groups.setdefault(title, []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records, col_max=34)


class CommandGroup(TyperGroup):
    """The commands; a wrong usage is an OptionError, which `exit` prints as it prints all errors."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _plain_errors(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with _plain_errors(ctx):
            return super().invoke(ctx)


def context_settings() -> dict[str, Any]:
    """Return the settings that all commands share."""
    return {"help_option_names": ["-h", "--help"], "max_content_width": _MAX_WIDTH}


@contextmanager
def _plain_errors(context: Any) -> Iterator[None]:
    """Raise an OptionError for a wrong usage: what is wrong, the usage of the command, and an example."""
    try:
        yield
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        command, name = context.command, context.command_path
        usage = f"Usage: {name} {' '.join(command.collect_usage_pieces(context))}"
        raise OptionError(
            "\n".join([_describe_cause(error, context), usage, command.epilog or f"Show all commands: {name} --help"])
        ) from error


def _describe_cause(error: Any, context: Any) -> str:
    param = getattr(error, "param", None)
    kind = type(error).__name__
    if kind == "MissingParameter" and param is not None:
        return f"{param.display_name_raw} is missing."
    if kind == "NoSuchOption":
        options = [flag for each in context.command.params for flag in (*each.opts, *each.secondary_opts) if flag.startswith("--")]
        known = SYNONYMS.get(error.option_name.removeprefix("--").replace("-", "_"))
        word = error.option_name if known is None else f"--{known.replace('_', '-')}"
        return f"There is no option {error.option_name}. {_suggest(word, options, '--help lists the options.')}"
    if kind == "UsageError" and error.message.startswith("No such command"):
        word = error.message.split("'")[1]
        return f"There is no command {word!r}. {_suggest(word, list(context.command.commands), '--help lists the commands.')}"
    if extra := re.fullmatch(r"Got unexpected extra argument\S* \((.*)\)", error.message):
        return f"This is too much: {extra[1]}. Put a formula into quotes, and give one file, folder or pattern."
    if param is not None:
        return f"{max(param.opts, key=len)}: {error.message}"
    return str(error.format_message())


def _suggest(word: str, choices: list[str], otherwise: str) -> str:
    near = difflib.get_close_matches(word, choices, n=1)
    return f"Did you mean {near[0]}?" if near else otherwise
