"""Read a saved run field by field, each with a check of its type and shape. Nothing in the file is run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from squarely import theory
from squarely.data import DetachedSource
from squarely.descent.checkpoint.format import checkpoints_in, position_of
from squarely.descent.checkpoint.serialize import from_plain
from squarely.descent.loop.result import NOT_MEASURED, History, LoopResult, StopReason
from squarely.descent.options.compatibility import check_without_torch
from squarely.descent.options.options import ParameterGroup, TrainingOptions
from squarely.descent.results.convergence import FAILED
from squarely.descent.results.optimum import with_prediction
from squarely.descent.results.serialize import FORMAT, RUN_FILE, RUN_KEY, SavedTexts
from squarely.descent.results.training import Training
from squarely.descent.run_theory.limits import RunTheory
from squarely.errors import DataError
from squarely.moments import account_from_json, identity_scaling, moments_from_json, standardize_moments
from squarely.numerics import Array
from squarely.storage.disk import read_text
from squarely.storage.json_fields import (
    as_bool,
    as_choice,
    as_int,
    as_number,
    as_numbers,
    as_optional,
    as_text,
    as_texts,
    read_fields,
    read_saved,
)

if TYPE_CHECKING:
    from squarely.types import Status

_STATUSES = ("finished", "stopped", "diverged", "not finite")
_MAX_EPOCHS = 10**7  # of a log


def load_run(path: Path, text: str | None = None) -> Training:
    """Read a saved run from a file, or from a folder of checkpoints whose run has ended; `text` is that of the file, if known.

    Raises
    ------
    DataError : there is no saved run, or its file is damaged.
    """
    file = path / RUN_FILE if path.is_dir() else path
    checkpoints = checkpoints_in(path) if path.is_dir() else []
    newest = position_of(checkpoints[0]) if checkpoints else None
    resume = f"Continue it with resume={str(path)!r}."
    if newest is not None and not file.is_file():
        raise DataError(f"The folder {str(path)!r} has checkpoints of a run that has not ended. {resume}")
    if path.is_dir() and not file.is_file():
        raise DataError(f"The folder {str(path)!r} has no saved run. Save one with run.save({str(path)!r}).")
    text, label = read_text(file) if text is None else text, str(file)
    run = read_saved(text, label, "run", (RUN_KEY, [FORMAT]), lambda document: _read_document(document, label))
    if newest is not None and newest > (len(run.result.losses) - 1, 0):
        raise DataError(f"The run in {str(path)!r} has gone on after it was saved, and has not ended. {resume}")
    return run


def _read_document(document: Mapping[str, Any], label: str) -> Training:
    moments, source = moments_from_json(document, label)
    source = DetachedSource(source.label, source.columns, source.notes, label, is_redrawn=as_bool(document["redrawn"]))
    options = _read_options(document["options"], document["groups"])
    problem = standardize_moments(moments) if options.standardize else identity_scaling(moments)
    p = len(problem.names)
    result = _read_result(document, options, p, len(problem.scale) - 1, intercept=problem.intercept)
    run = Training(
        options=options,
        result=result,
        problem=problem,
        moments=moments,
        source=source,
        theory=_read_theory(document["theory"], theory.decompose_hessian(problem.H), p),
        remarks=as_texts(document["run_remarks"]),
        is_plain=as_bool(document["plain"]),
        has_user_model=as_bool(document["own_model"]),
        validation_rows=as_optional(document["validation_rows"], account_from_json),
        saved=read_fields(SavedTexts, document["texts"]),
    )
    optimum = as_optional(document["optimum"], lambda values: _as_finite(values, p))
    return run if optimum is None else with_prediction(run, optimum)


def _read_options(written: Mapping[str, Any], groups: Any) -> TrainingOptions:
    """Check the options as those of a new run; a closed form needs no PyTorch for it."""
    values = {as_text(name): from_plain(value, {}, "cpu") for name, value in written.items()}
    if {*values} != {*TrainingOptions.names()} - {"callbacks"}:
        raise ValueError("its options are not those of a run.")
    valid: dict[str, Any] = {"device": "cpu"}
    if values["engine"] == "closed_form":
        checked = check_without_torch(TrainingOptions(**{**values, **valid}))
    else:
        from squarely.descent.results.torch_objects import check_saved  # here, because PyTorch takes a second to import

        checked, valid = check_saved(values, valid)
    if checked.lr == "auto":
        raise ValueError("its learning rate is not a number.")
    saved: dict[str, Any] = {
        "device": as_text(values["device"]),
        "optimizer": as_text(values["optimizer"]),
        "scheduler": as_optional(values["scheduler"], as_text),
    }
    if "optimizer" in valid:
        saved |= {"lr": as_number(values["lr"]), "momentum": as_number(values["momentum"]), "nesterov": as_bool(values["nesterov"])}
        saved["weight_decay"] = as_optional(values["weight_decay"], as_number)
    parameter_groups = tuple(read_fields(ParameterGroup, group) for group in groups)
    if not all(math.isfinite(group.momentum or 0.0) for group in parameter_groups):
        raise ValueError("the momentum of a group is not finite.")
    return replace(checked, **saved, parameter_groups=parameter_groups)


def _read_result(document: Mapping[str, Any], options: TrainingOptions, p: int, features: int, *, intercept: bool) -> LoopResult:
    log, saved, average = document["log"], document["ended"], document["average"]
    columns = {as_text(name): as_numbers(values, (len(values),)).tolist() for name, values in log["columns"].items()}
    logged = len(columns["loss"])
    if not 0 < logged <= _MAX_EPOCHS or any(
        len(values) > logged or (name not in NOT_MEASURED and len(values) != logged) for name, values in columns.items()
    ):
        raise ValueError("its log is not that of its epochs.")
    measured = {name for name in columns if name not in NOT_MEASURED}
    metrics = {*options.metrics, *((f"val_{name}" for name in options.metrics) if "val_loss" in columns else ())}
    if not metrics <= measured or (average is not None and {*average} != measured):
        raise ValueError("its log or its average lacks a metric.")
    restored = as_optional(saved["restored"], as_int)
    status = cast("Status", as_choice(saved["status"], _STATUSES))
    ended = StopReason(status, as_text(saved["reason"]), restored, as_bool(saved["asked"]))
    if logged - 1 > options.epochs or (ended.status == "finished" and logged - 1 != options.epochs):
        raise ValueError(f"its log has {logged - 1} epochs, and {options.epochs} are its option.")
    if restored is not None and restored >= logged:
        raise ValueError(f"epoch {restored} is not in its log.")
    start = _as_finite(document["start"], p)
    end = as_numbers(document["end"], (p,)) if ended.status in FAILED else _as_finite(document["end"], p)
    model, optimizer = None, None
    if options.engine != "closed_form":
        from squarely.descent.results.torch_objects import make_objects  # here, because PyTorch takes a second to import

        model, optimizer = make_objects(options, features, end, bias=intercept)
    return LoopResult(
        model=model,
        optimizer=optimizer,
        losses=np.array(columns["loss"]),
        history=History(
            columns=columns,
            best_loss=as_number(log["best"]),
            best_epoch=as_int(log["best_epoch"]),
            epochs_without_gain=as_int(log["waited"]),
        ),
        start=start,
        end=end,
        stop_reason=ended,
        average_metrics=None if average is None else {as_text(name): as_number(value) for name, value in average.items()},
        last_iterate=as_optional(document["last_iterate"], lambda values: as_numbers(values, (p,))),
    )


def _read_theory(written: Mapping[str, Any], lam: theory.Spectrum, p: int) -> RunTheory:
    noise = as_optional(written["noise"], lambda saved: _read_noise(saved, p))
    batches = as_optional(written["batches"], _read_batches)
    run_theory = read_fields(RunTheory, written, spectrum=lam, kappa=lam.kappa, noise=noise, batches=batches)
    has_limit = run_theory.lr_limit is not None and noise is not None and batches is not None and 0.0 <= batches.momentum < 1.0
    if run_theory.floor_se and not has_limit:
        raise ValueError("its theory of batches lacks a part, or their momentum is not in [0, 1).")
    return run_theory


def _read_batches(written: Mapping[str, Any]) -> theory.Batches:
    batches = read_fields(theory.Batches, written, sampling=as_choice(written["sampling"], ("reshuffled", "with replacement")))
    if not batches.batch_size:
        raise ValueError("its batches are empty.")
    return batches


def _read_noise(written: Mapping[str, Any], p: int) -> theory.Noise:
    m, d = len(written["values"]), len(written["gradient"])
    a, b = (np.array([as_int(i) for i in part], dtype=int) for part in written["pairs"])
    if not 0 < m <= p or a.shape != (d,) or b.shape != (d,) or max(a.max(initial=0), b.max(initial=0)) >= m:
        raise ValueError("its noise is not that of its columns.")
    arrays: dict[str, Array] = {
        "values": as_numbers(written["values"], (m,)),
        "gradient": as_numbers(written["gradient"], (d,)),
        "skew": as_numbers(written["skew"], (d, m)),
        "square": as_numbers(written["square"], (d, d)),
    }
    if not all(np.isfinite(values).all() for values in arrays.values()) or not as_int(written["n"]):
        raise ValueError("its noise is not finite.")
    if not arrays["values"][0] > 0.0 or np.any(np.diff(arrays["values"]) < 0):
        raise ValueError("the eigenvalues of its noise are not positive and ascending.")
    return read_fields(theory.Noise, written, pairs=(a, b), **arrays)


def _as_finite(values: Any, p: int) -> Array:
    numbers = as_numbers(values, (p,))
    if not np.isfinite(numbers).all():
        raise ValueError("its coefficients are not finite.")
    return numbers
