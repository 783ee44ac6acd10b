"""`checkup`: what is right and wrong in a training loop of the user."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from squarely.checkup import Checkup
from squarely.errors import OptionError, read_float, short_traceback, show_value


@short_traceback
def checkup(train: Any, *, fixtures: Mapping[str, Any] | None = None, timeout: float = 60.0) -> Checkup:
    """Run a training loop on a linear problem whose right answer at every step is known, and name its mistakes.

    The loop gets what the names of its parameters ask for: `model`, `X`, `y`, `loader`, `optimizer`, `criterion`, `epochs` and
    others; `squarely help checkup` lists them. It runs in another process. Each gradient, update and reported loss is compared
    with the right one.

    Parameters
    ----------
    train : a function, a LightningModule, a skorch net, an object with `fit(X, y)`, or text: "package.module:function" or the path
        of a script.
    fixtures : values for parameters by name, which add to or replace those that a checkup makes.
    timeout : the seconds after which the loop is stopped.

    Returns
    -------
    Checkup : print it; `checkup.ok`, `checkup.findings` and `checkup.verified` are for programs.

    Raises
    ------
    OptionError : a parameter of the loop has a name that is not understood, or an option cannot be used.
    InputError : the loop cannot be found, or does not end in time.
    MissingExtraError : PyTorch is not installed.

    Examples
    --------
    >>> def train(model, X, y, criterion, optimizer, epochs):
    ...     for epoch in range(epochs):
    ...         loss = criterion(model(X), y)
    ...         loss.backward()
    ...         optimizer.step()
    >>> checkup(train).findings[0].key
    'no-zero-grad'
    """
    if fixtures is not None and not (isinstance(fixtures, Mapping) and all(isinstance(name, str) for name in fixtures)):
        raise OptionError(
            f"fixtures={show_value(fixtures)} is not a dict of values by the names of parameters. Write fixtures={{'lr': 0.05}}."
        )
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not (0 < read_float("timeout", timeout) < math.inf):
        raise OptionError(f"timeout={show_value(timeout)} is not a number of seconds above zero. Write timeout=60.")
    from squarely.checkup import examine  # here, because it imports PyTorch

    return examine(train, fixtures=dict(fixtures or {}), timeout=float(timeout))
