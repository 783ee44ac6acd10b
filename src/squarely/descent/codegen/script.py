"""A run as a plain PyTorch script that reads like the tutorial: nothing in it is ours, and its losses are the run's."""

from __future__ import annotations

import math
import os
from string import Template
from typing import TYPE_CHECKING

from squarely.descent.batches.in_memory import batches_lie_alike
from squarely.descent.batches.loader import LoaderSource
from squarely.descent.codegen import torch_calls as code_calls
from squarely.descent.codegen.columns import columns, is_exact, uses_splines
from squarely.descent.codegen.loop import Course, loop, measures, report
from squarely.descent.codegen.python_text import array, literal, remark, statement
from squarely.descent.codegen.rows import chosen, file_of, in_doubles, read, wanted
from squarely.descent.codegen.split import held_out, split_of
from squarely.descent.loop.training_loop import on_one_thread
from squarely.descent.options.options import Recipe
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
# Of the rows that are left, those with `held_out` are for validation.
held_out = held_out[rows.index]
if (~held_out).sum() != {n}:
    raise SystemExit(f"The run saw {n} rows, and here are {{(~held_out).sum()}}: the data differ.")"""
_SHIFTED = """\
# Standardise: {}
# The shift has two parts because together they keep more digits than their sum."""
_MOVED = "each column less its mean, over its population standard deviation (divisor n)."
_UNMOVED = "each column over its root mean square; without an intercept nothing is subtracted."
_ONE_THREAD = "torch.set_num_threads(1)  # for so few numbers, a second thread would only wait"
_LEVEL = """\
bias = model.bias.detach().double().cpu().numpy()
level = centre[-1] + (offset[-1] + scale[-1] * bias[0] - slopes @ offset[:-1])
intercept = level - slopes @ centre[:-1]
params = {"Intercept": float(intercept), **dict(zip(columns, slopes.tolist()))}"""
_PLAIN_LEVEL = """\
slopes = weight.tolist()
params = {"Intercept": model.bias.item(), **dict(zip(columns, slopes))}"""
_EXACT = "On the machine of the run, the losses are those of the run to the last bit."
_ROUNDED = "The losses are those of the run up to rounding: {}."
_STREAMED = "The losses differ from the run's by the order of the rows, which it drew from a buffer while it read them."


def script(run: Training, *, data: object = None) -> str:
    """Write a run as a script that reads the rows from the path `data`, or from where they were.

    Raises
    ------
    OptionError : `data` is not a path, or the run used an object that has no text.
    """
    recipe, problem = run.recipe, run.problem
    _require_text(run)
    course, split = _course(run), split_of(run.source, run.validation if "val_loss" in run.loop.log.columns else None)
    design = in_doubles(run.design, split.source)
    need = wanted(design, split.source)
    file, how = file_of(split.source, need, _path(data))
    apart = held_out(split, need, typed=file.typed)
    functions = [*code_calls.functions(recipe), *measures(course)]
    return _SCRIPT.substitute(
        formula=remark(design.formula.text),
        agreement=_agreement(run),
        remarks="".join(f"# {line}\n" for line in _remarks(run, course)),
        imports=_imports(course, splines=uses_splines(design)),
        settings="\n".join(_settings(course)),
        rows="\n".join([*how, *read(file, need), *apart, *chosen(design, need)]),
        columns="\n".join(columns(design, need.fields)).strip("\n"),
        count=(_COUNT_SPLIT if split.any else _COUNT).format(n=problem.n),
        table="\n".join(_table(recipe, problem, split=split.any, validated=course.validated)),
        dtype=recipe.dtype,
        device=literal(recipe.device),
        start="nn.Linear's random start" if recipe.start is None else "the given start",
        model="\n".join(_model(recipe, problem, features=len(design.columns))),
        functions="".join(f"\n\n{text}\n" for text in functions) + ("\n" if functions else ""),
        loop="\n".join(loop(course)),
        units=", back in the units of the data" if recipe.standardize else "",
        params="\n".join(_params(recipe, problem)),
        report="\n".join(report(course)),
    )


def _path(data: object) -> str | None:
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


def _course(run: Training) -> Course:
    recipe, log, ending = run.recipe, run.loop.log, run.loop.ending
    waited_for = recipe.stop in ("loss", "validation")
    told = ending.status == "stopped" and not (waited_for and log.waited >= recipe.patience)
    return Course(
        recipe=recipe,
        epochs=len(log.losses) - 1 if told else recipe.epochs,
        validated="val_loss" in log.columns,
        waits=waited_for,
        end="" if math.isfinite(log.losses[-1]) else ending.status,
    )


