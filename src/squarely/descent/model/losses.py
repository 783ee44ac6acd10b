"""The losses of rows: their gradients, through autograd or in closed form, and their values with metrics, for the log."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from squarely.descent.batches.batch_source import BatchSource
from squarely.descent.batches.in_memory import TensorBatch
from squarely.descent.model.linear_regression import as_column, linear_parameters
from squarely.descent.options.options import TrainingOptions
from squarely.moments import StandardizedProblem

# Takes chunks of rows and the number of rows in the mean; returns the mean loss and leaves the gradient in the parameters.
Gradient = Callable[[Iterable[TensorBatch], int], torch.Tensor]


class QuantileLoss(nn.Module):
    """The pinball loss: the mean of max(q r, (q - 1) r) with r = label - output, minimal at the q-th quantile.

    Source: Koenker and Bassett (1978), doi:10.2307/1913643.
    """

    def __init__(self, quantile: float) -> None:
        super().__init__()
        self.quantile = quantile

    def forward(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of outputs (m, 1) and labels (m, 1)."""
        r = labels - outputs
        return torch.maximum(self.quantile * r, (self.quantile - 1.0) * r).mean()


def new_criterion(options: TrainingOptions) -> nn.Module:
    """Return the loss of the options, a mean over rows of a function of the residual, as in torch."""
    if options.loss == "l1":
        return nn.L1Loss()
    if options.loss == "huber":
        return nn.HuberLoss(delta=options.delta)
    if options.loss == "quantile":
        return QuantileLoss(options.quantile)
    return nn.MSELoss()


def new_gradient(options: TrainingOptions, model: nn.Module) -> Gradient:
    """Return the gradient that the options choose."""
    return _closed_form_gradient(model) if options.gradient == "closed" else _autograd_gradient(model, new_criterion(options))


def _autograd_gradient(model: nn.Module, criterion: nn.Module) -> Gradient:
    parameters = list(model.parameters())

    def gradient(chunks: Iterable[TensorBatch], n: int) -> torch.Tensor:
        for parameter in parameters:
            parameter.grad = None  # as zero_grad() does
        total: Any = None
        for inputs, labels in chunks:
            outputs = as_column(model(inputs))  # (m, 1)
            loss = criterion(outputs, labels)  # mean over m rows
            if len(labels) != n:
                loss = loss * (len(labels) / n)  # its part of the mean over all n
            loss.backward()
            total = loss.detach() if total is None else total + loss.detach()
        return total

    return gradient


def _closed_form_gradient(model: Any) -> Gradient:
    """L = (1/n) sum r^2 with r = X w + b - y: dL/dw = (2/n) X'r and dL/db = (2/n) sum r."""
    weight, bias = model.linear.weight, model.linear.bias
    w, b = weight.detach(), None if bias is None else bias.detach()  # the same memory without a graph

    def gradient(chunks: Iterable[TensorBatch], n: int) -> torch.Tensor:
        total: Any = None
        for inputs, labels in chunks:
            r = functional.linear(inputs, w, b).sub_(labels)  # (m, 1)
            flat = r.view(-1)
            slopes, level, squares = torch.mm(r.t(), inputs), r.sum(0), torch.dot(flat, flat)
            if total is None:
                weight.grad, total = slopes, squares
                if bias is not None:
                    bias.grad = level
            else:
                weight.grad += slopes
                total += squares
                if bias is not None:
                    bias.grad += level
        weight.grad.mul_(2.0 / n)
        if bias is not None:
            bias.grad.mul_(2.0 / n)
        return total.div_(n)

    return gradient


def flatten_parameters(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the coefficients of a model and their gradients, (p,) each, the bias first, in memory that the parameters share."""
    parts = linear_parameters(model)
    sizes = [part.numel() for part in parts]
    w = nn.utils.parameters_to_vector(parts).detach()
    g = torch.zeros_like(w)
    for part, values, gradient in zip(parts, w.split(sizes), g.split(sizes), strict=True):
        part.data, part.grad = values.view_as(part), gradient.view_as(part)
    return w, g


def quadratic_gradient(flat: tuple[torch.Tensor, torch.Tensor], problem: StandardizedProblem) -> Gradient:
    """L = 1/2 w'H w - h'w + mean(y^2), whose gradient is H w - h: no row is read.

    The loss is a small difference of large numbers and is computed in float64, whatever the precision of the training.
    """
    w, g = flat
    H, h = (torch.from_numpy(a).to(w) for a in (problem.H, problem.h))

    def gradient(chunks: Iterable[TensorBatch], n: int) -> torch.Tensor:
        torch.addmv(h, H, w, beta=-1, out=g)
        return torch.tensor(problem.loss(w.double().cpu().numpy()), dtype=torch.float64)

    return gradient


def measure(
    model: nn.Module, criterion: nn.Module, rows: BatchSource, *, metrics: Sequence[str] = (), unit: float = 1.0
) -> dict[str, float]:
    """Return the mean "loss" over the rows of all processes, in standardized units, and metrics in the unit of the response.

    `unit` is the standard deviation of the response. The MSE has its square, and R2 = 1 - MSE / variance has no unit.
    """
    loss, m = math.nan, 0
    sums = np.zeros(6)  # rows, losses, squared residuals, absolute residuals, labels, squared labels
    for inputs, labels in rows.sequential():
        if not len(labels):
            continue
        with torch.no_grad():
            outputs, m = as_column(model(inputs)), len(labels)
        loss = criterion(outputs, labels).item()
        sums[:2] += m, loss * m
        if metrics:
            residual, y = (outputs - labels).double(), labels.double()
            sums[2:] += [part.sum().item() for part in (residual.square(), residual.abs(), y, y.square())]
    n, losses, squared, absolute, total, squares = rows.group.all_reduce_arrays([sums])[0].tolist()
    if not n:
        return dict.fromkeys(("loss", *metrics), math.nan)
    mean = loss if m == n else losses / n  # the mean of a single chunk is exact to the bit
    variance = squares / n - (total / n) ** 2
    return {"loss": mean, **metrics_from_mse(metrics, squared / n, variance, unit, mae=absolute / n)}


def metrics_from_mse(
    metrics: Sequence[str], mse: float, variance: float, unit: float, *, mae: float = math.nan
) -> dict[str, float]:
    """Return metrics by name from a standardized mean squared error, the variance of the labels, and a mean absolute error.

    >>> metrics_from_mse(["rmse", "r2"], 0.25, 1.0, 8.0)
    {'rmse': 4.0, 'r2': 0.75}
    """
    values = {
        "mse": mse * unit**2,
        "rmse": math.sqrt(mse) * unit if mse >= 0 else math.nan,
        "mae": mae * unit,
        "r2": 1.0 - mse / variance if variance > 0 else math.nan,
    }
    return {name: values[name] for name in metrics}
