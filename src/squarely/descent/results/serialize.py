"""Write a run as JSON: options, cross-products, log, coefficients and theory; no rows and nothing that is run when it is read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from squarely._version import __version__
from squarely.descent.checkpoint.serialize import describe_class, to_plain
from squarely.descent.options.options import TrainingOptions
from squarely.descent.results.summary import torch_name
from squarely.errors import DataError, OptionError, SquarelyError
from squarely.moments import MAX_SAVED_COLUMNS, account_to_json, moments_to_json
from squarely.storage.json_fields import to_json

FORMAT = 1
RUN_KEY = "squarely run"  # the first key of the file
RUN_FILE = "run.json"  # its name in a folder
_THEORY_FIELDS = ("lr_limit", "lr_best", "rate", "warnings", "floor", "floor_se", "is_floor_rough", "batches", "noise")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedTexts:
    """What needs the rows, as it was when the run was saved.

    Attributes
    ----------
    rows : the account of the rows in sentences.
    code : the script of the run, None if it has none; `why` says why.
    """

    rows: str
    code: str | None
    why: str = ""

    def require_code(self, data: str | os.PathLike[str] | None) -> str:
        """Return the script; an OptionError if there is none, or if it should read another file."""
        if self.code is None:
            raise OptionError(f"The run was saved without a script. {self.why}")
        if data is not None:
            raise OptionError("A loaded run has the script that it was saved with. Change the path in it instead of data=.")
        return self.code


def run_to_json(run: Any) -> str:
    """Return a run as strict JSON, with numbers that are not finite as text, unless it is too large to be read back.

    `run` is a Training, whose module imports this one.
    """
    columns, result, history = len(run.design.centers), run.result, run.result.history
    if columns > MAX_SAVED_COLUMNS:
        raise DataError(
            f"The run has {columns:,} columns, and a file holds the square of their number: at most {MAX_SAVED_COLUMNS:,} are "
            "saved. Group levels, or keep run.params instead."
        )
    ended = result.stop_reason
    document = {
        RUN_KEY: FORMAT,
        "versions": {"squarely": __version__, "torch": _torch_version(), "numpy": np.__version__},
        **moments_to_json(run.moments, run.source),
        "redrawn": run.source.is_redrawn,
        "options": _options_to_json(run.options),
        "groups": run.options.parameter_groups,
        "start": result.start,
        "end": result.end,
        "log": {
            "columns": history.columns,
            "best": history.best_loss,
            "best_epoch": history.best_epoch,
            "waited": history.epochs_without_gain,
        },
        "ended": {"status": ended.status, "reason": ended.reason, "restored": ended.restored_epoch, "asked": ended.is_requested},
        "average": result.average_metrics,
        "last_iterate": result.last_iterate,
        "optimum": run.optimum,
        "theory": {name: getattr(run.theory, name) for name in _THEORY_FIELDS},
        "run_remarks": run.remarks,
        "plain": run.is_plain,
        "own_model": run.has_user_model,
        "validation_rows": None if run.validation_rows is None else account_to_json(run.validation_rows),
        "texts": _describe_with_rows(run),
    }
    return json.dumps(to_json(document), allow_nan=False, separators=(",", ":"))


def _torch_version() -> str | None:
    """Return the version of PyTorch, which a closed form does not import; None if it is not installed."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


def _describe_with_rows(run: Any) -> SavedTexts:
    saved: SavedTexts | None = run.saved
    if saved is not None:
        return saved
    try:
        return SavedTexts(rows=run.describe_rows(), code=run.code())
    except SquarelyError as error:
        return SavedTexts(rows=run.describe_rows(), code=None, why=str(error))


def _options_to_json(options: TrainingOptions) -> dict[str, Any]:
    """Return the options as JSON values; objects of the user by their names, without callbacks."""
    values = {name: getattr(options, name) for name in TrainingOptions.names() if name != "callbacks"}
    values |= {name: None if values[name] is None else torch_name(values[name]) for name in ("optimizer", "scheduler")}
    return {name: _value_to_json(value) for name, value in values.items()}


def _value_to_json(value: Any) -> Any:
    tensors: dict[str, Any] = {}
    try:
        plain = to_plain(value, tensors, "option")
    except TypeError:
        return describe_class(value)
    return describe_class(value) if tensors else plain
