"""Linear regression by two independent methods: exact least squares with full inference, and gradient descent in PyTorch.

`ols` fits, `preview` shows the first rows of data or what a fit costs, `load` reads a saved fit or run, `merge` combines fits, and
`anova` tests their terms. `train` and `sweep` train. `certify` measures how far apart the two answers are and explains why.
`checkup` names the mistakes in a training loop of yours,
`checkup_losses` those that its printed losses show. `progress` shows how many rows are read so far. Everything is loaded on first
use, so importing squarely is cheap.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from squarely._version import __version__

if TYPE_CHECKING:
    from squarely import datasets, errors, testing
    from squarely.api import anova, anova_lm, expanding, load, merge, ols, plot_coefficients, preview, rolling, sweep, train
    from squarely.api.both_methods import certify
    from squarely.api.printed_losses import checkup_losses
    from squarely.api.progress_bar import progress
    from squarely.api.regression_table import table
    from squarely.api.training_loops import checkup
    from squarely.certification import Certificate
    from squarely.checkup import Checkup, Finding, LossCheckup
    from squarely.descent import Sweep, Training
    from squarely.inference import DataPreview, Fit, Fits, Preview, WindowFits

__all__ = [
    "Certificate",
    "Checkup",
    "DataPreview",
    "Finding",
    "Fit",
    "Fits",
    "LossCheckup",
    "Preview",
    "Sweep",
    "Training",
    "WindowFits",
    "__version__",
    "anova",
    "anova_lm",
    "certify",
    "checkup",
    "checkup_losses",
    "datasets",
    "errors",
    "expanding",
    "load",
    "merge",
    "ols",
    "plot_coefficients",
    "preview",
    "progress",
    "rolling",
    "sweep",
    "table",
    "testing",
    "train",
]

_HOMES = {
    **dict.fromkeys(
        ("anova", "anova_lm", "expanding", "load", "merge", "ols", "plot_coefficients", "preview", "rolling", "sweep", "train"),
        "squarely.api",
    ),
    **dict.fromkeys(("Sweep", "Training"), "squarely.descent"),
    "Certificate": "squarely.certification",
    **dict.fromkeys(("DataPreview", "Fit", "Fits", "Preview", "WindowFits"), "squarely.inference"),
    **dict.fromkeys(("Checkup", "Finding", "LossCheckup"), "squarely.checkup"),
    "certify": "squarely.api.both_methods",
    "checkup_losses": "squarely.api.printed_losses",
    "checkup": "squarely.api.training_loops",
    "progress": "squarely.api.progress_bar",
    "table": "squarely.api.regression_table",
}


def __getattr__(name: str) -> Any:
    if name in {"datasets", "errors", "testing"}:
        return importlib.import_module(f"squarely.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'squarely' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _Root(ModuleType):
    """The type of this module. `squarely.checkup` stays the function when Python imports the package of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name == "checkup" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Root
