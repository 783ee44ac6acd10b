"""Linear regression by two independent methods: exact least squares with full inference, and gradient descent in PyTorch.

`ols` fits, `preview` shows the first rows of data or what a fit costs, `load` reads a saved fit or run, `merge` combines fits, and
`anova` tests their terms. `train` and `sweep` train. `certify` measures how far apart the two answers are and explains why.
`progress` shows how many rows are read so far. Everything is loaded on first use, so importing squarely is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from squarely._version import __version__

if TYPE_CHECKING:
    from squarely import datasets, errors
    from squarely.api import anova, anova_lm, expanding, load, merge, ols, plot_coefficients, preview, rolling, sweep, train
    from squarely.api.both_methods import certify
    from squarely.api.progress_bar import progress
    from squarely.api.regression_table import table
    from squarely.certification import Certificate
    from squarely.descent import Sweep, Training
    from squarely.inference import DataPreview, Fit, Fits, Preview, WindowFits

__all__ = [
    "Certificate",
    "DataPreview",
    "Fit",
    "Fits",
    "Preview",
    "Sweep",
    "Training",
    "WindowFits",
    "__version__",
    "anova",
    "anova_lm",
    "certify",
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
    "certify": "squarely.api.both_methods",
    "progress": "squarely.api.progress_bar",
    "table": "squarely.api.regression_table",
}


def __getattr__(name: str) -> Any:
    if name in {"datasets", "errors"}:
        return importlib.import_module(f"squarely.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'squarely' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