def _agreement(run: Training) -> str:
    """Say how well the script's losses agree with the run's."""
    recipe = run.recipe
    if recipe.engine != "rows":
        how = "it went by cross-products (engine={}), and here every row is read"
        return _ROUNDED.format(how.format(literal(recipe.engine)))
    if recipe.stream:
        how = "it added up parts of the rows while it read them"
        return _ROUNDED.format(how) if recipe.full_batch or not recipe.shuffle else _STREAMED
    if recipe.gradient == "closed":
        return _ROUNDED.format("its gradient was in closed form, and here it is autograd's")
    if not is_exact(run.design):
        return _ROUNDED.format("some columns may differ in a last digit")
    if not batches_lie_alike(recipe, run.problem.n, len(run.design.columns)):
        return _ROUNDED.format("its batches lay elsewhere in memory")
    return _EXACT


def _remarks(run: Training, course: Course) -> list[str]:
    """Say what is left out."""
    recipe, lines = run.recipe, []
    if course.epochs != recipe.epochs:
        near = run.loop.ending.reason.endswith(f"(stop={recipe.stop!r}).")
        why = f"it had come near enough to the optimum for stop={literal(recipe.stop)}" if near else "a callback asked for it"
        lines.append(f"The run ended at epoch {course.epochs} of {recipe.epochs}: {why}.")
    if recipe.functions:
        lines.append("The callbacks of the run are left out.")
    return lines


def _imports(course: Course, *, splines: bool) -> str:
    lines = ["from copy import deepcopy\n"] if course.copies else []
    lines += ["import numpy as np", "import pandas as pd", "import torch"]
    if splines:
        lines.append("from scipy.interpolate import BSpline")
    return "".join(f"{line}\n" for line in lines)


def _settings(course: Course) -> list[str]:
    recipe = course.recipe
    lines = [f"lr, epochs = {literal(recipe.rate)}, {course.epochs}"]
    if recipe.batch_size is not None:
        lines.append(f"batch_size = {recipe.batch_size}")
    if course.waits:
        lines.append(f"patience = {recipe.patience}  # epochs without a lower loss")
    return lines


def _table(recipe: Recipe, problem: StandardizedProblem, *, split: bool, validated: bool) -> list[str]:
    """Write the statements that make the tensors."""
    if recipe.standardize:
        lines = [_SHIFTED.format(_MOVED if problem.intercept else _UNMOVED)]
        lines += [statement(f"{name} = ", array(getattr(problem, name).tolist())) for name in ("centre", "offset", "scale")]
        lines.append("table = ((np.column_stack([X, y]) - centre) - offset) / scale")
    else:
        lines = ["# The columns as they are: nothing is standardised.", "table = np.column_stack([X, y])"]
    for kind, which in [("", "~held_out" if split else ":"), ("val_", "held_out")][: 1 + validated]:
        lines.append(f"{kind}inputs = torch.tensor(table[{which}, :-1], dtype=dtype, device=device)")
        lines.append(f"{kind}labels = torch.tensor(table[{which}, -1:], dtype=dtype, device=device)")
    return lines


def _model(recipe: Recipe, problem: StandardizedProblem, *, features: int) -> list[str]:
    bias = "" if problem.intercept else ", bias=False"
    return [
        *([_ONE_THREAD] if on_one_thread(problem.n * features) else []),
        f"torch.manual_seed({recipe.seed})",
        f"model = nn.Linear({features}, 1{bias}).to(device=device, dtype=dtype)",
        *_given(recipe, problem),
        *code_calls.criterion(recipe),
        *code_calls.optimizer(recipe),
    ]


def _given(recipe: Recipe, problem: StandardizedProblem) -> list[str]:
    if recipe.start is None:
        return []
    weight = literal(recipe.start[1:] if problem.intercept else recipe.start)
    return [
        "with torch.no_grad():",
        *([f"    model.bias.fill_({literal(recipe.start[0])})"] if problem.intercept else []),
        f"    model.weight.copy_(torch.tensor([{weight}], dtype=torch.float64))",
    ]


def _params(recipe: Recipe, problem: StandardizedProblem) -> list[str]:
    weight = "weight = model.weight.detach().double().cpu().numpy().ravel()"
    if not recipe.standardize:
        return [weight, _PLAIN_LEVEL if problem.intercept else "params = dict(zip(columns, weight.tolist()))"]
    slopes = "slopes = weight * (scale[-1] / scale[:-1])"
    return [weight, slopes, _LEVEL if problem.intercept else "params = dict(zip(columns, slopes.tolist()))"]
