"""The numbers of a run as plain Python values, for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from squarely.descent.results.summary import torch_name

_PLAIN_OPTIONS = ("average", "stop", "engine", "gradient", "stream", "dtype", "seed", "device")


def to_plain_numbers(run: Any, history: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return every number of a run, a Training, whose module imports this one.

    An option has its name in `train`; "last_loss" is the loss of the final parameters.
    """
    options, theory, prediction = run.options, run.theory, run.prediction
    first = next(iter(options.parameter_groups), None)
    return {
        "formula": run.design.formula.text,
        "weights": run.design.formula.weights and run.design.formula.weights.text,
        "nobs": run.nobs,
        "params": dict(zip(run.problem.names, run.coefficients.tolist(), strict=True)),
        "status": run.status,
        "distance_se": run.distance_se,
        "lr": None if math.isnan(options.rate) else options.rate,
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "loss": options.loss,
        "optimizer": torch_name(options.optimizer),
        "momentum": options.momentum if first is None or first.momentum is None else first.momentum,
        "nesterov": options.nesterov,
        "weight_decay": options.weight_decay if first is None else first.weight_decay,
        "groups": [{**asdict(group), "lr": None if math.isnan(group.lr) else group.lr} for group in options.parameter_groups],
        "scheduler": None if options.scheduler is None else torch_name(options.scheduler),
        **{name: getattr(options, name) for name in _PLAIN_OPTIONS},
        "last_loss": run.result.final_values["loss"],
        "optimal_loss": run.optimal_loss,
        "start": run.result.start.tolist(),
        "theory": {
            **{name: getattr(theory, name) for name in ("lr_limit", "lr_best", "kappa", "rate")},
            "noise_floor": theory.floor,
            "noise_floor_se": theory.floor_se,
            "predicted_excess": None if prediction is None else prediction.visible_fraction(options.dtype),
            "form": None if prediction is None else prediction.form or "exact",
        },
        "notes": list(run.notes),
        "history": history,
        "rows": run.rows.as_dict(),
        "validation_rows": None if run.validation_rows is None else run.validation_rows.as_dict(),
        "rounded": dict(run.rows.rounded),
        "casts": dict(run.rows.casts),
    }
