"""Assertions for tests of training loops, for pytest and unittest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import squarely
from squarely.checkup import MISTAKES
from squarely.errors import OptionError, show_value, suggest_name

__all__ = ["assert_trains"]


def assert_trains(
    train: Any, *, allow: Collection[str] = (), fixtures: Mapping[str, Any] | None = None, timeout: float = 60.0
) -> None:
    """Assert that a training loop makes no mistake that `squarely.checkup` finds.

    Parameters
    ----------
    train, fixtures, timeout : as in `squarely.checkup`.
    allow : keys of mistakes that are intended, such as "not-shuffled".

    Raises
    ------
    AssertionError : a finding that is certain or likely is not in `allow`; its message is the page of the checkup.
    OptionError : `allow` has a key that no mistake has, or as in `squarely.checkup`.

    Examples
    --------
    >>> def train(model, X, y, criterion, optimizer, epochs):
    ...     for epoch in range(epochs):
    ...         optimizer.zero_grad()
    ...         criterion(model(X), y).backward()
    ...         optimizer.step()
    >>> assert_trains(train)
    """
    __tracebackhide__ = True  # pytest shows the line of the test, not this one
    if not isinstance(allow, Collection):
        raise OptionError(f"allow={show_value(allow)} is not a list of keys. Write allow=['not-shuffled'].")
    allowed = [allow] if isinstance(allow, str) else list(allow)
    for key in allowed:
        if key not in MISTAKES:
            raise OptionError(
                f"allow= has {show_value(key)}, which is not the key of a mistake. "
                f"{suggest_name(key, MISTAKES, 'squarely help mistakes-in-loops lists the keys.')}"
            )
    result = squarely.checkup(train, fixtures=fixtures, timeout=timeout)
    rest = replace(result, findings=tuple(finding for finding in result.findings if finding.key not in allowed))
    if not rest.ok:
        raise AssertionError(f"\n{rest.summary().as_text()}")
