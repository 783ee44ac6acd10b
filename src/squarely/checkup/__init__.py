"""A user's training loop against known answers: fixtures, a recorder, rules and findings; findings from printed losses alone.

`examine` needs PyTorch, and is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from squarely.checkup.findings import CONFIDENCES, Checkup, Finding, SourceLine
from squarely.checkup.losses.examine import examine_losses
from squarely.checkup.losses.minimum import Minimum, list_minima
from squarely.checkup.losses.report import LossCheckup
from squarely.checkup.losses.tables import read_losses
from squarely.checkup.mistakes.catalog import MISTAKES
from squarely.errors import MissingExtraError

if TYPE_CHECKING:
    from squarely.checkup.with_torch import *  # noqa: F403  # each name is listed once, there


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # Python asks for some, such as __path__
        raise AttributeError(f"module 'squarely.checkup' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module("squarely.checkup.with_torch"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError("A checkup", "PyTorch", "torch") from None
