"""A run as a plain PyTorch script that reads like the tutorial: nothing in it is ours, and its losses are the run's."""

from __future__ import annotations

import os
from string import Template

from squarely.data import Source
from squarely.descent.code_columns import columns, is_exact, uses_splines
from squarely.descent.code_rows import chosen, file_of, read, wanted
from squarely.descent.code_text import array, literal, remark, statement
from squarely.descent.loop import on_one_thread
from squarely.descent.recipe import Recipe
from squarely.design import Design
from squarely.errors import OptionError
from squarely.moments import Standardised

# The first two lines have nothing of the user's: there, Python looks for the encoding of the file.
_SCRIPT = Template('''\
"""A linear regression trained in PyTorch, written by squarely. It runs without squarely."""

# Formula: $formula
# $agreement
import numpy as np
import pandas as pd
import torch
${scipy}from torch import nn

lr, epochs = $lr, $epochs
device, dtype = $device, torch.$dtype

# The rows.
$rows

$columns
if len(y) != $n:
    raise SystemExit(f"The run saw $n complete rows, and here are {len(y)}: the data differ.")

# Standardise: $standardise
# The shift has two parts because together they keep more digits than their sum.
$constants
table = ((np.column_stack([X, y]) - centre) - offset) / scale
inputs = torch.tensor(table[:, :-1], dtype=dtype, device=device)
labels = torch.tensor(table[:, -1:], dtype=dtype, device=device)

# The model, from $start.
${threads}torch.manual_seed($seed)
model = nn.Linear($features, 1$bias).to(device=device, dtype=dtype)
${given}criterion = nn.MSELoss()
optimizer = $optimizer

# Train. The loss is logged before the update that follows it; the last one has none.
losses = []
for epoch in range(epochs + 1):
    optimizer.zero_grad()  # clear the gradients of the epoch before
    outputs = model(inputs)
    loss = criterion(outputs, labels)
    losses.append(loss.item())
    diverged = not losses[-1] <= 1e12 * (losses[0] + 1.0)  # NaN too
    if diverged or epoch == epochs:
        break
    loss.backward()  # gradients of the loss with respect to weight and bias
    optimizer.step()  # move them against the gradient, lr times as far

# The coefficients, back in the units of the data.
weight = model.weight.detach().double().cpu().numpy().ravel()
slopes = weight * (scale[-1] / scale[:-1])
$params

print(f"Epoch {epoch}: loss {losses[-1]:.8g}{' (diverged)' if diverged else ''}")
for name, value in params.items():
    print(f"{name!r}: {value:.8g}")
''')
_LEVEL = """\
bias = model.bias.detach().double().cpu().numpy()
level = centre[-1] + (offset[-1] + scale[-1] * bias[0] - slopes @ offset[:-1])
intercept = level - slopes @ centre[:-1]
params = {"Intercept": float(intercept), **dict(zip(columns, slopes.tolist()))}"""
_NO_LEVEL = "params = dict(zip(columns, slopes.tolist()))"
_MOVED = "each column less its mean, over its population standard deviation (divisor n)."
_UNMOVED = "each column over its root mean square; without an intercept nothing is subtracted."
_ONE_THREAD = "torch.set_num_threads(1)  # for so few numbers, a second thread would only wait\n"
_EXACT = "On the machine of the run, the losses are those of the run to the last bit."
_ROUNDED = "The losses are those of the run up to rounding: some columns may differ in a last digit."
_GIVEN = """\
with torch.no_grad():
    {}model.weight.copy_(torch.tensor([{}], dtype=torch.float64))
"""


def script(recipe: Recipe, problem: Standardised, design: Design, source: Source, *, data: object = None) -> str:
    """Write a run as a script that reads the rows from the path `data`, or from where they were.

    Raises
    ------
    OptionError : `data` is not a path.
    """
    need = wanted(design, source)
    file, how = file_of(source, need, _path(data))
    constants = [statement(f"{name} = ", array(getattr(problem, name).tolist())) for name in ("centre", "offset", "scale")]
    features = len(design.columns)
    return _SCRIPT.substitute(
        formula=remark(design.formula.text),
        agreement=_EXACT if is_exact(design) else _ROUNDED,
        scipy="from scipy.interpolate import BSpline\n" if uses_splines(design) else "",
        rows="\n".join([*how, *read(file, need), *chosen(design, need)]),
        columns="\n".join(columns(design, need.fields)).strip("\n"),
        n=problem.n,
        standardise=_MOVED if problem.intercept else _UNMOVED,
        constants="\n".join(constants),
        dtype=recipe.dtype,
        device=literal(recipe.device),
        start="nn.Linear's random start" if recipe.start is None else "the given start",
        threads=_ONE_THREAD if on_one_thread(problem.n * features) else "",
        seed=recipe.seed,
        features=features,
        bias="" if problem.intercept else ", bias=False",
        given=_given(recipe, problem),
        optimizer=_optimizer(recipe),
        lr=literal(recipe.rate),
        epochs=recipe.epochs,
        params=_LEVEL if problem.intercept else _NO_LEVEL,
    )


def _path(data: object) -> str | None:
    if data is None:
        return None
    if not isinstance(data, str | bytes | os.PathLike):
        raise OptionError(f"data={data!r} is of type {type(data).__name__}, not a path. Give the path that the script is to read.")
    return os.fsdecode(data)


def _given(recipe: Recipe, problem: Standardised) -> str:
    if recipe.start is None:
        return ""
    bias = f"model.bias.fill_({literal(recipe.start[0])})\n    " if problem.intercept else ""
    return _GIVEN.format(bias, literal(recipe.start[1:] if problem.intercept else recipe.start))


def _optimizer(recipe: Recipe) -> str:
    if recipe.optimizer == "adam":
        return "torch.optim.Adam(model.parameters(), lr=lr)"
    momentum = f", momentum={recipe.momentum!r}" if recipe.momentum else ""
    nesterov = ", nesterov=True" if recipe.nesterov else ""
    return f"torch.optim.SGD(model.parameters(), lr=lr{momentum}{nesterov})"
