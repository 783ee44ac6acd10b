"""Write a finished run as a plain PyTorch script that reads like the tutorial and logs the losses of the run."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from textwrap import indent

from squarely.data import Source, SplitSource
from squarely.descent.batches.chunks import same_batches_each_epoch
from squarely.descent.codegen.columns import columns_code, is_exact
from squarely.descent.codegen.python_text import array_literal, dict_literal, literal, remark, statement
from squarely.descent.codegen.rows import column_uses, file_of, filter_code, read_code, widen_floats
from squarely.descent.codegen.split import held_out_code
from squarely.descent.codegen.template import SCRIPT, STEP, select_lines
from squarely.descent.codegen.torch_calls import optimizer_code
from squarely.descent.loop.result import DIVERGENCE_FACTOR, SINGLE_THREAD_CELLS, LoopResult
from squarely.descent.options.options import LOSS_NAMES, TrainingOptions
from squarely.design import Design, Spline
from squarely.errors import OptionError
from squarely.moments import StandardizedProblem

_METRICS = {
    "mse": "mse{square}",
    "rmse": "np.sqrt(mse){unit}",
    "mae": "residual.abs().mean().item(){unit}",
    "r2": "1.0 - mse / labels.double().var(correction=0).item()",
}
_WEIGHTED_METRICS = {
    **_METRICS,
    "mae": "((residual.abs() * weights).sum() / weights.sum()).item(){unit}",
    "r2": "1.0 - mse / variance.item()",
}
_LITERAL_OPTIONS = ("average", "batch_size", "clip_grad_norm", "delta", "device", "patience", "quantile", "seed")
_EXACT_AGREEMENT = "On the machine of the run, the losses equal those of the run to the last bit."
_ROUNDED_AGREEMENT = "The losses equal those of the run up to rounding: {}."
_STREAMED_AGREEMENT = "The losses differ from the run's by the order of the rows, which the run drew from a buffer."


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ScriptInput:
    """A finished run, as far as its script depends on it."""

    options: TrainingOptions
    result: LoopResult
    design: Design
    problem: StandardizedProblem
    source: Source
    validation: Source | None
    has_user_model: bool
    has_user_loader: bool


def write_script(run: ScriptInput, *, data: object = None) -> str:
    """Write a run as a script that reads the rows from the path `data`, or from where the run read them.

    Raises
    ------
    OptionError : `data` is not a path, or the run used an object that has no text.
    """
    _require_text(run)
    source = run.source.parent if isinstance(run.source, SplitSource) else run.source
    validation = run.validation if "val_loss" in run.result.history.columns else None
    design = widen_floats(run.design, source)
    uses = column_uses(design, source)
    file, comments = file_of(source, uses, _check_path(data))
    held_out = held_out_code(run.source, validation, uses, typed=file.typed)
    weighted = design.formula.weights is not None
    flags = _option_flags(run.options, weighted=weighted) | _run_flags(run) | {"held_out": bool(held_out)}
    values = _option_values(run.options, weighted=weighted) | _run_values(run, flags)
    values["rows"] = "\n".join([*comments, *read_code(file, uses), *held_out, *filter_code(design, uses)])
    values["columns"] = "\n".join(columns_code(design, uses.fields)).strip("\n")
    step = Template(select_lines(STEP, flags)).substitute(values)
    values["step"] = indent(step, " " * (8 if flags["batches"] else 4))
    return Template(select_lines(SCRIPT, flags)).substitute(values) + "\n"


def _check_path(data: object) -> str | None:
    if data is None:
        return None
    if not isinstance(data, str | bytes | os.PathLike):
        raise OptionError(f"data={data!r} is of type {type(data).__name__}, not a path. Give the path that the script is to read.")
    path = os.fsdecode(data)
    if path.lower().endswith(".arrows"):
        raise OptionError(f"data={path!r} is an Arrow stream, which pandas cannot read. Give a file, such as data.arrow.")
    return path


def _require_text(run: ScriptInput) -> None:
    for name, is_given in (("model", run.has_user_model), ("loader", run.has_user_loader)):
        if is_given:
            raise OptionError(
                f"{name}= is a Python object of your own, which cannot be written into a script. Call code() on a run from a "
                "formula and data, or from X= and y=."
            )


def _option_flags(options: TrainingOptions, *, weighted: bool) -> dict[str, bool]:
    """Return the flags of the script that follow from the options."""
    batches, lbfgs, metrics = not options.is_full_batch, options.optimizer == "lbfgs", set(options.metrics)
    by_batch = batches and options.scheduler_per == "batch"
    return {
        **{name: name == options.loss for name in LOSS_NAMES},
        "average": options.average is not None,
        "average_later": bool(options.average),
        "batches": batches,
        "by_batch": options.scheduler is not None and by_batch,
        "by_epoch": options.scheduler is not None and not by_batch,
        "callbacks": bool(options.callbacks),
        "clips": options.clip_grad_norm is not None,
        "functions": options.loss == "quantile" or lbfgs or bool(metrics) or weighted,
        "lbfgs": lbfgs,
        "measures_mse": not metrics <= {"mae"},
        "measures_variance": "r2" in metrics and weighted,
        "measures_unit": options.standardize and not metrics <= {"r2"},
        "metrics": bool(metrics),
        "one_pass": not batches and not lbfgs,
        "patience": options.stop in ("loss", "validation"),
        "plateau": options.scheduler == "ReduceLROnPlateau",
        "replacement": options.replacement,
        "sgd": options.optimizer == "sgd",
        "shuffle": batches and options.shuffle,
        "standardize": options.standardize,
        "start": options.start is not None,
        "weighted": weighted,
    }


def _run_flags(run: ScriptInput) -> dict[str, bool]:
    """Return the flags of the script that follow from the course of the run."""
    not_finite = not math.isfinite(run.result.history.losses[-1])
    return {
        "copies": not_finite or run.options.stop in ("loss", "validation") or run.options.average is not None,
        "intercept": run.problem.intercept,
        "lost": not_finite and run.result.stop_reason.status == "not finite",
        "not_finite": not_finite,
        "one_thread": run.problem.n * len(run.design.columns) <= SINGLE_THREAD_CELLS,
        "splines": any(isinstance(basis, Spline) for basis in run.design.learned.bases.values()),
        "shortened": _count_epochs(run) != run.options.epochs,
        "validation": "val_loss" in run.result.history.columns,
    }


def _option_values(options: TrainingOptions, *, weighted: bool) -> dict[str, str]:
    """Return the values of the script that follow from the options."""
    unit, square = (" * unit", " * unit**2") if options.standardize else ("", "")
    texts = _WEIGHTED_METRICS if weighted else _METRICS
    metrics = {name: texts[name].format(unit=unit, square=square) for name in options.metrics}
    arguments = {
        "row_weights": ", row_weights",
        "val_weights": ", val_weights",
        "batch_weights": ", batch_weights",
        "split_weights": ", row_weights.split(batch_size)",
        "split_ordered_weights": ", row_weights[order].split(batch_size)",
        "weights": ", weights",
    }
    return {
        **{name: text if weighted else "" for name, text in arguments.items()},
        **{name: literal(getattr(options, name)) for name in _LITERAL_OPTIONS},
        "divergence_factor": f"{DIVERGENCE_FACTOR:.0e}".replace("e+", "e"),
        "dtype": options.dtype,
        "lr": literal(options.rate),
        "measured": statement("return ", dict_literal(metrics), indent=4),
        "min_delta": f" - {literal(options.min_delta)}" if options.min_delta else "",
        "optimizer": "\n".join(optimizer_code(options)),
        "order_seed": str(options.seed % 2**64),
        "watched": "losses" if options.stop == "loss" else "val_losses",
    }


def _run_values(run: ScriptInput, flags: Mapping[str, bool]) -> dict[str, str]:
    """Return the values of the script that follow from the course and the data of the run."""
    problem, epochs, start = run.problem, _count_epochs(run), run.options.start or ()
    arrays = {name: array_literal(getattr(problem, name).tolist()) for name in ("center", "offset", "scale")}
    is_near = run.result.stop_reason.reason.endswith(f"(stop={run.options.stop!r}).")
    near = f"it was near enough to the optimum for stop={literal(run.options.stop)}"
    cause = near if is_near else "a callback asked for it"
    return {
        **{name: statement(f"{name} = ", array) for name, array in arrays.items()},
        "agreement": _describe_agreement(run),
        "epochs": str(epochs),
        "failure": "lost" if flags["lost"] else "diverged",
        "failure_text": "not finite" if flags["lost"] else "diverged",
        "features": str(len(run.design.columns)),
        "formula": remark(run.design.formula.text),
        "mean_weight": literal(problem.mean_weight),
        "n": str(problem.n),
        "shortened": f"The run ended at epoch {epochs} of {run.options.epochs}: {cause}.",
        "start_bias": literal(start[0]) if start else "",
        "start_weight": literal(start[1:] if problem.intercept else start),
        "training_rows": "~held_out" if flags["held_out"] else ":",
    }


def _count_epochs(run: ScriptInput) -> int:
    """Count the epochs of the script: fewer than the options ask for if the run ended for a reason that the script leaves out."""
    options, history = run.options, run.result.history
    ran_out = options.stop in ("loss", "validation") and history.epochs_without_gain >= options.patience
    return len(history.losses) - 1 if run.result.stop_reason.status == "stopped" and not ran_out else options.epochs


def _describe_agreement(run: ScriptInput) -> str:
    """Describe how well the losses of the script agree with those of the run."""
    options = run.options
    if options.engine != "rows":
        return _ROUNDED_AGREEMENT.format(f"the run used cross-products (engine={literal(options.engine)})")
    if options.stream:
        in_order = options.is_full_batch or not options.shuffle
        return _ROUNDED_AGREEMENT.format("the run summed parts of the rows as it read them") if in_order else _STREAMED_AGREEMENT
    if options.gradient == "closed":
        return _ROUNDED_AGREEMENT.format("the run used the gradient in closed form")
    if not is_exact(run.design):
        return _ROUNDED_AGREEMENT.format("some columns may differ in the last digit")
    if not same_batches_each_epoch(options, run.problem.n, len(run.design.columns)):
        return _ROUNDED_AGREEMENT.format("the batches of the run had other positions in memory")
    return _EXACT_AGREEMENT
