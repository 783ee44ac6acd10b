"""The training loops of the tests of the checkup: broken ones with the key of their mistake, and right ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
LOOPS: list[TrainingLoop] = []


@dataclass(frozen=True, slots=True)
class TrainingLoop:
    """One loop: `target` is what `squarely.checkup` takes. `keys` holds the keys of which one must be found first or second;
    empty for a right loop. `fixtures` goes to `checkup(..., fixtures=)`."""

    target: Any
    keys: tuple[str, ...]
    fixtures: dict[str, Any]

    @property
    def name(self) -> str:
        name = getattr(self.target, "__qualname__", type(self.target).__qualname__)  # an instance has the name of its class
        return f"{self.target.__module__.rpartition('.')[2]}.{name}"


def broken(*keys: str, fixtures: dict[str, Any] | None = None) -> Callable[[T], T]:
    """Register a loop whose first or second finding must be one of `keys`. The decorated function or class is not changed."""
    return _register(keys, fixtures)


def right(*, fixtures: dict[str, Any] | None = None) -> Callable[[T], T]:
    """Register a loop that may have no finding above "possible"."""
    return _register((), fixtures)


def _register(keys: tuple[str, ...], fixtures: dict[str, Any] | None) -> Callable[[T], T]:
    def register(target: T) -> T:
        LOOPS.append(TrainingLoop(target, keys, fixtures or {}))
        return target

    return register
