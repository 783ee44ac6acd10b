"""The script as a page: every line that it can have, each with the condition under which it does.

A line that ends with `#? a !b` is written where flag a is set and flag b is not. `script.py` sets the flags and the `$` values.
"""

from __future__ import annotations

from collections.abc import Mapping

# The first two lines hold nothing of the user's, because Python looks there for the encoding of the file.
SCRIPT = '''\
"""A linear regression trained in PyTorch, written by squarely. It runs without squarely."""

# Formula: $formula
# $agreement
# $shortened  #? shortened
# The callbacks of the run are left out.  #? callbacks
from copy import deepcopy  #? copies
#? copies
import numpy as np
import pandas as pd
import torch
from scipy.interpolate import BSpline  #? splines
from torch import nn

lr, epochs = $lr, $epochs
batch_size = $batch_size  #? batches
patience = $patience  # epochs without a lower loss  #? patience
device, dtype = $device, torch.$dtype

# The rows.
$rows

$columns
#? held_out
# Rows where `held_out` is true are for validation.  #? held_out
held_out = held_out[rows.index]  #? held_out
if (~held_out).sum() != $n:  #? held_out
    raise SystemExit(f"The run had $n rows, and here are {(~held_out).sum()}: the data differ.")  #? held_out
if len(y) != $n:  #? !held_out
    raise SystemExit(f"The run had $n complete rows, and here are {len(y)}: the data differ.")  #? !held_out

# Standardize: each column minus its mean, over its population standard deviation (divisor n).  #? standardize intercept
# Standardize: each column over its root mean square; without an intercept nothing is subtracted.  #? standardize !intercept
# The shift has two parts because together they keep more digits than their sum.  #? standardize
$center  #? standardize
$offset  #? standardize
$scale  #? standardize
table = ((np.column_stack([X, y]) - center) - offset) / scale  #? standardize
# The columns as they are: nothing is standardized.  #? !standardize
table = np.column_stack([X, y])  #? !standardize
inputs = torch.tensor(table[$training_rows, :-1], dtype=dtype, device=device)
labels = torch.tensor(table[$training_rows, -1:], dtype=dtype, device=device)
# Relative weights: their mean is one.  #? weighted
row_weights = torch.tensor(weights[$training_rows] / $mean_weight, dtype=dtype, device=device)  #? weighted
val_inputs = torch.tensor(table[held_out, :-1], dtype=dtype, device=device)  #? validation
val_labels = torch.tensor(table[held_out, -1:], dtype=dtype, device=device)  #? validation
val_weights = weights[held_out] / weights[held_out].mean()  #? validation weighted
val_weights = torch.tensor(val_weights, dtype=dtype, device=device)  #? validation weighted

# The model, from the given start.  #? start
# The model, from nn.Linear's random start.  #? !start
torch.set_num_threads(1)  # with so few numbers, a second thread would only wait  #? one_thread
torch.manual_seed($seed)
model = nn.Linear($features, 1).to(device=device, dtype=dtype)  #? intercept
model = nn.Linear($features, 1, bias=False).to(device=device, dtype=dtype)  #? !intercept
with torch.no_grad():  #? start
    model.bias.fill_($start_bias)  #? start intercept
    model.weight.copy_(torch.tensor([$start_weight], dtype=torch.float64))  #? start
criterion = nn.MSELoss()  #? mse !weighted
criterion = nn.L1Loss()  #? l1 !weighted
criterion = nn.HuberLoss(delta=$delta)  #? huber !weighted
row_losses = nn.MSELoss(reduction="none")  #? mse weighted
row_losses = nn.L1Loss(reduction="none")  #? l1 weighted
row_losses = nn.HuberLoss(delta=$delta, reduction="none")  #? huber weighted
$optimizer
#? quantile
#? quantile
def criterion(outputs, labels):  #? quantile !weighted
def row_losses(outputs, labels):  #? quantile weighted
    """Compute the pinball loss, whose minimum is the quantile."""  #? quantile
    r = labels - outputs  #? quantile
    return torch.maximum($quantile * r, ($quantile - 1.0) * r).mean()  #? quantile !weighted
    return torch.maximum($quantile * r, ($quantile - 1.0) * r)  #? quantile weighted
#? weighted
#? weighted
def criterion(outputs, labels, weights):  #? weighted
    """Compute the weighted mean of the losses."""  #? weighted
    return (row_losses(outputs, labels) * weights).mean()  #? weighted
#? lbfgs
#? lbfgs
def closure():  #? lbfgs
    """Compute the loss at the weights that the optimizer has set, and the gradient there."""  #? lbfgs
    optimizer.zero_grad()  #? lbfgs
    loss = criterion(model(inputs), labels$row_weights)  #? lbfgs
    loss.backward()  #? lbfgs
    return loss  #? lbfgs
#? metrics
#? metrics
def measure(inputs, labels$weights):  #? metrics
    """Measure the model in the unit of the response."""  #? metrics standardize
    """Measure the model."""  #? metrics !standardize
    unit = scale[-1]  #? measures_unit
    with torch.no_grad():  #? metrics
        residual = (model(inputs) - labels).double()  #? metrics
    mse = residual.square().mean().item()  #? measures_mse !weighted
    weights = weights.double()  #? metrics weighted
    mse = ((residual.square() * weights).sum() / weights.sum()).item()  #? measures_mse weighted
    mean = (labels.double() * weights).sum() / weights.sum()  #? measures_variance
    variance = ((labels.double() - mean).square() * weights).sum() / weights.sum()  #? measures_variance
$measured  #? metrics

#? functions
# Train. Each epoch logs the loss, then updates the weights; the last one only logs.  #? !batches
# Train. Each epoch logs the loss on all rows, then updates the weights; the last one only logs.  #? batches
losses = []  #? !batches
losses, running_losses = [], []  #? batches
val_losses = []  #? validation
metrics = []  #? metrics !validation
metrics, val_metrics = [], []  #? metrics validation
best, waited, best_weights = np.inf, 0, deepcopy(model.state_dict())  #? patience
finite_weights = deepcopy(model.state_dict())  #? not_finite
average, averaged = deepcopy(model.state_dict()), 0  #? average
for epoch in range(epochs + 1):
    optimizer.zero_grad()  # clear the gradients of the epoch before  #? one_pass
    outputs = model(inputs)  #? one_pass
    loss = criterion(outputs, labels$row_weights)  #? one_pass
    losses.append(loss.item())  #? one_pass
    with torch.no_grad():  #? !one_pass
        losses.append(criterion(model(inputs), labels$row_weights).item())  #? !one_pass
    with torch.no_grad():  #? one_pass validation
        val_losses.append(criterion(model(val_inputs), val_labels$val_weights).item())  #? validation
    metrics.append(measure(inputs, labels$row_weights))  #? metrics
    val_metrics.append(measure(val_inputs, val_labels$val_weights))  #? metrics validation
    lost = not np.isfinite(losses[-1])  #? lost
    diverged = not losses[-1] <= $divergence_factor * (losses[0] + 1.0)  # NaN too  #? !lost
    if not np.isfinite(losses[-1]):  #? not_finite
        model.load_state_dict(finite_weights)  # the last weights with a finite loss  #? not_finite
    if $failure:  #? patience
    if $failure or epoch == epochs:  #? !patience
        break
    if $watched[-1] < best$min_delta:  #? patience
        best, waited, best_weights = $watched[-1], 0, deepcopy(model.state_dict())  #? patience
    else:  #? patience
        waited += 1  #? patience
    if waited == patience or epoch == epochs:  #? patience
        model.load_state_dict(best_weights)  # those of the lowest loss  #? patience
        break  #? patience
    finite_weights = deepcopy(model.state_dict())  #? not_finite
    if epoch:  #? plateau validation
        scheduler.step(val_losses[-1])  # the loss after the updates of the epoch before  #? plateau validation
    order = np.random.default_rng([$order_seed, epoch]).permutation(len(labels))  #? shuffle !replacement
    order = np.random.default_rng([$order_seed, epoch]).integers(len(labels), size=len(labels))  #? shuffle replacement
    order = torch.from_numpy(order).to(device)  #? shuffle
    batches = zip(inputs[order].split(batch_size), labels[order].split(batch_size)$split_ordered_weights)  #? shuffle
    batches = zip(inputs.split(batch_size), labels.split(batch_size)$split_weights)  #? batches !shuffle
    total = torch.zeros((), dtype=dtype, device=device)  # sum of the losses while the weights move  #? batches
    for batch_inputs, batch_labels$batch_weights in batches:  # the last batch may be short  #? batches
        optimizer.zero_grad()  #? batches
        loss = criterion(model(batch_inputs), batch_labels$batch_weights)  #? batches
$step
        total.add_(loss.detach(), alpha=len(batch_labels))  #? batches
    running_losses.append(total.item() / len(labels))  #? batches
    scheduler.step()  #? by_epoch !plateau
    scheduler.step(losses[-1])  #? by_epoch plateau !validation
if averaged and not $failure:  #? average
    model.load_state_dict(average)  #? average

# The coefficients, back in the units of the data.  #? standardize
# The coefficients.  #? !standardize
weight = model.weight.detach().double().cpu().numpy().ravel()
slopes = weight * (scale[-1] / scale[:-1])  #? standardize
bias = model.bias.detach().double().cpu().numpy()  #? standardize intercept
level = center[-1] + (offset[-1] + scale[-1] * bias[0] - slopes @ offset[:-1])  #? standardize intercept
intercept = level - slopes @ center[:-1]  #? standardize intercept
params = {"Intercept": float(intercept), **dict(zip(columns, slopes.tolist()))}  #? standardize intercept
params = dict(zip(columns, slopes.tolist()))  #? standardize !intercept
slopes = weight.tolist()  #? !standardize intercept
params = {"Intercept": model.bias.item(), **dict(zip(columns, slopes))}  #? !standardize intercept
params = dict(zip(columns, weight.tolist()))  #? !standardize !intercept

print(f"Epoch {epoch}: loss {losses[-1]:.8g}{' ($failure_text)' if $failure else ''}")
print(f"Validation loss: {val_losses[-1]:.8g}")  #? validation
for name, value in metrics[-1].items():  #? metrics
    print(f"{name}: {value:.8g}")  #? metrics
for name, value in val_metrics[-1].items():  #? metrics validation
    print(f"val_{name}: {value:.8g}")  #? metrics validation
for name, value in params.items():
    print(f"{name!r}: {value:.8g}")
'''

