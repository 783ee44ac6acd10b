"""A run as a plain PyTorch script that reads like the tutorial: nothing in it is ours, and its losses are the run's."""

from __future__ import annotations

import math
import os
from string import Template
from typing import TYPE_CHECKING

from squarely.descent.batches.in_memory import same_batches_each_epoch
from squarely.descent.batches.loader import LoaderSource
from squarely.descent.codegen import torch_calls as code_calls
from squarely.descent.codegen.columns import columns_code, has_splines, is_exact
from squarely.descent.codegen.loop import ScriptPlan, loop_code, metrics_code, report_code
from squarely.descent.codegen.python_text import array_literal, literal, remark, statement
from squarely.descent.codegen.rows import column_uses, file_of, filter_code, read_code, widen_floats
from squarely.descent.codegen.split import split_of, validation_code
from squarely.descent.loop.training_loop import needs_single_thread
from squarely.descent.options.options import TrainingOptions
from squarely.errors import OptionError
from squarely.moments import StandardizedProblem

if TYPE_CHECKING:
    from squarely.descent.results.training import Training

# The first two lines have nothing of the user's: there, Python looks for the encoding of the file.
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
# Of the rows that are left, those with `validation_code` are for validation.
held_out = held_out[rows.index]
if (~held_out).sum() != {n}:
    raise SystemExit(f"The run saw {n} rows, and here are {{(~held_out).sum()}}: the data differ.")"""
_STANDARDIZE_COMMENT = """\
# Standardise: {}
# The shift has two parts because together they keep more digits than their sum."""
_MEAN_AND_DEVIATION = "each column less its mean, over its population standard deviation (divisor n)."
_ROOT_MEAN_SQUARE = "each column over its root mean square; without an intercept nothing is subtracted."
_ONE_THREAD = "torch.set_num_threads(1)  # for so few numbers, a second thread would only wait"
_INTERCEPT_CODE = """\
bias = model.bias.detach().double().cpu().numpy()
level = center[-1] + (offset[-1] + scale[-1] * bias[0] - slopes @ offset[:-1])
intercept = level - slopes @ center[:-1]
params = {"Intercept": float(intercept), **dict(zip(columns, slopes.tolist()))}"""
_PLAIN_INTERCEPT_CODE = """\
slopes = weight.tolist()
params = {"Intercept": model.bias.item(), **dict(zip(columns, slopes))}"""
_EXACT_AGREEMENT = "On the machine of the run, the losses are those of the run to the last bit."
_ROUNDED_AGREEMENT = "The losses are those of the run up to rounding: {}."
_STREAMED_AGREEMENT = "The losses differ from the run's by the order of the rows, which it drew from a buffer while it read them."


def write_script(run: Training, *, data: object = None) -> str:
    """Write a run as a script that reads the rows from the path `data`, or from where they were.

    Raises
    ------
    OptionError : `data` is not a path, or the run used an object that has no text.
    """
    recipe, problem = run.options, run.problem
    _require_text(run)
    course, split = _plan_script(run), split_of(run.source, run.validation if "val_loss" in run.result.history.columns else None)
    design = widen_floats(run.design, split.source)
    need = column_uses(design, split.source)
    file, how = file_of(split.source, need, _check_path(data))
    apart = validation_code(split, need, typed=file.typed)
    functions = [*code_calls.functions_code(recipe), *metrics_code(course)]
    return _SCRIPT.substitute(
        formula=remark(design.formula.text),
        agreement=_describe_agreement(run),
        remarks="".join(f"# {line}\n" for line in _describe_omissions(run, course)),
        imports=_imports_code(course, splines=has_splines(design)),
        settings="\n".join(_settings_code(course)),
        rows="\n".join([*how, *read_code(file, need), *apart, *filter_code(design, need)]),
        columns="\n".join(columns_code(design, need.fields)).strip("\n"),
        count=(_COUNT_SPLIT if split.has_validation else _COUNT).format(n=problem.n),
        table="\n".join(_table_code(recipe, problem, split=split.has_validation, validated=course.has_validation)),
        dtype=recipe.dtype,
        device=literal(recipe.device),
        start="nn.Linear's random start" if recipe.start is None else "the given start",
        model="\n".join(_model_code(recipe, problem, features=len(design.columns))),
        functions="".join(f"\n\n{text}\n" for text in functions) + ("\n" if functions else ""),
        loop="\n".join(loop_code(course)),
        units=", back in the units of the data" if recipe.standardize else "",
        params="\n".join(_params_code(recipe, problem)),
        report="\n".join(report_code(course)),
    )


def _check_path(data: object) -> str | None:
    if data is None:
        return None
    if not isinstance(data, str | bytes | os.PathLike):
        raise OptionError(f"data={data!r} is of type {type(data).__name__}, not a path. Give the path that the script is to read.")
    return os.fsdecode(data)


def _require_text(run: Training) -> None:
    for name, is_given in (("model", run.owned), ("loader", isinstance(run.source, LoaderSource))):
        if is_given:
            raise OptionError(
                f"{name}= is a Python object of your own, which cannot be written into a script. code() writes runs from a formula "
                "and data, or from X= and y=."
            )


