"""Write a finished run as a plain PyTorch script that reads like the tutorial and logs the losses of the run."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from string import Template

from squarely.data import Source
from squarely.descent.batches.in_memory import same_batches_each_epoch
from squarely.descent.batches.loader import LoaderSource
from squarely.descent.codegen.columns import columns_code, has_splines, is_exact
from squarely.descent.codegen.loop import ScriptPlan, loop_code, metrics_code, report_code
from squarely.descent.codegen.python_text import array_literal, literal, remark, statement
from squarely.descent.codegen.rows import column_uses, file_of, filter_code, read_code, widen_floats
from squarely.descent.codegen.split import split_of, validation_code
from squarely.descent.codegen.torch_calls import criterion_code, functions_code, optimizer_code
from squarely.descent.loop.training_loop import SINGLE_THREAD_CELLS, LoopResult
from squarely.descent.options.options import TrainingOptions
from squarely.design import Design
from squarely.errors import OptionError
from squarely.moments import StandardizedProblem

# The first two lines hold nothing of the user's, because Python looks there for the encoding of the file.
_SCRIPT = Template('''\
"""A linear regression trained in PyTorch, written by squarely. It runs without squarely."""

# Formula: $formula
# $agreement
${remarks}${imports}from torch import nn

$settings
device, dtype = $device, torch.$dtype

# The rows.
$rows

$columns
$count

$table

# The model, from $start.
$model
$functions
$loop

# The coefficients$units.
$params

$report
for name, value in params.items():
    print(f"{name!r}: {value:.8g}")
''')
_COUNT = """\
if len(y) != {n}:
    raise SystemExit(f"The run saw {n} complete rows, and here are {{len(y)}}: the data differ.")"""
_COUNT_SPLIT = """
# Rows where `held_out` is true are for validation.
held_out = held_out[rows.index]
if (~held_out).sum() != {n}:
    raise SystemExit(f"The run saw {n} rows, and here are {{(~held_out).sum()}}: the data differ.")"""
_STANDARDIZE_COMMENT = """\
# Standardize: {}
# The shift has two parts because together they keep more digits than their sum."""
_MEAN_AND_DEVIATION = "each column minus its mean, over its population standard deviation (divisor n)."
_ROOT_MEAN_SQUARE = "each column over its root mean square; without an intercept nothing is subtracted."
_ONE_THREAD = "torch.set_num_threads(1)  # with so few numbers, a second thread would only wait"
_INTERCEPT_CODE = """\
bias = model.bias.detach().double().cpu().numpy()
level = center[-1] + (offset[-1] + scale[-1] * bias[0] - slopes @ offset[:-1])
intercept = level - slopes @ center[:-1]
params = {"Intercept": float(intercept), **dict(zip(columns, slopes.tolist()))}"""
_PLAIN_INTERCEPT_CODE = """\
slopes = weight.tolist()
params = {"Intercept": model.bias.item(), **dict(zip(columns, slopes))}"""
_EXACT_AGREEMENT = "On the machine of the run, the losses equal those of the run to the last bit."
_ROUNDED_AGREEMENT = "The losses equal those of the run up to rounding: {}."
_STREAMED_AGREEMENT = "The losses differ from the run's by the order of the rows, which the run drew from a buffer."


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ScriptInput:
    """A finished run, as far as its script depends on it.

    Attributes
    ----------
    options, result : the options of the run, and what the loop returned.
    design, problem : the columns, and how they are standardized.
    source, validation : the rows to train on, and other rows to validate on, if there are any.
    has_user_model : whether the user gave the model.
    """

    options: TrainingOptions
    result: LoopResult
    design: Design
    problem: StandardizedProblem
    source: Source
    validation: Source | None
    has_user_model: bool


def write_script(run: ScriptInput, *, data: object = None) -> str:
    """Write a run as a script that reads the rows from the path `data`, or from where the run read them.

    Raises
    ------
    OptionError : `data` is not a path, or the run used an object that has no text.
    """
    options, problem = run.options, run.problem
    _require_text(run)
    plan = _plan_script(run)
    split = split_of(run.source, run.validation if plan.has_validation else None)
    design = widen_floats(run.design, split.source)
    uses = column_uses(design, split.source)
    file, comments = file_of(split.source, uses, _check_path(data))
    held_out = validation_code(split, uses, typed=file.typed)
    functions = [*functions_code(options), *metrics_code(plan)]
    return _SCRIPT.substitute(
        formula=remark(design.formula.text),
        agreement=_describe_agreement(run),
        remarks="".join(f"# {line}\n" for line in _describe_omissions(run, plan)),
        imports=_imports_code(plan, splines=has_splines(design)),
        settings="\n".join(_settings_code(plan)),
        rows="\n".join([*comments, *read_code(file, uses), *held_out, *filter_code(design, uses)]),
        columns="\n".join(columns_code(design, uses.fields)).strip("\n"),
        count=(_COUNT_SPLIT if split.has_validation else _COUNT).format(n=problem.n),
        table="\n".join(_table_code(plan, problem, split=split.has_validation)),
        dtype=options.dtype,
        device=literal(options.device),
        start="nn.Linear's random start" if options.start is None else "the given start",
        model="\n".join(_model_code(options, problem, features=len(design.columns))),
        functions="".join(f"\n\n{text}\n" for text in functions) + ("\n" if functions else ""),
        loop="\n".join(loop_code(plan)),
        units=", back in the units of the data" if options.standardize else "",
        params="\n".join(_params_code(options, problem)),
        report="\n".join(report_code(plan)),
    )


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
    for name, is_given in (("model", run.has_user_model), ("loader", isinstance(run.source, LoaderSource))):
        if is_given:
            raise OptionError(
                f"{name}= is a Python object of your own, which cannot be written into a script. Call code() on a run from a "
                "formula and data, or from X= and y=."
            )


