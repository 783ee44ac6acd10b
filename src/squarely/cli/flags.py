"""Write the options in a message as flags: `lr=0.1` of Python is `--lr 0.1` on the command line."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import typer
from typer.main import get_command

from squarely.show import Page

_APP: ContextVar[typer.Typer | None] = ContextVar("app", default=None)
_RENAMED = {
    "checkpoint": "save",
    "k": "top",
    "kind": "plot_kind",
    "fixtures": "fixture",
}  # arguments that have another name on the command line
_TEXT = r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\""
_NUMBER = r"-?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d)\.0)?(?<=\d)(?:e[-+]?\d+)?|-?inf|nan"
_ELSEWHERE = r"(?:feols|vcov\w+|vce|newey|NeweyWest)\([^()]*\)"  # calls of R and Stata, which have options of the same names
_OPTION = re.compile(
    rf"(?<!\w)(?:{_TEXT}|{_ELSEWHERE})|(?<![\w.\-])(?P<name>[a-z]\w*)=(?P<value>{_TEXT}|{_NUMBER}|True|False|None|\[[^\[\]\n]*\]|\{{[^{{}}\n]*\}})?"
    r"(?![\w=<>(\[{])"
)


def use_flags_of(app: typer.Typer) -> None:
    """Take the flags of this command line from now on."""
    _APP.set(app)


def to_flags(text: str) -> str:
    """Return a message with its options as flags. Quoted texts and the lines below the first, which draw a caret, stay."""
    app = _APP.get()
    if app is None or "=" not in text:
        return text
    first, *lines = text.split("\n")
    flags = _list_flags(app)
    return "\n".join([_OPTION.sub(lambda match: _to_flag(match, flags), first), *lines])


def page_with_flags(page: Page) -> Page:
    """Return a page with the options in its sentences as flags."""
    lead, footer, notes = ([to_flags(line) for line in lines] for lines in (page.lead, page.footer, page.notes))
    return replace(page, lead=lead, footer=footer, notes=notes)


def _list_flags(app: typer.Typer) -> dict[str, Any]:
    """Return the options of all commands by the names of their arguments in Python."""
    commands: Mapping[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    options = {param.name: param for command in commands.values() for param in command.params if param.param_type_name == "option"}
    return options | {name: options[flag] for name, flag in _RENAMED.items() if flag in options}


def _to_flag(match: re.Match[str], flags: Mapping[str, Any]) -> str:
    name, text = match["name"], match["value"]
    if name is None or (name != "read" and name not in flags):
        return match[0]
    value = _read(text or "None")
    if name != "read":
        return _write(name, flags[name], value)
    return " ".join(_write(each, flags.get(each), v) for each, v in value.items()) if isinstance(value, dict) else match[0]


def _read(text: str) -> Any:
    """Return the value of a literal; a number stays text without separators, so that its digits do not change."""
    with suppress(ValueError, SyntaxError):
        return text.replace(",", "") if text[0] in "-.0123456789" else ast.literal_eval(text)
    return text


def _write(name: str, option: Any, value: Any) -> str:
    """Write a flag with its value; `option` is None for one that this command line does not have."""
    flag = f"--{name.replace('_', '-')}" if option is None else max(option.opts, key=len)
    if value is False and (option is None or option.is_flag):
        return option.secondary_opts[0] if option is not None and option.secondary_opts else f"no {flag}"
    if value is None or (value is True and (option is None or option.is_flag)):
        return flag
    if isinstance(value, dict):
        values = {key: ",".join(map(str, each)) if isinstance(each, list) else each for key, each in value.items()}
        values = {key: "..." if each is ... else each for key, each in values.items()}
        return " ".join(f"{flag} {_quote(f'{key}={text}')}" for key, text in values.items())
    if isinstance(value, list | tuple):
        words = [f'"{each}"' if "," in str(each) else str(each) for each in value]
        if len(value) == 1 and isinstance(value[0], int):
            return f"{flag} '{value[0]},'"  # a list of lines, where 2 is their number
        texts = words if option is not None and option.multiple else [",".join(words)]
        return " ".join(f"{flag} {_quote(each)}" for each in texts)
    return f"{flag} {_quote(str(value).lower() if isinstance(value, bool) else str(value))}"


def _quote(text: str) -> str:
    """Quote a text for the shell, in double quotes if single ones in it would be hard to read."""
    return f'"{text}"' if "'" in text and not re.search(r'[\\"$`!]', text) else shlex.quote(text)
