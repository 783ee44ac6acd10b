"""The graph of a loss: which predictions and parameters it holds, and the gradients that they should get."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from squarely.checkup.recorder.tensors.graphs import Graphs

MAX_NODES = 4000


@dataclass(frozen=True, slots=True)
class LossGraph:
    """What lies below a loss.

    Attributes
    ----------
    predictions : the numbers of the predictions in the graph, in the order in which they were made.
    leaves : the tensors that a gradient reaches.
    direct : those reached apart from the predictions.
    functions : the names of the functions above the predictions.
    """

    predictions: tuple[int, ...]
    leaves: tuple[Tensor, ...]
    direct: tuple[Tensor, ...]
    functions: tuple[str, ...]


def read_graph(loss: Tensor, predictions: Graphs) -> LossGraph:
    """Walk the graph of a loss; `predictions` maps the `grad_fn` of each prediction to its number."""
    if loss.grad_fn is None:
        return LossGraph((), (loss,) if loss.requires_grad else (), (), ())
    found, direct, functions = set(), [], []
    below = []
    for node in _walk(loss.grad_fn, stop=predictions):
        if node in predictions:
            found.add(predictions[node])
            below.append(node)
        elif hasattr(node, "variable"):
            direct.append(node.variable)
        else:
            functions.append(node.name().removesuffix("Backward0").removesuffix("Backward1"))
    leaves = {id(tensor): tensor for tensor in direct}
    for start in below:
        leaves |= {id(node.variable): node.variable for node in _walk(start) if hasattr(node, "variable")}
    return LossGraph(tuple(sorted(found)), tuple(leaves.values()), tuple(direct), tuple(functions))


def _walk(start: Any, stop: Graphs | tuple[()] = ()) -> list[Any]:
    reached, waiting = {start}, [start]
    order: list[Any] = []
    while waiting and len(order) < MAX_NODES:
        node = waiting.pop()
        order.append(node)
        if node in stop:
            continue
        for below, _ in node.next_functions:
            if below is not None and below not in reached:
                reached.add(below)
                waiting.append(below)
    return order


def grad_or_none(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], grad_outputs: Sequence[Tensor] | None = None
) -> list[Tensor | None] | None:
    """Return gradients without freeing the graph; None if autograd refuses."""
    if not outputs or not inputs:
        return None
    try:
        with torch.enable_grad():
            return list(torch.autograd.grad(outputs, inputs, grad_outputs, retain_graph=True, allow_unused=True))
    except RuntimeError:  # a freed graph, or values that an operation in place has changed: the user's own call reports it
        return None


@contextmanager
def without_hooks(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Take the user's hooks from tensors, and put them back: the gradient that autograd computes, before a hook changes it."""
    hooks = [dict(tensor._backward_hooks or {}) for tensor in tensors]
    for tensor, known in zip(tensors, hooks, strict=True):
        if known:
            tensor._backward_hooks.clear()
    try:
        yield
    finally:
        for tensor, known in zip(tensors, hooks, strict=True):
            if known:
                tensor._backward_hooks.update(known)
