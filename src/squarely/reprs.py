"""What an object shows of itself: a short representation, and the names that a user needs in `dir` and `help`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from dataclasses import MISSING, fields
from inspect import Signature
from typing import Any

import numpy as np

_MAX_LENGTH = 60  # of one value

# The signature of a class that only functions make: `help` then does not begin with parameters that users never pass.
NO_SIGNATURE = Signature()

_PLAIN = (bool, int, str, type(None))


def short_repr(self: Any) -> str:
    """Represent a dataclass by its fields: arrays by their shape, long collections by their length, other objects by their type.

    Fields that have their default values are left out. A class takes it as its `__repr__`.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Line:
    ...     __repr__ = short_repr
    ...     slopes: np.ndarray
    ...     level: float = 0.0
    ...     name: str = ""
    >>> Line(np.zeros((1000, 2)), 1 / 3)
    Line(slopes=array[1000, 2], level=0.333333)
    """
    shown = [(field.name, getattr(self, field.name)) for field in fields(self) if not _is_default(self, field)]
    return f"{type(self).__name__}({', '.join(f'{name}={_shorten(value)}' for name, value in shown)})"


def _is_default(owner: Any, field: Any) -> bool:
    value = getattr(owner, field.name)
    default = field.default if field.default_factory is MISSING else field.default_factory()
    if type(value) is not type(default):
        return False
    if isinstance(value, tuple | dict):  # may hold arrays
        return not value and not default
    return isinstance(value, (float, *_PLAIN)) and bool(value == default)


def _shorten(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array[{', '.join(map(str, value.shape))}]"
    if isinstance(value, float | np.floating):
        return f"{float(value):.6g}"
    if isinstance(value, _PLAIN):
        return _cut(repr(value))
    if isinstance(value, tuple | list | set | frozenset | Mapping):
        return _shorten_collection(value)
    text = repr(value)
    is_short = len(text) <= _MAX_LENGTH and "\n" not in text and " at 0x" not in text
    return text if is_short else f"<{type(value).__name__}>"


def _shorten_collection(value: Any) -> str:
    parts: list[str] = []
    if isinstance(value, Mapping):
        parts = [f"{key!r}: {_shorten(item)}" for key, item in list(value.items())[:4]]
    elif isinstance(value, tuple | list):
        parts = [_shorten(item) for item in value[:4]]
    text = ", ".join(parts)
    opening, closing = "[]" if isinstance(value, list) else "{}" if isinstance(value, Mapping | set | frozenset) else "()"
    if not isinstance(value, Sized) or not len(value):
        return opening + closing
    if isinstance(value, tuple) and len(value) == 1:
        text += ","
    is_whole = len(parts) == len(value) and len(text) <= _MAX_LENGTH
    return f"{opening}{text}{closing}" if is_whole else f"{opening}{len(value):,} {'item' if len(value) == 1 else 'items'}{closing}"


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 4]}...{text[-1]}"


def public_dir(*hidden: str) -> Callable[[Any], list[str]]:
    """Return a `__dir__` without private names, and without those public names that a user does not need.

    >>> class Page:
    ...     __dir__ = public_dir("internal")
    ...     title, internal, _private = "", "", ""
    >>> [name for name in dir(Page()) if not name.startswith("__")]
    ['title']
    """

    def names(self: Any) -> list[str]:
        every = object.__dir__(self)
        return [name for name in every if name not in hidden and (not name.startswith("_") or name.startswith("__"))]

    return names