def _plan_script(run: ScriptInput) -> ScriptPlan:
    options, history, reason = run.options, run.result.history, run.result.stop_reason
    has_patience = options.stop in ("loss", "validation")
    ran_out = has_patience and history.epochs_without_gain >= options.patience
    return ScriptPlan(
        options=options,
        epochs=len(history.losses) - 1 if reason.status == "stopped" and not ran_out else options.epochs,
        has_validation="val_loss" in history.columns,
        has_patience=has_patience,
        end="" if math.isfinite(history.losses[-1]) else reason.status,
    )


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


def _describe_omissions(run: ScriptInput, plan: ScriptPlan) -> list[str]:
    """Say why the script ends earlier than the options say, and that callbacks are left out."""
    options, lines = run.options, []
    if plan.epochs != options.epochs:
        is_near = run.result.stop_reason.reason.endswith(f"(stop={options.stop!r}).")
        why = f"it was near enough to the optimum for stop={literal(options.stop)}" if is_near else "a callback asked for it"
        lines.append(f"The run ended at epoch {plan.epochs} of {options.epochs}: {why}.")
    if options.callbacks:
        lines.append("The callbacks of the run are left out.")
    return lines


def _imports_code(plan: ScriptPlan, *, splines: bool) -> str:
    lines = ["from copy import deepcopy\n"] if plan.needs_copies else []
    lines += ["import numpy as np", "import pandas as pd", "import torch"]
    if splines:
        lines.append("from scipy.interpolate import BSpline")
    return "".join(f"{line}\n" for line in lines)


def _settings_code(plan: ScriptPlan) -> list[str]:
    options = plan.options
    lines = [f"lr, epochs = {literal(options.rate)}, {plan.epochs}"]
    if options.batch_size is not None:
        lines.append(f"batch_size = {options.batch_size}")
    if plan.has_patience:
        lines.append(f"patience = {options.patience}  # epochs without a lower loss")
    return lines


def _table_code(plan: ScriptPlan, problem: StandardizedProblem, *, split: bool) -> list[str]:
    """Write the statements that make the tensors."""
    if plan.options.standardize:
        lines = [_STANDARDIZE_COMMENT.format(_MEAN_AND_DEVIATION if problem.intercept else _ROOT_MEAN_SQUARE)]
        lines += [statement(f"{name} = ", array_literal(getattr(problem, name).tolist())) for name in ("center", "offset", "scale")]
        lines.append("table = ((np.column_stack([X, y]) - center) - offset) / scale")
    else:
        lines = ["# The columns as they are: nothing is standardized.", "table = np.column_stack([X, y])"]
    for kind, rows in [("", "~held_out" if split else ":"), ("val_", "held_out")][: 1 + plan.has_validation]:
        lines.append(f"{kind}inputs = torch.tensor(table[{rows}, :-1], dtype=dtype, device=device)")
        lines.append(f"{kind}labels = torch.tensor(table[{rows}, -1:], dtype=dtype, device=device)")
    return lines


def _model_code(options: TrainingOptions, problem: StandardizedProblem, *, features: int) -> list[str]:
    bias = "" if problem.intercept else ", bias=False"
    return [
        *([_ONE_THREAD] if problem.n * features <= SINGLE_THREAD_CELLS else []),
        f"torch.manual_seed({options.seed})",
        f"model = nn.Linear({features}, 1{bias}).to(device=device, dtype=dtype)",
        *_start_code(options, problem),
        *criterion_code(options),
        *optimizer_code(options),
    ]


def _start_code(options: TrainingOptions, problem: StandardizedProblem) -> list[str]:
    if options.start is None:
        return []
    weight = literal(options.start[1:] if problem.intercept else options.start)
    return [
        "with torch.no_grad():",
        *([f"    model.bias.fill_({literal(options.start[0])})"] if problem.intercept else []),
        f"    model.weight.copy_(torch.tensor([{weight}], dtype=torch.float64))",
    ]


def _params_code(options: TrainingOptions, problem: StandardizedProblem) -> list[str]:
    weight = "weight = model.weight.detach().double().cpu().numpy().ravel()"
    if not options.standardize:
        return [weight, _PLAIN_INTERCEPT_CODE if problem.intercept else "params = dict(zip(columns, weight.tolist()))"]
    slopes = "slopes = weight * (scale[-1] / scale[:-1])"
    return [weight, slopes, _INTERCEPT_CODE if problem.intercept else "params = dict(zip(columns, slopes.tolist()))"]
