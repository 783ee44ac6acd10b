"""The predictions of a run: which tensors hold them, which forward pass made them, and the targets they met."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from squarely.checkup.recorder.tensors.graphs import Graphs
from squarely.checkup.recorder.tensors.parameters import to_array
from squarely.checkup.recorder.trace import Forward, TargetComparison


class Predictions:
    """Follows predictions from the forward pass to the loss. Drops the tensors when a backward pass has used them."""

    def __init__(self) -> None:
        self.graphs = Graphs()
        self.tensors: dict[int, Tensor] = {}  # by Forward event: its predictions, until they are used
        self._turns: dict[int, int] = {}  # by Forward event, as long as its tensors
        self._forwards: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self._pairs: dict[int, list[tuple[int, Tensor, Tensor]]] = {}
        self._pair_events: dict[int, list[int]] = {}

    def forward_of(self, tensor: Tensor) -> int | None:
        """Return the Forward event whose predictions a tensor holds."""
        entry = self._forwards.get(id(tensor))
        return entry[1] if entry is not None and entry[0]() is tensor else None

    @staticmethod
    def add_inputs(event: Any, inputs: Tensor | None) -> None:
        """Set the inputs of a forward pass, if they are not known yet."""
        if event.inputs.size or inputs is None or inputs.dim() == 0 or not inputs.numel():
            return
        event.inputs = to_array(inputs).reshape(inputs.shape[0], -1)
        event.dtype = str(inputs.dtype).removeprefix("torch.")

    def add(self, event: Any, output: Tensor) -> None:
        """Note the output of a forward pass."""
        if output.numel() == 1 and event.inputs.shape[1:] == (1,):  # a vector of features: one row
            event.inputs = event.inputs.reshape(1, -1)
        rows = len(event.inputs)
        if rows and output.numel() == rows:
            event.outputs = to_array(output)
        self.follow(event, output, is_new=True)

    def follow(self, event: Forward, tensor: Tensor, *, is_new: bool) -> None:
        """Note that a tensor holds the predictions of a forward pass; a new one replaces the former."""
        if not tensor.is_floating_point():
            return
        self._forwards[id(tensor)] = (weakref.ref(tensor), event.index)
        if is_new:
            if tensor.numel() == len(event.inputs):
                event.outputs = to_array(tensor)
            if tensor.grad_fn is not None:
                self.graphs.add(tensor.grad_fn, event.index)
                self.tensors[event.index] = tensor
                self._turns[event.index] = self.graphs.turn

    def add_pair(self, event: TargetComparison, predictions: Tensor, targets: Tensor) -> None:
        """Note that predictions met targets."""
        if predictions.requires_grad:
            self._pairs.setdefault(event.forward, []).append((event.index, predictions, targets.detach()))

    def pairs_of(self, forwards: Iterable[int]) -> tuple[int, ...]:
        """Return the TargetComparison events of forward passes."""
        return tuple(index for forward in forwards for index, _, _ in self._pairs.get(forward, ()))

    def mean_squares(self, forwards: tuple[int, ...]) -> Tensor | None:
        """Return the mean over forward passes of the mean squared error of their first pair; None if one has no pair."""
        if not forwards or not all(self._pairs.get(forward) for forward in forwards):
            return None
        with torch.enable_grad():
            losses = []
            for forward in forwards:
                _, predictions, targets = self._pairs[forward][0]
                difference = predictions.reshape(-1) - targets.reshape(-1).to(predictions.dtype)
                losses.append(difference.square().mean())
            return torch.stack([loss.double() for loss in losses]).mean()

    def begin_forward(self) -> None:
        """Drop the tensors of old forward passes, such as evaluations with gradients, when a turn begins."""
        if self.graphs.backward_is_last:
            self.release([forward for forward, turn in self._turns.items() if self.graphs.is_old(turn - 1)])
        self.graphs.begin_forward()

    def release(self, forwards: Iterable[int]) -> None:
        """Drop the tensors of forward passes, as when a backward pass has used them."""
        for forward in forwards:
            self.tensors.pop(forward, None)
            self._turns.pop(forward, None)
            self._pairs.pop(forward, None)
