"""The gradient of the loss over rows: through autograd, in closed form, or from cross-products."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from squarely.descent.batches.in_memory import TensorBatch
from squarely.descent.model.linear_regression import as_column, linear_parameters
from squarely.descent.model.losses import new_criterion
from squarely.descent.options.options import TrainingOptions
from squarely.moments import StandardizedProblem

# Takes chunks of rows and the number of rows in the mean; returns the mean loss and leaves the gradient in the parameters.
Gradient = Callable[[Iterable[TensorBatch], int], torch.Tensor]


def new_gradient(options: TrainingOptions, model: nn.Module, *, weighted: bool) -> Gradient:
    """Return the gradient that the options choose."""
    if options.gradient == "closed":
        return _closed_form_gradient(model)
    return _autograd_gradient(model, new_criterion(options, weighted=weighted))


def _autograd_gradient(model: nn.Module, criterion: nn.Module) -> Gradient:
    parameters = list(model.parameters())

    def gradient(chunks: Iterable[TensorBatch], n: int) -> torch.Tensor:
        for parameter in parameters:
            parameter.grad = None  # as zero_grad() does
        total: Any = None
        for inputs, labels, *weights in chunks:
            outputs = as_column(model(inputs))  # (m, 1)
            loss = criterion(outputs, labels, *weights)  # mean over m rows
            if len(labels) != n:
                loss = loss * (len(labels) / n)  # its part of the mean over all n
            loss.backward()
            total = loss.detach() if total is None else total + loss.detach()
        return total

    return gradient


def _closed_form_gradient(model: Any) -> Gradient:
    """L = (1/n) sum r^2 with r = X w + b - y: dL/dw = (2/n) X'r and dL/db = (2/n) sum r; with weights, these times the rows."""
    weight, bias = model.linear.weight, model.linear.bias
    w, b = weight.detach(), None if bias is None else bias.detach()  # the same memory without a graph

    def gradient(chunks: Iterable[TensorBatch], n: int) -> torch.Tensor:
        total: Any = None
        for inputs, labels, *weights in chunks:
            r = functional.linear(inputs, w, b).sub_(labels)  # (m, 1)
            weighted = r * weights[0] if weights else r
            slopes, level, squares = torch.mm(weighted.t(), inputs), weighted.sum(0), torch.dot(weighted.view(-1), r.view(-1))
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
