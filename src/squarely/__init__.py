"""Linear regression by two independent roads: exact least squares with full inference, and gradient descent in PyTorch.

`ols` fits, `preview` says what that costs, `load` reads a saved fit, `merge` puts fits together, `train` and `sweep` train,
`certify` says how far apart the two answers are and why; `progress` shows how far the rows are read.
Everything is loaded when it is first used: importing squarely costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from squarely import datasets, errors
    from squarely.api import certify, load, merge, ols, preview, sweep, train
    from squarely.certification import Certificate
    from squarely.descent import Sweep, Training
    from squarely.inference import Fit, Preview
    from squarely.watching import progress

__version__ = "0.1.0"
__all__ = [
    "Certificate",
    "Fit",
    "Preview",
    "Sweep",
    "Training",
    "__version__",
    "certify",
    "datasets",
    "errors",
    "load",
    "merge",
    "ols",
    "preview",
    "progress",
    "sweep",
    "train",
]

_HOMES = {
    **dict.fromkeys(("certify", "load", "merge", "ols", "preview", "sweep", "train"), "squarely.api"),
    **dict.fromkeys(("Sweep", "Training"), "squarely.descent"),
    "Certificate": "squarely.certification",
    **dict.fromkeys(("Fit", "Preview"), "squarely.inference"),
    "progress": "squarely.watching",
}


def __getattr__(name: str) -> Any:
    if name in {"datasets", "errors"}:
        return importlib.import_module(f"squarely.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'squarely' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