# An update of the weights, in the loop over epochs or in that over batches.
STEP = """\
optimizer.step(closure)  # evaluates the loss at other weights, too  #? lbfgs
loss.backward()  # gradients of the loss with respect to weight and bias  #? !lbfgs
nn.utils.clip_grad_norm_(model.parameters(), $clip_grad_norm)  # limit their norm  #? clips !lbfgs
optimizer.step()  # move them against the gradient, lr times as far  #? sgd
optimizer.step()  # move them against the gradient  #? !sgd !lbfgs
# The run ends with the mean of the weights.  #? average
if epoch >= $average:  #? average_later
    averaged += 1  #? average_later
    for name, value in model.state_dict().items():  #? average_later
        average[name].lerp_(value, 1.0 / averaged)  #? average_later
averaged += 1  #? average !average_later
for name, value in model.state_dict().items():  #? average !average_later
    average[name].lerp_(value, 1.0 / averaged)  #? average !average_later
scheduler.step()  #? by_batch
"""


def select_lines(template: str, flags: Mapping[str, bool]) -> str:
    r"""Return the lines of a template whose condition holds, without the conditions.

    >>> select_lines("a = 1  #? x\nb = 2  #? !x y\nc = 3", {"x": False, "y": True})
    'b = 2\nc = 3'
    """
    lines = [line.partition("#?") for line in template.splitlines()]
    return "\n".join(
        text.rstrip()
        for text, _, condition in lines
        if all(flags[flag.lstrip("!")] != flag.startswith("!") for flag in condition.split())
    )