def _plan_script(run: Training) -> ScriptPlan:
    recipe, log, ending = run.options, run.result.history, run.result.stop_reason
    waited_for = recipe.stop in ("loss", "validation")
    told = ending.status == "stopped" and not (waited_for and log.epochs_without_gain >= recipe.patience)
    return ScriptPlan(
        options=recipe,
        epochs=len(log.losses) - 1 if told else recipe.epochs,
        has_validation="val_loss" in log.columns,
        has_patience=waited_for,
        end="" if math.isfinite(log.losses[-1]) else ending.status,
    )


def _describe_agreement(run: Training) -> str:
    """Say how well the script's losses agree with the run's."""
    recipe = run.options
    if recipe.engine != "rows":
        how = "it went by cross-products (engine={}), and here every row is read"
        return _ROUNDED_AGREEMENT.format(how.format(literal(recipe.engine)))
    if recipe.stream:
        how = "it added up parts of the rows while it read them"
        return _ROUNDED_AGREEMENT.format(how) if recipe.is_full_batch or not recipe.shuffle else _STREAMED_AGREEMENT
    if recipe.gradient == "closed":
        return _ROUNDED_AGREEMENT.format("its gradient was in closed form, and here it is autograd's")
    if not is_exact(run.design):
        return _ROUNDED_AGREEMENT.format("some columns may differ in a last digit")
    if not same_batches_each_epoch(recipe, run.problem.n, len(run.design.columns)):
        return _ROUNDED_AGREEMENT.format("its batches lay elsewhere in memory")
    return _EXACT_AGREEMENT


def _describe_omissions(run: Training, course: ScriptPlan) -> list[str]:
    """Say what is left out."""
    recipe, lines = run.options, []
    if course.epochs != recipe.epochs:
        near = run.result.stop_reason.reason.endswith(f"(stop={recipe.stop!r}).")
        why = f"it had come near enough to the optimum for stop={literal(recipe.stop)}" if near else "a callback asked for it"
        lines.append(f"The run ended at epoch {course.epochs} of {recipe.epochs}: {why}.")
    if recipe.callback_list:
        lines.append("The callbacks of the run are left out.")
    return lines


def _imports_code(course: ScriptPlan, *, splines: bool) -> str:
    lines = ["from copy import deepcopy\n"] if course.needs_copies else []
    lines += ["import numpy as np", "import pandas as pd", "import torch"]
    if splines:
        lines.append("from scipy.interpolate import BSpline")
    return "".join(f"{line}\n" for line in lines)


def _settings_code(course: ScriptPlan) -> list[str]:
    recipe = course.options
    lines = [f"lr, epochs = {literal(recipe.rate)}, {course.epochs}"]
    if recipe.batch_size is not None:
        lines.append(f"batch_size = {recipe.batch_size}")
    if course.has_patience:
        lines.append(f"patience = {recipe.patience}  # epochs without a lower loss")
    return lines


def _table_code(recipe: TrainingOptions, problem: StandardizedProblem, *, split: bool, validated: bool) -> list[str]:
    """Write the statements that make the tensors."""
    if recipe.standardize:
        lines = [_STANDARDIZE_COMMENT.format(_MEAN_AND_DEVIATION if problem.intercept else _ROOT_MEAN_SQUARE)]
        lines += [statement(f"{name} = ", array_literal(getattr(problem, name).tolist())) for name in ("center", "offset", "scale")]
        lines.append("table = ((np.column_stack([X, y]) - center) - offset) / scale")
    else:
        lines = ["# The columns as they are: nothing is standardised.", "table = np.column_stack([X, y])"]
    for kind, which in [("", "~held_out" if split else ":"), ("val_", "held_out")][: 1 + validated]:
        lines.append(f"{kind}inputs = torch.tensor(table[{which}, :-1], dtype=dtype, device=device)")
        lines.append(f"{kind}labels = torch.tensor(table[{which}, -1:], dtype=dtype, device=device)")
    return lines


def _model_code(recipe: TrainingOptions, problem: StandardizedProblem, *, features: int) -> list[str]:
    bias = "" if problem.intercept else ", bias=False"
    return [
        *([_ONE_THREAD] if needs_single_thread(problem.n * features) else []),
        f"torch.manual_seed({recipe.seed})",
        f"model = nn.Linear({features}, 1{bias}).to(device=device, dtype=dtype)",
        *_start_code(recipe, problem),
        *code_calls.criterion_code(recipe),
        *code_calls.optimizer_code(recipe),
    ]


def _start_code(recipe: TrainingOptions, problem: StandardizedProblem) -> list[str]:
    if recipe.start is None:
        return []
    weight = literal(recipe.start[1:] if problem.intercept else recipe.start)
    return [
        "with torch.no_grad():",
        *([f"    model.bias.fill_({literal(recipe.start[0])})"] if problem.intercept else []),
        f"    model.weight.copy_(torch.tensor([{weight}], dtype=torch.float64))",
    ]


def _params_code(recipe: TrainingOptions, problem: StandardizedProblem) -> list[str]:
    weight = "weight = model.weight.detach().double().cpu().numpy().ravel()"
    if not recipe.standardize:
        return [weight, _PLAIN_INTERCEPT_CODE if problem.intercept else "params = dict(zip(columns, weight.tolist()))"]
    slopes = "slopes = weight * (scale[-1] / scale[:-1])"
    return [weight, slopes, _INTERCEPT_CODE if problem.intercept else "params = dict(zip(columns, slopes.tolist()))"]
